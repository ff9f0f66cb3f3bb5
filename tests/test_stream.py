"""Who trains and who tests is the event's own affair; batches lose no event, and nothing missing reaches a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hepanom.errors import InputError
from hepanom.events import Events, Input, Jagged, Schema, hash64
from hepanom.recipe import Split
from hepanom.stream import (
    SHARES,
    batches,
    category_values,
    is_background,
    membership,
    slices,
    to_batch,
    with_category,
    with_weight,
)

SCHEMA = Schema({"features": Input("table", ("m", "pt"), ("GeV", "GeV"))}, ("b", "s"), ("u",), ("run", "name"))
CPU = torch.device("cpu")


def events(number: int, **columns: Any) -> Events:
    """Return events of a table, of which ``columns`` replace some."""
    index = np.arange(number)
    made = Events(
        event_id=hash64([index]),
        inputs={"features": np.column_stack([index, -index]).astype(np.float64)},
        weight=np.ones(number),
        label=index % 2,
        category=np.zeros(number, np.int64),
        beside={"run": index},
    )
    return replace(made, **columns)


@given(st.permutations(range(50)))
def test_split_does_not_depend_on_the_order_or_on_anything_but_the_id(order: list[int]) -> None:
    first = events(50)
    moved = events(50, event_id=first.event_id[order], weight=np.full(50, 2.0), label=np.zeros(50, np.int64), beside={})
    np.testing.assert_array_equal(membership(moved, Split()), membership(first, Split())[order])


def test_another_seed_is_another_split() -> None:
    first, second = (membership(events(1000), Split(seed=seed)) for seed in (0, 1))
    assert 0.2 < (first == second).mean() < 0.5  # by chance 0.5^2 + 0.1^2 + 0.1^2 + 0.3^2 = 0.36


@pytest.mark.parametrize("shares", [(0.5, 0.1, 0.1, 0.3), (0.05, 0.8, 0.05, 0.1), (0.25, 0.25, 0.0, 0.5)])
def test_shares_come_out_within_the_binomial_error(shares: tuple[float, ...]) -> None:
    number = 40000
    train, valid, calibrate, test = shares
    found = membership(events(number), Split(train=train, valid=valid, calibrate=calibrate, test=test))
    for index, share in enumerate(shares):
        error = np.sqrt(number * share * (1 - share))
        assert abs((found == index).sum() - number * share) <= 4 * error


@pytest.mark.parametrize(
    ("column", "train", "test"),
    [
        (np.array(["t", "v", "b", "u"]), ("t", "v"), ("b",)),
        (np.array([1, 2, 3, 4]), (1, "2"), (3,)),
        (np.array([1.0, 2.0, 3.0, np.nan]), (1, 2), (3,)),
    ],
)
def test_a_column_says_who_tests_and_training_events_are_held_out(column: Any, train: Any, test: Any) -> None:
    number = 8000
    sets = np.tile(column, number // 4)
    table = events(number, beside={"set": sets})
    split = Split(column="set", train=train, test=test, valid=0.2, calibrate=0.1)
    found = membership(table, split)
    np.testing.assert_array_equal(found == SHARES.index("test"), sets == column[2])
    assert set(found[3::4]) == {-1}
    trains = (sets == column[0]) | (sets == column[1])
    for share, expected in (("train", 0.7), ("valid", 0.2), ("calibrate", 0.1)):
        assert (found[trains] == SHARES.index(share)).mean() == pytest.approx(
            expected, abs=4 * 0.5 / np.sqrt(number / 2)
        )


def test_a_split_column_that_no_reader_carries_says_how() -> None:
    with pytest.raises(InputError, match=r"column 'set' is not carried .* the reader's option keep: \[set\]"):
        membership(events(3), Split(column="set", train=("t",), test=("b",)))


@given(st.integers(0, 3000), st.integers(2, 700))
def test_batches_take_every_event_once_and_none_is_alone(number: int, size: int) -> None:
    pieces = slices(number, size)
    assert [index for piece in pieces for index in range(piece.start, piece.stop)] == list(range(number))
    lengths = [piece.stop - piece.start for piece in pieces]
    assert all(length == size for length in lengths[:-1])
    assert 1 not in lengths or number == 1
    assert all(length <= size + 1 for length in lengths)


def test_batches_cut_every_column_alike() -> None:
    table = to_batch(events(7, target=np.arange(7.0)[:, None]), replace(SCHEMA, targets=("u",)), CPU)
    pieces = list(batches(table, 3))
    assert [len(piece) for piece in pieces] == [3, 4]
    for piece in pieces:
        assert piece.target is not None
        assert torch.equal(piece.inputs["features"][:, 0], piece.target[:, 0])
        assert torch.equal(piece.label, piece.target[:, 0].long() % 2)


def test_a_batch_is_single_precision_on_the_device() -> None:
    batch = to_batch(events(2), SCHEMA, CPU)
    assert batch.inputs["features"].dtype == batch.weight.dtype == torch.float32
    assert (batch.label.dtype, batch.target) == (torch.int64, None)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_missing_values_that_reach_the_model_name_their_columns(bad: float) -> None:
    features = np.zeros((5, 2))
    features[1, 0] = features[3, 1] = features[4, 1] = bad
    with pytest.raises(InputError) as error:
        to_batch(events(5, inputs={"features": features}), SCHEMA, CPU)
    assert "in columns (events): m (1), pt (2); the first event is run 1." in str(error.value)
    assert "{use: missing}" in str(error.value)


def test_missing_pixels_and_targets_are_found_too() -> None:
    image = np.zeros((3, 2, 4, 4))
    image[2, 1, 3, 3] = image[2, 1, 0, 0] = np.nan
    schema = Schema({"pad": Input("image", ("charge", "time"), ("", "ns"), (4, 4))}, targets=("u",))
    with pytest.raises(InputError, match=r"time \(1\); the first event is number 2"):
        to_batch(events(3, inputs={"pad": image}, beside={}), schema, CPU)
    target = np.array([[0.0], [np.nan], [0.0]])
    with pytest.raises(InputError, match=r"u \(1\); the first event is run 1"):
        to_batch(events(3, inputs={}, target=target), schema, CPU)


def test_points_that_nothing_turned_into_a_table_are_refused() -> None:
    cloud = {"cloud": Jagged(np.zeros((4, 3)), np.array([0, 1, 4]))}
    with pytest.raises(InputError, match="input 'cloud' holds points; add a transform"):
        to_batch(events(2, inputs=cloud), Schema({"cloud": Input("points", ("x", "y", "z"), ("mm",) * 3)}), CPU)


@pytest.mark.parametrize(
    ("column", "labels"),
    [
        (np.array([3, 1, 3, 2]), ("1", "2", "3")),
        (np.array([2.0, 0.5, -0.0, 0.0]), ("0", "0.5", "2")),
        (np.array([1234567.0, 1234568.0, 1234567.0, 1234567.0]), ("1234567", "1234568")),
        (np.array(["mu", "e", "mu", "e"]), ("e", "mu")),
    ],
)
def test_every_event_finds_the_category_of_its_value(column: Any, labels: tuple[str, ...]) -> None:
    table = events(4, beside={"run": column})
    assert category_values(table, "run", SCHEMA)[0] == labels
    found = with_category(table, "run", labels, SCHEMA)
    values = np.unique(column)
    np.testing.assert_array_equal(values[found.category], column)


def test_categories_count_the_models_not_the_values_at_hand() -> None:
    table = events(3, beside={"run": np.array([2, 3, 2])})
    assert with_category(table, "run", ("1", "2", "3"), SCHEMA).category.tolist() == [1, 2, 1]


def test_a_feature_can_be_the_category() -> None:
    assert category_values(events(3), "pt", SCHEMA)[0] == ("-2", "-1", "0")
    assert with_category(events(3), "pt", ("-2", "-1", "0"), SCHEMA).category.tolist() == [2, 1, 0]


def test_without_a_column_everything_is_one_category() -> None:
    assert category_values(events(3), None, SCHEMA)[0] == ("all",)
    assert with_category(events(3), None, ("all",), SCHEMA).category.tolist() == [0, 0, 0]


def test_an_unknown_category_is_refused_when_scoring() -> None:
    with pytest.raises(InputError, match="run is 2, 3 in some events; there are models for 0, 1"):
        with_category(events(4), "run", ("0", "1"), SCHEMA)


def test_weights_are_what_the_recipe_trains_with() -> None:
    table = events(2, weight=np.array([-2.0, 3.0]))
    assert with_weight(table, True).weight.tolist() == [-2, 3]
    assert with_weight(table, "absolute").weight.tolist() == [2, 3]
    assert with_weight(table, False).weight.tolist() == [1, 1]


def test_background_is_what_the_recipe_calls_so() -> None:
    table = events(3, label=np.array([0, 1, -1]))
    assert is_background(table, ("b", "s"), ("b",)).tolist() == [True, False, False]
    assert is_background(table, ("b", "s"), ("s", "b")).tolist() == [True, True, False]
    assert is_background(table, (), ()).all()
