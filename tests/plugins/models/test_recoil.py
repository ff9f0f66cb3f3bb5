"""Response and resolutions of a recoil: by hand, on smeared recoils, and with errors that cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepanom_plugins.models.recoil import components, performance, recoil, width

EDGES = (0.0, 10.0, 30.0, 100.0)


def bosons(events: int, seed: int = 1) -> np.ndarray:
    generator = np.random.default_rng(seed)
    pt, phi = generator.uniform(1, 90, events), generator.uniform(-np.pi, np.pi, events)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi)], 1)


def smeared(boson: np.ndarray, share: float, parallel: float, perpendicular: float, seed: int = 2) -> np.ndarray:
    direction = boson / np.linalg.norm(boson, axis=1, keepdims=True)
    left = np.stack([-direction[:, 1], direction[:, 0]], 1)
    g = np.random.default_rng(seed).standard_normal((2, len(boson), 1))
    return -share * boson + parallel * g[0] * direction + perpendicular * g[1] * left


def test_components_are_along_the_boson_and_a_quarter_turn_left_of_it() -> None:
    u, boson = np.array([[-3.0, 0.0], [1.0, 2.0]]), np.array([[5.0, 0.0], [0.0, -2.0]])
    par, perp = components(u, boson)
    assert par.tolist() == [-3, -2]
    assert perp.tolist() == [0, 1]


def test_the_recoil_is_what_is_neither_boson_nor_missing() -> None:
    boson = bosons(50)
    np.testing.assert_array_equal(recoil(np.zeros((50, 2)), boson), -boson)
    u = smeared(boson, 0.8, 3, 5)
    np.testing.assert_allclose(recoil(-(u + boson), boson), u)


def test_a_perfect_recoil_has_response_one_and_no_width() -> None:
    boson = bosons(500)
    found = performance(-boson, boson, EDGES)
    np.testing.assert_allclose(found.response, 1)
    np.testing.assert_allclose(np.concatenate([found.parallel, found.perpendicular]), 0, atol=1e-12)
    assert found.events.sum() == 500


@given(share=st.floats(0.3, 1.2), parallel=st.floats(1, 20), perpendicular=st.floats(1, 20))
def test_what_was_smeared_is_found(share: float, parallel: float, perpendicular: float) -> None:
    boson = bosons(4000)
    boson *= 50 / np.linalg.norm(boson, axis=1, keepdims=True)  # one q_T: response and resolution do not mix
    found = performance(smeared(boson, share, parallel, perpendicular), boson, (0.0, 100.0))
    assert found.boson_pt[0] == pytest.approx(50)
    assert abs(found.response[0] - share) < 5 * found.response_error[0]
    assert abs(found.parallel[0] - parallel) < 5 * found.parallel_error[0]
    assert abs(found.perpendicular[0] - perpendicular) < 5 * found.perpendicular_error[0]


@given(factor=st.floats(0.1, 0.9))
def test_a_recoil_that_is_only_scaled_down_gains_nothing(factor: float) -> None:
    boson = bosons(2000)
    u = smeared(boson, 1.0, 8, 6)
    full, scaled = (performance(each, boson, EDGES) for each in (u, factor * u))
    np.testing.assert_allclose(scaled.response, factor * full.response)
    np.testing.assert_allclose(scaled.corrected[1], full.corrected[1])
    assert (scaled.perpendicular < full.perpendicular).all()


def test_errors_are_the_scatter_of_repetitions() -> None:
    found = []
    for seed in range(300):
        boson = bosons(400, seed)
        boson *= 50 / np.linalg.norm(boson, axis=1, keepdims=True)
        found.append(performance(smeared(boson, 0.8, 10, 7, seed + 1000), boson, (0.0, 100.0)))
    for name in ("response", "parallel", "perpendicular"):
        scatter = np.std([getattr(each, name)[0] for each in found])
        stated = np.mean([getattr(each, f"{name}_error")[0] for each in found])
        assert stated == pytest.approx(scatter, rel=0.15), name


@given(seed=st.integers(0, 2**32 - 1))
def test_an_event_of_weight_two_moves_what_it_would_twice(seed: int) -> None:
    boson = bosons(600, seed)
    u, count = smeared(boson, 0.8, 10, 7), np.tile([1, 2, 3], 200)
    once = performance(u, boson, EDGES, count.astype(np.float64))
    twice = performance(*(np.repeat(values, count, 0) for values in (u, boson)), EDGES)
    np.testing.assert_allclose(once.response, twice.response)
    np.testing.assert_array_equal(once.parallel, twice.parallel)
    assert (once.events < twice.events).all()


def test_width_is_the_standard_deviation_of_a_normal_distribution_and_forgives_tails() -> None:
    values = 3 * np.random.default_rng(1).standard_normal(100_000)
    assert width(values, np.ones(100_000)) == pytest.approx(3, rel=0.02)
    values[:500] = 1e6
    assert width(values, np.ones(100_000)) == pytest.approx(3, rel=0.03)


def test_a_bin_without_two_events_says_nothing() -> None:
    boson = bosons(20)
    found = performance(-boson, boson, (200.0, 300.0, 400.0))
    assert found.events.tolist() == [0, 0]
    assert np.isnan(found.response).all()
    assert np.isnan(found.corrected[0]).all()
