"""The record of a run in MLflow: the only file that imports mlflow, and only inside functions.

Nothing here uses MLflow's global active run, so that runs of one process do not get in each other's way. Values that
are not finite are left out: its database makes 1.8e308 of an infinity. Names and values become what it takes.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hepanom import address, facts
from hepanom.address import told
from hepanom.contracts import Epoch
from hepanom.errors import HepanomError, InputError, did_you_mean
from hepanom.result import Result

if TYPE_CHECKING:
    import mlflow
    import mlflow.entities

EXPERIMENT = "hepanom"
PARENT = "mlflow.parentRunId"
MOST_METRICS = 1000  # of one call, as the next
MOST_PARAMS = 100
PATIENCE = 600.0  # seconds until a store that did not answer is asked again

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
    """One MLflow run of a store."""

    store: Store
    run_id: str
    experiment_id: str
    artifact_uri: str


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


def start(
    store: Store, name: str, *, recipe: str, params: Mapping[str, str], tags: Mapping[str, str], group: str = EXPERIMENT
) -> Record:
    """Begin a run that is called ``name`` in the experiment ``group``, with the recipe's text as its first artifact."""
    from mlflow.entities import Param

    with told(store.uri):
        marked = {"mlflow.source.name": "hepanom", **facts.tags(tags)}
        run = store.client.create_run(_experiment(store, group), tags=marked, run_name=name)
        record = _record(store, run)
        listed = [Param(facts.name(key), value[: facts.LONGEST_PARAM]) for key, value in params.items()]
        for first in range(0, len(listed), MOST_PARAMS):
            store.client.log_batch(record.run_id, params=listed[first : first + MOST_PARAMS])
        store.client.log_text(record.run_id, recipe, "recipe.yaml")
    return record


def resume(store: Store, run_id: str) -> Record:
    """Return a run that was interrupted, marked as running again. Raises HepanomError where there is none."""
    with told(store.uri):
        run = store.client.get_run(run_id)
        store.client.update_run(run_id, status="RUNNING")
        if facts.REASON in run.data.tags:
            store.client.delete_tag(run_id, facts.REASON)
    return _record(store, run)


def child(record: Record, name: str, tags: Mapping[str, str]) -> Record:
    """Begin a run below another, for a category or a replica; after a resume, go on with the one of that name."""
    store = record.store
    with told(store.uri):
        for known in _children(record):
            if known.info.run_name == name:
                return resume(store, known.info.run_id)
        below = {"mlflow.source.name": "hepanom", PARENT: record.run_id, **facts.tags(tags)}
        return _record(store, store.client.create_run(record.experiment_id, tags=below, run_name=name))


@dataclass
class Series:
    """The losses of a training, epoch by epoch, sent every few seconds and at the end of the ``with`` block.

    One call costs milliseconds and more, an epoch of a small network less. A store that does not answer for a while
    delays nothing but a warning: what could not be sent goes with the next batch, and only the last one raises
    HepanomError. Epochs that the store has already are not sent again: after a resume, add the whole history.
    """

    record: Record
    every: float = 5.0
    pending: list[mlflow.entities.Metric] = field(default_factory=list)
    sent: float = field(default_factory=time.monotonic)

    def __enter__(self) -> Series:
        with told(self.record.store.uri):
            known = self.record.store.client.get_metric_history(self.record.run_id, "validation")
        self.known = {metric.step for metric in known}
        return self

    def add(self, epoch: Epoch) -> None:
        """Take down the mean losses of an epoch, its diagnostics, its validation loss and its speed."""
        if epoch.epoch in self.known:
            return
        self.pending += _metrics(facts.losses(epoch), epoch.epoch)
        if time.monotonic() - self.sent > self.every:
            try:
                self.flush()
            except HepanomError as error:
                log.warning("%s; the training goes on", error)
                self.every = PATIENCE  # each try of a server that is gone takes minutes
            self.sent = time.monotonic()

    def flush(self) -> None:
        """Send what is pending."""
        with told(self.record.store.uri):
            while self.pending:
                self.record.store.client.log_batch(self.record.run_id, metrics=self.pending[:MOST_METRICS])
                del self.pending[:MOST_METRICS]

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with suppress(HepanomError) if kind else nullcontext():  # what went wrong before matters more
            self.flush()


