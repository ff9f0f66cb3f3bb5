"""The pull of the residual: its formula, its scale from training background, and chi-squared where it must be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hepanom.contracts import Batch, Network
from hepanom.errors import InputError
from hepanom_plugins.scorers.residual_pull import ResidualPull

NETWORK = Network()


def batch(target: torch.Tensor, weight: torch.Tensor | None = None) -> Batch:
    number = len(target)
    weight = torch.ones(number) if weight is None else weight
    return Batch({"features": torch.zeros(number, 1)}, weight, torch.zeros(number, dtype=torch.int64), target)


def normal(events: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(events, 2, generator=torch.Generator().manual_seed(seed))


def test_score_is_the_sum_of_squared_pulls() -> None:
    events = batch(torch.tensor([[3.0, 1.0], [0.0, -4.0]]))
    outputs = {"prediction": torch.tensor([[1.0, 1.0], [0.0, 0.0]]), "spread": torch.tensor([[2.0, 1.0], [1.0, 4.0]])}
    state = {"scale": np.array([0.5, 2.0])}
    assert ResidualPull().score(events, outputs, state, NETWORK).tolist() == [4.0, 0.25]
    del outputs["spread"]
    assert ResidualPull().score(events, outputs, state, NETWORK).tolist() == [16.0, 4.0]


@given(widths=st.tuples(st.floats(0.1, 50), st.floats(0.1, 50)), shift=st.floats(-100, 100))
def test_residuals_of_any_width_have_chi_squared_scores(widths: tuple[float, float], shift: float) -> None:
    residual = normal(4000) * torch.tensor(widths)
    events, outputs = batch(residual + shift), {"prediction": torch.full((4000, 2), shift)}
    state = ResidualPull().fit([(events, outputs)])
    np.testing.assert_allclose(state["scale"], widths, rtol=0.05)
    scores = ResidualPull().score(events, outputs, state, NETWORK)
    assert stats.kstest(scores.numpy(), "chi2", args=(2,)).statistic < 0.03


def test_a_spread_that_is_true_has_scale_one_and_one_that_is_wrong_is_put_right() -> None:
    spread = 1 + normal(4000, seed=2).abs()
    events, zero = batch(normal(4000) * spread), torch.zeros(4000, 2)
    true = ResidualPull().fit([(events, {"prediction": zero, "spread": spread})])
    np.testing.assert_allclose(true["scale"], [1, 1], rtol=0.05)
    double = {"prediction": zero, "spread": 2 * spread}
    wrong = ResidualPull().fit([(events, double)])
    np.testing.assert_allclose(wrong["scale"], true["scale"] / 2, rtol=1e-6)


def test_tails_do_not_move_the_scale() -> None:
    residual = normal(4000)
    spoilt = residual.clone()
    spoilt[:40] = 1e6
    clean, tail = (
        ResidualPull().fit([(batch(values), {"prediction": torch.zeros(4000, 2)})])["scale"]
        for values in (residual, spoilt)
    )
    np.testing.assert_allclose(tail, clean, rtol=0.05)


@given(seed=st.integers(0, 2**32 - 1), pieces=st.integers(1, 5))
def test_scale_counts_an_event_of_weight_two_twice_and_does_not_depend_on_batches(seed: int, pieces: int) -> None:
    target, count = normal(60, seed), torch.tensor([1, 2, 3] * 20)
    prediction = torch.zeros(60, 2)
    once = [
        (batch(target[index], count[index].float()), {"prediction": prediction[index]})
        for index in torch.arange(60).chunk(pieces)
    ]
    twice = batch(target.repeat_interleave(count, 0))
    whole = [(twice, {"prediction": torch.zeros(len(twice), 2)})]
    np.testing.assert_array_equal(ResidualPull().fit(once)["scale"], ResidualPull().fit(whole)["scale"])


def test_a_perfect_prediction_divides_by_nothing() -> None:
    events = batch(normal(10))
    assert events.target is not None
    outputs = {"prediction": events.target}
    state = ResidualPull().fit([(events, outputs)])
    assert ResidualPull().score(events, outputs, state, NETWORK).tolist() == [0] * 10


def test_events_without_target_are_one_clear_error() -> None:
    events = replace(batch(normal(3)), target=None)
    outputs = {"prediction": torch.zeros(3, 2)}
    with pytest.raises(InputError, match="residual_pull compares a prediction with the target, and these events have"):
        ResidualPull().score(events, outputs, {"scale": np.ones(2)}, NETWORK)
    with pytest.raises(InputError, match="the reader's option targets names the columns"):
        ResidualPull().fit([(events, outputs)])
