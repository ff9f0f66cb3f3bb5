from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy import stats
from sklearn.preprocessing import QuantileTransformer

from hepanom.errors import InputError
from hepanom_plugins.transforms import quantiles
from hepanom_plugins.transforms.quantile import Quantile

NAN, INF = np.nan, np.inf
VALUES = st.floats(-1e6, 1e6, width=32) | st.sampled_from([NAN, INF, -INF])
ROWS = st.lists(st.tuples(VALUES, st.floats(1e-3, 10) | st.just(0.0), st.integers(0, 3)), min_size=1, max_size=30)


@pytest.mark.parametrize("to", ["normal", "uniform"])
def test_it_is_scikit_learns_quantile_transformer_within_its_steps(make, fit, to):
    x = np.random.default_rng(1).exponential(20, 20_000).astype(np.float32)
    events, schema = make({"x": x})
    theirs = QuantileTransformer(n_quantiles=1000, output_distribution=to, subsample=None).fit_transform(x[:, None])
    transform = Quantile(to=to)
    ours = transform.apply(events, schema, fit(transform, events, schema)).inputs["features"]
    if to == "normal":
        ours, theirs = stats.norm.cdf(ours), stats.norm.cdf(theirs)
    inside = np.abs(theirs - 0.5) < 0.499  # theirs is no straight line beyond the last but one knot
    assert ours[inside] == pytest.approx(theirs[inside], abs=2e-4)
    assert ours == pytest.approx(theirs, abs=1e-3)


def test_weighted_background_becomes_normal(make, fit):
    generator = np.random.default_rng(2)
    x, weight = generator.gamma(2, 30, 20_000), generator.exponential(size=20_000)
    weight[x > 60] *= 4
    events, schema = make({"x": x}, weight)
    y = Quantile().apply(events, schema, fit(Quantile(), events, schema)).inputs["features"][:, 0]
    order = np.argsort(y)
    share = (np.cumsum(weight[order]) - weight[order] / 2) / weight.sum()
    assert np.abs(stats.norm.cdf(y[order]) - share).max() < 1e-3
    assert np.average(y**2, weights=weight) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("to", ["normal", "uniform"])
def test_log_jacobian_is_the_numeric_derivative(make, fit, to):
    generator = np.random.default_rng(3)
    training, schema = make({"x": generator.normal(5, 2, 3000), "y": generator.exponential(size=3000)})
    transform, step = Quantile(to=to, knots=40), 1e-6
    state = fit(transform, training, schema)
    points = generator.uniform([-5, -1], [15, 9], (500, 2))
    at = [make({"x": x, "y": y}, dtype=np.float64)[0] for x, y in (points.T - step, points.T, points.T + step)]
    before, here, after = (transform.apply(events, schema, state) for events in at)
    slopes = (after.inputs["features"] - before.inputs["features"]) / (2 * step)
    on_a_knot = (np.abs(points[:, :, None] - state["x"][None]) <= 2 * step).any((1, 2))
    assert sum(here.log_jacobian.values())[~on_a_knot] == pytest.approx(np.log(slopes).sum(1)[~on_a_knot], abs=1e-6)
    assert on_a_knot.sum() < 10
    twice = transform.apply(replace(at[1], log_jacobian={"y": np.ones(500)}), schema, state)
    assert twice.log_jacobian["y"] == pytest.approx(here.log_jacobian["y"] + 1)


def test_density_of_what_was_read_is_that_of_the_background(make, fit):
    x = np.random.default_rng(4).gamma(3, 2, 100_000)
    events, schema = make({"x": x})
    transform = Quantile(knots=60)
    after = transform.apply(events, schema, fit(transform, events, schema))
    density = stats.norm.logpdf(after.inputs["features"][:, 0]) + after.log_jacobian["x"]
    assert np.mean(density) == pytest.approx(np.mean(stats.gamma.logpdf(x, 3, scale=2)), abs=0.01)


@given(rows=ROWS, knots=st.integers(3, 50), to=st.sampled_from(["normal", "uniform"]))
def test_map_rises_and_is_undone(make, fit, rows, knots, to):
    values, weight, _ = zip(*rows, strict=True)
    events, schema = make({"x": values}, weight, dtype=np.float64)
    transform = Quantile(to=to, knots=knots)
    state = fit(transform, events, schema)
    assert (np.diff(state["x"]) > 0).all()
    assert (np.diff(state["y"]) > 0).all()
    after = transform.apply(events, schema, state)
    x, y = events.inputs["features"][:, 0], after.inputs["features"][:, 0]
    assert np.array_equal(np.isfinite(x), np.isfinite(y))
    assert np.array_equal(x[~np.isfinite(x)], y[~np.isfinite(x)], equal_nan=True)
    assert np.isfinite(after.log_jacobian["x"]).all()
    order = np.argsort(x[np.isfinite(x)], kind="stable")
    assert (np.diff(y[np.isfinite(x)][order]) >= 0).all()
    back = transform.undo(after, schema, state).inputs["features"][:, 0]
    scale = max(1.0, np.abs(x[np.isfinite(x)]).max(initial=0))
    assert back == pytest.approx(x, rel=1e-6, abs=1e-6 * scale, nan_ok=True)


