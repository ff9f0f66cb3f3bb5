"""Events of other files or from memory as a detector learnt them: inputs by their kind, columns by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hepanom.errors import InputError
from hepanom.events import Events, Jagged, Schema

Places = Mapping[str, tuple[str, Sequence[int]]]  # of every wanted input the one here, and where its columns stand


def matched(events: Events, here: Schema, wanted: Schema) -> Events:
    """Return the events of one schema as another has them; columns and classes beyond it stay behind.

    A class that it does not have becomes unknown. Raises InputError for an input, a column or a target that is not
    there, and for one that is stated in another unit.
    """
    inputs: dict[str, Any] = {}
    for name, (own, order) in places(here, wanted).items():
        values = events.inputs[own]
        if isinstance(values, Jagged):
            inputs[name] = Jagged(values.values[:, order], values.offsets)
        else:
            inputs[name] = values if list(order) == list(range(values.shape[1])) else values[:, order]
    if wanted.targets and here.targets != wanted.targets:
        raise InputError(f"the events lack the targets {', '.join(wanted.targets)}")
    index = np.array([*(wanted.classes.index(name) if name in wanted.classes else -1 for name in here.classes), -1])
    target = events.target if wanted.targets else None
    return replace(events, inputs=inputs, label=index[events.label], target=target)


def places(here: Schema, wanted: Schema) -> Places:
    """Return where the inputs and columns that are wanted stand here. Raises InputError as ``matched`` does."""
    found: dict[str, tuple[str, Sequence[int]]] = {}
    for name, entry in wanted.inputs.items():
        kinds = {other: known.kind for other, known in here.inputs.items()}
        own = next((each for each in (name, *kinds) if kinds.get(each) == entry.kind), None)
        if own is None:
            raise InputError(f"the events have no {entry.kind}, which the detector learnt from as {name!r}")
        known = here.inputs[own]
        lost = [column for column in entry.columns if column not in known.columns]
        if lost or known.shape != entry.shape:
            what = f"lack the columns {', '.join(lost)}" if lost else f"are {known.shape}, not {entry.shape}"
            raise InputError(f"{own!r}: the events {what}; the detector learnt from {', '.join(entry.columns)}")
        order = [known.columns.index(column) for column in entry.columns]
        for column, unit, index in zip(entry.columns, entry.units, order, strict=True):
            if known.units[index] != unit and "" not in (known.units[index], unit):
                raise InputError(f"{column!r} is in {known.units[index]}; the detector learnt from it in {unit}")
        found[name] = own, order
    return found
