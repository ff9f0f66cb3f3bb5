"""One trial of a search: a drawn recipe, trained and judged on the valid share."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import torch

from hepanom import goals, plugins, shares
from hepanom.blame import blame
from hepanom.contracts import Epoch, Network
from hepanom.detector import Detector
from hepanom.document import changed, value_at
from hepanom.draws import draw, drawn_document, flat
from hepanom.errors import HepanomError
from hepanom.events import Events as Chunk
from hepanom.fit import Ready, Watch, category_model, fit, prepare_all, with_thresholds
from hepanom.objective import numbers
from hepanom.plugins import Parts
from hepanom.shares import Shares
from hepanom.source import Table
from hepanom.space import SearchOptions
from hepanom.study import Attempt, Failed, Pruned

READING = ("data", "background", "split", "plugins", "memory")  # what decides which events there are
PREPARING = (*READING, "transforms", "train.on", "train.per", "train.weighted", "train.device")


@dataclass
class Events:
    """The events of the last recipe and what its transforms made of them, for trials that differ in neither."""

    read: tuple[str, Shares] | None = None
    prepared: tuple[str, list[Ready]] | None = None

    def of(self, parts: Parts) -> Shares:
        """Return the events of a recipe, without those of the test share."""
        key = _key(parts, READING)
        if self.read is None or self.read[0] != key:
            self.prepared, self.read = None, None  # two sets of events may not fit
            found = shares.read(parts, shares.memory_bytes(parts.recipe))
            self.read = key, replace(found, kept=found.kept and {**found.kept, "test": []})
        return replace(self.read[1], parts=parts)

    def ready(self, events: Shares) -> list[Ready] | None:
        """Return the events as networks see them; None where they are read anew every time."""
        if events.kept is None:
            return None
        parts = events.parts
        key = _key(parts, PREPARING) + str(parts.model.conditions(parts.schema))
        if self.prepared is None or self.prepared[0] != key:
            self.prepared = key, list(prepare_all(events))
        return self.prepared[1] if all(isinstance(each.source, Table) for each in self.prepared[1]) else None


def _key(parts: Parts, paths: tuple[str, ...]) -> str:
    return json.dumps([value_at(parts.document.plain, path) for path in paths], sort_keys=True)


@dataclass
class Trier:
    """Runs the trials of one process.

    ``same`` says, where the space touches the data, whether a hash of the valid share is that of the other trials.
    """

    parts: Parts
    options: SearchOptions
    watch: Watch
    same: Callable[[str], bool] = lambda judged: True
    events: Events = field(default_factory=Events)

    def run(self, attempt: Attempt) -> list[float]:
        """Draw a recipe, train it once, judge it on the valid share, and return the objectives.

        Raises Pruned, and Failed, whose reason the attempt remembers, for what one recipe may do wrong: options that do
        not fit each other or the events, a training that diverges, memory that is not enough.
        """
        document = self.parts.document
        values = draw(self.options, document.plain, attempt.pick)
        attempt.remember(drawn=flat(self.options, values), recipe=values)
        with _survived(attempt), blame():
            made = changed(drawn_document(document, values), ["train.replicas=1"])
            parts = plugins.build(made, None if _touches(values, "data") else self.parts.schema)
            return self._judged(parts, attempt)

    def _judged(self, parts: Parts, attempt: Attempt) -> list[float]:
        events = self.events.of(parts)
        held_out = list(events.chunks("valid"))
        if _touches(self.options.space, "data") and not self.same(_judged_by(held_out)):
            raise HepanomError(
                "these values of data give other events, or call other events background, than those of the trials "
                "before, so that they do not compare; draw what is read of an event, not which events are read"
            )
        metrics, objectives = goals.metrics(self.parts.recipe), list(self.options.objectives)
        pruning = self.options.pruner != "none"
        latest: dict[str, float] = {}

        def look(ready: Ready, network: Network) -> None:
            models = {ready.label: category_model(parts, ready, [network])}
            latest.update(numbers(with_thresholds(Detector(parts, models, (), {}), events), held_out, metrics))
            refuse_unknown(latest, objectives)

        def watch(category: str, replica: int, record: Epoch) -> None:
            if record.best:
                latest[goals.VALIDATION] = record.validation
            self.watch(category, replica, record)
            if pruning:
                last = record.epoch == parts.recipe.train.epochs
                attempt.report(record.epoch, latest[objectives[0]], last=last)

        began = time.perf_counter()
        looks = pruning and objectives[0] != goals.VALIDATION
        detector, histories = fit(events, {}, watch, prepared=self.events.ready(events), look=look if looks else None)
        found = {"seconds": time.perf_counter() - began, goals.VALIDATION: validation(histories, events)}
        found |= numbers(detector, held_out, metrics)
        attempt.remember(numbers=found)
        refuse_unknown(found, [*objectives, *self.options.constraints])
        if self.options.constraints:
            attempt.remember(excess=[limit.excess(found[name]) for name, limit in self.options.constraints.items()])
        return [found[name] for name in objectives]


def validation(histories: Mapping[tuple[str, int], list[Epoch]], events: Shares) -> float:
    """Return the best validation loss: of several categories the mean, weighted by their valid events."""
    best = {label: min(record.validation for record in history) for (label, _), history in histories.items()}
    weight = {label: events.total("valid", events.trained(), label).events for label in best}
    return sum(best[label] * weight[label] for label in best) / sum(weight.values())


def _judged_by(held_out: Sequence[Chunk]) -> str:
    """Return a hash of which events a share holds, and of which class, in any order."""
    whole = Chunk.concat(held_out)
    order = whole.event_id.argsort()
    return sha256(whole.event_id[order].tobytes() + whole.label[order].tobytes()).hexdigest()[:16]


def refuse_unknown(found: Mapping[str, float], wanted: Sequence[str]) -> None:
    """Raise HepanomError where a wanted number is not known, as that of a class without events."""
    if unknown := [name for name in dict.fromkeys(wanted) if math.isnan(found.get(name, math.nan))]:
        raise HepanomError(
            f"the valid share does not give {', '.join(unknown)}: a class has no event there, or nothing is flagged; "
            "give split.valid more events, or take another number"
        )


def _touches(values: Mapping[str, Any], section: str) -> bool:
    return any(path == section or path.startswith(f"{section}.") for path in values)


@contextmanager
def _survived(attempt: Attempt) -> Iterator[None]:
    """Turn what one recipe may do wrong into a failed trial with its reason."""
    try:
        yield
    except (Pruned, KeyboardInterrupt):
        raise
    except Exception as error:
        reason = str(error) if isinstance(error, HepanomError) else f"{type(error).__name__}: {error}"
        attempt.remember(reason=reason)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise Failed(reason) from error
