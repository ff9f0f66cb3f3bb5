"""What every reader promises: a schema that is true, and parts that can be read alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hepanom.contracts import Reader
from hepanom.events import Events, Jagged, Schema
from hepanom.testing.broken import distance, expect
from hepanom.testing.case import Case
from hepanom.testing.made_up import plain


def its_schema_is_true(case: Case) -> None:
    """Its schema is true to the events."""
    reader: Reader = case.build()
    schema = reader.schema()
    for part in reader.parts():
        for events in reader.read(part):
            true_to(schema, events)
    expect(Schema.from_json(schema.to_json()) == schema, "a schema that is written to JSON comes back as another")


def true_to(schema: Schema, events: Events) -> None:
    """Raise Unkept where the schema says something else than the events show."""
    inputs_are(schema, events)
    expect(
        tuple(events.beside) == schema.beside,
        f"the schema has {list(schema.beside)} beside the features, the events {list(events.beside)}",
    )
    low, high = (int(events.label.min()), int(events.label.max())) if len(events) else (-1, -1)
    expect(
        low >= -1 and high < max(1, len(schema.classes)),
        f"labels from {low} to {high}, where the schema has {len(schema.classes)} classes (-1 is an unknown one)",
    )
    width = 0 if events.target is None else events.target.shape[1]
    expect(width == len(schema.targets), f"{width} targets, where the schema has {len(schema.targets)}")
    expect(np.isfinite(events.weight).all(), "weights that are NaN or infinite")


def inputs_are(schema: Schema, events: Events) -> None:
    """Raise Unkept where the inputs have other names, kinds, columns or shapes than the schema says."""
    expect(
        events.inputs.keys() == schema.inputs.keys(),
        f"the schema has the inputs {sorted(schema.inputs)}, the events {sorted(events.inputs)}",
    )
    for name, entry in schema.inputs.items():
        values = events.inputs[name]
        jagged = isinstance(values, Jagged)
        expect(
            jagged == (entry.kind == "points"),
            f"{name!r} is of the kind {entry.kind}, and the events have {type(values).__name__}",
        )
        shape = (values.values if isinstance(values, Jagged) else values).shape[1:]
        expect(shape == entry.extent, f"{name!r} has the shape {shape} per event, where the schema says {entry.extent}")
        expect(
            len(entry.units) == len(entry.columns),
            f"{name!r} has {len(entry.columns)} columns and {len(entry.units)} units",
        )


def parts_are_readable_alone(case: Case) -> None:
    """Parts are readable alone and in any order."""
    parts = list(case.build().parts())
    expect(len(parts) > 1, "one part: give the case two files, or options that make several parts")
    alone = {part: list(case.build().read(part)) for part in reversed(parts)}
    reader: Reader = case.build()
    expect(list(reader.parts()) == parts, "another list of parts when it is asked again")
    for part in parts:
        differs = difference(alone[part], list(reader.read(part)))
        expect(not differs, f"{part.file}, {part.start} to {part.stop}, alone differs from after the others: {differs}")


def events_are_told_apart(case: Case) -> None:
    """No two events have the same event_id."""
    reader: Reader = case.build()
    ids = np.concatenate([events.event_id for part in reader.parts() for events in reader.read(part)])
    twice = len(ids) - len(np.unique(ids))
    expect(not twice, f"{twice} of {len(ids)} events have the event_id of another")


def difference(a: Sequence[Events], b: Sequence[Events]) -> str:
    """Say in which column two lists of chunks differ, and by how much; nothing where their events are equal."""
    left, right = (dict(plain(Events.concat(chunks))) if chunks else {} for chunks in (a, b))
    if left.keys() != right.keys():
        return f"columns {sorted(left)} and {sorted(right)}"
    for name, values in left.items():
        other = right[name]
        numbers = {values.dtype.kind, other.dtype.kind} <= set("fiub")
        if values.dtype != other.dtype or not np.array_equal(values, other, equal_nan=numbers):
            return f"by {distance(values, other)} in {name!r}"
    return ""
