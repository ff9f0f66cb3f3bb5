from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from hepanom import metrics
from hepanom.errors import InputError
from hepanom.evaluate import METRICS, Number, Scored, apply_expected, evaluate


def scored(events=3000, replicas=1, categories=("0", "1"), seed=1):
    """Test events of two scorers and two rules; anomalies have higher scores, on a scale of the category's own."""
    rng = np.random.default_rng(seed)
    category = rng.integers(0, len(categories), events)
    anomaly = (rng.random(events) < 0.3).astype(np.int64)
    plain = rng.normal(size=(replicas, events)) + anomaly
    scores = {"elbo": (plain * 10.0**category).astype(np.float32), "kl": rng.normal(size=(replicas, events))}
    flags = {(name, rule): plain > cut for name in scores for rule, cut in (("median", 0.0), ("value_1", 1.0))}
    return Scored(scores, flags, category, categories, anomaly, rng.gamma(2.0, size=events))


def test_numbers_are_the_metrics_of_the_arrays():
    s = scored()
    found = evaluate(s, METRICS, resamples=10)
    anomaly, score, flag = s.anomaly == 1, s.scores["elbo"][0], s.flags["elbo", "median"][0]
    pooled = metrics.roc(metrics.pooled_rank(score, s.category, anomaly, s.weight), anomaly, s.weight)
    confusion = metrics.confusion(flag, anomaly, s.weight)
    assert found["elbo/auc"].value == metrics.auc(pooled)
    assert found["elbo/signal_efficiency_0.1"].value == metrics.signal_efficiency(pooled, 0.1)
    assert found["elbo/rejection_0.5"].value == metrics.rejection(pooled, 0.5)
    assert found["elbo/max_sic"].value == metrics.max_sic(pooled)
    assert found["elbo/max_ams"].value == metrics.max_ams(pooled)
    assert found["elbo/median/ams"].value == metrics.ams(confusion.tp, confusion.fp)
    for name in ("accuracy", "precision", "recall", "f1", "mcc"):
        assert found[f"elbo/median/{name}"].value == getattr(metrics, name)(confusion)
    here = s.category == 1
    alone = metrics.roc(score[here], anomaly[here], s.weight[here])
    assert found["elbo/category_1/auc"].value == metrics.auc(alone)
    counted = metrics.confusion(flag[here], anomaly[here], np.ones(here.sum()))
    assert found["elbo/unweighted/category_1/median/f1"].value == metrics.f1(counted)


def test_names_say_scorer_view_rule_and_metric():
    found = evaluate(scored(categories=("0", "PRI_jet_num=2 [%]")), METRICS, resamples=10)
    assert {name for name in found if name.startswith("kl/value_1/")} == {
        f"kl/value_1/{name}" for name in ("accuracy", "precision", "recall", "f1", "mcc", "ams")
    }
    assert {"kl/unweighted/auc", "kl/category_0/auc", "kl/category_PRI_jet_num_2____/value_1/f1"} <= set(found)
    assert not [name for name in found if re.search(r"[^\w./-]", name)]


def test_yields_have_no_unweighted_twin():
    found = evaluate(scored(), ("ams", "max_ams", "f1"), resamples=10)
    assert {name.split("/")[-1] for name in found if "unweighted" in name} == {"f1"}


def test_one_category_is_all_events():
    found = evaluate(scored(categories=("all",)), ("auc", "f1"), resamples=10)
    assert sorted(found) == sorted(
        f"{scorer}/{view}{name}"
        for scorer in ("elbo", "kl")
        for view in ("", "unweighted/")
        for name in ("auc", "median/f1", "value_1/f1")
    )


def test_only_the_wanted_metrics_are_there():
    assert {name.split("/")[-1] for name in evaluate(scored(), ("auc", "mcc"), resamples=10)} == {"auc", "mcc"}
    assert evaluate(scored(), (), resamples=10) == {}


def test_events_of_unknown_label_are_left_out():
    s = scored()
    unknown = np.arange(len(s.weight)) % 3 == 0
    hidden = replace(s, anomaly=np.where(unknown, -1, s.anomaly))
    assert evaluate(hidden, METRICS, resamples=10) == evaluate(s.mask(~unknown), METRICS, resamples=10)


