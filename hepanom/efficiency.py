"""The background efficiency of a cut with its interval, from weighted events, and their quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import betaincinv  # type: ignore[import-untyped]

CONFIDENCE = 0.6827  # of the interval, central
DETERMINED = 10.0  # effective events above a cut that make its efficiency known
ROUNDING = 1e-12  # relative; sums of weights that are equal on paper differ in their last digits


@dataclass(frozen=True)
class Tail:
    """The background above a cut: its ``share`` of the ``weight`` of all of it, and how well that is known.

    ``effective`` is the effective number of events above the cut; the efficiency that the cut has for any amount of
    such background is distributed as Beta(``a``, ``b``).
    """

    weight: float
    share: float
    effective: float
    a: float
    b: float

    @property
    def interval(self) -> tuple[float, float]:
        """Return the central 68.27 % interval of the efficiency, widened where it does not hold the share itself."""
        low, high = betaincinv(self.a, self.b, np.array([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])).tolist()
        return min(low, self.share), max(high, self.share)

    @property
    def undetermined(self) -> bool:
        """Return whether fewer than ten effective events are above the cut."""
        return self.effective < DETERMINED * (1 - ROUNDING)


def tail(
    weight: Float[np.ndarray, " event"],
    above: Bool[np.ndarray, " event"],
    near: Float[np.ndarray, " one"],
    through: int = 0,
) -> Tail:
    """Return what is known of the background ``above`` a cut that was laid ``through`` so many events.

    Of n events k are above the cut, and m on it because it was laid there. Its efficiency is distributed as

        Beta(k + (m + 1) / 2, n - k - (m - 1) / 2):

    for a cut at the score of one event (m = 1), such as a quantile, exactly Beta(k + 1, n - k), whatever the
    distribution of the scores; for a cut at a fixed place (m = 0) Jeffreys' interval. With weights, n and k are
    effective counts: n that of ``effective_sizes``, from the variance of a ratio of weighted sums, and k the share of n
    that is above. The (m + 1) / 2 events enter with the weights ``near`` the cut, which say what an event is worth
    there, also where none is above; without them, as effective events.

    References:
        H. A. David, H. N. Nagaraja, Order Statistics, 2003, doi:10.1002/0471722162.
        L. D. Brown, T. T. Cai, A. DasGupta, Interval estimation for a binomial proportion, 2001,
        doi:10.1214/ss/1009213286.
    """
    weight, near = weight.astype(np.float64), near.astype(np.float64)
    total, squares = float(weight.sum()), float(np.square(weight).sum())
    sums = float(weight[above].sum()), float(np.square(weight[above]).sum())
    effective, events = _effective(*sums, total, squares)
    a = effective + 0.5
    if len(near):
        counted = (through + 1) / (2 * len(near))
        more = counted * float(near.sum()), counted * float(np.square(near).sum())
        a, events = _effective(sums[0] + more[0], sums[1] + more[1], total, squares)
    return Tail(total, min(sums[0] / total, 1.0), effective, a, events - a + 1)


def pooled(whole: Tail, parts: Sequence[Tail]) -> Tail:
    """Return the tail of all background where each part of it has a cut of its own.

    The efficiency is the sum of those of the parts, each with its share of the weight; its Beta distribution is the one
    with the mean and the variance of that sum. ``whole`` holds what is above its cut of all parts.
    """
    total = sum(part.weight for part in parts)
    mean = variance = 0.0
    for part in parts:
        share, counts = part.weight / total, part.a + part.b
        mean += share * part.a / counts
        variance += share**2 * part.a * part.b / (counts**2 * (counts + 1))
    counts = mean * (1 - mean) / variance - 1
    return replace(whole, a=mean * counts, b=(1 - mean) * counts)


def quantile(values: Float[np.ndarray, " event"], weight: Float[np.ndarray, " event"], share: float) -> float:
    """Return the smallest value with at least this share of the weight at or below it: always the value of an event."""
    order = np.argsort(values, kind="stable")
    order = order[weight[order] > 0]
    below = np.cumsum(weight[order], dtype=np.float64)
    index = int(np.searchsorted(below, share * below[-1] * (1 - ROUNDING)))
    return float(values[order[index]])


def effective_number(weight: Float[np.ndarray, " event"]) -> float:
    """Return the effective number of events, (sum w)^2 / sum w^2; 0 for none."""
    squares = float(np.square(weight).sum())
    return float(weight.sum()) ** 2 / squares if squares > 0 else 0.0


def effective_sizes(
    above: Float[np.ndarray, " cut"], squares_above: Float[np.ndarray, " cut"], total: float, squares: float
) -> Float[np.ndarray, " cut"]:
    """Return how many unweighted events would know the weighted share above each cut as well.

    From sums of weights and of their squares, above the cuts and of all: for a share eps of the total weight W above, n
    is the solution of

        eps (1 - eps) / n = [(1 - eps)^2 sum_above w^2 + eps^2 sum_below w^2] / W^2,

    and W^2 / sum w^2 where nothing or everything is above. Without weights it is the number of events everywhere.
    """
    share = above / total
    variance = (1 - share) ** 2 * squares_above + share**2 * np.maximum(squares - squares_above, 0.0)
    inside = (share > 0) & (share < 1 - ROUNDING) & (variance > 0)
    found = np.full(len(share), total**2 / squares)
    np.divide(share * (1 - share) * total**2, variance, out=found, where=inside)
    return found


def _effective(above: float, squares_above: float, total: float, squares: float) -> tuple[float, float]:
    """Return the effective numbers of events above a cut and in all."""
    events = float(effective_sizes(np.array([above]), np.array([squares_above]), total, squares)[0])
    return min(above / total, 1.0) * events, events
