"""What a training draws its batches from: one table in memory, or windows of shuffled events read anew every epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch

from hepanom.contracts import Batch
from hepanom.stream import select

OPEN = 3  # parts that are read side by side, so that a window holds events from several places
Item = TypeVar("Item")


class Table:
    """Events that lie on the network's device as a whole, and are shuffled as a whole; their weights average one."""

    def __init__(self, batch: Batch, mean_weight: float) -> None:
        self.batch = scaled(batch, mean_weight)
        self.shuffled = select(self.batch, torch.arange(len(batch), device=batch.weight.device))

    @property
    def events(self) -> int:
        """Return the number of events."""
        return len(self.batch)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the one table."""
        yield self.batch

    def epoch(self, order: torch.Generator, size: int) -> Iterable[Batch]:
        """Return all events in one table."""
        permutation = torch.randperm(len(self.batch), generator=order).to(self.batch.weight.device)
        places = self.shuffled.tensors()
        for name, values in self.batch.tensors().items():
            torch.index_select(values, 0, permutation, out=places[name])
        return (self.shuffled,)


@dataclass(frozen=True)
class Stream:
    """Events that do not fit: read part by part, shuffled over windows of at least ``window`` events.

    ``read`` gives the batches of one of ``parts`` parts, on the CPU. An epoch takes the parts in a random order, a few
    of them side by side, and shuffles each window as a whole; the next window is read while this one trains. Where one
    window holds everything the order is that of ``Table``.
    """

    read: Callable[[int], Iterator[Batch]]
    parts: int
    events: int
    window: int
    mean_weight: float
    device: torch.device

    def __iter__(self) -> Iterator[Batch]:
        """Yield the events in the order of the data."""
        for part in range(self.parts):
            for batch in self.read(part):
                yield scaled(moved(batch, self.device), self.mean_weight)

    def epoch(self, order: torch.Generator, size: int) -> Iterable[Batch]:
        """Return the windows of a new random order; going through them twice gives the same windows."""
        if self.window >= self.events:
            permutation = torch.randperm(self.events, generator=order)
            return Again(lambda: self._ahead(iter([select(joined(list(self._mixed(None))), permutation)])))
        seed = int(torch.randint(2**62, (1,), generator=order))
        return Again(lambda: self._ahead(self._windows(torch.Generator().manual_seed(seed), size)))

    def _ahead(self, windows: Iterator[Batch]) -> Iterator[Batch]:
        for window in ahead(windows):
            yield scaled(moved(window, self.device), self.mean_weight)

    def _windows(self, generator: torch.Generator, size: int) -> Iterator[Batch]:
        """Yield shuffled windows; what is beyond whole batches goes to the next one, so that only the last is odd."""
        pool: list[Batch] = []
        waiting, left = 0, self.events
        for batch in self._mixed(generator):
            pool.append(batch)
            waiting, left = waiting + len(batch), left - len(batch)
            whole = (waiting - 2) // size * size  # two events at least are left, so that no batch is one event alone
            if left == 0 or waiting < self.window or whole <= 0:
                continue
            table = shuffled(pool, generator)
            pool, waiting = [select(table, torch.arange(whole, waiting))], waiting - whole
            yield select(table, slice(0, whole))
            del table
        yield shuffled(pool, generator)

    def _mixed(self, generator: torch.Generator | None) -> Iterator[Batch]:
        """Yield all batches: with a generator from a few random parts at a time, in turns, else in order."""
        if generator is None:
            for part in range(self.parts):
                yield from self.read(part)
            return
        waiting = [self.read(part) for part in torch.randperm(self.parts, generator=generator).tolist()]
        opened: list[Iterator[Batch]] = []
        while waiting or opened:
            while waiting and len(opened) < OPEN:
                opened.append(waiting.pop())
            for reading in list(opened):
                batch = next(reading, None)
                if batch is None:
                    opened.remove(reading)
                else:
                    yield batch


Source = Table | Stream


@dataclass(frozen=True)
class Again(Generic[Item]):
    """Something to iterate over that starts anew each time."""

    start: Callable[[], Iterator[Item]]

    def __iter__(self) -> Iterator[Item]:
        """Start."""
        return self.start()


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items; the next one is made in another thread while the caller works on this one."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        try:
            while (item := coming.result()) is not None:
                coming = pool.submit(next, items, None)
                yield item
        finally:
            coming.cancel()


def joined(batches: Sequence[Batch]) -> Batch:
    """Return the events of all batches, in order."""
    if len(batches) == 1:
        return batches[0]
    columns = [batch.tensors() for batch in batches]
    return Batch.of({name: torch.cat([column[name] for column in columns]) for name in columns[0]})


def shuffled(batches: list[Batch], generator: torch.Generator) -> Batch:
    """Return the events of all batches in a random order; the list is empty then, to hold no event twice."""
    table = joined(batches)
    batches.clear()
    return select(table, torch.randperm(len(table), generator=generator))


def moved(batch: Batch, device: torch.device) -> Batch:
    """Return the batch on a device."""
    return batch.map(lambda values: values.to(device))


def scaled(batch: Batch, mean_weight: float) -> Batch:
    """Return the batch with its weights divided by their mean over all training events."""
    return replace(batch, weight=batch.weight / mean_weight)


def nbytes(batch: Batch) -> int:
    """Return the bytes that the events take."""
    return sum(values.nbytes for values in batch.tensors().values())
