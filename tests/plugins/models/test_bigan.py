"""The bidirectional network's losses against the paper's formulas."""

from __future__ import annotations

import pytest
import torch
from adversaries import MODELS, batch, build, trained
from torch import Tensor
from torch.nn.functional import softplus

from hepanom.contracts import Network
from hepanom_plugins.models.bigan import BiGAN, BiGANNetwork


def seeded(network: Network, player: str) -> dict[str, Tensor]:
    """Return the loss terms with the noise of seed 9."""
    torch.manual_seed(9)
    return network.loss(player, batch(30), 1.0)


@pytest.mark.parametrize("cycle", [True, False])
def test_losses_swap_what_the_critic_calls_real(cycle: bool) -> None:
    network = build(BiGAN(hidden=(6,), latent=2, cycle=cycle))
    assert isinstance(network, BiGANNetwork)
    torch.manual_seed(9)
    z, x = torch.randn(30, 2), batch(30).inputs["features"]
    code, made = network.encoder(x), network.generator(z)
    real, fake = network.pair(torch.hstack([x, code])), network.pair(torch.hstack([made, z]))
    expected = {
        "critic": {"real": softplus(-real), "generated": softplus(fake)},
        "generator": {"encoded": softplus(real), "adversarial": softplus(-fake)},
    }
    if cycle:
        assert network.cycle is not None
        same, rebuilt = (network.cycle(torch.hstack([x, other])) for other in (x, network.generator(code)))
        expected["critic"] |= {"cycle_real": softplus(-same), "cycle_generated": softplus(rebuilt)}
        expected["generator"]["cycle"] = softplus(-rebuilt)
    for player, terms in expected.items():
        found = seeded(network, player)
        assert found.keys() == terms.keys()
        for key, value in terms.items():
            torch.testing.assert_close(found[key], value)


def test_feature_distance_is_that_of_the_critics_last_hidden_layer() -> None:
    network = build(BiGAN(hidden=(6, 5), latent=2, cycle=False))
    assert isinstance(network, BiGANNetwork)
    x = batch(30).inputs["features"]
    found = network(batch(30))
    code, rebuilt = found["latent_mean"], found["reconstruction"]
    torch.testing.assert_close(rebuilt, network.generator(code))
    seen, other = (network.pair.features(torch.hstack([each, code])) for each in (x, rebuilt))
    assert seen.shape == (30, 5)
    torch.testing.assert_close(found["feature_distance"], (seen - other).abs().sum(1))


def test_encoder_and_generator_learn_to_undo_each_other() -> None:
    events = batch(500, 5)
    error = {}
    for when, network in (("before", build(MODELS["bigan"])), ("after", trained("bigan")[0])):
        with torch.no_grad():
            rebuilt = network(events)["reconstruction"]
        error[when] = float((rebuilt - events.inputs["features"]).norm(dim=1).mean())
    assert error["after"] < 0.5 * error["before"]
