"""The axes of a search as its figures and tables show them: short names, the important ones first, places on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from hepanom.space import Axis
from hepanom.trials import Search

ALONE = {"use"}  # ends of paths that say nothing without what is before


def names(axes: Sequence[Axis]) -> dict[str, str]:
    """Return a short name for each axis by its path: the end of the path, as much as no other axis ends with."""
    dotted = [f".{axis.path}" for axis in axes]
    found = {}
    for axis in axes:
        parts = axis.path.split(".")
        ends = [".".join(parts[start:]) for start in reversed(range(len(parts)))]
        fit = (end for end in ends if not end[:1].isdigit() and end not in ALONE)
        found[axis.path] = next((end for end in fit if sum(p.endswith(f".{end}") for p in dotted) == 1), axis.path)
    return found


def ranked(search: Search) -> list[Axis]:
    """Return the axes that any trial drew, the most important first, those without an importance in their order."""
    drawn = {path for trial in search.trials for path in trial.drawn}
    return sorted((axis for axis in search.axes if axis.path in drawn), key=lambda axis: -importance(search, axis))


def importance(search: Search, axis: Axis) -> float:
    """Return the share of the variance that an axis has, 0 where it is not known."""
    share = search.importances.get(axis.path, 0.0)
    return share if math.isfinite(share) else 0.0


def places(axis: Axis, drawn: Sequence[Any]) -> Float[np.ndarray, " trial"]:
    """Return where drawn values lie between the ends of an axis, 0 to 1; NaN where there is none, as for None."""
    if axis.kind == "choice":
        order = {choice: place for place, choice in enumerate(axis.choices)}
        steps = max(len(order) - 1, 1)
        return np.array([order.get(str(each), math.nan) for each in drawn], float) / steps
    numbers = np.array([each if isinstance(each, int | float) else math.nan for each in drawn], float)
    numbers[~np.isfinite(numbers)] = math.nan
    low, high = _ends(axis)
    if not high > low:
        return 0.5 + 0 * numbers
    if not axis.log:
        return (numbers - low) / (high - low)
    numbers[numbers <= 0] = math.nan
    return np.log(numbers / low) / math.log(high / low)


def ticks(axis: Axis, most: int = 4) -> list[tuple[float, str]]:
    """Return places on an axis, 0 to 1, with the numbers or choices there."""
    from matplotlib.ticker import MaxNLocator

    if axis.kind == "choice":
        steps = max(len(axis.choices) - 1, 1)
        return [(place / steps, choice) for place, choice in enumerate(axis.choices)]
    low, high = _ends(axis)
    first, last = (math.log10(low), math.log10(high)) if axis.log else (low, high)
    decades = axis.log and last - first > 1.5
    if axis.log and not decades:
        powers = range(math.floor(first), math.ceil(last) + 1)
        marks = [power + math.log10(step) for power in powers for step in (1, 2, 5)]
    else:
        whole = axis.kind == "int" or decades
        marks = list(MaxNLocator(most, integer=whole, min_n_ticks=2).tick_values(first, last))
    slack = 1e-9 * (last - first)
    inside = [mark for mark in marks if first - slack <= mark <= last + slack]
    inside = inside if len(inside) > 1 and last > first else sorted({first, last})
    values = [10**each if axis.log else each for each in inside]
    where = places(axis, values).tolist()
    return [(place, spelled(each, decades)) for place, each in zip(where, values, strict=True)]


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters, its middle cut."""
    before = (most - 1) // 2
    return text if len(text) <= most else f"{text[:before]}…{text[before + 1 - most :]}"


def spelled(number: float, decades: bool = False) -> str:
    """Return a tick's number, five digits of it or as a power of ten."""
    if decades:
        return rf"$10^{{{round(math.log10(number))}}}$"
    digits, _, power = f"{number:.5g}".partition("e")
    text = digits.replace("-", "\N{MINUS SIGN}")
    return rf"{text}$\times10^{{{int(power)}}}$" if power else text


def _ends(axis: Axis) -> tuple[float, float]:
    """Return the range of numbers of an axis."""
    return float(axis.low or 0), float(axis.high or 0)
