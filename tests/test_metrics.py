from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from hepanom.metrics import (
    Confusion,
    accuracy,
    ams,
    auc,
    confusion,
    f1,
    max_ams,
    max_sic,
    mcc,
    pooled_rank,
    precision,
    recall,
    rejection,
    roc,
    sic,
    signal_efficiency,
)

few = settings(max_examples=40)

DECISIONS = (accuracy, precision, recall, f1, mcc)


@st.composite
def samples(draw, low=0.0, classes=2, least=2):
    """Scores with many ties, truth and weights; both classes are there, with weight, where ``classes`` is 2."""
    size = draw(st.integers(least, 30))
    score = draw(hnp.arrays(np.float64, size, elements=st.integers(-4, 4).map(float)))
    anomaly = draw(hnp.arrays(np.bool_, size))
    weight = draw(hnp.arrays(np.float64, size, elements=st.floats(low, 5).map(lambda w: round(w, 3))))
    if classes == 2:
        anomaly[:2], weight[:2] = (True, False), np.abs(weight[:2]) + 1
    return score, anomaly, weight


def curve_by_hand(score, anomaly, weight):
    """The sums above each distinct score and above nothing, one cut after the other."""
    cuts = [*np.unique(score)[::-1], -math.inf]
    signal = [weight[(score > cut) & anomaly].sum() for cut in cuts]
    background = [weight[(score > cut) & ~anomaly].sum() for cut in cuts]
    squares = [(weight[(score > cut) & ~anomaly] ** 2).sum() for cut in cuts]
    return cuts, np.array(signal), np.array(background), np.array(squares)


@few
@given(samples())
def test_curve_is_what_each_cut_flags(sample):
    curve = roc(*sample)
    cuts, signal, background, squares = curve_by_hand(*sample)
    assert curve.cut.tolist() == cuts
    np.testing.assert_allclose(curve.signal, signal, atol=1e-12)
    np.testing.assert_allclose(curve.background, background, atol=1e-12)
    np.testing.assert_allclose(curve.background_squares, squares, atol=1e-12)


@few
@given(samples())
def test_auc_is_scikit_learns_with_weights_and_ties(sample):
    score, anomaly, weight = sample
    assert auc(roc(*sample)) == pytest.approx(sk.roc_auc_score(anomaly, score, sample_weight=weight), abs=1e-12)


@few
@given(samples(), st.integers(-4, 3))
def test_decisions_are_scikit_learns_with_weights(sample, cut):
    score, anomaly, weight = sample
    flagged = score > cut
    c = confusion(flagged, anomaly, weight)
    assert c.tp + c.fp + c.fn + c.tn == pytest.approx(weight.sum())
    assert accuracy(c) == pytest.approx(sk.accuracy_score(anomaly, flagged, sample_weight=weight))
    assert recall(c) == pytest.approx(sk.recall_score(anomaly, flagged, sample_weight=weight))
    assert f1(c) == pytest.approx(sk.f1_score(anomaly, flagged, sample_weight=weight))
    assert mcc(c) == pytest.approx(sk.matthews_corrcoef(anomaly, flagged, sample_weight=weight), abs=1e-7)
    if weight[flagged].sum() > 0:
        assert precision(c) == pytest.approx(sk.precision_score(anomaly, flagged, sample_weight=weight))
    else:
        assert math.isnan(precision(c))


def test_decisions_of_a_case_done_by_hand():
    c = confusion(
        np.array([True, True, True, False, False, False]),
        np.array([True, True, False, True, False, False]),
        np.array([2.0, 1.0, 1.0, 1.0, 3.0, 2.0]),
    )
    assert c == Confusion(tp=3.0, fp=1.0, fn=1.0, tn=5.0)
    assert (accuracy(c), precision(c), recall(c), f1(c)) == (0.8, 0.75, 0.75, 0.75)
    assert mcc(c) == pytest.approx((3 * 5 - 1 * 1) / math.sqrt(4 * 4 * 6 * 6))


@pytest.mark.parametrize("flagged", [False, True])
def test_mcc_is_zero_where_all_or_no_events_are_flagged(flagged):
    assert mcc(confusion(np.full(3, flagged), np.array([True, False, False]), np.ones(3))) == 0.0


def test_ams_has_the_values_of_the_higgs_challenge():
    assert ams(691.99, 410999.85) == pytest.approx(1.079, abs=5e-4)
    assert ams(691.99, 0.0) == pytest.approx(67.71, abs=5e-3)


@few
@given(st.floats(1e-3, 1e3), st.floats(1.0, 1e9))
def test_ams_of_little_signal_is_s_over_root_b(share, b):
    s = 1e-3 * share * math.sqrt(b)
    assert ams(s, b, 0.0) == pytest.approx(s / math.sqrt(b), rel=s / b + 1e-3)


