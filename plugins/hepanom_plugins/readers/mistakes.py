"""What is wrong with the expressions and lists of columns in a reader's options, told by the headers of a file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from hepanom.errors import InputError, Place, did_you_mean
from hepanom_plugins.readers.expressions import parse
from hepanom_plugins.readers.objects import EVENT, members, per_event

Stated = Sequence[tuple[Place, str]]  # texts with their places in the options


def in_expressions(stated: Stated, known: Mapping[str, str], called: str) -> Iterator[tuple[Place, str]]:
    """Yield the expressions that are none, that name a column which is not there, or that give no value per event.

    ``known`` says what every column holds, ``called`` what the format calls a column. Those of ``derive`` come first,
    in their order, and each may name the ones before it.
    """
    columns = {name: EVENT[kind] for name, kind in known.items() if kind in EVENT}
    later = [str(place[1]) for place, _ in stated if place[0] == "derive"]
    for place, text in stated:
        derived = str(place[1]) if place[0] == "derive" else None
        try:
            expression = parse(text)
            for name in expression.names:
                if name not in columns:
                    raise InputError(_lost(name, {**known, **columns}, later, called))
            value = per_event(expression, columns, 1)
        except InputError as error:
            shown = str(error)
            yield place, shown if repr(text) in shown else f"{text!r}: {shown}"
            value = EVENT["number"]
        if derived is not None:
            columns[derived] = value
            later.remove(derived)


def _lost(name: str, known: Mapping[str, Any], later: Collection[str], called: str) -> str:
    """Say why a column cannot be named."""
    if name in later:
        return f"{name!r} is derived only after it; put it before"
    if name in known:
        return f"the {called} {name!r} holds what no expression can use"
    return f"there is no {called} {name!r}; {did_you_mean(name, known)}"


def in_lists(stated: Stated, known: Mapping[str, str], called: str) -> Iterator[tuple[Place, str]]:
    """Yield what names a column that is not there or holds no list of numbers: ``Jet_{pt,eta}``."""
    lists = [name for name, kind in known.items() if kind == "numbers"]
    for place, text in stated:
        for column in members(text).values():
            if known.get(column) != "numbers":
                what = f"holds one {known[column]} per event" if column in known else "is not there"
                told = f"{called} {column!r} {what}; a list of numbers is needed; {did_you_mean(column, lists)}"
                yield place, f"{text}: {told}"
                break


def in_features(patterns: Sequence[str], known: Mapping[str, str], called: str) -> Iterator[tuple[Place, str]]:
    """Yield the features by name that hold no number per event."""
    for index, pattern in enumerate(patterns):
        if known.get(pattern, "number") != "number":
            remedy = "numbers go through `points`, `leading` or an expression in `derive`, text is for label, id, keep"
            yield ("features", index), f"{called} {pattern!r} holds {known[pattern]}, no feature; {remedy}"
