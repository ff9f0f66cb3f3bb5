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

from hepanom import train
from hepanom.contracts import Batch, Network, Outputs, Scorer, State
from hepanom.events import Events, Schema
from hepanom.plugins import Parts
from hepanom.stream import at_once, batches, to_batch
from hepanom.thresholds import Threshold

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
    """Models by category label, the thresholds of all of them, and where everything comes from."""

    parts: Parts
    models: Mapping[str, CategoryModel]
    thresholds: tuple[Threshold, ...]
    provenance: Mapping[str, Any]

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

    def cuts(self, scorer: str, rule: str, replica: int) -> Float[np.ndarray, " category"]:
        """Return one rule's cut for each category."""
        chosen = {
            t.category: t.cut for t in self.thresholds if (t.scorer, t.name, t.replica) == (scorer, rule, replica)
        }
        return np.array([chosen[label] for label in self.categories])


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Use this many CPU threads inside the block: results can differ in the last digits between thread counts."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prepare(parts: Parts, states: Sequence[State], events: Events) -> Events:
    """Return the events after all transforms of a category."""
    schema = parts.schema
    for transform, state in zip(parts.transforms.values(), states, strict=True):
        events = transform.apply(events, schema, state)
        schema = transform.schema(schema, state)
    return events


def outputs(network: Network, table: Batch) -> Iterator[tuple[Batch, Outputs]]:
    """Yield a table batch by batch with the network's outputs."""
    for batch in batches(table, at_once(table, SCORE_BATCH)):
        yield batch, network(batch)


def scores_of(
    parts: Parts, states: Mapping[str, State], batch: Batch, found: Outputs, network: Network
) -> dict[str, Float[Tensor, " event"]]:
    """Return the scores of a batch for every scorer that has a state, in the recipe's order."""
    scores: dict[str, Tensor] = {}
    for label, state in states.items():
        scorer = parts.scorers[label]
        scores[label] = bounded(scorer.score(batch, with_scores(found, scorer, scores), state, network))
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
            given = detector.parts.model.conditions(model.schema)
            table = to_batch(prepare(detector.parts, model.states, events.mask(here)), model.schema, device, given)
            for replica, member in enumerate(model.members):
                positions = np.flatnonzero(here)
                for batch, found in outputs(member.network, table):
                    yield Visit(positions[: len(batch)], model, replica, member, batch, found)
                    positions = positions[len(batch) :]


def score(detector: Detector, events: Events) -> dict[str, Float[np.ndarray, "replica event"]]:
    """Return every scorer's scores, a row per replica.

    Bit for bit the same for the same events, device and threads. ``events`` carry their category
    (``stream.with_category``).
    """
    found = {label: np.full((detector.replicas, len(events)), np.nan) for label in detector.parts.scorers}
    for visit in visits(detector, events):
        member = visit.member
        for label, values in scores_of(
            detector.parts, member.scorers, visit.batch, visit.outputs, member.network
        ).items():
            found[label][visit.replica, visit.where] = values.double().cpu().numpy()
    return found


@dataclass(frozen=True)
class Scores:
    """The scores of many events, with what is left of the events: their weight and category."""

    scores: Mapping[str, Float[np.ndarray, "replica event"]]
    category: Int[np.ndarray, " event"]
    weight: Float[np.ndarray, " event"]


def score_chunks(detector: Detector, chunks: Iterable[Events]) -> Scores:
    """Return the scores of all events of the chunks, which carry their category."""
    scores = [{label: np.zeros((detector.replicas, 0)) for label in detector.parts.scorers}]
    categories, weights = [np.zeros(0, np.int64)], [np.zeros(0)]
    for events in chunks:
        scores.append(score(detector, events))
        categories.append(events.category)
        weights.append(events.weight)
    joined = {label: np.concatenate([each[label] for each in scores], axis=1) for label in detector.parts.scorers}
    return Scores(joined, np.concatenate(categories), np.concatenate(weights))


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
    scorer: str,
    rule: str,
    replica: int,
) -> Bool[np.ndarray, " event"]:
    """Return which events lie above the rule's cut in their category."""
    above: Bool[np.ndarray, " event"] = values > detector.cuts(scorer, rule, replica)[category]
    return above
