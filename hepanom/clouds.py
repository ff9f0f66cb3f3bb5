"""Sets of points beside what the network gives back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hepanom.canvas import bare, heading, plain
from hepanom.result import Cloud, Result

if TYPE_CHECKING:
    import matplotlib.figure


def cloud_figure(result: Result, label: str, clouds: Sequence[Cloud]) -> matplotlib.figure.Figure:
    """Draw a column per event: its points, whose area and colour are their share of the score, over those given back.

    The first row shows the first two coordinates, a second row the third one over the first where there is one.
    """
    from matplotlib.figure import Figure

    columns = clouds[0].columns
    planes = [(0, min(1, len(columns) - 1)), *([(0, 2)] if len(columns) > 2 else [])]
    figure = Figure(figsize=(1.75 * len(clouds) + 0.5, 2.1 * len(planes) + 1.2))
    axes = figure.subplots(len(planes), len(clouds), squeeze=False)
    every = np.concatenate([points for cloud in clouds for points in (cloud.points, cloud.given)])
    low, high = every.min(0), every.max(0)
    margin = 0.05 * (high - low) + 1e-6
    for column, cloud in enumerate(clouds):
        share = cloud.share / max(float(cloud.share.max(initial=0.0)), 1e-30)
        order = np.argsort(share, kind="stable")  # the points that matter on top
        for ax, (x, y) in zip(axes[:, column], planes, strict=True):
            ax.scatter(cloud.given[:, x], cloud.given[:, y], s=14, marker="x", lw=0.7, color="#94a4a2")
            ax.scatter(
                cloud.points[order, x],
                cloud.points[order, y],
                s=4 + 36 * share[order],
                c=share[order],
                cmap="plasma_r",
                vmin=0,
                vmax=1,
                lw=0,
            )
            bare(ax)
            ax.set(xlim=(low[x] - margin[x], high[x] + margin[x]), ylim=(low[y] - margin[y], high[y] + margin[y]))
        first = cloud.why != (clouds[column - 1].why if column else "")
        axes[0, column].set_title(
            (f"{plain(cloud.why)}\n" if first else "\n") + plain(cloud.truth), loc="left", fontsize=9
        )
    for ax, (x, y) in zip(axes[:, 0], planes, strict=True):
        ax.set_ylabel(f"{plain(columns[y])} over {plain(columns[x])}", fontsize=10, loc="center")
    figure.suptitle(heading(result, label), x=0.01, ha="left", fontsize=12)
    if scorer := clouds[0].scorer:
        words = f"discs: points, large and dark with their share of the score {plain(scorer)}; crosses: given back"
        figure.text(0.99, 0.98, words, ha="right", va="top", fontsize=10)
    figure.subplots_adjust(left=0.05, right=0.99, top=0.8, bottom=0.03, wspace=0.05, hspace=0.05)
    return figure
