from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepanom import bootstrap
from hepanom.metrics import auc, confusion, max_ams, max_sic, rejection, roc, signal_efficiency

METRICS = {
    "auc": auc,
    "max_ams": max_ams,
    "max_sic": max_sic,
    "signal_efficiency": lambda curve: signal_efficiency(curve, 0.1),
    "rejection": lambda curve: rejection(curve, 0.5),
}


def sample(seed, events, levels=None):
    """Scores (with ties where they have few levels), truth and weights."""
    rng = np.random.default_rng(seed)
    anomaly = rng.random(events) < 0.3
    score = rng.normal(size=events) + anomaly
    return score if levels is None else np.round(score * levels), anomaly, rng.gamma(2.0, size=events)


def repeated(values, copies):
    """The events of one resample, one after the other."""
    return [np.repeat(column, copies) for column in values]


def test_draws_are_poisson_with_mean_one_and_their_own_seed():
    copies = bootstrap.draws(4000, 50, seed=3)
    assert copies.shape == (4000, 50)
    assert copies.mean() == pytest.approx(1, abs=0.01)
    assert copies.var() == pytest.approx(1, abs=0.02)
    assert np.array_equal(copies, bootstrap.draws(4000, 50, seed=3))
    assert not np.array_equal(copies, bootstrap.draws(4000, 50, seed=4))


@settings(max_examples=40)
@given(st.integers(0, 2**30), st.integers(0, 120), st.sampled_from([None, 1, 4]))
def test_metrics_of_a_resampled_curve_are_those_of_the_repeated_events(seed, events, levels):
    values, copies = sample(seed, events, levels), bootstrap.draws(events, 3, seed)
    for curve, drawn in zip(bootstrap.curves(*values, copies), copies.T, strict=True):
        expected = roc(*repeated(values, drawn))
        for name, metric in METRICS.items():
            assert metric(curve) == pytest.approx(metric(expected), rel=1e-9, nan_ok=True), name


@pytest.mark.parametrize("levels", [None, 20])
def test_a_large_resample_is_resolved_within_its_statistical_error(levels):
    values, copies = sample(5, 20_000, levels), bootstrap.draws(20_000, 10, seed=5)
    curves = list(bootstrap.curves(*values, copies))
    exact = [roc(*repeated(values, drawn)) for drawn in copies.T]
    assert len(curves[0].cut) < 8_000
    for name, metric in METRICS.items():
        found, expected = np.array([metric(c) for c in curves]), np.array([metric(c) for c in exact])
        assert np.abs(found - expected).max() < 0.2 * expected.std(), name


def test_points_of_a_resampled_curve_are_what_their_cuts_flag():
    score, anomaly, weight = values = sample(6, 3000, 10)
    copies = bootstrap.draws(3000, 2, seed=6)
    for curve, drawn in zip(bootstrap.curves(*values, copies), copies.T, strict=True):
        for cut, signal, background in zip(curve.cut, curve.signal, curve.background, strict=True):
            above = (score > cut) * weight * drawn
            assert signal == pytest.approx(above[anomaly].sum())
            assert background == pytest.approx(above[~anomaly].sum())


def test_a_separating_score_keeps_the_cut_between_the_classes():
    anomaly = np.arange(9000) < 3000
    copies = bootstrap.draws(9000, 2, seed=1)
    for curve, drawn in zip(
        bootstrap.curves(-np.arange(9000.0), anomaly, np.ones(9000), copies), copies.T, strict=True
    ):
        assert ((curve.signal == drawn[anomaly].sum()) & (curve.background == 0)).any()


@settings(max_examples=30)
@given(st.integers(0, 2**30), st.integers(0, 3000))
def test_resampled_confusions_are_those_of_the_repeated_events(seed, events):
    score, anomaly, weight = sample(seed, events)
    copies = bootstrap.draws(events, 3, seed)
    for found, drawn in zip(bootstrap.confusions(score > 1, anomaly, weight, copies), copies.T, strict=True):
        expected = confusion(score > 1, anomaly, weight * drawn)
        assert (found.tp, found.fp, found.fn, found.tn) == pytest.approx(
            (expected.tp, expected.fp, expected.fn, expected.tn)
        )


def test_no_resamples_give_nothing():
    values = sample(0, 50)
    assert list(bootstrap.curves(*values, bootstrap.draws(50, 0, 0))) == []
    assert list(bootstrap.confusions(values[0] > 0, *values[1:], bootstrap.draws(50, 0, 0))) == []
