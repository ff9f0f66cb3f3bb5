"""The command line: parse, call, print."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hepanom.errors import HepanomError, RecipeError

if TYPE_CHECKING:
    from hepanom.document import Document

Command = Callable[..., Any]


def main() -> None:
    """Run the command line."""
    hepanom()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="hepanom")
def hepanom() -> None:
    """Find the events that do not look like the rest: one recipe, from events to a defended threshold."""


def common(function: Command) -> Command:
    """Add --json, -q and -v; turn errors into one message and an exit code, 2 for bad input, 1 for a failed run."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
    @click.option("-q", "--quiet", is_flag=True, help="Show errors alone.")
    @click.option("-v", "--verbose", is_flag=True, help="Show what happens inside.")
    @wraps(function)
    def command(*args: Any, as_json: bool, quiet: bool, verbose: bool, **options: Any) -> None:
        level = logging.DEBUG if verbose else logging.ERROR if quiet or as_json else logging.INFO
        logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
        logging.getLogger("hepanom").setLevel(level)
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            found, text = function(*args, quiet=quiet or as_json, **options)
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, (click.ClickException, click.exceptions.Exit, click.Abort)):
                raise
            if verbose:
                logging.getLogger("hepanom").exception("where it happened")
            _fail(error, as_json)
        else:
            if found is None:  # another process speaks
                return
            if as_json or not quiet:
                _say(json.dumps(found, default=str) if as_json else text(found))

    return command


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    """Print the outcome; where nobody can read it, as on a full disk, say so on stderr."""
    try:
        click.echo(text)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes stdout once more when it ends
        if not isinstance(error, BrokenPipeError):  # `| head` has seen enough
            click.echo(f"{click.style('error:', fg='red')} stdout: cannot be written: {error.strerror}", err=True)
        sys.exit(1)


def _fail(error: BaseException, as_json: bool) -> None:
    status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    message = str(error)
    if status == "interrupted":
        resumes = click.get_current_context().info_name == "run"
        message = "interrupted" + "; the same command with --resume goes on from the last epoch" * resumes
    elif not isinstance(error, HepanomError):
        message = f"{type(error).__name__}: {message}; this should not happen, -v shows where it did"
    if as_json:
        problems = list(error.problems) if isinstance(error, RecipeError) else [message]
        click.echo(json.dumps({"status": status, "error": message, "problems": problems}))
    else:
        for line in message.splitlines():
            click.echo(f"{click.style('error:', fg='red')} {line}", err=True)
    sys.exit(130 if status == "interrupted" else getattr(error, "exit_code", 1))


def recipe_options(function: Command) -> Command:
    """Add what every command with a recipe takes."""
    function = click.option("--plugins", "folder", type=click.Path(), help="Folder with plugin files to load.")(
        function
    )
    function = click.option(
        "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Change a value of the recipe: train.epochs=5."
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


@hepanom.command(short_help="Check a recipe without reading events.")
@recipe_options
@common
def check(recipe: str, overrides: tuple[str, ...], folder: str | None, quiet: bool) -> Any:
    """Check RECIPE against plugins and data headers without reading events; all mistakes come at once."""
    from hepanom import plugins, show

    return show.checked(plugins.build(_document(recipe, overrides, folder))), show.checked_text


@hepanom.command(short_help="Look at the events before there is a recipe.")
@click.argument("files", nargs=-1)
@click.option("--use", metavar="NAME", help="The reader; without it the files decide.")
@click.option("--set", "overrides", multiple=True, metavar="data.OPTION=VALUE", help="Set an option of the reader.")
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
@click.argument("detector")
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="NAME.parquet, NAME.root for one ROOT file, or a folder for a ROOT file each.",
)
@click.option("--force", is_flag=True, help="Overwrite what is there.")
@click.option("--where", metavar="FLAG", help="Write only the events that a threshold flags: SCORER/RULE.")
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
    dask: str | None,
    tracking: str | None,
    device: str | None,
    folder: str | None,
    quiet: bool,
) -> Any:
    """Score FILES with DETECTOR (a folder, or a run's id or name), one row per event in the order of the files.

    A ROOT file gets a tree that is aligned with its input entry by entry, so that it can be a friend of it.
    """
    from hepanom import output, show, storage, track

    overrides = [*_plugins(folder), *([f"train.device={device}"] if device else [])]
    place = track.detector_folder(detector, tracking)
    found = storage.load(place, overrides)
    if dask is None:
        done = output.score_files(found, files, out, where=where, force=force)
    else:
        from hepanom import cluster

        with cluster.scorer(dask, str(Path(place).resolve()), overrides, files) as by:
            done = output.score_files(found, files, out, where=where, force=force, by=by)
    return {"status": "done", "detector": str(place), "out": str(out), **done}, show.scored_text


@hepanom.command(short_help="List the plugins, or explain one.")
@click.argument("name", required=False)
@click.option("--plugins", "folder", type=click.Path(), help="Folder with plugin files to load.")
@common
def plugins(name: str | None, folder: str | None, quiet: bool) -> Any:
    """List the plugins, or show one by NAME with its options, equations and reference."""
    from hepanom import plugins as door
    from hepanom import show_plugins as show

    known = door.registry(folder)
    if name is None:
        return show.plugin_list(known), show.plugin_list_text
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
    from hepanom import plugins as door
    from hepanom import reference

    return reference.json_schema(door.registry(folder)), lambda found: json.dumps(found, indent=1)


@hepanom.command(short_help="Show a run or a detector.")
@click.argument("what", metavar="RUN_OR_DETECTOR")
@click.option("--tracking", metavar="URI", help="MLflow tracking URI; mlruns/mlflow.db by default.")
@common
def show(what: str, tracking: str | None, quiet: bool) -> Any:
    """Print the numbers of a run (id or name), or what a detector folder holds."""
    from hepanom import show as pages

    return pages.anything(what, tracking), pages.anything_text