def finish(record: Record, result: Result, folder: Path) -> None:
    """Record what the run found out, with the files of ``folder`` that are not hidden, and mark it as finished.

    Its metrics are those of ``facts.numbers`` and ``facts.thresholds``, its tags those of ``facts.endings``.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    client = record.store.client
    data = facts.dataset(result)
    listed = Dataset(data.name, data.digest, "local", json.dumps({"paths": data.paths}))
    values = _metrics(dict(facts.numbers(result)) | dict(facts.thresholds(result)), 0)
    with told(record.store.uri):
        for first in range(0, len(values), MOST_METRICS):
            client.log_batch(record.run_id, metrics=values[first : first + MOST_METRICS])
        for key, text in facts.endings(result).items():
            client.set_tag(record.run_id, key, text)
        client.log_inputs(record.run_id, [DatasetInput(listed, [InputTag("mlflow.data.context", "training")])])
        if address.local_folder(record.artifact_uri) != folder.resolve():
            for path in sorted(folder.glob("[!.]*")):
                client.log_artifact(record.run_id, str(path))
        _end(record, "FINISHED")


def fail(record: Record, reason: str, status: Literal["FAILED", "KILLED"] = "FAILED") -> None:
    """Mark a run, and those below it that still run, as failed or interrupted, with its reason.

    A store that does not answer is a warning: the reason for which this was called matters more.
    """
    try:
        with told(record.store.uri):
            record.store.client.set_tag(record.run_id, facts.REASON, reason[: facts.LONGEST_TAG])
            _end(record, status)
    except HepanomError as error:
        log.warning("the run could not be marked as %s: %s", status, error)


def abandon(store: Store, run_id: str) -> None:
    """Mark a run that nobody will go on with as interrupted; one that has ended or was deleted stays as it is."""
    with suppress(HepanomError), told(store.uri):
        run = store.client.get_run(run_id)
        if run.info.status == "RUNNING":
            fail(_record(store, run), "interrupted and not resumed", "KILLED")


def fetch(store: Store, run: str, *, finished: bool = False) -> dict[str, Any]:
    """Return what is known of the run with this id, or of the newest (finished) one with this name, as plain values.

    Raises InputError where there is none, naming similar ones.
    """
    with told(store.uri):
        everywhere = [found.experiment_id for found in store.client.search_experiments()]
        newest = ["attributes.start_time DESC"]
        quote = '"' if "'" in run else "'"
        only = " and attributes.status = 'FINISHED'" if finished else ""
        for key in ("run_id", "run_name"):
            chosen = f"attributes.{key} = {quote}{run}{quote}{only}"
            if found := store.client.search_runs(everywhere, chosen, max_results=1, order_by=newest):
                break
        else:
            known = store.client.search_runs(everywhere, max_results=100, order_by=newest)
            names = {entry.info.run_name for entry in known if PARENT not in entry.data.tags}
            raise InputError(f"{address.shown(store.uri)}: there is no run {run!r}; {did_you_mean(run, names)}")
        below = _children(_record(store, found[0]))
    return facts.told_of(found[0], below)


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
    if Path(what).is_dir():
        return Path(what)
    found = fetch(store := open_store(address.existing(uri)), what, finished=True)
    log.info("detector of %s", facts.called(found, what))
    return local_artifacts(store, found["run_id"], "detector")


def _client(uri: str) -> mlflow.MlflowClient:
    """Import MLflow quietly and ask the store for an answer, which makes a new database."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
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
            return str(store.client.create_experiment(name, store.artifacts))
        found = store.client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage == "deleted":
        place = address.shown(store.uri)
        raise HepanomError(f"{place}: experiment {name!r} cannot be made or was deleted; restore it or take another")
    return str(found.experiment_id)


def _record(store: Store, run: mlflow.entities.Run) -> Record:
    return Record(store, run.info.run_id, run.info.experiment_id, run.info.artifact_uri)


def _children(record: Record) -> list[mlflow.entities.Run]:
    chosen = f"tags.`{PARENT}` = '{record.run_id}'"
    return list(record.store.client.search_runs([record.experiment_id], chosen, order_by=["attributes.start_time"]))


def _end(record: Record, status: str) -> None:
    """Give the run, and those below it that still run, their final status."""
    for below in _children(record):
        if below.info.status == "RUNNING":
            record.store.client.set_terminated(below.info.run_id, status)
    record.store.client.set_terminated(record.run_id, status)


def _metrics(values: Mapping[str, float], step: int) -> list[mlflow.entities.Metric]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [Metric(facts.name(key), value, now, step) for key, value in values.items() if math.isfinite(value)]
