"""The background efficiency against a variable: with one cut for all, and with a cut that depends on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hepanom.canvas import ANOMALY, BACKGROUND, SHADE, blank, plain
from hepanom.conditional import MISSING
from hepanom.flatness import Flatness
from hepanom.result import Result

if TYPE_CHECKING:
    import matplotlib.figure

FREE = 0.24  # share of the height above the data, for the legend
ASIDE = 0.12  # distance of the bin of missing values from the others, as a share of their range


def conditional_figure(result: Result, found: Flatness) -> matplotlib.figure.Figure:
    """Draw both efficiencies in bins of the variable, with their errors; events without it stand on the right."""
    figure, (ax,) = blank(result, None)
    sides = found.sides.copy()
    values = [label for label in found.labels if label != MISSING]
    discrete = all(_number(label) for label in values)
    if discrete:
        sides[: len(values)] = np.array([[float(label) - 0.4, float(label) + 0.4] for label in values]).reshape(-1, 2)
    low, high = (float(np.nanmin(sides)), float(np.nanmax(sides))) if values else (0.0, 1.0)
    if MISSING in found.labels:
        start = high + ASIDE * (high - low)
        sides[-1] = start, start + ASIDE * (high - low)
        ax.axvspan(*sides[-1], color=SHADE, lw=0)
        middle = float(sides[-1].mean())
        ax.text(
            middle, 0.7, MISSING, rotation=90, ha="center", va="top", fontsize=11, transform=ax.get_xaxis_transform()
        )
    centres, half = sides.mean(1), 0.5 * np.diff(sides, axis=1)[:, 0]
    drawn = {
        f"one cut{' for each category' if len(result.categories) > 1 else ''}": (found.before, ANOMALY, "s", "none"),
        f"cut by {plain(found.column)}": (found.after, BACKGROUND, "o", BACKGROUND),
    }
    for (label, (points, color, marker, fill)), shift in zip(drawn.items(), (-0.08, 0.08), strict=True):
        errors = np.abs(points[:, 1:].T - points[:, 0])
        ax.errorbar(centres + shift * half, points[:, 0], errors, half * (1 - abs(shift)), fmt=marker, mfc=fill,
                    color=color, ms=6, elinewidth=1.3, label=label)  # fmt: skip
    if found.wanted is not None:
        ax.axhline(found.wanted, color="black", lw=1, ls="--", label=f"wanted: {found.wanted:.3g}")
    top = float(max(found.before.max(), found.after.max(), found.wanted or 0.0))
    kind = "background" if found.known else "share of all events"
    ax.set(ylim=(0, top / (1 - FREE)), xlabel=plain(found.column), ylabel=f"{kind} flagged, {plain(found.scorer)}")
    if discrete and len(values) <= 12:
        ax.set_xticks([float(label) for label in values], values)
        ax.tick_params(axis="x", which="minor", length=0)
    ax.legend(loc="upper left")
    return figure


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
