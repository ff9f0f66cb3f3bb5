"""The Poisson bootstrap: curves and confusions of many resamples in one pass over the events.

A resample counts each event k times, k from Poisson(1): with many events what drawing with replacement does, but drawn
for each event alone.

References:
    B. Efron, Bootstrap methods: another look at the jackknife, 1979, doi:10.1214/aos/1176344552.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from hepanom.metrics import Confusion, Roc

BLOCK = 1024  # events at a time, so that the products stay in the cache
STEPS = 10  # cuts within one statistical error of the background above


def draws(events: int, resamples: int, seed: int) -> UInt8[np.ndarray, "event resample"]:
    """Return how often each resample counts each event."""
    generator = np.random.default_rng(seed)
    copies = np.empty((events, resamples), np.uint8)
    for start in range(0, events, BLOCK):
        block = copies[start : start + BLOCK]
        block[:] = generator.poisson(1.0, block.shape)
    return copies


def curves(
    score: Float[np.ndarray, " event"],
    anomaly: Bool[np.ndarray, " event"],
    weight: Float[np.ndarray, " event"],
    copies: UInt8[np.ndarray, "event resample"],
) -> Iterator[Roc]:
    """Yield the curve of each resample; the events are sorted once.

    The curves have every cut that matters up to a tenth of the statistical error: where b background events of the
    sample are above, the next cut is sqrt(b) / 10 of them away, and of the cuts between two neighbouring backgrounds
    the tightest and the loosest are there. So n events need about 40 sqrt(n) cuts, and small samples have all corners.
    k copies of weight w add k w^2 to the sums of squares: (k w)^2 would halve the effective counts.
    """
    order = np.argsort(-score, kind="stable")
    score, anomaly, weight, copies = score[order], anomaly[order], weight[order], copies[order]
    first = _first_below(score, anomaly)
    cut = np.append(score[first].astype(np.float64), -np.inf)
    background = np.where(anomaly, 0.0, weight)
    for sums in _sums_above(first, np.stack([weight - background, background, background * weight]), copies):
        yield Roc(cut, *sums)


def confusions(
    flagged: Bool[np.ndarray, " event"],
    anomaly: Bool[np.ndarray, " event"],
    weight: Float[np.ndarray, " event"],
    copies: UInt8[np.ndarray, "event resample"],
) -> Iterator[Confusion]:
    """Yield the confusion of each resample: sums are linear in the copies, so that this is one matrix product."""
    sums = np.zeros((4, copies.shape[1]))
    for start in range(0, len(weight), BLOCK):
        block = slice(start, start + BLOCK)
        flag, signal = flagged[block], anomaly[block]
        cells = np.stack([flag & signal, flag & ~signal, ~flag & signal, ~flag & ~signal])
        sums += (cells * weight[block]) @ copies[block].astype(np.float64)
    for tp, fp, fn, tn in sums.T.tolist():
        yield Confusion(tp, fp, fn, tn)


def _first_below(score: Float[np.ndarray, " event"], anomaly: Bool[np.ndarray, " event"]) -> Int[np.ndarray, " cut"]:
    """Return the first event below each cut of a bootstrap, for events in order of falling score."""
    first = np.flatnonzero(np.append(True, score[1:] != score[:-1])[: len(score)])
    above = np.append(0, np.cumsum(~anomaly))[first]
    step = np.floor(2 * STEPS * np.sqrt(above))
    reached = above[np.append(True, step[1:] != step[:-1])[: len(above)]]
    corner = np.ones(len(first), np.bool_)
    corner[1:-1] = (above[1:-1] != above[:-2]) | (above[1:-1] != above[2:])
    return first[corner & np.isin(above, reached)]


def _sums_above(
    first: Int[np.ndarray, " cut"],
    columns: Float[np.ndarray, "column event"],
    copies: UInt8[np.ndarray, "event resample"],
) -> Float[np.ndarray, "resample column cut+1"]:
    """Sum the columns of the events above each cut, the last of which is below all events."""
    sums = np.zeros((len(columns), len(first) + 1, copies.shape[1]))
    for start in range(0, len(copies), BLOCK):
        block = slice(start, start + BLOCK)
        low, high = np.searchsorted(first, (start + 1, start + BLOCK))
        inside = np.maximum(first[low - 1 : high] - start, 0)
        drawn = copies[block].astype(np.float64)
        for column, total in zip(columns, sums, strict=True):
            total[low : high + 1] += np.add.reduceat(drawn * column[block, None], inside, axis=0)
    return np.moveaxis(sums.cumsum(1), 2, 0)
