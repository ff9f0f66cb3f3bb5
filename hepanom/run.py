"""The whole story: load, split, prepare, train, score, threshold, evaluate, record."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hepanom import address, facts, output, plugins, provenance, report, shares, storage, team, track, train, workspace
from hepanom.assess import assess, refuse_test
from hepanom.contracts import Epoch
from hepanom.document import Document
from hepanom.errors import InputError
from hepanom.fit import Watch, fit, train_models
from hepanom.plugins import Parts
from hepanom.preparation import Measure
from hepanom.recipe import Recipe
from hepanom.result import Result


class Watcher:
    """Someone who looks on while a run goes on; this one does nothing."""

    def begin(self, recipe: Recipe) -> None:
        """Hear that the recipe is sound and the run begins."""

    def stage(self, text: str) -> None:
        """Hear what begins now."""

    def events(self, read: int) -> None:
        """Hear how many events were read so far."""

    def epoch(self, category: str, replica: int, record: Epoch) -> None:
        """Hear what an epoch gave."""


@dataclass(frozen=True)
class Outcome:
    """What a run leaves behind: its id in MLflow, where its artifacts are, and the result.

    ``artifacts`` is a folder, or an address where a server keeps them; it holds ``detector``, ``report.html``,
    ``figures``, ``scores.parquet`` and ``recipe.yaml``.
    """

    run_id: str
    artifacts: str
    result: Result


def run(
    document: Document,
    *,
    tracking: str | None = None,
    state: Path = Path("mlruns"),
    resume: bool = False,
    watcher: Watcher | None = None,
    measure: Measure | None = None,
) -> Outcome | None:
    """Run a recipe from events to a recorded result.

    ``tracking`` is an MLflow tracking URI, ``state``/mlflow.db by default. With ``resume`` an interrupted run of the
    same recipe goes on and ends with the weights of the uninterrupted one, bit for bit. Started by torchrun, all
    processes train together; process 0 does all else, and the others return None. ``measure`` measures for the
    transforms elsewhere, such as on a cluster. Raises RecipeError before any event
    is read, InputError for data that cannot be used, HepanomError for a run that failed.
    """
    watcher = watcher or Watcher()
    parts = plugins.build(document)
    with team.joined(parts.recipe.train.device):
        if team.rank():
            _follow(parts)
            return None
        return _lead(parts, tracking, state, watcher, measure, resume=resume)


def _follow(parts: Parts) -> None:
    """Train with process 0, which records."""
    checkpoints = team.gather(None)[0]
    events = shares.read(parts, shares.memory_bytes(parts.recipe))
    train_models(events, lambda category, replica, record: None, checkpoints)


def _lead(
    parts: Parts, tracking: str | None, state: Path, watcher: Watcher, measure: Measure | None, *, resume: bool
) -> Outcome:
    document = parts.document
    for doubt in parts.doubts:
        logging.getLogger(__name__).warning("%s", doubt)
    watcher.begin(parts.recipe)
    options = parts.recipe.train
    device = str(train.resolve_device(options.device))
    files = [part.file for part in parts.reader.parts()]
    origin = provenance.describe(files, parts.versions, device, options.threads)
    with (
        workspace.claim(state, document, resume=resume) as work,
        _recorded(parts, origin, work, tracking or str(state)) as record,
        TemporaryDirectory(dir=work.folder) as staged,
    ):
        team.gather(work.checkpoints)
        watcher.stage("reading events")
        events = shares.read(parts, shares.memory_bytes(parts.recipe), watcher.events)
        refuse_test(events)
        origin["events"] = "read anew each time they are needed" if events.kept is None else "kept in memory"
        watcher.stage("training")
        with _logged(record, watcher, several=options.per is not None or options.replicas > 1) as log:
            detector, histories = fit(events, origin, log, work.checkpoints, measure)
        watcher.stage("scoring and evaluating the test share")
        folder = Path(staged)
        with output.table_file(folder / "scores.parquet") as write:
            result = assess(
                detector, histories, events.whole(), lambda *scored: write(None, output.to_table(detector, *scored))
            )
        watcher.stage("writing report and detector")
        storage.save(detector, folder / "detector")
        report.write(result, folder)
        watcher.stage("recording the run in MLflow")
        track.finish(record, result, folder)
    return Outcome(record.run_id, str(address.local_folder(record.artifact_uri) or record.artifact_uri), result)


@contextmanager
def _recorded(parts: Parts, origin: Mapping[str, Any], work: workspace.Workspace, uri: str) -> Iterator[track.Record]:
    """Begin the MLflow run, or go on with the interrupted one; mark it with the reason where the block fails."""
    store = track.open_store(uri)
    if (known := work.note.get("run_id")) is not None:
        if work.note["data"] != origin["data"]:
            raise InputError("the data changed since the run was interrupted; start a new one without --resume")
        record = track.resume(store, known)
    else:
        tags = {
            "model": parts.recipe.model.use,
            "data": parts.recipe.data.use,
            "scorers": ", ".join(parts.scorers),
            "device": str(origin["device"]),
            "git": str(origin["git"]),
            **{f"version.{name}": version for name, version in {**origin["packages"], **origin["plugins"]}.items()},
        }
        params = facts.flatten(parts.document.plain)
        record = track.start(store, parts.recipe.name, recipe=parts.document.text(), params=params, tags=tags)
        work.remember(run_id=record.run_id, data=origin["data"])
    for other in work.abandoned:
        track.abandon(store, other)
    try:
        yield record
    except KeyboardInterrupt:
        with _undisturbed():
            if team.launched():  # torchrun ends the others when one of them dies
                track.fail(record, "another process of the training died, or all were ended")
            else:
                track.fail(record, "interrupted", "KILLED")
        raise
    except BaseException as error:
        with _undisturbed():
            track.fail(record, str(error) or repr(error))
        raise


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no second signal end the process in the block: torchrun sends one when another process dies."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _logged(record: track.Record, watcher: Watcher, *, several: bool) -> Iterator[Watch]:
    """Give the function that hears of every epoch and tells the watcher and MLflow, in a run per training."""
    with ExitStack() as stack:
        series: dict[tuple[str, int], track.Series] = {}

        def log(category: str, replica: int, epoch: Epoch) -> None:
            if (category, replica) not in series:
                if (category, 0) not in series:
                    stack.close()  # the replicas of a category may train at once
                name = f"{category}-{replica}"
                tags = {"category": category, "replica": str(replica)}
                home = track.child(record, name, tags) if several else record
                series[category, replica] = stack.enter_context(track.Series(home))
            series[category, replica].add(epoch)
            watcher.epoch(category, replica, epoch)

        yield log
