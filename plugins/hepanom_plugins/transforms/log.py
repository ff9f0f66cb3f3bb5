"""Log: the natural logarithm of chosen columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from pydantic import Field

from hepanom.contracts import State, Transform
from hepanom.errors import InputError
from hepanom.events import Events, Schema
from hepanom_plugins.transforms.columns import Patterns, matched
from hepanom_plugins.transforms.table import features_of, undone, with_log_jacobian


@dataclass(frozen=True)
class Log(Transform):
    """Replace chosen columns by their natural logarithm: y = log(x + offset), with the offset in the column's unit.

    Missing values stay missing. A unit becomes ``log(unit)``. ``log_jacobian`` grows by log |dy/dx| =
    -log(x + offset) where the value is there, so that log p(x) = log p(y) + sum log_jacobian. Undone by
    x = exp(y) - offset.

    Raises InputError for a pattern that matches no column, and for x + offset <= 0.
    """

    columns: Patterns
    offset: Annotated[
        float, Field(allow_inf_nan=False, description="added before the logarithm, in the column's unit")
    ] = 0.0

    def schema(self, before: Schema, state: State) -> Schema:
        """Return the schema with the units of logarithms."""
        name, table = before.table()
        units = list(table.units)
        for index in matched(self.columns, before):
            units[index] = f"log({units[index]})" if units[index] else ""
        return replace(before, inputs={**before.inputs, name: replace(table, units=tuple(units))})

    def apply(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with logarithms in the chosen columns, in the precision that they have."""
        name, table = schema.table()
        features = np.array(events.inputs[name])
        grown = {}
        for index in matched(self.columns, schema):
            argument = features[:, index].astype(np.float64) + self.offset
            if (argument <= 0).any():
                lowest = np.nanmin(features[:, index])
                raise InputError(
                    f"log: column {table.columns[index]!r} holds {lowest:g}, and x + offset must be above 0 (offset is "
                    f"{self.offset:g}); set the offset above {0 - lowest:g}, or leave this column out"
                )
            logarithm = np.log(argument)
            features[:, index] = logarithm
            grown[table.columns[index]] = -np.where(np.isnan(logarithm), 0.0, logarithm)
        return with_log_jacobian(replace(events, inputs={**events.inputs, name: features}), grown)

    def undo(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with x = exp(y) - offset in the chosen columns."""
        features, chosen = features_of(events, schema).copy(), matched(self.columns, schema)
        with np.errstate(over="ignore"):
            features[:, chosen] = np.exp(features[:, chosen].astype(np.float64)) - self.offset
        return undone(events, schema, features)
