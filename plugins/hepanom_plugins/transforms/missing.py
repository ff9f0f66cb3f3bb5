"""Missing: fill what is missing, and leave out columns that say nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from hepanom.contracts import Sketch, State, Transform
from hepanom.errors import InputError
from hepanom.events import Events, Schema
from hepanom_plugins.transforms import moments, quantiles
from hepanom_plugins.transforms.table import features_of, undone


@dataclass(frozen=True)
class Missing(Transform):
    """Replace missing values (NaN) by one value per column, measured on the training events.

    ``fill`` is the weighted mean, the weighted median or the minimum of the column's finite values, or a number for
    all columns. The median is exact up to 524,288 events. Beyond, it comes from a sample, and its rank has a standard
    deviation of at most 0.0007 / sqrt(f), f being the share of the weight at which the column is present. Columns that
    were never missing in training have their fill, too: they may be missing later.

    A column whose values in the training events are all equal after filling leaves the table: one that is missing
    everywhere, one that is constant and never missing, and one that is constant where it is there and filled with that
    same constant. With ``indicator``, ``COLUMN_missing`` (1 where the value was missing, else 0) is appended for each
    column that is missing in some training events, not all, so that the last of these cases keeps its information.

    Infinite values are not filled, and their column stays: they are mistakes, which the core reports with their column.
    ``log_jacobian`` does not change. Columns may leave in one category and stay in another: transforms that name
    columns belong before this one. Undone, a filled value keeps its fill, unless an indicator says that it was missing,
    and a column that left has the value that it had in training. Raises InputError where no column would be left, and
    for an indicator whose name is taken.
    """

    fitted_columns: ClassVar[bool] = True

    fill: Annotated[
        Literal["mean", "median", "minimum"] | Annotated[float, Field(allow_inf_nan=False)],
        Field(description="mean, median or minimum of the training events, or a number for all columns"),
    ] = "median"
    indicator: Annotated[bool, Field(description="append COLUMN_missing, 0 or 1, where a column misses values")] = False

    def measure(self, events: Events, schema: Schema) -> Sketch:
        """Return moments, counts and, for the median, a sample of one chunk. Raises InputError for negative weights."""
        features, weight, ids = moments.counted(events, schema)
        sketch = moments.measure(features, weight) | {
            "events": np.array(len(features), np.int64),
            "missing": np.isnan(features).sum(0, dtype=np.int64),
            "infinite": np.isinf(features).sum(0, dtype=np.int64),
        }
        return sketch | quantiles.measure(features, weight, ids) if self.fill == "median" else sketch

    def merge(self, a: Sketch, b: Sketch) -> Sketch:
        """Return the sketch of two chunks together."""
        sketch = moments.merge(a, b) | {key: a[key] + b[key] for key in ("events", "missing", "infinite")}
        return sketch | quantiles.merge(a, b) if self.fill == "median" else sketch

    def finish(self, sketch: Sketch) -> State:
        """Return ``fill`` (feature,), and which columns are in ``keep`` and which get an ``indicator``, both bool.

        Of a column that leaves, ``fill`` is the value that it has, NaN where it is missing everywhere.
        """
        low, high, missing = sketch["low"], sketch["high"], sketch["missing"]
        nowhere, sometimes = missing == sketch["events"], (missing > 0) & (missing < sketch["events"])
        fill = np.where(low <= high, self._fill(sketch), 0.0)
        with np.errstate(over="ignore"):
            same = fill.astype(np.float32) == low.astype(np.float32)  # as the network sees them
        constant = (low == high) & (sketch["infinite"] == 0) & (same | (missing == 0))
        keep, indicator = ~(nowhere | constant), sometimes & self.indicator
        if not (keep.any() or indicator.any()):
            raise InputError(
                "missing: every column is missing or constant in the training events, no feature is left; check "
                "the reader's columns, and train.per: a category needs events that differ"
            )
        fill = np.where(nowhere, np.nan, np.where(constant, low, fill))
        return {"fill": fill, "keep": keep, "indicator": indicator}

    def _fill(self, sketch: Sketch) -> np.ndarray:
        match self.fill:
            case "mean":
                return sketch["mean"]
            case "median":
                return quantiles.median(sketch)
            case "minimum":
                return sketch["low"]
            case float() as constant:
                return np.full_like(sketch["low"], constant)

    def schema(self, before: Schema, state: State) -> Schema:
        """Return the schema with what stays and the indicators; before the fit, the schema as it is."""
        if not state:
            return before
        name, table = before.table()
        stays = np.flatnonzero(state["keep"])
        added = [f"{table.columns[index]}_missing" for index in np.flatnonzero(state["indicator"])]
        columns = (*(table.columns[index] for index in stays), *added)
        if taken := sorted(set(added) & set(table.columns)):
            raise InputError(
                f"missing: the table has a column {taken[0]!r} already; rename it, or set indicator: false"
            )
        units = (*(table.units[index] for index in stays), *[""] * len(added))
        return replace(before, inputs={**before.inputs, name: replace(table, columns=columns, units=units)})

    def apply(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with filled columns and indicators, in the precision that they have."""
        name, _ = schema.table()
        features = np.asarray(events.inputs[name])
        missing = np.isnan(features)
        filled = np.where(missing, state["fill"].astype(features.dtype), features)
        table = np.concatenate(
            [filled[:, state["keep"]], missing[:, state["indicator"]].astype(features.dtype)], axis=1
        )
        return replace(events, inputs={**events.inputs, name: table})

    def undo(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with all columns, missing where an indicator says so."""
        table, stays = features_of(events, schema), np.flatnonzero(state["keep"])
        features = np.broadcast_to(state["fill"].astype(table.dtype), (len(events), len(state["fill"]))).copy()
        features[:, stays] = table[:, : len(stays)]
        for index, flag in zip(np.flatnonzero(state["indicator"]), table[:, len(stays) :].T, strict=True):
            features[flag > 0.5, index] = np.nan
        return undone(events, schema, features)
