"""Latent penalties: the divergences against torch.distributions and double sums, beta, warm-up and free bits."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from hepanom_plugins.models.latent import Regularization, kl, mmd

KERNELS = ("rbf", "inverse_multiquadric")
seeds = st.integers(0, 2**31)


def kernel(a: list[float], b: list[float], name: str) -> float:
    """Return the kernel of two codes as the docstring of mmd writes it."""
    squared = sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    scale = 2 * len(a)
    return math.exp(-squared / scale) if name == "rbf" else scale / (scale + squared)


def double_sum(codes: Tensor, weight: Tensor, prior: Tensor, name: str) -> float:
    """Return the squared maximum mean discrepancy, one pair after the other."""
    events, draws = list(zip(codes.tolist(), weight.tolist(), strict=True)), prior.tolist()
    total = sum(w for _, w in events)
    within = between = among = 0.0
    for z, w in events:
        for other, v in events:
            within += w * v * kernel(z, other, name) / total**2
        for p in draws:
            between += w * kernel(z, p, name) / (total * len(draws))
    for p in draws:
        for other in draws:
            among += kernel(p, other, name) / len(draws) ** 2
    return within + among - 2 * between


def drawn(seed: int, events: int, latent: int, spread: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Return codes, their weights, and draws of the prior, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    codes = spread * torch.randn(events, latent, generator=generator, dtype=torch.float64) + 0.5
    weight = torch.rand(events, generator=generator, dtype=torch.float64) + 0.1
    return codes, weight, torch.randn(9, latent, generator=generator, dtype=torch.float64)


@given(seed=seeds, spread=st.floats(0.05, 5), latent=st.integers(1, 6))
def test_kl_is_that_of_torch_distributions(seed: int, spread: float, latent: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mean, log_variance = spread * torch.randn(2, 7, latent, generator=generator, dtype=torch.float64)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(kl(mean, log_variance), expected)
    weighted = Regularization(beta=3.0).penalty(mean, log_variance, torch.ones(7).double(), 3.0)
    torch.testing.assert_close(weighted["kl"], 3.0 * expected.sum(1))


@pytest.mark.parametrize("name", KERNELS)
@given(seed=seeds, events=st.integers(1, 8), latent=st.integers(1, 5), spread=st.floats(0.01, 10))
def test_mmd_is_the_weighted_double_sum(name: str, seed: int, events: int, latent: int, spread: float) -> None:
    codes, weight, prior = drawn(seed, events, latent, spread)
    expected = double_sum(codes, weight, prior, name)
    assert float(mmd(codes, weight, prior, name)) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert expected >= -1e-12


@pytest.mark.parametrize("name", KERNELS)
def test_an_event_of_weight_two_is_the_event_twice_in_the_mmd(name: str) -> None:
    codes, _, prior = drawn(3, 6, 4)
    codes.requires_grad_()
    count = torch.tensor([1, 2, 3, 1, 2, 1])
    once = mmd(codes, count.double(), prior, name)
    twice = mmd(codes.repeat_interleave(count, 0), torch.ones(10).double(), prior, name)
    torch.testing.assert_close(once, twice)
    torch.testing.assert_close(*(torch.autograd.grad(value, codes)[0] for value in (once, twice)))


@pytest.mark.parametrize("name", KERNELS)
def test_the_mmd_vanishes_for_the_draws_themselves_and_grows_with_the_distance(name: str) -> None:
    prior = drawn(5, 1, 3)[2]
    weight = torch.ones(len(prior)).double()
    distances = [float(mmd(prior + shift, weight, prior, name)) for shift in (0.0, 0.3, 1.0, 3.0)]
    assert distances[0] == pytest.approx(0, abs=1e-12)
    assert distances == sorted(distances)


@pytest.mark.parametrize("name", KERNELS)
def test_the_mmd_keeps_pairs_of_events_and_not_pairs_times_dimensions(name: str) -> None:
    codes, weight, prior = drawn(1, 60, 30)
    codes.requires_grad_()
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        mmd(codes, weight, prior, name)
    assert max(kept) == 60 * 60


@pytest.mark.parametrize("name", KERNELS)
def test_mixed_precision_leaves_the_mmd_as_it_is(name: str) -> None:
    codes, weight, prior = (tensor.float() for tensor in drawn(2, 60, 3))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = mmd(codes, weight, prior, name)
    assert float(mixed) == pytest.approx(double_sum(codes, weight, prior, name), rel=1e-3)


@pytest.mark.parametrize("regularization", ["kl", "mmd"])
def test_beta_is_applied_once_and_the_penalty_is_there_by_default(regularization: Literal["kl", "mmd"]) -> None:
    codes, weight, _ = drawn(4, 20, 3)
    log_variance = torch.zeros_like(codes) if regularization == "kl" else None
    terms = []
    for beta in (1.0, 10.0):
        options = Regularization(beta=beta, regularization=regularization)
        torch.manual_seed(0)
        (term,) = options.penalty(codes.float(), log_variance, weight.float(), options.beta_at(0.0)).values()
        terms.append(term)
    assert Regularization().regularization == "kl"
    assert Regularization().beta_at(0.0) == 1
    assert (terms[0] > 0).all()
    torch.testing.assert_close(terms[1], 10 * terms[0])


@given(progress=st.floats(0, 1), warmup=st.floats(0.05, 1))
def test_beta_rises_linearly_over_the_warm_up(progress: float, warmup: float) -> None:
    assert Regularization(beta=4.0, warmup=warmup).beta_at(progress) == pytest.approx(4 * min(1, progress / warmup))


@given(bits=st.floats(0.01, 2), seed=seeds)
def test_free_bits_hold_the_weighted_mean_of_each_dimension(bits: float, seed: int) -> None:
    mean, weight, _ = drawn(seed, 12, 4)
    each = kl(mean, 0.3 * mean)
    average = (each * weight[:, None]).sum(0) / weight.sum()
    held = Regularization().divergence(mean, 0.3 * mean, weight, bits) @ weight / weight.sum()
    torch.testing.assert_close(held, average.clamp(min=bits).sum())


def test_codes_are_drawn_with_their_spread_or_are_their_mean() -> None:
    mean, log_variance = torch.full((200_000, 1), 2.0), torch.full((200_000, 1), math.log(9.0))
    torch.manual_seed(1)
    codes = Regularization().draw(mean, log_variance)
    assert float(codes.mean()) == pytest.approx(2, abs=0.03)
    assert float(codes.std()) == pytest.approx(3, abs=0.03)
    assert Regularization(regularization="mmd").draw(mean, None) is mean


def test_without_a_penalty_there_is_no_term_and_one_head() -> None:
    mean, log_variance = Regularization(regularization="none").split(torch.ones(5, 4))
    assert log_variance is None
    assert mean.shape == (5, 4)
    assert Regularization(regularization="none").penalty(mean, None, torch.ones(5), 1.0) == {}
    assert [Regularization(regularization=kind).heads for kind in ("kl", "mmd", "none")] == [2, 1, 1]
    mean, log_variance = Regularization().split(torch.full((5, 4), 50.0))
    assert log_variance is not None
    assert float(log_variance.max()) == 10
