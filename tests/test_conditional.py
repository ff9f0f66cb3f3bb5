"""Cuts that depend on a variable: the same efficiency everywhere, missing values, bins, and the regression."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Bool, Float
from scipy import stats
from scipy.optimize import linprog
from toys import RECIPE, build, fitted

from hepanom.conditional import Per, bin_index, bins_of
from hepanom.detector import columns_of, decision, flags, score
from hepanom.efficiency import quantile
from hepanom.errors import InputError, RecipeError
from hepanom.flatness import flatness
from hepanom.output import to_table
from hepanom.pinball import curve
from hepanom.stream import with_category
from hepanom.thresholds import Threshold, threshold

NAN = math.nan
RULES = (
    "{rule: background_efficiency, value: 0.1, per: {column: n_jets}}",
    "{rule: background_efficiency, value: 0.1, per: {column: m_jj, method: quantile_regression, bins: 4}}",
)
PER_MASS = f"thresholds=[{', '.join(RULES)}]"
few = settings(max_examples=40)


def cut(per: Per, variable: Any, found: Any, weight: Any = None, rule: str = "background_efficiency",
        setting: float | None = 0.1) -> Threshold:  # fmt: skip
    weight = np.ones(len(found)) if weight is None else np.array(weight, np.float64)
    return threshold(
        rule, setting, np.array(found, np.float64), weight, scorer="s", category="all", per=per,
        variable=np.array(variable, np.float64),
    )  # fmt: skip


def sample(seed: int, events: int, *, weighted: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a mass, a score that grows with it by a factor of ten, and weights."""
    rng = np.random.default_rng(seed)
    mass = rng.gamma(4.0, 25.0, events)
    weight = rng.exponential(size=events) if weighted else np.ones(events)
    return mass, rng.exponential(size=events) * np.exp(mass / 100), weight


def chi_squared(
    above: Bool[np.ndarray, " event"], weight: Float[np.ndarray, " event"], bins: np.ndarray, wanted: float, held: float
) -> float:
    """Return how likely efficiencies in bins differ as much from the wanted one; cuts fluctuate as ``held`` events."""
    total = 0.0
    for number in np.unique(bins):
        w = weight[bins == number]
        found, events = w @ above[bins == number] / w.sum(), w.sum() ** 2 / np.square(w).sum()
        total += (found - wanted) ** 2 / (wanted * (1 - wanted) * (1 / events + 1 / held))
    return float(stats.chi2.sf(total, len(np.unique(bins))))


@pytest.mark.parametrize(
    "per",
    [Per(column="m", bins=8), Per(column="m", method="quantile_regression", knots=6),
     Per(column="m", bins=(0.0, 60.0, 90.0, 120.0, 500.0))],
    ids=["bins", "regression", "edges"],
)  # fmt: skip
@pytest.mark.parametrize("seed", [4, 5, 6])
def test_the_efficiency_is_flat_in_the_variable_and_that_of_one_cut_is_not(per: Per, seed: int) -> None:
    mass, found, weight = sample(seed, 20_000)
    known = cut(per, mass, found, weight)
    held_out, other, counts = sample(seed + 100, 40_000)
    assert known.along is not None
    bins = bin_index(known.along.edges, held_out)
    held = 10_000 / (len(known.along.edges) + 1)  # effective events of the cut's own background in a bin
    after, before = known.flag(other, {"m": held_out}), other > known.cut
    assert chi_squared(after, counts, bins, 0.1, held) > 1e-4
    assert chi_squared(before, counts, bins, 0.1, held) < 1e-12
    shown = flatness(per, held_out, counts, before, after, scorer="s", rule="r", wanted=0.1, known=True)
    assert np.ptp(shown.after[:, 0]) < 0.07
    assert np.ptp(shown.before[:, 0]) > 0.15
    assert counts @ after / counts.sum() == pytest.approx(0.1, abs=0.012)


def test_every_bin_has_the_cut_of_its_own_background_and_its_interval() -> None:
    rng = np.random.default_rng(4)
    jets, found, weight = rng.integers(0, 4, 2000).astype(float), rng.normal(size=2000), rng.gamma(2.0, size=2000)
    known = cut(Per(column="jets"), jets, found + jets, weight)
    assert known.along is not None
    assert [each.label for each in known.along.bins] == ["0", "1", "2", "3"]
    for number, each in enumerate(known.along.bins):
        here = jets == number
        alone = threshold("background_efficiency", 0.1, (found + jets)[here], weight[here], scorer="s", category="all")
        assert each.cut == alone.cut
        assert (each.low, each.high, each.effective) == (alone.low, alone.high, alone.effective)
    assert known.name == "background_efficiency_0.1_per_jets"
    assert known.background_efficiency <= 0.1
    assert known.low < known.background_efficiency < known.high


