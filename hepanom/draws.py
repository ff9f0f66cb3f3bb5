"""Draw recipes from the space of a search, and find out before it begins what cannot be drawn."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError
from itertools import product
from math import prod
from typing import Any

import numpy as np

from hepanom.document import Document, Place, placed, value_at
from hepanom.errors import InputError, did_you_mean
from hepanom.space import MOST_POINTS, Axis, Entry, Pick, SearchOptions, above

RANDOM = 48  # recipes that are drawn and checked before a search begins
OTHER_EVENTS = "says which events train, judge and test, so that trials would not compare, or know of each other's test"
SAME = {  # places that no trial may change
    "search": "is the same in all trials",
    "name": "is the same in all trials",
    "plugins": "is the same in all trials",
    "memory": "is the same in all trials",
    "train.replicas": "is one in all trials; the best are trained again with all",
    "evaluate": "says how a trial is judged, so that trials would not compare",
    "background": OTHER_EVENTS,
    "split": OTHER_EVENTS,
}


def draw(options: SearchOptions, plain: Mapping[str, Any], pick: Pick) -> dict[str, Any]:
    """Return one recipe's drawn values by path; ``pick`` draws along an axis, ``plain`` is the recipe itself.

    The value of a list is there as a whole.
    """
    values: dict[str, Any] = {}
    for name, entry in options.entries().items():
        if all(condition.holds(_known(wanted, values, plain)) for wanted, condition in entry.when.items()):
            values[name] = _drawn(name, entry, values, plain, pick)
    return {name: value for name, value in values.items() if name in options.space}


def _drawn(name: str, entry: Entry, values: Mapping[str, Any], plain: Mapping[str, Any], pick: Pick) -> Any:
    if entry.items is None:
        return entry.drawn(name, pick)
    length = entry.length if isinstance(entry.length, int) else _known(str(entry.length), values, plain)
    if isinstance(length, list):
        length = len(length)
    if not isinstance(length, int) or isinstance(length, bool) or length < 0:
        found = "not always drawn; give the list the same when" if length is None else f"{json.dumps(length)} somewhere"
        raise InputError(f"{name}: its length {entry.length} is {found}; expected a number of items")
    items = [entry.items.drawn(f"{name}.{index}", pick) for index in range(length)]
    try:
        return sorted(items, reverse=entry.order == "falling") if entry.order else items
    except TypeError as error:
        raise InputError(f"{name}: {json.dumps(items)} has no order; leave order out") from error


def flat(options: SearchOptions, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return drawn values by axis: lists item by item, choices as their text."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        entry = options.space[name]
        if entry.items is None:
            found[name] = entry.label(value)
        else:
            found |= {f"{name}.{index}": entry.items.label(each) for index, each in enumerate(value)}
    return found


def drawn_document(document: Document, values: Mapping[str, Any]) -> Document:
    """Return the recipe with drawn values, without its search; messages on a drawn value point to its line there."""
    plain = {key: value for key, value in document.plain.items() if key != "search"}
    places = {path: (value, ("search", "space", path)) for path, value in values.items()}
    return placed(replace(document, plain=plain), places)


def _known(wanted: str, values: Mapping[str, Any], plain: Mapping[str, Any]) -> Any:
    """Return what a path is, as drawn so far or as the recipe has it; None where there is nothing."""
    for end in (wanted, *reversed(list(above(wanted)))):
        if end in values:
            return value_at(values[end], wanted[len(end) + 1 :])
    return value_at(plain, wanted)


def grid(options: SearchOptions) -> list[dict[str, Any]]:
    """Return what is picked along each axis for every point of the grid. Raises InputError where there is no grid."""
    axes: dict[str, list[Any]] = {}
    for name, entry in options.entries().items():
        if entry.when:
            raise InputError(f"{name}: a grid has no conditions; take the sampler random or tpe")
        if entry.items is None:
            axes[name] = entry.grid(name)
        elif isinstance(entry.length, int):
            axes |= {f"{name}.{index}": entry.items.grid(f"{name}.{index}") for index in range(entry.length)}
        else:
            raise InputError(f"{name}: the lists of a grid have a fixed length, such as length: 3")
    if (number := prod(map(len, axes.values()))) > MOST_POINTS:
        raise InputError(f"the grid has {number:,} points; give numbers less of them, or take the sampler random")
    return [dict(zip(axes, point, strict=True)) for point in product(*axes.values())]


def mistakes(options: SearchOptions, document: Document) -> Iterator[tuple[Place, str]]:
    """Yield what types alone cannot say of a search: unknown names, circles, samplers that do not suit it."""
    here: Place = ("search",)
    several = len(options.objectives)
    if several == 0:
        yield here, "there is no objective; say maximize: valid/auc, or minimize: validation, which needs no labels"
    if several > 1 and options.sampler == "cmaes":
        yield (*here, "sampler"), "cmaes has one objective; take nsga2 or tpe for several"
    if several > 1 and options.pruner != "none":
        yield (*here, "pruner"), f"a pruner judges by one objective, found {several}; leave it out"
    known = {**options.variables, **options.space}
    for path in options.space:
        for fixed, why in SAME.items():
            if path == fixed or path.startswith(f"{fixed}."):
                yield (*here, "space", path), f"{fixed} {why}; leave it out"
    for name in options.variables.keys() & options.space.keys():
        yield (*here, "variables", name), "is a value of the recipe too; one of them is enough"
    for section, entries in (("variables", options.variables), ("space", options.space)):
        for name, entry in entries.items():
            for wanted in entry.wanted:
                drawn = any(name in known for name in (wanted, *above(wanted)))
                if not drawn and value_at(document.plain, wanted) is None:
                    place = (*here, section, name, "when" if wanted in entry.when else "length")
                    yield (
                        place,
                        f"there is no {wanted!r} in the recipe or among the variables; {did_you_mean(wanted, known)}",
                    )
    try:
        options.entries()
    except CycleError as error:
        yield (*here, "space"), f"values wait for each other: {', '.join(map(str, error.args[1]))}"
        return
    if options.sampler == "grid":
        try:
            points = len(grid(options))
        except InputError as error:
            yield (*here, "space"), str(error)
        else:
            if options.trials is not None and options.trials != points:
                yield (*here, "trials"), f"found {options.trials}, and the grid has {points} points; leave trials out"


def samples(options: SearchOptions, plain: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield drawn values that show every end and choice of the space, and some in between."""

    def end(high: bool, wanted: Mapping[str, str]) -> Pick:
        def pick(axis: Axis) -> Any:
            if axis.kind == "choice":
                return wanted.get(axis.path, axis.choices[-high])
            value = axis.high if high else axis.low
            assert value is not None
            return round(value) if axis.kind == "int" else value

        return pick

    for high in (False, True):
        yield draw(options, plain, end(high, {}))
        for name, entry in options.entries().items():
            for label in entry.labels:
                yield draw(options, plain, end(high, {name: label}))
    generator = np.random.default_rng(0)
    for _ in range(RANDOM):
        yield draw(options, plain, lambda axis: at_random(axis, generator))


