"""The figure of an overview: a histogram of every column, by class."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

from hepanom.canvas import ANOMALY, BACKGROUND, LINES, UNKNOWN, plain
from hepanom.histograms import is_logarithmic, scale_decades
from hepanom.overview import UNLABELLED, Column, Overview

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

ACROSS = 5
AT_ONCE = 60  # histograms in a figure
LONGEST = 30  # characters of a name under an axis
PANEL = (2.7, 2.2)  # inches


def draw(found: Overview) -> matplotlib.figure.Figure:
    """Draw the share of a class's values in each bin, for each feature and target; values outside are in no bin.

    Columns of one value alone are not drawn.

    To be called, and the figure saved, in the style of ``hepanom.canvas``.
    """
    from matplotlib.figure import Figure

    columns = [column for column in found.columns if column.kind != "beside" and column.summary is not None]
    varied = [column for column in columns if column.summary and column.summary.low < column.summary.high]
    shown = (varied or columns)[:AT_ONCE]
    across = min(ACROSS, max(1, len(shown)))
    down = max(1, -(-len(shown) // across))
    width, height = PANEL[0] * across + 0.3, PANEL[1] * down + 0.7
    figure = Figure(figsize=(width, height))
    panels = figure.subplots(down, across, squeeze=False).ravel().tolist()
    left, right = (0.55 / width, 1 - 0.15 / width)
    figure.subplots_adjust(left, 0.5 / height, right, 1 - 0.6 / height, wspace=0.3, hspace=0.5)
    for panel, column in zip(panels, shown, strict=False):
        _panel(panel, column, found)
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    note = f"; {len(shown)} of {len(columns)} columns" if len(shown) < len(columns) else ""
    note += f", {len(columns) - len(varied)} have one value alone" if 0 < len(varied) < len(columns) else ""
    first = "the first " if found.stopped else ""
    title = f"{first}{found.events:,} events{note}; share of values / bin, unweighted"
    figure.text(left, 1 - 0.12 / height, title, va="top", fontsize="x-small")
    if panels and shown:
        handles, labels = panels[0].get_legend_handles_labels()
        above = (left, 1 - 0.28 / height)
        figure.legend(handles, labels, loc="upper left", bbox_to_anchor=above, ncols=6, borderaxespad=0)
    return figure


def _panel(ax: matplotlib.axes.Axes, column: Column, found: Overview) -> None:
    assert column.summary is not None
    assert column.edges is not None
    names = (*found.schema.classes, UNLABELLED)
    colours = [BACKGROUND, ANOMALY, *(colour for colour, _ in zip(cycle(LINES), names, strict=False))]
    for index, (name, counts) in enumerate(zip(names, column.summary.counts, strict=True)):
        if name not in found.classes:
            continue
        colour = UNKNOWN if name == UNLABELLED else colours[index]
        shares = counts[1:-1] / max(int(counts.sum()), 1)
        filled = index == 0 and name != UNLABELLED
        ax.stairs(shares, column.edges, color=colour, lw=1.2, label=plain(name))
        if filled:
            ax.stairs(shares, column.edges, color=colour, alpha=0.35, fill=True)
    if is_logarithmic(column.edges):
        scale_decades(ax, column.edges)
    unit = f" [{column.unit}]" if column.unit else ""
    ax.set_xlim(column.edges[0], column.edges[-1])
    ax.set_ylim(0)
    ax.set_xlabel(plain(column.name[:LONGEST] + unit), fontsize=8, labelpad=2)
    ax.tick_params(labelsize=7, length=3, which="both")
    ax.tick_params(length=1.5, which="minor")
    ax.xaxis.get_offset_text().set(fontsize=7, x=0, horizontalalignment="left")  # away from the name
    ax.yaxis.get_offset_text().set_fontsize(7)
