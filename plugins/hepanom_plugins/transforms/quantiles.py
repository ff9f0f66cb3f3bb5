"""Weighted quantiles of columns, measured chunk by chunk from a sample that does not depend on the chunks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Shaped

from hepanom.contracts import Sketch
from hepanom.events import hash64

KEPT = 2**19
_SEED = 0x6D656469616E  # the split hashes the same ids: with another seed the sample is independent of it


def measure(
    features: Float[np.ndarray, "row feature"], weight: Float[np.ndarray, " row"], ids: Shaped[np.ndarray, " row"]
) -> Sketch:
    """Return all events of a chunk, or a priority sample of them where there are more than ``KEPT``.

    Event i has the priority q_i = w_i / u_i, with u_i in (0, 1) from the hash of its id. The sample is the k = KEPT
    events of highest priority; t, the highest priority outside of it, is carried as one event more. An event of the
    sample stands for the weight max(w_i, t). Which events those are depends on the events alone, not on chunks or
    order.

    Up to k events everything is exact. Beyond, the share F of the weight below a value is estimated with a standard
    deviation of at most sqrt(F (1 - F) / (f (k - 1))) to leading order, whatever the weights, where f is the share of
    the weight at which the column is present: 0.0007 for the median of a column that is never missing.

    References:
        N. Duffield, C. Lund, M. Thorup, Priority sampling for estimation of arbitrary subset sums, J. ACM 54 (2007) 32,
        doi:10.1145/1314690.1314696.
        M. Szegedy, The DLT priority sampling is essentially optimal, STOC 2006, doi:10.1145/1132516.1132539.
    """
    uniform = ((hash64([ids], _SEED) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return _highest({"rows": features, "weight": weight, "priority": weight / uniform})


def merge(a: Sketch, b: Sketch) -> Sketch:
    """Return the sample of both chunks together."""
    return _highest({key: np.concatenate([a[key], b[key]]) for key in ("rows", "weight", "priority")})


def median(sketch: Sketch) -> Float[np.ndarray, " feature"]:
    """Return the weighted median of each column's finite values, 0 where there are none.

    It is the middle of the lowest and the highest value that leave at most half of the weight on either side, which for
    equal weights is the median of the textbooks.
    """
    rows, weight = _sample(sketch)
    return np.array([_median(column, weight) for column in rows.T], np.float64)


def distributions(
    sketch: Sketch,
) -> Iterator[tuple[Float[np.ndarray, " value"], Float[np.ndarray, " value"]]]:
    """Yield, for each column, its distinct finite values v_1 < ... < v_m and the mid-distribution function at them.

    With w_j the weight at v_j, F(v_j) = (w_1 + ... + w_j - w_j / 2) / (w_1 + ... + w_m): equal values share the middle
    of their ranks. Both are float64, and empty for a column without finite values.

    References:
        E. Parzen, Quantile probability and statistical data modeling, Statist. Sci. 19 (2004) 652,
        doi:10.1214/088342304000000387.
    """
    rows, weight = _sample(sketch)
    for column in rows.T:
        finite = np.isfinite(column)
        values, place = np.unique(column[finite].astype(np.float64), return_inverse=True)
        at = np.bincount(place, weight[finite], len(values))
        below = np.cumsum(at)
        yield values, (below - at / 2) / below[-1:]


def _sample(sketch: Sketch) -> tuple[Float[np.ndarray, "row feature"], Float[np.ndarray, " row"]]:
    """Return the events of the sample, and the weight that each of them stands for."""
    rows, weight, priority = sketch["rows"], sketch["weight"], sketch["priority"]
    if len(rows) <= KEPT:
        return rows, weight
    threshold = priority.argmin()
    return np.delete(rows, threshold, axis=0), np.delete(np.maximum(weight, priority[threshold]), threshold)


def _median(values: Float[np.ndarray, " row"], weight: Float[np.ndarray, " row"]) -> float:
    finite = np.isfinite(values)
    if not finite.any():
        return 0.0
    order = np.argsort(values[finite], kind="stable")
    values, cumulative = values[finite][order], np.cumsum(weight[finite][order])
    # sums that are equal but for rounding must not choose by the order in which they were added
    half = cumulative[-1] * np.array([0.5 - 1e-12, 0.5 + 1e-12])
    low, high = values[np.searchsorted(cumulative, half)].astype(np.float64)
    return float(low + (high - low) / 2)


def _highest(sketch: Sketch) -> Sketch:
    """Return the ``KEPT`` + 1 events of highest priority, in order."""
    surplus = len(sketch["priority"]) - KEPT - 1
    if surplus <= 0:
        return sketch
    kept = np.sort(np.argpartition(sketch["priority"], surplus)[surplus:])
    return {key: column[kept] for key, column in sketch.items()}
