"""Histograms of a score: background and anomalies, training and test, with the thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from hepanom.canvas import ANOMALY, BACKGROUND, DASHES, LINES, TRAINING, UNKNOWN, blank, legend_above
from hepanom.result import Count, Result, Sample
from hepanom.thresholds import rule_name

if TYPE_CHECKING:
    import hist
    import matplotlib.axes
    import matplotlib.figure

TAIL = 1e-3  # share of the events on either side that the bins need not hold
MANY = 20_000  # events, from which on there are more bins
APART = 100  # numbers between two values, without which there are no bins between them
MARGIN = 0.02
LONGEST = 28  # characters of a legend's entry
SMALLEST = 1e-300  # below a margin would reach zero
DECADES = 1.5  # from which on a positive score is drawn on a logarithmic axis
FEW_DECADES = 2.5  # up to which its labels are 1, 2, 5


def histogram(result: Result, scorer: str, label: str) -> matplotlib.figure.Figure:
    """Draw one score of one category; below, training over test background."""
    import mplhep  # type: ignore[import-untyped]

    figure, (ax, ratio) = blank(result, label, nrows=2, sharex=True, height_ratios=(3.4, 1))
    counts = [
        entry for entry in result.thresholds if (entry.threshold.scorer, entry.threshold.category) == (scorer, label)
    ]
    index = result.categories.index(label)
    edges = binning(
        np.concatenate([sample.scores[scorer][sample.category == index] for sample in (result.test, result.train)]),
        np.array([entry.threshold.cut for entry in counts]),
        logarithmic=not is_rank(result, scorer),
    )
    background, anomalies, unknown = (filled(result.test, scorer, index, kind, edges) for kind in (0, 1, -1))
    train = filled(result.train, scorer, index, 0, edges)
    reference = background if _total(background) > 0 else unknown
    if _total(train) > 0 and _total(reference) > 0:
        train *= _total(reference) / _total(train)

    line: dict[str, Any] = {"ax": ax, "flow": "none", "yerr": False}
    dots: dict[str, Any] = {
        "ax": ax,
        "flow": "none",
        "histtype": "errorbar",
        "markersize": 5,
        "elinewidth": 1,
        "capsize": 0,
    }
    if background.counts().any():
        mplhep.histplot(background, histtype="fill", color=BACKGROUND, alpha=0.4, label="background, test", **line)
        mplhep.histplot(background, color=BACKGROUND, lw=1.2, **line)
        _errors(ax, background, BACKGROUND)
    if anomalies.counts().any():
        mplhep.histplot(anomalies, color=ANOMALY, lw=2, label="anomalies, test", **line)
        _errors(ax, anomalies, ANOMALY)
    if unknown.counts().any():
        mplhep.histplot(
            unknown, yerr=_error(unknown), color=UNKNOWN, marker="s", mfc="none", label="unlabelled, test", **dots
        )
    if train.counts().any():
        mplhep.histplot(train, yerr=_error(train), color=TRAINING, label="background, training (scaled)", **dots)
    lines = []
    depending = [entry.threshold for entry in counts if entry.threshold.along is not None]
    for cut, color in zip(depending, cycle(LINES), strict=False):
        assert cut.along is not None
        cuts = [each.cut for each in cut.along.bins]
        ax.axvspan(min(cuts), max(cuts), color=color, alpha=0.15, lw=0, label=f"cuts per {cut.along.column}"[:LONGEST])
    for entry, dash in zip((each for each in counts if each.threshold.along is None), cycle(DASHES), strict=False):
        note = " (undetermined)" if entry.threshold.undetermined else ""
        lines.append(ax.axvline(entry.threshold.cut, color="black", ls=dash, lw=1.3, label=spelled(entry) + note))
        ratio.axvline(entry.threshold.cut, color="black", ls=dash, lw=1.3)

    share = legend_above(ax)
    _leave_room(ax, [background, anomalies, unknown, train], share)
    for drawn in lines:
        drawn.set_ydata([0, 1 - share])
    _draw_ratio(ratio, train, reference)
    if is_logarithmic(edges):
        scale_decades(ratio, edges)
    ax.set(xlabel=None, ylabel=_count_label(result), xlim=(edges[0], edges[-1]))
    for panel in (ax, ratio):
        panel.yaxis.set_label_coords(-0.11, 1)
    ratio.set_xlabel(f"{scorer}: mean background rank" if is_rank(result, scorer) else f"{scorer} score")
    return figure


def binning(
    values: Float[np.ndarray, " event"],
    cuts: Float[np.ndarray, " cut"],
    *,
    logarithmic: bool = True,
    margin: float = MARGIN,
) -> Float[np.ndarray, " edge"]:
    """Return bin edges that show all but the outermost per mille of the values on either side, and the cuts near them.

    Logarithmic where all values are positive and those shown span more than 1.5 decades, if that is wanted. ``margin``
    is what stays free on either side, as a share of the range: without it no bin lies partly beyond the values.
    """
    values = values[np.isfinite(values)]
    if len(values) == 0:
        values = np.zeros(1)
    low = float(np.quantile(values, TAIL, method="lower"))
    high = float(np.quantile(values, 1 - TAIL, method="higher"))
    reach = 0.5 * (high - low)
    near = cuts[(cuts > low - reach) & (cuts < high + reach)]
    low, high = float(np.min(near, initial=low)), float(np.max(near, initial=high))
    bins = 50 if len(values) > MANY else 30
    if logarithmic and low > SMALLEST and values.min() > 0 and (decades := np.log10(high) - np.log10(low)) > DECADES:
        free = 10 ** (margin * decades)
        return np.geomspace(low / free, high * free, bins + 1)
    apart = high - low > APART * np.spacing(max(abs(low), abs(high)))
    free = margin * (high - low) if apart else 0.5 * max(1.0, abs(high))
    return np.linspace(low - free, high + free, bins + 1)


def spelled(count: Count) -> str:
    """Return a rule in words, ``background efficiency 0.01 per mass``, or the name that somebody gave it."""
    cut = count.threshold
    if not cut.name.startswith(rule_name(cut.rule, cut.setting)):
        return cut.name
    words = cut.rule.replace("_", " ") + ("" if cut.setting is None else f" {cut.setting:g}")
    words += " Hz" if cut.rule == "background_rate" else ""
    return words if cut.along is None else f"{words} per {cut.along.column}"


def is_rank(result: Result, scorer: str) -> bool:
    """Return whether the drawn score is the mean background rank of several replicas."""
    return len(result.scored.scores[scorer]) > 1


def _count_label(result: Result) -> str:
    return "weighted events / bin" if (result.test.weight != 1).any() else "events / bin"


def filled(sample: Sample, scorer: str, category: int, kind: int, edges: Float[np.ndarray, " edge"]) -> hist.Hist[Any]:
    """Return the weighted histogram of one kind of events; what lies outside goes into the first and last bin."""
    import hist

    rows = (sample.category == category) & (sample.anomaly == kind) & np.isfinite(sample.scores[scorer])
    empty = hist.Hist(hist.axis.Variable(edges, underflow=False, overflow=False), storage=hist.storage.Weight())
    inside = np.clip(sample.scores[scorer][rows], edges[0], np.nextafter(edges[-1], -np.inf))
    return empty.fill(inside, weight=sample.weight[rows])


def _total(filled: hist.Hist[Any]) -> float:
    return float(filled.values().sum())


def _error(filled: hist.Hist[Any]) -> Float[np.ndarray, " bin"]:
    """Return the statistical error of each bin, the root of the summed squares of its weights."""
    return np.asarray(np.sqrt(np.maximum(np.asarray(filled.variances()), 0.0)))


def _errors(ax: matplotlib.axes.Axes, filled: hist.Hist[Any], color: str) -> None:
    """Draw the errors of the bins that are not empty."""
    there = filled.values() > 0
    values, centers = filled.values()[there], filled.axes[0].centers[there]
    ax.errorbar(centers, values, _error(filled)[there], fmt="none", ecolor=color, elinewidth=1, capsize=0)


def _leave_room(ax: matplotlib.axes.Axes, filled: Sequence[hist.Hist[Any]], share: float) -> None:
    """Scale the vertical axis so that the upper ``share`` of it stays free of data."""
    heights = np.concatenate([entry.values() for entry in filled])
    positive = heights[heights > 0]
    if len(positive):
        low, high = max(float(positive.min()) / 3, float(positive.max()) * 1e-7), float(positive.max())
        ax.set_yscale("log")
        ax.set_ylim(low, high * (high / low) ** (share / (1 - share)))


def _draw_ratio(ax: matplotlib.axes.Axes, train: hist.Hist[Any], test: hist.Hist[Any]) -> None:
    """Draw training over test background with the errors of both."""
    known = (train.values() > 0) & (test.values() > 0)
    value = train.values()[known] / test.values()[known]
    error = value * np.hypot(*(np.sqrt(np.asarray(h.variances())[known]) / h.values()[known] for h in (train, test)))
    ax.axhline(1, color="grey", lw=1)
    ax.errorbar(train.axes[0].centers[known], value, error, fmt="o", ms=4, color=TRAINING, elinewidth=1)
    ax.set(ylim=(0.4, 1.6), ylabel="train / test")
    ax.yaxis.label.set_fontsize("small")


def scale_decades(ax: matplotlib.axes.Axes, edges: Float[np.ndarray, " edge"]) -> None:
    """Make the horizontal axis logarithmic, with more labels than powers of ten where there are few of those."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.set_xscale("log")
    ax.xaxis.set_minor_formatter(NullFormatter())
    if np.log10(edges[-1] / edges[0]) < FEW_DECADES:
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def is_logarithmic(edges: Float[np.ndarray, " edge"]) -> bool:
    """Return whether the bins are those of a logarithmic axis."""
    return bool(edges[0] > 0 and not np.isclose(edges[1] - edges[0], edges[-1] - edges[-2]))
