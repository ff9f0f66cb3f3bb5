"""Where a training's batches come from: shuffled as a whole, or over windows of several parts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from trainings import PLAIN, begin, same, weights
from trainings import table as features

from hepanom import train
from hepanom.contracts import Batch
from hepanom.errors import InputError
from hepanom.source import Stream, Table, ahead, joined
from hepanom.stream import select

CPU = torch.device("cpu")


def stream(events: Batch, sizes: list[int], window: int, mean_weight: float = 1.0) -> Stream:
    """Return the events as parts of these sizes, each read in chunks of 10 events."""
    edges = np.cumsum([0, *sizes])

    def read(part: int) -> Iterator[Batch]:
        for start in range(edges[part], edges[part + 1], 10):
            yield select(events, slice(start, min(start + 10, int(edges[part + 1]))))

    return Stream(read, len(sizes), len(events), window, mean_weight, CPU)


def numbered(events: int) -> Batch:
    """Return events whose only feature is their number."""
    number = torch.arange(events, dtype=torch.float32)
    return Batch({"features": number[:, None]}, torch.ones(events), torch.zeros(events, dtype=torch.int64))


def order(source: Stream | Table, size: int, seed: int = 1) -> list[list[int]]:
    """Return the numbers of the events, table by table."""
    tables = source.epoch(torch.Generator().manual_seed(seed), size)
    return [[int(number) for number in table.inputs["features"][:, 0]] for table in tables]


@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=8).filter(lambda sizes: sum(sizes) > 1),
    window=st.integers(1, 400),
    size=st.integers(2, 50),
)
@example(sizes=[1, 1], window=1, size=2)  # one event fills a window and is no batch
def test_an_epoch_takes_every_event_once_in_whole_batches(sizes: list[int], window: int, size: int) -> None:
    tables = order(stream(numbered(sum(sizes)), sizes, window), size)
    assert sorted(number for table in tables for number in table) == list(range(sum(sizes)))
    assert all(len(table) % size == 0 for table in tables[:-1])
    assert len(tables[-1]) > 1


def test_going_through_an_epoch_twice_gives_the_same_events_and_another_epoch_others() -> None:
    source, generator = stream(numbered(300), [100, 100, 100], 60), torch.Generator().manual_seed(1)
    first, second = source.epoch(generator, 10), source.epoch(generator, 10)
    runs = [torch.cat([table.inputs["features"][:, 0] for table in each]) for each in (first, first, second)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_one_window_of_everything_is_the_order_of_a_table() -> None:
    events = numbered(100)
    assert order(stream(events, [30, 50, 20], 100), 16) == order(Table(events, 1.0), 16)


def test_training_from_a_stream_of_one_window_is_training_from_a_table_bit_for_bit() -> None:
    events, mean = features(90), float(features(90).weight.mean())
    trained = []
    for source in (Table(events, mean), stream(events, [40, 30, 20], 90, mean)):
        training = begin(PLAIN)
        records = list(train.fit(training, source, [features(30, 2)]))
        trained.append((weights(training.network), [record.validation for record in records]))
    assert same(trained[0][0], trained[1][0])
    assert trained[0][1] == trained[1][1]


def test_a_window_mixes_events_of_several_parts() -> None:
    """Neighbours in the data must not be neighbours in training, and a batch must look like the whole."""
    events, parts, size = 20_000, 20, 100
    sizes = [events // parts] * parts
    tables = order(stream(numbered(events), sizes, 4000), size)
    batches = np.array([number for table in tables for number in table]).reshape(-1, size)
    places = np.array([len(np.unique(batch // (events // parts))) for batch in batches])
    assert np.median(places) >= 3, "a batch holds events from three parts or more"
    together = np.mean([np.mean(np.diff(np.sort(batch)) == 1) for batch in batches])
    assert together < 0.1, "a reader's order would give 1, a perfect shuffle 0.005"
    position = np.argsort(batches.ravel())
    assert abs(np.corrcoef(position, np.arange(events))[0, 1]) < 0.6, "the file's order is gone"


def test_an_error_of_the_reader_reaches_the_training() -> None:
    def broken(_: int) -> Iterator[Batch]:
        yield numbered(10)
        raise InputError("the file ends here")

    source = Stream(broken, 2, 100, 10, 1.0, CPU)
    with pytest.raises(InputError, match="the file ends here"):
        list(source.epoch(torch.Generator(), 4))


def test_the_next_item_is_made_while_the_caller_works() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(3):
            made.append(number)
            yield number

    seen = []
    for item in ahead(items()):
        while len(made) < min(3, item + 2):  # waits for ever if nobody reads ahead
            pass
        seen.append(item)
    assert seen == [0, 1, 2]


def test_joined_batches_keep_order_and_targets() -> None:
    events = Batch({"x": torch.arange(6.0)}, torch.ones(6), torch.arange(6), torch.arange(6.0)[:, None])
    again = joined([select(events, slice(0, 2)), select(events, slice(2, 6))])
    assert again.target is not None
    assert torch.equal(again.inputs["x"], events.inputs["x"])
    assert torch.equal(again.label, events.label)
    assert again.target[:, 0].tolist() == list(range(6))
