"""A sample: events in memory together with the schema that says what they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, Shaped, UInt64

from hepanom import notebook
from hepanom.errors import InputError
from hepanom.events import Events, Input, Jagged, Schema, hash64
from hepanom.files import written
from hepanom.matching import matched

Columns = Mapping[str, Shaped[np.ndarray, " event"]]
Inputs = Mapping[str, tuple[Input, Shaped[np.ndarray, "event ..."] | Jagged]]
ALIKE = "events are equal to another one in everything, and share its event id"


@dataclass(frozen=True, repr=False)
class Sample:
    """Events and their schema, made by ``hepanom.from_numpy`` and its like, or read from what ``save`` wrote.

    >>> import numpy as np, hepanom
    >>> hepanom.from_numpy(np.eye(3), columns=["pt", "eta", "mass"])
    Sample: 3 events, features (3), no labels
    """

    events: Events
    schema: Schema

    def __len__(self) -> int:
        return len(self.events)

    def __repr__(self) -> str:
        return f"Sample: {len(self):,} events, {self.schema.told()}"

    def _repr_html_(self) -> str:
        """Return the inputs, and the events by class, as tables."""
        label, weight = self.events.label, self.events.weight
        named = [*enumerate(self.schema.classes), (-1, "unlabelled")]
        rows = [
            [name, f"{int(here.sum()):,}", f"{weight[here].sum():,.6g}"]
            for index, name in named
            for here in [label == index]
            if index >= 0 or here.any()
        ]
        counted = notebook.table(f"{len(self):,} events", ["class", "events", "weight"], rows)
        return counted + self.schema._repr_html_()

    def fingerprint(self) -> str:
        """Return a hash of all arrays and of the schema: the same for the same events in the same order."""
        digest = hashlib.sha256()
        for name, values in sorted(self.arrays().items()):
            digest.update(f"{name} {values.dtype.str} {values.shape} ".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()[:16]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays by name, as they stand in a file that ``save`` writes."""
        events = self.events
        found = {"event_id": events.event_id, "weight": events.weight, "label": events.label}
        for name, values in events.inputs.items():
            if isinstance(values, Jagged):
                found |= {f"inputs/{name}/values": values.values, f"inputs/{name}/offsets": values.offsets}
            else:
                found[f"inputs/{name}"] = values
        found |= {} if events.target is None else {"target": events.target}
        found |= {f"beside/{name}": values for name, values in events.beside.items()}
        told = {"schema": self.schema.to_json(), "tally": dict(events.tally)}
        return {**found, "hepanom": np.array(json.dumps(told))}

    def save(self, path: Path | str) -> Path:
        """Write a ``.npz`` file that the reader ``npz`` reads, whole or not at all; return its path.

        >>> sample.save("events.npz")  # doctest: +SKIP
        PosixPath('events.npz')
        """
        path = Path(path)
        if path.suffix != ".npz":
            raise InputError(f"{path}: events are saved as NAME.npz")
        with written(path) as temporary, temporary.open("wb") as file:
            arrays: dict[str, Any] = self.arrays()
            np.savez(file, **arrays)
        return path

    def fitted(self, schema: Schema) -> Events:
        """Return the events as another schema has them: columns of a table by their names, classes too.

        Columns of a table beyond those of the schema stay behind; a class that it does not have becomes unknown. Raises
        InputError where an input or a column is missing, or is stated in another unit.
        """
        return matched(self.events, self.schema, schema)


