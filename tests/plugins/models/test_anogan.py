"""AnoGAN's search: the same alone and in a batch, the same twice, and near the best that a generator can do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from adversaries import MODELS, SCHEMA, batch, build, trained
from torch import Tensor, nn

from hepanom_plugins.models.anogan import AnoGAN, AnoGANNetwork


def searched(network: nn.Module, features: Tensor) -> dict[str, Tensor]:
    """Return the outputs of events with these features, as scoring finds them."""
    with torch.inference_mode():
        events = batch(len(features))
        found: dict[str, Tensor] = network(replace(events, inputs={"features": features.clone()}))
        return found


def linear(**options: float) -> AnoGANNetwork:
    """Return a network whose generator is z -> (z, 0)."""
    network = build(AnoGAN(hidden=(), latent=1, **options))
    assert isinstance(network, AnoGANNetwork)
    (node,) = network.gan.generator
    assert isinstance(node, nn.Linear)
    node.weight, node.bias = nn.Parameter(torch.tensor([[1.0], [0.0]])), nn.Parameter(torch.zeros(2))
    return network.eval()


def test_an_event_is_given_back_as_the_nearest_that_the_generator_makes() -> None:
    features = torch.tensor([[0.7, 0.0], [-1.5, 2.0], [2.5, -4.0]])
    found = searched(linear(steps=400, search_lr=0.1), features)
    torch.testing.assert_close(found["latent_mean"], features[:, :1], rtol=0, atol=0.01)
    torch.testing.assert_close(found["reconstruction"], features * torch.tensor([1.0, 0.0]), rtol=0, atol=0.01)
    assert found["feature_distance"].numpy() == pytest.approx([0, 2, 4], abs=0.01)  # no hidden layer: f is the event


def test_an_event_is_the_same_alone_in_a_batch_and_twice() -> None:
    network, _ = trained("anogan")
    features = batch(64, 5).inputs["features"]
    whole, again = searched(network, features), searched(network, features)
    alone = [searched(network, features[index : index + 1]) for index in range(8)]
    for key, value in whole.items():
        assert torch.equal(value, again[key])
        assert not value.requires_grad
        torch.testing.assert_close(torch.cat([each[key] for each in alone]), value[:8], rtol=1e-5, atol=1e-6)


def test_a_search_leaves_the_network_and_the_generator_of_noise_as_they_were() -> None:
    network = build(MODELS["anogan"])
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = torch.get_rng_state()
    searched(network.eval(), batch(5).inputs["features"])
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())


def test_starts_are_those_of_the_run_and_stored_with_the_network() -> None:
    first, second = build(MODELS["anogan"]), build(MODELS["anogan"])
    assert torch.equal(first.state_dict()["starts"], second.state_dict()["starts"])
    torch.manual_seed(5)
    other = MODELS["anogan"].build(SCHEMA)
    assert not torch.equal(first.state_dict()["starts"], other.state_dict()["starts"])


def test_more_starts_and_more_steps_find_nearer_events() -> None:
    features = batch(200, 5).inputs["features"]
    weights = trained("anogan")[0].state_dict()
    length = {}
    for starts, steps in ((1, 0), (1, 60), (6, 60)):
        network = AnoGAN(hidden=(32, 32), latent=2, starts=starts, steps=steps, feature_share=0.0).build(SCHEMA)
        codes = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
        network.load_state_dict({**weights, "starts": torch.cat([weights["starts"], codes])[:starts]})
        found = searched(network.eval(), features)
        length[starts, steps] = (features - found["reconstruction"]).abs().sum(1)
    assert length[1, 60].mean() < 0.5 * length[1, 0].mean()
    assert (length[6, 60] <= length[1, 60] + 1e-6).all()
    assert length[6, 60].mean() < length[1, 60].mean()
