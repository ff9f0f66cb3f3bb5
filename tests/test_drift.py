"""Two-sample tests of weighted samples: those of scipy without weights, with uniform p-values under the null."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jaxtyping import Float
from scipy import stats  # type: ignore[import-untyped]

from hepanom.drift import (
    Binned,
    Difference,
    binned,
    chi_squared,
    holm,
    kolmogorov_smirnov,
    share_interval,
    surprise,
)
from hepanom.efficiency import effective_sizes, tail

Values = Float[np.ndarray, " event"]


def compared(x: Values, wx: Values, y: Values, wy: Values) -> Difference:
    knots = np.unique(np.concatenate([x, y]))
    return kolmogorov_smirnov(binned(x, wx, knots), binned(y, wy, knots))


def counted(values: list[int]) -> Binned:
    return Binned(np.array(values, np.float64), np.array(values, np.float64))


@given(st.integers(0, 2**32 - 1), st.integers(5, 300), st.integers(5, 300), st.floats(0, 0.6), st.booleans())
def test_without_weights_it_is_the_kolmogorov_smirnov_test_of_scipy(
    seed: int, n: int, m: int, shift: float, tied: bool
) -> None:
    assume(abs(n * m / (n + m) % 1 - 0.5) > 1e-6)  # there the last digit decides to which whole number it is rounded
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=n), rng.normal(shift, size=m)
    x, y = (np.round(x, 1), np.round(y, 1)) if tied else (x, y)
    wanted = stats.ks_2samp(x, y, method="asymp")
    found = compared(x, np.full(n, 2.5), y, np.ones(m))
    assert found.distance == pytest.approx(wanted.statistic)
    assert found.p == pytest.approx(wanted.pvalue, rel=0.03)


@given(st.lists(st.integers(20, 90), min_size=3, max_size=8), st.integers(0, 2**32 - 1), st.floats(0.1, 10))
def test_without_weights_it_is_the_chi2_test_of_scipy(counts: list[int], seed: int, scale: float) -> None:
    a, b = np.array(counts, np.float64), np.random.default_rng(seed).poisson(counts) + 20.0
    wanted = stats.chi2_contingency(np.stack([a, b]), correction=False)
    found = chi_squared(Binned(scale * a, scale**2 * a), Binned(b, b))
    assert found.freedom == wanted.dof
    assert found.statistic == pytest.approx(wanted.statistic)
    assert found.p == pytest.approx(wanted.pvalue)


WEIGHTS: dict[str, Callable[[np.random.Generator, Values], Values]] = {
    "none": lambda _, x: np.ones(len(x)),
    "log-normal": lambda rng, x: np.exp(0.7 * rng.normal(size=len(x))),
    "growing": lambda _, x: np.exp(0.8 * x),
    "falling": lambda rng, x: np.exp(-0.8 * x) * rng.gamma(3.0, size=len(x)),
}


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("test", ["ks", "chi2"])
def test_p_values_are_uniform_where_nothing_differs(kind: str, test: str) -> None:
    rng = np.random.default_rng(5)
    edges = np.array([-1.2, -0.5, 0.0, 0.4, 1.1, np.inf])
    found = []
    for _ in range(600):
        x, y = rng.normal(size=300), rng.normal(size=1200)
        wx, wy = WEIGHTS[kind](rng, x), WEIGHTS[kind](rng, y)
        if test == "ks":
            found.append(compared(x, wx, y, wy).p)
        else:
            found.append(chi_squared(binned(x, wx, edges), binned(y, wy, edges)).p)
    for level in (0.02, 0.05, 0.1, 0.5):
        share, error = np.mean(np.array(found) < level), np.sqrt(level * (1 - level) / len(found))
        assert share < 1.3 * level + 3 * error
        assert share > 0.65 * level - 3 * error


def test_one_effective_size_for_all_places_would_be_wrong_where_weights_grow() -> None:
    x = np.random.default_rng(1).normal(size=20_000)
    w = np.exp(x)
    above = np.array([[each[x > cut].sum() for cut in (-1.0, 3.0)] for each in (w, w**2)])
    low, high = effective_sizes(above[0], above[1], float(w.sum()), float((w**2).sum()))
    assert low > 3 * high


def test_a_shift_is_found_and_its_distance_does_not_depend_on_the_number_of_events() -> None:
    rng = np.random.default_rng(2)
    found = [compared(rng.normal(0.5, 1, n), np.ones(n), rng.normal(size=n), np.ones(n)) for n in (400, 20_000)]
    assert found[0].p < 1e-4
    assert found[1].p < 1e-100
    for each in found:  # of two normal distributions 0.5 apart
        assert each.distance == pytest.approx(2 * stats.norm.cdf(0.25) - 1, abs=0.06)


def test_rare_values_are_joined_and_new_ones_are_seen() -> None:
    assert chi_squared(counted([200, 200, 4, 3, 3]), counted([190, 210, 4, 4, 3])).freedom == 2
    assert chi_squared(counted([200, 200, 1, 0, 0]), counted([190, 210, 0, 1, 0])).freedom == 1
    assert chi_squared(counted([200, 200, 0]), counted([200, 200, 0])).p == pytest.approx(1)
    assert chi_squared(counted([100, 100, 100]), counted([1000, 1000, 0])).p < 1e-50
    assert chi_squared(counted([3, 0]), counted([0, 2])).p == 1
    assert chi_squared(counted([0, 0]), counted([5, 5])) == Difference(0.0, 1.0, 0.0)
    assert kolmogorov_smirnov(counted([4, 0]), counted([0, 900])).p == 1


@given(st.integers(0, 60), st.integers(1, 60), st.integers(0, 40), st.integers(1, 400))
def test_the_surprise_is_that_of_the_beta_binomial_distribution(
    flagged: int, more: int, above: int, below: int
) -> None:
    events = flagged + more
    exact = stats.betabinom(events, above + 1, below)
    sides = exact.pmf(np.arange(flagged, events + 1)).sum(), exact.pmf(np.arange(flagged + 1)).sum()
    wanted = min(1.0, 2 * min(sides))
    assert surprise(float(flagged), float(events), (above + 1.0, float(below))) == pytest.approx(
        wanted, rel=1e-3, abs=1e-13
    )


def test_a_cut_on_held_out_events_flags_new_ones_as_surprisingly_as_stated() -> None:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(1500):
        held_out, new = rng.normal(size=400), rng.normal(size=250)
        cut = np.sort(held_out)[-13]  # 12 of 400 above
        known = tail(np.ones(400), held_out > cut, np.ones(1))
        found.append(surprise(float((new > cut).sum()), 250.0, (known.a, known.b)))
    for level in (0.01, 0.05, 0.2):
        share, error = np.mean(np.array(found) < level), np.sqrt(level * (1 - level) / len(found))
        assert 0.3 * level < share < level + 3 * error  # counts are discrete, so that it may be rarer


@given(st.integers(0, 50), st.integers(1, 50))
def test_the_interval_of_a_share_holds_it(flagged: int, more: int) -> None:
    low, high = share_interval(float(flagged), float(flagged + more))
    assert 0 <= low <= flagged / (flagged + more) <= high <= 1
    assert share_interval(0.0, 0.0) == (0.0, 1.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_keeps_the_order_and_never_makes_p_smaller(values: list[float]) -> None:
    p = np.array(values)
    corrected = holm(p)
    assert (corrected >= p).all()
    assert (np.diff(corrected[np.argsort(p, kind="stable")]) >= 0).all()
    assert corrected.max() <= 1


def test_holm_is_what_the_paper_computes() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert len(holm(np.zeros(0))) == 0
