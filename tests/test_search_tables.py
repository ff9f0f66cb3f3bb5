"""Tests of a search's tables: who comes first, what a correlation counts, and what stands beside what."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from searches import AXES, F1, search

from hepanom.evaluate import Number
from hepanom.search_axes import names, places, ranked, shortened, ticks
from hepanom.search_correlation import EXACT, Correlation, correlations, holm, spearman
from hepanom.search_goal import goal
from hepanom.search_tables import best_table, csv_text, drawn_listing, ordered, said, trial_listing
from hepanom.space import Axis
from hepanom.tables import Cell, cell
from hepanom.trials import Objective, Search, Trial

finite = st.floats(-100, 100, allow_subnormal=False)


def made(*rows: tuple[float, dict[str, object]], axes: tuple[Axis, ...]) -> Search:
    """Return a search of complete trials with an objective and drawn values."""
    trials = tuple(Trial(number, "complete", drawn, (value,)) for number, (value, drawn) in enumerate(rows))
    return Search("toy", "", "random", "none", 0, (F1,), axes, trials, ())


def row(found: list[Correlation], name: str) -> Correlation:
    (one,) = [each for each in found if each.name == name]
    return one


def test_trials_are_sorted_by_the_first_objective_and_failed_ones_come_last() -> None:
    states = [trial.state for trial in ordered(search(40))]
    assert states == sorted(states, key=["complete", "pruned", "running", "failed"].index)
    values = [trial.values[0] for trial in ordered(search(40)) if trial.state == "complete"]
    assert values == sorted(values, reverse=True)
    loss = replace(search(40), objectives=(Objective("validation", "minimize"),))
    assert [trial.values[0] for trial in ordered(loss) if trial.state == "complete"] == values[::-1]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_comes_after_those_that_are(bad: float) -> None:
    found = made((bad, {}), (0.5, {}), (0.7, {}), axes=())
    assert [trial.number for trial in ordered(found)] == [2, 1, 0]


def test_the_csv_file_holds_every_trial_and_everything_drawn() -> None:
    whole = search(40, objectives=2)
    rows = list(csv.DictReader(io.StringIO(csv_text(whole))))
    assert len(rows) == 40
    trials = {trial.number: trial for trial in whole.trials}
    for line in rows:
        trial = trials[int(line["number"])]
        assert line["state"] == trial.state
        assert line["reason"] == trial.reason
        assert line["retry_of"] == ("" if trial.retry_of is None else str(trial.retry_of))
        for axis in AXES:
            assert line[axis.path] == str(trial.drawn.get(axis.path, ""))
        for goal_, value in zip(whole.objectives, trial.values, strict=False):
            assert float(line[goal_.name]) == value
    assert csv_text(search(0)).splitlines() == ["number,state,valid/f1_proton"]


def test_an_objective_that_is_a_cost_has_one_column() -> None:
    whole = replace(search(10), objectives=(Objective("parameters", "minimize"),))
    header = next(csv.reader(io.StringIO(csv_text(whole))))
    assert len(header) == len(set(header))
    assert trial_listing(whole, (), 10).columns.count("parameters") == 1


def test_the_listing_says_what_became_of_a_trial() -> None:
    whole = search(40)
    listing = trial_listing(whole, ranked(whole), 100)
    notes = {int(line[0]): line[-1] for line in listing.rows}
    assert notes[8].startswith("does trial 7 again, which was lost; ended after epoch 11, at 0.")
    assert notes[7].startswith("out of memory: the network of 12,345,678 parameters")
    assert notes[3].startswith("ended after epoch 6, at 0.")
    assert notes[0] == ""
    assert "note" not in trial_listing(made((0.5, {}), axes=()), (), 100).columns


def test_a_rank_correlation_is_that_of_scipy_over_the_trials_that_drew_the_value() -> None:
    whole = search(60)
    trials = [trial for trial in whole.trials if trial.state == "complete"]
    drew = [trial for trial in trials if "model.beta" in trial.drawn]
    rho, p = spearmanr([trial.values[0] for trial in drew], [trial.drawn["model.beta"] for trial in drew])
    found = row(correlations(whole), "model.beta")
    assert 0 < len(drew) < len(trials)
    assert (found.trials, found.rho, found.p) == (len(drew), pytest.approx(rho), pytest.approx(p))
    assert row(correlations(whole), "number of parameters").trials == len(trials)


def test_choices_have_a_row_each_but_numbers_and_true_or_false_have_one() -> None:
    rows = [each.name for each in correlations(search(60))]
    assert [name for name in rows if "regularization" in name] == [
        f"model.regularization: {choice}" for choice in ("none", "kld", "mmd")
    ]
    assert rows.count("model.batch_norm") == rows.count("model.latent") == 1
    assert not [name for name in rows if name.startswith(("model.batch_norm:", "model.latent:"))]


def test_lists_are_described_by_their_largest_item_and_their_length() -> None:
    axes = (
        *(Axis(f"m.k.{item}", "int", 1.0, 9.0) for item in range(3)),
        Axis("m.h", "choice", choices=("[8, 4]", "[16]")),
    )
    found = correlations(
        made(
            (0.1, {"m.k.0": 2, "m.k.1": 9, "m.h": "[8, 4]"}),
            (0.2, {"m.k.0": 8, "m.h": "[16]"}),
            (0.3, {"m.k.0": 1, "m.k.1": 2, "m.k.2": 7, "m.h": "[16]"}),
            (0.4, {"m.k.0": 6, "m.h": "[16]"}),
            axes=axes,
        )
    )
    assert row(found, "largest m.k").rho == pytest.approx(-1)
    assert row(found, "number of m.k").rho == pytest.approx(spearmanr([1, 2, 3, 4], [2, 1, 3, 1]).statistic)
    assert row(found, "largest m.h").rho == -row(found, "number of m.h").rho > 0
    assert row(found, "m.k.2").trials == 1


@pytest.mark.parametrize("rows", [[(0.1, 1.0), (0.2, 2.0)], [(0.1, 1.0)] * 9, [(0.1, float(i)) for i in range(9)], []])
def test_what_has_no_correlation_is_undefined_without_a_warning(rows: list[tuple[float, float]]) -> None:
    axis = Axis("a.b", "float", 0.0, 9.0)
    found = row(correlations(made(*((value, {"a.b": drawn}) for value, drawn in rows), axes=(axis,))), "a.b")
    assert math.isnan(found.rho)
    assert math.isnan(found.p)
    assert math.isnan(found.adjusted)
    assert found.trials == len(rows)


def test_an_infinite_loss_is_the_worst_and_one_that_is_not_a_number_is_left_out() -> None:
    axis = Axis("a.b", "float", 0.0, 9.0)
    values = [1.0, 2.0, 3.0, math.inf, math.nan]
    found = row(correlations(made(*((v, {"a.b": float(i)}) for i, v in enumerate(values)), axes=(axis,))), "a.b")
    assert (found.trials, found.rho) == (4, pytest.approx(1))


def test_few_trials_are_not_significant_however_well_they_are_ordered() -> None:
    assert spearman(np.arange(3.0), np.arange(3.0)) == (pytest.approx(1), pytest.approx(2 / 6))
    assert spearman(np.arange(5.0), -np.arange(5.0)) == (pytest.approx(-1), pytest.approx(2 / 120))


@given(st.lists(st.tuples(finite, finite), min_size=EXACT, max_size=EXACT, unique_by=(lambda p: p[0], lambda p: p[1])))
def test_counting_all_orders_agrees_with_the_distribution_of_many(pairs: list[tuple[float, float]]) -> None:
    first, second = np.array(pairs).T
    rho, p = spearman(first, second)
    expected = spearmanr(first, second)
    assert rho == pytest.approx(expected.statistic)
    assert p == pytest.approx(expected.pvalue, abs=0.04)


def test_holm_adjusts_as_computed_by_hand() -> None:
    assert holm([0.01, math.nan, 0.04, 0.03, 0.005]) == pytest.approx([0.03, math.nan, 0.06, 0.06, 0.02], nan_ok=True)
    assert holm([math.nan]) == pytest.approx([math.nan], nan_ok=True)
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=20))
def test_adjusting_keeps_the_order_and_never_helps(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(before <= after <= 1 for before, after in zip(p, adjusted, strict=True))
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


def test_tested_numbers_stand_beside_the_valid_ones_of_their_name() -> None:
    numbers = {"valid/auc": 0.9, "valid/elbo/auc": 0.9, "valid/elbo/unweighted/auc": 0.8, "valid/kl/auc": 0.7}
    trials = [Trial(number, "complete", {}, (0.9,), numbers) for number in range(2)]
    tested = {
        f"{scorer}/{view}auc": Number(value, value - 0.01, value + 0.01, None)
        for scorer, view, value in (("elbo", "", 0.88), ("elbo", "category_2/", 0.5), ("kl", "", 0.66))
    }
    objectives = (Objective("valid/auc", "maximize"),)
    found = best_table(Search("toy", "", "random", "none", 0, objectives, (), trials, (0, 1), tested={0: tested}))
    assert found.columns == (("trial 0", "valid"), ("trial 0", "tested"), ("trial 1", "valid"))
    assert [line.names for line in found.rows] == [("auc",), ("kl/auc",)]
    assert found.rows[0].cells == (Cell("0.9"), Cell("0.880", "0.010", "0.010"), Cell("0.9"))
    assert found.rows[1].cells[:2] == (Cell("0.7"), cell(tested["kl/auc"]))


def test_the_best_trials_are_the_listed_ones_that_were_completed() -> None:
    whole = replace(search(20), best=(7, 99, 9, 1))
    assert drawn_listing(whole).columns == ("", "trial 9", "trial 1")


def test_names_of_axes_are_as_short_as_they_are_unique() -> None:
    paths = ("model.kernels.0", "model.use", "model.latent", "train.optimizer.use", "train.latent", "seed")
    assert list(names([Axis(path, "int", 1.0, 2.0) for path in paths]).values()) == [
        "kernels.0",
        "model.use",
        "model.latent",
        "optimizer.use",
        "train.latent",
        "seed",
    ]


@given(st.floats(1e-6, 1), st.just(1.0) | st.floats(1.01, 1e6), st.booleans(), st.just("float"))
def test_ticks_lie_on_their_axis_where_their_numbers_are(low: float, factor: float, log: bool, kind: str) -> None:
    axis = Axis("a.b", kind, low, low * factor, log)  # type: ignore[arg-type]
    found = ticks(axis)
    assert 1 <= len(found) <= 7
    assert all(-1e-6 <= place <= 1 + 1e-6 for place, _ in found)
    assert len({text for _, text in found}) == len(found)


def test_values_have_places_between_the_ends_of_their_axis() -> None:
    assert places(Axis("a", "float", 1e-5, 1e-1, log=True), [1e-5, 1e-3, 0.1, None, math.inf, 0.0]) == pytest.approx(
        [0, 0.5, 1, math.nan, math.nan, math.nan], nan_ok=True
    )
    assert places(Axis("a", "choice", choices=("x", "y", "z")), ["z", "x", None]) == pytest.approx(
        [1, 0, math.nan], nan_ok=True
    )


def test_an_axis_of_the_objective_leaves_out_only_what_is_far_worse_than_the_rest() -> None:
    values = [*np.linspace(0.5, 0.9, 40).tolist(), -50.0]
    found = goal(made(*((value, {}) for value in values), axes=()))
    assert 0.3 < found.low < 0.5
    assert found.high == 0.9
    assert found.shown(found.values).min() == found.low
    assert goal(made(*((-value, {}) for value in values), axes=())).high == 50


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "True"),
        (12345, "12,345"),
        (-0.5, "\N{MINUS SIGN}0.5"),
        (1.2345e-5, "1.234\N{MULTIPLICATION SIGN}10⁻⁵"),
        (math.nan, "n/a"),
        (-math.inf, "\N{MINUS SIGN}∞"),
        ("relu", "relu"),
    ],
)
def test_values_are_said_in_four_digits(value: object, text: str) -> None:
    assert said(value) == text


@given(st.text(), st.integers(3, 30))
def test_a_shortened_text_keeps_its_ends(text: str, most: int) -> None:
    found = shortened(text, most)
    assert len(found) <= most
    assert found == text or (found[0] == text[0] and found[-1] == text[-1])