def test_a_deficit_has_no_significance_and_no_background_has_no_ams():
    assert ams(-3.0, 100.0) == 0.0
    assert ams(0.0, 100.0) == 0.0
    assert math.isnan(ams(3.0, -10.0, 10.0))
    assert math.isnan(ams(3.0, 0.0, 0.0))


@few
@given(samples(), st.floats(0, 20))
def test_max_ams_is_the_best_of_all_cuts(sample, b_reg):
    _, signal, background, _ = curve_by_hand(*sample)
    every = [ams(float(s), float(b), b_reg) for s, b in zip(signal, background, strict=True)]
    assert max_ams(roc(*sample), b_reg) == pytest.approx(np.nanmax(every), abs=1e-6)


def test_max_ams_of_a_perfect_score_is_that_of_the_signal_alone():
    score = np.arange(6.0)
    assert max_ams(roc(score, score > 3, np.full(6, 2.0))) == pytest.approx(ams(4.0, 0.0))


@few
@given(samples(), st.floats(0.05, 1))
def test_signal_efficiency_is_that_of_the_best_cut_within_the_background(sample, wanted):
    curve = roc(*sample)
    _, signal, background, squares = curve_by_hand(*sample)
    found = signal_efficiency(curve, wanted)
    if wanted * background[-1] ** 2 / squares[-1] < 1 - 1e-6:
        assert math.isnan(found)
    elif not math.isnan(found):
        best = signal[background <= wanted * background[-1] * (1 + 1e-9)].max() / signal[-1]
        assert found == pytest.approx(best)


def test_signal_efficiency_needs_one_background_event_at_that_efficiency():
    anomaly = np.arange(11) == 5
    curve = roc(np.arange(11.0), anomaly, np.ones(11))
    assert math.isnan(signal_efficiency(curve, 0.09))
    assert signal_efficiency(curve, 0.1) == 0.0
    assert signal_efficiency(curve, 0.4) == 0.0
    assert signal_efficiency(curve, 0.5) == 1.0


def test_no_cut_parts_tied_events():
    curve = roc(np.zeros(4), np.array([True, True, False, False]), np.ones(4))
    assert signal_efficiency(curve, 0.5) == 0.0
    assert signal_efficiency(curve, 1.0) == 1.0
    assert rejection(curve, 0.5) == 1.0


def test_an_efficiency_met_exactly_is_met_whatever_the_last_digits():
    weight = np.full(11, 0.1)
    curve = roc(np.arange(11.0), np.arange(11) == 7, weight)
    assert signal_efficiency(curve, 0.3) == 1.0


def test_rejection_is_one_over_the_background_that_passes():
    score = np.array([9.0, 8, 7, 6, 5, 4, 3, 2])
    anomaly = np.array([True, False, True, False, False, True, False, True])
    curve = roc(score, anomaly, np.array([1.0, 2, 1, 2, 2, 1, 2, 1]))
    assert rejection(curve, 0.25) == math.inf
    assert rejection(curve, 0.3) == 4.0
    assert rejection(curve, 0.5) == 4.0
    assert rejection(curve, 0.75) == pytest.approx(4 / 3)
    assert rejection(curve, 1.0) == 1.0


@few
@given(samples(least=20), st.sampled_from([0.2, 0.5, 1.0]))
def test_max_sic_looks_at_measured_background_only(sample, floor):
    curve = roc(*sample)
    _, signal, background, squares = curve_by_hand(*sample)
    with np.errstate(all="ignore"):
        effective = np.where(squares > 0, background**2 / squares, 0)
        improvement = signal / signal[-1] / np.sqrt(background / background[-1])
    surely, possibly = effective > floor**-2 * 1.001, effective > floor**-2 * 0.999
    found = max_sic(curve, floor)
    if surely.any():
        assert improvement[surely].max() - 1e-9 <= found <= improvement[possibly].max() + 1e-9
    elif not possibly.any():
        assert math.isnan(found)


def test_sic_needs_25_background_events_at_its_floor():
    score = -np.arange(200.0)
    anomaly = np.zeros(200, np.bool_)
    anomaly[:100] = True
    improvement = sic(roc(score, anomaly, np.full(200, 0.3)))
    assert np.isnan(improvement[:125]).all()
    assert improvement[125] == pytest.approx(1 / math.sqrt(0.25))
    assert max_sic(roc(score, anomaly, np.full(200, 0.3))) == pytest.approx(2.0)


@few
@given(samples(classes=1, least=0), st.sampled_from([True, False]))
def test_one_class_or_no_event_gives_nan_without_a_warning(sample, anomalies):
    score, _, weight = sample
    anomaly = np.full(len(score), anomalies)
    curve = roc(score, anomaly, weight)
    c = confusion(score > 0, anomaly, weight)
    for value in (
        auc(curve),
        signal_efficiency(curve, 0.1),
        rejection(curve, 0.5),
        max_sic(curve),
        max_ams(curve),
        *(metric(c) for metric in DECISIONS),
    ):
        assert math.isnan(value)
    assert np.isnan(sic(curve)).all()


