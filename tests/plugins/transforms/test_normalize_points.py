"""Normalized points: the moments of the training background, fixed ranges, logarithms, and the density."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepanom.contracts import State
from hepanom.errors import InputError
from hepanom.events import Events, Input, Jagged, Schema, hash64
from hepanom_plugins.transforms.normalize_points import NormalizePoints

SCHEMA = Schema({"points": Input("points", ("x", "pad", "charge"), ("mm", "", "ADC"))})
Fit = Callable[..., State]


def some(counts: list[int], seed: int = 1) -> Events:
    generator = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    values = generator.normal(size=(int(offsets[-1]), 3)) * [30, 4, 200] + [100, 0, 0]
    zeros = np.zeros(len(counts), np.int64)
    cloud = Jagged(values.astype(np.float32), offsets)
    return Events(
        hash64([np.arange(len(counts))]), {"points": cloud}, generator.exponential(size=len(counts)), zeros, zeros
    )


def values(events: Events) -> np.ndarray:
    cloud = events.inputs["points"]
    assert isinstance(cloud, Jagged)
    return cloud.values


@given(counts=st.lists(st.integers(0, 20), min_size=1, max_size=12), chunks=st.integers(1, 5))
def test_fit_is_the_weighted_mean_over_all_points_whatever_the_chunks(fit: Fit, counts: list[int], chunks: int) -> None:
    events = some([*counts, 2])
    state = fit(NormalizePoints(log=("charge",)), events, SCHEMA, np.arange(len(events)) % chunks)
    points, weight = values(events).astype(float), np.repeat(events.weight, [*counts, 2])
    points[:, 2] = np.sign(points[:, 2]) * np.log1p(np.abs(points[:, 2]))
    mean = np.average(points, axis=0, weights=weight)
    assert state["mean"] == pytest.approx(mean, rel=1e-5)
    assert state["std"] == pytest.approx(np.sqrt(np.average((points - mean) ** 2, axis=0, weights=weight)), rel=1e-4)


def test_columns_get_the_range_the_moments_or_stay(fit: Fit) -> None:
    events = some([50, 0, 30])
    transform = NormalizePoints(range={"x": (50.0, 150.0)}, keep=("pad",), log=("charge",))
    after = transform.apply(events, SCHEMA, fit(transform, events, SCHEMA))
    before, found = values(events), values(after)
    assert found.dtype == np.float32
    assert found[:, 0] == pytest.approx((before[:, 0] - 50) / 100, abs=1e-6)
    np.testing.assert_array_equal(found[:, 1], before[:, 1])
    weight = np.repeat(events.weight, [50, 0, 30])
    assert np.average(found[:, 2], weights=weight) == pytest.approx(0, abs=1e-5)
    assert (np.sign(np.diff(found[:, 2])) == np.sign(np.diff(before[:, 2]))).all()
    cloud = after.inputs["points"]
    assert isinstance(cloud, Jagged)
    assert cloud.offsets.tolist() == [0, 50, 50, 80]
    units = transform.schema(SCHEMA, {}).inputs["points"].units
    assert units == ("", "", "")
    assert NormalizePoints(keep=("x",)).schema(SCHEMA, {}).inputs["points"].units == ("mm", "", "")


def test_undone_the_points_are_what_they_were(fit: Fit) -> None:
    events = some([50, 0, 30])
    transform = NormalizePoints(range={"x": (50.0, 150.0)}, keep=("pad",), log=("charge",))
    state = fit(transform, events, SCHEMA)
    before = transform.undo(transform.apply(events, SCHEMA, state), SCHEMA, state)
    np.testing.assert_allclose(values(before), values(events), rtol=1e-4, atol=1e-4)
    assert before.log_jacobian == {}


def test_a_range_goes_through_the_logarithm(fit: Fit) -> None:
    events = some([3])
    values(events)[:, 2] = [0, 99, 9999]
    transform = NormalizePoints(range={"charge": (0.0, 9999.0)}, log=("charge",))
    after = transform.apply(events, SCHEMA, fit(transform, events, SCHEMA))
    assert values(after)[:, 2] == pytest.approx([0, 0.5, 1])


def test_log_jacobian_is_the_slope_at_every_point_of_the_event(fit: Fit) -> None:
    events = some([4, 0, 7])
    transform = NormalizePoints(range={"x": (50.0, 150.0)}, log=("charge",))
    state = fit(transform, events, SCHEMA)
    step = 1e-3
    moved = replace(events.inputs["points"], values=values(events).astype(np.float64) + step)
    still = replace(events.inputs["points"], values=values(events).astype(np.float64))
    pair = [
        values(transform.apply(replace(events, inputs={"points": cloud}), SCHEMA, state)) for cloud in (still, moved)
    ]
    slopes = np.log((pair[1] - pair[0]) / step).sum(1)
    expected = [slopes[:4].sum(), 0, slopes[4:].sum()]
    assert transform.apply(events, SCHEMA, state).log_jacobian["points"] == pytest.approx(expected, abs=1e-2)
    again = transform.apply(replace(events, log_jacobian={"points": np.full(3, 2.0)}), SCHEMA, state)
    assert again.log_jacobian["points"] == pytest.approx(np.array(expected) + 2, abs=1e-2)


def test_missing_values_stay_and_a_constant_column_is_not_scaled(fit: Fit) -> None:
    events = some([4])
    values(events)[:] = [[1, 7, np.nan], [3, 7, 2], [np.nan, 7, 4], [2, 7, np.inf]]
    transform = NormalizePoints()
    state = fit(transform, events, SCHEMA)
    assert state["mean"].tolist() == [2, 7, 3]
    assert state["std"][1] == 1
    after = transform.apply(events, SCHEMA, state)
    np.testing.assert_array_equal(np.isfinite(values(after)), np.isfinite(values(events)))
    assert np.isfinite(after.log_jacobian["points"]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"log": ("energy",)}, "column 'energy' is not there"),
        ({"range": {"x": (1.0, 1.0)}}, r"normalize_points: the range of x is \[1, 1\]; give the lower"),
        ({"range": {"x": (0.0, 1.0)}, "keep": ("*",)}, "column 'x' cannot be both in `keep` and in `range`"),
        ({"log": ("charge",), "keep": ("charge",)}, "column 'charge' cannot be both in `keep` and in `log`"),
    ],
)
def test_options_that_do_not_fit_are_messages(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        NormalizePoints(**options).schema(SCHEMA, {})


def test_a_weight_without_a_mean_is_refused(fit: Fit) -> None:
    events = some([2, 2])
    with pytest.raises(InputError, match=r"1 of 2 training events .*train\.weighted"):
        fit(NormalizePoints(), replace(events, weight=np.array([1.0, -1.0])), SCHEMA)
