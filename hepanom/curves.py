"""ROC and SIC curves: what every background efficiency leaves of the signal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from hepanom import bootstrap, metrics
from hepanom.canvas import SHADE, blank, key, legend_above, plain
from hepanom.evaluate import FLOOR, Scored
from hepanom.result import Result

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

POINTS = 500
RESAMPLES = 40  # behind a band: its edges are known to a sixth of its width
INTERVAL = (15.87, 84.13)  # percentiles
View = tuple[str, str | None, str]  # a scorer, a category or None for all events, a colour


@dataclass(frozen=True)
class Curve:
    """Signal efficiency and significance improvement of each replica on a grid of background efficiencies.

    ``improvement`` is NaN where too few background events are left to tell. The bands hold the central 68 % of
    bootstrap resamples of the mean over replicas, below and above.
    """

    background: Float[np.ndarray, " point"]
    signal: Float[np.ndarray, "replica point"]
    improvement: Float[np.ndarray, "replica point"]
    signal_band: Float[np.ndarray, "side point"]
    improvement_band: Float[np.ndarray, "side point"]


def curve(scored: Scored, scorer: str, label: str | None) -> Curve | None:
    """Return the curve of one scorer for a category, or for all events by equal background efficiency in each.

    The grid starts at one effective background event. None where a class is missing.
    """
    known = scored.anomaly >= 0
    part = scored.mask(known if label is None else known & (scored.category == scored.categories.index(label)))
    anomaly = part.anomaly == 1
    if not (anomaly.any() and not anomaly.all()):
        return None
    copies = bootstrap.draws(len(anomaly), RESAMPLES, 0)
    grid, nominal, drawn = np.ones(1), [], []
    for score in part.scores[scorer]:
        values = score
        if label is None and len(scored.categories) > 1:
            values = metrics.pooled_rank(score, part.category, anomaly, part.weight)
        roc = metrics.roc(values, anomaly, part.weight)
        if not roc.two_classes:
            return None
        grid = np.geomspace(min(1 / roc.background_effective, 0.5), 1, POINTS)
        nominal.append(_at(roc, grid))
        resampled = [
            _at(each, grid) for each in bootstrap.curves(values, anomaly, part.weight, copies) if each.two_classes
        ]
        drawn.append(np.stack(resampled) if len(resampled) == RESAMPLES else np.zeros((0, 2, POINTS)))
    signal, improvement = np.stack(nominal, axis=1)
    few = min(map(len, drawn))
    bands = _bands(np.mean([each[:few] for each in drawn], axis=0), np.mean(nominal, axis=0))
    return Curve(grid, signal, improvement, bands[:, 0], bands[:, 1])


def _at(roc: metrics.Roc, grid: Float[np.ndarray, " point"]) -> Float[np.ndarray, "2 point"]:
    """Return signal efficiency and significance improvement at background efficiencies."""
    passed = np.maximum.accumulate(roc.background) / roc.background_total
    at = np.searchsorted(passed, grid * (1 + metrics.ROUNDING), side="right") - 1
    return np.stack([np.maximum.accumulate(roc.signal)[at] / roc.signal_total, metrics.sic(roc, FLOOR)[at]])


def _bands(
    drawn: Float[np.ndarray, "resample 2 point"], nominal: Float[np.ndarray, "2 point"]
) -> Float[np.ndarray, "side 2 point"]:
    """Return the central 68 % of resamples, widened to hold the curve itself; NaN where more than half do not know."""
    if not len(drawn):
        return np.full((2, *nominal.shape), np.nan)
    known = np.isfinite(drawn).mean(0) > 0.5
    filled = np.where(np.isfinite(drawn).any(0), drawn, 0.0)
    ends = np.where(known, np.nanpercentile(filled, INTERVAL, axis=0), np.nan)
    return np.stack([np.minimum(ends[0], nominal), np.maximum(ends[1], nominal)])


def curves(scored: Scored, views: Mapping[str, View]) -> dict[str, Curve]:
    """Return the curves of the views that have background and anomalies, by their names."""
    found = {name: curve(scored, scorer, label) for name, (scorer, label, _) in views.items()}
    return {name: each for name, each in found.items() if each is not None}


def roc_figure(result: Result, views: Mapping[str, View], drawn: Mapping[str, Curve]) -> matplotlib.figure.Figure:
    """Draw signal over background efficiency for each view.

    The band is the central 68 % of bootstrap resamples; dotted lines are the spread over several replicas.
    """
    figure, (ax,) = blank(result, None)
    least = 1.0
    for name, (scorer, label, color) in views.items():
        if (found := drawn.get(name)) is not None:
            named = name + _auc(result, scorer, label)
            _draw(ax, found.background, found.signal, found.signal_band, color, named)
            least = min(least, float(found.background[0]))
    diagonal = np.geomspace(least, 1, POINTS)
    ax.plot(diagonal, diagonal, color="grey", ls="--", lw=1.2, label="random")
    ax.axhline(1, color="grey", lw=0.8)
    ax.set(xscale="log", xlim=(least, 1), ylim=(0, 1 / (1 - legend_above(ax))))
    ax.set(xlabel="background efficiency", ylabel="signal efficiency")
    return figure


def sic_figure(result: Result, views: Mapping[str, View], drawn: Mapping[str, Curve]) -> matplotlib.figure.Figure:
    """Draw the significance improvement over background efficiency, as far down as the background can tell."""
    figure, (ax,) = blank(result, None)
    least = floor = 1.0
    for name, (_, _, color) in views.items():
        if (found := drawn.get(name)) is not None:
            measured = np.isfinite(found.improvement).all(0)
            band = found.improvement_band[:, measured]
            _draw(ax, found.background[measured], found.improvement[:, measured], band, color, name)
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
    band: Float[np.ndarray, "side point"],
    color: str,
    name: str,
) -> None:
    mean = y.mean(0)
    ax.plot(x, mean, color=color, label=plain(name))
    ax.fill_between(x, *band, color=color, alpha=0.25, lw=0)
    if len(y) > 1:
        spread = y.std(0, ddof=1)
        for side in (mean - spread, mean + spread):
            ax.plot(x, side, color=color, lw=0.8, ls=":")


def _auc(result: Result, scorer: str, label: str | None) -> str:
    number = result.numbers.get(f"{scorer}/auc" if label is None else f"{scorer}/category_{key(label)}/auc")
    return "" if number is None else f" (AUC {number.value:.3f})"
