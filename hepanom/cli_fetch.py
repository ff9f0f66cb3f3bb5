"""The command that fetches public data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hepanom.command import common
from hepanom.completion import data_set as complete_data_set


@click.command(short_help="Fetch a public data set, or list them.")
@click.argument("name", required=False, shell_complete=complete_data_set())
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Folder of all data sets; $HEPANOM_DATA by default, a folder in your cache where that is not set.",
)
@click.option("--verify", is_flag=True, help="Compute the checksum of what is there already.")
@click.option(
    "--stall",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Nothing for so long is a broken connection.",
)
@click.option("--attempts", type=click.IntRange(min=1), default=6, show_default=True, help="In a row, before it fails.")
@common
def fetch(name: str | None, to: Path | None, verify: bool, stall: float, attempts: int, quiet: bool) -> Any:
    """Fetch the public data set NAME into FOLDER/NAME, or list the data sets.

    What is there is not fetched again, and a download that broke goes on where it broke. Size and checksum are those
    that the data's publisher states. Proxies are those of the environment (https_proxy).

    \b
    NAME is one of
        a name, such as higgsml; `hepanom fetch` lists them
        zenodo:NUMBER or zenodo:NUMBER/FILE      any record of Zenodo, or one file of it
        cern:NUMBER or cern:NUMBER/FILE          the same of the CERN Open Data portal
    """
    from hepanom import show_fetch
    from hepanom.catalogue import data_set
    from hepanom.download import Patience
    from hepanom.fetch import fetch as bring
    from hepanom.progress_bytes import watching

    if name is None:
        return show_fetch.listed(to), show_fetch.listed_text
    wanted = data_set(name)
    with watching(quiet) as watcher:
        found = bring(wanted, to, verify=verify, patience=Patience(attempts=attempts, stall=stall), watcher=watcher)
    return show_fetch.fetched(found), show_fetch.fetched_text
