"""The values that flow through hepanom: events, jagged arrays and the schema that describes them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt64

from hepanom import notebook
from hepanom.errors import InputError, did_you_mean


@dataclass(frozen=True)
class Jagged:
    """Rows of varying length: row i is ``values[offsets[i]:offsets[i + 1]]``."""

    values: Shaped[np.ndarray, "point ..."]
    offsets: Int[np.ndarray, " offset"]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def mask(self, keep: Bool[np.ndarray, " event"]) -> Jagged:
        """Return the rows where ``keep`` is true."""
        counts = np.diff(self.offsets)
        values = self.values[self.offsets[0] : self.offsets[-1]]
        return Jagged(values[np.repeat(keep, counts)], _offsets(counts[keep]))

    @staticmethod
    def concat(pieces: Sequence[Jagged]) -> Jagged:
        """Return the rows of all pieces, in order."""
        values = [piece.values[piece.offsets[0] : piece.offsets[-1]] for piece in pieces]
        counts = [np.diff(piece.offsets) for piece in pieces]
        return Jagged(np.concatenate(values), _offsets(np.concatenate(counts)))


def _offsets(counts: Int[np.ndarray, " event"]) -> Int[np.ndarray, " event+1"]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])


@dataclass(frozen=True)
class Input:
    """What one input of an event is: a table row, a cloud of points or an image.

    ``columns`` and ``units`` name a table's features, a point's coordinates or an image's channels; ``shape`` is the
    (row, column) size of an image. Units are stated (``GeV``, ``mm``, ``""`` for a pure number), never converted.
    """

    kind: Literal["table", "points", "image"]
    columns: tuple[str, ...]
    units: tuple[str, ...]
    shape: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """Return how many numbers an event has in a table or an image, or a point in a cloud."""
        return len(self.columns) * math.prod(self.shape)

    @property
    def extent(self) -> tuple[int, ...]:
        """Return the shape of an event's numbers: (feature,) in a table, (channel, row, column) in an image."""
        return (len(self.columns), *self.shape)


