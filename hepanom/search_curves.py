"""How a search went: its objective trial by trial, its trainings epoch by epoch, and two objectives at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hepanom.canvas import ANOMALY, BACKGROUND, TRAINING, VALIDATION
from hepanom.search_goal import faint, finite, goal, lay, legend, sheet, value
from hepanom.trials import Search

if TYPE_CHECKING:
    import matplotlib.figure

HEIGHT = 3.5  # inches of the axes
PALE = "#aab1ba"  # of what is not the best
PATHS = {"complete": BACKGROUND, "running": VALIDATION, "failed": ANOMALY, "pruned": "#717581"}


def history_figure(search: Search, place: int = 0) -> matplotlib.figure.Figure:
    """Draw an objective trial by trial, the best so far, and the trials that did not come to their end."""
    from matplotlib.ticker import MaxNLocator

    pruned = {trial.number: finite(trial.steps) for trial in search.trials if trial.state == "pruned" and place == 0}
    last = {number: list(steps.values())[-1] for number, steps in pruned.items() if steps}
    held = [*last.values(), *(value(trial, place) for trial in search.trials)]
    found = goal(search, place, [each for each in held if np.isfinite(each)])
    figure, ((ax,),) = sheet(search, [HEIGHT])
    numbers = np.array([trial.number for trial in search.trials])
    kept = np.array([trial.feasible for trial in search.trials], bool)
    done = np.isfinite(found.values)
    for here, face, label in ((done & kept, BACKGROUND, "complete"), (done & ~kept, "white", "breaks a constraint")):
        if here.any():
            ax.scatter(numbers[here], found.shown(found.values[here]), 26, face, edgecolors=BACKGROUND, label=label)
    if last:
        ax.plot(list(last), found.shown(np.array(list(last.values()))), "x", color="gray", ms=6, label="pruned")
    if len(better := numbers[done & kept]):
        best = (np.maximum if found.maximize else np.minimum).accumulate(found.values[done & kept])
        ax.step([*better, numbers.max()], [*best, best[-1]], where="post", color=TRAINING, label="best so far")
    lost = [
        trial.number
        for trial, known in zip(search.trials, done, strict=True)
        if trial.state == "failed" or (trial.state == "complete" and not known)
    ]
    if lost:
        foot = ax.get_xaxis_transform()
        ax.plot(lost, [0.035] * len(lost), "|", color=ANOMALY, ms=12, mew=2, transform=foot, label="failed")
    lay(ax, found, "y")
    if not (done.any() or last):
        ax.set_yticks([])
    margin = 1 + 0.02 * np.ptp(numbers)
    ax.set(xlim=(numbers.min() - margin, numbers.max() + margin), xlabel="trial")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(figure, ax)
    return figure


def learning_figure(search: Search) -> matplotlib.figure.Figure | None:
    """Draw the first objective epoch by epoch; None where no trial reported it."""
    from matplotlib.collections import LineCollection
    from matplotlib.ticker import MaxNLocator

    trials = [(trial, np.array(list(finite(trial.steps).items()), float)) for trial in search.trials]
    trials = [(trial, line) for trial, line in trials if len(line)]
    if not trials:
        return None
    found = goal(search, 0, np.concatenate([line[:, 1] for _, line in trials]).tolist())
    figure, ((ax,),) = sheet(search, [HEIGHT])
    best = [trial.number for trial, _ in trials if trial.number in search.best[:1] and trial.state == "complete"]
    groups = {
        state: [line for trial, line in trials if trial.state == state and trial.number not in best] for state in PATHS
    }
    groups["best"] = [line for trial, line in trials if trial.number in best]
    for place, (state, lines) in enumerate(groups.items()):
        if lines:
            color, width = PATHS.get(state, TRAINING), 2.6 if state == "best" else 0.9
            alpha = max(faint(len(lines)), 0.3)
            drawn = [np.stack([line[:, 0], found.shown(line[:, 1])], axis=1) for line in lines]
            ax.add_collection(
                LineCollection(drawn, colors=color, linewidths=width, alpha=alpha, label=state, zorder=2 + place)
            )
            ax.scatter(*np.array([line[-1] for line in drawn]).T, 9 * width, color=color, lw=0, zorder=2 + place)
    ax.margins(x=0.03)
    lay(ax, found, "y")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("epoch")
    legend(figure, ax)
    return figure


def front_figure(search: Search, first: int = 0, second: int = 1) -> matplotlib.figure.Figure:
    """Draw two objectives against each other, and the trials that none other beats in all objectives."""
    across, up = goal(search, first), goal(search, second)
    figure, ((ax,),) = sheet(search, [HEIGHT])
    known = np.isfinite(across.values) & np.isfinite(up.values)
    best = np.isin([trial.number for trial in search.trials], search.best)
    kept = np.array([trial.feasible for trial in search.trials], bool)
    x, y = across.shown(across.values), up.shown(up.values)
    for here, face, edge, size, label in (
        (known & kept & ~best, PALE, PALE, 22, "complete"),
        (known & ~kept & ~best, "white", PALE, 22, "breaks a constraint"),
        (known & best, TRAINING, TRAINING, 42, "front"),
    ):
        if here.any():
            ax.scatter(x[here], y[here], size, face, edgecolors=edge, label=label, zorder=3)
    front = np.flatnonzero(known & best)
    if len(search.objectives) == 2 and len(front):
        order = front[np.argsort(-x[front] if across.maximize else x[front])]
        ax.step(x[order], y[order], where="post", color=TRAINING, lw=1.2)
    lay(ax, across, "x")
    lay(ax, up, "y")
    legend(figure, ax)
    return figure
