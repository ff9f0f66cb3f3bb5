"""The objective of a search as its figures show it: values, range and colours, on a sheet with the search's name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

from hepanom.canvas import LONGEST, plain
from hepanom.trials import Search, Trial

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.colors
    import matplotlib.figure

DECADES = 1.3  # from which on positive values are drawn on a logarithmic axis
TAIL = 0.05  # share of the values on the worse side that an axis need not hold where they lie far away
WIDTH = 6.4  # inches of a figure
TITLE, LEGEND, BELOW = 0.4, 0.35, 0.72  # inches above the highest and below the lowest axes


@dataclass(frozen=True)
class Goal:
    """An objective with its value in every trial, NaN where a trial was not completed or it is not finite.

    Its axis reaches from ``low`` to ``high``; values beyond, on the worse side alone, are drawn at its end.
    """

    name: str
    maximize: bool
    values: Float[np.ndarray, " trial"]
    low: float
    high: float
    log: bool

    def shown(self, values: Float[np.ndarray, " *any"]) -> Float[np.ndarray, " *any"]:
        """Return values, those beyond the axis at its end."""
        return np.asarray(np.clip(values, self.low, self.high))

    def ends(self, margin: float = 0.06) -> tuple[float, float]:
        """Return the limits of the axis, with a margin."""
        if self.log:
            factor = (self.high / self.low) ** margin
            return self.low / factor, self.high * factor
        width = margin * (self.high - self.low) or 0.05 * abs(self.low) or 0.5
        return self.low - width, self.high + width

    def norm(self) -> matplotlib.colors.Normalize:
        """Return what scales the colours."""
        from matplotlib.colors import LogNorm, Normalize

        low, high = (self.low, self.high) if self.high > self.low else self.ends()
        return (LogNorm if self.log else Normalize)(low, high, clip=True)

    def shades(self) -> matplotlib.colors.Colormap:
        """Return colours that end in the darkest for the best value, and are nowhere too pale for a line."""
        from matplotlib import colormaps
        from matplotlib.colors import ListedColormap

        colors = colormaps["viridis"](np.linspace(0, 0.92, 256))
        return ListedColormap(colors[::-1] if self.maximize else colors)


def goal(search: Search, place: int = 0, held: Sequence[float] | None = None) -> Goal:
    """Return an objective of a search with its values.

    The axis holds all values, or those that are ``held``; where the worst of them lie far beyond the rest, it ends not
    far from the rest.
    """
    objective = search.objectives[place]
    maximize = objective.direction == "maximize"
    values = np.array([value(trial, place) for trial in search.trials], float)
    known = np.sort(values[np.isfinite(values)] if held is None else np.array(held, float))
    low, high = (float(known[0]), float(known[-1])) if len(known) else (0.0, 1.0)
    log = low > 0 and math.log10(high / low) > DECADES
    if len(known) and not log:
        first, last = np.quantile(known, (TAIL, 1 - TAIL)).tolist()
        far, near = 2 * (last - first), 0.3 * (last - first)
        low = first - near if maximize and low < first - far else low
        high = last + near if not maximize and high > last + far else high
    return Goal(objective.name, maximize, values, low, high, log)


def value(trial: Trial, place: int = 0) -> float:
    """Return an objective of a complete trial, NaN where there is none or it is not finite."""
    known = trial.state == "complete" and place < len(trial.values) and math.isfinite(trial.values[place])
    return trial.values[place] if known else math.nan


def finite(steps: Mapping[int, float]) -> dict[int, float]:
    """Return the epochs with a finite objective, in their order."""
    return {epoch: steps[epoch] for epoch in sorted(steps) if math.isfinite(steps[epoch])}


def faint(number: int) -> float:
    """Return the opacity of so many points or lines, so that they do not become one."""
    return min(0.9, max(0.15, 50 / max(number, 1)))


def sheet(
    search: Search,
    heights: Sequence[float],
    columns: int = 1,
    gap: float = 0.0,
    above: float = TITLE + LEGEND,
    below: float = BELOW,
    **margins: float,
) -> tuple[matplotlib.figure.Figure, Any]:
    """Return a figure with the search's name, and its axes as an array.

    ``heights`` are those of its rows, ``gap``, ``above`` and ``below`` what is between, over and under them, in inches;
    ``margins`` are shares of the figure.
    """
    from matplotlib.figure import Figure

    whole = above + below + sum(heights) + gap * (len(heights) - 1)
    figure = Figure(figsize=(WIDTH, whole))
    space = {"left": 0.15, "bottom": below / whole, "top": 1 - above / whole, "wspace": 0.08, **margins}
    figure.subplots_adjust(hspace=gap * len(heights) / sum(heights), **space)
    axes = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
    where = (figure.subplotpars.left, 1 - 0.1 / whole)
    figure.text(*where, plain(search.name[:LONGEST]), ha="left", va="top", fontsize=12)
    return figure, axes


def legend(figure: matplotlib.figure.Figure, ax: matplotlib.axes.Axes) -> None:
    """Put the legend of some axes under the figure's title."""
    handles, labels = ax.get_legend_handles_labels()
    if labels:
        where = (figure.subplotpars.left, 1 - 0.34 / figure.get_figheight())
        figure.legend(
            handles,
            labels,
            loc="upper left",
            bbox_to_anchor=where,
            ncols=5,
            borderaxespad=0,
            borderpad=0.2,
            handletextpad=0.3,
            handlelength=1.2,
            columnspacing=0.9,
        )


def colour_key(figure: matplotlib.figure.Figure, found: Goal) -> None:
    """Put the scale of the colours under the figure's title."""
    from matplotlib.cm import ScalarMappable

    left, height = figure.subplotpars.left, figure.get_figheight()
    ax = figure.add_axes((left, 1 - 0.5 / height, 0.3, 0.12 / height))
    bar = figure.colorbar(ScalarMappable(found.norm(), found.shades()), cax=ax, orientation="horizontal")
    bar.ax.tick_params(labelsize=8.5, length=3, which="major", pad=2)
    bar.ax.tick_params(which="minor", length=0, labelbottom=False)
    figure.text(left + 0.33, 1 - 0.44 / height, plain(found.name[:LONGEST]), ha="left", va="center", fontsize=10)


def lay(ax: matplotlib.axes.Axes, found: Goal, side: Literal["x", "y"]) -> None:
    """Make one of the axes that of an objective; a power of ten goes from its numbers to its label."""
    power = math.floor(math.log10(max(abs(found.low), abs(found.high)) or 1))
    power = power if not found.log and not -3 < power < 5 else 0
    text = plain(found.name[:LONGEST]) + (rf" / $10^{{{power}}}$" if power else "")
    ax.set(**{f"{side}scale": "log" if found.log else "linear", f"{side}lim": found.ends(), f"{side}label": text})
    if power:
        (ax.xaxis if side == "x" else ax.yaxis).set_major_formatter(lambda number, _: f"{number / 10**power:.3g}")
