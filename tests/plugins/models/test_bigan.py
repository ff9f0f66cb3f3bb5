"""The bidirectional network's losses against the paper's formulas, and the guards against collapse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from adversaries import MODELS, batch, build, trained
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from torch import Tensor
from torch.nn.functional import softplus

from hepanom.contracts import Network
from hepanom_plugins.models.bigan import BiGAN, BiGANNetwork
from hepanom_plugins.models.collapse import diagnostics, two_sample_auc


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
        found.pop("variance_ratio", None)
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


def test_two_sample_auc_is_that_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(1)
    real, made = torch.randn(80, 3, generator=generator), 0.3 + torch.randn(60, 3, generator=generator)
    weight = torch.rand(80, generator=generator)
    rows = np.vstack([real[1::2], made[1::2]])
    nearest = [NearestNeighbors(n_neighbors=1).fit(each[::2]).kneighbors(rows)[0][:, 0] for each in (real, made)]
    truth, weights = np.repeat([1, 0], [40, 30]), np.concatenate([weight[1::2], np.ones(30)])
    expected = roc_auc_score(truth, nearest[1] - nearest[0], sample_weight=weights)
    assert float(two_sample_auc(real, made, weight)) == pytest.approx(expected, abs=1e-6)


def test_two_sample_auc_tells_a_collapsed_generator() -> None:
    generator = torch.Generator().manual_seed(1)
    real, good = torch.randn(2, 600, 3, generator=generator)
    weight = torch.ones(600)
    assert abs(float(two_sample_auc(real, good, weight)) - 0.5) < 0.06
    assert float(two_sample_auc(real, 0.01 * good, weight)) > 0.95
    assert float(two_sample_auc(real, good + 2, weight)) > 0.85


@pytest.mark.parametrize("name", MODELS)
def test_diagnostics_tell_a_trained_generator_from_a_collapsed_one(name: str) -> None:
    network, _ = trained(name)
    torch.manual_seed(1)
    found = diagnostics(network, batch(400, 5))
    assert found.keys() == {"critic_gap", "variance_ratio", "two_sample_auc"}
    assert found["variance_ratio"] > 0.02
    collapsed = build(MODELS[name]).eval()
    for parameter in collapsed.players()["generator"].parameters:
        torch.nn.init.zeros_(parameter)
    found = diagnostics(collapsed, batch(400, 5))
    assert found["variance_ratio"] == 0
    assert found["two_sample_auc"] > 0.9
