"""What the thresholds of a detector make of scored events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from hepanom.detector import Columns, Detector, flags
from hepanom.flatness import Flatness, flatness
from hepanom.result import Count
from hepanom.stream import rule_weight, weighed
from hepanom.thresholds import share_above


@dataclass(frozen=True)
class Met:
    """What is kept of scored events: scores by scorer, the detector's decision scores, what they count for.

    ``columns`` are those on which cuts depend.
    """

    scores: Mapping[str, Float[np.ndarray, "replica event"]]
    decided: Mapping[str, Float[np.ndarray, " event"]]
    category: Int[np.ndarray, " event"]
    label: Int[np.ndarray, " event"]
    weight: Float[np.ndarray, " event"]
    columns: Columns


def flags_of(
    detector: Detector,
    scores: Mapping[str, Float[np.ndarray, "replica event"]],
    category: Int[np.ndarray, " event"],
    columns: Columns,
) -> dict[tuple[str, str], Bool[np.ndarray, "replica event"]]:
    """Return which events each rule flags by each score, a row per replica."""
    return {
        (scorer, rule.label): np.stack(
            [flags(detector, row, category, columns, scorer, rule.label, replica) for replica, row in enumerate(rows)]
        )
        for scorer, rows in scores.items()
        for rule in detector.parts.recipe.thresholds
    }


def counts_of(detector: Detector, test: Met) -> list[Count]:
    """Return what each threshold that decides flags of its category, and what background alone would give."""
    recipe = detector.parts.recipe
    weighted = {rule.label: rule_weight(recipe, rule) for rule in recipe.thresholds}
    found = []
    for entry in detector.thresholds:
        if entry.replica == detector.decides:
            here = test.category == detector.categories.index(entry.category)
            weight = weighed(test.weight, weighted[entry.name])[here]
            columns = {name: column[here] for name, column in test.columns.items()}
            flagged = entry.flag(test.decided[entry.scorer][here], columns)
            expected = [float(weight.sum() * share) for share in (entry.background_efficiency, entry.low, entry.high)]
            found.append(Count(entry, len(weight), int(flagged.sum()), float(weight[flagged].sum()), *expected))
    return found


def flatness_of(detector: Detector, test: Met, anomaly: Int[np.ndarray, " event"]) -> list[Flatness]:
    """Return what the cuts that depend on a column make of test background; of all events where none is known."""
    found, known = [], bool((anomaly == 0).any())
    here = (anomaly == 0) | (not known)
    for rule in detector.parts.recipe.thresholds:
        if rule.per is None or not here.any():
            continue
        weight = np.abs(weighed(test.weight, rule_weight(detector.parts.recipe, rule)).astype(np.float64))
        for scorer, values in test.decided.items():
            who = (scorer, rule.label, detector.decides)
            cuts = detector.cuts(*who)
            usual = np.array([cuts[label].cut for label in detector.categories])[test.category]
            after = flags(detector, values, test.category, test.columns, *who)
            found.append(
                flatness(
                    rule.per,
                    test.columns[rule.per.column][here],
                    weight[here],
                    (values > usual)[here],
                    after[here],
                    scorer=scorer,
                    rule=rule.label,
                    wanted=share_above(rule.rule, rule.value, rule.input_rate),
                    known=known,
                )
            )
    return found
