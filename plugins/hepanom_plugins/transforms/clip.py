"""Clip: columns held between a lowest and a highest value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Float64
from pydantic import Field

from hepanom.contracts import Sketch, State, Transform
from hepanom.errors import InputError
from hepanom.events import Events, Schema
from hepanom_plugins.transforms import moments, quantiles
from hepanom_plugins.transforms.columns import Patterns, matched
from hepanom_plugins.transforms.table import features_of, undone, with_features

Share = Annotated[float, Field(ge=0, le=1)]
Value = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class Clip(Transform):
    """Cut what lies below or above a range to its ends: y = min(max(x, low), high).

    The ends are ``low`` and ``high`` in the columns' unit, either of which may be left out, or they are ``quantiles``
    of each column: the weighted shares of the training events that lie below them, from a sample where it has more
    than 524,288 events. The quantiles 0 and 1 are its lowest and highest value. A column without a finite value in the
    training events is not cut.

    How many values were cut is counted for each column. Missing and infinite values stay: the core reports them.
    Columns and units stay, too. ``log_jacobian`` does not change: dy/dx = 1 for what is not cut, and what is cut has no
    density, it heaps up at the ends. Undone, values are what they are, cut ones stay cut.

    Raises InputError for a pattern that matches no column, and for ends that are missing, given twice or upside down.
    """

    columns: Patterns
    low: Annotated[Value | None, Field(description="lowest value, in the column's unit")] = None
    high: Annotated[Value | None, Field(description="highest value, in the column's unit")] = None
    quantiles: Annotated[
        tuple[Share, Share] | None, Field(description="shares of the training events below low and high")
    ] = None

    def measure(self, events: Events, schema: Schema) -> Sketch:
        """Return a sample of one chunk where quantiles are wanted. Raises InputError for negative weights."""
        if self.quantiles is None:
            return {}
        features, weight, ids = moments.counted(events, schema)
        return quantiles.measure(features[:, matched(self.columns, schema)], weight, ids)

    def merge(self, a: Sketch, b: Sketch) -> Sketch:
        """Return the sample of two chunks together."""
        return a if self.quantiles is None else quantiles.merge(a, b)

    def finish(self, sketch: Sketch) -> State:
        """Return ``low`` and ``high``, float64 (chosen column,), where quantiles are wanted."""
        if self.quantiles is None:
            return {}
        found = [
            np.interp(self.quantiles, below, values) if len(values) else np.array([-np.inf, np.inf])
            for values, below in quantiles.distributions(sketch)
        ]
        low, high = np.array(found, np.float64).T.copy()
        return {"low": low, "high": high}

    def schema(self, before: Schema, state: State) -> Schema:
        """Return the schema as it is."""
        matched(self.columns, before)
        if (self.low is None and self.high is None) == (self.quantiles is None):
            raise InputError("clip: give either low and high, or one of them, or quantiles such as [0.001, 0.999]")
        low, high = self.quantiles or (self.low, self.high)
        if low is not None and high is not None and not low < high:
            raise InputError(f"clip: the range is {low:g} to {high:g}; give the lower end first")
        return before

    def apply(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with cut columns, and how many values were cut, in the precision that they have."""
        chosen, table = matched(self.columns, schema), schema.table()[1]
        features = features_of(events, schema).copy()
        low, high = self._ends(len(chosen), state)
        told = {}
        for place, index in enumerate(chosen):
            column = features[:, index]
            with np.errstate(over="ignore"):
                ends = np.array([low[place], high[place]]).astype(column.dtype)
            cut = np.isfinite(column) & ((column < ends[0]) | (column > ends[1]))
            features[cut, index] = column[cut].clip(*ends)
            told[f"values cut by clip: {table.columns[index]}"] = int(cut.sum())
        return with_features(events, schema, features, told)

    def undo(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events as they are: what was cut stays cut."""
        return undone(events, schema, features_of(events, schema))

    def _ends(
        self, columns: int, state: State
    ) -> tuple[Float64[np.ndarray, " column"], Float64[np.ndarray, " column"]]:
        if self.quantiles is not None:
            return state["low"], state["high"]
        low, high = (-np.inf if self.low is None else self.low, np.inf if self.high is None else self.high)
        return np.full(columns, low), np.full(columns, high)
