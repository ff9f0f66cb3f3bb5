"""From files to tensors: chunks, the split by hash, categories, and batches on a device."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, Shaped

from hepanom.contracts import Batch, Part, Reader
from hepanom.errors import BrokenFileError, InputError
from hepanom.events import Events, Jagged, Schema, hash64
from hepanom.recipe import Recipe, Split
from hepanom.result import Skipped
from hepanom.thresholds import Rule

log = logging.getLogger(__name__)

SHARES = ("train", "valid", "calibrate", "test")
MOST_CATEGORIES = 100
VALUES = 2**22  # inputs of a network at once; the maps of a convolution take some tens of times as much
MISSING = {"", "nan", "inf", "-inf"}  # what a category cannot be called


def read_parts(
    reader: Reader, parts: Sequence[Part], skipped: list[Skipped] | None = None
) -> Iterator[tuple[Part, Events]]:
    """Yield the chunks of the parts, in order.

    Where the reader's option ``on_bad_file`` is ``skip``, a part that cannot be read to its end yields nothing: it is
    logged, and added to ``skipped``. Raises InputError for a file that changes while it is read.
    """
    skips = getattr(reader, "on_bad_file", "stop") == "skip"
    for part in parts:
        chunks: list[Events] = []
        try:
            if part.problem:
                raise BrokenFileError(part.problem)
            before = _state(part.file)
            for chunk in reader.read(part):
                chunks.append(chunk)
                del chunk  # several parts are open at once: what waits must not hold what it gave away
                if not skips:  # otherwise nothing counts before the end of the part was seen
                    yield part, chunks.pop()
            if _state(part.file) != before:
                raise InputError(f"{part.file}: the file changed while it was read; wait until it is complete")
        except BrokenFileError as error:
            if not skips:
                raise
            lost = sum(map(len, chunks))
            log.warning("skipped %s, %d to %d: %s", part.file, part.start, part.stop, error)
            if skipped is not None:
                skipped.append(Skipped(part.file, part.start, part.stop, lost, str(error)))
        else:
            yield from ((part, chunk) for chunk in chunks)


def _state(file: str) -> tuple[int, int] | None:
    """Return size and time of the last change; None for a simulation or an address, which have no file."""
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def membership(events: Events, split: Split) -> Int[np.ndarray, " event"]:
    """Return each event's share as an index into SHARES, -1 for none: a function of event id and split seed alone.

    With u uniform in [0, 1) from the hash of (event id, seed): valid where u < valid, calibrate where u < valid +
    calibrate, then test or train. With a split column, test and train are what the column says.
    """
    uniform = (hash64([events.event_id], split.seed) >> np.uint64(11)) * 2.0**-53
    edge = split.valid + split.calibrate
    held_out = np.where(uniform < split.valid, 1, 2)
    if split.column is None:
        assert isinstance(split.test, float)
        return np.where(uniform < edge, held_out, np.where(uniform < edge + split.test, 3, 0))
    assert isinstance(split.train, tuple)
    assert isinstance(split.test, tuple)
    values, inverse = np.unique(named_column(events, split.column), return_inverse=True)
    labels = np.array([label_of(value) for value in values], str)[inverse]
    train = np.isin(labels, [str(value) for value in split.train])
    test = np.isin(labels, [str(value) for value in split.test])
    return np.where(train, np.where(uniform < edge, held_out, 0), np.where(test, 3, -1))


def named_column(events: Events, name: str, schema: Schema | None = None) -> Shaped[np.ndarray, " event"]:
    """Return a column that travels beside the features, or, with the schema, a feature of a table."""
    if name in events.beside:
        return events.beside[name]
    for key, entry in (schema.inputs if schema else {}).items():
        if entry.kind == "table" and name in entry.columns:
            return np.asarray(events.inputs[key])[:, entry.columns.index(name)]
    raise InputError(f"column {name!r} is not carried with these events; the reader's option keep: [{name}] carries it")


def category_values(
    events: Events, per: str | None, schema: Schema
) -> tuple[tuple[str, ...], Int[np.ndarray, " event"], list[Any]]:
    """Return the labels of the categories in these events, each event's index in them, and the labels' values."""
    if per is None:
        return ("all",), np.zeros(len(events), np.int64), [0]
    values, inverse = np.unique(named_column(events, per, schema), return_inverse=True)
    return tuple(map(label_of, values)), inverse, values.tolist()


def label_of(value: object) -> str:
    """Return what a value of a column is called: a whole number without its decimals."""
    if isinstance(value, (float, np.floating)) and value.is_integer():
        return str(int(value))
    return str(value)


def with_category(events: Events, per: str | None, labels: Sequence[str], schema: Schema) -> Events:
    """Return the events with their category filled in. Raises InputError for a value that has no model."""
    if per is None:
        return events
    found, inverse, _ = category_values(events, per, schema)
    refuse_unknown(per, found, labels)
    return replace(events, category=np.array([labels.index(label) for label in found], np.int64)[inverse])


def refuse_unknown(per: str | None, labels: Sequence[str], known: Sequence[str]) -> None:
    """Raise InputError for categories that have no model."""
    unknown = [label for label in labels if label not in known]
    if unknown:
        raise InputError(f"{per} is {', '.join(unknown[:5])} in some events; there are models for {', '.join(known)}")


def with_weight(events: Events, weighted: bool | str) -> Events:
    """Return the events with the weights that the recipe trains with: as they are, absolute, or all one."""
    return replace(events, weight=weighed(events.weight, weighted))


def weighed(weight: Float[np.ndarray, " event"], weighted: bool | str) -> Float[np.ndarray, " event"]:
    """Return weights as they are, their magnitude, or ones."""
    if weighted is True:
        return weight
    return np.abs(weight) if weighted == "absolute" else np.ones(len(weight))


def rule_weight(recipe: Recipe, rule: Rule) -> bool | str:
    """Return the weights that a threshold counts with: none, or those of the recipe, absolute where it says so."""
    return rule.weighted and (recipe.train.weighted or True)


def is_background(events: Events, classes: Sequence[str], background: Sequence[str]) -> Bool[np.ndarray, " event"]:
    """Return which events are background; everything is where the recipe names no classes."""
    if not background:
        return np.ones(len(events), bool)
    return np.isin(events.label, [classes.index(name) for name in background])


def to_batch(events: Events, schema: Schema, device: torch.device, conditions: Sequence[str] = ()) -> Batch:
    """Return all events as float32 tensors on the device.

    The density factors of the columns that are left are summed, but for the ``conditions`` of the density. Raises
    InputError naming the columns for a NaN or an infinity, and for points that no transform turned into a table or an
    image.
    """
    inputs = {}
    for name, values in events.inputs.items():
        if isinstance(values, Jagged):
            raise InputError(f"input {name!r} holds points; add a transform that makes a table or an image of them")
        inputs[name] = _finite(values, schema.inputs[name].columns, events).to(device)
    target = None if events.target is None else _finite(events.target, schema.targets, events).to(device)
    counted = {column for entry in schema.inputs.values() for column in entry.columns}.difference(conditions)
    grown = [values for column, values in events.log_jacobian.items() if column in counted]
    return Batch(
        inputs,
        torch.from_numpy(events.weight.astype(np.float32)).to(device),
        torch.from_numpy(events.label.astype(np.int64)).to(device),
        target,
        torch.from_numpy(np.sum(grown, 0).astype(np.float32)).to(device) if grown else None,
    )


def _finite(
    values: Shaped[np.ndarray, "event column ..."], columns: Sequence[str], events: Events
) -> Float32[torch.Tensor, "event column ..."]:
    with np.errstate(over="ignore"):  # beyond float32 is as infinite as infinity
        single: Float32[np.ndarray, "event column ..."] = np.ascontiguousarray(values, np.float32)
    bad = ~np.isfinite(single)
    if not bad.any():
        return torch.from_numpy(single)
    per_column = bad.reshape(len(values), bad.shape[1], -1).any(2)
    counts = ", ".join(
        f"{columns[index]} ({per_column[:, index].sum()})" for index in np.flatnonzero(per_column.any(0)).tolist()
    )
    named = named_event(events, int(np.flatnonzero(per_column.any(1))[0]))
    raise InputError(
        f"missing or infinite values reach the model, in columns (events): {counts}; the first event is {named}. "
        "The transform {use: missing} fills missing values, {use: drop, columns: [...]} leaves columns out"
    )


def named_event(events: Events, index: int) -> str:
    """Return what an event is called: the columns beside it, or its place among these events."""
    return ", ".join(f"{key} {column[index]}" for key, column in events.beside.items()) or f"number {index}"


def select(batch: Batch, index: slice | torch.Tensor) -> Batch:
    """Return the events of a batch that an index or a slice names."""
    return batch.map(lambda values: values[index])


def at_once(table: Batch, most: int) -> int:
    """Return how many events a network may be given without gradients: fewer than ``most`` where they are wide."""
    width = sum(values[:1].numel() for values in table.inputs.values())
    return max(1, min(most, VALUES // max(1, width)))


def slices(events: int, size: int) -> list[slice]:
    """Return consecutive slices of ``size`` events; a remainder of one event joins the slice before."""
    edges = [*range(0, events if events == 1 else events - 1, size), events]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def batches(table: Batch, size: int) -> Iterator[Batch]:
    """Yield the table batch by batch, in order."""
    for piece in slices(len(table), size):
        yield select(table, piece)
