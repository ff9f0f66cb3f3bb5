"""A detector: for every category its transforms, trained networks and scorers, and the thresholds that flag events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hepanom import returned, train
from hepanom.blame import blame
from hepanom.contracts import Batch, Network, Outputs, Scorer, State
from hepanom.errors import InputError
from hepanom.events import Events, Schema
from hepanom.origin import Origin
from hepanom.plugins import Parts
from hepanom.prepared import table
from hepanom.reference_sample import Reference
from hepanom.stream import at_once, batches, named_column, named_event
from hepanom.thresholds import Threshold

Columns = Mapping[str, Float[np.ndarray, " event"]]

SCORE_BATCH = 4096
LARGEST = float(np.sqrt(np.finfo(np.float64).max))  # a score; the square of a distance between two is still a number
MEAN_RANK = -1  # the replica number of the mean background rank of all replicas


@dataclass(frozen=True)
class Member:
    """One trained network, what its scorers learnt from the background, and the background ranks of every score."""

    network: Network
    scorers: Mapping[str, State]
    ranks: Mapping[str, State]


@dataclass(frozen=True)
class CategoryModel:
    """The model of one category: fitted transforms, the schema that they leave, and the replicas.

    ``tally`` counts what the transforms did to the training events; it is not stored with the detector.
    """

    states: tuple[State, ...]
    schema: Schema
    members: tuple[Member, ...]
    tally: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Detector:
    """Models by category label, the thresholds of all of them, where everything comes from, and what is normal.

    ``reference`` is held-out background that ``hepanom monitor`` compares with; older detectors have none. ``origins``
    says by name of thresholds that were set after the training when and on what.
    """

    parts: Parts
    models: Mapping[str, CategoryModel]
    thresholds: tuple[Threshold, ...]
    provenance: Mapping[str, Any]
    reference: Reference | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)

    @property
    def categories(self) -> tuple[str, ...]:
        """Return the labels that ``Events.category`` counts."""
        return tuple(self.models)

    @property
    def replicas(self) -> int:
        """Return the number of trainings per category."""
        return self.parts.recipe.train.replicas

    @property
    def decides(self) -> int:
        """Return the replica number whose thresholds flag: the only one, or the mean rank of all."""
        return 0 if self.replicas == 1 else MEAN_RANK

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns on which cuts depend."""
        return tuple(dict.fromkeys(entry.along.column for entry in self.thresholds if entry.along))

    def cuts(self, scorer: str, rule: str, replica: int) -> dict[str, Threshold]:
        """Return one rule's threshold for each category."""
        return {t.category: t for t in self.thresholds if (t.scorer, t.name, t.replica) == (scorer, rule, replica)}


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Use this many CPU threads inside the block: results can differ in the last digits between thread counts."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def outputs(network: Network, table: Batch, gives: frozenset[str]) -> Iterator[tuple[Batch, Outputs]]:
    """Yield a table batch by batch with the network's outputs, which are those that the model ``gives``."""
    for batch in batches(table, at_once(table, SCORE_BATCH)):
        yield batch, returned.outputs(network, network(batch), batch, gives)


def scores_of(
    parts: Parts, states: Mapping[str, State], batch: Batch, found: Outputs, network: Network
) -> dict[str, Float[Tensor, " event"]]:
    """Return the scores of a batch for every scorer that has a state, in the recipe's order."""
    scores: dict[str, Tensor] = {}
    for label, state in states.items():
        scorer = parts.scorers[label]
        given = scorer.score(batch, with_scores(found, scorer, scores), state, network)
        scores[label] = bounded(returned.numbers(scorer, "score", given, batch.weight.shape))
    return scores


def bounded(scores: Float[Tensor, " event"]) -> Float[Tensor, " event"]:
    """Return scores in double precision, with 1.3e154 in place of what is larger or infinite; NaN stays."""
    return scores.double().clamp(-LARGEST, LARGEST)


def with_scores(found: Outputs, scorer: Scorer, scores: Mapping[str, Tensor]) -> Outputs:
    """Return a network's outputs and, beside them, the earlier scores that a scorer combines."""
    return {**found, **{f"score/{label}": scores[label] for label in scorer.combines()}}


@dataclass(frozen=True)
class Visit:
    """A batch that went through one replica's network: where its events stand, and what came out."""

    where: Int[np.ndarray, " event"]
    model: CategoryModel
    replica: int
    member: Member
    batch: Batch
    outputs: Outputs


def visits(detector: Detector, events: Events) -> Iterator[Visit]:
    """Run every event once through each replica of its category, without gradients."""
    options = detector.parts.recipe.train
    device = train.resolve_device(options.device)
    with torch.inference_mode(), threads(options.threads):
        for index, model in enumerate(detector.models.values()):
            here = events.category == index
            if not here.any():
                continue
            seen, _ = table(detector.parts, model.states, model.schema, events.mask(here), device)
            for replica, member in enumerate(model.members):
                positions = np.flatnonzero(here)
                for batch, found in outputs(member.network, seen, detector.parts.model.gives):
                    yield Visit(positions[: len(batch)], model, replica, member, batch, found)
                    positions = positions[len(batch) :]


