"""The shares: who is counted where, what is kept, and that reading anew gives the same events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import RECIPE, arrays, build, same

from hepanom.contracts import Part, Reader
from hepanom.errors import BrokenFileError, InputError
from hepanom.events import Events, Schema, hash64
from hepanom.fit import fit
from hepanom.plugins import Parts
from hepanom.recipe import Split
from hepanom.shares import Cell, Shares, counts, held, read
from hepanom.stream import SHARES

PLENTY = 10**9
PARTS = build()


def events(number: int, **columns: Any) -> Events:
    """Return toy events of nine features, of which ``columns`` replace some."""
    index = np.arange(number)
    made = Events(
        event_id=hash64([index]),
        inputs={"features": np.random.default_rng(1).normal(size=(number, 9)).astype(np.float32)},
        weight=np.ones(number),
        label=index % 2,
        category=np.zeros(number, np.int64),
        beside={"event": index},
    )
    return replace(made, **columns)


@dataclass(frozen=True)
class Listed(Reader):
    """Reads events that are there already: several parts, each chunk by chunk."""

    events: Events
    chunk: int
    size: int = 10**6
    broken: str = ""
    on_bad_file: str = "stop"
    kind: ClassVar[str] = "listed"

    def schema(self) -> Schema:
        """Return the schema of the toys."""
        return PARTS.schema

    def parts(self) -> Sequence[Part]:
        """Return the parts."""
        edges = [*range(0, len(self.events), self.size), len(self.events)] if len(self.events) else [0, 0]
        return [Part(f"listed{start}", start, stop) for start, stop in pairwise(edges)]

    def read(self, part: Part) -> Iterator[Events]:
        """Yield chunks; a broken part yields its first one."""
        number = np.arange(len(self.events))
        for start in range(part.start, part.stop, self.chunk):
            stop = min(start + self.chunk, part.stop)
            yield replace(self.events.mask((number >= start) & (number < stop)), tally={"seen": stop - start})
            if part.file == self.broken:
                raise BrokenFileError(f"{part.file}: is cut off")


def listed(reader: Listed, *overrides: str) -> Parts:
    return replace(build(*overrides), reader=reader)


def ids(shares: Shares) -> dict[str, list[int]]:
    """Return the event ids of every share, in order."""
    return {name: [int(each) for chunk in shares.chunks(name) for each in chunk.event_id] for name in SHARES}


@settings(max_examples=20)
@given(st.integers(0, 9), st.integers(1, 50), st.integers(1, 50), st.sampled_from([0, PLENTY]))
def test_the_split_depends_on_neither_chunks_nor_parts_nor_memory(
    seed: int, chunk: int, size: int, memory: int
) -> None:
    parts = listed(Listed(events(40), 40), f"split.seed={seed}")
    whole = read(parts, PLENTY)
    pieces = read(replace(parts, reader=Listed(events(40), chunk, size)), memory)
    assert ids(pieces) == ids(whole)
    assert ids(pieces) == ids(pieces), "going through them twice gives the same"
    assert dict(pieces.cells) == dict(whole.cells)
    assert (pieces.kept is None) == (memory == 0)
    assert sorted(chain.from_iterable(ids(pieces).values())) == sorted(events(40).event_id.tolist())
    assert pieces.tally == {"seen": 40}


def test_events_of_no_share_are_counted() -> None:
    table = events(999, beside={"event": np.tile([1, 2, 3], 333)})
    split = Split(column="event", train=(1,), test=(2,))
    parts = listed(Listed(table, 100))
    found = read(replace(parts, recipe=parts.recipe.model_copy(update={"split": split})), PLENTY)
    assert found.unused == 333
    assert sum(found.total(share).events for share in SHARES) == 666


def test_cells_count_what_the_events_are() -> None:
    table = events(30, weight=np.linspace(-1, 1, 30), label=np.arange(30) % 3 - 1)
    for found in (read(listed(Listed(table, 7)), PLENTY), held(PARTS, {"train": table})):
        for share in SHARES:
            here = list(found.chunks(share))
            for label in (-1, 0, 1):
                weight = np.concatenate([np.zeros(0), *(chunk.weight[chunk.label == label] for chunk in here)])
                cell = found.total(share, {label})
                assert (cell.events, cell.negative) == (len(weight), (weight < 0).sum())
                assert (cell.weight, cell.magnitude) == pytest.approx((weight.sum(), np.abs(weight).sum()))
    assert found.total("valid") == Cell()
    assert counts(found)["train"]["unlabelled"][0] == 10
    assert counts(found)["valid"] == {"background": (0, 0.0), "resonance": (0, 0.0)}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (events(0), "there are no events in the data"),
        (events(3, weight=np.array([1, np.nan, 1])), "listed0: a weight is missing or infinite"),
        (events(3, weight=np.array([1, np.inf, 1])), "listed0: a weight is missing or infinite"),
    ],
)
def test_data_that_cannot_be_used_are_refused(table: Events, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(listed(Listed(table, 2)), PLENTY)


def test_reading_says_how_far_it_is() -> None:
    heard: list[int] = []
    read(listed(Listed(events(10), 4)), PLENTY, heard.append)
    assert heard == [4, 8, 10]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (np.array([1.0, np.nan] * 20), "is missing in some events"),
        (np.array([1.0, np.inf] * 20), "is missing in some events"),
        (np.array(["a", ""] * 20), "is missing in some events"),
        (np.arange(101), "has 101 values and more; 100 categories are the most"),
    ],
)
def test_a_column_that_makes_no_categories_is_refused(column: Any, message: str) -> None:
    table = events(len(column), beside={"event": column})
    with pytest.raises(InputError, match=f"train.per: column 'event' {message}"):
        read(listed(Listed(table, 1000), "train.per=event"), PLENTY).categories({"train", "test"}, None)


def test_a_broken_part_is_skipped_and_told_only_where_the_reader_says_so(caplog: pytest.LogCaptureFixture) -> None:
    reader = Listed(events(40), 4, size=10, broken="listed20")
    with pytest.raises(BrokenFileError, match="listed20: is cut off"):
        read(listed(reader), PLENTY)
    sound = events(40).mask((np.arange(40) < 20) | (np.arange(40) >= 30))
    for memory in (0, PLENTY):
        found = read(listed(replace(reader, on_bad_file="skip")), memory)
        assert sorted(chain.from_iterable(ids(found).values())) == sorted(sound.event_id.tolist())
        assert [(each.file, each.start, each.stop, each.events) for each in found.skipped] == [("listed20", 20, 30, 4)]
    assert "skipped listed20, 20 to 30: listed20: is cut off" in caplog.messages


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "growing.csv"
    path.write_text("a,b\n" + "1,2\n" * 50, encoding="utf-8")
    text = RECIPE.replace("{use: toy, events: 3000}", f"{{use: csv, path: '{path}'}}")
    parts = build(text=text.replace("background: [background]\n", ""))

    def grow(read: int) -> None:
        if read == 50:
            with path.open("a", encoding="utf-8") as file:
                file.write("3,4\n")

    with pytest.raises(InputError, match=r"growing\.csv: the file changed while it was read"):
        read(parts, PLENTY, grow)


def test_what_does_not_fit_is_read_anew_with_the_same_result_bit_for_bit() -> None:
    overrides = ("data={use: toy, events: 140000, chunk: 30000}", "train.per=n_jets", "train.epochs=1", "memory=900 MB")
    parts = build(*overrides)
    kept, anew = read(parts, PLENTY), read(parts, 10**6)
    assert kept.kept is not None
    assert anew.kept is None
    (a, first), (b, second) = fit(kept, {}), fit(anew, {})
    assert same(arrays(a), arrays(b))
    assert a.thresholds == b.thresholds
    assert [r.validation for r in first["2", 0]] == [r.validation for r in second["2", 0]]
