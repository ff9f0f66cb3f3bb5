"""The record of a run in MLflow, which is imported inside functions alone.

Nothing here uses MLflow's global active run, so that runs of one process do not get in each other's way. Names and
values become what it takes. What is sent twice, because the answer to the first time was lost, is there once.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hepanom import address, facts
from hepanom.address import told
from hepanom.errors import HepanomError
from hepanom.facts import Ending, Late, Point

if TYPE_CHECKING:
    import mlflow
    import mlflow.entities

EXPERIMENT = "hepanom"
PARENT = "mlflow.parentRunId"
MOST_METRICS = 1000  # of one call, as the next
MOST_PARAMS = 100
MOST_RUNS = 50_000
KIND = {"mlflow.experimentKind": "custom_model_development"}  # its page has another view for chat programs
SHOWN = ("model", "data", "scorer", "device")  # tags of a run that its logged model and the runs below have, too
ABSENT = (404, 405, 501)  # HTTP for "there is no such thing here"
WORDS = {"FAILED": "failed", "KILLED": "interrupted", "FINISHED": "finished"}

log = logging.getLogger(__name__)
default_uri = address.default_uri


@dataclass(frozen=True)
class Store:
    """A tracking store that answers: its address, MLflow's client, and where new experiments keep their artifacts.

    ``artifacts`` is None where a server decides.
    """

    uri: str
    client: mlflow.MlflowClient
    artifacts: str | None


@dataclass(frozen=True)
class Record:
    """One MLflow run of a store, with its first tags; ``began`` is in milliseconds since 1970."""

    store: Store
    run_id: str
    experiment_id: str
    artifact_uri: str
    began: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)


def open_store(uri: str | None = None) -> Store:
    """Return the store at an address, made and migrated where it is new; None means ``mlruns`` in the current folder.

    An address is a tracking server's (``http://host:5000``), a database's (``sqlite:///path/mlflow.db``) or the path of
    a state folder. Processes that start at once on a new SQLite store wait for each other. Raises HepanomError naming
    the address where there is no store or it does not answer.
    """
    place = address.resolved(uri)
    state = address.state_folder(place)
    with told(place):
        if state:
            with address.locked(state):  # MLflow's first migration fails when two processes do it at once
                return Store(place, _client(place), (state / "artifacts").as_uri())
        address.knock(place)
        own = None if address.is_server(place) else Path("mlruns/artifacts").resolve().as_uri()
        return Store(place, _client(place), own)


def start(store: Store, name: str, *, recipe: str, params: Mapping[str, str], tags: Mapping[str, str]) -> Record:
    """Begin a run that is called ``name``, with the recipe's text as its first artifact.

    Its experiment is that of the variable MLFLOW_EXPERIMENT_NAME, else ``hepanom``.
    """
    group = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    with told(store.uri):
        marked = {"mlflow.source.name": "hepanom", facts.STATUS: "running", **facts.tags(tags)}
        run = store.client.create_run(_experiment(store, group), tags=marked, run_name=name)
        record = _record(store, run)
        log_params(store, record.run_id, params)
        store.client.log_text(record.run_id, recipe, "recipe.yaml")
    return record


def known(store: Store, run_id: str) -> Record:
    """Return a run that is there. Raises HepanomError where there is none."""
    with told(store.uri):
        return _record(store, store.client.get_run(run_id))


def resume(store: Store, run_id: str) -> Record:
    """Return a run that was interrupted, marked as running again. Raises HepanomError where there is none."""
    with told(store.uri):
        run = store.client.get_run(run_id)
        store.client.update_run(run_id, status="RUNNING")
        store.client.set_tag(run_id, facts.STATUS, "running")
        if facts.REASON in run.data.tags:
            store.client.delete_tag(run_id, facts.REASON)
    return _record(store, run)


def child(record: Record, name: str, tags: Mapping[str, str]) -> Record:
    """Begin a run below another, for a category or a replica; after a resume, go on with the one of that name."""
    store = record.store
    with told(store.uri):
        for known in children(record):
            if known.info.run_name == name:
                return resume(store, known.info.run_id)
        below = {"mlflow.source.name": "hepanom", PARENT: record.run_id, facts.STATUS: "running", **facts.tags(tags)}
        return _record(store, store.client.create_run(record.experiment_id, tags=below, run_name=name))


def known_steps(record: Record, name: str) -> frozenset[int]:
    """Return the steps of a metric that the store has already."""
    with told(record.store.uri):
        return frozenset(point.step for point in record.store.client.get_metric_history(record.run_id, name))


def send(record: Record, points: list[Point], model: str = "", data: facts.Dataset | None = None) -> None:
    """Send the points, and take away from the list what was sent; a server that is gone is found out at once.

    They are said to be those of a logged model, measured on a data set, where these are named.
    """
    from mlflow.entities import Metric

    about = {"model_id": model or None, "run_id": record.run_id if model else None}
    about |= {"dataset_name": data.name, "dataset_digest": data.digest} if data else {}
    with told(record.store.uri):
        address.knock(record.store.uri)
        while points:
            some = [Metric(each.name, each.value, each.time, each.step, **about) for each in points[:MOST_METRICS]]
            record.store.client.log_batch(record.run_id, metrics=some)
            del points[:MOST_METRICS]


def finish(record: Record, ending: Ending, files: Path, model: Path | None = None, late: Sequence[Late] = ()) -> None:
    """Record what the run found out, with the files of a folder that are not hidden, and mark it as finished.

    ``model`` is a folder in MLflow's own format, ``late`` what could not be sent before. Doing it again after a failure
    half way completes it.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    client, data = record.store.client, ending.dataset
    listed = Dataset(data.name, data.digest, "local", data.source, data.schema, data.profile)
    for some in late:
        send(child(record, some.name, some.tags) if some.name else record, list(some.points))
    with told(record.store.uri):
        client.log_inputs(record.run_id, [DatasetInput(listed, [InputTag("mlflow.data.context", "training")])])
        if address.local_folder(record.artifact_uri) != files.resolve():
            for path in sorted(files.glob("[!.]*")):
                client.log_artifact(record.run_id, str(path))
        logged = _log_model(record, model) if model else ""
        send(record, list(ending.points), logged, data)
        for key, text in ending.tags.items():
            client.set_tag(record.run_id, key, text)
        end(record, "FINISHED", ending.time)


def _log_model(record: Record, folder: Path) -> str:
    """Upload a model folder as the run's logged model, once; return its id, nothing where a server is too old."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.exceptions import MlflowException

    client = record.store.client
    try:
        found = client.search_logged_models([record.experiment_id], f"source_run_id = '{record.run_id}'", max_results=1)
    except MlflowException as error:
        if error.get_http_status_code() not in ABSENT:  # type: ignore[no-untyped-call]
            raise
        log.warning(
            "%s: knows no logged models, MLflow 3 does; the detector is an artifact alone",
            address.shown(record.store.uri),
        )
        return ""
    if found:
        model = found[0]
    else:
        name = re.sub(r"[/:.%\"']", "_", record.tags["mlflow.runName"])
        tags = {str(key): record.tags[key] for key in SHOWN if key in record.tags}
        model = client.create_logged_model(record.experiment_id, name, record.run_id, tags, model_type="detector")
    if model.status != "READY":
        outputs = client.get_run(record.run_id).outputs
        if not outputs or model.model_id not in [output.model_id for output in outputs.model_outputs]:
            client.log_outputs(record.run_id, [LoggedModelOutput(model.model_id, 0)])  # it refuses one that is there
        client.log_model_artifacts(model.model_id, str(folder))
        client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def fail(record: Record, reason: str, status: Literal["FAILED", "KILLED"] = "FAILED") -> None:
    """Mark a run, and those below it that still run, as failed or interrupted, with its reason.

    A store that does not answer is a warning: the reason for which this was called matters more.
    """
    try:
        with told(record.store.uri):
            address.knock(record.store.uri)
            record.store.client.set_tag(record.run_id, facts.REASON, reason[: facts.LONGEST_TAG])
            end(record, status)
    except HepanomError as error:
        log.warning("the run could not be marked as %s: %s", status, error)


def abandon(store: Store, run_id: str) -> None:
    """Mark a run that nobody will go on with as interrupted; one that has ended or was deleted stays as it is."""
    with suppress(HepanomError), told(store.uri):
        run = store.client.get_run(run_id)
        if run.info.status == "RUNNING":
            fail(_record(store, run), "interrupted and not resumed", "KILLED")


def log_params(store: Store, run_id: str, params: Mapping[str, str]) -> None:
    """Record parameters."""
    from mlflow.entities import Param

    listed = [Param(facts.name(key), value[: facts.LONGEST_PARAM]) for key, value in params.items()]
    for first in range(0, len(listed), MOST_PARAMS):
        store.client.log_batch(run_id, params=listed[first : first + MOST_PARAMS])


def _client(uri: str) -> mlflow.MlflowClient:
    """Import MLflow quietly and ask the store for an answer, which makes a new database."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # seven take minutes, and we try again ourselves
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    from mlflow import MlflowClient

    if "MLFLOW_LOGGING_LEVEL" not in os.environ:
        logging.getLogger("mlflow").setLevel(logging.WARNING)
    client = MlflowClient(tracking_uri=uri)
    client.search_experiments(max_results=1)
    return client


def _experiment(store: Store, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = store.client.get_experiment_by_name(name)
    if found is None:
        with suppress(MlflowException):  # another process may be faster
            return str(store.client.create_experiment(name, store.artifacts, KIND))
        found = store.client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage == "deleted":
        place = address.shown(store.uri)
        raise HepanomError(f"{place}: experiment {name!r} cannot be made or was deleted; restore it or take another")
    return str(found.experiment_id)


def _record(store: Store, run: mlflow.entities.Run) -> Record:
    info = run.info
    return Record(store, info.run_id, info.experiment_id, info.artifact_uri, info.start_time, dict(run.data.tags))


def children(record: Record, which: str = "") -> list[mlflow.entities.Run]:
    """Return the runs below another, the oldest first; ``which`` is the end of a filter: `` and tags.x = '1'``."""
    chosen = f"tags.`{PARENT}` = '{record.run_id}'{which}"
    order = ["attributes.start_time"]
    return list(record.store.client.search_runs([record.experiment_id], chosen, max_results=MOST_RUNS, order_by=order))


def end(record: Record, status: str, time: int | None = None) -> None:
    """Give the run, and those below it that still run, their final status."""
    client = record.store.client
    for run_id in [below.info.run_id for below in children(record) if below.info.status == "RUNNING"]:
        client.set_tag(run_id, facts.STATUS, WORDS[status])
        client.set_terminated(run_id, status, time)
    client.set_tag(record.run_id, facts.STATUS, WORDS[status])
    client.set_terminated(record.run_id, status, time)
