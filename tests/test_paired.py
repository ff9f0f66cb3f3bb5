"""Two scores on common events: the difference, its uncertainty against a closed form, and what must not matter."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Bool, Float
from scipy.stats import kstest, rankdata

from hepanom import metrics
from hepanom.paired import Difference, Pairing, Sample, pair, sample

CLASSES = {"classes": ("dijet", "signal"), "background": ("dijet",)}


def of(score: Float[np.ndarray, " event"], anomaly: Bool[np.ndarray, " event"], **changes: object) -> Sample:
    """Return events numbered from 0 with weight 1 in one category."""
    events = len(score)
    columns = {
        "event_id": np.arange(events, dtype=np.uint64),
        "category": np.zeros(events, np.int64),
        "label": anomaly.astype(np.int64),
        "weight": np.ones(events),
        **CLASSES,
        **changes,
    }
    return sample(score=score, **columns)


def scores(seed: int, events: int, anomalies: int, noise: float = 0.7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return two correlated scores that are equally good, and who is an anomaly."""
    generator = np.random.default_rng(seed)
    anomaly = np.arange(events) < anomalies
    truth = generator.normal(size=events) + 1.2 * anomaly
    return *(truth + noise * generator.normal(size=events) for _ in "ab"), anomaly


def auc(found: Pairing) -> Difference:
    return next(entry for entry in found.differences if entry.metric == "auc")


def delong(one: np.ndarray, two: np.ndarray, anomaly: np.ndarray) -> float:
    """Return DeLong's standard deviation of the difference of two AUCs."""
    placed = []
    for score in (one, two):
        both, own = rankdata(score), np.empty(len(score))
        for kind in (True, False):
            own[anomaly == kind] = rankdata(score[anomaly == kind])
        placed.append((both - own) / np.where(anomaly, (~anomaly).sum(), anomaly.sum()))
    apart = placed[0] - placed[1]
    return math.sqrt(sum(apart[anomaly == kind].var(ddof=1) / (anomaly == kind).sum() for kind in (True, False)))


@pytest.mark.parametrize(("events", "anomalies", "noise"), [(4000, 600, 0.7), (1500, 700, 0.2), (2000, 1000, 3.0)])
def test_the_uncertainty_of_an_auc_difference_is_delongs(events: int, anomalies: int, noise: float) -> None:
    one, two, anomaly = scores(5, events, anomalies, noise)
    two = two + 0.3 * noise * anomaly
    found = auc(pair(of(one, anomaly), of(two, anomaly), 1000, 1))
    expected = delong(one, two, anomaly)
    assert found.z is not None
    assert found.difference / found.z == pytest.approx(expected, rel=0.08)
    assert (found.high - found.low) / 2 == pytest.approx(expected, rel=0.12)


def test_p_values_are_uniform_where_nothing_differs() -> None:
    found = []
    for seed in range(80):
        one, two, anomaly = scores(seed, 200, 80)
        found.append(auc(pair(of(one, anomaly), of(two, anomaly), 40, seed)).p)
    assert kstest(found, "uniform").pvalue > 1e-3
    assert np.mean(np.array(found) < 0.3173) == pytest.approx(0.3173, abs=0.16)


def test_a_run_against_itself_is_exactly_zero_with_p_one() -> None:
    one, _, anomaly = scores(1, 3000, 300)
    found = pair(of(one, anomaly), of(one.copy(), anomaly), 50, 3)
    assert {entry.metric for entry in found.differences} >= {"auc", "signal_efficiency_0.1", "max_sic"}
    for entry in found.differences:
        assert (entry.difference, entry.low, entry.high, entry.z, entry.p) == (0, 0, 0, 0, 1)


def test_a_score_that_another_scale_makes_of_the_same_order_is_the_same() -> None:
    one, _, anomaly = scores(1, 2000, 300)
    assert auc(pair(of(one, anomaly), of(np.exp(one), anomaly), 30, 3)).p == 1


@settings(max_examples=20)
@given(st.integers(0, 2**30))
def test_the_order_of_the_events_does_not_matter(seed: int) -> None:
    one, two, anomaly = scores(seed, 300, 100)
    order = np.random.default_rng(seed).permutation(300)
    shuffled = of(two[order], anomaly[order], event_id=order.astype(np.uint64))
    assert pair(of(one, anomaly), shuffled, 20, seed) == pair(of(one, anomaly), of(two, anomaly), 20, seed)


def test_an_event_of_weight_two_counts_as_two() -> None:
    one, two, anomaly = scores(2, 1000, 400)
    twice = np.arange(1000) % 3 == 0
    weighted = auc(pair(*(of(s, anomaly, weight=1.0 + twice) for s in (one, two)), 20, 1))
    rows = np.concatenate([np.arange(1000), np.flatnonzero(twice)])
    repeated = auc(pair(*(of(s[rows], anomaly[rows]) for s in (one, two)), 20, 1))
    plain = auc(pair(of(one, anomaly), of(two, anomaly), 20, 1))
    assert weighted.difference == pytest.approx(repeated.difference, rel=1e-9)
    assert weighted.reference == pytest.approx(repeated.reference, rel=1e-9)
    assert weighted.difference != pytest.approx(plain.difference, rel=1e-3)


