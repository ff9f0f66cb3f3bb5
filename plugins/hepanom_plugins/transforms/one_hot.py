"""One hot: a column of few values as columns of zeros and ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float
from pydantic import Field

from hepanom.contracts import Sketch, State, Transform
from hepanom.errors import InputError
from hepanom.events import Events, Schema
from hepanom_plugins.transforms.columns import Patterns, matched
from hepanom_plugins.transforms.table import features_of, undone, with_features

_Column = tuple[int, slice, Float[np.ndarray, " category"] | None]


@dataclass(frozen=True)
class OneHot(Transform):
    """Replace a column of few values, such as the number of jets, by one column of zeros and ones for each value.

    The values, here called categories, are those of the training events, events of weight zero apart, in rising
    order. ``PRI_jet_num`` with 0 to 3 gives way, at its place, to ``PRI_jet_num=0`` ... ``PRI_jet_num=3``, pure
    numbers, one of which is 1. A value that is no category has zeros only, and is counted for its column. Where a value
    is missing or infinite it is so in all of its columns: the transform missing fills them, the core reports the rest.
    A column without any value in the training events leaves the table.

    ``log_jacobian`` does not change: a discrete value has a probability, which is that of its code. Undone, the
    category is that of the largest column, missing where none is above zero.

    The new columns are known after the fit only: transforms that name columns belong before this one. Raises InputError
    for a pattern that matches no column, for more than ``most`` categories, and for a name that is taken.
    """

    fitted_columns: ClassVar[bool] = True

    columns: Patterns
    most: Annotated[int, Field(ge=1, description="most values that one column may have")] = 64

    def measure(self, events: Events, schema: Schema) -> Sketch:
        """Return the pairs of ``column`` (its position) and ``value`` of one chunk, and the ``names`` of the table."""
        features = features_of(events, schema)[events.weight != 0]
        found = [(index, np.unique(features[np.isfinite(features[:, index]), index])) for index in self._chosen(schema)]
        column = np.concatenate([np.full(len(values), index, np.int64) for index, values in found])
        value = np.concatenate([values for _, values in found]) + 0.0  # of 0 and -0, one
        return self._few({"column": column, "value": value, "names": np.array(schema.table()[1].columns)})

    def merge(self, a: Sketch, b: Sketch) -> Sketch:
        """Return the pairs of two chunks together."""
        column, value = (np.concatenate([a[key], b[key]]) for key in ("column", "value"))
        order = np.lexsort((value, column))
        column, value = column[order], value[order]
        new = np.append(True, (np.diff(column) != 0) | (np.diff(value) != 0))[: len(column)]
        return self._few({**a, "column": column[new], "value": value[new]})

    def _few(self, sketch: Sketch) -> Sketch:
        counts = np.bincount(sketch["column"], minlength=1)
        if counts.max() > self.most:
            index = int(counts.argmax())
            raise InputError(
                f"one_hot: column {str(sketch['names'][index])!r} has {counts[index]} different values and more may "
                f"follow, at most {self.most} become columns; leave it out of `columns`, or raise `most`"
            )
        return sketch

    def finish(self, sketch: Sketch) -> State:
        """Return ``column``, int64, and ``value``, both (category,) and sorted."""
        return {key: sketch[key] for key in ("column", "value")}

    def schema(self, before: Schema, state: State) -> Schema:
        """Return the schema with a column for every category; before the fit, the schema as it is."""
        chosen, (name, table) = self._chosen(before), before.table()
        if not state:
            return before
        kept = [column for index, column in enumerate(table.columns) if index not in chosen]
        columns, units = [], []
        for index, _, categories in self._layout(before, state):
            names = [table.columns[index]] if categories is None else _names(table.columns[index], categories)
            if categories is not None and (taken := sorted(set(names) & set(kept))):
                raise InputError(f"one_hot: the table has a column {taken[0]!r} already; rename it")
            columns += names
            units += [table.units[index] if categories is None else ""] * len(names)
        if not columns:
            raise InputError("one_hot: no column has a value in the training events, no feature is left")
        entry = replace(table, columns=tuple(columns), units=tuple(units))
        return replace(before, inputs={**before.inputs, name: entry})

    def apply(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with zeros and ones, and how many values are no category, in the precision they have."""
        features, names = features_of(events, schema), schema.table()[1].columns
        layout = list(self._layout(schema, state))
        table = np.empty((len(events), layout[-1][1].stop), features.dtype)
        told = {}
        for index, place, categories in layout:
            column = features[:, index, None]
            if categories is None:
                table[:, place] = column
                continue
            finite, equal = np.isfinite(column), column == categories
            table[:, place] = np.where(finite, equal, column)
            unknown = finite[:, 0] & ~equal.any(1)
            told[f"values that one_hot does not know: {names[index]}"] = int(unknown.sum())
        return with_features(events, schema, table, told)

    def undo(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with the category whose column is largest; missing where none is above zero."""
        table = features_of(events, schema)
        features = np.full((len(events), len(schema.table()[1].columns)), np.nan, table.dtype)
        for index, place, categories in self._layout(schema, state):
            block = table[:, place]
            if categories is None:
                features[:, index] = block[:, 0]
            elif len(categories):
                category = np.where(block.max(1) > 0, categories[block.argmax(1)], np.nan)
                features[:, index] = np.where(np.isfinite(block).all(1), category, block[:, 0])
        return undone(events, schema, features)

    def _chosen(self, schema: Schema) -> list[int]:
        return matched(self.columns, schema)

    def _layout(self, schema: Schema, state: State) -> Iterator[_Column]:
        """Yield each column before, its place after, and its categories, or None for a column that stays."""
        chosen, stop = self._chosen(schema), 0
        for index in range(len(schema.table()[1].columns)):
            categories = state["value"][state["column"] == index] if index in chosen else None
            start, stop = stop, stop + (1 if categories is None else len(categories))
            yield index, slice(start, stop), categories


def _names(column: str, categories: Float[np.ndarray, " category"]) -> list[str]:
    return [f"{column}={np.format_float_positional(category, trim='-')}" for category in categories]
