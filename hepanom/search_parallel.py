"""The recipes of a search as lines through all that it drew, and how much each of these matters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hepanom.canvas import BACKGROUND, plain
from hepanom.search_axes import importance, names, places, shortened, ticks
from hepanom.search_goal import LEGEND, TITLE, colour_key, faint, goal, sheet
from hepanom.space import Axis
from hepanom.trials import Search

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

ABSENT = 1.13  # where a line passes that has no value on an axis, in units of it
BEST = 5  # lines that are drawn thick, at most
ROOM = 50  # characters of choices beside each other


def parallel_figure(search: Search, axes: Sequence[Axis]) -> matplotlib.figure.Figure:
    """Draw each complete trial as a line down its values, coloured by the first objective, the best ones thick."""
    from matplotlib.collections import LineCollection

    found, short = goal(search), names(search.axes)
    figure, ((ax,),) = sheet(search, [0.62 * len(axes)], above=TITLE + LEGEND + 0.15, below=0.3, left=0.27, right=0.9)
    known = np.flatnonzero(np.isfinite(found.values))
    order = known[np.argsort(found.values[known] * (1 if found.maximize else -1))]
    trials = [search.trials[place] for place in order]
    columns = np.array([places(axis, [trial.drawn.get(axis.path) for trial in trials]) for axis in axes])
    columns = columns.reshape(len(axes), len(trials))
    absent = np.isnan(columns)
    lines = [np.stack([column, np.arange(len(axes))], axis=1) for column in np.where(absent, ABSENT, columns).T]
    best = set(search.best[:BEST])
    thick = np.array([trial.number in best for trial in trials], bool)
    colors = found.shades()(found.norm()(found.values[order]))
    colors[:, 3] = np.where(thick, 1, faint(len(trials)))
    ax.add_collection(LineCollection(lines, colors=colors, linewidths=np.where(thick, 2.8, 0.8).tolist()))
    for row, axis in enumerate(axes):
        _scale(ax, row, axis, gone=bool(absent[row].any()))
    ax.set_axis_off()
    ax.set(xlim=(-0.02, ABSENT + 0.02), ylim=(len(axes) - 0.45, -0.35))
    for row, axis in enumerate(axes):
        text = plain(shortened(short[axis.path], 18))
        ax.annotate(text, (-0.05, row), ha="right", va="center", fontsize=10, annotation_clip=False)
    if absent.any():
        ax.annotate("not drawn", (ABSENT, -0.3), ha="center", va="bottom", fontsize=8.5, annotation_clip=False)
    colour_key(figure, found)
    return figure


def _scale(ax: matplotlib.axes.Axes, row: int, axis: Axis, *, gone: bool) -> None:
    """Draw an axis with its ticks, and a mark where lines pass that have no value."""
    marks = ticks(axis)
    step = max(-(-sum(len(text) for _, text in marks) // ROOM), 1) if axis.choices else 1
    ax.plot([0, 1], [row, row], color="black", lw=1.2, zorder=3)
    ax.plot([place for place, _ in marks], [row] * len(marks), "|", color="black", ms=7, zorder=3)
    for place, text in marks[::step]:
        shown = plain(shortened(text, 16)) if axis.choices else text
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
        ax.annotate(
            shown, (place, row), (0, -6), textcoords="offset points", ha="center", va="top", fontsize=8.5, bbox=box
        )
    if gone:
        ax.plot([ABSENT], [row], "o", mfc="white", mec="black", ms=5, zorder=3)


def importance_figure(search: Search, axes: Sequence[Axis]) -> matplotlib.figure.Figure:
    """Draw which share of the variance of the first objective over the space each of some axes makes."""
    short = names(search.axes)
    shares = np.array([importance(search, axis) for axis in axes])
    figure, ((ax,),) = sheet(search, [0.33 * len(axes)], above=TITLE, left=0.32, right=0.93)
    rows = np.arange(len(axes))
    ax.barh(rows, 100 * shares, 0.68, color=BACKGROUND)
    for row, share in zip(rows, shares, strict=True):
        ax.annotate(f" {100 * share:.1f} %", (100 * share, row), va="center", fontsize=10)
    ax.set_yticks(rows, [plain(shortened(short[axis.path], 22)) for axis in axes], fontsize=10)
    ax.tick_params(axis="y", which="both", length=0)
    ax.tick_params(axis="x", labelsize=10)
    ax.set(xlim=(0, 118 * shares.max()), ylim=(len(axes) - 0.4, -0.6))
    ax.set_xlabel("share of the variance, %", fontsize=12)
    return figure