def test_missing_values_have_a_cut_of_their_own_and_one_is_flagged_by_it() -> None:
    rng = np.random.default_rng(5)
    mass, found = np.where(rng.random(4000) < 0.25, NAN, rng.random(4000)), rng.normal(size=4000)
    found[np.isnan(mass)] += 10
    for per in (Per(column="m", bins=3), Per(column="m", method="quantile_regression")):
        known = cut(per, mass, found)
        assert known.along is not None
        assert known.along.missing.cut == quantile(found[np.isnan(mass)], np.ones(4000)[np.isnan(mass)], 0.9)
        flagged = known.flag(found, {"m": mass})
        assert flagged[np.isnan(mass)].mean() == pytest.approx(0.1, abs=1e-3)
        assert flagged[~np.isnan(mass)].mean() == pytest.approx(0.1, abs=1e-2)
        assert known.flag(np.array([20.0, 0.0]), {"m": np.array([math.inf, -math.inf])}).tolist() == [True, False]


@pytest.mark.parametrize("method", ["bins", "quantile_regression"])
def test_without_background_a_bin_takes_the_cut_of_all_and_is_undetermined(method: Any) -> None:
    found = np.arange(1000.0)
    known = cut(Per(column="m", bins=(0.0, 1.0, 2.0, 3.0), method=method), np.full(1000, 0.5), found)
    assert known.along is not None
    for each in (known.along.bins[1], known.along.missing):
        assert (each.cut, each.low, each.high, each.undetermined) == (known.cut, 0.0, 1.0, True)
    assert known.undetermined
    assert known.flag(np.array([950.0, 850.0]), {"m": np.array([NAN, NAN])}).tolist() == [True, False]


def test_a_bin_with_few_events_above_its_cut_makes_the_threshold_undetermined() -> None:
    x = np.repeat([0.0, 1.0], [1000, 50])
    known = cut(Per(column="x"), x, np.arange(1050.0))
    assert known.along is not None
    assert [each.undetermined for each in known.along.bins] == [False, True]
    assert known.effective > 10
    assert known.undetermined


def test_edges_part_bins_that_begin_with_them_and_reach_on_for_ever() -> None:
    edges, labels = bins_of(Per(column="m", bins=(0.0, 80.0, 100.0, 200.0)), np.zeros(1), np.ones(1))
    assert labels == ("below 80", "80 to 100", "100 and above")
    values = np.array([-1e9, 79.999, 80.0, 99.0, 100.0, 1e9, NAN])
    assert bin_index(edges, values).tolist() == [0, 0, 1, 1, 2, 2, 3]


@few
@given(st.lists(st.tuples(st.integers(-5, 40), st.floats(0.1, 5)), min_size=1, max_size=200), st.integers(1, 12))
def test_bins_of_equal_weight_are_never_empty_and_hold_their_share(rows: list[tuple[int, float]], number: int) -> None:
    values, weight = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    edges, labels = bins_of(Per(column="m", bins=number), values, weight)
    index = bin_index(edges, values)
    assert len(labels) == len(edges) + 1 <= number
    held = np.bincount(index, weight, minlength=len(labels)) / weight.sum()
    assert (held > 0).all()
    largest = max(weight[values == value].sum() for value in values) / weight.sum()
    assert held.max() <= 1 / number + largest + 1e-9 or len(labels) < number


def test_a_column_of_many_values_gets_ten_bins_of_equal_weight() -> None:
    values = np.arange(500.0)
    assert len(bins_of(Per(column="m"), values, np.ones(500))[1]) == 10
    assert bins_of(Per(column="m"), values % 20, np.ones(500))[1] == tuple(map(str, range(20)))


@few
@given(st.integers(0, 10**6), st.integers(20, 150), st.floats(0.05, 0.6), st.integers(2, 5))
def test_the_regression_is_the_minimum_of_the_pinball_loss(seed: int, events: int, share: float, knots: int) -> None:
    rng = np.random.default_rng(seed)
    x, y, weight = rng.gamma(2.0, size=events), rng.standard_cauchy(events), rng.exponential(size=events)
    found = curve(x, y, weight, share, knots)

    def loss(heights: np.ndarray) -> float:
        r = y - np.interp(x, found.knots, heights)
        return float(weight @ np.where(r > 0, (1 - share) * r, -share * r))

    hats = np.stack([np.interp(x, found.knots, row) for row in np.eye(len(found.knots))], 1)
    primal = linprog(
        np.concatenate([np.zeros(hats.shape[1]), (1 - share) * weight, share * weight]),
        A_eq=np.hstack([hats, np.eye(events), -np.eye(events)]), b_eq=y,
        bounds=[(None, None)] * hats.shape[1] + [(0, None)] * 2 * events,
    )  # fmt: skip
    assert loss(found.heights) == pytest.approx(primal.fun, rel=1e-6)
    above = y > np.interp(x, found.knots, found.heights)
    assert weight @ above <= share * weight.sum() * (1 + 1e-9)
    assert weight @ (above | found.on) >= share * weight.sum() * (1 - 1e-6)
    assert found.on.sum() <= len(found.knots)


