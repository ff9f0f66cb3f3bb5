"""Jets, leptons or constituents of events in the plane of pseudorapidity and azimuth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hepanom.canvas import ANOMALY, BACKGROUND, heading, plain
from hepanom.result import Objects, Result

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

LARGEST = 900.0  # area of the disc of the hardest object
NEAR = 0.9  # in eta and phi: names side by side would overlap
HIGH = 2.2  # azimuth from which on there is no room above
NAMED = 12  # objects of an event, up to which each has its name


def objects_figure(result: Result, label: str, events: Sequence[Objects]) -> matplotlib.figure.Figure:
    """Draw a panel per event: its objects in eta and phi as discs whose area is their transverse momentum.

    Ordinary events are blue, strange ones red; areas compare between all panels.
    """
    from matplotlib.figure import Figure

    across = min(3, len(events))
    down = -(-len(events) // across)
    height = 3.0 * down + 0.75
    figure = Figure(figsize=(3.4 * across + 0.2, height))
    axes = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).ravel().tolist()
    every = np.concatenate([each.momenta for each in events])
    hardest = float(np.nanmax(every[:, 0], initial=1e-30))
    reach = max(2.5, 1.15 * float(np.nanmax(np.abs(every[:, 1]), initial=0.0)))
    for ax, event in zip(axes, events, strict=False):
        pt, eta, phi = event.momenta.T
        color = BACKGROUND if event.why.startswith("an ordinary") else ANOMALY
        ax.scatter(eta, phi, s=LARGEST * pt / hardest, color=color, alpha=0.45, lw=0)
        ax.scatter(eta, phi, s=6, color=color, lw=0)
        for index, name in enumerate(event.names if len(pt) <= NAMED else ()):
            _label(ax, event, index, name, reach)
        ax.set(xlim=(-reach, reach), ylim=(-1.12 * np.pi, 1.12 * np.pi))
        ax.set_yticks([-np.pi, 0, np.pi], ["$-\\pi$", "0", "$\\pi$"])
        ax.set_title(f"{plain(event.why)}: {plain(event.truth)}", loc="left", fontsize=9)
        ax.tick_params(labelsize=9)
        ax.minorticks_off()
    for ax in axes[len(events) :]:
        ax.set_axis_off()
    figure.suptitle(heading(result, label), x=0.01, y=1 - 0.1 / height, ha="left", va="top", fontsize=12)
    words = f"area: transverse momentum, largest {hardest:.3g} {plain(events[0].unit)}".rstrip()
    figure.text(0.99, 1 - 0.1 / height, words, ha="right", va="top", fontsize=10)
    figure.supxlabel(r"$\eta$", fontsize=12, y=0.01)
    figure.supylabel(r"$\phi$", fontsize=12, x=0.01)
    figure.subplots_adjust(left=0.075, right=0.985, top=1 - 0.65 / height, bottom=0.5 / height, wspace=0.06, hspace=0.2)
    return figure


def _label(ax: matplotlib.axes.Axes, event: Objects, index: int, name: str, reach: float) -> None:
    """Write name and momentum beside an object: to the side of the middle, below where one before it is near."""
    pt, eta, phi = event.momenta[index].tolist()
    near = np.abs(event.momenta[:index, 1:] - (eta, phi)).max(1, initial=0.0) < NEAR
    down = near.any() != (phi > HIGH)
    left = eta > 0.4 * reach
    text = f"{plain(name)}\n{pt:.3g} {plain(event.unit)}".strip()
    place = (-5 if left else 5, -5 if down else 5)
    sides = {"ha": "right" if left else "left", "va": "top" if down else "bottom"}
    ax.annotate(text, (eta, phi), place, textcoords="offset points", fontsize=8, linespacing=0.95, **sides)  # type: ignore[arg-type]
