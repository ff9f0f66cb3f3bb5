"""Sets of points in three dimensions and their projections, beside what the network gives back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from hepanom.canvas import bare, heading, plain
from hepanom.result import Cloud, Result

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

NO_PLACE = re.compile(
    r"q|e|energy|charge|amplitude|adc|weight|t|time|tof|pid|.*_(charge|energy|amplitude)", re.IGNORECASE
)
GIVEN = "#94a4a2"
COLOURS = "plasma_r"


def cloud_figure(result: Result, label: str, clouds: Sequence[Cloud]) -> matplotlib.figure.Figure:
    """Draw a column per event: its points in three dimensions and in every projection, over those given back.

    Area and colour of a point are its share of the score; where no score has shares, its colour is the column beside
    the coordinates, such as the charge. Coordinates are the first columns but those that are named as something else.
    """
    from matplotlib.figure import Figure

    columns = clouds[0].columns
    places = coordinates(columns)
    planes = list(combinations(places, 2)) if len(places) > 1 else [(places[0], places[0])]
    deep = len(places) > 2
    rows = len(planes) + deep
    width, height = 1.95 * len(clouds) + 0.5, 1.9 * rows + 0.5 * deep + 1.1
    figure = Figure(figsize=(width, height))
    left, top = 0.45 / width, 1 - 0.95 / height
    grid = figure.add_gridspec(
        rows,
        len(clouds),
        left=left,
        right=1 - 0.05 / width,
        top=top,
        bottom=0.1 / height,
        wspace=0.05,
        hspace=0.05,
        height_ratios=[1.25] * deep + [1.0] * len(planes),
    )
    every = np.concatenate([points for cloud in clouds for points in (cloud.points, cloud.given)])
    every = every if len(every) else np.zeros((1, len(columns)))
    margin = 0.05 * np.ptp(every, axis=0) + 1e-6
    ends = np.stack([every.min(0) - margin, every.max(0) + margin])
    for column, cloud in enumerate(clouds):
        if deep:
            _space(figure.add_subplot(grid[0, column], projection="3d"), cloud, places[:3], ends)
        for row, plane in enumerate(planes):
            ax = figure.add_subplot(grid[row + deep, column])
            _scatter(ax, cloud, plane, 1.0)
            bare(ax)
            x, y = plane
            ax.set(xlim=ends[:, x], ylim=ends[:, y])
            if column == 0:
                ax.set_ylabel(f"{plain(columns[y])} over {plain(columns[x])}", fontsize=10, loc="center")
        first = cloud.why != (clouds[column - 1].why if column else "")
        text = (f"{plain(cloud.why)}\n" if first else "\n") + plain(cloud.truth)
        box = grid[0, column].get_position(figure)
        figure.text(box.x0, top + 0.06 / height, text, fontsize=9, va="bottom")
    figure.suptitle(heading(result, label), x=0.01, y=1 - 0.08 / height, ha="left", va="top", fontsize=12)
    figure.text(0.99, 1 - 0.08 / height, _legend(clouds[0]), ha="right", va="top", fontsize=10)
    return figure


def coordinates(columns: Sequence[str]) -> tuple[int, ...]:
    """Return which columns are places in space, three at most; the first ones where no name tells."""
    found = [index for index, name in enumerate(columns) if not NO_PLACE.fullmatch(name)]
    return tuple(found[:3] or range(min(2, len(columns))))


def _space(ax: Any, cloud: Cloud, places: Sequence[int], ends: Float[np.ndarray, "2 column"]) -> None:
    """Draw a cloud in three dimensions: the axes of matplotlib's toolkit have no types."""
    _scatter(ax, cloud, places, 0.6)
    x, y, z = places
    ax.set(xlim=ends[:, x], ylim=ends[:, y], zlim=ends[:, z])
    ax.set_box_aspect((1, 1, 1), zoom=1.1)
    ax.view_init(elev=22, azim=-55)
    for axis, place in zip((ax.xaxis, ax.yaxis, ax.zaxis), places, strict=True):
        low, high = ends[:, place].tolist()
        axis.set_ticks([low + (high - low) * share for share in (0.25, 0.5, 0.75)], labels=[])
        axis.set_label_text(plain(cloud.columns[place]), fontsize=8)
        axis.labelpad = -14
        axis.pane.set_alpha(0.15)
    ax.tick_params(length=0)
    ax.minorticks_off()
    ax.set_facecolor("none")  # a label that reaches into the next panel is not covered


def _scatter(ax: Any, cloud: Cloud, places: Sequence[int], size: float) -> None:
    """Draw the points of a cloud, those that matter on top, and the ones given back as crosses."""
    share = cloud.share / max(float(cloud.share.max(initial=0.0)), 1e-30)
    color, area = share, 4 + 36 * share
    if not cloud.share.any():
        others = [index for index in range(len(cloud.columns)) if index not in coordinates(cloud.columns)]
        color = _ranks(cloud.points[:, others[0]]) if others else np.full(len(share), 0.7)
        area = np.full(len(share), 5.0)
    order = np.argsort(color, kind="stable")
    kept = {"depthshade": False} if len(places) > 2 else {}  # a colour means a share, not a depth
    if len(cloud.given):
        ax.scatter(*cloud.given[:, places].T, s=14 * size, marker="x", lw=0.7, color=GIVEN, **kept)
    points = cloud.points[order][:, places].T
    ax.scatter(*points, s=size * area[order], c=color[order], cmap=COLOURS, vmin=0, vmax=1, lw=0, **kept)


def _ranks(values: Float[np.ndarray, " point"]) -> Float[np.ndarray, " point"]:
    """Return ranks from 0.1 to 1, so that few large values leave colours for the others."""
    return 0.1 + 0.9 * np.argsort(np.argsort(values)) / max(len(values) - 1, 1)


def _legend(cloud: Cloud) -> str:
    if cloud.scorer:
        return f"discs: points, large and dark with their share of the score {plain(cloud.scorer)}; crosses: given back"
    others = [name for index, name in enumerate(cloud.columns) if index not in coordinates(cloud.columns)]
    told = f"points, dark with their {plain(others[0])}" if others else "points"
    return told + ("; crosses: given back" if len(cloud.given) else "")
