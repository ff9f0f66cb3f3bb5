"""Images beside what the network gives back, and where in them a score comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from hepanom.canvas import bare, heading, plain
from hepanom.result import Picture, Result

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

ROWS = ("input", "reconstruction", "difference")


def image_figure(result: Result, label: str, pictures: Sequence[Picture]) -> matplotlib.figure.Figure:
    """Draw a column per event: its image, the reconstruction, and their difference; channels are summed.

    Image and reconstruction of an event share one colour scale, from the image's smallest to its largest value; the
    difference has one around zero, and outlines the fewest pixels that hold half of the score.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.75 * len(pictures) + 0.5, 6.4))
    axes = figure.subplots(len(ROWS), len(pictures), squeeze=False)
    for column, picture in enumerate(pictures):
        image, given = picture.pair.sum(1).astype(float)
        difference = image - given
        low, high, most = image.min(), image.max(), np.abs(difference).max()
        scales = [("viridis", low, high), ("viridis", low, high), ("RdBu_r", -most, most)]
        for row, (values, (colors, least, largest)) in enumerate(zip((image, given, difference), scales, strict=True)):
            ax = axes[row, column]
            ax.imshow(values, origin="lower", cmap=colors, vmin=least, vmax=largest, interpolation="nearest")
            bare(ax)
        _outline(axes[-1, column], heaviest(picture.share.sum(0)))
        first = picture.why != (pictures[column - 1].why if column else "")
        axes[0, column].set_title(
            (f"{plain(picture.why)}\n" if first else "\n") + plain(picture.truth), loc="left", fontsize=9
        )
    for row, name in enumerate(ROWS):
        axes[row, 0].set_ylabel(name, fontsize=11, loc="center")
    figure.suptitle(heading(result, label), x=0.01, ha="left", fontsize=12)
    if scorer := pictures[0].scorer:
        figure.text(0.99, 0.98, f"outlined: half of the score {plain(scorer)}", ha="right", va="top", fontsize=10)
    figure.subplots_adjust(left=0.05, right=0.99, top=0.85, bottom=0.02, wspace=0.05, hspace=0.05)
    return figure


def heaviest(share: Float[np.ndarray, "row column"]) -> Bool[np.ndarray, "row column"]:
    """Return the fewest pixels that together hold half of all shares; none where all are 0."""
    falling = np.sort(share, axis=None)[::-1]
    held = np.cumsum(falling)
    least = falling[np.searchsorted(held, 0.5 * held[-1])] if held[-1] > 0 else np.inf
    return share >= least


def _outline(ax: matplotlib.axes.Axes, pixels: Bool[np.ndarray, "row column"]) -> None:
    """Draw a line between pixels that are chosen and those that are not."""
    from matplotlib.collections import LineCollection

    padded = np.pad(pixels, 1)
    rows, columns = np.nonzero(padded[1:] != padded[:-1])
    level = [((column - 1.5, row - 0.5), (column - 0.5, row - 0.5)) for row, column in zip(rows, columns, strict=True)]
    rows, columns = np.nonzero(padded[:, 1:] != padded[:, :-1])
    upright = [
        ((column - 0.5, row - 1.5), (column - 0.5, row - 0.5)) for row, column in zip(rows, columns, strict=True)
    ]
    ax.add_collection(LineCollection([*level, *upright], colors="black", linewidths=0.7))
