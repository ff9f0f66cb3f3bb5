"""The first objective of a search over what it drew: number by number, choice by choice, and two numbers at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from hepanom.canvas import BACKGROUND, LONGEST, TRAINING, plain
from hepanom.search_axes import names, places, shortened, ticks
from hepanom.search_goal import LEGEND, TITLE, Goal, colour_key, faint, goal, lay, sheet
from hepanom.space import Axis
from hepanom.trials import Search

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

GOLDEN = 0.618034  # multiples of it spread evenly over [0, 1), however many there are
ROUGH = 8  # trials from which on a choice has a violin
CELLS = 240  # along either axis of the colours between trials
REACH = 0.29  # standard deviation of evenly drawn values, in units of their range


def slice_figure(search: Search, axes: Sequence[Axis], place: int = 0) -> matplotlib.figure.Figure:
    """Draw an objective over each of some axes of numbers."""
    found, short = goal(search, place), names(search.axes)
    figure, grid = sheet(search, [1.6] * -(-len(axes) // 2), 2, 0.62, above=TITLE)
    for ax in grid.ravel()[len(axes) :]:
        ax.set_axis_off()
    for ax, axis in zip(grid.ravel(), axes, strict=False):
        where = places(axis, [trial.drawn.get(axis.path) for trial in search.trials])
        _points(ax, where, found.shown(found.values), search)
        lay(ax, found, "y")
        along(ax, axis)
        name = ax.get_ylabel()
        ax.set_xlabel(plain(short[axis.path][:LONGEST]), fontsize=11, loc="center")
        ax.tick_params(labelsize=10)
        ax.set_ylabel("")
        if ax not in grid[:, 0]:
            ax.tick_params(labelleft=False)
    figure.supylabel(name, x=0.012, fontsize=12)
    return figure


def choice_figure(search: Search, axes: Sequence[Axis]) -> matplotlib.figure.Figure:
    """Draw the first objective for each choice of some axes: every trial, the median, and a violin of many."""
    found, short = goal(search), names(search.axes)
    figure, grid = sheet(search, [0.36 * len(axis.choices) for axis in axes], 1, 0.36, above=TITLE + 0.25, left=0.3)
    for ax, axis in zip(grid.ravel(), axes, strict=True):
        _strips(ax, axis, found, search)
        ax.set_title(plain(short[axis.path][:LONGEST]), loc="left", fontsize=11)
        ax.tick_params(labelsize=10, labelbottom=axis is axes[-1])
        ax.set_xlabel(ax.get_xlabel() if axis is axes[-1] else "")
    return figure


def _strips(ax: matplotlib.axes.Axes, axis: Axis, found: Goal, search: Search) -> None:
    for row, choice in enumerate(axis.choices):
        drawn = [str(trial.drawn.get(axis.path)) == choice for trial in search.trials]
        here = np.array(drawn, bool) & np.isfinite(found.values)
        values = found.shown(found.values[here])
        if len(values) >= ROUGH:
            coordinate = np.log(values) if found.log else values
            body = _outline(coordinate)
            if body is not None:
                edge, width = body
                edge = np.exp(edge) if found.log else edge
                ax.fill_between(edge, row - width, row + width, color=BACKGROUND, alpha=0.22, lw=0)
        jitter = 0.5 * _spread(np.array([trial.number for trial in search.trials], np.int64)[here])
        ax.scatter(values, row + jitter, 18, color=BACKGROUND, lw=0, alpha=max(faint(len(values)), 0.4))
        if len(values):
            ax.plot([np.median(values)] * 2, [row - 0.38, row + 0.38], color=TRAINING, lw=2.6)
    lay(ax, found, "x")
    ax.set_ylim(len(axis.choices) - 0.4, -0.6)
    ax.set_yticks(range(len(axis.choices)), [plain(shortened(choice, 20)) for choice in axis.choices])
    ax.tick_params(axis="y", which="both", length=0)


def _outline(
    values: Float[np.ndarray, " trial"],
) -> tuple[Float[np.ndarray, " edge"], Float[np.ndarray, " edge"]] | None:
    """Return a density of values between the least and the largest, at most 0.4 wide; None where all are equal."""
    from scipy.stats import gaussian_kde  # type: ignore[import-untyped]

    if np.ptp(values) <= 1e-9 * np.abs(values).max():
        return None
    edge = np.linspace(values.min(), values.max(), 100)
    density = gaussian_kde(values)(edge)
    return edge, 0.4 * density / density.max()


def contour_figure(search: Search, across: Axis, up: Axis) -> matplotlib.figure.Figure:
    """Draw the first objective over two axes, as points, and between numbers as a local mean of the trials nearby.

    The mean has a Gaussian kernel of width h = 0.29 n^(-1/6) in units of the axes, after Scott, and ends at a distance
    h from the nearest trial.

    References:
        D. W. Scott, "Multivariate Density Estimation", 1992, doi:10.1002/9780470316849.
    """
    found, short = goal(search), names(search.axes)
    figure, ((ax,),) = sheet(search, [4.4], above=TITLE + LEGEND + 0.1)
    drawn = [[trial.drawn.get(axis.path) for trial in search.trials] for axis in (across, up)]
    numbers = np.array([trial.number for trial in search.trials], np.int64)
    x, y = (places(axis, column) for axis, column in zip((across, up), drawn, strict=True))
    known = np.isfinite(x) & np.isfinite(y) & np.isfinite(found.values)
    x, y, values, numbers = x[known], y[known], found.shown(found.values[known]), numbers[known]
    norm, shades = found.norm(), found.shades()
    if all(axis.kind != "choice" for axis in (across, up)) and len(values):
        centres = np.linspace(-0.03, 1.03, CELLS)
        field = _local_mean(np.stack([x, y], axis=1), np.log(values) if found.log else values, centres)
        mesh = np.exp(field) if found.log else field
        ax.pcolormesh(centres, centres, np.ma.masked_invalid(mesh), norm=norm, cmap=shades, alpha=0.45, lw=0)
    else:
        x, y = (
            place + (0.35 / max(len(axis.choices), 1)) * _spread(numbers * step) * (axis.kind == "choice")
            for axis, place, step in ((across, x, 1), (up, y, 7))
        )
    order = np.argsort(values if found.maximize else -values)  # the best on top
    ax.scatter(x[order], y[order], 34, values[order], norm=norm, cmap=shades, edgecolors="white", linewidths=0.7)
    along(ax, across)
    along(ax, up, vertical=True)
    ax.set_xlabel(plain(short[across.path][:LONGEST]))
    ax.set_ylabel(plain(short[up.path][:LONGEST]))
    colour_key(figure, found)
    return figure


def _local_mean(
    trials: Float[np.ndarray, "trial 2"], values: Float[np.ndarray, " trial"], centres: Float[np.ndarray, " cell"]
) -> Float[np.ndarray, "cell cell"]:
    """Return the mean of values by nearness at (centres, centres), y by x; NaN where there is no trial nearby."""
    from scipy.spatial import KDTree  # type: ignore[import-untyped]

    width = REACH * len(trials) ** (-1 / 6)
    nearness = np.exp(-(((centres[:, None] - trials.T[:, None]) / width) ** 2) / 2)  # coordinate, cell, trial
    total = nearness[1] @ nearness[0].T
    mean = np.full_like(total, np.nan)
    np.divide((nearness[1] * values) @ nearness[0].T, total, out=mean, where=total > 0)
    up, across = np.meshgrid(centres, centres, indexing="ij")
    nearest, _ = KDTree(trials).query(np.stack([across, up], axis=2))
    return np.where(nearest <= width, mean, np.nan)


def along(ax: matplotlib.axes.Axes, axis: Axis, *, vertical: bool = False) -> None:
    """Give one of the axes the range and the ticks of what was drawn, whose places go from 0 to 1."""
    marks = ticks(axis)
    where, texts = (
        [place for place, _ in marks],
        [plain(shortened(text, 12)) if axis.choices else text for _, text in marks],
    )
    side = ax.yaxis if vertical else ax.xaxis
    side.set_ticks(where, texts)
    side.set_tick_params(which="minor", length=0)
    margin = 0.06 + (0.2 / len(axis.choices) if axis.choices else 0)  # room for points beside each other
    (ax.set_ylim if vertical else ax.set_xlim)(-margin, 1 + margin)


def _points(
    ax: matplotlib.axes.Axes, where: Float[np.ndarray, " trial"], values: Float[np.ndarray, " trial"], search: Search
) -> None:
    """Draw trials as points, those that break a constraint hollow, the best or those of the front as stars."""
    kept: Bool[np.ndarray, " trial"] = np.array([trial.feasible for trial in search.trials], bool)
    numbers: Int[np.ndarray, " trial"] = np.array([trial.number for trial in search.trials], np.int64)
    best = np.isin(numbers, search.best[:1] if len(search.objectives) == 1 else search.best)
    alpha = max(faint(len(values)), 0.4)
    ax.scatter(where[kept & ~best], values[kept & ~best], 20, color=BACKGROUND, lw=0, alpha=alpha)
    ax.scatter(where[~kept], values[~kept], 20, color="white", edgecolors=BACKGROUND, linewidths=0.8)
    ax.scatter(where[best], values[best], 120, color="black", marker="*", lw=0, zorder=4)


def _spread(numbers: Int[np.ndarray, " trial"]) -> Float[np.ndarray, " trial"]:
    """Return a place in [-0.5, 0.5) for each trial, the same every time, so that points do not hide each other."""
    return (numbers * GOLDEN) % 1 - 0.5