@few
@given(samples(low=-5.0, classes=1, least=0))
def test_negative_weights_never_crash_a_metric(sample):
    score, anomaly, weight = sample
    curve = roc(*sample)
    c = confusion(score > 0, anomaly, weight)
    values = [metric(c) for metric in DECISIONS]
    values += [auc(curve), signal_efficiency(curve, 0.1), rejection(curve, 0.5), max_sic(curve), max_ams(curve)]
    assert all(isinstance(value, float) for value in values)
    pooled_rank(score, (score > 0).astype(int), anomaly, weight)


def test_negative_weights_enter_with_their_sign():
    score, anomaly = np.array([4.0, 3, 2, 1]), np.array([True, False, True, False])
    weight = np.array([2.0, -1.0, 1.0, 3.0])
    curve = roc(score, anomaly, weight)
    assert curve.background.tolist() == [0, 0, -1, -1, 2]
    assert auc(curve) == pytest.approx((-1 * 2 + 3 * 3) / (2 * 3))
    assert max_ams(curve, 10.0) == pytest.approx(ams(3.0, -1.0, 10.0))
    assert precision(confusion(score > 2, anomaly, weight)) == 2.0


@few
@given(samples(least=4), st.integers(0, 3))
def test_zero_weights_change_no_metric(sample, where):
    score, anomaly, weight = sample
    more = [np.append(values, extra) for values, extra in zip(sample, (where - 1.5, bool(where % 2), 0.0), strict=True)]
    for metric in (auc, max_ams, max_sic, lambda r: signal_efficiency(r, 0.5), lambda r: rejection(r, 0.5)):
        np.testing.assert_allclose(metric(roc(*more)), metric(roc(score, anomaly, weight)), rtol=1e-9)


@few
@given(samples(low=-5.0, classes=1, least=0))
def test_pooled_rank_of_one_category_is_the_order_of_the_score(sample):
    score, anomaly, weight = sample
    rank = pooled_rank(score, np.zeros(len(score), int), anomaly, weight)
    assert np.array_equal(np.sign(rank[:, None] - rank), np.sign(score[:, None] - score))


@few
@given(samples(), st.integers(0, 2**30))
def test_pooled_rank_keeps_the_order_within_each_category(sample, seed):
    score, anomaly, weight = sample
    category = np.random.default_rng(seed).integers(0, 3, len(score))
    rank = pooled_rank(score, category, anomaly, weight)
    for index in range(3):
        r, s = rank[category == index], score[category == index]
        assert np.array_equal(np.sign(r[:, None] - r), np.sign(s[:, None] - s))


def test_pooled_curve_moves_every_categorys_cut_at_equal_background_efficiency():
    rng = np.random.default_rng(3)
    size = 6000
    category, anomaly = rng.integers(0, 3, size), rng.random(size) < 0.3
    weight = rng.gamma(2, 0.5, size)
    score = (rng.normal(size=size) + anomaly * category) * np.array([1, 50, 0.01])[category] + 7 * category
    pooled = roc(pooled_rank(score, category, anomaly, weight), anomaly, weight)
    background, signal = pooled.background / pooled.background_total, pooled.signal / pooled.signal_total
    for share in (0.01, 0.1, 0.5, 0.9):
        wanted = 0.0
        for index in range(3):
            rows = category == index
            alone = roc(score[rows], anomaly[rows], weight[rows])
            wanted += alone.signal_total * signal_efficiency(alone, share) / pooled.signal_total
        assert np.interp(share, background, signal) == pytest.approx(wanted, abs=3e-3)
        for index in range(3):
            rows = (category == index) & ~anomaly
            rank = pooled_rank(score, category, anomaly, weight)
            cut = pooled.cut[np.searchsorted(background, share)]
            assert weight[rows & (rank > cut)].sum() / weight[rows].sum() == pytest.approx(share, abs=3e-3)


def test_pooled_rank_ignores_the_scales_of_the_scores():
    rng = np.random.default_rng(4)
    category, anomaly, weight = rng.integers(0, 2, 500), rng.random(500) < 0.4, rng.random(500)
    score = rng.normal(size=500) + anomaly
    before = auc(roc(pooled_rank(score, category, anomaly, weight), anomaly, weight))
    stretched = np.where(category == 1, np.exp(score) + 100, score)
    assert auc(roc(pooled_rank(stretched, category, anomaly, weight), anomaly, weight)) == before
    assert auc(roc(stretched, anomaly, weight)) < before


def test_a_category_without_background_comes_last():
    rank = pooled_rank(
        np.array([1.0, 2.0, 99.0, 98.0]), np.array([0, 0, 1, 1]), np.array([True, False, True, True]), np.ones(4)
    )
    assert np.argsort(-rank).tolist() == [1, 0, 2, 3]