@given(rows=ROWS)
def test_fit_does_not_depend_on_chunks(make, fit, rows):
    values, weight, chunk = zip(*rows, strict=True)
    events, schema = make({"x": values}, weight)
    whole, pieces = fit(Quantile(knots=11), events, schema), fit(Quantile(knots=11), events, schema, chunk)
    assert pieces["x"] == pytest.approx(whole["x"], rel=1e-9, abs=1e-6)
    assert pieces["y"] == pytest.approx(whole["y"], rel=1e-9, abs=1e-9)


def test_sample_of_a_large_background_gives_nearly_the_same_map(make, fit, monkeypatch):
    events, schema = make({"x": np.random.default_rng(5).normal(size=20_000)})
    whole = fit(Quantile(knots=9, to="uniform"), events, schema)
    monkeypatch.setattr(quantiles, "KEPT", 4000)
    chunk = np.arange(20_000) % 7
    sampled = fit(Quantile(knots=9, to="uniform"), events, schema, chunk)
    shares = [stats.norm.cdf(state["x"][0, 1:-1]) for state in (whole, sampled)]
    assert shares[0] != pytest.approx(shares[1], abs=1e-12)
    assert shares[0] == pytest.approx(shares[1], abs=4 * 0.5 / np.sqrt(4000))


def test_equal_values_share_the_middle_of_their_ranks(make, fit):
    events, schema = make({"jets": [0] * 4 + [1] * 3 + [2] * 2 + [3]})
    transform = Quantile(to="uniform", knots=1001)
    y = transform.apply(events, schema, fit(transform, events, schema)).inputs["features"][:, 0]
    assert sorted(set(y.tolist())) == pytest.approx([0.2, 0.55, 0.8, 0.95], abs=1e-3)


def test_beyond_the_knots_it_is_linear_with_the_mean_slope_of_that_half(make, fit):
    training, schema = make({"x": [0, 1, 2, 3, 4, 6, 8, 10, 12]})
    state = fit(Quantile(to="uniform", knots=9), training, schema)
    later, _ = make({"x": [-2, 14, 1000]})
    after = Quantile(to="uniform").apply(later, schema, state)
    low, slope_low, high, slope_high = 1 / 18, (0.5 - 1 / 18) / 4, 17 / 18, (17 / 18 - 0.5) / 8
    expected = [low - 2 * slope_low, high + 2 * slope_high, high + 988 * slope_high]
    assert after.inputs["features"][:, 0] == pytest.approx(expected)
    assert after.log_jacobian["x"] == pytest.approx(np.log([slope_low, slope_high, slope_high]))


@given(value=st.floats(-(2.0**126), 2.0**126, width=32), to=st.sampled_from(["normal", "uniform"]))
def test_constant_column_goes_to_the_middle(make, fit, value, to):
    events, schema = make({"x": [value] * 3, "never": [NAN] * 3})
    transform = Quantile(to=to)
    after = transform.apply(events, schema, fit(transform, events, schema))
    assert after.inputs["features"][:, 0] == pytest.approx([0.0 if to == "normal" else 0.5] * 3, abs=1e-6)
    assert np.isnan(after.inputs["features"][:, 1]).all()


def test_a_weight_that_is_next_to_nothing_makes_nothing_infinite(make, fit):
    events, schema = make({"x": [1, 2, 3]}, [1, 1, 1e-25])
    after = Quantile().apply(events, schema, fit(Quantile(), events, schema))
    assert np.isfinite(after.inputs["features"]).all()
    assert np.isfinite(after.log_jacobian["x"]).all()


def test_chosen_columns_become_pure_numbers_and_the_rest_stays(make, fit):
    events, schema = make({"a": [1, 2], "b": [2, 9]})
    transform = Quantile(("b",))
    assert transform.schema(schema, {}).inputs["features"].units == ("GeV", "")
    assert transform.apply(events, schema, fit(transform, events, schema)).inputs["features"][:, 0].tolist() == [1, 2]
    with pytest.raises(InputError, match="'c'"):
        Quantile(("c",)).schema(schema, {})


def test_options_of_a_recipe():
    read = TypeAdapter(Quantile).validate_json
    assert read('{"to": "uniform", "knots": 50}', strict=True) == Quantile(("*",), "uniform", 50)
    for wrong in ('"to": "gauss"', '"knots": 2', '"knots": 10.5'):
        with pytest.raises(ValidationError):
            read(f"{{{wrong}}}", strict=True)
