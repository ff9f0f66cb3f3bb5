"""Images beside what the network gives back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hepanom.canvas import plain
from hepanom.result import Picture, Result

if TYPE_CHECKING:
    import matplotlib.figure

ROWS = ("input", "reconstruction", "difference")


def image_figure(result: Result, label: str, pictures: Sequence[Picture]) -> matplotlib.figure.Figure:
    """Draw a column per event: its image, the reconstruction, and their difference; channels are summed.

    Image and reconstruction of an event share one colour scale, from the image's smallest to its largest value; the
    difference has one around zero.
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
            ax.set(xticks=[], yticks=[])
            ax.tick_params(which="both", length=0)
        first = picture.why != (pictures[column - 1].why if column else "")
        axes[0, column].set_title(
            (f"{plain(picture.why)}\n" if first else "\n") + plain(picture.truth), loc="left", fontsize=9
        )
    for row, name in enumerate(ROWS):
        axes[row, 0].set_ylabel(name, fontsize=11, loc="center")
    name = f", category {plain(label)}" if len(result.categories) > 1 else ""
    figure.suptitle(plain(result.name) + name, x=0.01, ha="left", fontsize=12)
    figure.subplots_adjust(left=0.05, right=0.99, top=0.85, bottom=0.02, wspace=0.05, hspace=0.05)
    return figure
