"""Select and drop: which columns of the table the model sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from pydantic import Field

from hepanom.contracts import State, Transform
from hepanom.errors import InputError
from hepanom.events import Events, Schema, match_columns
from hepanom_plugins.transforms.table import features_of, undone

Patterns = Annotated[
    tuple[str, ...],
    Field(min_length=1, description="names or shell patterns, such as PRI_*_phi; each matches something"),
]


@dataclass(frozen=True)
class Select(Transform):
    """Keep the columns that any of the patterns matches, in the order of the table.

    Raises InputError for a pattern that matches no column.
    """

    columns: Patterns

    def schema(self, before: Schema, state: State) -> Schema:
        """Return the schema with the selected columns."""
        return _keep_in_schema(before, matched(self.columns, before))

    def apply(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with the selected columns."""
        return _keep_in_events(events, schema, matched(self.columns, schema))

    def undo(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with all columns, those that were not selected missing."""
        return _put_back(events, schema, matched(self.columns, schema))


@dataclass(frozen=True)
class Drop(Transform):
    """Leave out the columns that any of the patterns matches.

    Raises InputError for a pattern that matches no column, and where no column would be left.
    """

    columns: Patterns

    def schema(self, before: Schema, state: State) -> Schema:
        """Return the schema without the dropped columns."""
        return _keep_in_schema(before, self._kept(before))

    def apply(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events without the dropped columns."""
        return _keep_in_events(events, schema, self._kept(schema))

    def undo(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with all columns, those that were dropped missing."""
        return _put_back(events, schema, self._kept(schema))

    def _kept(self, schema: Schema) -> list[int]:
        dropped = set(matched(self.columns, schema))
        kept = [index for index in range(len(schema.table()[1].columns)) if index not in dropped]
        if not kept:
            raise InputError(
                f"drop: {', '.join(self.columns)} matches every column of the table; leave one for the model"
            )
        return kept


def matched(patterns: Sequence[str], schema: Schema) -> list[int]:
    """Return the positions of the table's columns that any pattern matches, each once, in the order of the table.

    Raises InputError for a pattern that matches nothing.
    """
    columns = schema.table()[1].columns
    named = set(match_columns(patterns, columns))
    return [index for index, column in enumerate(columns) if column in named]


def _keep_in_schema(schema: Schema, kept: Sequence[int]) -> Schema:
    name, table = schema.table()
    columns, units = (tuple(column[index] for index in kept) for column in (table.columns, table.units))
    return replace(schema, inputs={**schema.inputs, name: replace(table, columns=columns, units=units)})


def _put_back(events: Events, schema: Schema, kept: Sequence[int]) -> Events:
    table = features_of(events, schema)
    features = np.full((len(events), len(schema.table()[1].columns)), np.nan, table.dtype)
    features[:, list(kept)] = table
    return undone(events, schema, features)


def _keep_in_events(events: Events, schema: Schema, kept: Sequence[int]) -> Events:
    name, _ = schema.table()
    features = np.asarray(events.inputs[name])[:, list(kept)]
    return replace(events, inputs={**events.inputs, name: features})
