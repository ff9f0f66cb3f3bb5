"""Scores against other variables: profiles, correlations, and what a cut does to the shape of the background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from hepanom import bootstrap
from hepanom.efficiency import effective_number, quantile
from hepanom.evaluate import Number

BINS = 20
RANGE = (0.005, 0.995)  # quantiles of the variable, which the outermost bins begin and end at
MOST = 50_000  # events, drawn at random, behind profiles and correlations
RESAMPLES = 50
TOYS = 400  # samples that tell which divergence chance gives
FEWEST = 20  # effective events of a profile's bin, of a correlation, and above a cut
BAND = (0.16, 0.5, 0.84)
Shares = Float[np.ndarray, " bin"]


@dataclass(frozen=True)
class Shape:
    """The background above a cut in bins of a variable: its shares with errors, and how far they are from those of all.

    ``divergence`` is Jensen and Shannon's between the shares before and after the cut, in bits, 0 for the same shape
    and 1 for no overlap; ``chance`` is the value that 95 % of as many events drawn without regard to the variable stay
    below.
    """

    share: Shares
    error: Shares
    effective: float
    divergence: float
    chance: float


@dataclass(frozen=True)
class Against:
    """A score of the background of a category against a variable.

    ``quantiles`` are the score's 16 %, 50 % and 84 % quantiles in each bin, NaN in one with few events; ``correlation``
    is Spearman's, None for too few events; ``before`` are the shares of the background in the bins, the outermost of
    which hold what lies beyond, and ``after`` the shape above each rule's cut. ``missing`` events have no value.
    """

    scorer: str
    column: str
    unit: str
    category: str
    edges: Float[np.ndarray, " edge"]
    quantiles: Float[np.ndarray, "3 bin"]
    correlation: Number | None
    before: Shares
    after: Mapping[str, Shape]
    missing: int


def against(
    names: tuple[str, str, str, str],
    values: Float[np.ndarray, " event"],
    score: Float[np.ndarray, " event"],
    weight: Float[np.ndarray, " event"],
    flags: Mapping[str, Bool[np.ndarray, " event"]],
    seed: int,
) -> Against | None:
    """Compare the score of background events with a variable; None where it has less than two values.

    ``names`` are scorer, column, unit and category; ``flags`` say by rule which events are above the cut. Negative
    weights enter shapes as they are, and profiles and correlations, which have no use for them, by their magnitude.
    """
    known = np.isfinite(values)
    missing = int((~known).sum())
    values, score, weight = values[known], score[known], weight[known]
    if len(values) == 0 or np.ptp(values) == 0 or not weight.any():
        return None
    size = np.abs(weight)
    edges = _edges(values, size)
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    generator = np.random.default_rng(seed)
    some = np.sort(generator.permutation(len(values))[:MOST])
    before = _shares(place, weight, len(edges) - 1)[0]
    after = {
        rule: shape
        for rule, flag in flags.items()
        if (shape := _shape(place, weight, flag[known], len(edges) - 1, generator)) is not None
    }
    profile = _profile(place[some], score[some], size[some], len(edges) - 1)
    correlation = spearman(values[some], score[some], size[some], RESAMPLES, seed)
    return Against(*names, edges, profile, correlation, before, after, missing)


def _edges(values: Float[np.ndarray, " event"], weight: Float[np.ndarray, " event"]) -> Float[np.ndarray, " edge"]:
    """Return bins of equal width; whole numbers, of which there are few, get one each."""
    distinct = np.unique(values)
    if len(distinct) <= BINS and (distinct == np.round(distinct)).all() and np.ptp(distinct) < 2 * BINS:
        return np.arange(distinct[0] - 0.5, distinct[-1] + 1)
    low, high = (quantile(values, weight, share) for share in RANGE)
    if low == high:
        low, high = float(distinct[0]), float(distinct[-1])
    return np.linspace(low, high, BINS + 1)


def _shares(place: Int[np.ndarray, " event"], weight: Float[np.ndarray, " event"], bins: int) -> tuple[Shares, Shares]:
    """Return the share of the weight in each bin, and its error."""
    total = float(weight.sum())
    if total <= 0:
        return np.zeros(bins), np.zeros(bins)
    held, squares = (np.bincount(place, each, bins) for each in (weight, weight**2))
    share = held / total
    return share, np.sqrt(np.maximum(squares * (1 - 2 * share) + share**2 * squares.sum(), 0.0)) / total


def _shape(
    place: Int[np.ndarray, " event"],
    weight: Float[np.ndarray, " event"],
    flag: Bool[np.ndarray, " event"],
    bins: int,
    generator: np.random.Generator,
) -> Shape | None:
    """Return the shape above a cut; None where too few events are there."""
    above = weight[flag]
    effective = effective_number(above)
    if effective < FEWEST or above.sum() <= 0:
        return None
    before = np.maximum(_shares(place, weight, bins)[0], 0.0)
    share, error = _shares(place[flag], above, bins)
    toys = generator.multinomial(round(effective), before / before.sum(), TOYS) / round(effective)
    chance = float(np.quantile([jensen_shannon(toy, before) for toy in toys], 0.95))
    return Shape(share, error, effective, jensen_shannon(np.maximum(share, 0.0), before), chance)


def jensen_shannon(a: Shares, b: Shares) -> float:
    """Return the Jensen-Shannon divergence of two distributions over the same bins, in bits.

    With m the mean of both, JSD = [sum a log2(a / m) + sum b log2(b / m)] / 2, from 0 for the same to 1 for none in
    common.

    References:
        J. Lin, Divergence measures based on the Shannon entropy, 1991, doi:10.1109/18.61115.
    """
    a, b = a / a.sum(), b / b.sum()
    mean = (a + b) / 2
    terms = [each[each > 0] * np.log2(each[each > 0] / mean[each > 0]) for each in (a, b)]
    return max(0.0, float(sum(term.sum() for term in terms)) / 2)


def _profile(
    place: Int[np.ndarray, " event"],
    score: Float[np.ndarray, " event"],
    weight: Float[np.ndarray, " event"],
    bins: int,
) -> Float[np.ndarray, "3 bin"]:
    """Return weighted quantiles of the score in each bin; NaN in one with too few effective events."""
    found = np.full((3, bins), np.nan)
    for each in range(bins):
        here = place == each
        if effective_number(weight[here]) >= FEWEST:
            found[:, each] = [quantile(score[here], weight[here], share) for share in BAND]
    return found


def spearman(
    x: Float[np.ndarray, " event"],
    y: Float[np.ndarray, " event"],
    weight: Float[np.ndarray, " event"],
    resamples: int,
    seed: int,
) -> Number | None:
    """Return the weighted rank correlation with the central 68 % of its bootstrap; None for too few events.

    It is Pearson's correlation of weighted ranks, the rank of a value being the weight below it and half of the weight
    of its equals.

    References:
        C. Spearman, The proof and measurement of association between two things, 1904, doi:10.2307/1412159.
    """
    if effective_number(weight) < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    groups = [np.unique(values, return_inverse=True)[1] for values in (x, y)]
    copies: UInt8[np.ndarray, "event resample"] = bootstrap.draws(len(x), resamples, seed)
    value = _correlation(groups, weight)
    drawn = [_correlation(groups, weight * copies[:, index]) for index in range(resamples)]
    low, high = np.nanpercentile(drawn, (15.87, 84.13)).tolist()
    return Number(value, min(low, value), max(high, value), None)


def _correlation(groups: list[Int[np.ndarray, " event"]], weight: Float[np.ndarray, " event"]) -> float:
    ranks = []
    for group in groups:
        held = np.bincount(group, weight)
        ranks.append((np.cumsum(held) - held / 2)[group])
    apart = [rank - np.average(rank, weights=weight) for rank in ranks]
    covariance, *variances = (
        np.average(a * b, weights=weight) for a, b in ((apart[0], apart[1]), (apart[0],) * 2, (apart[1],) * 2)
    )
    size = float(np.sqrt(variances[0] * variances[1]))
    return float(covariance) / size if size > 0 else float("nan")