def test_the_regression_bears_the_largest_scores_and_is_the_same_every_time() -> None:
    x, y, weight = sample(6, 3000)
    y[::50] = 1.3e154
    first, second = (curve(x, y, weight, 0.05, 5) for _ in range(2))
    assert np.array_equal(first.heights, second.heights)
    assert (first.heights < 1e6).all()


@few
@given(st.integers(0, 10**6), st.sampled_from(["bins", "quantile_regression"]))
def test_json_gives_the_same_conditional_threshold_back(seed: int, method: Any) -> None:
    mass, found, weight = sample(seed, 60)
    mass[::7] = NAN
    known = cut(Per(column="m", bins=3, method=method, knots=3), mass, found, weight)
    again = Threshold.from_json(json.loads(json.dumps(known.to_json(), allow_nan=False)))
    assert again == known
    assert np.array_equal(again.flag(found, {"m": mass}), known.flag(found, {"m": mass}))


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("{rule: median, per: {column: n_jet}}", "thresholds.0.per.column: there is no column 'n_jet'; did you mean"),
        ("{rule: median, per: {column: n_jets, bins: [3, 2]}}", "edges of bins rise"),
        ("{rule: median, per: {column: n_jets, bins: [3]}}", "thresholds.0.per.bins"),
        ("{rule: median, per: {column: n_jets, edges: 3}}", "thresholds.0.per.edges: unknown option"),
        ("{rule: value, value: 1, per: {column: n_jets}}", "thresholds.0.per: a value is a cut of your own"),
        ("{rule: mean, per: {column: n_jets, method: quantile_regression}}", "thresholds.0.per: a mean is no quantile"),
        ("{rule: median, per: {column: n_jets}}, {rule: median, per: {column: n_jets, bins: 2}}",
         "thresholds.1: median_per_n_jets is there twice; give one of them a name"),
        ("{rule: background_rate, value: 10}", "thresholds.0: the rule background_rate needs the rate of all events"),
        ("{rule: background_rate, value: 10, input_rate: 5}",
         "thresholds.0.value: found a rate of 10 Hz; it lies between 0 and the input_rate of 5 Hz"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_rule_is_said_before_any_event_is_read(rule: str, problem: str) -> None:
    text = RECIPE[: RECIPE.index("thresholds:")] + f"thresholds: [{rule}]\n"
    with pytest.raises(RecipeError) as caught:
        build(text=text)
    assert problem in str(caught.value)
    assert "toys.yaml:11:" in str(caught.value)


def test_two_rules_on_one_column_live_side_by_side_under_names() -> None:
    rules = "{rule: median, per: {column: n_jets}}, {rule: median, per: {column: n_jets, bins: 2}, name: halves}"
    parts = build(f"thresholds=[{rules}]")
    assert [rule.label for rule in parts.recipe.thresholds] == ["median_per_n_jets", "halves"]


@pytest.mark.parametrize("overrides", [(), ("train.replicas=2", "train.per=n_jets")])
def test_flags_of_a_detector_are_those_of_each_event_s_own_cut(overrides: tuple[str, ...]) -> None:
    detector, _, shares = fitted(PER_MASS, *overrides)
    per = detector.parts.recipe.train.per
    events = with_category(shares["test"], per, detector.categories, detector.parts.schema)
    decided = decision(detector, score(detector, events), events.category)
    columns = columns_of(detector, events)
    table = to_table(detector, events, decided)
    assert set(columns) == {"n_jets", "m_jj"}
    for rule in detector.parts.recipe.thresholds:
        assert rule.per is not None
        for scorer, values in decided.items():
            who = (scorer, rule.label, detector.decides)
            flagged = flags(detector, values, events.category, columns, *who)
            cuts = detector.cuts(*who)
            for row in range(0, len(events), 37):
                along = cuts[detector.categories[events.category[row]]].along
                assert along is not None
                own = along.cuts(columns[rule.per.column][row : row + 1])[0]
                assert flagged[row] == (values[row] > own)
            assert table[f"flag/{scorer}/{rule.label}"].to_pylist() == flagged.tolist()
            known = events.label == 0
            assert np.average(flagged[known], weights=events.weight[known]) == pytest.approx(0.1, abs=0.08)


def test_a_column_of_text_is_refused_before_any_training(tmp_path: Any) -> None:
    rows = "".join(f"{row},{row % 7}.5,{'ab'[row % 2]}\n" for row in range(300))
    (tmp_path / "t.csv").write_text("a,b,era\n" + rows)
    data = f"{{use: csv, path: '{tmp_path / 't.csv'}', keep: [era]}}"
    text = RECIPE.replace("{use: toy, events: 3000}", data).replace("background: [background]\n", "")
    parts = build("thresholds=[{rule: median, per: {column: era}}]", text=text)
    from hepanom.fit import fit
    from hepanom.shares import read

    with pytest.raises(InputError, match=r"column 'era' holds text; a cut depends on a number"):
        fit(read(parts, 10**9), {}, lambda *_: pytest.fail("trained"))
