"""The whole story: load, split, prepare, train, score, threshold, evaluate, record."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hepanom import output, plugins, provenance, report, storage, track, train, workspace
from hepanom.assess import assess
from hepanom.contracts import Epoch
from hepanom.document import Document
from hepanom.errors import HepanomError, InputError
from hepanom.fit import fit
from hepanom.result import Result
from hepanom.stream import read_shares


class Watcher(Protocol):
    """Someone who looks on: every method is called as the run goes on."""

    def stage(self, text: str) -> None:
        """Say what begins now."""

    def events(self, read: int) -> None:
        """Say how many events were read so far."""

    def epoch(self, category: str, replica: int, record: Epoch) -> None:
        """Say what an epoch gave."""


class Silent(Watcher):
    """Nobody looks on."""


@dataclass(frozen=True)
class Outcome:
    """What a run leaves behind: its id in MLflow, the detector's and the report's places, and the result."""

    run_id: str
    detector: Path
    report: Path
    result: Result


def run(
    document: Document,
    *,
    tracking: str | None = None,
    state: Path = Path("mlruns"),
    resume: bool = False,
    watcher: Watcher = Silent(),  # noqa: B008: it has no state
) -> Outcome:
    """Run a recipe from events to a recorded result.

    ``tracking`` is an MLflow tracking URI (``state``/mlflow.db by default); with ``resume`` an interrupted run of the same
    recipe goes on and ends with the weights of the uninterrupted one, bit for bit. Raises RecipeError before any event
    is read, InputError for data that cannot be used, HepanomError for a run that failed and is recorded as such.
    """
    watcher.stage("checking the recipe")
    parts = plugins.build(document)
    files = [part.file for part in parts.reader.parts()]
    options = parts.recipe.train
    device = train.resolve_device(options.device)
    origin = provenance.describe(files, parts.versions, str(device), options.threads)
    with workspace.claim(state, document, resume=resume) as work, track.recorded(
        track.open_store(tracking, state), parts, origin, work
    ) as record:
        watcher.stage("reading events")
        shares, unused = read_shares(parts.reader, parts.recipe.split, watcher.events)
        watcher.stage("training")
        with track.series(record, several=...) as log:
            detector, histories = fit(parts, shares, origin, log, work.checkpoints)
        watcher.stage("scoring and evaluating")
        result, test, decided = assess(detector, histories, shares, unused)
        watcher.stage("writing the report")
        folder = work.folder / "artifacts"
        storage.save(detector, folder / "detector")
        output.write_table(output.to_table(detector, test, decided), folder / "scores.parquet")
        report.write(result, folder)
        watcher.stage("recording in MLflow")
        track.finish(record, result, folder)
    return Outcome(record.run_id, place / "detector", place / "report.html", result)
