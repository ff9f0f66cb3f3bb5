"""Prepare events for a training: choose them, fit the transforms, lay them out as the network sees them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce

import numpy as np
import torch

from hepanom import returned, team
from hepanom.contracts import Batch, Sketch, State, Transform
from hepanom.errors import InputError
from hepanom.events import Events, Schema
from hepanom.plugins import Parts
from hepanom.prepared import prepare, table
from hepanom.shares import Shares, memory_bytes
from hepanom.source import Again, Source, Stream, Table, ahead, joined, moved, nbytes
from hepanom.stream import with_category, with_weight

log = logging.getLogger(__name__)

FITS = 0.2  # of the memory, for prepared events that stay: shuffling makes a second copy of them
WINDOW = 0.1  # of the memory, for a window: one trains while the next is read, joined and shuffled


@dataclass(frozen=True)
class Chosen:
    """The events of one share that train one category, with the weights of the training, any number of times."""

    shares: Shares
    share: str
    labels: Sequence[str]
    index: int
    kept: list[Events] | None

    def __iter__(self) -> Iterator[Events]:
        """Yield the events chunk by chunk."""
        return self._picked(self.shares.chunks(self.share)) if self.kept is None else iter(self.kept)

    @property
    def pieces(self) -> int:
        """Return the number of pieces that can be had alone."""
        return len(self.shares.sound) if self.kept is None else len(self.kept)

    def piece(self, number: int) -> Iterator[Events]:
        """Yield the events of one piece."""
        if self.kept is not None:
            return iter(self.kept[number : number + 1])
        return self._picked(self.shares.chunks_of(self.share, self.shares.sound[number]))

    def _picked(self, chunks: Iterable[Events]) -> Iterator[Events]:
        recipe, schema, trained = self.shares.parts.recipe, self.shares.parts.schema, self.shares.trained()

        def picked(events: Events) -> Events:
            events = events if trained is None else events.mask(np.isin(events.label, list(trained)))
            events = with_category(events, recipe.train.per, self.labels, schema)
            events = events if len(self.labels) == 1 else events.mask(events.category == self.index)
            return with_weight(events, recipe.train.weighted)

        return filter(len, map(picked, chunks))


def chosen(shares: Shares, share: str, labels: Sequence[str], index: int) -> Chosen:
    """Return the events of a share that train the category ``labels[index]``."""
    anew = Chosen(shares, share, labels, index, None)
    return anew if shares.kept is None else Chosen(shares, share, labels, index, list(anew))


def refuse_idle(events: Chosen) -> None:
    """Raise InputError, in every process of a team, where one of them has no events."""
    found = team.gather(next(iter(events), None) is not None)
    if not all(found):
        raise InputError(
            f"process {found.index(False)} has no {events.share} events of category {events.labels[events.index]}; "
            "start fewer processes"
        )


Measure = Callable[["Chosen", tuple[State, ...]], Iterable[Sketch]]


def fit_transforms(parts: Parts, events: Chosen, measure: Measure | None = None) -> tuple[tuple[State, ...], Schema]:
    """Fit each transform, in a pass of its own, on what the ones before it give; return states and final schema.

    In a team every process measures its own events, and all finish with the same merged sketch. ``measure`` does it
    elsewhere: it gives the sketches of all chunks, in order, for the transform after those of the states.
    """
    states: list[State] = []
    schema = parts.schema
    chunks: Iterable[Events] = events
    for transform in parts.transforms.values():
        here = (transform.measure(chunk, schema) for chunk in chunks)
        sketch = reduce(transform.merge, measure(events, tuple(states)) if measure else here)
        state = returned.state(transform, "finish", transform.finish(reduce(transform.merge, team.gather(sketch))))
        apply = partial(_apply, transform, schema, state, chunks)
        chunks = Again(apply) if events.kept is None else list(apply())
        schema = transform.schema(schema, state)
        states.append(state)
    return tuple(states), schema


def measure_piece(events: Chosen, states: Sequence[State], number: int) -> list[Sketch]:
    """Return the sketches of one piece's chunks for the transform after those of the states."""
    parts = events.shares.parts
    schema, transforms = parts.schema, list(parts.transforms.values())
    for transform, state in zip(transforms, states, strict=False):
        schema = transform.schema(schema, state)
    found = []
    for chunk in events.piece(number):
        prepared = prepare(
            replace(parts, transforms=dict(list(parts.transforms.items())[: len(states)])), states, chunk
        )
        found.append(transforms[len(states)].measure(prepared, schema))
    return found


def _apply(transform: Transform, schema: Schema, state: State, chunks: Iterable[Events]) -> Iterator[Events]:
    after = transform.schema(schema, state)
    for chunk in chunks:  # a fit needs no density
        yield replace(returned.applied(transform, chunk, transform.apply(chunk, schema, state), after), log_jacobian={})


def train_source(
    events: Chosen, states: Sequence[State], schema: Schema, device: torch.device
) -> tuple[Source, Mapping[str, int]]:
    """Return what the training draws from, in memory where the prepared events fit, and what was done to them.

    Weights are divided by their mean over the events of the whole team.
    """
    shares, label = events.shares, events.labels[events.index]
    recipe, memory = shares.parts.recipe, memory_bytes(shares.parts.recipe)
    whole = shares.total(events.share, shares.trained(), label)
    mean = {True: whole.weight, "absolute": whole.magnitude, False: whole.events}[recipe.train.weighted] / whole.events
    tally: Counter[str] = Counter()
    kept: list[Batch] | None = []
    held = number = 0
    for chunk in events:
        batch, prepared = table(shares.parts, states, schema, chunk, torch.device("cpu"))
        tally.update(prepared.tally)
        held, number = held + nbytes(batch), number + len(batch)
        kept = None if held > FITS * memory else kept
        if kept is not None:
            kept.append(batch)
    done = dict(sum(team.gather(tally), Counter[str]()))
    if kept is not None:
        return Table(moved(joined(kept), device), mean), done
    window = int(WINDOW * memory * number / held)
    log.info("category %s: events are read anew every epoch, %d at a time", label, window)

    def read(number: int) -> Iterator[Batch]:
        return tables(shares.parts, states, schema, events.piece(number))

    return Stream(read, events.pieces, number, window, mean, device), done


def all_tables(events: Chosen, states: Sequence[State], schema: Schema, device: torch.device) -> Iterable[Batch]:
    """Return the events of all processes, read anew each time."""
    whole = replace(events, shares=events.shares.whole(), kept=None)
    return Again(lambda: (moved(batch, device) for batch in tables(events.shares.parts, states, schema, whole)))


def valid_tables(events: Chosen, states: Sequence[State], schema: Schema, device: torch.device) -> Iterable[Batch]:
    """Return the validation events in tables, in memory where they fit."""
    parts = events.shares.parts
    kept: list[Batch] = []
    for batch in tables(parts, states, schema, events):
        kept.append(batch)
        if sum(map(nbytes, kept)) > WINDOW * memory_bytes(parts.recipe):
            return Again(lambda: (moved(each, device) for each in ahead(tables(parts, states, schema, events))))
    return [moved(joined(kept), device)]


def tables(parts: Parts, states: Sequence[State], schema: Schema, chunks: Iterable[Events]) -> Iterator[Batch]:
    """Yield events as the network sees them, on the CPU."""

    def seen(chunk: Events) -> Batch:
        return table(parts, states, schema, chunk, torch.device("cpu"))[0]

    return map(seen, chunks)