@settings(max_examples=20)
@given(st.integers(0, 2**30), st.integers(50, 250))
def test_only_common_events_enter(seed: int, offset: int) -> None:
    one, two, anomaly = scores(seed, 400, 0)
    anomaly = np.arange(400) % 4 == 0
    late = of(two[offset:], anomaly[offset:], event_id=np.arange(offset, 400, dtype=np.uint64))
    early = of(one[:350], anomaly[:350])
    found = pair(early, late, 20, 0)
    common = slice(offset, 350)
    assert found.shared == found.anomalies + found.background == 350 - offset
    expected = metrics.auc(metrics.roc(two[common], anomaly[common], np.ones(350 - offset)))
    assert auc(found).other == pytest.approx(expected, rel=1e-12)


def test_weights_are_those_of_the_reference_and_one_factor_per_kind_is_no_difference() -> None:
    one, two, anomaly = scores(3, 500, 200)
    scaled = of(two, anomaly, weight=np.where(anomaly, 3.0, 0.5))
    found = pair(of(one, anomaly), scaled, 20, 0)
    assert found == pair(of(one, anomaly), of(two, anomaly), 20, 0)
    assert found.reweighted == 0
    changed = pair(of(one, anomaly), of(two, anomaly, weight=1.0 + (np.arange(500) < 7)), 20, 0)
    assert changed.reweighted == 7
    assert changed.differences == found.differences


def test_categories_are_pooled_at_equal_background_efficiency() -> None:
    one, two, anomaly = scores(4, 2000, 500)
    category = np.arange(2000) % 2
    apart = of(two + 100.0 * category, anomaly, category=category)
    assert auc(pair(of(one, anomaly), apart, 20, 0)).other > 0.6
    assert auc(pair(of(one, anomaly), replace(apart, category=0 * category), 20, 0)).other < 0.65


def test_events_that_share_an_id_do_not_enter() -> None:
    one, two, anomaly = scores(5, 300, 100)
    ids = np.arange(300, dtype=np.uint64)
    ids[:4] = (7, 7, 8, 8)
    found = of(two, anomaly, event_id=ids)
    assert (found.repeated, len(found)) == (6, 294)
    assert pair(of(one, anomaly), found, 20, 0).shared == 294


def test_events_of_unknown_class_do_not_enter() -> None:
    one, two, anomaly = scores(6, 300, 100)
    label = anomaly.astype(np.int64)
    label[::10] = -1
    found = pair(of(one, anomaly), of(two, anomaly, label=label), 20, 0)
    assert (found.shared, found.anomalies + found.background) == (300, 270)


def test_what_was_resampled_before_gives_the_same_again() -> None:
    one, two, anomaly = scores(7, 400, 100)
    known: dict[bytes, object] = {}
    first = pair(of(one, anomaly), of(two, anomaly), 30, 0, known)  # type: ignore[arg-type]
    assert len(known) == 2
    assert pair(of(one, anomaly), of(two, anomaly), 30, 0, known) == first  # type: ignore[arg-type]
    assert pair(of(one, anomaly), of(two, anomaly), 30, 0) == first


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"event_id": np.arange(900, 1000, dtype=np.uint64)}, "they have no event in common"),
        ({"background": ("signal",)}, "class 'dijet' is background in the reference and an anomaly in the other"),
        (
            {"label": np.zeros(100, np.int64), "classes": ("b",), "background": ("b",)},
            "40 of 100 common events are of class 'signal', an anomaly, in the reference and of class 'b', background,",
        ),
        ({"background": ()}, "their common events hold 0 anomalies and 0 of background"),
        ({"score": np.where(np.arange(100) < 3, np.nan, 1.0)}, "3 of their common events have a score that is NaN"),
    ],
)
def test_a_pair_that_cannot_be_judged_says_why(changes: dict[str, object], why: str) -> None:
    one, two, anomaly = scores(8, 100, 40)
    found = pair(of(one, anomaly), of(**{"score": two, "anomaly": anomaly, **changes}), 20, 0)  # type: ignore[arg-type]
    assert why in found.why
    assert found.differences == ()


def test_efficiencies_of_too_few_background_events_are_left_out() -> None:
    one, two, anomaly = scores(9, 1300, 300)
    found = pair(of(one, anomaly), of(two, anomaly), 20, 0)
    named = [entry.metric for entry in found.differences]
    assert named == ["auc", "signal_efficiency_0.1", "signal_efficiency_0.01", "max_sic"]
    fewer = pair(of(one[:1299], anomaly[:1299]), of(two, anomaly), 20, 0)
    assert "signal_efficiency_0.01" not in [entry.metric for entry in fewer.differences]
