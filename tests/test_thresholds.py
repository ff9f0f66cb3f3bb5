from __future__ import annotations

import dataclasses
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from hepanom import facts
from hepanom.conditional import Per
from hepanom.errors import InputError
from hepanom.thresholds import Threshold, cut, rule_name, threshold

few = settings(max_examples=60)


@st.composite
def backgrounds(draw):
    """Scores with ties and weights of which at least one is positive."""
    size = draw(st.integers(1, 40))
    score = draw(hnp.arrays(np.float64, size, elements=st.integers(-9, 9).map(float)))
    weight = draw(hnp.arrays(np.float64, size, elements=st.floats(0, 5).map(lambda w: round(w, 2))))
    weight[0] += 1
    return score, weight


def make(rule, setting, score, weight=None):
    weight = np.ones(len(score)) if weight is None else weight
    return threshold(rule, setting, score, weight, scorer="elbo", category="2", replica=1)


@few
@given(backgrounds(), st.floats(0, 1))
def test_quantile_is_numpys_inverted_distribution_with_weights(background, share):
    score, weight = background
    expected = np.quantile(score, share, weights=weight, method="inverted_cdf")
    found = cut("quantile", share, score, weight)
    if found != expected:  # only where the share is a sum of weights to the last digit
        assert weight[score <= found].sum() == pytest.approx(share * weight.sum(), rel=1e-9)


@few
@given(backgrounds(), st.floats(0, 1))
def test_background_efficiency_is_never_above_the_wanted_one(background, wanted):
    found = make("background_efficiency", wanted, *background)
    assert found.background_efficiency <= wanted + 1e-9
    assert found.cut == make("quantile", 1 - wanted, *background).cut


@pytest.mark.parametrize("events", [10, 205, 1000, 4096])
@pytest.mark.parametrize("share", [0.4, 0.5, 0.9, 0.99])
def test_quantile_flags_the_rest(events, share):
    score = np.random.default_rng(events).permutation(events).astype(np.float32)
    found = make("quantile", share, score)
    assert found.flag(score).sum() == math.floor((1 - share) * events + 1e-9)
    assert found.background_efficiency == pytest.approx(found.flag(score).mean())


def test_quantile_of_40_percent_flags_60_percent_of_weights_that_only_round_to_it():
    score, weight = np.arange(10.0), np.full(10, 0.1)
    assert make("quantile", 0.4, score, weight).cut == 3.0
    assert make("background_efficiency", 0.6, score, weight).cut == 3.0
    assert make("quantile", 0.4, score, weight).background_efficiency == pytest.approx(0.6)


def test_rules_of_a_case_done_by_hand():
    score, weight = np.array([1.0, 2.0, 3.0, 10.0]), np.array([1.0, 5.0, 2.0, 2.0])
    assert cut("median", None, score, weight) == 2.0
    assert cut("mean", None, score, weight) == pytest.approx((1 + 10 + 6 + 20) / 10)
    assert cut("value", -7.5, score, weight) == -7.5
    assert cut("background_efficiency", 0.2, score, weight) == 3.0
    assert cut("quantile", 0.0, score, weight) == 1.0
    assert cut("quantile", 1.0, score, weight) == 10.0
    found = make("background_efficiency", 0.2, score, weight)
    # eps = 0.2, variance = (0.8^2 2^2 + 0.2^2 (1 + 25 + 4)) / 10^2, n = eps (1 - eps) / variance
    assert found.background_efficiency == pytest.approx(0.2)
    assert found.effective == pytest.approx(0.2 * 0.16 / 0.0376)


def test_zero_weights_move_no_cut():
    score, weight = np.array([5.0, 1.0, 2.0, 3.0, -4.0]), np.array([0.0, 1.0, 1.0, 1.0, 0.0])
    assert make("quantile", 0.0, score, weight).cut == 1.0
    assert make("quantile", 1.0, score, weight).cut == 3.0
    assert make("quantile", 1.0, score, weight).background_efficiency == 0.0


