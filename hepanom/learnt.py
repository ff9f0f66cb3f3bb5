"""What a network has learnt, as values to be drawn: events that it makes, its codes one by one, its canvases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

BRIGHTEST = 0.998  # quantile of the pixels where the colours end
CHANCE = 1.358  # quantile of Kolmogorov's distribution that 95 % lie below


@dataclass(frozen=True)
class Samples:
    """Events that a network made of noise beside test events: tables in the units of the data, or images.

    ``real`` are background where that is known, of ``weight`` as in training. Of a table ``distances`` holds the
    ``distance`` in each column and ``chance`` what two samples of one distribution stay below in 95 % of cases.
    """

    columns: tuple[str, ...]
    units: tuple[str, ...]
    real: Float[np.ndarray, "event ..."]
    weight: Float[np.ndarray, " event"]
    generated: Float[np.ndarray, "draw ..."]
    distances: tuple[float, ...] = ()
    chance: float = 0.0


@dataclass(frozen=True)
class Traversal:
    """What a decoder makes of codes that move along one latent dimension, all others at their mean.

    ``steps`` are standard deviations from the mean, ``dimensions`` those of the ``latent`` ones that move the events
    most, strongest first. ``values`` are tables in the units of the data, or images, or the points of a set. Of a
    table ``low`` and ``high`` hold the middle 68 % of the test background, of images its ``colours``. ``conditional``
    says that the decoder was given the conditions of one test event.
    """

    latent: int
    dimensions: tuple[int, ...]
    steps: Float[np.ndarray, " step"]
    columns: tuple[str, ...]
    units: tuple[str, ...]
    values: Float[np.ndarray, "dimension step ..."]
    low: Float[np.ndarray, " feature"] | None = None
    high: Float[np.ndarray, " feature"] | None = None
    conditional: bool = False


@dataclass(frozen=True)
class Canvases:
    """Some test events as images, and what a network shows of each after every step."""

    truth: tuple[str, ...]
    images: Float[np.ndarray, "event channel row column"]
    steps: Float[np.ndarray, "event step channel row column"]


@dataclass(frozen=True)
class Learnt:
    """What the first network of a category can show of what it has learnt; None where it cannot."""

    samples: Samples | None = None
    traversal: Traversal | None = None
    canvases: Canvases | None = None


def compared(
    columns: Sequence[str],
    units: Sequence[str],
    real: Float[np.ndarray, "event feature"],
    weight: Float[np.ndarray, " event"],
    generated: Float[np.ndarray, "draw feature"],
) -> Samples:
    """Return the samples with the distance in each column.

    A column that is missing or constant in both is left out, and one that was given: a condition, equal event by event.
    """
    found = [column[~np.isnan(column)] for column in np.concatenate([real, generated]).T]
    given = [np.array_equal(*pair, equal_nan=True) for pair in zip(real.T, generated.T, strict=True)]
    varies = [index for index, column in enumerate(found) if (column != column[:1]).any() and not given[index]]
    size = float(weight.sum()) ** 2 / float(np.square(weight).sum())
    return Samples(
        tuple(columns[index] for index in varies),
        tuple(units[index] for index in varies),
        real[:, varies],
        weight,
        generated[:, varies],
        tuple(distance(real[:, index], weight, generated[:, index]) for index in varies),
        CHANCE * float(np.sqrt(1 / size + 1 / len(generated))),
    )


def distance(
    real: Float[np.ndarray, " event"], weight: Float[np.ndarray, " event"], generated: Float[np.ndarray, " draw"]
) -> float:
    """Return the Kolmogorov-Smirnov distance between weighted events and generated ones.

        D = max_x |sum_{x_i <= x} w_i / sum_i w_i - #{y_j <= x} / #{y_j}|,

    0 where the distributions agree and 1 where they do not overlap. Missing values are left out; NaN where there are no
    others.

    References:
        F. James, Statistical methods in experimental physics, 2nd edition, World Scientific 2006, section 11.4.2.
    """
    there = ~np.isnan(real)
    real, weight, generated = real[there], weight[there], generated[~np.isnan(generated)]
    if not len(real) or not len(generated):
        return float("nan")
    edges = np.unique(np.concatenate([real, generated]))
    shares = [
        np.cumsum(np.bincount(np.searchsorted(edges, values), counts, len(edges))) / counts.sum()
        for values, counts in ((real, weight), (generated, np.ones(len(generated))))
    ]
    return float(np.abs(shares[0] - shares[1]).max())


def colours(images: Float[np.ndarray, "*many channel row column"]) -> tuple[float, float]:
    """Return where the colours of images begin and end: at the darkest pixel, and beyond nearly all that are not."""
    summed = images.sum(-3)
    low = float(summed.min())
    above = summed[summed > low]
    return low, float(np.quantile(above, BRIGHTEST)) if len(above) else low + 1


def strongest(changes: Shaped[np.ndarray, " any"], most: int) -> list[int]:
    """Return the positions of the largest values, largest first, without those that are 0 or missing."""
    found = np.nan_to_num(changes, nan=0.0)
    return [index for index in np.argsort(-found, kind="stable")[:most].tolist() if found[index] > 0]