def sample_of(
    inputs: Inputs,
    weight: Any,
    label: Any,
    classes: Sequence[str] | None,
    ids: Sequence[np.ndarray] | None,
    beside: Columns,
) -> Sample:
    """Return the sample of these inputs and columns. Raises InputError where they are not of equal length."""
    arrays = {name: values for name, (_, values) in inputs.items()}
    if not arrays:
        raise InputError("no column is left for the features")
    events = len(next(iter(arrays.values())))
    given = {
        "weight": weight,
        "label": label,
        **beside,
        **{f"id {index}": each for index, each in enumerate(ids or ())},
    }
    for name, values in {**arrays, **{key: value for key, value in given.items() if value is not None}}.items():
        if len(values) != events:
            raise InputError(f"{name}: found {len(values)} values for {events} events")
    told = {name: plain(name, values) for name, values in beside.items()}
    labels, names = _labels(label, classes, events)
    weights = np.ones(events) if weight is None else _weights(weight)
    event_id = _content(arrays, told) if ids is None else hash64([plain("id", each) for each in ids])
    alike = 0 if ids is not None else events - len(np.unique(event_id))
    schema = Schema({name: entry for name, (entry, _) in inputs.items()}, names, beside=tuple(told))
    category = np.zeros(events, np.int64)
    tally = {ALIKE: alike} if alike else {}
    return Sample(Events(event_id, arrays, weights, labels, category, beside=told, tally=tally), schema)


def _content(arrays: Mapping[str, Any], beside: Columns) -> UInt64[np.ndarray, " event"]:
    """Return a hash of everything that each event holds."""
    columns: list[np.ndarray] = list(beside.values())
    for values in arrays.values():
        if not isinstance(values, Jagged):
            columns += list(values.reshape(len(values), -1).T)
            continue
        counts = np.diff(values.offsets)
        place = np.arange(len(values.values)) - np.repeat(values.offsets[:-1], counts)
        each = hash64([place, *values.values.T])
        total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(each, dtype=np.uint64)])
        columns += [counts, total[values.offsets[1:]] - total[values.offsets[:-1]]]
    return hash64(columns)


def _labels(
    label: Any, classes: Sequence[str] | None, events: int
) -> tuple[Int64[np.ndarray, " event"], tuple[str, ...]]:
    """Return each event's class index, and the names of the classes."""
    if label is None:
        return np.full(events, -1), tuple(classes or ())
    values = plain("label", np.asarray(label))
    if classes is not None and values.dtype.kind in "iu":
        if len(values) and not -1 <= values.min() <= values.max() < len(classes):
            raise InputError(
                f"label: found {values.min()} to {values.max()}; expected 0 to {len(classes) - 1}, or -1 for unknown"
            )
        return values.astype(np.int64), tuple(classes)
    found, codes = np.unique(values.astype(str), return_inverse=True)
    names = tuple(classes) if classes is not None else tuple(found.tolist())
    if unknown := [name for name in found.tolist() if name not in names]:
        raise InputError(f"label: {unknown[0]!r} is none of the classes {', '.join(names)}")
    return np.array([names.index(name) for name in found.tolist()], np.int64)[codes], names


def _weights(weight: Any) -> Float[np.ndarray, " event"]:
    weights = np.asarray(weight, np.float64)
    if not np.isfinite(weights).all():
        raise InputError(f"weight: event {int((~np.isfinite(weights)).argmax())} has none; give each a finite one")
    return weights


def plain(name: str, column: Shaped[np.ndarray, " event"]) -> Shaped[np.ndarray, " event"]:
    """Return whole numbers as int64, decimals as float64, all else as text."""
    column = np.asarray(column)
    if column.ndim != 1:
        raise InputError(f"{name}: found the shape {column.shape}; expected one value per event")
    if column.dtype.kind == "u" and column.dtype.itemsize == 8:
        return column
    kinds: dict[str, Any] = {"b": np.int64, "i": np.int64, "u": np.int64, "f": np.float64}
    return column.astype(kinds.get(column.dtype.kind, str))


def recipe_data(sample: Sample, folder: Path) -> Mapping[str, Any]:
    """Save the sample in a folder, under its fingerprint, and return ``data`` of a recipe that reads it."""
    path = folder.resolve() / f"{sample.fingerprint()}.npz"
    if not path.exists():
        sample.save(path)
    tables = [entry for entry in sample.schema.inputs.values() if entry.kind == "table"]
    features = {"features": list(tables[0].columns)} if tables else {}
    return {"use": "npz", "path": str(path), **features, "keep": list(sample.schema.beside)}
