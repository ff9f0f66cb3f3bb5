"""Sums over chunks of events, in memory that does not grow: moments, ranges, histograms, weights, points."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int, Int64, Shaped

from hepanom.events import Jagged
from hepanom.histograms import binning

BINS = 30
SAMPLE = 20_000  # values of a column that decide its bins
NINES = re.compile(r"-9{2,}")
WIDEST = 4  # bins of whole numbers; beyond that they are like any others


@dataclass(frozen=True)
class Summary:
    """What is known of many values; ``low`` is above ``high`` where there was no finite one.

    ``lowest`` of them are ``low``. ``m2`` is the sum of squared distances from the mean; ``counts`` are values by class
    (the last one without a label) in the bins, the first and last of which are below and above the edges. Infinite
    values are in no bin.
    """

    values: int
    missing: int
    infinite: int
    low: float
    lowest: int
    high: float
    mean: float
    m2: float
    counts: Int64[np.ndarray, "class bin"]

    def __add__(self, other: Summary) -> Summary:
        """Return the summary of both.

        References:
            T. Chan, G. Golub, R. LeVeque, Updating formulae and a pairwise algorithm for computing sample variances,
            COMPSTAT 1982, doi:10.1007/978-3-642-51461-6_3.
        """
        a, b = self.finite, other.finite
        shift, share = other.mean - self.mean, b / max(a + b, 1)
        return Summary(
            self.values + other.values,
            self.missing + other.missing,
            self.infinite + other.infinite,
            min(self.low, other.low),
            sum(each.lowest for each in (self, other) if each.low <= min(self.low, other.low)),
            max(self.high, other.high),
            self.mean + shift * share,
            self.m2 + other.m2 + shift**2 * a * share,
            self.counts + other.counts,
        )

    @property
    def finite(self) -> int:
        """Return how many values are numbers."""
        return self.values - self.missing - self.infinite

    @property
    def placeholder(self) -> float | None:
        """Return -99, -999 and the like where several values are that and none is below: it may mean missing."""
        return self.low if self.lowest > 1 and NINES.fullmatch(f"{self.low:.10g}") else None

    @property
    def std(self) -> float:
        """Return the standard deviation."""
        return float(np.sqrt(self.m2 / max(self.finite, 1)))


@dataclass(frozen=True)
class Weights:
    """The events of one class, with their weights."""

    events: int = 0
    total: float = 0.0
    squares: float = 0.0
    negative: int = 0
    low: float = np.inf
    high: float = -np.inf

    def __add__(self, other: Weights) -> Weights:
        """Return both together."""
        return Weights(
            self.events + other.events,
            self.total + other.total,
            self.squares + other.squares,
            self.negative + other.negative,
            min(self.low, other.low),
            max(self.high, other.high),
        )


@dataclass(frozen=True)
class Points:
    """How many points the events have."""

    events: int = 0
    total: int = 0
    most: int = 0
    empty: int = 0

    def __add__(self, other: Points) -> Points:
        """Return both together."""
        return Points(
            self.events + other.events,
            self.total + other.total,
            max(self.most, other.most),
            self.empty + other.empty,
        )


def edges(sample: Float[np.ndarray, " value"]) -> Float64[np.ndarray, " edge"]:
    """Return the edges of at most thirty bins; whole numbers get bins of equal whole widths around them."""
    if len(sample) and (sample == np.round(sample)).all() and np.abs(sample).max() < 2**52:
        low, high = np.quantile(sample, (0, 1))
        width = np.ceil((high - low + 1) / BINS)
        if width <= WIDEST:
            return np.asarray(np.arange(low - 0.5, high + 0.5 + width, width))
    return binning(sample[:: 1 + len(sample) // SAMPLE], np.empty(0), margin=0.0)


def summarized(
    values: Shaped[np.ndarray, " value"],
    labels: Int[np.ndarray, " value"],
    edges: Float64[np.ndarray, " edge"],
    classes: int,
) -> Summary:
    """Return the summary of values, whose labels run from -1 to ``classes`` - 1."""
    values = values.astype(np.float64)
    finite = np.isfinite(values)
    missing = int(np.isnan(values).sum())
    numbers, labels = values[finite], labels[finite]
    bins = len(edges) + 1
    place = np.searchsorted(edges, numbers, side="right")
    place[numbers == edges[-1]] -= 1
    counts = np.bincount(np.where(labels < 0, classes, labels) * bins + place, minlength=(classes + 1) * bins)
    mean = float(numbers.mean()) if len(numbers) else 0.0
    return Summary(
        len(values),
        missing,
        len(values) - missing - len(numbers),
        low := float(numbers.min(initial=np.inf)),
        int((numbers == low).sum()),
        float(numbers.max(initial=-np.inf)),
        mean,
        float(((numbers - mean) ** 2).sum()),
        counts.reshape(classes + 1, bins),
    )


def weighed(weight: Float[np.ndarray, " event"]) -> Weights:
    """Return what these weights are."""
    low, high = weight.min(initial=np.inf), weight.max(initial=-np.inf)
    return Weights(
        len(weight), float(weight.sum()), float((weight**2).sum()), int((weight < 0).sum()), float(low), float(high)
    )


def counted(cloud: Jagged) -> Points:
    """Return how many points these events have."""
    counts = np.diff(cloud.offsets)
    return Points(len(counts), int(counts.sum()), int(counts.max(initial=0)), int((counts == 0).sum()))
