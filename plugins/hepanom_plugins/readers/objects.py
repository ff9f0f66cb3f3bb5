"""Columns, jagged or not: as one value per event, as columns of the leading objects, as a cloud of points."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import awkward as ak  # type: ignore[import-untyped]
import numpy as np
from jaxtyping import Int64

from hepanom.contracts import Unread
from hepanom.errors import InputError
from hepanom.events import Jagged
from hepanom_plugins.readers.expressions import Expression, doubles, is_text

HOLDS = {"number": "number", "numbers": "list of numbers", "text": "text", "other": "something that is not read"}
EVENT: Mapping[str, Any] = {  # columns of one event, by what they hold
    "number": np.ones(1),
    "numbers": ak.Array([[1.0]]),
    "text": ak.Array(["a"]),
}


def members(text: str) -> dict[str, str]:
    """Return member -> branch of ``Jet_{Px,Py}``, or the branch itself for a text without braces."""
    found = re.fullmatch(r"([^{}]*)\{([^{}]+)\}([^{}]*)", text)
    if found is None:
        return {text: text}
    return {name.strip(): f"{found[1]}{name.strip()}{found[3]}" for name in found[2].split(",")}


def lengths(array: Any) -> tuple[str, int, int]:
    """Return the type of the values in a jagged column, and how many of them the shortest and longest list have."""
    counts = ak.to_numpy(ak.num(array, axis=1))
    return str(ak.flatten(array).layout.dtype), int(counts.min()), int(counts.max())


def per_event(expression: Expression, columns: Mapping[str, Any], events: int) -> Any:
    """Evaluate an expression to one value per event. Raises InputError for one that gives several."""
    found = expression(columns)
    if getattr(found, "ndim", 0) > 1:
        raise InputError(
            f"expression {expression.text!r} has several values per event; choose one by [0], sum, max, min, num, any"
        )
    if isinstance(found, ak.Array):
        text = found.layout.parameter("__array__") == "string" or found.layout.is_list
        found = np.array(ak.to_list(found), str) if text else ak.to_numpy(found)
    return np.broadcast_to(found, (events,)) if np.ndim(found) == 0 else found


def lead(columns: dict[str, Any], text: str, most: int) -> int:
    """Add the columns of the leading objects, NaN where there are fewer; return how many objects are left out."""
    left = 0
    for branch in members(text).values():
        padded = ak.fill_none(ak.pad_none(columns[branch], most, axis=1, clip=True), np.nan)
        matrix = np.asarray(ak.to_numpy(padded), np.float32)
        columns |= {f"{branch}[{rank}]": matrix[:, rank] for rank in range(most)}
        left = int(np.maximum(ak.to_numpy(ak.num(columns[branch], axis=1)) - most, 0).sum())
    return left


def cloud(columns: Mapping[str, Any], text: str, file: str, entry: Int64[np.ndarray, " event"]) -> Jagged:
    """Return jagged branches as points. Raises InputError where their numbers of objects differ."""
    layouts = {branch: ak.to_packed(columns[branch]).layout for branch in members(text).values()}
    first = next(iter(layouts))
    offsets = np.asarray(layouts[first].offsets, np.int64)
    values = np.empty((offsets[-1], len(layouts)), np.float32)
    for index, (branch, layout) in enumerate(layouts.items()):
        other = np.asarray(layout.offsets)
        if not np.array_equal(other, offsets):
            row = int(np.flatnonzero(np.diff(other) != np.diff(offsets))[0])
            raise InputError(
                f"{file}: entry {entry[row]}: {branch} has {np.diff(other)[row]} objects, {first} "
                f"{np.diff(offsets)[row]}; points need as many of each"
            )
        values[:, index] = ak.to_numpy(ak.Array(layout.content))
    return Jagged(values, offsets)


def present(values: Any, missing: Sequence[float]) -> Any:
    """Return a column with NaN where a value is among ``missing``, in float32 or float64; text stays as it is."""
    numbers = doubles(values)
    if missing and not is_text(values):
        for value in {*missing, *np.array(missing, np.float32).tolist()}:
            numbers = ak.where(numbers == value, np.nan, numbers)
    return numbers


def described(content: Any, names: Sequence[str], size: int) -> list[Unread]:
    """Say what columns of an open file hold, and how many values the first rows, some ``size`` bytes, have."""
    plain = [name for name in names if content.kinds[name] in ("number", "numbers")]
    edges = content.edges(plain, size) if plain else [0]
    _, arrays = next(content.chunks(plain, range(edges[1]), size)) if len(edges) > 1 else (0, {})
    found: list[Unread] = []
    for name in names:
        kind, array = content.kinds[name], arrays.get(name)
        if array is None or not len(array):
            found.append(Unread(name, HOLDS[kind]))
        elif kind == "number":
            found.append(Unread(name, HOLDS[kind], str(array.dtype), 1, 1))
        else:
            found.append(Unread(name, HOLDS[kind], *lengths(array)))
    return found
