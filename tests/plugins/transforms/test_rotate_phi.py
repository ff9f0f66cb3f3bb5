from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from hepanom.errors import InputError
from hepanom.events import Input, Jagged, Schema
from hepanom_plugins.transforms.rotate_phi import RotatePhi

NAN, INF, PI = np.nan, np.inf, np.pi
ANGLES = st.floats(-PI, PI)
ETAS = st.floats(-5, 5)
UNITS = ["rad", "rad", "rad", "", ""]
EVENTS = st.lists(st.tuples(ANGLES, ANGLES, ANGLES, ETAS, ETAS), min_size=1, max_size=20)
NAMES = ("tau_phi", "lep_phi", "met_phi", "tau_eta", "lep_eta")
CLOUD = Schema({"jets": Input("points", ("pt", "eta", "phi"), ("GeV", "", "rad"))})


def table(make, rows, dtype=np.float64):
    return make(dict(zip(NAMES, zip(*rows, strict=True), strict=True)), units=UNITS, dtype=dtype)


def clouds(make, points):
    """Return events with these points: a list of (pt, eta, phi) for each event."""
    events, _ = make({"x": np.zeros(len(points))})
    offsets = np.cumsum([0, *map(len, points)])
    values = np.array([point for event in points for point in event], np.float32).reshape(-1, 3)
    return replace(events, inputs={"jets": Jagged(values, offsets)})


def same_angle(a, b):
    return np.abs(np.exp(1j * np.asarray(a)) - np.exp(1j * np.asarray(b))).max(initial=0) < 1e-5


@given(rows=EVENTS, leading=st.sampled_from(NAMES[:3]))
def test_leading_object_is_at_zero_and_differences_stay(make, rows, leading):
    events, schema = table(make, rows)
    transform = RotatePhi(("*_phi",), leading=leading)
    after = transform.apply(events, schema, {})
    before, turned = events.inputs["features"], after.inputs["features"]
    assert (turned[:, NAMES.index(leading)] == 0).all()
    for a in range(3):
        assert same_angle(turned[:, a] - turned[:, 0], before[:, a] - before[:, 0])
    assert (turned[:, :3] > -PI).all()
    assert (turned[:, :3] <= PI).all()
    assert turned[:, 3:].tolist() == before[:, 3:].tolist()
    assert after.tally == {}
    assert after.log_jacobian == {}
    assert transform.schema(schema, {}) == schema
    assert transform.undo(after, schema, {}) is None


@given(rows=EVENTS, angle=ANGLES, mirrored=st.booleans())
def test_an_event_and_its_image_are_the_same(make, rows, angle, mirrored):
    x = np.array(rows)
    image = np.concatenate([np.angle(np.exp(1j * (x[:, :3] + angle))), x[:, 3:] * (-1 if mirrored else 1)], axis=1)
    transform = RotatePhi(("*_phi",), ("*_eta",), positive="lep_eta")
    one, other = (
        transform.apply(events, schema, {}).inputs["features"]
        for events, schema in (table(make, x.tolist()), table(make, image.tolist()))
    )
    assert same_angle(one[:, :3], other[:, :3])
    there = x[:, 4] != 0  # at eta = 0 both sides are the same
    assert (one[:, 4] >= 0).all()
    assert one[there, 3:].tolist() == other[there, 3:].tolist()


@given(rows=EVENTS)
def test_angles_of_single_precision_stay_above_minus_pi(make, rows):
    events, schema = table(make, [*rows, (-PI, PI, 0, 0, 0), (np.float32(-1e-7), PI, 0, 0, 0)], np.float32)
    turned = RotatePhi(("*_phi",)).apply(events, schema, {}).inputs["features"]
    assert turned.dtype == np.float32
    assert (turned[:, :3] > -np.float32(PI)).all()
    assert (turned[:, :3] <= np.float32(PI)).all()


