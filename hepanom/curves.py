"""ROC and SIC curves: what every background efficiency leaves of the signal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from hepanom import metrics
from hepanom.canvas import SHADE, blank, key, legend_above, plain
from hepanom.evaluate import FLOOR, Scored
from hepanom.result import Result

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

POINTS = 500
View = tuple[str, str | None, str]  # a scorer, a category or None for all events, a colour


@dataclass(frozen=True)
class Curve:
    """Signal efficiency and significance improvement of each replica on a grid of background efficiencies.

    ``improvement`` is NaN where too few background events are left to tell.
    """

    background: Float[np.ndarray, " point"]
    signal: Float[np.ndarray, "replica point"]
    improvement: Float[np.ndarray, "replica point"]


def curve(scored: Scored, scorer: str, label: str | None) -> Curve | None:
    """Return the curve of one scorer for a category, or for all events by equal background efficiency in each.

    The grid starts at one effective background event. None where a class is missing.
    """
    known = scored.anomaly >= 0
    part = scored.mask(known if label is None else known & (scored.category == scored.categories.index(label)))
    anomaly = part.anomaly == 1
    signal, improvement = [], []
    grid = np.ones(1)
    for score in part.scores[scorer]:
        values = score
        if label is None and len(scored.categories) > 1:
            values = metrics.pooled_rank(score, part.category, anomaly, part.weight)
        roc = metrics.roc(values, anomaly, part.weight)
        if not roc.two_classes:
            return None
        grid = np.geomspace(min(1 / roc.background_effective, 0.5), 1, POINTS)
        passed = np.maximum.accumulate(roc.background) / roc.background_total
        at = np.searchsorted(passed, grid * (1 + metrics.ROUNDING), side="right") - 1
        signal.append(np.maximum.accumulate(roc.signal)[at] / roc.signal_total)
        improvement.append(metrics.sic(roc, FLOOR)[at])
    return Curve(grid, np.stack(signal), np.stack(improvement)) if signal else None


def roc_figure(result: Result, views: Mapping[str, View]) -> matplotlib.figure.Figure:
    """Draw signal over background efficiency for each view; the band is the spread over replicas."""
    figure, (ax,) = blank(result, None)
    least = 1.0
    for name, (scorer, label, color) in views.items():
        if (found := curve(result.scored, scorer, label)) is not None:
            _draw(ax, found.background, found.signal, color, name + _auc(result, scorer, label))
            least = min(least, float(found.background[0]))
    diagonal = np.geomspace(least, 1, POINTS)
    ax.plot(diagonal, diagonal, color="grey", ls="--", lw=1.2, label="random")
    ax.axhline(1, color="grey", lw=0.8)
    ax.set(xscale="log", xlim=(least, 1), ylim=(0, 1 / (1 - legend_above(ax))))
    ax.set(xlabel="background efficiency", ylabel="signal efficiency")
    return figure


def sic_figure(result: Result, views: Mapping[str, View]) -> matplotlib.figure.Figure:
    """Draw the significance improvement over background efficiency, as far down as the background can tell."""
    figure, (ax,) = blank(result, None)
    least = floor = 1.0
    for name, (scorer, label, color) in views.items():
        if (found := curve(result.scored, scorer, label)) is not None:
            measured = np.isfinite(found.improvement).all(0)
            _draw(ax, found.background[measured], found.improvement[:, measured], color, name)
            least = min(least, float(found.background[0]))
            floor = min([floor, *found.background[measured].tolist()])
    if floor > least:
        ax.axvspan(least, floor, color=SHADE, lw=0)
        note = f"background error above {100 * FLOOR:g} %"
        place: dict[str, Any] = {"rotation": 90, "ha": "center", "va": "bottom", "transform": ax.get_xaxis_transform()}
        box = {"facecolor": SHADE, "lw": 0, "pad": 1}
        ax.text(math.sqrt(least * floor), 0.04, note, size="x-small", color="dimgrey", bbox=box, **place)
    ax.axhline(1, color="grey", ls="--", lw=1.2, label="no cut")
    ax.set(xscale="log", xlim=(least, 1), xlabel="background efficiency")
    ax.set_ylabel(r"significance improvement $\epsilon_s\,/\,\epsilon_b^{1/2}$")
    ax.set_ylim(0, 1.03 * max(1.2, ax.dataLim.y1) / (1 - legend_above(ax)))
    return figure


def _draw(
    ax: matplotlib.axes.Axes,
    x: Float[np.ndarray, " point"],
    y: Float[np.ndarray, "replica point"],
    color: str,
    name: str,
) -> None:
    mean = y.mean(0)
    ax.plot(x, mean, color=color, label=plain(name))
    if len(y) > 1:
        spread = y.std(0, ddof=1)
        ax.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.2, lw=0)


def _auc(result: Result, scorer: str, label: str | None) -> str:
    number = result.numbers.get(f"{scorer}/auc" if label is None else f"{scorer}/category_{key(label)}/auc")
    return "" if number is None else f" (AUC {number.value:.3f})"
