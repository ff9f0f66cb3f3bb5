"""Images of points: against numpy's histogram, whatever the blocks, and with every event's own range and centre."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepanom.contracts import State, Transform
from hepanom.errors import InputError
from hepanom.events import Events, Input, Jagged, Schema, hash64
from hepanom_plugins.transforms import image
from hepanom_plugins.transforms.image import Image

SCHEMA = Schema({"points": Input("points", ("x", "y", "z", "charge"), ("mm", "mm", "mm", "ADC"))})
JETS = Schema({"points": Input("points", ("Px", "Py", "Pz", "charge"), ("GeV", "GeV", "GeV", "GeV"))})
BOX = ((-100.0, 100.0), (-100.0, 100.0))


def events(clouds: list[Any]) -> Events:
    """Return events of the given points, each with the columns x, y, z and charge."""
    counts = [len(cloud) for cloud in clouds]
    values = np.array([point for cloud in clouds for point in cloud], np.float32).reshape(-1, 4)
    number = np.arange(len(clouds))
    cloud = Jagged(values, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
    ones, zeros = np.ones(len(clouds)), np.zeros(len(clouds), np.int64)
    return Events(hash64([number]), {"points": cloud}, ones, zeros, zeros)


def some(number: int, seed: int = 1) -> Events:
    generator = np.random.default_rng(seed)
    return events([generator.uniform(-120, 120, (generator.integers(0, 30), 4)) for _ in range(number)])


def applied(transform: Transform, given: Events, schema: Schema = SCHEMA) -> tuple[np.ndarray, Events]:
    """Return the images, without their channel, and the events."""
    after = transform.apply(given, schema, transform.finish(transform.measure(given, schema)))
    return np.asarray(after.inputs["image"])[:, 0], after


def clouds_of(given: Events) -> list[np.ndarray]:
    cloud = given.inputs["points"]
    assert isinstance(cloud, Jagged)
    return np.split(cloud.values, cloud.offsets[1:-1])


@given(
    seed=st.integers(0, 1000),
    axes=st.permutations(["x", "y", "z"]),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    value=st.sampled_from(["charge", "points"]),
    block=st.sampled_from([1, 17, 262144]),
)
def test_images_are_histograms_whatever_the_blocks(
    seed: int, axes: list[str], size: tuple[int, int], value: str, block: int
) -> None:
    given, pair = some(7, seed), (axes[0], axes[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image, "BLOCK", block)
        found, after = applied(Image(axes=pair, size=size, range=BOX, value=value), given)
    outside = 0
    for picture, cloud in zip(found, clouds_of(given), strict=True):
        u, v = (cloud[:, SCHEMA.inputs["points"].columns.index(axis)] for axis in pair)
        weights = cloud[:, 3] if value == "charge" else None
        expected, _, _ = np.histogram2d(u, v, bins=size, range=BOX, weights=weights)
        np.testing.assert_allclose(picture, expected, rtol=1e-5, atol=1e-3)
        outside += int(((np.abs(u) > 100) | (np.abs(v) > 100)).sum())
    assert after.tally.get("points outside of the image left out", 0) == outside


def test_a_point_on_an_edge_belongs_to_the_pixel_above_and_the_last_one_to_the_last_pixel() -> None:
    edges = [[3.125 * strip, 12.5 * pad, 0, 1] for strip in range(33) for pad in range(9)]
    found, _ = applied(Image(axes=("x", "y"), size=(32, 8), range=((0.0, 100.0), (0.0, 100.0))), events([edges]))
    expected = np.ones((32, 8))
    expected[-1] += 1
    expected[:, -1] *= 2
    np.testing.assert_array_equal(found[0], expected)


def test_points_without_a_place_are_left_out_and_counted() -> None:
    given = events([[[np.nan, 0, 0, 1], [np.inf, 0, 0, 1], [0, -np.inf, 0, 1], [1e30, 0, 0, 1], [1, 1, 0, 5]], []])
    for bounds, left in ((BOX, 4), ("background", 3), ("event", 3)):
        found, after = applied(Image(axes=("x", "y"), size=(4, 4), range=bounds), given)
        assert found[1].sum() == 0
        assert found[0].sum() == (5 if left == 4 else 6)
        assert after.tally == {"points outside of the image left out": left}


def test_the_range_of_the_background_is_its_own_and_the_same_for_all_events(fit: Callable[..., State]) -> None:
    given = some(40)
    transform = Image(axes=("z", "x"), size=(8, 8))
    state = fit(transform, given, SCHEMA, np.arange(40) % 7)
    points = np.concatenate(clouds_of(given))
    np.testing.assert_array_equal(state["low"], points[:, [2, 0]].min(0))
    np.testing.assert_array_equal(state["high"], points[:, [2, 0]].max(0))
    after = transform.apply(given, SCHEMA, state)
    assert after.tally == {}
    assert np.asarray(after.inputs["image"]).sum() == pytest.approx(points[:, 3].sum(), rel=1e-3)


def test_a_range_of_every_event_does_not_see_where_and_how_large_it_is() -> None:
    cloud = np.random.default_rng(2).normal(size=(50, 4))
    cloud[:, :2] = np.round(cloud[:, :2] * 64) / 64  # so that nothing is lost where it is moved
    moved = cloud * [4, 4, 1, 1] + [32, -8, 0, 0]
    found, after = applied(Image(axes=("x", "y"), range="event", size=(16, 16)), events([cloud, moved, [[3, 4, 5, 6]]]))
    np.testing.assert_array_equal(found[0], found[1])
    assert found[2, 8, 8] == 6
    assert after.tally == {}


def test_centre_moves_the_mean_to_zero_and_turns_angles_the_short_way() -> None:
    pair = [[10, 20, 0, 3], [14, 24, 0, 1], [12, 0, 0, -5]]  # a negative charge does not pull
    found, _ = applied(
        Image(axes=("x", "y"), range=((-4.0, 4.0), (-4.0, 4.0)), size=(8, 8), centre=True), events([pair])
    )
    assert {(int(row), int(column)): found[0, row, column] for row, column in np.argwhere(found[0])} == {
        (3, 3): 3.0,
        (7, 7): 1.0,
    }
    angles = np.pi + np.array([-0.3, 0.3])
    jet = np.column_stack([np.cos(angles), np.sin(angles), np.zeros(2), [1, 1]]).round(9)
    narrow = Image(axes=("phi", "eta"), range=((-0.4, 0.4), (-1.0, 1.0)), size=(2, 1), centre=True)
    np.testing.assert_array_equal(applied(narrow, events([jet]), JETS)[0][0], [[1], [1]])


def test_coordinates_follow_from_columns() -> None:
    given = events([[[3, 4, 5 * np.sinh(1.5), 2]]])
    derived = Image(axes=("r", "z"), range=((0.0, 10.0), (0.0, 20.0)), size=(10, 20))
    assert np.argwhere(applied(derived, given)[0][0]).tolist() == [[5, 10]]
    jet = Image(axes=("eta", "phi"), range=((0.0, 3.0), (0.0, 2.0)), size=(6, 200), value="pt")
    found, _ = applied(jet, given, JETS)
    assert np.argwhere(found[0]).tolist() == [[3, int(np.arctan2(4, 3) * 100)]]
    assert found[0].max() == 5


def test_log_and_scale_keep_sign_and_order() -> None:
    given = events([[[0, 0, 0, 50]], [[0, 0, 0, -50]], []])
    one = {"axes": ("x", "y"), "size": (1, 1), "range": BOX}
    assert applied(Image(**one, scale=10.0), given)[0].ravel() == pytest.approx([5, -5, 0])
    assert applied(Image(**one, scale=10.0, log=True), given)[0].ravel() == pytest.approx([np.log(6), -np.log(6), 0])


def test_schema_has_an_image_in_place_of_the_points() -> None:
    after = Image(axes=("x", "z"), size=(4, 8)).schema(SCHEMA, {})
    assert after.inputs == {"image": Input("image", ("charge",), ("ADC",), (4, 8))}
    assert Image(axes=("x", "z"), log=True).schema(SCHEMA, {}).inputs["image"].units == ("",)
    assert Image(axes=("x", "z"), value="points").schema(SCHEMA, {}).inputs["image"].columns == ("points",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axes": ("x", "t")}, "image: axes: the points have no column 't'; known are charge, r, x, y, z"),
        ({"axes": ("x", "eta")}, r"no column 'eta' \(eta would need the columns px, py, pz\)"),
        ({"axes": ("X", "y")}, "no column 'X'; .*x"),
        ({"axes": ("x", "y"), "value": "energy"}, "image: value: the points have no column 'energy'"),
        ({"axes": ("x", "y"), "range": ((1.0, 1.0), (0.0, 1.0))}, r"image: the range of x is \[1, 1\]; give the lower"),
    ],
)
def test_options_that_do_not_fit_are_messages(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Image(**options).schema(SCHEMA, {})


def test_a_background_without_points_has_no_range() -> None:
    transform = Image(axes=("x", "y"))
    with pytest.raises(InputError, match="no training event has a point with a finite x"):
        transform.finish(transform.measure(events([[], []]), SCHEMA))
