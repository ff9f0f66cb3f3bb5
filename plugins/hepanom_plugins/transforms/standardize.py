"""Standardize: every column with mean 0 and standard deviation 1 on the training events."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hepanom.contracts import Sketch, State, Transform
from hepanom.events import Events, Schema
from hepanom_plugins.transforms import moments
from hepanom_plugins.transforms.table import features_of, undone, with_log_jacobian


@dataclass(frozen=True)
class Standardize(Transform):
    """Shift and scale every column by weighted mean and standard deviation of the training events.

        y = (x - mean) / std,   mean = sum w x / sum w,   std^2 = sum w (x - mean)^2 / sum w

    A column that is constant there gets std 1. Missing and infinite values are left out of the sums and stay what they
    are. The units become those of pure numbers. ``log_jacobian`` grows by log |dy/dx| = -log std in every column, so
    that the density of the events as they were read is log p(x) = log p(y) + sum log_jacobian. Undone by
    x = mean + std y.
    """

    def measure(self, events: Events, schema: Schema) -> Sketch:
        """Return the moments of one chunk. Raises InputError for negative weights."""
        features, weight, _ = moments.counted(events, schema)
        return moments.measure(features, weight)

    def merge(self, a: Sketch, b: Sketch) -> Sketch:
        """Return the moments of two chunks together."""
        return moments.merge(a, b)

    def finish(self, sketch: Sketch) -> State:
        """Return ``mean`` and ``std``, float64 (feature,)."""
        std = np.sqrt(moments.ratio(sketch["m2"], sketch["total"]))
        # the mean of equal values is off by a rounding error, which is no spread
        varies = (sketch["high"] > sketch["low"]) & (std > 0)
        return {"mean": sketch["mean"], "std": np.where(varies, std, 1.0)}

    def schema(self, before: Schema, state: State) -> Schema:
        """Return the schema with pure numbers in place of units."""
        name, table = before.table()
        return replace(before, inputs={**before.inputs, name: replace(table, units=("",) * len(table.units))})

    def apply(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with standardized columns, in the precision that they have."""
        name, table = schema.table()
        features = np.asarray(events.inputs[name])
        scaled, rows = np.empty_like(features), moments.tile_rows(features)
        with np.errstate(over="ignore"):  # what is too far out becomes infinite, which the core reports with its column
            for start in range(0, len(features), rows):
                tile = slice(start, start + rows)
                scaled[tile] = (features[tile] - state["mean"]) / state["std"]
        slopes = zip(table.columns, -np.log(state["std"]), strict=True)
        grown = {column: np.broadcast_to(slope, len(events)) for column, slope in slopes}
        return with_log_jacobian(replace(events, inputs={**events.inputs, name: scaled}), grown)

    def undo(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with x = mean + std y."""
        features = features_of(events, schema)
        with np.errstate(over="ignore"):
            return undone(events, schema, (state["mean"] + state["std"] * features).astype(features.dtype))
