"""What transforms of points share: their coordinates, and the input that takes their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float32, Int64

from hepanom.errors import InputError, did_you_mean
from hepanom.events import Events, Input, Jagged, Schema

# What a name stands for where it is no column itself: letters are compared in lower case.
DERIVED: dict[str, tuple[str, ...]] = {
    "r": ("x", "y"),
    "pt": ("px", "py"),
    "phi": ("px", "py"),
    "eta": ("px", "py", "pz"),
}


def sources(name: str, cloud: Input, option: str) -> tuple[int, ...]:
    """Return the positions of the columns that a coordinate is read or computed from: one where it is a column.

    Raises InputError, naming the option, for a coordinate that is neither.
    """
    if name in cloud.columns:
        return (cloud.columns.index(name),)
    lower = [column.lower() for column in cloud.columns]
    parents = DERIVED.get(name.lower(), (name.lower(),))
    if name.lower() in lower or not set(parents) <= set(lower):
        known = [*cloud.columns, *(key for key, needs in DERIVED.items() if set(needs) <= set(lower))]
        needs = f" ({name} would need the columns {', '.join(parents)})" if name.lower() in DERIVED else ""
        raise InputError(f"{option}: the points have no column {name!r}{needs}; {did_you_mean(name, known)}")
    return tuple(lower.index(parent) for parent in parents)


def coordinate(
    name: str, points: Float32[np.ndarray, "point column"], positions: Sequence[int]
) -> Float32[np.ndarray, " point"]:
    """Return a column, or r = hypot(x, y), pt = hypot(px, py), phi = atan2(py, px), eta = asinh(pz / pt)."""
    x, *others = (points[:, position] for position in positions)
    values: Float32[np.ndarray, " point"] = x
    match name.lower(), others:
        case "phi", [y]:
            values = np.arctan2(y, x)
        case "r" | "pt", [y]:
            values = np.hypot(x, y)
        case "eta", [y, z]:
            with np.errstate(divide="ignore", invalid="ignore"):  # along the beam eta is infinite, outside of any range
                values = np.arcsinh(z / np.hypot(x, y))
    return values


def unit(name: str, cloud: Input, positions: Sequence[int]) -> str:
    """Return the unit of a coordinate."""
    if len(positions) > 1 and name.lower() in ("phi", "eta"):
        return "rad" if name.lower() == "phi" else ""
    return cloud.units[positions[0]]


def clouds_of(events: Events, name: str) -> Jagged:
    """Return the events' points with offsets from 0, so that every value is a point of an event."""
    clouds = events.inputs[name]
    assert isinstance(clouds, Jagged)
    first, last = clouds.offsets[0], clouds.offsets[-1]
    return Jagged(clouds.values[first:last], clouds.offsets - first)


def rows_of(clouds: Jagged) -> Int64[np.ndarray, " point"]:
    """Return, for every point, the index of its event."""
    return np.repeat(np.arange(len(clouds)), np.diff(clouds.offsets))


def described(before: Schema, new: str, entry: Input) -> Schema:
    """Return the schema with an input in place of the points. Raises InputError for a name that is taken."""
    name, _ = before.only("points")
    if new != name and new in before.inputs:
        raise InputError(f"the points would become the input {new!r}, but these events have one already")
    inputs = {(new if key == name else key): entry if key == name else old for key, old in before.inputs.items()}
    return replace(before, inputs=inputs)


def exchanged(
    events: Events, name: str, new: str, values: Float32[np.ndarray, "event ..."] | Jagged, told: Mapping[str, int]
) -> Events:
    """Return the events with an input in place of the points, and with what was done to them in the tally."""
    inputs = {(new if key == name else key): values if key == name else old for key, old in events.inputs.items()}
    tally = {**events.tally, **{what: events.tally.get(what, 0) + count for what, count in told.items() if count}}
    return replace(events, inputs=inputs, tally=tally)
