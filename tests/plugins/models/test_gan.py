"""The adversarial networks: their losses against the papers' formulas, what stops them, and their players."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from adversaries import MODELS, batch, build, trained
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from torch import Tensor, nn

from hepanom.contracts import Network
from hepanom.events import Input, Schema
from hepanom_plugins.models import collapse
from hepanom_plugins.models.gan import GAN, AdversarialNetwork, energy_score
from hepanom_plugins.models.wgan_gp import WGANGP, gradient_penalty

seeds = st.integers(0, 2**31)


def seeded(network: Network, player: str, seed: int = 9) -> dict[str, Tensor]:
    """Return the loss terms with the noise of a seed."""
    torch.manual_seed(seed)
    return network.loss(player, batch(30), 1.0)


def test_losses_are_the_cross_entropies_of_the_thesis() -> None:
    network = build(GAN())
    assert isinstance(network, AdversarialNetwork)
    torch.manual_seed(9)
    fake = network.generator(torch.randn(30, 8)).double()
    real = batch(30).inputs["features"].double()
    d = network.critic.double()
    real, fake = d(real).sigmoid(), d(fake).sigmoid()
    network.float()
    critic, generator = seeded(network, "critic"), seeded(network, "generator")
    torch.testing.assert_close(critic["real"].double(), -real.log(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(critic["generated"].double(), -(1 - fake).log(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(generator["adversarial"].double(), -fake.log(), rtol=1e-5, atol=1e-6)


def test_wasserstein_losses_are_the_critics_values() -> None:
    network = build(WGANGP())
    assert isinstance(network, AdversarialNetwork)
    torch.manual_seed(9)
    fake = network.critic(network.generator(torch.randn(30, 8)))
    critic, generator = seeded(network, "critic"), seeded(network, "generator")
    torch.testing.assert_close(critic["real"], -network.critic(batch(30).inputs["features"]))
    torch.testing.assert_close(critic["generated"], fake)
    torch.testing.assert_close(generator["adversarial"], -fake)


@given(seed=seeds, factor=st.floats(0, 20), length=st.floats(0.1, 5))
def test_gradient_penalty_of_a_linear_critic_is_its_closed_form(seed: int, factor: float, length: float) -> None:
    network = build(WGANGP(hidden=(), gradient_penalty=factor))
    assert isinstance(network, AdversarialNetwork)
    weight = torch.randn(1, 2, generator=torch.Generator().manual_seed(seed))
    network.critic.node.weight = nn.Parameter(length * weight / weight.norm())
    penalty = seeded(network, "critic", seed)["gradient_penalty"]
    torch.testing.assert_close(penalty, torch.full((30,), factor * (length - 1) ** 2), rtol=1e-4, atol=1e-4)


def test_gradient_penalty_is_taken_between_real_and_generated_events() -> None:
    seen: list[Tensor] = []

    def half_square(x: Tensor) -> Tensor:  # its gradient at x is x
        seen.append(x.detach())
        return x.square().sum(1) / 2

    real, fake = torch.tensor([[2.0, 0.0]]).expand(500, 2), torch.tensor([[0.0, 2.0]]).expand(500, 2)
    torch.manual_seed(1)
    penalty = gradient_penalty(half_square, real, fake)
    (between,) = seen
    torch.testing.assert_close(penalty.detach(), (between.norm(dim=1) - 1).square())
    share = between[:, 0] / 2
    torch.testing.assert_close(between.sum(1), torch.full((500,), 2.0))
    assert ((share > 0) & (share < 1)).all()
    assert float(share.mean()) == pytest.approx(0.5, abs=0.05)  # U(0, 1): mean 1/2, variance 1/12
    assert float(share.var()) == pytest.approx(1 / 12, abs=0.02)


def test_the_penalised_critic_does_not_mix_the_events_of_a_batch() -> None:
    network = build(WGANGP(batch_norm=True))
    norms = {name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm1d)}
    assert norms
    assert all(name.startswith("generator") for name in norms)


@pytest.mark.parametrize("name", MODELS)
def test_a_player_moves_its_own_parameters_only_and_reads_no_gradient_of_the_others(name: str) -> None:
    network = build(MODELS[name])
    gradients = {}
    for order in (["critic", "generator"], ["generator", "critic"]):
        network.zero_grad()
        for player in order:
            for parameter in network.players()[player].parameters:
                parameter.grad = None  # as the training loop does before a player's step
            sum(seeded(network, player).values()).sum().backward()
            found = [parameter.grad.clone() for parameter in network.players()[player].parameters]
            for left, right in zip(found, gradients.setdefault(player, found), strict=True):
                assert torch.equal(left, right)
    network.zero_grad()
    sum(seeded(network, "critic").values()).sum().backward()
    assert all(parameter.grad is None for parameter in network.players()["generator"].parameters)


@pytest.mark.parametrize("name", MODELS)
def test_steps_learning_rates_and_betas_are_those_of_the_options(name: str) -> None:
    options = type(MODELS[name])(hidden=(4,), critic_steps=3, critic_lr=0.1, generator_lr=0.2)
    players = build(options).players()
    assert list(players) == ["critic", "generator"]
    assert (players["critic"].steps, players["generator"].steps) == (3, 1)
    assert (players["critic"].optimizer, players["generator"].optimizer) == ({"lr": 0.1}, {"lr": 0.2})
    (critic, generator) = build(type(MODELS[name])(hidden=(4,), generator_lr=0.2, betas=(0.0, 0.9))).players().values()
    assert (critic.optimizer, generator.optimizer) == ({"betas": (0.0, 0.9)}, {"lr": 0.2, "betas": (0.0, 0.9)})
    assert build(MODELS[name]).players()["critic"].optimizer == {}


@pytest.mark.parametrize("name", MODELS)
def test_weight_penalties_are_those_of_the_players_own_weights(name: str) -> None:
    network = build(type(MODELS[name])(hidden=(4,), l1=0.5, l2=2.0))
    for player, who in network.players().items():
        weights = torch.cat([parameter.detach().flatten() for parameter in who.parameters if parameter.ndim == 2])
        terms = seeded(network, player)
        torch.testing.assert_close(terms["l1"], (0.5 * weights.abs().sum()).expand(30))
        torch.testing.assert_close(terms["l2"], (2.0 * weights.square().sum()).expand(30))


@given(seed=seeds)
def test_energy_score_is_that_of_a_direct_sum(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(5, 3, generator=generator), torch.randn(7, 3, generator=generator)
    expected = cdist(x, y).mean(1) - cdist(y, y).sum() / (2 * 7 * 6)
    np.testing.assert_allclose(energy_score(x, y), expected, rtol=1e-5)


def test_energy_score_is_lower_for_a_better_generator() -> None:
    generator = torch.Generator().manual_seed(1)
    real = torch.randn(4000, 3, generator=generator)
    noise = torch.randn(4000, 3, generator=generator)
    right = energy_score(real, noise).mean()
    for wrong in (noise * 1e-3, 2 * noise, noise + 0.5, noise * torch.tensor([1.0, 1.0, 0.1])):
        assert energy_score(real, wrong).mean() > right + 0.01


@pytest.mark.parametrize("name", MODELS)
def test_training_lowers_what_look_back_stopping_watches(name: str) -> None:
    network, _ = trained(name)
    torch.manual_seed(1)
    with torch.no_grad():
        before, after = (float(each.eval().validate(batch(500)).mean()) for each in (build(MODELS[name]), network))
    assert after < before - 0.2


@pytest.mark.parametrize("name", MODELS)
def test_every_epoch_records_the_players_terms_and_the_guards_against_collapse(name: str) -> None:
    _, records = trained(name)
    terms = {"critic/real", "critic/generated", "generator/adversarial"}
    assert all(terms <= set(record.losses) for record in records)
    assert all(set(collapse.NAMES) <= set(record.diagnostics) for record in records)
    assert all(record.diagnostics["variance_ratio"] > 0 for record in records)


def test_an_image_is_its_pixels_side_by_side() -> None:
    schema = Schema({"image": Input("image", ("charge",), ("",), (3, 2))})
    torch.manual_seed(1)
    network = GAN(hidden=(4,)).build(schema)
    assert isinstance(network, AdversarialNetwork)
    assert network.generate(5).shape == (5, 1, 3, 2)
