"""Figures with a panel for each feature: generated events beside real ones, latent traversals; and codes by class."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from hepanom.canvas import ANOMALY, BACKGROUND, LINES, SHADE, UNKNOWN, blank, heading, plain
from hepanom.learnt import Samples, Traversal
from hepanom.plane import Scatter
from hepanom.result import Result

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

MOST = 16  # panels
ACROSS = 4
BINS = 40
TAIL = 5e-3  # share of the values on either side that the bins need not hold
LONGEST = 28  # characters of a column's name
GENERATED = "#e76300"
CURVES = ("#3f90da", "#bd1f01", "#717581", "#ffa90e")


def samples_figure(result: Result, label: str, samples: Samples) -> matplotlib.figure.Figure:
    """Draw the distribution of each column in test events and generated ones, those that differ most first."""
    order = np.argsort(-np.nan_to_num(np.array(samples.distances)), kind="stable")[:MOST].tolist()
    figure, axes = _grid(result, label, len(order))
    for ax, index in zip(axes, order, strict=True):
        real, made = samples.real[:, index], samples.generated[:, index]
        edges = _edges(real)
        ax.stairs(_filled(real, samples.weight, edges), edges, fill=True, color=BACKGROUND, alpha=0.45, label="test")
        ax.stairs(_filled(made, np.ones(len(made)), edges), edges, color=GENERATED, lw=1.4, label="generated")
        distance = samples.distances[index]
        color = ANOMALY if distance > samples.chance else "black"
        ax.set_title(f"KS {distance:.2f}", loc="right", fontsize=9, color=color)
        ax.set(xlim=edges[[0, -1]], yticks=[])
        ax.set_ylim(0, 1.08 * ax.dataLim.y1)
        _small(ax)
        ax.set_xlabel(_name(samples.columns[index], samples.units[index]), fontsize=10, labelpad=1, loc="right")
    handles, names = axes[0].get_legend_handles_labels()
    names[1] += f" (red: KS above {samples.chance:.2g})"
    figure.legend(handles, names, loc="upper right", ncols=2, fontsize=11, frameon=False)
    return figure


def traversal_figure(result: Result, label: str, traversal: Traversal) -> matplotlib.figure.Figure:
    """Draw what each column of the decoded table does along each latent dimension; a band shows the test events."""
    assert traversal.low is not None
    assert traversal.high is not None
    reach = np.ptp(traversal.values, axis=1).max(0) / np.maximum(traversal.high - traversal.low, 1e-30)
    order = np.argsort(-reach, kind="stable")[:MOST].tolist()
    figure, axes = _grid(result, label, len(order))
    for ax, index in zip(axes, order, strict=True):
        ax.axhspan(traversal.low[index], traversal.high[index], color=SHADE, lw=0)
        for dimension, curve, color in zip(traversal.dimensions, traversal.values[:, :, index], CURVES, strict=False):
            ax.plot(traversal.steps, curve, color=color, lw=1.4, label=f"latent {dimension + 1}")
        ax.set(xlim=traversal.steps[[0, -1]], xticks=[-3, 0, 3])
        ax.margins(y=0.08)
        _small(ax)
        ax.set_title(_name(traversal.columns[index], traversal.units[index]), loc="left", fontsize=9)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="upper right", ncols=4, fontsize=11, frameon=False)
    figure.supxlabel("standard deviations from the mean code", fontsize=11, y=0.01)
    return figure


def scatter_figure(result: Result, label: str, scatter: Scatter) -> matplotlib.figure.Figure:
    """Draw the codes of some events of each class."""
    figure, (ax,) = blank(result, label)
    for name, color, codes in _classes(result, scatter):
        ax.scatter(codes[:, 0], codes[:, 1], s=9, color=color, lw=0, alpha=0.6, label=f"{plain(name)} ({len(codes)})")
    low, high = np.quantile(scatter.plane, (2e-3, 1 - 2e-3), axis=0)
    margin = 0.06 * (high - low) + 1e-9
    ax.set(xlabel=scatter.axes[0], ylabel=scatter.axes[1])
    ax.set(xlim=(low[0] - margin[0], high[0] + margin[0]), ylim=(low[1] - margin[1], high[1] + 4 * margin[1]))
    ax.legend(loc="upper left", ncols=3, markerscale=2, handletextpad=0.2)
    return figure


def _classes(result: Result, scatter: Scatter) -> Iterator[tuple[str, str, Float[np.ndarray, "event 2"]]]:
    """Yield name, colour and codes of every class, background first."""
    present = np.unique(scatter.label).tolist()
    known = [index for index in present if index >= 0]
    known.sort(key=lambda index: scatter.classes[index] not in result.background)
    used, others = set[str](), cycle(LINES)
    for index in known:
        wanted = BACKGROUND if scatter.classes[index] in result.background or not result.background else ANOMALY
        color = wanted if wanted not in used else next(others)
        used.add(color)
        yield scatter.classes[index], color, scatter.plane[scatter.label == index]
    if -1 in present:
        yield "unlabelled", UNKNOWN, scatter.plane[scatter.label == -1]


def _grid(result: Result, label: str, panels: int) -> tuple[matplotlib.figure.Figure, list[matplotlib.axes.Axes]]:
    """Return a figure with so many panels, titled with the run's name and, where there are several, the category."""
    from matplotlib.figure import Figure

    rows = -(-panels // ACROSS)
    height = 2.1 * rows + 0.8
    figure = Figure(figsize=(12.8, height))
    axes = figure.subplots(rows, ACROSS, squeeze=False).ravel().tolist()
    for ax in axes[panels:]:
        ax.remove()
    figure.suptitle(heading(result, label), x=0.03, y=1 - 0.12 / height, ha="left", va="top", fontsize=13)
    figure.subplots_adjust(left=0.04, right=0.985, top=1 - 0.7 / height, bottom=0.62 / height, wspace=0.22, hspace=0.55)
    return figure, axes[:panels]


def _name(column: str, unit: str) -> str:
    return plain(column[:LONGEST]) + (f" [{plain(unit)}]" if unit else "")


def _small(ax: matplotlib.axes.Axes) -> None:
    """Make the ticks small."""
    ax.tick_params(labelsize=9, pad=2)
    ax.tick_params(which="major", length=4)
    ax.tick_params(which="minor", length=2)


def _filled(
    values: Float[np.ndarray, " event"], weight: Float[np.ndarray, " event"], edges: Float[np.ndarray, " edge"]
) -> Float[np.ndarray, " bin"]:
    """Return the share of the weight in each bin; what lies outside counts in the first and last one."""
    there = ~np.isnan(values)
    inside = np.clip(values[there], edges[0], edges[-1])
    return np.histogram(inside, edges, weights=weight[there] / weight[there].sum())[0]


def _edges(values: Float[np.ndarray, " event"]) -> Float[np.ndarray, " edge"]:
    """Return bins that hold all but the outermost of the test events."""
    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, (TAIL, 1 - TAIL)).tolist() if len(finite) else (0.0, 1.0)
    margin = 0.05 * (high - low) or 0.5 * max(1.0, abs(high))
    return np.linspace(low - margin, high + margin, BINS + 1)
