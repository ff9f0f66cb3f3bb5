"""A search: recipes drawn from a space, trained side by side by any number of processes, the best trained again."""

from __future__ import annotations

import fcntl
import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from hepanom import draws, facts, ledger, plugins, provenance, search_page, track, train
from hepanom.address import shown
from hepanom.attempts import Trier
from hepanom.document import Document, changed, value_at
from hepanom.errors import HepanomError, RecipeError
from hepanom.evaluate import Number
from hepanom.files import written
from hepanom.journal import place_of
from hepanom.plugins import Parts
from hepanom.recorded import undisturbed
from hepanom.run import Watcher, run
from hepanom.space import Limit
from hepanom.study import Attempt, Study, open_study
from hepanom.trials import Objective, Search, Trial, best, run_name

LISTED = 10  # best trials that are named where there is one objective
REASONS = 3  # that are told where no trial came to its end

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Searched:
    """What a search leaves behind: its MLflow run, its folder with page, tables and recipes, and what it found.

    ``unsent`` says why MLflow has not all of it; the same command sends the rest, once that store is back.
    """

    run_id: str
    folder: Path
    result: Search
    unsent: str = ""


def search(
    document: Document,
    *,
    tracking: str | None = None,
    state: Path = Path("mlruns"),
    watcher: Watcher | None = None,
    helps: bool = False,
) -> Searched | None:
    """Work on the search of a recipe until its trials are done; train the best again, test them, and report.

    Any number of processes do so at once on one storage, and the same call goes on with a search that was stopped.
    Whoever is there at the end trains the best again; a process that only ``helps`` leaves that to others and returns
    None. The test share is not looked at before. Raises RecipeError before any event is read, HepanomError where no
    trial came to its end.
    """
    watcher = watcher or Watcher()
    parts = plugins.build(document)
    options = parts.recipe.search
    if options is None:
        raise RecipeError([f"{document.source}: has no search; docs/search.md says what it may hold"])
    name = f"{parts.recipe.name}-{_fingerprint(document)}"
    folder = state / "search" / name
    place, seed, epochs = place_of(options.storage, state), parts.recipe.seed, parts.recipe.train.epochs
    objectives = tuple(Objective(goal, direction) for goal, direction in options.objectives.items())
    study = open_study(place, name, options, seed, epochs)
    with _alone(folder, "begin"):
        record = _record(study, parts, tracking or str(state), helps=helps)
    watcher.begin(parts.recipe)
    trier = Trier(parts, options, watcher.epoch, partial(_agrees, study))

    def attempt(found: Attempt) -> Sequence[float]:
        watcher.stage(f"trial {found.number}, of {study.number()}")
        return trier.run(found)

    def ended(number: int) -> None:
        (trial,) = (trial for trial in study.trials() if trial.number == number)
        ledger.try_write(record, trial, objectives)

    try:
        study.work(attempt, ended, linger=not helps)
        if helps:
            return None
        with _alone(folder, "finish"):
            return _finished(study, parts, objectives, record, tracking, state, watcher, folder)
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        reason = "interrupted; the same command goes on" if stopped else str(error) or repr(error)
        if not helps:
            with undisturbed():
                track.fail(record, reason, "KILLED" if stopped else "FAILED")
        raise


def _agrees(study: Study, judged: str) -> bool:
    """Return whether all trials are judged by what this hash stands for; the first says what that is."""
    if study.note("judged") is None:
        study.remember(judged=judged)
    return bool(study.note("judged") == judged)


def _fingerprint(document: Document) -> str:
    """Return a hash of what makes two searches the same: not how many trials there are, or where they are kept."""
    aside = {"trials", "storage", "retrain", "silence"}
    plain = {**document.plain, "search": {k: v for k, v in document.plain["search"].items() if k not in aside}}
    return replace(document, plain=plain).fingerprint()[:8]