def test_event_without_a_leading_angle_is_not_turned_and_counted(make):
    rows = [(NAN, 3, -3, -1, 2), (INF, 3, NAN, NAN, -2), (1, INF, NAN, -1, NAN)]
    events, schema = table(make, rows)
    after = RotatePhi(("*_phi",), ("*_eta",)).apply(events, schema, {})
    expected = [(NAN, 3, -3, 1, -2), (INF, 3, NAN, NAN, -2), (0, INF, NAN, 1, NAN)]
    assert np.array_equal(after.inputs["features"], np.array(expected, float), equal_nan=True)
    assert after.tally == {"events without tau_phi, not rotated": 2}


POINTS = st.lists(st.tuples(st.floats(0, 100, width=32), ETAS, ANGLES), max_size=6)


@given(points=st.lists(POINTS, min_size=1, max_size=8))
def test_points_are_turned_by_the_one_with_the_highest_pt(make, points):
    events = clouds(make, points)
    after = RotatePhi(("phi",), ("eta",), points="pt").apply(events, CLOUD, {})
    turned = after.inputs["jets"]
    assert turned.values.dtype == np.float32
    assert turned.offsets.tolist() == events.inputs["jets"].offsets.tolist()
    for index, event in enumerate(points):
        found = turned.values[turned.offsets[index] : turned.offsets[index + 1]]
        if event:
            x = np.array(event, np.float32)
            _, eta, phi = x[x[:, 0].argmax()]
            assert found[:, 0].tolist() == x[:, 0].tolist()
            assert found[:, 1].tolist() == (x[:, 1] * (-1 if eta < 0 else 1)).tolist()
            assert same_angle(found[:, 2], x[:, 2] - phi)
    empty = sum(not event for event in points)
    assert after.tally.get("events without a leading phi, not rotated", 0) == empty


def test_points_with_missing_values(make):
    events = clouds(make, [[(NAN, 1, 2), (5, -1, 1)], [(5, -1, NAN), (2, 1, 1)], [(3, NAN, 1), (2, -1, INF)]])
    after = RotatePhi(("phi",), ("eta",), points="pt").apply(events, CLOUD, {})
    expected = [(NAN, -1, 1), (5, 1, 0), (5, 1, NAN), (2, -1, 1), (3, NAN, 0), (2, -1, INF)]
    assert np.array_equal(after.inputs["jets"].values, np.array(expected, np.float32), equal_nan=True)
    assert after.tally == {"events without a leading phi, not rotated": 1}


def test_density_stays(make):
    events = replace(clouds(make, [[(1, 1, 1)]]), log_jacobian={"points": np.array([0.5])})
    assert RotatePhi(("phi",), points="pt").apply(events, CLOUD, {}).log_jacobian["points"].tolist() == [0.5]


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (RotatePhi(("phi",)), "column 'phi' is not there"),
        (RotatePhi(("*_phi",), ("tau*",)), "column 'tau_phi' cannot be both phi and eta"),
        (RotatePhi(("*_phi",), leading="tau_eta"), "leading is 'tau_eta', which `phi` does not choose"),
        (RotatePhi(("*_phi",), positive="tau_eta"), "positive is 'tau_eta', which `eta` does not choose"),
        (RotatePhi(("angle",)), "column 'angle' is in 'deg', and can be turned in radians only"),
        (RotatePhi(("*_phi",), points="pt"), "these have"),
    ],
)
def test_what_does_not_fit_a_table_is_an_error(transform, message):
    schema = Schema({"features": Input("table", (*NAMES, "angle"), (*UNITS, "deg"))})
    with pytest.raises(InputError, match=message):
        transform.schema(schema, {})


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (RotatePhi(("phi",), points="energy"), "the points have no column 'energy'"),
        (RotatePhi(("phi", "eta"), points="pt"), "points have one phi, and eta, phi are chosen"),
    ],
)
def test_what_does_not_fit_points_is_an_error(transform, message):
    with pytest.raises(InputError, match=message):
        transform.schema(CLOUD, {})


def test_options_of_a_recipe():
    read = TypeAdapter(RotatePhi).validate_json
    text = '{"phi": ["*_phi"], "eta": ["*_eta"], "leading": "tau_phi"}'
    assert read(text, strict=True) == RotatePhi(("*_phi",), ("*_eta",), "tau_phi")
    with pytest.raises(ValidationError):
        read('{"phi": []}', strict=True)
