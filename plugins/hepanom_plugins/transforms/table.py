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


def with_log_jacobian(events: Events, grown: Mapping[str, Float64[np.ndarray, " event"]]) -> Events:
    """Return the events whose log density factors have grown by these, by column."""
    before = events.log_jacobian
    after = {column: before[column] + values if column in before else values for column, values in grown.items()}
    return replace(events, log_jacobian={**before, **after})


def with_features(
    events: Events, schema: Schema, features: Float[np.ndarray, "event column"], told: Mapping[str, int] | None = None
) -> Events:
    """Return the events with another table, and with what was done to its values in the tally."""
    name, _ = schema.table()
    counts = {what: events.tally.get(what, 0) + count for what, count in (told or {}).items() if count}
    return replace(events, inputs={**events.inputs, name: features}, tally={**events.tally, **counts})


def undone(events: Events, schema: Schema, features: Float[np.ndarray, "event feature"]) -> Events:
    """Return the events with the table that was before, and without the log density factor of what came after."""
    return replace(with_features(events, schema, features), log_jacobian={})


def width_of_constant(value: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
    """Return the width that a column without spread is given: 1, or what float32 resolves at the value."""
    return np.asarray(np.maximum(1.0, 1e-6 * np.abs(value)))


def with_pure_numbers(before: Schema, columns: Sequence[int]) -> Schema:
    """Return the schema in which these columns of the table have no unit."""
    name, table = before.table()
    units = tuple("" if index in columns else unit for index, unit in enumerate(table.units))
    return replace(before, inputs={**before.inputs, name: replace(table, units=units)})
