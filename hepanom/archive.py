"""Runs that were recorded: one by id or name, many by a filter, and the files that they left."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hepanom import address, facts
from hepanom.address import told
from hepanom.errors import HepanomError, InputError, did_you_mean
from hepanom.track import PARENT, Store, open_store

if TYPE_CHECKING:
    import mlflow.entities

Status = Literal["finished", "failed", "running", "killed"]
SHORTEST = 6  # characters of an id that stand for a run
PAGE = 200  # runs of one question
NEWEST = ("attributes.start_time DESC",)
OLDEST = ("attributes.start_time ASC",)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Query:
    """Which runs are wanted, in which order.

    ``where`` is MLflow's filter, such as ``metrics.test/auc > 0.8 and params.model.use = 'vae'``; a name with slashes
    or points needs no quotes. ``sort`` is a metric, the highest first unless ``lowest``; the newest runs come first
    without one. Runs below another, of a category, a replica or a trial, are left out unless ``below``.
    """

    where: str = ""
    experiment: str | None = None
    status: Status | None = None
    model: str | None = None
    sort: str | None = None
    lowest: bool = False
    below: bool = False
    limit: int | None = None


def search(store: Store, query: Query) -> list[dict[str, Any]]:
    """Return the runs as plain values (``facts.told_of``, with ``experiment``, ``parent`` and ``data``).

    Raises InputError for a filter that MLflow does not understand and for an experiment that is not there.
    """
    with told(store.uri):
        experiments = {entry.experiment_id: entry.name for entry in store.client.search_experiments()}
    if query.experiment is not None:
        known = list(experiments.values())
        experiments = {key: name for key, name in experiments.items() if name == query.experiment}
        if not experiments:
            place, hint = address.shown(store.uri), did_you_mean(query.experiment, known)
            raise InputError(f"{place}: there is no experiment {query.experiment!r}; {hint}")
    clauses = [_named(query.where)] if query.where else []
    clauses += [f"attributes.status = '{query.status.upper()}'"] if query.status else []
    clauses += [f"tags.model = {_text(query.model)}"] if query.model else []
    order = [f"metrics.`{query.sort}` {'ASC' if query.lowest else 'DESC'}"] if query.sort else []
    with told(store.uri), _understood(query.where):
        pages = _pages(store, list(experiments), " and ".join(clauses), [*order, *NEWEST])
        runs = (run for run in pages if query.below or PARENT not in run.data.tags)
        return [_plain(run, [], experiments) for run in islice(runs, query.limit)]


def fetch(store: Store, run: str, *, finished: bool = False) -> dict[str, Any]:
    """Return what is known of a run as plain values, with those below it as ``children``.

    It is the run with this id, else the newest with this name, else the only one whose id begins so. With ``finished``
    runs that have not are none. Raises InputError where there is none, naming similar ones, or several.
    """
    only = " and attributes.status = 'FINISHED'" if finished else ""
    with told(store.uri):
        experiments = {entry.experiment_id: entry.name for entry in store.client.search_experiments()}
        found = _found(store, list(experiments), run, only)
        if found is None:
            raise InputError(f"{address.shown(store.uri)}: {_missing(store, list(experiments), run)}")
        chosen = f"tags.`{PARENT}` = '{found.info.run_id}'"
        below = store.client.search_runs([found.info.experiment_id], chosen, order_by=list(OLDEST))
    return _plain(found, list(below), experiments)


def local_artifacts(store: Store, run_id: str, sub: str = "") -> Path:
    """Return the path of a run's artifacts, or of one of them: their own place where it is local, else downloaded.

    Raises HepanomError where they are not there.
    """
    with told(store.uri):
        folder = address.local_folder(store.client.get_run(run_id).info.artifact_uri)
        path = Path(store.client.download_artifacts(run_id, sub)) if folder is None else folder / sub
    if not path.exists():
        raise HepanomError(f"{path}: run {run_id} has no such artifact; was the folder moved or the run interrupted?")
    return path


def detector_folder(what: str, uri: str | None = None) -> Path:
    """Return the folder of a detector: ``what`` is that folder itself, or the id or name of a finished run."""
    if holds_detector(what):
        return Path(what)
    store, found = recorded(what, uri, finished=True)
    log.info("detector of %s", facts.called(found, what))
    return local_artifacts(store, found["run_id"], "detector")


def holds_detector(what: str) -> bool:
    """Say whether this is the folder of a detector."""
    return (Path(what) / "schema.json").is_file()


def recorded(what: str, uri: str | None, *, finished: bool = False) -> tuple[Store, dict[str, Any]]:
    """Return the store and the run that a text names in it, as ``fetch`` finds it, one that finished before others.

    Raises InputError where there is none; it says so of a folder of that name, too.
    """
    try:
        store = open_store(address.existing(uri))
        if not finished:
            with suppress(InputError):
                return store, fetch(store, what, finished=True)
        return store, fetch(store, what, finished=finished)
    except InputError as error:
        if not Path(what).is_dir():
            raise
        raise InputError(
            f"{what}: is a folder, but no detector (it has no schema.json), and no run: {error}"
        ) from error


def _found(store: Store, experiments: list[str], run: str, only: str) -> mlflow.entities.Run | None:
    """Return the run that a text stands for. Raises InputError where it begins the ids of several."""
    for key in ("run_id", "run_name"):
        chosen = f"attributes.{key} = {_text(run)}{only}"
        if found := store.client.search_runs(experiments, chosen, max_results=1, order_by=list(NEWEST)):
            return found[0]
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST},31}}", run):
        return None
    begins = store.client.search_runs(experiments, f"attributes.run_id LIKE '{run}%'{only}", order_by=list(NEWEST))
    if len(begins) > 1:
        several = ", ".join(f"{entry.info.run_id} ({entry.info.run_name})" for entry in begins[:5])
        place = address.shown(store.uri)
        raise InputError(f"{place}: {run!r} begins the ids of {len(begins)} runs: {several}; give more of it")
    return begins[0] if begins else None


def _missing(store: Store, experiments: list[str], run: str) -> str:
    """Say why a text stands for no run: none has that name, or the one that has it did not finish."""
    if (unfinished := _found(store, experiments, run, "")) is not None:
        info, reason = unfinished.info, unfinished.data.tags.get(facts.REASON)
        why = f": {reason}" if reason else ""
        return f"run {info.run_name} ({info.run_id}) is {info.status.lower()}, not finished{why}"
    known = store.client.search_runs(experiments, max_results=PAGE, order_by=list(NEWEST))
    names = {entry.info.run_name for entry in known if PARENT not in entry.data.tags}
    short = f" (the beginning of an id takes {SHORTEST} characters)" if re.fullmatch(r"[0-9a-f]{1,5}", run) else ""
    return f"there is no run {run!r}{short}; {did_you_mean(run, names)}"


def _pages(store: Store, experiments: list[str], where: str, order: list[str]) -> Iterator[mlflow.entities.Run]:
    token: str | None = None
    while token != "":
        page = store.client.search_runs(experiments, where, max_results=PAGE, order_by=order, page_token=token)
        yield from page
        token = page.token or ""


def _plain(run: mlflow.entities.Run, below: list[mlflow.entities.Run], experiments: dict[str, str]) -> dict[str, Any]:
    listed = run.inputs.dataset_inputs if run.inputs else []
    data = [{"name": entry.dataset.name, "digest": entry.dataset.digest} for entry in listed]
    more = {"experiment": experiments[run.info.experiment_id], "parent": run.data.tags.get(PARENT), "data": data}
    return facts.told_of(run, below) | more


def _text(value: str) -> str:
    """Return a text as a filter takes it."""
    quote = '"' if "'" in value else "'"
    return f"{quote}{value}{quote}"


def _named(where: str) -> str:
    """Quote the names of metrics, parameters and tags in a filter; what stands in quotes is left alone."""
    pattern = r"""'[^']*'|"[^"]*"|`[^`]*`|\b(metrics?|params?|parameters?|tags?)\.([\w./-]*\w)"""
    return re.sub(pattern, lambda found: f"{found[1]}.`{found[2]}`" if found[1] else found[0], where)


@contextmanager
def _understood(where: str) -> Iterator[None]:
    """Turn what MLflow says of a filter into an InputError that shows how one is written."""
    try:
        yield
    except Exception as error:
        if getattr(error, "error_code", None) != "INVALID_PARAMETER_VALUE":
            raise
        why = str(error).splitlines()[0].removeprefix("INVALID_PARAMETER_VALUE: ")
        raise InputError(
            f"filter {where!r}: {why}; write it as metrics.test/auc > 0.8, params.model.use = 'vae' (a parameter is "
            "text), tags.device = 'cpu', attributes.run_name LIKE 'night%', joined by `and` alone"
        ) from error
