"""Latent codes in two dimensions: their own, their principal components, or a map that keeps neighbours together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

PER_CLASS = 500  # events
PERPLEXITY = 30.0
FEWEST = 10  # events, below which neighbours say nothing


@dataclass(frozen=True)
class Scatter:
    """Latent codes of some test events in two dimensions.

    ``label`` counts ``classes``, -1 is an event without a label. There are no more than PER_CLASS events of each, drawn
    by ``seed`` without regard to weights.
    """

    plane: Float[np.ndarray, "event 2"]
    axes: tuple[str, str]
    label: Int[np.ndarray, " event"]
    classes: tuple[str, ...]
    seed: int


def scatter(
    codes: Float[np.ndarray, "event latent"],
    label: Int[np.ndarray, " event"],
    classes: Sequence[str],
    how: Literal["pca", "tsne"],
    seed: int,
) -> Scatter | None:
    """Return the codes of some events of each class: as they are where there are one or two latent dimensions.

    Of one dimension the other axis is random, so that its points lie apart. With more, ``pca`` takes the two principal
    components and ``tsne`` scikit-learn's t-SNE of perplexity 30, which keeps neighbours together and nothing else.
    None without finite codes.

    References:
        L. van der Maaten, G. Hinton, Visualizing data using t-SNE, JMLR 9 (2008) 2579.
    """
    generator = np.random.default_rng(seed)
    finite = np.isfinite(codes).all(1)
    drawn = [generator.permutation(np.flatnonzero(finite & (label == index)))[:PER_CLASS] for index in np.unique(label)]
    rows = np.sort(np.concatenate(drawn)) if drawn else np.zeros(0, np.int64)
    if not len(rows):
        return None
    chosen = codes[rows]
    axes = ("latent 1", "latent 2")
    if chosen.shape[1] == 1:
        plane, axes = np.column_stack([chosen, generator.random(len(chosen))]), ("latent 1", "at random")
    elif chosen.shape[1] == 2:
        plane = chosen
    elif how == "tsne" and len(chosen) >= FEWEST and not np.allclose(chosen, chosen[0]):
        plane, axes = _neighbours(chosen, seed), ("t-SNE 1", "t-SNE 2")
    else:
        plane, axes = components(chosen), ("component 1", "component 2")
    return Scatter(plane, axes, label[rows], tuple(classes), seed)


def components(codes: Float[np.ndarray, "event latent"]) -> Float[np.ndarray, "event 2"]:
    """Return the first two principal components."""
    centred = codes - codes.mean(0)
    directions = np.linalg.eigh(centred.T @ centred)[1][:, :-3:-1]
    return np.asarray(centred @ directions)


def _neighbours(codes: Float[np.ndarray, "event latent"], seed: int) -> Float[np.ndarray, "event 2"]:
    from sklearn.manifold import TSNE  # type: ignore[import-untyped]

    perplexity = min(PERPLEXITY, (len(codes) - 1) / 3)
    found = TSNE(perplexity=perplexity, init="pca", random_state=seed % 2**32).fit_transform(codes)
    return np.asarray(found, np.float64)
