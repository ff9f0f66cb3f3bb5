"""The variational autoencoder: its densities against torch.distributions, beta, warm-up and free bits."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from hepanom.contracts import Batch, Network
from hepanom.events import Input, Schema
from hepanom_plugins.models.latent import kl
from hepanom_plugins.models.vae import VAE, VAENetwork, negative_log_likelihood

SCHEMA = Schema({"features": Input("table", tuple("abc"), ("",) * 3)})
seeds = st.integers(0, 2**31)


def batch(events: int = 40, seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(events, 3, generator=generator)
    weight = torch.rand(events, generator=generator) + 0.1
    return Batch({"features": features}, weight, torch.zeros(events, dtype=torch.int64))


def build(**options: object) -> Network:
    torch.manual_seed(4)
    return VAE(hidden=(5,), **options).build(SCHEMA)


def seeded(network: Network, events: Batch, progress: float = 1.0) -> dict[str, Tensor]:
    """Return the loss terms with the noise of seed 9."""
    torch.manual_seed(9)
    return network.loss("network", events, progress)


@given(seed=seeds, spread=st.floats(0.1, 3))
def test_kl_is_that_of_torch_distributions(seed: int, spread: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    mean, log_variance = spread * torch.randn(2, 7, 3, generator=generator, dtype=torch.float64)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(kl(mean, log_variance), expected)
    assert (kl(mean, log_variance) >= 0).all()


@given(seed=seeds, spread=st.floats(0.1, 3))
def test_negative_log_likelihood_is_that_of_torch_distributions(seed: int, spread: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, mean, log_variance = spread * torch.randn(3, 7, 4, generator=generator, dtype=torch.float64)
    expected = -Normal(mean, (log_variance / 2).exp()).log_prob(x).sum(1)
    torch.testing.assert_close(negative_log_likelihood(x, mean, log_variance), expected)
    one = log_variance[0, 0]
    expected = -Normal(mean, float((one / 2).exp())).log_prob(x).sum(1)
    torch.testing.assert_close(negative_log_likelihood(x, mean, one), expected)


@pytest.mark.parametrize("options", [{}, {"decoder": "fixed", "variance": 0.25}, {"beta": 3.0}, {"latent": 4}])
def test_loss_is_the_negative_evidence_lower_bound_at_one_draw(options: dict[str, object]) -> None:
    network, events = build(**options), batch()
    terms = seeded(network, events)
    torch.manual_seed(9)
    q = network(events)
    noise = torch.randn_like(q["latent_mean"])
    assert isinstance(network, VAENetwork)
    mean, log_variance = network.likelihood(q["latent_mean"] + (q["latent_log_variance"] / 2).exp() * noise)
    p = Normal(mean, (log_variance / 2).exp().expand_as(mean))
    torch.testing.assert_close(terms["negative_log_likelihood"], -p.log_prob(events.inputs["features"]).sum(1))
    prior = kl_divergence(Normal(q["latent_mean"], (q["latent_log_variance"] / 2).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(terms["kl"], options.get("beta", 1.0) * prior)
    if "variance" in options:
        assert float(log_variance) == pytest.approx(math.log(0.25))


@given(progress=st.floats(0, 1), warmup=st.floats(0.05, 1))
def test_beta_rises_linearly_over_the_warm_up(progress: float, warmup: float) -> None:
    events = batch()
    full, part = build(beta=2.0), build(beta=2.0, warmup=warmup)
    expected = seeded(full, events, progress)["kl"] * min(1.0, progress / warmup)
    torch.testing.assert_close(seeded(part, events, progress)["kl"], expected)


@given(bits=st.floats(0.01, 1), seed=seeds)
def test_free_bits_hold_each_dimension_at_what_costs_nothing(bits: float, seed: int) -> None:
    network, events = build(latent=4, free_bits=bits, beta=2.0), batch(seed=seed)
    outputs = network(events)
    each = kl(outputs["latent_mean"], outputs["latent_log_variance"])
    average = (each * events.weight[:, None]).sum(0) / events.weight.sum()
    loss = (seeded(network, events)["kl"] @ events.weight) / events.weight.sum()
    torch.testing.assert_close(loss, 2.0 * average.clamp(min=bits).sum())


def test_free_bits_stop_the_push_and_leave_validation_alone() -> None:
    events = batch()
    network = build(free_bits=50.0)
    seeded(network, events)["kl"].sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in network.encoder.parameters())
    torch.manual_seed(9)
    judged = network.validate(events)
    plain = build()
    terms = seeded(plain, events)
    torch.testing.assert_close(judged, terms["negative_log_likelihood"] + terms["kl"])


def test_penalties_train_but_do_not_judge() -> None:
    events = batch()
    terms = seeded(build(l1=0.1, l2=0.1), events)
    assert set(terms) == {"negative_log_likelihood", "kl", "l1", "l2"}
    torch.manual_seed(9)
    judged = build(l1=0.1, l2=0.1).validate(events)
    torch.manual_seed(9)
    torch.testing.assert_close(build().validate(events), judged)


def test_outputs_are_at_the_mean_or_the_asked_number_of_standard_deviations_from_it() -> None:
    network, events = build().eval(), batch()
    assert isinstance(network, VAENetwork)
    still, moved = network(events), network(events, torch.tensor([1.0, -2.0]))
    code = still["latent_mean"] + (still["latent_log_variance"] / 2).exp() * torch.tensor([1.0, -2.0])
    for outputs, z in ((still, still["latent_mean"]), (moved, code)):
        mean, log_variance = network.likelihood(z)
        torch.testing.assert_close(outputs["reconstruction"], mean)
        expected = Normal(mean, (log_variance / 2).exp()).log_prob(events.inputs["features"]).sum(1)
        torch.testing.assert_close(outputs["log_likelihood"], expected)


def test_an_image_is_its_pixels_side_by_side() -> None:
    events = batch()
    image = Batch({"image": events.inputs["features"].reshape(40, 1, 1, 3)}, events.weight, events.label)
    torch.manual_seed(4)
    of_image = VAE(hidden=(5,)).build(Schema({"image": Input("image", ("charge",), ("",), (1, 3))})).eval()
    outputs, expected = of_image(image), build().eval()(events)
    assert outputs["reconstruction"].shape == (40, 1, 1, 3)
    assert all(torch.equal(value.reshape(expected[name].shape), expected[name]) for name, value in outputs.items())
    torch.testing.assert_close(seeded(of_image, image), seeded(build().eval(), events))


def test_log_variances_far_out_are_held_so_that_losses_stay_finite() -> None:
    network, events = build().eval(), batch()
    for name, parameter in network.named_parameters():
        if name.endswith("weight"):
            parameter.data.mul_(1e4)
    assert all(term.isfinite().all() for term in seeded(network, events).values())
    assert network(events)["latent_log_variance"].abs().max() == 10
