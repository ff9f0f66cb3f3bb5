"""Events keep every column through masks and chunks, and an event's hash is its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import config

from hepanom.errors import InputError
from hepanom.events import Events, Input, Jagged, Schema, hash64, match_columns

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)  # numpy drops nulls at the end


def split_mix(state: int) -> int:
    """Return the next number of SplitMix64 as its authors write it."""
    state = (state + 0x9E3779B97F4A7C15) % 2**64
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
    return state ^ (state >> 31)


@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
@pytest.mark.parametrize("number", [0, 1, 2**40])
def test_hash_of_a_number_is_split_mix_on_every_machine(number: int, seed: int) -> None:
    assert split_mix(1234567) == 6457827717110365317  # the published first number of that seed
    assert hash64([np.array([number])], seed).tolist() == [split_mix(split_mix(seed) ^ number)]


def test_hash_of_a_word_never_changes() -> None:
    words = np.array(["", "mu", "a word of more than eight letters", "\N{GREEK SMALL LETTER MU}"])
    assert [f"{value:x}" for value in hash64([words])] == [
        "a706dd2f4d197e6f",
        "165fe464a64d109c",
        "aef0fd741ff1a4af",
        "7f6e101e44a1ad7f",
    ]


@given(st.lists(st.tuples(WORDS, st.integers(-(2**63), 2**63 - 1)), min_size=1), st.data())
def test_hash_does_not_depend_on_the_other_events_of_the_chunk(
    rows: list[tuple[str, int]], data: st.DataObject
) -> None:
    words, numbers = (np.array(column) for column in zip(*rows, strict=True))
    whole = hash64([words, numbers], seed=3)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)))))
    chunks = [slice(start, stop) for start, stop in pairwise([0, *cuts, len(rows)])]
    pieces = [hash64([words[chunk], numbers[chunk]], seed=3) for chunk in chunks]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    alone = [int(hash64([np.array([word]), np.array([number])], seed=3)[0]) for word, number in rows]
    assert alone == whole.tolist()


@given(st.lists(WORDS, unique=True, min_size=1), st.integers(0, 2**63), st.integers(0, 2**63))
def test_hash_tells_values_and_seeds_apart(words: list[str], seed: int, other: int) -> None:
    column = np.array(words)
    assert len(set(hash64([column], seed).tolist())) == len(words)
    if seed != other:
        assert not (hash64([column], seed) == hash64([column], other)).any()


def test_hash_tells_columns_apart() -> None:
    run, event = np.array([1, 2]), np.array([2, 1])
    assert len({*hash64([run, event]).tolist(), *hash64([event, run]).tolist()}) == 2
    assert hash64([run, event])[0] != hash64([run, event])[1]


@pytest.mark.parametrize("kind", ["<i4", ">i8", "u1", "<f4", ">f8", "f2"])
def test_equal_numbers_have_equal_hashes_whatever_their_type(kind: str) -> None:
    reference = np.array([0, 1, 5], np.int64 if kind[-2] in "iu" else np.float64)
    np.testing.assert_array_equal(hash64([reference.astype(kind)]), hash64([reference]))


def test_minus_zero_is_zero() -> None:
    assert len(set(hash64([np.array([0.0, -0.0])]).tolist())) == 1


@pytest.mark.parametrize("column", [np.array([], str), np.array([], np.int64), np.array([], np.float32)])
def test_no_events_have_no_hashes(column: Any) -> None:
    assert len(hash64([column])) == 0


COUNTS = st.lists(st.integers(0, 3), max_size=8)


def some_events(counts: Sequence[int], extra: bool) -> Events:
    """Return events with every kind of column, with as many points as ``counts`` says; the event id counts them."""
    size, draws = len(counts), np.random.default_rng(len(counts))
    offsets = 2 + np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])  # a cut-out of a longer array
    return Events(
        event_id=np.arange(size, dtype=np.uint64),
        inputs={
            "features": draws.random((size, 2), np.float32),
            "image": draws.random((size, 1, 2, 2)),
            "cloud": Jagged(draws.random((offsets[-1] + 1, 3)), offsets),
        },
        weight=draws.random(size),
        label=draws.integers(-1, 2, size),
        category=draws.integers(0, 2, size),
        target=draws.random((size, 2)) if extra else None,
        log_jacobian={"x": draws.random(size)} if extra else {},
        beside={"run": draws.integers(0, 9, size), "name": np.array([f"{i:b}" for i in range(size)], str)},
    )


def rows(events: Events) -> list[list[Any]]:
    """Return every column of every event as plain values, event by event."""

    def plain(column: Any) -> list[Any]:
        if isinstance(column, Jagged):
            return [column.values[start:stop].tolist() for start, stop in pairwise(column.offsets.tolist())]
        return [None] * len(events) if column is None else column.tolist()

    fields = [events.event_id, *events.inputs.values(), events.weight, events.label, events.category]
    columns = [*fields, events.target, *events.log_jacobian.values(), *events.beside.values()]
    return [list(row) for row in zip(*map(plain, columns), strict=True)]


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=8), st.booleans())
def test_mask_keeps_every_column_of_the_kept_events(points: list[tuple[int, bool]], extra: bool) -> None:
    events, keep = some_events([count for count, _ in points], extra), [stays for _, stays in points]
    kept = events.mask(np.array(keep, bool))
    assert rows(kept) == [row for row, stays in zip(rows(events), keep, strict=True) if stays]
    assert (kept.inputs.keys(), kept.beside.keys()) == (events.inputs.keys(), events.beside.keys())


@given(COUNTS, st.lists(st.integers(0, 8)), st.booleans())
def test_concat_undoes_any_cut_into_chunks(counts: list[int], cuts: list[int], extra: bool) -> None:
    events = some_events(counts, extra)
    number = np.arange(len(events))
    edges = [0, *sorted(cuts), 9]
    chunks = [events.mask((number >= start) & (number < stop)) for start, stop in pairwise(edges)]
    assert rows(Events.concat(chunks)) == rows(events)


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"weight": np.ones(2)}, "weight has 2 rows, event_id has 3"),
        ({"inputs": {"cloud": Jagged(np.zeros((4, 3)), np.array([0, 4]))}}, "inputs/cloud has 1 rows"),
        ({"beside": {"run": np.zeros(4)}}, "beside/run has 4 rows"),
    ],
)
def test_a_column_of_another_length_is_refused_by_name(
    change: dict[str, Any], column: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "jaxtyping_disable", True)  # as in production, where shapes are not checked
    zeros = np.zeros(3, np.int64)
    events = Events(np.arange(3, dtype=np.uint64), {}, np.ones(3), zeros, zeros)
    with pytest.raises(ValueError, match=column):
        replace(events, **change)


def test_schema_survives_json() -> None:
    schema = Schema(
        {"features": Input("table", ("m", "pt"), ("GeV", "GeV")), "pad": Input("image", ("charge",), ("",), (8, 8))},
        classes=("b", "s"),
        targets=("u",),
        beside=("run",),
    )
    assert Schema.from_json(schema.to_json()) == schema
    assert schema.table() == ("features", schema.inputs["features"])


@pytest.mark.parametrize("tables", [0, 2])
def test_the_only_table_must_be_the_only_one(tables: int) -> None:
    schema = Schema({f"table{index}": Input("table", (), ()) for index in range(tables)})
    with pytest.raises(InputError, match=f"one table of features, these have {tables}"):
        schema.table()


def test_the_only_input_of_a_kind_is_found_or_the_error_says_what_would_do() -> None:
    cloud, image = Input("points", ("x", "y"), ("mm", "mm")), Input("image", ("charge",), ("",), (8, 4))
    both = Schema({"points": cloud, "image": image})
    assert both.only() == ("image", image)
    assert both.only("points") == ("points", cloud)
    assert (cloud.width, image.width) == (2, 32)
    with pytest.raises(
        InputError, match=r"one table or one image, these have 'points' \(points\); the transforms image"
    ):
        Schema({"points": cloud}).only()
    with pytest.raises(InputError, match=r"one cloud of points, these have 'image' \(image\)$"):
        Schema({"image": image}).only("points")
    with pytest.raises(InputError, match=r"these have 'points' \(points\), 'image' \(image\)$"):
        both.only("points", "image")


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (["*"], ["pt", "eta", "jet_pt[0]"]),
        (["eta", "p?"], ["pt", "eta"]),
        (["jet_pt[0]"], ["jet_pt[0]"]),
        (["*pt*", "pt"], ["pt", "jet_pt[0]"]),
        ([], []),
    ],
)
def test_patterns_choose_columns_in_the_order_of_the_file(patterns: list[str], found: list[str]) -> None:
    assert match_columns(patterns, ["pt", "eta", "jet_pt[0]"]) == found


def test_a_pattern_without_a_column_suggests_one() -> None:
    with pytest.raises(InputError, match="column 'etaa' is not there; did you mean 'eta'"):
        match_columns(["etaa"], ["pt", "eta"])
