"""The figure of a score against another variable: its profile, and the background's shape before and after cuts."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from hepanom.against import Against
from hepanom.canvas import BACKGROUND, LINES, TRAINING, blank, legend_above, plain
from hepanom.result import Result

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

LONGEST = 40  # characters of a rule


def against_figure(result: Result, found: Against) -> matplotlib.figure.Figure:
    """Draw median and central 68 % of the score in bins of the variable; below, the background's shape by cut.

    Shapes have unit area, the outermost bins hold what lies beyond. JSD is the divergence of a shape from that of all
    background, beside what 95 % of random choices of as many events stay below.
    """
    figure, (ax, below) = blank(result, found.category, nrows=2, sharex=True, height_ratios=(1, 1.1))
    figure.set_size_inches(6.4, 6.4)
    figure.subplots_adjust(bottom=0.1, top=0.95, hspace=0.08)
    _profile(ax, found)
    _shapes(below, found)
    ranked = len(result.scored.scores[found.scorer]) > 1
    ax.set_ylabel(f"{plain(found.scorer)}: mean rank" if ranked else f"{plain(found.scorer)} score")
    unit = f" [{found.unit}]" if found.unit else ""
    below.set(xlabel=plain(found.column + unit), ylabel="share of background / bin", xlim=found.edges[[0, -1]])
    figure.align_ylabels()
    return figure


def _profile(ax: matplotlib.axes.Axes, found: Against) -> None:
    low, middle, high = found.quantiles
    there = np.isfinite(middle)
    ax.stairs(high, found.edges, baseline=low, fill=True, color=BACKGROUND, alpha=0.3, label="68 % of background")
    ax.stairs(middle, found.edges, baseline=None, color=TRAINING, lw=1.8, label="median")
    if there.any() and low[there].min() > 0 and high[there].max() > 30 * low[there].min():
        ax.set_yscale("log")
        ends = np.log(low[there].min()), np.log(high[there].max())
        free = (ends[1] - ends[0] + 0.2) / (1 - legend_above(ax)) - (ends[1] - ends[0])
        ax.set_ylim(np.exp(ends[0] - 0.1), np.exp(ends[1] + free))
    elif there.any():
        ends = float(low[there].min()), float(high[there].max())
        reach = max(ends[1] - ends[0], 1e-12 * abs(ends[1]))
        ax.set_ylim(ends[0] - 0.05 * reach, ends[0] + 1.1 * reach / (1 - legend_above(ax)))
    if found.correlation is not None:
        value, low_end, high_end = found.correlation.value, found.correlation.low, found.correlation.high
        error = max(value - low_end, high_end - value)
        ax.text(0.97, 0.05, rf"$\rho$ = {value:.3f} $\pm$ {error:.3f}", transform=ax.transAxes, ha="right")


def _shapes(ax: matplotlib.axes.Axes, found: Against) -> None:
    centers = (found.edges[1:] + found.edges[:-1]) / 2
    ax.stairs(found.before, found.edges, fill=True, color=BACKGROUND, alpha=0.35, label="all")
    tops = [found.before.max()]
    for (rule, shape), color in zip(found.after.items(), cycle(LINES), strict=False):
        name = f"{plain(rule.replace('_', ' ')[:LONGEST])}: JSD {shape.divergence:.2g} (chance {shape.chance:.2g})"
        ax.stairs(shape.share, found.edges, color=color, lw=1.6, label=name)
        ax.errorbar(centers, shape.share, shape.error, fmt="none", ecolor=color, elinewidth=1)
        tops.append(float((shape.share + shape.error).max()))
    ax.set_ylim(0, 1.05 * max(tops) / (1 - legend_above(ax, ncols=1)))
