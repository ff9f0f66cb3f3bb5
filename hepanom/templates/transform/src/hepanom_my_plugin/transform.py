"""A transform that brings every column to the same scale."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from hepanom.contracts import Sketch, State, Transform
from hepanom.events import Events, Schema
from pydantic import Field


# The fields of the class are the options that recipes set: transforms: [{use: my_plugin, floor: 0.1}]. Types
# and bounds are checked with the recipe; `hepanom plugins my_plugin` shows the docstring and the descriptions.
@dataclass(frozen=True)
class MyPluginTransform(Transform):
    """Divides every column by its mean absolute value.

        y = x / s,   s = sum w |x| / sum w

    over the events that train, missing values left out; a column with s below ``floor`` is left as it is. The columns
    become pure numbers.
    """

    floor: Annotated[float, Field(ge=0, description="least mean absolute value that is divided by")] = 1e-12

    # The fit is map and reduce: the core hands over chunk by chunk, here or on a cluster, and merges what comes back.
    # Sketch and State are dicts of numpy arrays; the state is stored in the detector.

    def measure(self, events: Events, schema: Schema) -> Sketch:
        """Return the sums of one chunk. An event of weight 2 counts as two events: weights are in both sums."""
        name, _ = schema.table()
        values = np.asarray(events.inputs[name], np.float64)
        weight = np.where(np.isfinite(values), events.weight[:, None], 0.0)
        return {"total": weight.sum(0), "sum": (weight * np.abs(np.nan_to_num(values, posinf=0, neginf=0))).sum(0)}

    def merge(self, a: Sketch, b: Sketch) -> Sketch:
        """Return the sums of two chunks together."""
        return {key: a[key] + b[key] for key in a}

    def finish(self, sketch: Sketch) -> State:
        """Return the scale of each column."""
        mean = sketch["sum"] / np.maximum(sketch["total"], 1e-300)
        return {"scale": np.where(mean > self.floor, mean, 1.0)}

    def schema(self, before: Schema, state: State) -> Schema:
        """Return the schema of what comes out: the same columns without units."""
        name, table = before.table()
        return replace(before, inputs={**before.inputs, name: replace(table, units=("",) * len(table.units))})

    def apply(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the changed events; those that came in stay as they are."""
        name, table = schema.table()
        scaled = (np.asarray(events.inputs[name]) / state["scale"]).astype(np.float32)
        # ln |dy/dx| by column lets a density of y be quoted as one of x; leave it out where there is none.
        jacobian = dict(events.log_jacobian)
        for column, slope in zip(table.columns, -np.log(state["scale"]), strict=True):
            jacobian[column] = jacobian.get(column, 0) + np.full(len(events), slope)
        return replace(events, inputs={**events.inputs, name: scaled}, log_jacobian=jacobian)

    def undo(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events as they were before, so that reconstructions can be shown in their units."""
        name, _ = schema.table()
        values = (np.asarray(events.inputs[name]) * state["scale"]).astype(np.float32)
        return replace(events, inputs={**events.inputs, name: values}, log_jacobian={})
