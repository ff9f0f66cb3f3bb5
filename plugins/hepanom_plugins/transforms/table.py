"""What transforms of a table's columns share: the values that are fitted, and the events and schema that come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float64

from hepanom.events import Events, Schema


def features_of(events: Events, schema: Schema) -> Float[np.ndarray, "event feature"]:
    """Return the table."""
    return np.asarray(events.inputs[schema.table()[0]])


def log_jacobian_of(events: Events) -> Float64[np.ndarray, " event"]:
    """Return a copy of the log density factor so far, 0 where no transform has changed the density."""
    return np.zeros(len(events)) if events.log_jacobian is None else events.log_jacobian.astype(np.float64)


def with_features(
    events: Events, schema: Schema, features: Float[np.ndarray, "event column"], told: Mapping[str, int] | None = None
) -> Events:
    """Return the events with another table, and with what was done to its values in the tally."""
    name, _ = schema.table()
    counts = {what: events.tally.get(what, 0) + count for what, count in (told or {}).items() if count}
    return replace(events, inputs={**events.inputs, name: features}, tally={**events.tally, **counts})


def undone(events: Events, schema: Schema, features: Float[np.ndarray, "event feature"]) -> Events:
    """Return the events with the table that was before, and without the log density factor of what came after."""
    return replace(with_features(events, schema, features), log_jacobian=None)


def width_of_constant(value: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
    """Return the width that a column without spread is given: 1, or what float32 resolves at the value."""
    return np.asarray(np.maximum(1.0, 1e-6 * np.abs(value)))


def with_pure_numbers(before: Schema, columns: Sequence[int]) -> Schema:
    """Return the schema in which these columns of the table have no unit."""
    name, table = before.table()
    units = tuple("" if index in columns else unit for index, unit in enumerate(table.units))
    return replace(before, inputs={**before.inputs, name: replace(table, units=units)})
