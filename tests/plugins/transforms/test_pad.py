"""A fixed number of points: which of them stay, in which order, and that chunks do not matter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepanom.contracts import State
from hepanom.errors import InputError
from hepanom.events import Events, Input, Jagged, Schema, hash64
from hepanom_plugins.transforms.pad import Pad

SCHEMA = Schema({"points": Input("points", ("x", "y", "charge"), ("mm", "mm", "ADC"))})
NONE: State = {}


def some(counts: list[int], seed: int = 1) -> Events:
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    values = np.random.default_rng(seed).permutation(3 * offsets[-1]).reshape(-1, 3).astype(np.float32)
    ones, zeros = np.ones(len(counts)), np.zeros(len(counts), np.int64)
    return Events(hash64([np.arange(len(counts))]), {"points": Jagged(values, offsets)}, ones, zeros, zeros)


def table(transform: Pad, events: Events) -> np.ndarray:
    """Return (event, point, column)."""
    found = np.asarray(transform.apply(events, SCHEMA, NONE).inputs["features"])
    return found.reshape(len(events), transform.points, 3)


COUNTS = st.lists(st.integers(0, 9), min_size=1, max_size=12)


@given(counts=COUNTS, points=st.integers(1, 6), by=st.sampled_from(["largest", "smallest", "first"]))
def test_the_points_that_stay_are_the_first_in_their_order(counts: list[int], points: int, by: str) -> None:
    events = some(counts)
    cloud = events.inputs["points"]
    assert isinstance(cloud, Jagged)
    column = "charge" if by == "largest" else "r"
    found = table(Pad(points, by=by, column=column, fill=-1.0), events)
    for event, values in enumerate(np.split(cloud.values, cloud.offsets[1:-1])):
        key = {
            "largest": -values[:, 2],
            "smallest": np.hypot(values[:, 0], values[:, 1]),
            "first": np.zeros(len(values)),
        }
        expected = values[np.argsort(key[by], kind="stable")][:points]
        np.testing.assert_array_equal(found[event, : len(expected)], expected)
        assert (found[event, len(expected) :] == -1).all()


@given(counts=COUNTS, points=st.integers(1, 6), chunk=st.integers(1, 12), by=st.sampled_from(["random", "largest"]))
def test_what_stays_does_not_depend_on_the_chunk(counts: list[int], points: int, chunk: int, by: str) -> None:
    events, transform = some(counts), Pad(points, by=by)
    index = np.arange(len(counts)) // chunk
    pieces = [transform.apply(events.mask(index == value), SCHEMA, NONE) for value in range(index.max() + 1)]
    whole = transform.apply(events, SCHEMA, NONE)
    np.testing.assert_array_equal(Events.concat(pieces).inputs["features"], whole.inputs["features"])
    assert sum(piece.tally.get("points cut by pad", 0) for piece in pieces) == whole.tally.get("points cut by pad", 0)


def test_random_points_are_each_as_likely_and_keep_the_order_of_the_file() -> None:
    events = some([8] * 4000)
    cloud = events.inputs["points"]
    assert isinstance(cloud, Jagged)
    found = table(Pad(3, by="random"), events)
    place = (cloud.values.reshape(4000, 8, 1, 3) == found[:, None]).all(3).argmax(1)
    assert (np.diff(place, axis=1) > 0).all()
    share = np.bincount(place.ravel(), minlength=8) / 4000
    assert share == pytest.approx(3 / 8, abs=4 * np.sqrt(3 / 8 * 5 / 8 / 4000))
    assert not np.array_equal(found, table(Pad(3, by="random", seed=2), events))
    np.testing.assert_array_equal(found, table(Pad(3, by="random"), events))


def test_what_is_cut_is_counted_and_what_lacks_is_filled() -> None:
    events = replace(some([4, 0, 2, 5]), log_jacobian={"points": np.ones(4), "met": np.zeros(4)})
    after = Pad(2, fill="nan").apply(events, SCHEMA, NONE)
    assert after.tally == {"points cut by pad": 5, "events with points cut by pad": 2}
    assert list(after.log_jacobian) == ["met"]
    assert np.isnan(np.asarray(after.inputs["features"])).sum(1).tolist() == [0, 6, 0, 0]
    assert Pad(5).apply(events, SCHEMA, NONE).tally == {}


@pytest.mark.parametrize("fill", [0.0, "nan"])
def test_undone_the_points_that_stayed_come_back(fill: Any) -> None:
    events = some([4, 0, 2, 5])
    transform = Pad(3, by="first", fill=fill)
    cloud = transform.undo(transform.apply(events, SCHEMA, NONE), SCHEMA, NONE).inputs["points"]
    whole = events.inputs["points"]
    assert isinstance(cloud, Jagged)
    assert isinstance(whole, Jagged)
    assert cloud.offsets.tolist() == [0, 3, 3, 5, 8]
    np.testing.assert_array_equal(cloud.values, whole.values[[0, 1, 2, 4, 5, 6, 7, 8]])


@pytest.mark.parametrize("fill", [0.0, "nan"])
def test_a_mask_says_which_points_are_there(fill: Any) -> None:
    events, transform = some([4, 0, 2, 5]), Pad(3, by="first", fill=fill, mask=True)
    after = transform.apply(events, SCHEMA, NONE)
    found = np.asarray(after.inputs["features"]).reshape(4, 3, 4)
    assert found[..., 3].tolist() == [[1, 1, 1], [0, 0, 0], [1, 1, 0], [1, 1, 1]]
    np.testing.assert_array_equal(found[..., :3], table(replace(transform, mask=False), events))
    assert transform.schema(SCHEMA, NONE).inputs["features"].columns[3::4] == ("real[0]", "real[1]", "real[2]")
    assert transform.schema(SCHEMA, NONE).inputs["features"].units == ("mm", "mm", "ADC", "") * 3


def test_undone_the_mask_says_which_points_there_were() -> None:
    events, transform = some([3, 0, 2]), Pad(3, by="first", mask=True)
    cloud = events.inputs["points"]
    assert isinstance(cloud, Jagged)
    cloud.values[[2, 4]] = 0  # these points hold what fills up, and are points
    after = transform.apply(events, SCHEMA, NONE)
    shaky = np.asarray(after.inputs["features"]) + np.float32(0.4) * (np.arange(12) % 4 == 3)
    for features in (after.inputs["features"], shaky):
        came_back = transform.undo(replace(after, inputs={"features": features}), SCHEMA, NONE).inputs["points"]
        assert isinstance(came_back, Jagged)
        assert came_back.offsets.tolist() == [0, 3, 3, 5]
        np.testing.assert_array_equal(came_back.values, cloud.values)


def test_a_column_of_the_masks_name_is_a_message() -> None:
    taken = Schema({"points": Input("points", ("x", "real"), ("mm", ""))})
    with pytest.raises(InputError, match="pad: mask: the points have a column 'real' already"):
        Pad(2, by="first", mask=True).schema(taken, NONE)
    assert Pad(2, by="first").schema(taken, NONE).inputs["features"].columns == ("x[0]", "real[0]", "x[1]", "real[1]")


def test_a_missing_charge_comes_last() -> None:
    events = some([3])
    cloud = events.inputs["points"]
    assert isinstance(cloud, Jagged)
    cloud.values[:, 2] = [np.nan, 1, 5]
    for by, expected in (("largest", [5, 1]), ("smallest", [1, 5])):
        assert table(Pad(2, by=by), events)[0, :, 2].tolist() == expected


def test_schema_has_a_table_in_place_of_the_points() -> None:
    after = Pad(2).schema(SCHEMA, NONE).inputs
    names = ("x[0]", "y[0]", "charge[0]", "x[1]", "y[1]", "charge[1]")
    assert after == {"features": Input("table", names, ("mm", "mm", "ADC") * 2)}
    with pytest.raises(InputError, match="pad: column: the points have no column 'energy'"):
        Pad(2, column="energy").schema(SCHEMA, NONE)
    with pytest.raises(InputError, match="would become the input 'features', but these events have one already"):
        Pad(2).schema(replace(SCHEMA, inputs={**SCHEMA.inputs, "features": Input("table", (), ())}), NONE)
