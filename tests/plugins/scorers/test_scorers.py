"""The scorers: each against its formula, the sampled bound against the exact one, and the same bits twice."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from hepanom.contracts import Batch, Network, Outputs, Scorer
from hepanom.events import Input, Schema
from hepanom_plugins.models.autoencoder import Autoencoder
from hepanom_plugins.models.vae import VAE, VAENetwork
from hepanom_plugins.scorers.elbo import Elbo
from hepanom_plugins.scorers.latent import KL, LatentMu2
from hepanom_plugins.scorers.reconstruction import Reconstruction

SCHEMA = Schema({"features": Input("table", tuple("abcd"), ("",) * 4)})


def batch(events: int = 50) -> Batch:
    features = torch.randn(events, 4, generator=torch.Generator().manual_seed(1))
    return Batch({"features": features}, torch.ones(events), torch.zeros(events, dtype=torch.int64))


def build(model: VAE | Autoencoder) -> Network:
    torch.manual_seed(6)
    return model.build(SCHEMA).eval()


def scored(scorer: Scorer, network: Network, events: Batch) -> torch.Tensor:
    with torch.no_grad():
        return scorer.score(events, network(events), {}, network)


@pytest.fixture(scope="module")
def vae() -> Network:
    return build(VAE(hidden=(6,), latent=3))


def outputs(network: Network, events: Batch) -> Outputs:
    with torch.no_grad():
        return network(events)


@pytest.mark.parametrize("model", [VAE(hidden=(6,)), Autoencoder(hidden=(6,))])
def test_reconstruction_is_the_mean_squared_error_and_its_parts_sum_to_it(model: VAE | Autoencoder) -> None:
    network, events = build(model), batch()
    found = outputs(network, events)
    squares = np.square(events.inputs["features"].numpy() - found["reconstruction"].numpy())
    parts = Reconstruction().explain(events, found, {}, network)
    assert parts.numpy() == pytest.approx(squares / 4, rel=1e-5)
    score = scored(Reconstruction(), network, events)
    assert score.numpy() == pytest.approx(squares.mean(1), rel=1e-5)
    assert parts.sum(1).numpy() == pytest.approx(score.numpy(), rel=1e-6)


@pytest.mark.parametrize("model", [VAE(hidden=(6,)), Autoencoder(hidden=(6,))])
def test_an_image_is_scored_over_all_pixels_whose_parts_sum_to_it(model: VAE | Autoencoder) -> None:
    torch.manual_seed(6)
    network = model.build(Schema({"image": Input("image", ("charge",), ("",), (2, 2))})).eval()
    plain = batch()
    events = Batch({"image": plain.inputs["features"].reshape(50, 1, 2, 2)}, plain.weight, plain.label)
    found = outputs(network, events)
    squares = np.square(events.inputs["image"].numpy() - found["reconstruction"].numpy())
    score = scored(Reconstruction(), network, events)
    assert score.numpy() == pytest.approx(squares.mean((1, 2, 3)), rel=1e-5)
    assert Reconstruction().explain(events, found, {}, network).numpy() == pytest.approx(squares / 4, rel=1e-5)
    if isinstance(model, VAE):
        torch.testing.assert_close(
            scored(Elbo(samples=2), network, events), scored(Elbo(samples=2), build(model), plain)
        )


def test_kl_is_that_of_torch_distributions(vae: Network) -> None:
    found = outputs(vae, batch())
    q = Normal(found["latent_mean"], (found["latent_log_variance"] / 2).exp())
    torch.testing.assert_close(scored(KL(), vae, batch()), kl_divergence(q, Normal(0.0, 1.0)).sum(1))


def test_latent_mu2_is_the_squared_length_of_the_mean(vae: Network) -> None:
    expected = np.square(outputs(vae, batch())["latent_mean"].numpy()).sum(1)
    assert scored(LatentMu2(), vae, batch()).numpy() == pytest.approx(expected, rel=1e-6)


def test_elbo_without_samples_is_the_bound_at_the_mean(vae: Network) -> None:
    assert isinstance(vae, VAENetwork)
    found = outputs(vae, batch())
    mean, log_variance = (value.detach() for value in vae.likelihood(found["latent_mean"]))
    likelihood = Normal(mean, (log_variance / 2).exp()).log_prob(batch().inputs["features"]).sum(1)
    torch.testing.assert_close(scored(Elbo(), vae, batch()), scored(KL(), vae, batch()) - likelihood)


def test_elbo_with_samples_gives_the_same_bits_twice_whatever_was_drawn_between(vae: Network) -> None:
    first = scored(Elbo(samples=5, seed=3), vae, batch())
    torch.rand(7)
    assert torch.equal(first, scored(Elbo(samples=5, seed=3), vae, batch()))
    assert not torch.equal(first, scored(Elbo(samples=5, seed=4), vae, batch()))


def test_every_event_meets_the_same_noise(vae: Network) -> None:
    events = batch()
    reverse = Batch({"features": events.inputs["features"].flip(0)}, events.weight, events.label)
    torch.testing.assert_close(scored(Elbo(samples=5), vae, reverse).flip(0), scored(Elbo(samples=5), vae, events))


@pytest.mark.parametrize("samples", [8, 256])
def test_sampled_elbo_converges_to_the_expectation(samples: int) -> None:
    """For a linear decoder E (x_i - x'_i)^2 grows by sum_j W_ij^2 s_j^2; the error falls as 1 / sqrt(samples)."""
    network, events = build(VAE(hidden=(), latent=2, decoder="fixed", variance=0.5)), batch(100)
    network.encoder[-1].bias.data[2:] = torch.tensor([1.0, -1.0])
    found = outputs(network, events)
    brought = found["latent_log_variance"].exp() @ network.decoder[-1].weight.detach().square().T
    squares = (events.inputs["features"] - found["reconstruction"]).square() + brought
    likelihood = -(squares / 0.5 + math.log(2 * math.pi * 0.5)).sum(1) / 2
    exact = scored(KL(), network, events) - likelihood
    one, many = (
        torch.stack([scored(Elbo(samples=number, seed=seed), network, events) - exact for seed in range(8)])
        for number in (1, samples)
    )
    errors = many.square().mean().sqrt() / one.square().mean().sqrt() * math.sqrt(samples)
    assert 0.5 < float(errors) < 2
    assert scored(Elbo(), network, events).mean() < exact.mean()
