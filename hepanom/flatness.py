"""How flat the background efficiency is in a variable: by a cut that depends on it, and by one that does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from hepanom.conditional import MISSING, Per, bin_index, bins_of
from hepanom.efficiency import quantile, tail

REACH = 0.005  # share of the weight beyond either end of the first and last bin as they are drawn


@dataclass(frozen=True)
class Flatness:
    """The efficiency of one score's cuts in bins of ``column``; ``wanted`` is None for a rule that names none.

    ``sides`` are the ends of the bins, NaN for the bin of events without the column. ``before`` is the efficiency of
    the one cut of each category, ``after`` of the cut that depends on the column, each with its 68.27 % interval from
    these events alone. ``known`` says that all of them are background by their label.
    """

    scorer: str
    rule: str
    column: str
    wanted: float | None
    labels: Sequence[str]
    sides: Float[np.ndarray, "bin 2"]
    before: Float[np.ndarray, "bin 3"]
    after: Float[np.ndarray, "bin 3"]
    known: bool


def flatness(
    per: Per,
    variable: Float[np.ndarray, " event"],
    weight: Float[np.ndarray, " event"],
    before: Bool[np.ndarray, " event"],
    after: Bool[np.ndarray, " event"],
    *,
    scorer: str,
    rule: str,
    wanted: float | None,
    known: bool,
) -> Flatness:
    """Return the efficiency of both kinds of cut on these events, in the bins that ``per`` gives for them."""
    edges, labels = bins_of(per, variable, weight)
    index = bin_index(edges, variable)
    filled = [number for number in range(len(labels) + 1) if weight[index == number].any()]
    there = np.isfinite(variable) & (weight > 0)
    ends = [quantile(variable[there], weight[there], share) for share in (REACH, 1 - REACH)] if there.any() else [0, 0]
    all_edges = [min(ends[0], *edges[:1], np.inf), *edges, max(ends[1], *edges[-1:], -np.inf)]
    sides = [*pairwise(all_edges), (np.nan, np.nan)]
    return Flatness(
        scorer,
        rule,
        per.column,
        wanted,
        [(*labels, MISSING)[number] for number in filled],
        np.array([sides[number] for number in filled]),
        _efficiencies(weight, before, index, filled),
        _efficiencies(weight, after, index, filled),
        known,
    )


def _efficiencies(
    weight: Float[np.ndarray, " event"], above: Bool[np.ndarray, " event"], index: np.ndarray, bins: Sequence[int]
) -> Float[np.ndarray, "bin 3"]:
    met = (tail(weight[index == number], above[index == number], np.zeros(0)) for number in bins)
    return np.array([(each.share, *each.interval) for each in met])