def test_an_event_on_the_cut_is_not_flagged_in_single_precision_either():
    score = np.array([0.1, 0.2, 0.3], np.float32)
    assert make("quantile", 0.5, score).flag(score).tolist() == [False, False, True]
    assert make("value", 0.1, score).flag(score).tolist() == (score.astype(np.float64) > 0.1).tolist()


def test_interval_of_counts_is_the_beta_interval():
    score = np.arange(2000.0)
    found = make("background_efficiency", 0.001, score)
    assert (found.low, found.high) == pytest.approx(stats.beta(2 + 1, 2000 - 2).interval(0.6827))
    fixed = make("value", 1997.5, score)
    assert fixed.background_efficiency == found.background_efficiency == 0.001
    assert (fixed.low, fixed.high) == pytest.approx(stats.beta(2 + 0.5, 2000 - 2 + 0.5).interval(0.6827))


def test_ties_at_the_cut_count_as_one_event():
    score = np.repeat([1.0, 2.0, 3.0], [10, 80, 10])
    found = make("median", None, score)
    assert (found.low, found.high) == pytest.approx(stats.beta(10 + 1, 100 - 10).interval(0.6827))


def test_nothing_above_the_cut_has_no_efficiency_but_an_upper_end():
    found = make("background_efficiency", 1e-5, np.arange(1000.0))
    assert (found.background_efficiency, found.low, found.effective, found.undetermined) == (0.0, 0.0, 0.0, True)
    assert found.high == pytest.approx(stats.beta(1, 1000).interval(0.6827)[1])


@few
@given(backgrounds(), st.sampled_from(["quantile", "background_efficiency", "value"]), st.floats(0, 1))
def test_interval_holds_the_efficiency(background, rule, setting):
    found = make(rule, setting, *background)
    assert 0 <= found.low <= found.background_efficiency <= found.high <= 1
    assert found.low < found.high
    assert found.undetermined == (found.effective < 10 * (1 - 1e-12))


@few
@given(backgrounds(), st.floats(0.05, 0.95), st.floats(1e-3, 1e3))
def test_the_scale_of_the_weights_changes_nothing(background, share, factor):
    score, weight = background
    one, other = make("quantile", share, score, weight), make("quantile", share, score, weight * factor)
    assert one.low == pytest.approx(other.low, rel=1e-6)
    assert one.high == pytest.approx(other.high, rel=1e-6)
    assert one.effective == pytest.approx(other.effective, rel=1e-6)


def test_equal_weights_count_events():
    score = np.arange(300.0)
    one, other = make("quantile", 0.9, score), make("quantile", 0.9, score, np.full(300, 0.37))
    assert one.effective == pytest.approx(30)
    assert dataclasses.astuple(one)[6:10] == pytest.approx(dataclasses.astuple(other)[6:10])


@pytest.mark.parametrize(("wanted", "undetermined"), [(0.0100, False), (0.0099, True), (1e-5, True)])
def test_fewer_than_ten_events_above_the_cut_leave_it_undetermined(wanted, undetermined):
    assert make("background_efficiency", wanted, np.arange(1000.0)).undetermined == undetermined


@pytest.mark.parametrize(
    ("rule", "setting", "name"),
    [
        ("quantile", 0.4, "quantile_0.4"),
        ("background_efficiency", 1e-2, "background_efficiency_0.01"),
        ("background_efficiency", 1e-4, "background_efficiency_0.0001"),
        ("value", 5.0, "value_5"),
        ("median", None, "median"),
        ("background_rate", 100.0, "background_rate_100"),
        ("background_rate", 1e6, "background_rate_1e06"),
    ],
)
def test_name_is_one_plain_word(rule, setting, name):
    assert rule_name(rule, setting) == name == facts.name(name)


@pytest.mark.parametrize("column", ["PRI_jet_num", "jet_pt[0]", "n=2 %", "mass [GeV]"])
def test_a_column_in_a_name_has_no_signs_that_a_tracking_store_refuses(column):
    name = rule_name("median", None, Per(column=column))
    assert name.startswith("median_per_")
    assert re.fullmatch(r"[\w.-]+", name, re.ASCII)
    assert facts.name(name) == name


