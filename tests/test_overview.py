"""The overview of events: the numbers are those of all events at once, whatever the chunks and parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hepanom.contracts import Part, Reader
from hepanom.errors import BrokenFileError, InputError
from hepanom.events import Events, Input, Jagged, Schema
from hepanom.overview import Column, Overview, survey
from hepanom.overview_page import BARS, bars, plain, text
from hepanom.summary import Summary, edges, summarized

CLASSES = ("background", "signal")


@dataclass(frozen=True)
class Held(Reader):
    """Hands over events that it holds, a part each, cut into chunks; the part ``broken`` ends in an error."""

    parts_held: tuple[Events, ...]
    described: Schema
    chunk: int = 1000
    broken: int = -1
    on_bad_file: str = "stop"
    asked: list[int] = field(default_factory=list)

    def schema(self) -> Schema:
        return self.described

    def parts(self) -> Sequence[Part]:
        return [Part(f"part{index}", index, index + 1) for index in range(len(self.parts_held))]

    def read(self, part: Part) -> Iterator[Events]:
        events = self.parts_held[part.start]
        self.asked.append(part.start)
        for start in range(0, len(events), self.chunk):
            yield events.mask((np.arange(len(events)) // self.chunk) == start // self.chunk)
        if part.start == self.broken:
            raise BrokenFileError(f"{part.file}: cut off")


def table(values: np.ndarray, label: np.ndarray | None = None, weight: np.ndarray | None = None) -> Events:
    """Return events with a table of one column."""
    number = len(values)
    return Events(
        np.arange(number, dtype=np.uint64),
        {"features": np.asarray(values, np.float32).reshape(number, 1)},
        np.ones(number) if weight is None else weight,
        np.full(number, -1) if label is None else label,
        np.zeros(number, np.int64),
    )


def tables(*values: np.ndarray, **options: object) -> Held:
    """Return a reader of tables with one column, a part each."""
    schema = Schema({"features": Input("table", ("mass",), ("GeV",))})
    return Held(tuple(table(entry) for entry in values), schema, **options)  # type: ignore[arg-type]


def summary(found: Overview) -> Summary:
    """Return the summary of the only column."""
    (column,) = found.columns
    assert column.summary is not None
    return column.summary


@given(
    arrays(np.float32, st.integers(1, 60), elements=st.floats(-1e6, 1e6, width=32) | st.just(np.nan) | st.just(np.inf)),
    st.integers(1, 60),
)
def test_moments_do_not_depend_on_chunks_and_are_those_of_numpy(values: np.ndarray, chunk: int) -> None:
    found = summary(survey(tables(values, chunk=chunk)))
    finite = values[np.isfinite(values)].astype(np.float64)
    assert (found.values, found.missing, found.infinite) == (
        len(values),
        np.isnan(values).sum(),
        np.isinf(values).sum(),
    )
    assert found.counts.sum() == found.finite == len(finite)
    if len(finite):
        assert (found.low, found.high) == (finite.min(), finite.max())
        assert found.lowest == (finite == finite.min()).sum()
        assert found.mean == pytest.approx(finite.mean(), rel=1e-9, abs=1e-6)
        assert found.std == pytest.approx(finite.std(), rel=1e-6, abs=1e-3)


@given(arrays(np.float64, st.integers(1, 200), elements=st.floats(-1e9, 1e9)))
def test_counts_are_those_of_numpy_and_nothing_is_lost(values: np.ndarray) -> None:
    sides = edges(values)
    assert (np.diff(sides) > 0).all()
    counts = summarized(values, np.full(len(values), -1), sides, 0).counts[0]
    assert np.array_equal(counts[1:-1], np.histogram(values, sides)[0])
    assert counts[0] == (values < sides[0]).sum()
    assert counts[-1] == (values > sides[-1]).sum()


def test_whole_numbers_have_a_bin_each() -> None:
    assert edges(np.array([2.0, 4.0, 3.0])).tolist() == [1.5, 2.5, 3.5, 4.5]


@given(st.integers(0, 10), st.sampled_from([30, 900, 5000]))
def test_no_bin_lies_partly_beyond_the_values(seed: int, events: int) -> None:
    values = np.random.default_rng(seed).uniform(-np.pi, np.pi, events)
    sides = edges(values)
    assert values.min() <= sides[0]
    assert sides[-1] <= values.max()
    if events < 1000:  # none of so few is in the outermost per mille
        assert (sides[0], sides[-1]) == (values.min(), values.max())


def test_bins_hold_the_values_of_all_files_when_they_are_sorted_by_class() -> None:
    generator = np.random.default_rng(1)
    found = survey(tables(generator.normal(0, 1, 5000), generator.normal(50, 1, 5000)))
    counts = summary(found).counts[0]
    assert counts[[0, -1]].sum() < 100


def test_weights_and_labels_are_summed_by_class() -> None:
    label, weight = np.array([0, 1, 0, -1]), np.array([2.0, 0.5, -1.0, 4.0])
    events = table(np.arange(4), label, weight)
    found = survey(Held((events, events), Schema({"features": Input("table", ("mass",), ("GeV",))}, CLASSES)))
    background = found.classes["background"]
    assert (background.events, background.total, background.squares, background.negative) == (4, 2.0, 10.0, 2)
    assert (background.low, background.high) == (-1.0, 2.0)
    assert (found.classes["signal"].total, found.classes["unlabelled"].events) == (1.0, 2)
    shown = plain(found, "held")
    assert shown["labels"] == {"background": 4, "signal": 2, "unlabelled": 2}
    assert shown["weight_sums"] == {"background": 2.0, "signal": 1.0, "unlabelled": 8.0}
    assert summary(found).counts.sum(1).tolist() == [4, 2, 2]


def test_points_and_images_are_summed_up_by_column() -> None:
    clouds = Jagged(np.array([[1, 9], [2, 8], [3, np.nan]], np.float32), np.array([0, 2, 2, 3]))
    image = np.arange(24, dtype=np.float32).reshape(3, 2, 2, 2)
    inputs = {"points": clouds, "image": image}
    schema = Schema(
        {
            "points": Input("points", ("x", "charge"), ("mm", "")),
            "image": Input("image", ("a", "b"), ("", ""), (2, 2)),
        },
        CLASSES,
        beside=("run", "name"),
    )
    beside = {"run": np.array([7, 8, 9]), "name": np.array(["u", "v", "w"])}
    label = np.array([1, 0, 0])
    events = Events(np.arange(3, dtype=np.uint64), inputs, np.ones(3), label, np.zeros(3, np.int64), beside=beside)
    found = survey(Held((events,), schema, chunk=2))
    assert (found.points["points"].total, found.points["points"].most, found.points["points"].empty) == (3, 2, 1)
    column = {entry.name: entry for entry in found.columns}
    x, charge, a = (column[name].summary for name in ("x", "charge", "a"))
    assert x is not None
    assert charge is not None
    assert a is not None
    assert x.counts.sum(1).tolist() == [1, 2, 0]  # a point belongs to the class of its event
    assert (charge.values, charge.missing, charge.high) == (3, 1, 9.0)
    assert (a.values, a.low, a.high) == (12, 0.0, 19.0)
    assert (column["run"].type, column["name"].type, column["name"].summary) == ("int64", "text", None)
    shown = text(found, "held", {})
    assert "points: points, 1.0 in an event on average, 2 at most; 1 events have none" in shown
    assert "2 x 2 pixels" in shown


def test_reading_ends_after_so_many_events() -> None:
    reader = tables(np.arange(50), np.arange(50), np.arange(50), chunk=20)
    found = survey(reader, 60)
    assert (found.events, found.stopped, summary(found).values) == (60, True, 60)
    assert reader.asked[3:] == [0, 1]  # after the look at each part
    assert "the first 60 events" in text(found, "held", {})
    assert not survey(reader).stopped


def test_a_broken_file_stops_or_is_skipped_and_said() -> None:
    parts = (np.arange(10), np.arange(10))
    with pytest.raises(BrokenFileError, match="part1: cut off"):
        survey(tables(*parts, broken=1))
    found = survey(tables(*parts, broken=1, on_bad_file="skip"))
    assert (found.events, [entry.file for entry in found.skipped]) == (10, ["part1"])
    assert "skipped part1" in text(found, "held", {})


def test_no_events_is_an_error_that_says_what_was_read() -> None:
    with pytest.raises(InputError, match="no events in part0, part1"):
        survey(tables(np.zeros(0), np.zeros(0)))


def test_infinite_values_and_what_was_done_are_said() -> None:
    (events,) = tables(np.array([1.0, np.inf])).parts_held
    told = Events(events.event_id, events.inputs, events.weight, events.label, events.category, tally={"cut": 3})

    @dataclass(frozen=True)
    class Telling(Held):
        def read(self, part: Part) -> Iterator[Events]:
            yield self.parts_held[part.start]

    shown = text(survey(Telling((told,), Schema({"features": Input("table", ("mass",), ("GeV",))})), 1), "held", {})
    assert "cut  3" in shown
    shown = text(survey(tables(np.array([1.0, np.inf]))), "held", {})
    assert "no model takes: mass (1)" in shown


def test_hundreds_of_columns_stay_readable() -> None:
    names = tuple(f"c[{index}]" for index in range(300))
    events = table(np.zeros(2))
    wide = Events(
        events.event_id, {"features": np.zeros((2, 300), np.float32)}, events.weight, events.label, events.category
    )
    found = survey(Held((wide,), Schema({"features": Input("table", names, ("",) * 300)})))
    shown = text(found, "held", {})
    assert "c[59]" in shown
    assert "c[60]" not in shown
    assert "240 more columns" in shown
    assert len(plain(found, "held")["columns"]) == 300


def test_only_an_empty_bin_is_blank() -> None:
    assert bars(np.array([0, 1, 10_000])) == f" {BARS[1]}{BARS[-1]}"
    assert len(bars(np.ones(30, np.int64))) == 15


def test_a_column_of_missing_values_alone_is_shown() -> None:
    found = survey(tables(np.full(3, np.nan)))
    assert isinstance(found.columns[0], Column)
    assert "100 %" in text(found, "held", {})
    assert plain(found, "held")["columns"][0]["low"] is None
