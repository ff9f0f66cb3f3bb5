"""The command that watches new events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hepanom.command import common
from hepanom.completion import run_or_file


@click.command(short_help="Watch new events: exit code 3 is an alarm.")
@click.argument("detector", shell_complete=run_or_file())
@click.argument("files", nargs=-1, required=True)
@click.option("--per", multiple=True, metavar="run|luminosityBlock|COLUMN|file", help="Groups; run or file by default.")
@click.option("--flagged", multiple=True, metavar="RULE", help="A flag to watch, SCORER/RULE; the first by default.")
@click.option("--level", type=click.FloatRange(0, 1), default=1e-3, show_default=True, help="Of any false alarm.")
@click.option("--effect", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="Least distance.")
@click.option(
    "--alarm",
    type=click.Choice(["flagged", "scores", "columns"]),
    multiple=True,
    help="What gives an alarm; flagged and scores by default.",
)
@click.option("--reference", multiple=True, metavar="FILE", help="Compare with these good events.")
@click.option("--keep", is_flag=True, help="Keep what is made of --reference with DETECTOR.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page.")
@click.option("--tracking", metavar="URI", help="MLflow tracking URI, where DETECTOR is a run.")
@click.option("--device", help="auto, cpu or cuda; that of the training by default.")
@click.option("--plugins", "folder", type=click.Path(), help="Folder with plugin files, where it moved.")
@common
def monitor(
    detector: str, tracking: str | None, device: str | None, folder: str | None, quiet: bool, **options: Any
) -> Any:
    """Compare FILES, run by run, with the background that DETECTOR was trained on: flagged share, scores and columns.

    The exit code is 0 where all is fine, 3 for an alarm, 2 for input that cannot be used and 1 for a failure.
    """
    from hepanom import archive, monitor_page
    from hepanom.progress import progress

    overrides = [f"plugins={json.dumps(str(Path(folder).resolve()))}"] if folder else []
    overrides += [f"train.device={device}"] if device else []
    with progress(quiet) as watcher:
        place = archive.detector_folder(detector, tracking)
        return monitor_page.watch(place, overrides=overrides, watcher=watcher, **options)