@blame()
def score(detector: Detector, events: Events) -> dict[str, Float[np.ndarray, "replica event"]]:
    """Return every scorer's scores, a row per replica.

    Bit for bit the same for the same events, device and threads. ``events`` carry their category
    (``stream.with_category``). Raises PluginError for a score that is NaN.
    """
    found = {label: np.full((detector.replicas, len(events)), np.nan) for label in detector.parts.scorers}
    for visit in visits(detector, events):
        member = visit.member
        for label, values in scores_of(
            detector.parts, member.scorers, visit.batch, visit.outputs, member.network
        ).items():
            here = values.double().cpu().numpy()
            if (lost := np.isnan(here)).any():
                first = named_event(events, int(visit.where[lost][0]))
                told = f"NaN for {lost.sum()} of {len(lost)} events, the first of which is {first}"
                returned.refuse_nan(detector.parts.scorers[label], member.network, visit.outputs, told)
            found[label][visit.replica, visit.where] = here
    return found


@dataclass(frozen=True)
class Scores:
    """The scores of many events, with what is left of the events: their category, weight, and some columns."""

    scores: Mapping[str, Float[np.ndarray, "replica event"]]
    category: Int[np.ndarray, " event"]
    weight: Float[np.ndarray, " event"]
    columns: Columns


def score_chunks(detector: Detector, chunks: Iterable[Events], names: Sequence[str] = ()) -> Scores:
    """Return the scores of all events of the chunks, which carry their category, and the columns ``names``."""
    scores = [{label: np.zeros((detector.replicas, 0)) for label in detector.parts.scorers}]
    categories, weights = [np.zeros(0, np.int64)], [np.zeros(0)]
    columns: list[Columns] = [{name: np.zeros(0) for name in names}]
    for events in chunks:
        scores.append(score(detector, events))
        categories.append(events.category)
        weights.append(events.weight)
        columns.append(numbers_of(events, names, detector.parts.schema))
    joined = {label: np.concatenate([each[label] for each in scores], axis=1) for label in detector.parts.scorers}
    beside = {name: np.concatenate([each[name] for each in columns]) for name in names}
    return Scores(joined, np.concatenate(categories), np.concatenate(weights), beside)


def columns_of(detector: Detector, events: Events) -> Columns:
    """Return the columns on which cuts depend. Raises InputError for one that is not there or holds text."""
    try:
        return numbers_of(events, detector.columns, detector.parts.schema)
    except InputError as error:
        raise InputError(f"{error}; a cut depends on it; --threshold (monitor: --flagged) chooses others") from error


def numbers_of(events: Events, names: Iterable[str], schema: Schema) -> Columns:
    """Return columns beside the features, or features of a table, as numbers. Raises InputError as ``columns_of``."""
    found = {name: named_column(events, name, schema) for name in names}
    for name, values in found.items():
        if values.dtype.kind not in "iufb":
            raise InputError(f"thresholds: column {name!r} holds text; a cut depends on a number, such as a mass")
    return {name: values.astype(np.float64) for name, values in found.items()}


def decision(
    detector: Detector, scores: Mapping[str, Float[np.ndarray, "replica event"]], category: Int[np.ndarray, " event"]
) -> dict[str, Float[np.ndarray, " event"]]:
    """Return the number that flags an event: the score itself, or the mean background rank of several replicas.

    The rank of a score is the share of held-out background, by weight, that lies below it.
    """
    if detector.replicas == 1:
        return {label: values[0] for label, values in scores.items()}
    mean = {label: np.zeros(len(category)) for label in scores}
    for index, model in enumerate(detector.models.values()):
        here = category == index
        for replica, member in enumerate(model.members):
            for label, values in scores.items():
                mean[label][here] += ranks(member.ranks[label], values[replica, here]) / detector.replicas
    return mean


def ranks(state: State, values: Float[np.ndarray, " event"]) -> Float[np.ndarray, " event"]:
    """Return the background rank of each score: linear between the background's scores, in [0, 1) below the last one.

    Beyond it the rank goes on as 1 + d / (d + s) / n, with d the distance from the last of n scores and s their range,
    so that the strangest events keep their order.
    """
    knots, share = state["scores"], state["share"]
    beyond = np.maximum(values - knots[-1], 0.0)
    span = max(float(knots[-1] - knots[0]), np.finfo(np.float64).tiny)
    return np.asarray(np.interp(values, knots, share) + beyond / (beyond + span) / len(knots))


def rank_table(values: Float[np.ndarray, " event"], weight: Float[np.ndarray, " event"]) -> State:
    """Return the weighted cumulative distribution of background scores, as ``ranks`` reads it."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order])
    knots, last = np.unique(values[order][::-1], return_index=True)
    return {"scores": knots, "share": share[len(values) - 1 - last] / share[-1]}


def flags(
    detector: Detector,
    values: Float[np.ndarray, " event"],
    category: Int[np.ndarray, " event"],
    columns: Columns,
    scorer: str,
    rule: str,
    replica: int,
) -> Bool[np.ndarray, " event"]:
    """Return which events lie above the rule's cut in their category; ``columns`` are those of ``columns_of``."""
    above, cuts = np.zeros(len(values), np.bool_), detector.cuts(scorer, rule, replica)
    for index, label in enumerate(detector.categories):
        here = category == index
        above[here] = cuts[label].flag(values[here], {name: column[here] for name, column in columns.items()})
    return above
