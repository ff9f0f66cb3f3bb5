"""Scores against other variables: correlations with their uncertainty, profiles, and the shapes that cuts leave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float
from scipy import stats  # type: ignore[import-untyped]
from scipy.spatial.distance import jensenshannon  # type: ignore[import-untyped]

from hepanom import document, plugins
from hepanom.against import Against, against, jensen_shannon, spearman
from hepanom.against_figure import against_figure
from hepanom.assess import assess
from hepanom.canvas import style
from hepanom.detector import Detector
from hepanom.errors import RecipeError
from hepanom.shares import held
from tests.toys import RECIPE, fitted

Values = Float[np.ndarray, " event"]


def drawn(events: int, slope: float, seed: int = 1) -> tuple[Values, Values, Values]:
    """Return a mass, a score that grows with it, and weights that grow with the score."""
    rng = np.random.default_rng(seed)
    mass = rng.exponential(80.0, events) + 20
    score = slope * np.log(mass) + rng.normal(size=events)
    return mass, score, np.exp(0.3 * score) * rng.gamma(4.0, 0.25, events)


def compared(slope: float, share: float = 0.1, seed: int = 1) -> Against:
    mass, score, weight = drawn(20_000, slope, seed)
    flags = {"rule": score > np.quantile(score, 1 - share), "tight": score > np.sort(score)[-5]}
    found = against(("score", "mass", "GeV", "all"), mass, score, weight, flags, 0)
    assert found is not None
    return found


@given(st.integers(0, 1000), st.floats(-2, 2), st.booleans())
def test_without_weights_it_is_the_correlation_of_spearman(seed: int, slope: float, tied: bool) -> None:
    mass, score, _ = drawn(300, slope, seed)
    mass = np.round(mass, -1) if tied else mass
    found = spearman(mass, score, np.ones(300), 10, 0)
    assert found is not None
    assert found.value == pytest.approx(stats.spearmanr(mass, score).statistic)
    assert found.low <= found.value <= found.high


def test_an_event_of_weight_two_counts_as_two_events() -> None:
    mass, score, _ = drawn(400, 1.0)
    weight = np.random.default_rng(2).integers(0, 4, 400).astype(np.float64)
    twice = np.repeat(np.arange(400), weight.astype(int))
    found = spearman(mass, score, weight, 10, 0)
    assert found is not None
    assert found.value == pytest.approx(stats.spearmanr(mass[twice], score[twice]).statistic)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_interval_of_the_correlation_covers_as_often_as_stated(*, weighted: bool) -> None:
    slopes, found = 0.6, []
    truth = spearman(
        *drawn(200_000, slopes, 99)[:2], drawn(200_000, slopes, 99)[2] if weighted else np.ones(200_000), 1, 0
    )
    assert truth is not None
    for seed in range(150):
        mass, score, weight = drawn(300, slopes, seed)
        one = spearman(mass, score, weight if weighted else np.ones(300), 50, seed)
        assert one is not None
        found.append(one.low <= truth.value <= one.high)
    assert 0.68 - 0.13 < np.mean(found) < 0.68 + 0.13


@given(st.lists(st.integers(0, 50), min_size=3, max_size=9), st.integers(0, 99))
def test_the_divergence_is_that_of_scipy(counts: list[int], seed: int) -> None:
    a = np.array(counts) + 1.0
    b = np.random.default_rng(seed).permutation(a)
    assert jensen_shannon(a, b) == pytest.approx(jensenshannon(a, b, base=2) ** 2, abs=1e-12)
    assert jensen_shannon(a, a) == 0
    assert jensen_shannon(np.array([1.0, 0]), np.array([0, 1.0])) == 1


def test_a_cut_on_a_score_that_knows_the_mass_sculpts_it_and_another_one_does_not() -> None:
    found = compared(slope=1.5)
    assert found.correlation is not None
    assert found.correlation.low > 0.6
    shape = found.after["rule"]
    assert shape.divergence > 10 * shape.chance
    assert (np.diff(found.quantiles[1][np.isfinite(found.quantiles[1])]) > 0).mean() > 0.8
    assert "tight" not in found.after  # four events have no shape
    blind = compared(slope=0.0)
    assert blind.correlation is not None
    assert abs(blind.correlation.value) < 0.05
    assert blind.after["rule"].divergence < 2 * blind.after["rule"].chance


def test_chance_is_what_95_of_100_blind_cuts_stay_below() -> None:
    below = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        mass, flag = rng.exponential(80, 4000), rng.random(4000) < 0.1
        found = against(("s", "m", "", "all"), mass, rng.normal(size=4000), np.ones(4000), {"rule": flag}, seed)
        assert found is not None
        below.append(found.after["rule"].divergence < found.after["rule"].chance)
    assert np.mean(below) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 60)


def test_shapes_are_shares_and_bands_hold_68_percent() -> None:
    found = compared(slope=0.5)
    assert found.before.sum() == pytest.approx(1)
    assert found.after["rule"].share.sum() == pytest.approx(1)
    low, middle, high = found.quantiles
    there = np.isfinite(middle)
    assert ((low <= middle) & (middle <= high))[there].all()
    mass, score, weight = drawn(20_000, 0.5)
    place = 3
    here = (mass >= found.edges[place]) & (mass < found.edges[place + 1])
    inside = here & (score >= low[place]) & (score <= high[place])
    assert weight[inside].sum() / weight[here].sum() == pytest.approx(0.68, abs=0.02)


def test_whole_numbers_have_bins_of_their_own_and_missing_values_are_counted() -> None:
    rng = np.random.default_rng(3)
    jets = np.where(rng.random(500) < 0.1, np.nan, rng.integers(0, 4, 500))
    found = against(("s", "jets", "", "all"), jets, rng.normal(size=500), np.ones(500), {}, 0)
    assert found is not None
    assert found.edges.tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5]
    assert found.missing == np.isnan(jets).sum()
    assert against(("s", "one", "", "all"), np.ones(50), rng.normal(size=50), np.ones(50), {}, 0) is None
    assert against(("s", "none", "", "all"), np.full(50, np.nan), np.ones(50), np.ones(50), {}, 0) is None


def toys(*columns: str) -> tuple[Detector, tuple[Against, ...]]:
    detector, histories, events = fitted()
    changed = detector.parts.recipe.evaluate.model_copy(update={"against": columns})
    recipe = detector.parts.recipe.model_copy(update={"evaluate": changed})
    detector = replace(detector, parts=replace(detector.parts, recipe=recipe))
    return detector, assess(detector, histories, held(detector.parts, events)).against


def test_the_recipe_says_which_variables_every_score_is_compared_with() -> None:
    detector, found = toys("m_jj", "n_jets")
    assert [(each.scorer, each.column) for each in found] == [
        (scorer, column) for scorer in ("reconstruction", "latent_mu2") for column in ("m_jj", "n_jets")
    ]
    assert found[0].unit == "GeV"
    assert set(found[0].after) == {"background_efficiency_0.1", "mean"}
    _, histories, events = fitted()
    result = assess(detector, histories, held(detector.parts, events))
    with style():
        figure = against_figure(result, found[0])
    assert "m_jj" in figure.axes[1].get_xlabel()
    assert "JSD" in figure.axes[1].get_legend().get_texts()[-1].get_text()


def test_a_variable_that_is_not_there_is_told_with_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(RECIPE + "evaluate: {against: [m_j]}\n")
    with pytest.raises(RecipeError, match=r"r\.yaml:\d+:\d+: evaluate\.against\.0: there is no column 'm_j'"):
        plugins.build(document.read(file))
