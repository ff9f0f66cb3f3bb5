"""What else lies in an HDF5 file: columns and datasets that a reader's options leave there."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from hepanom.contracts import Unread
from hepanom_plugins.readers.datasets import Place, pandas_format


def columns_left(content: Any, places: Mapping[str, Place], events: int) -> list[Unread]:
    """List columns with what they hold; ``content`` is the open file."""
    return [_column(name, place, content[place.dataset], events) for name, place in places.items()]


def _column(name: str, place: Place, dataset: Any, events: int) -> Unread:
    dtype = next((dataset.dtype[step] for step in place.steps if isinstance(step, str)), dataset.dtype).base
    if len(dataset) != events:
        return Unread(name, f"{len(dataset):,} values, not one for each event", str(dtype))
    return Unread(name, "number" if place.holds == "numbers" else place.holds, str(dtype), 1, 1)


def elsewhere(content: Any, seen: Collection[str], events: int) -> list[Unread]:
    """List the datasets of an open file that were not seen yet, but for those that make up a pandas frame."""
    found: list[Unread] = []

    def visit(name: str, entry: Any) -> None:
        if hasattr(entry, "dtype") and entry.name not in seen and not pandas_format(entry.parent):
            shape = " x ".join(map(str, entry.shape)) or "1 value"
            width = math.prod(entry.shape[1:]) if entry.shape[:1] == (events,) else None
            holds = shape if width else f"{shape}, not one row for each event"
            found.append(Unread(name, holds, "table" if entry.dtype.names else str(entry.dtype), width, width))

    content.visititems(visit)
    return found
