"""The command line: parse, call, print."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hepanom.cli_compare import compare, runs
from hepanom.cli_fetch import fetch
from hepanom.cli_monitor import monitor
from hepanom.cli_new import new
from hepanom.cli_threshold import threshold
from hepanom.command import Command, common
from hepanom.completion import override, plugin, run_or_file

if TYPE_CHECKING:
    from hepanom.document import Document


def main() -> None:
    """Run the command line."""
    hepanom()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="hepanom")
def hepanom() -> None:
    """Find the events that do not look like the rest: one recipe, from events to a defended threshold."""


def recipe_options(function: Command) -> Command:
    """Add what every command with a recipe takes."""
    function = click.option("--plugins", "folder", type=click.Path(), help="Folder with plugin files to load.")(
        function
    )
    function = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="PATH=VALUE",
        help="Change a value of the recipe: train.epochs=5.",
        shell_complete=override,
    )(function)
    return click.argument("recipe", type=click.Path())(function)


def _document(recipe: str, overrides: tuple[str, ...], folder: str | None) -> Document:
    from hepanom import document

    return document.read(recipe, [*overrides, *_plugins(folder)])


def _plugins(folder: str | None) -> list[str]:
    """Return --plugins as a change of the recipe."""
    return [f"plugins={json.dumps(str(Path(folder).resolve()))}"] if folder else []


@hepanom.command(short_help="Run a recipe: train, score, evaluate, record.")
@recipe_options
@click.option("--tracking", metavar="URI", help="MLflow tracking URI; mlruns/mlflow.db by default.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=Path("mlruns"),
    show_default=True,
    help="Folder for runs and checkpoints.",
)
@click.option("--resume", is_flag=True, help="Go on with the interrupted run of this recipe.")
@click.option("--dask", metavar="ADDRESS", help="Measure for the transforms on the dask cluster at this address.")
@common
def run(
    recipe: str,
    overrides: tuple[str, ...],
    folder: str | None,
    tracking: str | None,
    state: Path,
    resume: bool,
    dask: str | None,
    quiet: bool,
) -> Any:
    """Train, score, set thresholds, evaluate and record what RECIPE describes."""
    from hepanom import show
    from hepanom.progress import progress
    from hepanom.run import run as run_recipe

    document = _document(recipe, overrides, folder)
    with ExitStack() as stack:
        measure = None
        if dask is not None:
            from hepanom import cluster

            measure = stack.enter_context(cluster.measurer(dask))
        watcher = stack.enter_context(progress(quiet or os.environ.get("RANK", "0") != "0"))
        outcome = run_recipe(document, tracking=tracking, state=state, resume=resume, watcher=watcher, measure=measure)
    return (show.outcome(outcome), show.outcome_text) if outcome else (None, None)


@hepanom.command(short_help="Search the space of a recipe.")
@recipe_options
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes on this machine.")
@click.option("--tracking", metavar="URI", help="MLflow tracking URI; mlruns/mlflow.db by default.")
@click.option("--state", type=click.Path(path_type=Path), default=Path("mlruns"), help="Folder of all records.")
@click.option("--helps", is_flag=True, help="Run trials alone; another process trains the best again and reports.")
@common
def search(
    recipe: str,
    overrides: tuple[str, ...],
    folder: str | None,
    jobs: int,
    tracking: str | None,
    state: Path,
    helps: bool,
    quiet: bool,
) -> Any:
    """Try recipes from the space of RECIPE, train the best again with all replicas, test and report them.

    The same command goes on with a search that was stopped, and works with others that run at the same time, on this
    machine or on others that reach the same storage.
    """
    from hepanom import fleet
    from hepanom import show_search as show
    from hepanom.progress import progress
    from hepanom.search import search as search_recipe

    document = _document(recipe, overrides, folder)
    same = [recipe, *(f"--set={each}" for each in [*overrides, *_plugins(folder)]), f"--state={state}"]
    same += [f"--tracking={tracking}"] if tracking else []
    with fleet.workers(jobs, ["search", *same, "--helps", "--quiet"]), progress(quiet) as watcher:
        found = search_recipe(document, tracking=tracking, state=state, watcher=watcher, helps=helps)
    return (show.searched(found), show.searched_text) if found else (None, None)


@hepanom.command(short_help="Check a recipe without reading events.")
@recipe_options
@common
def check(recipe: str, overrides: tuple[str, ...], folder: str | None, quiet: bool) -> Any:
    """Check RECIPE against plugins and data headers without reading events; all mistakes come at once."""
    from hepanom import plugins, show

    return show.checked(plugins.build(_document(recipe, overrides, folder))), show.checked_text


@hepanom.command(short_help="Look at the events before there is a recipe.")
@click.argument("files", nargs=-1)
@click.option("--use", metavar="NAME", help="The reader; without it the files decide.", shell_complete=plugin("reader"))
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="data.OPTION=VALUE",
    help="Set an option of the reader.",
    shell_complete=override,
)
@click.option("--events", type=click.IntRange(min=1), metavar="N", help="Stop after N events.")
@click.option("--figure", type=click.Path(path_type=Path), help="Draw histograms by class: NAME.png, .pdf or .svg.")
@click.option("--recipe", type=click.Path(path_type=Path), help="Write a first recipe, where there is no such file.")
@click.option("--plugins", "folder", type=click.Path(), help="Folder with plugin files to load.")
@common
def inspect(files: tuple[str, ...], quiet: bool, **options: Any) -> Any:
    """Show what a reader sees in FILES: events, classes, weights, and each column with its range and histogram."""
    from hepanom.inspect import inspect as look_at
    from hepanom.progress import progress

    with progress(quiet) as watcher:
        return look_at(files, watcher=watcher, **options)


@hepanom.command(short_help="Score files with a trained detector.")
@click.argument("detector", shell_complete=run_or_file())
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="NAME.parquet, NAME.root, or a folder of ROOT files."
)
@click.option("--force", is_flag=True, help="Overwrite what is there.")
@click.option("--where", metavar="FLAG", help="Write only the events that a threshold flags: SCORER/RULE.")
@click.option("--threshold", "only", multiple=True, metavar="NAME", help="Flag by this one alone; all by default.")
@click.option("--dask", metavar="ADDRESS", help="Score on the dask cluster at this address.")
@click.option("--tracking", metavar="URI", help="MLflow tracking URI, where DETECTOR is a run.")
@click.option("--device", help="auto, cpu or cuda; that of the training by default.")
@click.option("--plugins", "folder", type=click.Path(), help="Folder with plugin files, where it moved.")
@common
def score(
    detector: str,
    files: tuple[str, ...],
    out: Path,
    force: bool,
    where: str | None,
    only: tuple[str, ...],
    dask: str | None,
    tracking: str | None,
    device: str | None,
    folder: str | None,
    quiet: bool,
) -> Any:
    """Score FILES with DETECTOR (a folder, or a run's id or name), one row per event in the order of the files.

    A ROOT file gets a tree that is aligned with its input entry by entry, so that it can be a friend of it.
    """
    from hepanom import archive, output, show, storage

    overrides = [*_plugins(folder), *([f"train.device={device}"] if device else [])]
    place = archive.detector_folder(detector, tracking)
    found = storage.load(place, overrides, only)
    if dask is None:
        done = output.score_files(found, files, out, where=where, force=force)
    else:
        from hepanom import cluster

        with cluster.scorer(dask, str(Path(place).resolve()), overrides, files, only) as by:
            done = output.score_files(found, files, out, where=where, force=force, by=by)
    return {"status": "done", "detector": str(place), "out": str(out), **done}, show.scored_text


@hepanom.command(short_help="List the plugins, or explain one.")
@click.argument("name", required=False, shell_complete=plugin())
@click.option("--plugins", "folder", type=click.Path(), help="Folder with plugin files to load.")
@click.option("--check", is_flag=True, help="Tell the health of all packages, or of the package NAME.")
@common
def plugins(name: str | None, folder: str | None, check: bool, quiet: bool) -> Any:
    """List the plugins, or show one by NAME with its options, equations and reference.

    With --check everything that is offered is imported; the exit code is 0 where all is healthy, else 1.
    """
    from hepanom import offered
    from hepanom import show_plugins as show

    if check:
        from hepanom import health, show_health

        found = show_health.plain(health.check(name, folder))
        return found, lambda plain: show_health.text(plain, detailed=name is not None)
    known = offered.registry(folder)
    if name is None:
        return show.plugin_list(known), lambda plain: show.plugin_list_text(plain, known)
    return show.plugin(known, name), show.plugin_text


@hepanom.command(short_help="Print the JSON schema of recipes, for editors.")
@click.option("--plugins", "folder", type=click.Path(), help="Folder with plugin files to load.")
@common
def schema(folder: str | None, quiet: bool) -> Any:
    """Print the JSON schema of a recipe with the options of every plugin; an editor completes and checks with it.

    \b
        hepanom schema > recipe.schema.json
        # yaml-language-server: $schema=recipe.schema.json     <- the first line of a recipe
    """
    from hepanom import kept_schema, offered, reference

    made = reference.json_schema(offered.registry(folder))
    kept_schema.keep(made, folder)
    return made, lambda found: json.dumps(found, indent=1)


hepanom.add_command(compare)
hepanom.add_command(fetch)
hepanom.add_command(monitor)
hepanom.add_command(new)
hepanom.add_command(runs)
hepanom.add_command(threshold)


@hepanom.command(short_help="Show a run or a detector.")
@click.argument("what", metavar="RUN_OR_DETECTOR", shell_complete=run_or_file())
@click.option("--tracking", metavar="URI", help="MLflow tracking URI; mlruns/mlflow.db by default.")
@common
def show(what: str, tracking: str | None, quiet: bool) -> Any:
    """Print the numbers of a run (id or name), or what a detector folder holds."""
    from hepanom import show as pages
    from hepanom import show_runs

    found = pages.anything(what, tracking)
    return found, pages.detector_text if found["kind"] == "detector" else show_runs.run_text


@hepanom.command(short_help="Send runs that were kept while their server was away.")
@click.argument("state", type=click.Path(path_type=Path), default=Path("mlruns"))
@click.option("--tracking", metavar="URI", help="Where the same server is now, if it moved.")
@common
def upload(state: Path, tracking: str | None, quiet: bool) -> Any:
    """Record the runs in MLflow whose server was away when they ended; STATE is their folder, mlruns by default."""
    from dataclasses import asdict

    from hepanom import show, unsent

    sent = [asdict(each) for each in unsent.upload(state, tracking)]
    status = "unsent" if any(each["reason"] for each in sent) else "done"
    return {"status": status, "state": str(state), "runs": sent}, show.uploaded_text
