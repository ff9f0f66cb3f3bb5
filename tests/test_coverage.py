"""Stated intervals hold the true background efficiency as often as they say; wrong ones are found out."""

from __future__ import annotations

import math

import pytest

from benchmarks.coverage import STATED, WEIGHTS, Case, bootstrap_coverage, coverage, naive_coverage
from hepanom.conditional import Per

NUMBER = 1000
ERROR = math.sqrt(STATED * (1 - STATED) / NUMBER)
BINS = Per(column="x", bins=5)
LINE = Per(column="x", bins=5, method="quantile_regression", knots=4)
SPREAD = [name for name in WEIGHTS if name not in ("equal", "one in ten is ten")]


def judged(found: float, lost: float = 0.0, gained: float = 0.0) -> bool:
    """Say whether a coverage is the stated one within three errors, and what weights may take from it or add."""
    return STATED - lost - 3 * ERROR < found < STATED + gained + 3 * ERROR


@pytest.mark.parametrize(
    "case",
    [
        Case("background_efficiency", 0.01, "equal", 205),
        Case("background_efficiency", 1e-3, "equal", 2000),
        Case("background_rate", 1e3, "equal", 500, input_rate=1e5),
        Case("quantile", 0.4, "equal", 500),
        Case("median", None, "equal", 100),
        Case("mean", None, "equal", 400),
    ],
    ids=lambda case: case.rule,
)
def test_the_interval_covers_as_often_as_it_says(case: Case) -> None:
    (found,) = coverage(case, NUMBER)
    assert judged(found), found


@pytest.mark.parametrize("weights", SPREAD)
@pytest.mark.parametrize(
    ("rule", "setting", "events", "rate"),
    [
        ("background_efficiency", 0.01, 500, None),
        ("background_rate", 1e3, 500, 1e5),
        ("quantile", 0.4, 500, None),
        ("mean", None, 500, None),
    ],
)
def test_with_weights_it_covers_nearly_as_often(
    rule: str, setting: float | None, events: int, rate: float | None, weights: str
) -> None:
    (found,) = coverage(Case(rule, setting, weights, events, rate), NUMBER)
    assert judged(found, lost=0.03, gained=0.05), found


@pytest.mark.parametrize("weights", ["equal", "falling"])
def test_intervals_of_bins_and_of_all_of_them_cover_as_often_as_they_say(weights: str) -> None:
    overall, bins = coverage(Case("background_efficiency", 0.05, weights, 1000, per=BINS), NUMBER // 4)
    assert judged(overall, lost=0.06, gained=0.08), overall  # a quarter of the experiments: twice the error
    assert judged(bins, lost=0.02, gained=0.05), bins  # the mean of five bins is known as well as one of all


@pytest.mark.parametrize("weights", ["equal", "falling"])
def test_intervals_of_a_quantile_regression_cover_as_often_as_they_say(weights: str) -> None:
    overall, bins = coverage(Case("background_efficiency", 0.1, weights, 500, per=LINE), NUMBER // 8)
    assert judged(overall, lost=0.1, gained=0.12), overall
    assert judged(bins, lost=0.04, gained=0.06), bins


@pytest.mark.parametrize("weights", ["equal", "spread"])
def test_a_bootstrap_of_the_efficiency_would_be_found_out(weights: str) -> None:
    found = bootstrap_coverage(Case("background_efficiency", 1e-3, weights, 2000), NUMBER // 5)
    assert not judged(found, lost=0.02), found  # a fifth of the experiments, but far away


@pytest.mark.parametrize("weights", ["spread", "log-normal"])
def test_an_interval_from_raw_counts_would_be_found_out(weights: str) -> None:
    found = naive_coverage(Case("background_efficiency", 0.01, weights, 500), NUMBER // 2)
    assert not judged(found, lost=0.06), found
