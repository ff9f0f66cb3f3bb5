from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hepanom.errors import InputError
from hepanom_plugins.transforms.standardize import Standardize

VALUES = st.floats(-1e6, 1e6, width=32) | st.just(np.nan) | st.just(np.inf)
ROWS = st.lists(
    st.tuples(VALUES, VALUES, st.floats(1e-3, 10) | st.just(0.0), st.integers(0, 3)), min_size=1, max_size=30
)


@given(rows=ROWS)
def test_fit_does_not_depend_on_chunks(make, fit, rows):
    a, b, weight, chunk = zip(*rows, strict=True)
    events, schema = make({"a": a, "b": b}, weight)
    whole, pieces = fit(Standardize(), events, schema), fit(Standardize(), events, schema, chunk)
    assert pieces["mean"] == pytest.approx(whole["mean"], rel=1e-12, abs=1e-9)
    assert pieces["std"] == pytest.approx(whole["std"], rel=1e-9, abs=1e-9)


def test_fit_is_the_weighted_mean_and_population_standard_deviation(make, fit):
    generator = np.random.default_rng(1)
    x, weight = generator.normal(50, 3, 1000).astype(np.float32), generator.exponential(size=1000)
    events, schema = make({"x": x}, weight)
    state = fit(Standardize(), events, schema, np.arange(1000) % 7)
    mean = np.average(x.astype(float), weights=weight)
    assert state["mean"] == pytest.approx(mean)
    assert state["std"] == pytest.approx(np.sqrt(np.average((x - mean) ** 2, weights=weight)))
    y = Standardize().apply(events, schema, state).inputs["features"]
    assert y.dtype == np.float32
    assert np.average(y[:, 0], weights=weight) == pytest.approx(0, abs=1e-6)
    assert np.average(y[:, 0] ** 2, weights=weight) == pytest.approx(1, abs=1e-5)


def test_small_spread_on_a_large_mean_is_kept(make, fit):
    x = 1e9 + np.array([-1.0, 1.0] * 500)
    events, schema = make({"x": x}, dtype=np.float64)
    state = fit(Standardize(), events, schema, np.arange(1000) // 3)
    assert state["std"] == pytest.approx(1, rel=1e-6)


@given(value=st.floats(-1e6, 1e6, width=32), weight=st.lists(st.floats(0.01, 10), min_size=1, max_size=20))
def test_constant_column_gets_scale_one(make, fit, value, weight):
    events, schema = make({"x": [value] * len(weight)}, weight)
    state = fit(Standardize(), events, schema, np.arange(len(weight)) % 3)
    assert state["std"].tolist() == [1.0]
    assert state["mean"] == pytest.approx(value)


def test_missing_values_stay_and_do_not_count(make, fit):
    events, schema = make({"x": [1, np.nan, 3], "never": [np.nan] * 3})
    state = fit(Standardize(), events, schema)
    assert state["mean"].tolist() == [2, 0]
    assert state["std"].tolist() == [1, 1]
    y = Standardize().apply(events, schema, state).inputs["features"]
    assert np.array_equal(y, [[-1, np.nan], [np.nan, np.nan], [1, np.nan]], equal_nan=True)


def test_event_of_weight_zero_counts_for_nothing(make, fit):
    events, schema = make({"x": [1, 3, 1000]}, [1, 1, 0])
    state = fit(Standardize(), events, schema)
    assert (state["mean"].item(), state["std"].item()) == (2, 1)


@pytest.mark.parametrize("weight", [-0.5, np.nan, np.inf])
def test_weight_without_a_mean_is_an_error_with_the_remedy(make, fit, weight):
    events, schema = make({"x": [1, 3]}, [1, weight])
    with pytest.raises(InputError, match=r"1 of 2 training events .*train\.weighted"):
        fit(Standardize(), events, schema)


def test_log_jacobian_gives_the_density_of_what_was_read(make, fit):
    x = np.random.default_rng(2).normal([5, -1], [2, 0.1], (500, 2))
    events, schema = make({"a": x[:, 0], "b": x[:, 1]}, dtype=np.float64)
    state = fit(Standardize(), events, schema)
    for before in ({}, {"b": np.full(500, 3.0)}):
        after = Standardize().apply(replace(events, log_jacobian=before), schema, state)
        density = stats.norm.logpdf(after.inputs["features"]).sum(1) + sum(after.log_jacobian.values())
        expected = stats.norm.logpdf(x, state["mean"], state["std"]).sum(1) + (3 if before else 0)
        assert density == pytest.approx(expected)


def test_units_become_those_of_pure_numbers(make):
    _, schema = make({"a": [1], "b": [2]})
    assert Standardize().schema(schema, {}).inputs["features"].units == ("", "")
