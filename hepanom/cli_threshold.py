"""The command that sets a threshold of a detector anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hepanom.command import common
from hepanom.completion import run_or_file


@click.command(short_help="Set a threshold of a detector on new background.")
@click.argument("detector", shell_complete=run_or_file())
@click.argument("more", nargs=-1, metavar="")
@click.option("--rule", required=True, metavar="RULE[=VALUE]", help="background_efficiency=1e-3, median, ...")
@click.option("--on", multiple=True, required=True, metavar="FILES...", help="New background; labels are respected.")
@click.option("--name", help="Of the threshold; RULE_VALUE by default.")
@click.option("--input-rate", type=float, metavar="HZ", help="Rate of all background: states the rate above the cut.")
@click.option("--per", metavar="COLUMN", help="Same efficiency in bins of this column.")
@click.option("--bins", metavar="N|EDGES", help="Number of bins, or their edges as in 80,100,150.")
@click.option("--method", help="bins or quantile_regression.")
@click.option("--knots", type=int, help="Of the quantile regression.")
@click.option("--unweighted", "weighted", flag_value=False, default=None, type=bool, help="Count events, not weights.")
@click.option("--tracking", metavar="URI", help="MLflow tracking URI, where DETECTOR is a run.")
@click.option("--plugins", "folder", type=click.Path(), help="Folder with plugin files, where it moved.")
@common
def threshold(
    detector: str,
    more: tuple[str, ...],
    rule: str,
    on: tuple[str, ...],
    tracking: str | None,
    folder: str | None,
    quiet: bool,
    **options: Any,
) -> Any:
    """Set a threshold of DETECTOR (a folder, or a run's id or name) on the background of FILES, and keep it there.

    `hepanom score` flags by it under its name; thresholds that are there stay as they are.

    \b
        hepanom threshold DETECTOR --rule background_efficiency=1e-3 --on data/2025/*.root --name winter
    """
    from hepanom import recut, show_thresholds
    from hepanom.terminal import text_of

    asked = recut.rule_of(rule, **options)
    overrides = [f"plugins={json.dumps(str(Path(folder).resolve()))}"] if folder else []
    found = recut.recut(recut.folder_of(detector, tracking), asked, (*on, *more), overrides)
    return found, lambda plain: text_of(*show_thresholds.recut_tables(plain))