@pytest.mark.parametrize("label", [-1, 0, 1])
def test_without_both_classes_there_are_no_numbers(label):
    s = scored()
    assert evaluate(replace(s, anomaly=np.full(len(s.weight), label)), METRICS) == {}


def test_a_category_without_anomalies_is_left_out_alone():
    s = scored()
    found = evaluate(s.mask((s.category == 0) | (s.anomaly == 0)), ("auc", "f1"), resamples=10)
    assert "elbo/category_0/auc" in found
    assert "elbo/category_1/auc" not in found


def test_numbers_that_the_events_cannot_give_are_left_out():
    s = scored(events=300)
    never = replace(s, flags={("elbo", "median"): np.zeros((1, 300), np.bool_)})
    found = evaluate(never, METRICS, resamples=20)
    assert "elbo/median/precision" not in found
    assert found["elbo/median/recall"].value == 0
    assert "elbo/signal_efficiency_0.1" in found
    assert "elbo/signal_efficiency_0.0001" not in found
    assert all(math.isfinite(x) for number in found.values() for x in (number.value, number.low, number.high))


def test_one_event_is_no_sample_and_gives_no_number():
    s = scored(events=300, categories=("all",))
    for kind in (0, 1):
        kept = np.flatnonzero(s.anomaly == kind)
        one, two = (s.mask(np.isin(np.arange(300), kept[number:], invert=True)) for number in (1, 2))
        weightless = replace(two, weight=np.where(np.arange(len(two.weight)) == kept[0], 0.0, two.weight))
        assert evaluate(one, METRICS, resamples=20) == {}
        assert not [name for name in evaluate(weightless, METRICS, resamples=20) if "unweighted" not in name]
        assert "elbo/auc" in evaluate(two, METRICS, resamples=20)
    flagged = np.zeros((1, 300), np.bool_)
    flagged[0, np.flatnonzero(s.anomaly)[:1]] = True
    found = evaluate(replace(s, flags={("elbo", "median"): flagged}), ("precision", "recall"), resamples=20)
    assert set(found) == {"elbo/median/recall", "elbo/unweighted/median/recall"}
    assert found["elbo/median/recall"].low < found["elbo/median/recall"].high


def test_a_rejection_that_may_be_infinite_is_left_out():
    score = np.append(np.arange(100.0, 200.0), np.append(np.arange(50.0), 150.5))
    anomaly = (np.arange(151) < 100).astype(np.int64)
    s = Scored({"a": score[None]}, {}, np.zeros(151, np.int64), ("all",), anomaly, np.ones(151))
    assert metrics.rejection(metrics.roc(score, anomaly == 1, s.weight), 0.5) == 51
    assert "a/rejection_0.5" not in evaluate(s, ("rejection",), resamples=50)


def test_value_is_the_mean_over_replicas_and_spread_their_deviation():
    s = scored(replicas=4)
    found = evaluate(s, ("auc", "f1"), resamples=10)
    each = [
        evaluate(
            replace(
                s,
                scores={name: score[[row]] for name, score in s.scores.items()},
                flags={name: flag[[row]] for name, flag in s.flags.items()},
            ),
            ("auc", "f1"),
            resamples=10,
        )
        for row in range(4)
    ]
    for name in ("kl/auc", "elbo/category_0/auc", "kl/median/f1"):
        values = [numbers[name].value for numbers in each]
        assert found[name].value == pytest.approx(np.mean(values))
        assert found[name].spread == pytest.approx(np.std(values, ddof=1))
        assert each[0][name].spread is None


def test_interval_has_the_width_of_the_pseudo_experiments():
    wanted = ("auc", "f1", "signal_efficiency")
    names = ("kl/auc", "elbo/auc", "elbo/median/f1", "elbo/signal_efficiency_0.1")
    experiments = [evaluate(scored(500, seed=seed), wanted, resamples=0) for seed in range(60)]
    found = evaluate(scored(500, seed=1), wanted, resamples=200)
    for name in names:
        spread = np.std([numbers[name].value for numbers in experiments])
        assert (found[name].high - found[name].low) / 2 == pytest.approx(spread, rel=0.35), name


