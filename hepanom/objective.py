"""What a trial of a search is judged by: its numbers on the valid share; the test share is never looked at."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from hepanom.assess import anomaly_of
from hepanom.decisions import flags_of
from hepanom.detector import Detector, columns_of, score
from hepanom.evaluate import Scored, apply_expected, evaluate
from hepanom.events import Events
from hepanom.facts import named
from hepanom.insight import latent
from hepanom.probe import Probe, probe
from hepanom.stream import with_category


def numbers(detector: Detector, held_out: Sequence[Events], metrics: Sequence[str]) -> dict[str, float]:
    """Return the numbers of a detector on labelled held-out events, named as on the test share: ``valid/auc``.

    Without labels there are only ``seconds_per_event``, the time of scoring one event, and ``parameters``, the number
    of trained parameters of one replica of all categories. ``held_out`` are chunks; at least one has events.
    """
    parts, recipe = detector.parts, detector.parts.recipe
    chunks = [with_category(each, recipe.train.per, detector.categories, parts.schema) for each in held_out]
    began = time.perf_counter()
    scores = [score(detector, each) for each in chunks]
    seconds, events = time.perf_counter() - began, Events.concat(chunks)
    found = {"seconds_per_event": seconds / len(events), "parameters": parameters(detector)}
    if recipe.background:
        scored = _scored(detector, scores, events)
        first = next(iter(scored.scores))
        measured = evaluate(scored, metrics, b_reg=recipe.evaluate.b_reg, resamples=0)
        found |= {path: number.value for path, number in named("valid", measured, first, _probes(detector, events))}
    return found


def parameters(detector: Detector) -> float:
    """Return the number of trained parameters of one replica of all categories."""
    networks = [model.members[0].network for model in detector.models.values()]
    return float(sum(values.numel() for network in networks for values in network.parameters()))


def _scored(
    detector: Detector, pieces: Sequence[Mapping[str, Float[np.ndarray, "replica _"]]], events: Events
) -> Scored:
    scores = {label: np.concatenate([piece[label] for piece in pieces], axis=1) for label in detector.parts.scorers}
    classes, expected = detector.parts.schema.classes, detector.parts.recipe.evaluate.expected
    return Scored(
        scores,
        flags_of(detector, scores, events.category, columns_of(detector, events)),
        events.category,
        detector.categories,
        anomaly_of(detector, events.label),
        apply_expected(events.weight, events.label, classes, expected),
    )


def _probes(detector: Detector, events: Events) -> dict[str, Probe]:
    """Return what the latent codes know of the classes, where the recipe asks for that."""
    recipe, classes = detector.parts.recipe, detector.parts.schema.classes
    if recipe.evaluate.latent is None:
        return {}
    return {
        detector.categories[category]: probe(
            codes, events.label[events.category == category], classes, recipe.evaluate.latent, recipe.seed
        )
        for category, codes in sorted(latent(detector, events).items())
    }
