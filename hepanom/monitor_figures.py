"""Figures of monitoring: flagged shares and scores of every group beside the reference, and the columns that moved."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hepanom.canvas import ANOMALY, SHADE, TRAINING, key, legend_above, plain
from hepanom.monitored import Flagged, Group, Monitored, Moved

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

LABELS = 25  # groups that are named below an axis
LONGEST = 22  # characters of such a name
COLUMNS = 30  # that are shown, those that moved most
ACROSS = 400  # groups in a figure
MAPS = 4  # groups whose pixels are shown


def figures(found: Monitored) -> dict[str, matplotlib.figure.Figure]:
    """Return the figures, to be saved under ``canvas.style``.

    ``flagged_SCORER_RULE_CATEGORY`` and ``score_SCORER_CATEGORY`` by group, ``columns`` how far each column has moved
    in each group, ``map_GROUP`` the same for the pixels of the groups with the most significant alarms.
    """
    drawn: dict[str, matplotlib.figure.Figure] = {}
    groups = found.groups[-ACROSS:]
    for scorer, rule, category in dict.fromkeys((f.scorer, f.rule, f.category) for g in groups for f in g.flagged):
        drawn[key("flagged", scorer, rule, category)] = _shares(found, groups, (scorer, rule, category))
    for scorer, category in found.normal:
        drawn[key("score", scorer, category)] = _scores(found, groups, scorer, category)
    if names := _farthest(groups):
        drawn["columns"] = _columns(groups, names)
    alarmed = list(dict.fromkeys(alarm.group for alarm in found.alarms))[:MAPS]
    for group in groups:
        if group.name in alarmed and (figure := _map(group)) is not None:
            drawn[key("map", group.name)] = figure
    return drawn


def _blank(groups: Sequence[Group], title: str) -> tuple[matplotlib.figure.Figure, matplotlib.axes.Axes]:
    """Return a figure with room for the names of groups below it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 4.4))
    ax = figure.subplots()
    longest = max(min(len(group.name), LONGEST) for group in groups)
    figure.subplots_adjust(left=0.125, right=0.985, top=0.93, bottom=min(0.42, 0.09 + 0.016 * longest))
    ax.set_title(plain(title), loc="left")
    ax.set_xlim(-0.7, len(groups) - 0.3)
    _name(ax, groups)
    return figure, ax


def _name(ax: matplotlib.axes.Axes, groups: Sequence[Group]) -> None:
    """Name the groups below an axis, or some of them where they are many."""
    shown = np.unique(np.linspace(0, len(groups) - 1, min(LABELS, len(groups))).round().astype(int)).tolist()
    ax.set_xticks(shown, [_short(groups[index].name) for index in shown], rotation=90, fontsize=9)
    ax.tick_params(axis="x", which="both", length=0)
    ax.minorticks_off()


def _short(name: str) -> str:
    return plain(name if len(name) <= LONGEST else "…" + name[1 - LONGEST :])


def _shares(found: Monitored, groups: Sequence[Group], which: tuple[str, str, str]) -> matplotlib.figure.Figure:
    """Draw flagged shares with their intervals over the band of the background efficiency; alarms are red."""
    scorer, rule, category = which
    figure, ax = _blank(groups, f"{scorer}, {rule}" + ("" if category == "all" else f", category {category}"))
    points = [(place, each) for place, group in enumerate(groups) for each in _flags(group, which)]
    first = points[0][1]
    ax.axhspan(first.expected_low, first.expected_high, color=SHADE, lw=0, label="background efficiency")
    ax.axhline(first.expected, color="grey", lw=1)
    for alarmed, color, label in ((False, TRAINING, "flagged share"), (True, ANOMALY, "alarm")):
        some = [(place, each) for place, each in points if (each.corrected < found.asked.level) == alarmed]
        if some:
            share = np.array([each.share for _, each in some])
            errors = np.array([[each.share - each.low, each.high - each.share] for _, each in some]).T
            x = [place for place, _ in some]
            ax.errorbar(x, share, errors, fmt="o", ms=4, color=color, elinewidth=1, capsize=0, label=label)
    low = min(each.low for _, each in points)
    positive = [each.share for _, each in points if each.share > 0]
    high = max(each.high for _, each in points)
    if positive and high > 20 * first.expected > 0:
        ax.set_yscale("log")
        ax.set_ylim(max(low, first.expected_low / 5, 1e-12) / 1.5, high * 4)
        ax.legend(loc="upper left", ncols=3)
    else:
        ax.set_ylim(0, max(high, first.expected_high) * 1.1 / (1 - legend_above(ax, ncols=3)))
    ax.set_ylabel("share flagged")
    return figure


def _flags(group: Group, which: tuple[str, str, str]) -> list[Flagged]:
    return [each for each in group.flagged if (each.scorer, each.rule, each.category) == which]


