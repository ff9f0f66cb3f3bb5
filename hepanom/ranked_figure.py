"""Why events are strange: the features with the largest shares of their score, beside what background has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hepanom.canvas import ANOMALY, SHADE, plain
from hepanom.page import short
from hepanom.result import Result, Strange

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

MOST = 6  # events
LONGEST = 30  # characters of a feature's name


def ranked_figure(result: Result, scorer: str, events: Sequence[Strange]) -> matplotlib.figure.Figure:
    """Draw a panel per event, strangest first: a bar per feature with its share of the score, largest on top.

    Beside it stand the value, the median of held-out background and the share of it that lies below the value.
    """
    from matplotlib.figure import Figure

    shown = [event for event in events if event.features][:MOST]
    down = -(-len(shown) // 2)
    height = 2.5 * down + 0.7
    figure = Figure(figsize=(12.8, height))
    axes = figure.subplots(down, 2, squeeze=False).ravel().tolist()
    for rank, (ax, event) in enumerate(zip(axes, shown, strict=False), start=1):
        _bars(ax, event)
        ax.set_title(f"{rank}: {plain(_called(event, result))}", loc="left", fontsize=10)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    title = f"{plain(result.name[:40])}: share of the score {plain(shown[0].explained_by)} by feature"
    if shown[0].explained_by != scorer:
        title += f", strangest by {plain(scorer)}"
    figure.suptitle(title, x=0.01, y=1 - 0.1 / height, ha="left", va="top", fontsize=13)
    figure.subplots_adjust(left=0.17, right=0.985, top=1 - 0.7 / height, bottom=0.3 / height, wspace=0.42, hspace=0.42)
    return figure


def _called(event: Strange, result: Result) -> str:
    identity = ", ".join(f"{key} {value}" for key, value in list(event.identity.items())[:2])
    category = f", category {event.category}" if len(result.categories) > 1 else ""
    return f"{identity[:40]}{category}, {event.truth}"


def _bars(ax: matplotlib.axes.Axes, event: Strange) -> None:
    places = np.arange(len(event.features))[::-1]
    shares = [share for _, _, _, share in event.features]
    ax.barh(places, 1.0, height=0.7, color=SHADE, alpha=0.4)
    ax.barh(places, np.maximum(shares, 0.0), height=0.7, color=ANOMALY, alpha=0.4)
    for place, (name, value, unit, _) in zip(places, event.features, strict=True):
        ax.text(0.012, place, _told(name, value, unit, event), va="center", fontsize=9)
    ax.set_yticks(places, [plain(name[:LONGEST]) for name, *_ in event.features], fontsize=9)
    ax.set(xlim=(0, 1), ylim=(-0.5, len(event.features) - 0.5))
    ax.tick_params(axis="y", which="both", length=0)
    ax.tick_params(axis="x", labelsize=8, length=3)
    ax.minorticks_off()


def _told(name: str, value: float, unit: str, event: Strange) -> str:
    """Return value, median and percentile of a feature; nothing of one that a transform has made."""
    if name not in event.typical:
        return "" if np.isnan(value) else f"{short(value)} {plain(unit)}".rstrip()
    median, below = event.typical[name]
    text = "missing" if np.isnan(value) else f"{short(value)} {plain(unit)}".rstrip()
    return f"{text}   (median {short(median)}{_percentile(below)})"


def _percentile(below: float) -> str:
    """Return where a value lies in the background in percent, without a claim beyond what its events can tell."""
    if np.isnan(below):
        return ""
    if below >= 0.9995 or below <= 0.0005:
        return ", above all but 0.05 %" if below > 0.5 else ", below all but 0.05 %"
    return f", above {100 * below:.1f} %"
