"""Figures of images in rows: generated ones beside real ones, latent traversals, and canvases step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from hepanom.canvas import ANOMALY, bare, heading, plain
from hepanom.learnt import Canvases, Samples, Traversal, colours
from hepanom.result import Result

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

SIDE = 4  # images along each side of a square of them


def samples_strip(result: Result, label: str, samples: Samples) -> matplotlib.figure.Figure:
    """Draw a square of test images and one of generated ones, on one colour scale."""
    figure, axes = _grid(result, label, SIDE, 2 * SIDE + 1, gap=SIDE)
    scale = colours(samples.real)
    for start, images, name in ((0, samples.real, "test"), (SIDE + 1, samples.generated, "generated")):
        axes[0][start].set_title(name, loc="left", fontsize=11)
        for place in range(SIDE * SIDE):
            ax = axes[place // SIDE][start + place % SIDE]
            if place < len(images):
                _show(ax, images[place], scale)
            else:
                ax.set_axis_off()
    return figure


def traversal_strip(result: Result, label: str, traversal: Traversal) -> matplotlib.figure.Figure:
    """Draw a row for each latent dimension: what is decoded in steps of its standard deviation from the mean code."""
    figure, axes = _grid(result, label, len(traversal.dimensions), len(traversal.steps))
    points = traversal.values.ndim == 4
    scale = (0.0, 0.0) if traversal.low is None or traversal.high is None else (traversal.low[0], traversal.high[0])
    ends = np.stack([traversal.values.min((0, 1, 2)), traversal.values.max((0, 1, 2))]) if points else np.zeros((2, 2))
    for row, dimension, images in zip(axes, traversal.dimensions, traversal.values, strict=True):
        row[0].set_ylabel(f"latent {dimension + 1}", fontsize=11, loc="center")
        for ax, step, image in zip(row, traversal.steps, images, strict=True):
            if points:
                ax.scatter(image[:, 0], image[:, 1], s=5, color=ANOMALY, lw=0)
                ax.set(xlim=_wider(ends[:, 0]), ylim=_wider(ends[:, 1]))
                bare(ax)
            else:
                _show(ax, image, scale)
            if row is axes[0]:
                ax.set_title(f"{step:+.0f} sd" if step else "mean", fontsize=10, loc="center")
    if points:
        x, y, *_ = [*dict.fromkeys(column.partition("[")[0] for column in traversal.columns), ""]
        figure.text(0.99, 0.985, f"{plain(y)} over {plain(x)}", ha="right", va="top", fontsize=11)
    return figure


def canvas_strip(result: Result, label: str, canvases: Canvases) -> matplotlib.figure.Figure:
    """Draw a row for each event: what the network shows after each step, and the image itself."""
    shown = _chosen(canvases.steps.shape[1])
    figure, axes = _grid(result, label, len(canvases.images), len(shown) + 1)
    for row, truth, image, steps in zip(axes, canvases.truth, canvases.images, canvases.steps, strict=True):
        scale = colours(image)
        row[0].set_ylabel(plain(truth), fontsize=11, loc="center")
        for ax, step in zip(row, shown, strict=False):
            _show(ax, steps[step], scale)
            if row is axes[0]:
                ax.set_title(f"step {step + 1}", fontsize=10, loc="center")
        _show(row[-1], image, scale)
        if row is axes[0]:
            row[-1].set_title("event", fontsize=10, loc="center")
    return figure


def _chosen(steps: int, most: int = 10) -> list[int]:
    """Return which steps are shown: all, or some from the first to the last."""
    found: list[int] = np.unique(np.linspace(0, steps - 1, min(steps, most)).round().astype(int)).tolist()
    return found


def _grid(
    result: Result, label: str, rows: int, columns: int, gap: int | None = None
) -> tuple[matplotlib.figure.Figure, Sequence[Sequence[matplotlib.axes.Axes]]]:
    """Return a figure of small axes, titled with the run's name; the column ``gap`` is left empty and narrow."""
    from matplotlib.figure import Figure

    side = 1.35
    widths = [0.25 if column == gap else 1.0 for column in range(columns)]
    height = side * rows + 0.75
    figure = Figure(figsize=(side * sum(widths) + 0.5, height))
    axes = figure.subplots(rows, columns, squeeze=False, width_ratios=widths)
    for ax in axes[:, gap] if gap is not None else ():
        ax.set_axis_off()
    figure.suptitle(heading(result, label), x=0.02, y=1 - 0.1 / height, ha="left", va="top", fontsize=12)
    figure.subplots_adjust(left=0.05, right=0.99, top=1 - 0.68 / height, bottom=0.03, wspace=0.05, hspace=0.05)
    return figure, axes.tolist()


def _wider(ends: Float[np.ndarray, 2]) -> tuple[float, float]:
    margin = 0.05 * float(ends[1] - ends[0]) + 1e-6
    return float(ends[0]) - margin, float(ends[1]) + margin


def _show(ax: matplotlib.axes.Axes, image: Float[np.ndarray, "channel row column"], scale: tuple[float, float]) -> None:
    ax.imshow(
        image.sum(0),
        origin="lower",
        cmap="viridis",
        vmin=scale[0],
        vmax=scale[1],
        interpolation="nearest",
        aspect="auto",
    )
    bare(ax)
