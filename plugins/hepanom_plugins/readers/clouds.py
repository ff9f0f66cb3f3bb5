"""Point clouds in a file: what each layout tells of them, and how their columns are named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64

from hepanom.errors import InputError, did_you_mean
from hepanom.events import Jagged
from hepanom_plugins.readers.roles import Columns

PART_BYTES = 48_000_000  # of points as float32
CHUNK_BYTES = 16_000_000

# What files call the columns of points, compared in lower case; the first that is there counts.
ALIASES = {
    "x": ("x",),
    "y": ("y",),
    "z": ("z",),
    "time": ("time", "t"),
    "charge": ("charge", "integral", "adc", "q", "amplitude"),
}
NUMBERS = ("event_id", "eventid", "event", "event_number", "eventnumber", "evt")


@dataclass(frozen=True)
class Header:
    """What a file says of its clouds before any is read.

    ``columns`` of the points and ``beside``, of one value per event, are named as in the file. ``extras`` are columns
    that always travel with the events, and ``number`` is the column that counts them: one of ``beside``, or one that
    the layout makes. ``steps`` are the pieces, as first event and the one after the last, that are read alone.
    """

    columns: tuple[str, ...]
    units: tuple[str, ...]
    beside: tuple[str, ...]
    extras: tuple[str, ...]
    number: str
    steps: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Clouds:
    """Some events as a file holds them: points in the columns that were asked for, and the columns beside.

    ``tally`` counts what was left out on the way.
    """

    points: Jagged
    columns: Columns
    tally: Mapping[str, int]

    def slices(self, events: int) -> Iterator[Clouds]:
        """Yield these events, at most so many at a time; what was left out is told with the first."""
        for start in range(0, len(self.points), events):
            offsets = self.points.offsets[start : start + events + 1]
            points = Jagged(self.points.values[offsets[0] : offsets[-1]], offsets - offsets[0])
            columns = {name: column[start : start + events] for name, column in self.columns.items()}
            yield Clouds(points, columns, {} if start else self.tally)


@runtime_checkable
class Layout(Protocol):
    """One way to keep point clouds in a file."""

    def header(self) -> Header:
        """Return what the file says of its clouds. Raises BrokenFileError, InputError."""
        ...

    def read(self, start: int, stop: int, columns: Sequence[str], beside: Sequence[str]) -> Iterator[Clouds]:
        """Yield events ``start`` to ``stop`` in pieces of some megabytes. Raises BrokenFileError, InputError."""
        ...


def named(columns: Sequence[str], chosen: Mapping[str, str | int]) -> dict[str, str]:
    """Return name -> the file's column, in the order of the file, for all columns of the points.

    ``chosen`` gives a name to a column of the file, or to a position from 0; x, y, z, time and charge are recognized;
    the others keep the name that they have. Raises InputError for a column that is not there.
    """
    source: dict[str, str] = {}
    for name, column in chosen.items():
        if isinstance(column, int) and column >= len(columns):
            raise InputError(f"columns: {name} cannot be number {column}: the points have {len(columns)}, from 0")
        source[name] = columns[column] if isinstance(column, int) else column
        if source[name] not in columns:
            raise InputError(f"columns: {name}: there is no {column!r}; {did_you_mean(source[name], columns)}")
    lower = {column.lower(): column for column in columns if column not in source.values()}
    for name, aliases in ALIASES.items():
        found = next((lower[alias] for alias in aliases if alias in lower), None)
        if found is not None and name not in source:
            source[name] = found
            del lower[found.lower()]
    source |= {column: column for column in lower.values() if column not in source}
    return dict(sorted(source.items(), key=lambda item: columns.index(item[1])))


def numbered(beside: Sequence[str], default: str) -> str:
    """Return the column that counts the events: one with a name that many files use, else the default."""
    lower = {column.lower(): column for column in beside}
    return next((lower[name] for name in NUMBERS if name in lower), default)


def steps(points: Int64[np.ndarray, " offset"], width: int, size: int) -> tuple[tuple[int, int], ...]:
    """Return pieces of ``size`` bytes of float32, by the number of points before each event; one event at least."""
    found, first, events = [], 0, len(points) - 1
    while first < events:
        stop = int(np.searchsorted(points, points[first] + size // (4 * max(width, 1)), side="right")) - 1
        stop = min(max(stop, first + 1), events)
        found.append((first, stop))
        first = stop
    return tuple(found)


def joined(
    clouds: Sequence[np.ndarray], columns: Sequence[int]
) -> tuple[Float32[np.ndarray, "point column"], Int64[np.ndarray, " offset"]]:
    """Return the chosen columns of the (point, column) arrays of all events as float32, and their offsets."""
    counts = [len(cloud) for cloud in clouds]
    values = np.concatenate([cloud[:, list(columns)] for cloud in clouds]).astype(np.float32)
    return values, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
