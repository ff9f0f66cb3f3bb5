from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy import special

from hepanom.errors import InputError
from hepanom_plugins.transforms.logit import Logit

NAN, INF = np.nan, np.inf
VALUES = st.floats(-1e6, 1e6, width=32) | st.sampled_from([NAN, INF, -INF])
ROWS = st.lists(st.tuples(VALUES, st.floats(1e-3, 10) | st.just(0.0), st.integers(0, 3)), min_size=1, max_size=30)


def test_it_is_the_logit_of_flows_on_bounded_data(make, fit):
    x = np.random.default_rng(1).uniform(-3, 8, 400)
    events, schema = make({"x": x}, dtype=np.float64)
    for margin in (1e-6, 0.01, 0.3):
        transform, alpha = Logit(margin=margin), margin / (1 + 2 * margin)
        y = transform.apply(events, schema, fit(transform, events, schema)).inputs["features"][:, 0]
        share = (x - x.min()) / np.ptp(x)
        assert y == pytest.approx(special.logit(alpha + (1 - 2 * alpha) * share), rel=1e-9, abs=1e-9)
        assert np.abs(y).max() == pytest.approx(np.log((1 + margin) / margin))


@pytest.mark.parametrize("margin", [1e-3, 0.5])
def test_log_jacobian_is_that_of_automatic_differentiation(make, fit, margin):
    x = np.random.default_rng(2).normal([3, -50], [1, 20], (200, 2))
    events, schema = make({"a": x[:, 0], "b": x[:, 1], "stays": x[:, 0]}, dtype=np.float64)
    transform = Logit(("a", "b"), margin)
    state = fit(transform, events, schema)
    after = transform.apply(replace(events, log_jacobian={"b": np.full(200, 2.0)}), schema, state)

    def map_one(values):
        share = (values - torch.tensor(state["low"])) / torch.tensor(state["high"] - state["low"])
        return torch.log((share + margin) / (1 - share + margin))

    jacobians = torch.func.vmap(torch.func.jacrev(map_one))(torch.tensor(x))
    expected = torch.linalg.slogdet(jacobians).logabsdet + 2
    assert sum(after.log_jacobian.values()) == pytest.approx(expected.numpy())
    assert after.inputs["features"][:, :2] == pytest.approx(map_one(torch.tensor(x)).numpy())
    assert after.inputs["features"][:, 2].tolist() == x[:, 0].tolist()


def test_density_of_what_was_read_integrates_to_one(make, fit):
    x = np.linspace(2, 5, 20_001)
    events, schema = make({"x": x}, dtype=np.float64)
    after = Logit().apply(events, schema, fit(Logit(), events, schema))
    y = after.inputs["features"][:, 0]
    logistic = -y - 2 * np.log1p(np.exp(-y))
    inside = special.expit(y[-1]) - special.expit(y[0])
    assert np.trapezoid(np.exp(logistic + after.log_jacobian["x"]), x) == pytest.approx(inside, rel=1e-6)


def test_value_outside_of_the_range_is_cut_and_counted(make, fit):
    training, schema = make({"x": [0, 10], "y": [0, 1]})
    later, _ = make({"x": [-1, 0, 10, 99, NAN, INF], "y": [0, 1, 0.5, 0, 0, -INF]})
    state = fit(Logit(), training, schema)
    after = Logit().apply(later, schema, state)
    x, y = after.inputs["features"].T
    assert x[0] == x[1] == -x[2] == -x[3]
    assert np.isnan(x[4])
    assert (x[5], y[5]) == (INF, -INF)
    assert after.tally == {"values outside of logit's range: x": 2}
    assert np.isfinite([*after.log_jacobian.values()]).all()
    back = Logit().undo(after, schema, state).inputs["features"]
    expected = np.array([[0, 0], [0, 1], [10, 0.5], [10, 0], [NAN, 0], [INF, -INF]])
    assert back == pytest.approx(expected, abs=1e-5, nan_ok=True)


@given(value=st.floats(-(2.0**126), 2.0**126, width=32), count=st.integers(1, 5))
def test_constant_column_becomes_zero(make, fit, value, count):
    events, schema = make({"x": [value] * count, "never": [NAN] * count})
    after = Logit().apply(events, schema, fit(Logit(), events, schema))
    assert after.inputs["features"][:, 0] == pytest.approx(np.zeros(count), abs=1e-6)
    assert np.isnan(after.inputs["features"][:, 1]).all()
    assert np.isfinite([*after.log_jacobian.values()]).all()


@given(rows=ROWS)
def test_range_does_not_depend_on_chunks_or_weights(make, fit, rows):
    values, weight, chunk = zip(*rows, strict=True)
    events, schema = make({"x": values}, weight)
    signs = replace(events, weight=np.where(np.arange(len(values)) % 2, -events.weight, 7 * events.weight))
    whole = fit(Logit(), events, schema)
    for state in fit(Logit(), events, schema, chunk), fit(Logit(), signs, schema):
        assert (state["low"], state["high"]) == (whole["low"], whole["high"])
    counted = np.array([value for value, w in zip(values, weight, strict=True) if w and np.isfinite(value)], np.float32)
    if len(set(counted.tolist())) > 1:
        assert (whole["low"].item(), whole["high"].item()) == (counted.min(), counted.max())


def test_units_become_those_of_pure_numbers_in_chosen_columns(make):
    _, schema = make({"a": [1], "b": [2]})
    assert Logit(("b",)).schema(schema, {}).inputs["features"].units == ("GeV", "")
    with pytest.raises(InputError, match="did you mean 'b'"):
        Logit(("bb",)).schema(schema, {})


def test_margin_of_a_recipe_is_above_zero():
    read = TypeAdapter(Logit).validate_json
    assert read("{}", strict=True) == Logit(("*",), 0.01)
    for wrong in ("0", "-0.1", "2", "NaN"):
        with pytest.raises(ValidationError):
            read(f'{{"margin": {wrong}}}', strict=True)
