"""From files to tensors: chunks, the split by hash, categories, and batches on a device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int, Shaped

from hepanom.contracts import Batch, Reader
from hepanom.errors import InputError
from hepanom.events import Events, Jagged, Schema, hash64
from hepanom.recipe import Recipe, Rule, Split

SHARES = ("train", "valid", "calibrate", "test")
MOST_CATEGORIES = 100
MISSING = {"", "nan", "inf", "-inf"}  # what a category cannot be called


def read_shares(
    reader: Reader, split: Split, watch: Callable[[int], None] = lambda events: None
) -> tuple[dict[str, Events], int]:
    """Read everything once and return (events by share, number of events that belong to no share).

    ``watch`` is told how many events were read so far. Raises InputError for weights that are not finite, and where
    there are no events.
    """
    pieces: dict[str, list[Events]] = {share: [] for share in SHARES}
    read = unused = 0
    for part in reader.parts():
        for chunk in reader.read(part):
            if not np.isfinite(chunk.weight).all():
                raise InputError(f"{part.file}: a weight is missing or infinite; give each event a finite weight")
            share = membership(chunk, split)
            for index, name in enumerate(SHARES):
                pieces[name].append(chunk.mask(share == index))
            read += len(chunk)
            unused += int((share < 0).sum())
            watch(read)
    if read == 0:
        raise InputError("there are no events in the data")
    return {name: Events.concat(chunks) for name, chunks in pieces.items()}, unused


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
    labels = np.array([_label(value) for value in values], str)[inverse]
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


def category_labels(events: Events, per: str | None, schema: Schema) -> tuple[str, ...]:
    """Return the labels of the categories in these events, one model each."""
    if per is None:
        return ("all",)
    values = np.unique(named_column(events, per, schema))
    if len(values) > MOST_CATEGORIES:
        raise InputError(
            f"train.per: column {per!r} has {len(values)} values; {MOST_CATEGORIES} categories are the most"
        )
    labels = tuple(map(_label, values))
    if not MISSING.isdisjoint(labels):
        raise InputError(f"train.per: column {per!r} is missing in some events; a category needs a value in each")
    return labels


def _label(value: object) -> str:
    if isinstance(value, (float, np.floating)) and value.is_integer():
        return str(int(value))
    return str(value)


def with_category(events: Events, per: str | None, labels: Sequence[str], schema: Schema) -> Events:
    """Return the events with their category filled in. Raises InputError for a value that has no model."""
    if per is None:
        return events
    values, inverse = np.unique(named_column(events, per, schema), return_inverse=True)
    index = {label: position for position, label in enumerate(labels)}
    unknown = [label for label in map(_label, values) if label not in index]
    if unknown:
        raise InputError(f"{per} is {', '.join(unknown[:5])} in some events; there are models for {', '.join(labels)}")
    lookup = np.array([index[_label(value)] for value in values], np.int64)
    return replace(events, category=lookup[inverse])


def with_weight(events: Events, weighted: bool | str) -> Events:
    """Return the events with the weights that the recipe trains with: as they are, absolute, or all one."""
    if weighted is True:
        return events
    weight = np.abs(events.weight) if weighted == "absolute" else np.ones(len(events))
    return replace(events, weight=weight)


def rule_weight(recipe: Recipe, rule: Rule) -> bool | str:
    """Return the weights that a threshold counts with: none, or those of the recipe, absolute where it says so."""
    return rule.weighted and (recipe.train.weighted or True)


def is_background(events: Events, classes: Sequence[str], background: Sequence[str]) -> Bool[np.ndarray, " event"]:
    """Return which events are background; everything is where the recipe names no classes."""
    if not background:
        return np.ones(len(events), bool)
    return np.isin(events.label, [classes.index(name) for name in background])


def to_batch(events: Events, schema: Schema, device: torch.device) -> Batch:
    """Return all events as float32 tensors on the device.

    Raises InputError naming the columns for a NaN or an infinity, and for points that no transform turned into a table
    or an image.
    """
    inputs = {}
    for name, values in events.inputs.items():
        if isinstance(values, Jagged):
            raise InputError(f"input {name!r} holds points; add a transform that makes a table or an image of them")
        inputs[name] = _finite(values, schema.inputs[name].columns, events).to(device)
    target = None if events.target is None else _finite(events.target, schema.targets, events).to(device)
    return Batch(
        inputs,
        torch.from_numpy(events.weight.astype(np.float32)).to(device),
        torch.from_numpy(events.label.astype(np.int64)).to(device),
        target,
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
    first = int(np.flatnonzero(per_column.any(1))[0])
    named = ", ".join(f"{key} {column[first]}" for key, column in events.beside.items()) or f"number {first}"
    raise InputError(
        f"missing or infinite values reach the model, in columns (events): {counts}; the first event is {named}. "
        "The transform {use: missing} fills missing values, {use: drop, columns: [...]} leaves columns out"
    )


def select(batch: Batch, index: slice | torch.Tensor) -> Batch:
    """Return the events of a batch that an index or a slice names."""
    inputs = {name: values[index] for name, values in batch.inputs.items()}
    target = None if batch.target is None else batch.target[index]
    return Batch(inputs, batch.weight[index], batch.label[index], target)


def slices(events: int, size: int) -> list[slice]:
    """Return consecutive slices of ``size`` events; a remainder of one event joins the slice before."""
    edges = [*range(0, events if events == 1 else events - 1, size), events]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def batches(table: Batch, size: int) -> Iterator[Batch]:
    """Yield the table batch by batch, in order."""
    for piece in slices(len(table), size):
        yield select(table, piece)


def counts(shares: Mapping[str, Events], classes: Sequence[str]) -> dict[str, dict[str, tuple[int, float]]]:
    """Return events and their summed weight by share and class; unlabelled events count as ``unlabelled``."""
    named = [*enumerate(classes), (-1, "unlabelled")]
    return {
        share: {
            name: (int(here.sum()), float(events.weight[here].sum()))
            for label, name in named
            for here in [events.label == label]
            if here.any() or label >= 0
        }
        for share, events in shares.items()
    }