@contextmanager
def _alone(folder: Path, what: str) -> Iterator[None]:
    """Let one process at a time into the block, of those that share the state folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{what}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _record(study: Study, parts: Parts, uri: str, *, helps: bool) -> track.Record:
    """Return the run of the search in MLflow: begun by the first process, found by the others.

    Who only ``helps`` may come when all is done, and leaves the run as it is.
    """
    store = track.open_store(uri)
    if (known := study.note("run_id")) is not None:
        return track.known(store, known) if helps else track.resume(store, known)
    tags = {"kind": "search", "model": parts.recipe.model.use, "data": parts.recipe.data.use}
    recipe = _without_password(parts.document)
    params = facts.flatten(recipe.plain)
    record = track.start(store, f"{parts.recipe.name}-search", recipe=recipe.text(), params=params, tags=tags)
    study.remember(run_id=record.run_id)
    return record


def _without_password(document: Document) -> Document:
    """Return the recipe as it may be recorded: an address of a database may hold a password."""
    storage = value_at(document.plain, "search.storage")
    return document if storage is None else changed(document, [f"search.storage={json.dumps(shown(storage))}"])


def _finished(
    study: Study,
    parts: Parts,
    objectives: tuple[Objective, ...],
    record: track.Record,
    tracking: str | None,
    state: Path,
    watcher: Watcher,
    folder: Path,
) -> Searched:
    """Train the best trials again with all replicas, test them, and report."""
    trials, options = study.trials(), parts.recipe.search
    assert options is not None
    runs, unsent = dict[int, str](), ""
    try:
        runs = ledger.settle(record, trials, objectives)
    except HepanomError as error:
        unsent = str(error)
    trials = [replace(trial, run_id=runs.get(trial.number, "")) for trial in trials]
    ranked = best(trials, objectives)
    if not ranked:
        raise HepanomError(_why_none(trials))
    front = ranked if len(objectives) > 1 else ranked[: max(LISTED, options.retrain)]
    by_number = {trial.number: trial for trial in trials}
    tested = {}
    for place, number in enumerate(front[: max(1, options.retrain)], 1):
        document = _recipe(parts, by_number[number])
        with written(folder / ("best.yaml" if place == 1 else f"best-{place}.yaml")) as temporary:
            temporary.write_text(document.text(), encoding="utf-8")
        if place <= options.retrain and not unsent:  # what is tested is recorded
            tested[number] = _tested(study, number, document, tracking, state, watcher, record)
    watcher.stage("writing the report of the search")
    device = str(train.resolve_device(parts.recipe.train.device))
    result = Search(
        name=parts.recipe.name,
        recipe=_without_password(parts.document).text(),
        sampler=options.sampler,
        pruner=options.pruner,
        seed=parts.recipe.seed,
        objectives=objectives,
        axes=draws.axes(options, [trial.drawn for trial in trials]),
        trials=trials,
        best=front,
        importances=study.importances(),
        tested=tested,
        constraints=tuple(f"{name} {_limit(limit)}" for name, limit in options.constraints.items()),
        provenance=provenance.describe(parts.reader, parts.versions, device, parts.recipe.train.threads),
    )
    search_page.write(result, folder)
    first = by_number[front[0]]
    numbers = {f"best/{goal.name}": value for goal, value in zip(objectives, first.values, strict=True)}
    states = Counter(trial.state for trial in trials)
    numbers |= {f"trials/{name}": float(count) for name, count in states.items()}
    try:
        if not unsent:
            ledger.finish(record, numbers, {"best trial": str(first.number)}, folder)
    except HepanomError as error:
        unsent = str(error)
    if unsent:
        log.error("%s\nthe search is in %s; when the store is back, the same command completes it", unsent, folder)
    return Searched(record.run_id, folder, result, unsent)


def _limit(limit: Limit) -> str:
    bounds = [(">=", limit.at_least), ("<=", limit.at_most)]
    return " and ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)


def _why_none(trials: Sequence[Trial]) -> str:
    """Say why no trial is the best."""
    if any(trial.state == "complete" for trial in trials):
        return "no trial keeps the constraints; loosen search.constraints, or try more of them: search.trials"
    reasons = Counter(trial.reason for trial in trials if trial.state == "failed").most_common(REASONS)
    told = "; ".join(f"{count} x {reason.splitlines()[0] if reason else 'unknown'}" for reason, count in reasons)
    return f"none of {len(trials)} trials came to its end: {told or 'all were pruned'}"


def _recipe(parts: Parts, trial: Trial) -> Document:
    """Return the recipe of a trial, runnable from anywhere."""
    document = draws.drawn_document(parts.document, trial.recipe)
    moved = [f"plugins={json.dumps(str(folder))}"] if (folder := plugins.local_folder(document)) else []
    return changed(document, [f"name={json.dumps(run_name(parts.recipe.name, trial.number))}", *moved])


def _tested(
    study: Study,
    number: int,
    document: Document,
    tracking: str | None,
    state: Path,
    watcher: Watcher,
    record: track.Record,
) -> dict[str, Number]:
    """Return the numbers on the test share of a trial that is trained again, or was by an earlier call."""
    key = f"tested {number} {document.fingerprint()}"
    if (known := study.note(key)) is None:
        watcher.stage(f"training trial {number} again")
        tags = {track.PARENT: record.run_id, "best of search": record.run_id}
        outcome = run(document, tracking=tracking, state=state, watcher=watcher, tags=tags)
        assert outcome is not None  # no team of torchrun trains here
        first = next(iter(outcome.result.scored.scores))
        named = facts.named("test", outcome.result.numbers, first, outcome.result.probes)
        known = {name.removeprefix("test/"): asdict(each) for name, each in named}
        study.remember(**{key: known})
    return {name: Number(**plain) for name, plain in known.items()}