def test_interval_of_the_mean_of_replicas_is_narrower_only_where_they_differ():
    s = scored(replicas=1)
    same = replace(
        s,
        scores={name: np.repeat(score, 3, 0) for name, score in s.scores.items()},
        flags={name: np.repeat(flag, 3, 0) for name, flag in s.flags.items()},
    )
    one, three = evaluate(s, ("auc", "f1"), resamples=30), evaluate(same, ("auc", "f1"), resamples=30)
    for name, number in one.items():
        assert (three[name].low, three[name].high) == pytest.approx((number.low, number.high))
        assert three[name].spread == pytest.approx(0, abs=1e-12)


def test_interval_holds_the_value():
    for number in evaluate(scored(events=400), METRICS, resamples=20).values():
        assert number.low <= number.value <= number.high


def test_without_resamples_the_interval_is_the_value():
    number = evaluate(scored(), ("auc",), resamples=0)["kl/auc"]
    assert number == Number(number.value, number.value, number.value, None)


def test_the_same_seed_gives_the_same_numbers():
    s = scored(events=500)
    assert evaluate(s, METRICS, resamples=20, seed=4) == evaluate(s, METRICS, resamples=20, seed=4)
    assert evaluate(s, METRICS, resamples=20, seed=4) != evaluate(s, METRICS, resamples=20, seed=5)


def test_a_misspelt_metric_is_refused():
    with pytest.raises(InputError, match=r"'acu' is not there; did you mean 'auc'"):
        evaluate(scored(), ("acu",))


def test_scores_and_weights_that_are_no_numbers_are_refused():
    s = scored(events=50)
    broken = s.scores["kl"].copy()
    broken[0, :3] = np.nan
    with pytest.raises(InputError, match="score 'kl' is NaN for 3 of 50 test events"):
        evaluate(replace(s, scores={"kl": broken}), ("auc",))
    with pytest.raises(InputError, match="50 of 50 test weights"):
        evaluate(replace(s, weight=np.full(50, np.inf)), ("auc",))


def test_expected_yields_scale_each_class_by_one_factor():
    label = np.array([0, 1, 1, 0, -1, 1])
    weight = np.array([1.0, 2.0, 4.0, 3.0, 7.0, 2.0], np.float32)
    scaled = apply_expected(weight, label, ("s", "b"), {"b": 80.0})
    assert scaled.tolist() == [1.0, 20.0, 40.0, 3.0, 7.0, 20.0]
    assert weight.tolist() == [1.0, 2.0, 4.0, 3.0, 7.0, 2.0]


def test_expected_yields_of_higgsml_give_the_published_ams():
    rng = np.random.default_rng(0)
    label = (rng.random(500) < 0.66).astype(np.int64)
    anomaly = (label == 0).astype(np.int64)
    weight = apply_expected(rng.gamma(1.0, size=500), label, ("s", "b"), {"s": 691.99, "b": 410999.85})
    flags = {("a", "all"): np.ones((1, 500), np.bool_), ("a", "truth"): anomaly[None] == 1}
    s = Scored({"a": anomaly[None].astype(float)}, flags, np.zeros(500, np.int64), ("all",), anomaly, weight)
    found = evaluate(s, ("ams", "max_ams"), resamples=0)
    assert found["a/all/ams"].value == pytest.approx(1.079, abs=5e-4)
    assert found["a/truth/ams"].value == pytest.approx(67.71, abs=5e-3)
    assert found["a/max_ams"].value == pytest.approx(67.71, abs=5e-3)


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ({"signal": 10.0}, "class 'signal' is not there; known are b, s"),
        ({"s": 10.0}, "0 test events of class 's' have weights that sum to 0"),
        ({"b": -1.0}, "found -1 for class 'b'; an expected yield is positive"),
    ],
)
def test_an_expected_yield_that_no_factor_gives_is_refused(expected, words):
    with pytest.raises(InputError, match=words):
        apply_expected(np.ones(3), np.array([1, 1, 1]), ("s", "b"), expected)
