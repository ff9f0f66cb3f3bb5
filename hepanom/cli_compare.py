"""The commands that look at several runs: compare and runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hepanom.command import common
from hepanom.completion import plugin, run_or_file

TRACKING = click.option("--tracking", metavar="URI", help="MLflow tracking URI; mlruns/mlflow.db by default.")


@click.command(short_help="Compare runs: numbers, recipes, curves.")
@click.argument("wanted", metavar="RUN...", nargs=-1, required=True, shell_complete=run_or_file())
@click.option("--score", metavar="NAME", help="Compare by this score; by the first of each run by default.")
@click.option("--paired", is_flag=True, help="Fail where a difference has no significance.")
@click.option(
    "--resamples",
    type=click.IntRange(min=20),
    default=500,
    show_default=True,
    help="Of the bootstrap on common events.",
)
@click.option("--csv", "table", type=click.Path(path_type=Path), metavar="FILE", help="Write every number as a row.")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a page with ROC and SIC curves.")
@TRACKING
@common
def compare(wanted: tuple[str, ...], quiet: bool, **options: Any) -> Any:
    """Compare runs with the first of them: numbers, differences on common test events, recipes and thresholds.

    \b
    RUN is one of
        an id, the first six or more characters of one, or a name (the newest finished run of that name)
        experiment:NAME                          all finished runs in it, the oldest first
        'filter:metrics.test/auc > 0.8 and params.model.use = "vae"'     the same by a filter of MLflow
        a folder: a run's artifacts, or the detector in them
    """
    from hepanom.compare_page import compared

    return compared(wanted, **options)


@click.command(short_help="List runs.")
@click.option("--where", default="", metavar="FILTER", help="MLflow's filter: metrics.test/auc > 0.8.")
@click.option("--experiment", metavar="NAME", help="Only runs in it.")
@click.option("--status", type=click.Choice(["finished", "failed", "running", "killed"]), help="Only such runs.")
@click.option("--model", metavar="NAME", help="Only runs of this model.", shell_complete=plugin("model"))
@click.option("--sort", metavar="METRIC", help="Highest first: test/auc. The newest come first by default.")
@click.option("--lowest", is_flag=True, help="With --sort, lowest first.")
@click.option("--limit", type=click.IntRange(min=1), default=30, show_default=True, help="At most so many.")
@click.option("--all", "below", is_flag=True, help="Also the runs of single categories, replicas and trials.")
@TRACKING
@common
def runs(tracking: str | None, quiet: bool, **options: Any) -> Any:
    """List recorded runs with status, model, data and first numbers; --json has everything that is known of them."""
    from hepanom import show_runs

    return show_runs.listed(tracking, **options), show_runs.text
