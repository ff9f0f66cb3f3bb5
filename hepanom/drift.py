"""Do two weighted samples come from one distribution? Two-sample tests on sums of weights, and Holm's correction.

A sample is what its bins hold: the sum of the weights w and that of w^2, bin by bin. Of values that are told apart one
by one, each is a bin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import betainc, betaincinv, betaln, kolmogorov  # type: ignore[import-untyped]
from scipy.stats import chi2, kstwo  # type: ignore[import-untyped]

from hepanom.efficiency import CONFIDENCE, effective_sizes

LEAST = 5.0  # effective events of a sample, or of a bin of a chi2 in either sample
COMMON = 0.05  # a probability that need not be known better than to half a percent
MANY = 10
NODES = 2001  # of an integral over a Beta distribution
TAIL = 1e-16  # of it that is left out on either side

Sums = Float[np.ndarray, " bin"]


@dataclass(frozen=True)
class Binned:
    """A sample as sums over its bins: of the weights, and of their squares."""

    weight: Sums
    squares: Sums

    @property
    def effective(self) -> float:
        """Return the effective number of events, (sum w)^2 / sum w^2; 0 for none."""
        squares = float(self.squares.sum())
        return float(self.weight.sum()) ** 2 / squares if squares > 0 else 0.0

    @property
    def share(self) -> Sums:
        """Return the share of the weight in each bin."""
        total = float(self.weight.sum())
        return self.weight / total if total > 0 else self.weight


@dataclass(frozen=True)
class Difference:
    """What a test says of two samples.

    ``p`` is the probability of a difference as large as this, or larger, where there is none, and ``distance`` how
    large it is whatever the number of events, from 0 to 1: the largest distance between the cumulative distributions,
    or for values without order half of the sum of the absolute differences of their shares. ``statistic`` is what p was
    told from, sqrt(n) D or chi2 with ``freedom`` degrees of it.
    """

    statistic: float
    p: float
    distance: float
    freedom: int = 0


NOTHING = Difference(0.0, 1.0, 0.0)


def kolmogorov_smirnov(a: Binned, b: Binned) -> Difference:
    """Return the weighted Kolmogorov-Smirnov test of two samples whose bins are in order.

    With F_a and F_b the weighted cumulative distributions and n_a, n_b the effective sizes at each place,

        z = max_x |F_a(x) - F_b(x)| sqrt(n(x)),     n = n_a n_b / (n_a + n_b),

    so that the process has at each x the variance F (1 - F) of the Brownian bridge, also where weights grow with x: one
    effective size for all x would give the wrong p-value there. p is that of the one-sample statistic for n events at
    the place of the maximum, as in scipy's ``ks_2samp`` for large samples, and the same number without weights. What
    lies within a bin is not told apart, which can only make p larger. Fewer than five effective events are not tested.

    References:
        F. James, Statistical Methods in Experimental Physics, 2006, doi:10.1142/6096, section 11.4.
        J. F. Monahan, Numerical Methods of Statistics, 2011, doi:10.1017/CBO9780511977176, on weighted samples.
    """
    if min(a.effective, b.effective) == 0:
        return NOTHING
    cumulated, sizes = [], []
    for sample in (a, b):
        below, squares = np.cumsum(sample.weight)[:-1], np.cumsum(sample.squares)[:-1]
        total = float(sample.weight.sum())
        cumulated.append(below / total)
        sizes.append(effective_sizes(below, squares, total, float(sample.squares.sum())))
    if not len(cumulated[0]):
        return NOTHING
    apart = np.abs(cumulated[0] - cumulated[1])
    size = sizes[0] * sizes[1] / (sizes[0] + sizes[1])
    z = np.sqrt(size) * apart
    place = int(np.argmax(z))
    enough = min(a.effective, b.effective) >= LEAST and z[place] > 0
    p = _rare(float(apart[place]), max(1.0, float(np.round(size[place])))) if enough else 1.0
    return Difference(float(z[place]), p, float(apart.max()))


def _rare(distance: float, events: float) -> float:
    """Return the probability of a distance as large or larger of n events from their distribution.

    Where it is no small one and the events are not few, by Kolmogorov's series at sqrt(n) D corrected for n, which is
    off by less than half a percent and much faster.

    References:
        J. Vrbik, Small-sample corrections to Kolmogorov-Smirnov test statistic, 2018, Pioneer Journal of Theoretical
        and Applied Statistics 15, 15.
    """
    z = float(np.sqrt(events)) * distance
    p = float(kolmogorov(z + 1 / (6 * np.sqrt(events)) + (z - 1) / (4 * events)))
    return p if p > COMMON and events >= MANY else float(np.clip(kstwo.sf(distance, events), 0.0, 1.0))


def chi_squared(a: Binned, b: Binned) -> Difference:
    """Return the chi2 test of two weighted samples whose bins have no order.

    With the shares p_a and p_b of the weight, their difference d and its covariance V,

        chi2 = d^T V^-1 d,     V = V_a + V_b,     V_s = [diag(q_s) - p q_s^T - q_s p^T + p p^T sum q_s] / W_s^2,

    where p is the pooled share and q_s = W_s p r_s what it lets expect for the sums of squares, r_s the mean of w^2
    over that of w in a bin. The covariance has no inverse, as shares add up to one: one bin is left out, whichever, and
    bins - 1 are the degrees of freedom. Without weights this is Pearson's chi2 of a contingency table. Bins that let
    expect fewer than five effective events in either sample are joined.

    References:
        N. D. Gagunashvili, Comparison of weighted and unweighted histograms, 2006, arXiv:physics/0605123.
    """
    if min(a.effective, b.effective) == 0:
        return NOTHING
    distance = float(0.5 * np.abs(a.share - b.share).sum())
    a, b = _joined(a, b)
    bins = len(a.weight)
    if bins < 2:
        return Difference(0.0, 1.0, distance)
    pooled = _pooled(a, b)
    covariance = np.zeros((bins, bins))
    for sample in (a, b):
        total = float(sample.weight.sum())
        mean = float(sample.squares.sum()) / total
        ratio = np.divide(sample.squares, sample.weight, out=np.full(bins, mean), where=sample.weight > 0)
        squares = total * pooled * ratio
        cross = np.outer(pooled, squares)
        whole = np.diag(squares) - cross - cross.T + np.outer(pooled, pooled) * squares.sum()
        covariance += whole / total**2
    apart = (a.share - b.share)[:-1]
    statistic = max(0.0, float(apart @ np.linalg.solve(covariance[:-1, :-1], apart)))
    return Difference(statistic, float(chi2.sf(statistic, bins - 1)), distance, bins - 1)


def _pooled(a: Binned, b: Binned) -> Sums:
    """Return the shares of both samples together, each counted with its effective number of events."""
    return (a.effective * a.share + b.effective * b.share) / (a.effective + b.effective)


def _joined(a: Binned, b: Binned) -> tuple[Binned, Binned]:
    """Return the samples with the bins joined that let expect too few events in the smaller one; empty ones go."""
    pooled = _pooled(a, b)
    expected = pooled * min(a.effective, b.effective)
    order = np.argsort(expected, kind="stable")
    order = order[pooled[order] > 0]
    held = np.cumsum(expected[order])
    rare = int(np.count_nonzero(expected[order] < LEAST))
    if rare and held[rare - 1] < LEAST:  # the rest would be too few still: it takes the next one
        rare = min(len(order), rare + 1)
    starts = np.concatenate([np.zeros(1 if rare else 0, np.int64), np.arange(rare, len(order))])
    if not len(starts):
        return a, b
    joined = [
        Binned(np.add.reduceat(s.weight[order], starts), np.add.reduceat(s.squares[order], starts)) for s in (a, b)
    ]
    return joined[0], joined[1]


def binned(
    values: Float[np.ndarray, " event"], weight: Float[np.ndarray, " event"], knots: Float[np.ndarray, " knot"]
) -> Binned:
    """Return a sample whose bins are the values up to and with each of the rising knots; none is above the last."""
    place = np.searchsorted(knots, values)
    squares = np.bincount(place, weight**2, len(knots))
    return Binned(np.bincount(place, weight, len(knots)).astype(np.float64), squares.astype(np.float64))


def surprise(flagged: float, events: float, shape: tuple[float, float]) -> float:
    """Return how likely a share as far off as ``flagged`` of ``events`` is, on either side, where eps ~ Beta(shape).

    For the efficiency eps of a cut that held-out background knows as Beta(k + 1, n - k), the number of new events above
    it is beta-binomial: of the cut at an event's own score this is the exact distribution, whatever the scores'. The
    probability to find as many or more is

        P(K >= k) = integral I_eps(k, n - k + 1) Beta(eps; shape) d eps

    with the regularized incomplete beta function I, which holds for effective counts, too. Twice the smaller side, 1 at
    most.

    References:
        J. Skellam, A probability distribution derived from the binomial distribution by regarding the probability of
        success as variable between the sets of trials, 1948, doi:10.1111/j.2517-6161.1948.tb00014.x.
    """
    if events <= 0:
        return 1.0
    flagged = min(flagged, events)
    ends = betaincinv(*shape, np.array([TAIL, 0.5]))
    high = 1 - betaincinv(shape[1], shape[0], TAIL)
    low = max(float(ends[0]), np.finfo(np.float64).tiny)
    logit = np.linspace(np.log(low / (1 - low)), _logit(float(high)), NODES)
    efficiency = 1 / (1 + np.exp(-logit))
    log_density = shape[0] * np.log(efficiency) + shape[1] * np.log1p(-efficiency) - betaln(*shape)
    density = np.exp(log_density)  # per unit of the logit
    density /= np.trapezoid(density, logit)
    more = betainc(flagged, events - flagged + 1, efficiency) if flagged > 0 else np.ones(NODES)
    less = betainc(events - flagged, flagged + 1, 1 - efficiency) if flagged < events else np.ones(NODES)
    sides = [float(np.trapezoid(side * density, logit)) for side in (more, less)]
    return min(1.0, 2 * min(sides))


def _logit(share: float) -> float:
    share = min(share, 1 - 1e-15)
    return float(np.log(share / (1 - share)))


def share_interval(flagged: float, events: float) -> tuple[float, float]:
    """Return the central 68.27 % interval of a share, Jeffreys' Beta(k + 1/2, n - k + 1/2), widened to hold k / n."""
    if events <= 0:
        return 0.0, 1.0
    tails = np.array([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    low, high = betaincinv(flagged + 0.5, max(events - flagged, 0.0) + 0.5, tails).tolist()
    return min(low, flagged / events), max(high, flagged / events)


def holm(p: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """Return p-values corrected for their number: the probability that any of so many is as small, at most.

    With the p-values in order, p_i becomes the largest of (m - j + 1) p_j, j = 1 to i: valid however the tests depend
    on each other.

    References:
        S. Holm, A simple sequentially rejective multiple test procedure, 1979, Scandinavian Journal of Statistics 6,
        65, https://www.jstor.org/stable/4615733.
    """
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return corrected