def at_random(axis: Axis, generator: np.random.Generator) -> Any:
    """Return a random value along an axis."""
    if axis.kind == "choice":
        return axis.choices[generator.integers(len(axis.choices))]
    assert axis.low is not None
    assert axis.high is not None
    if axis.kind == "int" and not axis.log:
        return int(generator.integers(round(axis.low), round(axis.high) + 1))
    value = (
        np.exp(generator.uniform(*np.log([axis.low, axis.high])))
        if axis.log
        else generator.uniform(axis.low, axis.high)
    )
    return round(float(value)) if axis.kind == "int" else float(value)


def axes(options: SearchOptions, drawn: Sequence[Mapping[str, Any]]) -> tuple[Axis, ...]:
    """Return the axes of the space, of lists up to the longest item that is among the ``drawn`` values by axis."""
    found = []
    for name, entry in options.space.items():
        if entry.items is None:
            found.append(entry.axis(name))
            continue
        length = entry.length if isinstance(entry.length, int) else 0
        while any(f"{name}.{length}" in values for values in drawn):
            length += 1
        found += [entry.items.axis(f"{name}.{index}") for index in range(length)]
    return tuple(found)


def undrawable(
    options: SearchOptions, document: Document, mistakes_of: Callable[[Document], Iterable[str]]
) -> Iterator[str]:
    """Yield every mistake of recipes all over the space, once; ``mistakes_of`` tells those of one recipe.

    Mistakes that differ in numbers alone are one.
    """
    found: dict[str, str] = {}
    try:
        for values in samples(options, document.plain):
            for mistake in mistakes_of(drawn_document(document, values)):
                found.setdefault(re.sub(r"[\d.]+(e[+-]?\d+)?", "", mistake), mistake)
    except InputError as error:
        found[""] = f"{document.where(('search', 'space'))}: {str(error).removeprefix('--set ')}"
    yield from found.values()
