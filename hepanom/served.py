"""A detector as a function of plain columns: in goes what a reader gives, out come scores and flags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped

from hepanom import storage
from hepanom.detector import Detector, decision, score
from hepanom.errors import InputError
from hepanom.events import Events, Input, Jagged, Schema
from hepanom.output import to_table
from hepanom.stream import named_column, with_category

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Form:
    """The columns that a detector is given.

    ``inputs`` are those of the reader. With one table they are its columns, else each is an array as a whole, points
    padded by NaN: (event, point, column). ``carried`` are the columns that are no features: of ``train.per``, and those
    on which cuts depend.
    """

    inputs: Mapping[str, Input]
    carried: tuple[str, ...]
    targets: tuple[str, ...]

    @property
    def table(self) -> tuple[str, Input] | None:
        """Return name and description of the one table that is everything; None for other inputs."""
        (name, entry), *more = self.inputs.items()
        return (name, entry) if entry.kind == "table" and not more else None

    @property
    def beside(self) -> tuple[str, ...]:
        """Return the columns beside the inputs."""
        return (*self.carried, *self.targets)


def form(detector: Detector) -> Form:
    """Return what a detector is given."""
    schema, per = detector.parts.schema, detector.parts.recipe.train.per
    wanted = dict.fromkeys([*([] if per is None else [per]), *detector.columns])
    return Form(schema.inputs, tuple(name for name in wanted if name not in tabled(schema)), schema.targets)


def tabled(schema: Schema) -> set[str]:
    """Return the columns of all tables."""
    return {column for entry in schema.inputs.values() if entry.kind == "table" for column in entry.columns}


def load(folder: Path | str, plugins: Path | str | None = None, device: str | None = None) -> Detector:
    """Read a detector; a plugin folder that travelled with it takes the place of its own.

    A detector that was trained on a GPU takes what there is, where no ``device`` is said.
    """
    changes = [] if plugins is None else [f"plugins={json.dumps(str(Path(plugins).resolve()))}"]
    if device is None and not torch.cuda.is_available():
        device = "cpu"
    return storage.load(folder, [*changes, *([f"train.device={device}"] if device else [])])


def scores(detector: Detector, given: Mapping[str, Any]) -> Columns:
    """Return ``score/SCORER`` and ``flag/SCORER/RULE`` for every event, as ``hepanom score`` writes them.

    ``given`` maps the columns of ``form`` to what numpy makes an array of; others are left alone. Raises InputError for
    columns that are missing or hold something else than numbers.
    """
    events = to_events(detector, given)
    known = with_category(events, detector.parts.recipe.train.per, detector.categories, detector.parts.schema)
    table = to_table(detector, known, decision(detector, score(detector, known), known.category))
    names = [name for name in table.column_names if name.startswith(("score/", "flag/"))]
    return {name: table[name].to_numpy() for name in names}


def to_events(detector: Detector, given: Mapping[str, Any]) -> Events:
    """Return the events that columns stand for, all of weight one and of no known class."""
    shape = form(detector)
    columns = shape.table[1].columns if shape.table else tuple(shape.inputs)
    wanted = (*columns, *shape.beside)
    if missing := [name for name in wanted if name not in given]:
        raise InputError(f"columns are missing: {', '.join(missing)}; the model takes {', '.join(wanted)}")
    inputs: dict[str, Any] = {}
    if shape.table:
        name, entry = shape.table
        inputs[name] = np.stack([_numbers(column, given[column]) for column in entry.columns], axis=1)
    else:
        for name, entry in shape.inputs.items():
            values = _numbers(name, given[name])
            inputs[name] = _clouds(values) if entry.kind == "points" else values
    events = len(next(iter(inputs.values())))
    targets = [_numbers(column, given[column]) for column in shape.targets]
    return Events(
        np.arange(events, dtype=np.uint64),
        inputs,
        np.ones(events),
        np.full(events, -1),
        np.zeros(events, np.int64),
        target=np.stack(targets, axis=1) if targets else None,
        beside={name: np.asarray(given[name]) for name in shape.carried},
    )


def to_columns(detector: Detector, events: Events) -> Columns:
    """Return the columns of events; ``to_events`` makes the same inputs of them again."""
    shape = form(detector)
    found: Columns = {}
    if shape.table:
        name, entry = shape.table
        found |= dict(zip(entry.columns, np.asarray(events.inputs[name]).T, strict=True))
    else:
        for name, values in events.inputs.items():
            found[name] = _padded(values) if isinstance(values, Jagged) else values
    found |= {name: named_column(events, name) for name in shape.carried}
    if shape.targets:
        target = np.full((len(events), len(shape.targets)), np.nan) if events.target is None else events.target
        found |= dict(zip(shape.targets, target.T, strict=True))
    return found


def _numbers(name: str, values: Any) -> Float[np.ndarray, "event ..."]:
    """Return values in the precision of the readers."""
    try:
        return np.ascontiguousarray(np.asarray(values), np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"column {name!r} holds something else than numbers: {error}") from error


def _clouds(values: Float[np.ndarray, "event point column"]) -> Jagged:
    """Return point clouds without the points that are NaN as a whole."""
    real = ~np.isnan(values).all(axis=2)
    return Jagged(values[real], np.concatenate([[0], np.cumsum(real.sum(axis=1))]).astype(np.int64))


def _padded(clouds: Jagged) -> Shaped[np.ndarray, "event point column"]:
    """Return point clouds side by side, NaN behind the last point of each."""
    counts = np.diff(clouds.offsets)
    real = np.arange(counts.max(initial=0)) < counts[:, None]
    found = np.full((*real.shape, clouds.values.shape[1]), np.nan, np.float32)
    found[real] = clouds.values[clouds.offsets[0] : clouds.offsets[-1]]
    return found
