"""The figures of a search, by name."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from hepanom.canvas import key, style
from hepanom.search_axes import importance, ranked
from hepanom.search_curves import front_figure, history_figure, learning_figure
from hepanom.search_goal import value
from hepanom.search_parallel import importance_figure, parallel_figure
from hepanom.search_slices import choice_figure, contour_figure, slice_figure
from hepanom.space import Axis
from hepanom.trials import Search

if TYPE_CHECKING:
    import matplotlib.figure

MOST_SLICES, MOST_CHOICES, MOST_LINES, MOST_BARS = 12, 6, 12, 20  # axes in a figure, the most important ones
MOST_GOALS = 4  # objectives with figures of their own


def figures(search: Search) -> dict[str, matplotlib.figure.Figure]:
    """Return the figures, to be saved under ``canvas.style``.

    ``history_OBJECTIVE`` and ``slice_OBJECTIVE`` for each objective, ``front_ONE_OTHER`` for each two; for the first
    objective ``learning``, ``importances``, ``contour`` of the two most important axes that
    at least half of the complete trials drew, ``parallel`` and ``choices``.
    Figures that would be empty are not there.
    """
    found: dict[str, Any] = {}
    goals = [objective.name for objective in search.objectives][:MOST_GOALS]
    axes = ranked(search)
    numbers = [axis for axis in axes if axis.kind != "choice"][:MOST_SLICES]
    choices = [axis for axis in axes if axis.kind == "choice"][:MOST_CHOICES]
    complete = any(np.isfinite(value(trial)) for trial in search.trials)
    with style():
        for place, name in enumerate(goals if search.trials else ()):
            found[key("history", name)] = history_figure(search, place)
        if complete:
            for (first, one), (second, other) in combinations(enumerate(goals), 2):
                found[key("front", one, other)] = front_figure(search, first, second)
        if (learning := learning_figure(search)) is not None:
            found["learning"] = learning
        if any(importance(search, axis) > 0 for axis in axes):
            found["importances"] = importance_figure(search, axes[:MOST_BARS])
        if complete and numbers:
            for place, name in enumerate(goals):
                found[key("slice", name)] = slice_figure(search, numbers, place)
        if complete and choices:
            found["choices"] = choice_figure(search, choices)
        if complete and len(axes) > 1:
            found["contour"] = contour_figure(search, *_pair(search, axes))
            found["parallel"] = parallel_figure(search, axes[:MOST_LINES])
    return found


def _pair(search: Search, axes: Sequence[Axis]) -> Sequence[Axis]:
    """Return the two most important axes that at least half of the complete trials drew, or else of all."""
    drawn = [trial.drawn for trial in search.trials if trial.state == "complete"]
    usual = [axis for axis in axes if 2 * sum(axis.path in values for values in drawn) >= len(drawn)]
    return (usual if len(usual) > 1 else axes)[:2]