@dataclass(frozen=True)
class Schema:
    """What a reader's events hold, known from headers and first rows.

    ``classes`` are the names that ``Events.label`` counts; ``beside`` the columns that travel with the events without
    being features (event numbers, the column of a split); ``targets`` the columns of ``Events.target``.
    """

    inputs: Mapping[str, Input]
    classes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Schema: {self.told()}"

    def _repr_html_(self) -> str:
        """Return every column with its unit as a table."""
        pairs = [(name, each, zip(each.columns, each.units, strict=True)) for name, each in self.inputs.items()]
        rows = [(name, str(each.kind), *pair) for name, each, named in pairs for pair in named]
        rows += [("", kind, name, "") for kind in ("targets", "beside") for name in getattr(self, kind)]
        return notebook.table(self.told(), ["input", "kind", "column", "unit"], rows)

    def told(self) -> str:
        """Return the inputs and classes in words: ``features (9), classes background, resonance``."""
        inputs = [f"{name} ({' x '.join(map(str, entry.extent))})" for name, entry in self.inputs.items()]
        return ", ".join([*inputs, f"classes {', '.join(self.classes)}" if self.classes else "no labels"])

    def table(self) -> tuple[str, Input]:
        """Return name and description of the only table. Raises InputError where there is none or more than one."""
        tables = [(name, entry) for name, entry in self.inputs.items() if entry.kind == "table"]
        if len(tables) != 1:
            raise InputError(f"this needs events with one table of features, these have {len(tables)}")
        return tables[0]

    def only(self, *kinds: Literal["table", "points", "image"]) -> tuple[str, Input]:
        """Return name and description of the only input of these kinds; without any, of the only table or image.

        Raises InputError where there is none or more than one.
        """
        wanted = kinds or ("table", "image")
        found = [(name, entry) for name, entry in self.inputs.items() if entry.kind in wanted]
        if len(found) == 1:
            return found[0]
        words = {"table": "one table", "points": "one cloud of points", "image": "one image"}
        have = ", ".join(f"{name!r} ({entry.kind})" for name, entry in self.inputs.items()) or "nothing"
        points = "points" not in wanted and any(entry.kind == "points" for entry in self.inputs.values())
        remedy = "; the transforms image and pad make one of points" if points and not found else ""
        raise InputError(
            f"this needs events with {' or '.join(words[kind] for kind in wanted)}, these have {have}{remedy}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return asdict(self)

    @staticmethod
    def from_json(plain: Mapping[str, Any]) -> Schema:
        """Return the schema that ``to_json`` described."""
        inputs = {
            name: Input(entry["kind"], tuple(entry["columns"]), tuple(entry["units"]), tuple(entry["shape"]))
            for name, entry in plain["inputs"].items()
        }
        return Schema(inputs, tuple(plain["classes"]), tuple(plain["targets"]), tuple(plain["beside"]))


@dataclass(frozen=True)
class Events:
    """Events as columns of equal length.

    ``event_id`` is a 64-bit hash of what makes the event unique, ``label`` a class index (-1: unknown), ``category``
    the index of the model that the event belongs to (0 where the recipe does not split), ``log_jacobian`` the log
    density factor ln |dy/dx| of the transforms so far, by the column that they changed (of points, by their input),
    ``beside`` the columns that travel into the outputs without being features.
    ``tally`` counts what was done to these events on the way, such as ``{"empty events left out": 12}``: it adds up
    when chunks are joined, and stays behind when events are chosen.
    """

    event_id: UInt64[np.ndarray, " event"]
    inputs: Mapping[str, Shaped[np.ndarray, "event ..."] | Jagged]
    weight: Float[np.ndarray, " event"]
    label: Int[np.ndarray, " event"]
    category: Int[np.ndarray, " event"]
    target: Float[np.ndarray, "event target"] | None = None
    log_jacobian: Mapping[str, Float[np.ndarray, " event"]] = field(default_factory=dict)
    beside: Mapping[str, Shaped[np.ndarray, " event"]] = field(default_factory=dict)
    tally: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, column in _columns(self):
            if len(column) != len(self):
                raise ValueError(f"events: {name} has {len(column)} rows, event_id has {len(self)}")

    def __len__(self) -> int:
        return len(self.event_id)

    def __repr__(self) -> str:
        return f"Events: {len(self):,}, {', '.join(self.inputs)}, sum of weights {self.weight.sum():,.6g}"

    def _repr_html_(self) -> str:
        """Return every array with its type and shape as a table."""
        arrays = [
            (name, column.values.dtype if isinstance(column, Jagged) else column.dtype, _shape(column))
            for name, column in _columns(self)
        ]
        return notebook.table(f"{len(self):,} events", ["array", "type", "shape"], arrays)

    def mask(self, keep: Bool[np.ndarray, " event"]) -> Events:
        """Return the events where ``keep`` is true; where it is true for all, the arrays are the same, not copied."""
        if keep.all():
            return replace(self, tally={})
        return replace(_rebuild(self, lambda name: _take(dict(_columns(self))[name], keep)), tally={})

    @staticmethod
    def concat(pieces: Sequence[Events]) -> Events:
        """Return the events of all pieces, in order; the pieces have the same columns."""
        if len(pieces) == 1:
            return pieces[0]
        columns = [dict(_columns(piece)) for piece in pieces]
        joined = _rebuild(pieces[0], lambda name: _join([piece[name] for piece in columns]))
        return replace(joined, tally=dict(sum((Counter(piece.tally) for piece in pieces), Counter())))


def _shape(column: Any) -> str:
    if isinstance(column, Jagged):
        return f"{len(column)} x ({len(column.values) / max(1, len(column)):.1f} on average) x {column.values.shape[1]}"
    return " x ".join(map(str, column.shape))


def size(events: Events) -> int:
    """Return the bytes that the events take in memory."""
    columns = [column for _, column in _columns(events)]
    arrays = [
        array
        for column in columns
        for array in ([column.values, column.offsets] if isinstance(column, Jagged) else [column])
    ]
    return sum(array.nbytes for array in arrays)


def _columns(events: Events) -> list[tuple[str, Any]]:
    """List every column of the events as (path, values)."""
    found: list[tuple[str, Any]] = []
    for entry in fields(events):
        value = getattr(events, entry.name)
        if entry.name == "tally":
            continue
        if isinstance(value, Mapping):
            found += [(f"{entry.name}/{key}", column) for key, column in value.items()]
        elif value is not None:
            found.append((entry.name, value))
    return found


def _rebuild(like: Events, column: Any) -> Events:
    values: dict[str, Any] = {}
    for entry in fields(like):
        value = getattr(like, entry.name)
        if entry.name == "tally":
            continue
        if isinstance(value, Mapping):
            values[entry.name] = {key: column(f"{entry.name}/{key}") for key in value}
        else:
            values[entry.name] = None if value is None else column(entry.name)
    return Events(**values)


def _take(column: Any, keep: Bool[np.ndarray, " event"]) -> Any:
    return column.mask(keep) if isinstance(column, Jagged) else column[keep]


def _join(columns: Sequence[Any]) -> Any:
    return Jagged.concat(columns) if isinstance(columns[0], Jagged) else np.concatenate(columns)


def match_columns(patterns: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Return the columns that any shell-style pattern matches, in the order of ``columns``.

    Raises InputError for a pattern that matches nothing.
    """
    for pattern in patterns:
        if not any(_matches(name, pattern) for name in columns):
            raise InputError(f"column {pattern!r} is not there; {did_you_mean(pattern, columns)}")
    return [name for name in columns if any(_matches(name, pattern) for pattern in patterns)]


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)  # jet_pt[0] names itself before it is a pattern


def hash64(columns: Sequence[Shaped[np.ndarray, " event"]], seed: int = 0) -> UInt64[np.ndarray, " event"]:
    """Hash each event's values to 64 bits: equal values give equal hashes on every machine.

    Numbers enter by their 64 bits (integers as they are, floats by their IEEE pattern, -0 as 0), strings by their UTF-8
    bytes; each word is folded in by the finalizer of SplitMix64.

    References:
        G. Steele, D. Lea, C. Flood, Fast splittable pseudorandom number generators, OOPSLA 2014,
        doi:10.1145/2660193.2660195.
    """
    state = _mix(np.array([seed % 2**64], np.uint64))
    for column in columns:
        state = _mix(state ^ _word(np.asarray(column)))
    return state


def _word(column: Shaped[np.ndarray, " event"]) -> UInt64[np.ndarray, " event"]:
    """Turn one column into one word per event."""
    if column.dtype.kind in "iub":
        return column.astype(np.uint64) if column.dtype.kind == "u" else column.astype(np.int64).view(np.uint64)
    if column.dtype.kind == "f":
        return (column.astype(np.float64) + 0.0).view(np.uint64)
    encoded = np.char.encode(column.astype(str), "utf-8")
    width = max(1, -(-encoded.dtype.itemsize // 8))
    words = np.ascontiguousarray(encoded.astype(f"S{8 * width}")).view("<u8").reshape(len(column), width)
    state = np.zeros(len(column), np.uint64)
    for word in words.T:  # a zero word is padding: the hash must not depend on the longest string of the chunk
        state = np.where(word != 0, _mix(state ^ word), state)
    return state


def _mix(state: UInt64[np.ndarray, " event"]) -> UInt64[np.ndarray, " event"]:
    mixed: UInt64[np.ndarray, " event"] = state + np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
