from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from hepanom.errors import InputError
from hepanom_plugins.transforms.clip import Clip

NAN, INF = np.nan, np.inf
VALUES = st.floats(-1e6, 1e6, width=32) | st.sampled_from([NAN, INF, -INF])
ROWS = st.lists(st.tuples(VALUES, st.floats(1e-3, 10) | st.just(0.0), st.integers(0, 3)), min_size=1, max_size=30)


@given(values=st.lists(VALUES, min_size=1, max_size=30), low=st.floats(-1e5, 0), high=st.floats(1, 1e5))
def test_finite_values_are_those_of_numpys_clip_and_the_rest_stays(make, values, low, high):
    events, schema = make({"x": values, "other": values})
    after = Clip(("x",), low, high).apply(events, schema, {})
    x, before = after.inputs["features"].T[0], events.inputs["features"].T[0]
    finite = np.isfinite(before)
    assert x[finite].tolist() == np.clip(before[finite], np.float32(low), np.float32(high)).tolist()
    assert np.array_equal(x[~finite], before[~finite], equal_nan=True)
    assert np.array_equal(after.inputs["features"][:, 1], before, equal_nan=True)
    assert after.tally.get("values cut by clip: x", 0) == (x[finite] != before[finite]).sum()
    assert "values cut by clip: other" not in after.tally


def test_one_end_is_enough(make):
    events, schema = make({"x": [-5, 0, 5]})
    for options, expected in ({"low": -1.0}, [-1, 0, 5]), ({"high": 1.0}, [-5, 0, 1]):
        assert Clip(("x",), **options).apply(events, schema, {}).inputs["features"][:, 0].tolist() == expected


@given(
    values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50, unique=True),
    ends=st.tuples(st.floats(0, 0.4), st.floats(0.6, 1)),
)
def test_quantiles_of_equal_weights_are_those_of_numpy(make, fit, values, ends):
    events, schema = make({"x": values})
    state = fit(Clip(("x",), quantiles=ends), events, schema)
    x = events.inputs["features"][:, 0].astype(np.float64)
    expected = np.quantile(x, ends, method="hazen")
    assert [state["low"][0], state["high"][0]] == pytest.approx(expected.tolist(), rel=1e-9, abs=1e-9)


def test_quantiles_are_weighted_and_of_the_training_background(make, fit):
    training, schema = make({"x": [1, 2, 3, 4], "never": [NAN] * 4}, weight=[1, 1, 1, 7])
    transform = Clip(("*",), quantiles=(0.0, 0.25))
    state = fit(transform, training, schema)
    assert state["low"].tolist() == [1, -INF]
    assert state["high"].tolist() == pytest.approx([3, INF])  # two and a half of ten lie below 3
    later, _ = make({"x": [-9, 2, 50], "never": [1e9, 0, NAN]})
    after = transform.apply(replace(later, tally={"values cut by clip: x": 3, "other": 1}), schema, state)
    assert after.inputs["features"][:, 0] == pytest.approx([1, 2, 3])
    assert after.inputs["features"][:2, 1].tolist() == [1e9, 0]
    assert after.tally == {"values cut by clip: x": 5, "other": 1}


@given(rows=ROWS)
def test_fit_does_not_depend_on_chunks(make, fit, rows):
    values, weight, chunk = zip(*rows, strict=True)
    events, schema = make({"x": values}, weight)
    transform = Clip(("x",), quantiles=(0.1, 0.8))
    whole, pieces = fit(transform, events, schema), fit(transform, events, schema, chunk)
    for key in ("low", "high"):
        assert pieces[key] == pytest.approx(whole[key], rel=1e-9, abs=1e-9)


def test_density_columns_and_units_stay(make):
    events, schema = make({"x": [1, 9]})
    events = replace(events, log_jacobian={"x": np.array([0.5, 0.25])})
    transform = Clip(("x",), high=2.0)
    assert transform.apply(events, schema, {}).log_jacobian["x"].tolist() == [0.5, 0.25]
    assert transform.schema(schema, {}) == schema
    assert transform.undo(events, schema, {}).inputs["features"].tolist() == [[1], [9]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give either low and high"),
        ({"low": 0.0, "quantiles": (0.1, 0.9)}, "give either low and high"),
        ({"low": 2.0, "high": 1.0}, "the range is 2 to 1; give the lower end first"),
        ({"quantiles": (0.9, 0.1)}, r"the range is 0\.9 to 0\.1"),
    ],
)
def test_ends_that_are_no_range_are_an_error(make, options, message):
    _, schema = make({"x": [1]})
    with pytest.raises(InputError, match=message):
        Clip(("x",), **options).schema(schema, {})


def test_ends_of_a_recipe_are_finite_numbers_and_shares():
    read = TypeAdapter(Clip).validate_json
    assert read('{"columns": ["a"], "low": -1}', strict=True) == Clip(("a",), -1.0)
    assert read('{"columns": ["a"], "quantiles": [0, 0.9]}', strict=True) == Clip(("a",), quantiles=(0.0, 0.9))
    for wrong in ('"low": Infinity', '"quantiles": [0.1]', '"quantiles": [0.5, 99]', '"high": true'):
        with pytest.raises(ValidationError):
            read(f'{{"columns": ["a"], {wrong}}}', strict=True)