@few
@given(backgrounds(), st.floats(0.01, 0.99), st.floats(1, 1e8), st.floats(0.01, 1))
def test_a_rate_is_an_efficiency_times_the_input_rate_of_the_category(background, wanted, rate, share):
    score, weight = background
    plain = make("background_efficiency", wanted, score, weight)
    names = {"scorer": "elbo", "category": "2", "replica": 1}
    found = threshold("background_rate", wanted * rate, score, weight, input_rate=rate, share=share, **names)
    assert plain.rate is None
    if found.cut == plain.cut:  # else only where the quotient rounds over a sum of weights
        ends = plain.background_efficiency, plain.low, plain.high
        assert found.rate == pytest.approx([rate * share * end for end in ends])
    assert found.name == f"background_rate_{wanted * rate:g}".replace("+", "")


def test_any_rule_states_its_rate_where_the_input_rate_is_known():
    names = {"scorer": "elbo", "category": "2", "replica": 1}
    found = threshold("background_efficiency", 0.1, np.arange(100.0), np.ones(100), input_rate=2e4, **names)
    assert found.rate == pytest.approx((2e3, 2e4 * found.low, 2e4 * found.high))
    assert found.name == "background_efficiency_0.1"


@few
@given(backgrounds(), st.sampled_from([("median", None), ("quantile", 0.4), ("value", 3.0)]))
def test_json_gives_the_same_threshold_back(background, rule):
    found = make(*rule, *background)
    assert Threshold.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found


@pytest.mark.parametrize(
    ("score", "weight", "words"),
    [
        ([], [], ["'elbo'", "'2'", "no background", "calibrate"]),
        ([1.0, math.nan, math.inf], [1, 1, 1], ["'elbo'", "'2'", "2 of 3", "NaN"]),
        ([1.0, 2.0], [1, -1], ["1 of 2", "negative", "weighted: false", "train: {weighted: absolute}"]),
        ([1.0, 2.0], [0, 0], ["weights are 0", "weighted: false"]),
        ([1.0, 2.0], [1, math.nan], ["1 of 2", "weights are NaN"]),
    ],
)
def test_background_that_gives_no_cut_is_refused_with_a_remedy(score, weight, words):
    with pytest.raises(InputError) as refusal:
        make("median", None, np.array(score), np.array(weight, np.float64))
    assert all(word in str(refusal.value) for word in words), refusal.value
    with pytest.raises(InputError, match=r"^thresholds: "):
        cut("median", None, np.array(score), np.array(weight, np.float64))


@pytest.mark.parametrize(
    ("rule", "setting", "words"),
    [
        ("quantil", 0.4, "did you mean 'quantile'"),
        ("quantile", None, "needs a value"),
        ("quantile", 40.0, "between 0 and 1"),
        ("background_efficiency", -0.1, "between 0 and 1"),
        ("median", 0.5, "takes no value"),
        ("value", math.nan, "finite"),
        ("background_rate", 100.0, "input_rate: 1e5"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule, setting, words):
    with pytest.raises(InputError) as refusal:
        make(rule, setting, np.arange(3.0))
    assert words in str(refusal.value)


@pytest.mark.parametrize("rate", [0.0, -1.0, 1e5, 1e6])
def test_a_rate_lies_between_nothing_and_the_input_rate(rate):
    with pytest.raises(InputError, match=r"^thresholds: found a rate of .* Hz; it lies between 0 and .* of 100000 Hz"):
        cut("background_rate", rate, np.arange(3.0), np.ones(3), 1e5)


def test_a_threshold_of_before_there_were_rates_and_columns_is_read():
    found = make("median", None, np.arange(30.0))
    older = {key: value for key, value in found.to_json().items() if key not in ("input_rate", "along", "title")}
    assert Threshold.from_json(older) == found
