"""How a search's objectives go with the values that it drew: rank correlations, and how far chance explains them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import permutations
from typing import Any

import numpy as np
from jaxtyping import Float

from hepanom.space import Axis
from hepanom.trials import Search

EXACT = 7  # trials up to which all their orders are counted; above, rho has a t distribution
FEWEST = 3  # trials of which a correlation says anything


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of an objective with a drawn value, over the trials that drew it.

    ``p`` is the chance of a |rho| as large without any relation, ``adjusted`` that of finding one in any of the rows of
    this objective, after Holm. They are NaN where a value is constant or fewer than three trials have it.
    """

    objective: str
    name: str
    trials: int
    rho: float = math.nan
    p: float = math.nan
    adjusted: float = math.nan


def correlations(search: Search) -> list[Correlation]:
    """Return a row for each objective and each number that describes a recipe, over the complete trials.

    A choice among numbers counts as a number and one of true and false as 0 and 1; any other has a row for each of its
    values, 1 where it was drawn and 0 where another was. A list has rows for its largest item and its length as well.

    References:
        C. Spearman, "The proof and measurement of association between two things", 1904, doi:10.2307/1412159.
        S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979) 65.
    """
    trials = [trial for trial in search.trials if trial.state == "complete"]
    described = dict(_described(search.axes, [trial.drawn for trial in trials]))
    described["number of parameters"] = [trial.numbers.get("parameters", math.nan) for trial in trials]
    found: list[Correlation] = []
    for place, objective in enumerate(search.objectives):
        goal = np.array([trial.values[place] if place < len(trial.values) else math.nan for trial in trials])
        rows = [_row(objective.name, name, goal, np.array(column, float)) for name, column in described.items()]
        adjusted = holm([row.p for row in rows])
        found += [replace(row, adjusted=p) for row, p in zip(rows, adjusted, strict=True)]
    return found


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted for how many there are, those that are NaN left out.

    The k-th smallest of m becomes the largest of (m - i + 1) p_i over i <= k, at most 1.
    """
    values = np.array(p, float)
    order = np.argsort(values)[: np.isfinite(values).sum()]  # NaN comes last
    factors = np.arange(len(order), 0, -1)
    values[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1) if len(order) else 0
    adjusted: list[float] = values.tolist()
    return adjusted


def spearman(first: Float[np.ndarray, " trial"], second: Float[np.ndarray, " trial"]) -> tuple[float, float]:
    """Return Spearman's rho and its two-sided p-value; NaN where it has none.

    Up to seven trials p is the share of all their orders with a |rho| as large; above, that of a t distribution.
    """
    from scipy.stats import rankdata, spearmanr  # type: ignore[import-untyped]

    if len(first) < FEWEST or any(len(np.unique(values)) < 2 for values in (first, second)):
        return math.nan, math.nan
    if len(first) > EXACT:
        rho, p = spearmanr(first, second)
        return float(rho), float(p)
    ranks = [rankdata(values) for values in (first, second)]
    one, two = ((rank - rank.mean()) / rank.std() for rank in ranks)
    rho = float(one @ two / len(one))
    others = two[_orders(len(two))] @ one / len(one)
    return rho, float(np.mean(np.abs(others) > abs(rho) - 1e-9))


@cache
def _orders(count: int) -> Any:
    """Return all orders of some trials, a row for each."""
    return np.array(list(permutations(range(count))))


def _row(
    objective: str, name: str, goal: Float[np.ndarray, " trial"], column: Float[np.ndarray, " trial"]
) -> Correlation:
    known = ~np.isnan(goal) & ~np.isnan(column)  # an infinite loss is the worst, and has a rank
    return Correlation(objective, name, int(known.sum()), *spearman(goal[known], column[known]))


def _described(axes: Sequence[Axis], drawn: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[float]]]:
    """Yield what describes the recipes as names and numbers, NaN where a trial did not draw it."""
    lists: dict[str, list[Sequence[float]]] = {}
    for axis in axes:
        column = [values.get(axis.path) for values in drawn]
        yield from _columns(axis, column)
        parent, _, item = axis.path.rpartition(".")
        if item.isdigit() and _is_number(axis):
            before = lists.get(parent, [()] * len(drawn))
            lists[parent] = [
                (*seen, *([] if value is None else [_float(value)])) for seen, value in zip(before, column, strict=True)
            ]
        elif axis.choices and all(map(_items, axis.choices)):
            lists[axis.path] = [_items(str(value)) for value in column]
    for name, lengths in lists.items():
        yield f"largest {name}", [max(items, default=math.nan) for items in lengths]
        yield f"number of {name}", [len(items) or math.nan for items in lengths]


def _columns(axis: Axis, column: Sequence[Any]) -> Iterator[tuple[str, list[float]]]:
    if _is_number(axis):
        yield axis.path, [_float(value) for value in column]
    elif {choice.lower() for choice in axis.choices} == {"true", "false"}:
        yield axis.path, [math.nan if value is None else float(str(value).lower() == "true") for value in column]
    else:
        for choice in axis.choices:
            yield f"{axis.path}: {choice}", [math.nan if value is None else float(value == choice) for value in column]


def _is_number(axis: Axis) -> bool:
    return axis.kind != "choice" or not any(math.isnan(_float(choice)) for choice in axis.choices)


def _float(value: object) -> float:
    """Return a drawn value as a number, NaN where it is none."""
    try:
        return float(str(value))
    except ValueError:
        return math.nan


def _items(text: str) -> Sequence[float]:
    """Return the items of a choice that is a list of numbers; none where it is something else."""
    try:
        found = json.loads(text)
    except ValueError:
        return ()
    whole = isinstance(found, list) and all(isinstance(item, int | float) for item in found)
    return [float(item) for item in found] if whole else ()