def _scores(found: Monitored, groups: Sequence[Group], scorer: str, category: str) -> matplotlib.figure.Figure:
    """Draw median and central 90 % of a score by group over those of the reference, and its 99 % quantile."""
    figure, ax = _blank(groups, f"{scorer} score" + ("" if category == "all" else f", category {category}"))
    low, middle, high, top = found.normal[scorer, category]
    ax.axhspan(low, high, color=SHADE, lw=0, label="90 % of the reference")
    ax.axhline(middle, color="grey", lw=1)
    ax.axhline(top, color="grey", lw=1, ls=":")
    there = [(place, group.quantiles[scorer, category]) for place, group in enumerate(groups)]
    there = [(place, values) for place, values in there if np.isfinite(values).all()]
    red = {alarm.group for alarm in found.alarms if alarm.kind == "scores"}
    for alarmed, color in ((False, TRAINING), (True, ANOMALY)):
        some = [(place, values) for place, values in there if (groups[place].name in red) == alarmed]
        if some:
            x, q = [place for place, _ in some], np.array([values for _, values in some])
            label = "alarm" if alarmed else "median and 90 %"
            ax.errorbar(x, q[:, 1], (q[:, 1] - q[:, 0], q[:, 2] - q[:, 1]), fmt="o", ms=4, color=color, label=label)
            ax.plot(x, q[:, 3], "v", ms=4, mfc="none", color=color, label=None if alarmed else "99 %")
    values = np.array([values for _, values in there] or [[low, middle, high, top]])
    if values.min() > 0 and low > 0 and values.max() > 30 * middle:
        ax.set_yscale("log")
        ax.set_ylim(min(values.min(), low) / 1.3, max(values.max(), top) * 4)
        ax.legend(loc="upper left", ncols=4)
    else:
        bottom, ceiling = min(values.min(), low), max(values.max(), top)
        margin = 0.06 * (ceiling - bottom)
        share = legend_above(ax, ncols=4)
        ax.set_ylim(bottom - margin, bottom - margin + (ceiling - bottom + 2 * margin) / (1 - share))
    ax.set_ylabel("score")
    return figure


def columns_of(group: Group) -> list[Moved]:
    """Return the columns of a group, those that moved most first."""
    found = [each for each in group.moved if each.axis.kind == "column"]
    return sorted(found, key=lambda each: -each.difference.distance)


def _farthest(groups: Sequence[Group]) -> list[str]:
    """Return the columns that moved most in any group."""
    most: dict[str, float] = {}
    for group in groups:
        for each in columns_of(group):
            most[each.axis.name] = max(most.get(each.axis.name, 0.0), each.difference.distance)
    return sorted(most, key=lambda name: -most[name])[:COLUMNS]


def _columns(groups: Sequence[Group], names: Sequence[str]) -> matplotlib.figure.Figure:
    """Draw the distance of each column in each group from the reference as a colour."""
    from matplotlib.figure import Figure

    height = 1.9 + 0.22 * len(names)
    figure = Figure(figsize=(7.6, height))
    ax = figure.subplots()
    distance = np.full((len(names), len(groups)), np.nan)
    for place, group in enumerate(groups):
        for each in columns_of(group):
            if each.axis.name in names:
                distance[names.index(each.axis.name), place] = each.difference.distance
    mesh = ax.imshow(distance, cmap="YlOrRd", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    ax.set_yticks(range(len(names)), [plain(name[:30]) for name in names], fontsize=9)
    ax.set_title("distance from the reference", loc="left")
    ax.tick_params(axis="y", which="both", length=0)
    _name(ax, groups)
    figure.subplots_adjust(left=0.3, right=0.93, top=1 - 0.35 / height, bottom=1.4 / height)
    figure.colorbar(mesh, ax=ax, pad=0.02, fraction=0.04)
    return figure


def _map(group: Group) -> matplotlib.figure.Figure | None:
    """Draw the distance of every pixel from the reference, the channel that moved most; None for no image."""
    from matplotlib.figure import Figure

    found = [(re.fullmatch(r"(.+)\[(\d+),(\d+)\]", each.axis.name), each) for each in columns_of(group)]
    pixels = [(match[1], int(match[2]), int(match[3]), each.difference.distance) for match, each in found if match]
    if len(pixels) < 4:
        return None
    channel = pixels[0][0]
    there = [(row, column, distance) for name, row, column, distance in pixels if name == channel]
    rows, columns = (sorted({pixel[side] for pixel in there}) for side in (0, 1))
    image = np.full((len(rows), len(columns)), np.nan)
    for row, column, distance in there:
        image[rows.index(row), columns.index(column)] = distance
    figure = Figure(figsize=(6.4, 4.2))
    ax = figure.subplots()
    ends = (columns[0] - 0.5, columns[-1] + 0.5, rows[0] - 0.5, rows[-1] + 0.5)
    mesh = ax.imshow(
        image, origin="lower", cmap="YlOrRd", vmin=0, vmax=1, extent=ends, aspect="auto", interpolation="nearest"
    )
    figure.colorbar(mesh, ax=ax, pad=0.02, fraction=0.05).set_label("distance from the reference", fontsize=11)
    ax.set_title(f"{plain(channel)}, {_short(group.name)}", loc="left")
    ax.set(xlabel="column", ylabel="row")
    figure.subplots_adjust(left=0.12, right=0.88, top=0.92, bottom=0.15)
    return figure
