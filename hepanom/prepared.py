"""Events as a network sees them: through all fitted transforms of a category, as tensors on a device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from hepanom import returned
from hepanom.blame import whose
from hepanom.contracts import Batch, State, Transform
from hepanom.errors import InputError
from hepanom.events import Events, Jagged, Schema
from hepanom.plugins import Parts
from hepanom.stream import to_batch


def prepare(parts: Parts, states: Sequence[State], events: Events) -> Events:
    """Return the events after all transforms of a category."""
    for _, changed in _stages(parts, states, events):
        events = changed
    return events


def _stages(parts: Parts, states: Sequence[State], events: Events) -> Iterator[tuple[Transform, Events]]:
    """Yield each transform with what it made of the events. Raises PluginError where its schema says otherwise."""
    schema = parts.schema
    for transform, state in zip(parts.transforms.values(), states, strict=True):
        after = transform.schema(schema, state)
        events = returned.applied(transform, events, transform.apply(events, schema, state), after)
        schema = after
        yield transform, events


def table(
    parts: Parts, states: Sequence[State], schema: Schema, events: Events, device: torch.device
) -> tuple[Batch, Events]:
    """Return the events as the network sees them, and as ``prepare`` leaves them; ``schema`` describes these.

    Raises InputError for values that are missing or infinite there, naming the transform that made them so.
    """
    prepared = prepare(parts, states, events)
    try:
        return to_batch(prepared, schema, device, parts.model.conditions(schema)), prepared
    except InputError as error:
        before = _broken(events)
        for transform, after in _stages(parts, states, events):
            if _broken(after) > before:
                raise InputError(f"{error}. They come out of the {whose(transform)}") from error
            before = _broken(after)
        raise


def _broken(events: Events) -> int:
    """Return the number of values that are missing or infinite."""
    arrays = [values.values if isinstance(values, Jagged) else values for values in events.inputs.values()]
    return sum(int(np.count_nonzero(~np.isfinite(values))) for values in arrays)
