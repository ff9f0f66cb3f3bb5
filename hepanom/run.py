"""The whole story: load, split, prepare, train, score, threshold, evaluate, record."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hepanom import (
    address,
    facts,
    output,
    plugins,
    provenance,
    registry_model,
    report,
    shares,
    storage,
    team,
    train,
    unsent,
    workspace,
)
from hepanom.assess import assess, refuse_test
from hepanom.contracts import Epoch
from hepanom.document import Document
from hepanom.facts import Late
from hepanom.files import written
from hepanom.fit import fit, prepare_all, train_models
from hepanom.monitor import with_reference
from hepanom.plugins import Parts
from hepanom.preparation import Measure
from hepanom.recipe import Recipe
from hepanom.recorded import logged, recorded
from hepanom.result import Result
from hepanom.series import metered


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
    ``figures``, ``scores.parquet``, ``metrics.json`` and ``recipe.yaml``. Where the store was away at the end, all of
    it waits in the folder ``unsent`` for `hepanom upload`.
    """

    run_id: str
    artifacts: str
    result: Result
    unsent: Path | None = None


def run(
    document: Document,
    *,
    tracking: str | None = None,
    state: Path = Path("mlruns"),
    resume: bool = False,
    watcher: Watcher | None = None,
    measure: Measure | None = None,
    tags: Mapping[str, str] | None = None,
) -> Outcome | None:
    """Run a recipe from events to a recorded result.

    ``tracking`` is an MLflow tracking URI, ``state``/mlflow.db by default. With ``resume`` an interrupted run of the
    same recipe goes on and ends with the weights of the uninterrupted one, bit for bit. Started by torchrun, all
    processes train together; process 0 does all else, and the others return None. ``measure`` measures for the
    transforms elsewhere, such as on a cluster. ``tags`` are set on the run beside its own. Raises RecipeError before
    any event is read, InputError for data that cannot be used, HepanomError for a run that failed.
    """
    watcher = watcher or Watcher()
    parts = plugins.build(document)
    with team.joined(parts.recipe.train.device):
        if team.rank():
            _follow(parts)
            return None
        return _lead(parts, tracking, state, watcher, measure, tags or {}, resume=resume)


def _follow(parts: Parts) -> None:
    """Train with process 0, which records."""
    checkpoints = team.gather(None)[0]
    events = shares.read(parts, shares.memory_bytes(parts.recipe))
    train_models(events, lambda category, replica, record: None, checkpoints, prepare_all(events))


def _lead(
    parts: Parts,
    tracking: str | None,
    state: Path,
    watcher: Watcher,
    measure: Measure | None,
    tags: Mapping[str, str],
    *,
    resume: bool,
) -> Outcome:
    document = parts.document
    for doubt in parts.doubts:
        logging.getLogger(__name__).warning("%s", doubt)
    watcher.begin(parts.recipe)
    options = parts.recipe.train
    device = str(train.resolve_device(options.device))
    origin = provenance.describe(parts.reader, parts.versions, device, options.threads)
    late: list[Late] = []
    with (
        workspace.claim(state, document, resume=resume) as work,
        recorded(parts, origin, work, tracking or str(state), tags) as record,
        TemporaryDirectory(dir=work.folder) as staged,
    ):
        folder = Path(staged) / "files"
        with metered(record) as meters:
            team.gather(work.checkpoints)
            watcher.stage("reading events")
            events = shares.read(parts, shares.memory_bytes(parts.recipe), watcher.events)
            refuse_test(events)
            origin["events"] = "read anew each time they are needed" if events.kept is None else "kept in memory"
            watcher.stage("training")
            with logged(record, parts, watcher.epoch, late) as log:
                detector, histories = fit(events, origin, log, work.checkpoints, measure)
            detector = with_reference(detector, events.whole())
            watcher.stage("scoring and evaluating the test share")
            with output.table_file(folder / "scores.parquet") as write:
                result = assess(
                    detector, histories, events.whole(), lambda *scored: write(None, output.to_table(detector, *scored))
                )
            watcher.stage("writing report and detector")
            storage.save(detector, folder / "detector")
            report.write(result, folder)
            with written(folder / "metrics.json") as temporary:
                temporary.write_text(json.dumps(facts.metrics(result), indent=1) + "\n", encoding="utf-8")
            model = registry_model.made(detector, folder / "detector", events.whole(), Path(staged) / "model")
        late.append(meters.late())
        watcher.stage("recording the run in MLflow")
        kept = unsent.deliver(record, facts.ending(result), folder, model, late, state)
    artifacts = address.local_folder(record.artifact_uri) or record.artifact_uri
    return Outcome(record.run_id, str(artifacts if kept is None else kept / unsent.FILES), result, kept)
