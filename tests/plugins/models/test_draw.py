"""DRAW: its recursion, its loss against torch.distributions, its canvases, and images of every shape."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

from hepanom.contracts import Batch
from hepanom.errors import InputError
from hepanom.events import Input, Schema
from hepanom_plugins.models.draw import Draw, DrawNetwork
from hepanom_plugins.models.latent import mmd

WAYS = ["attention", "convolutional", "whole"]
SMALL = {"steps": 3, "latent": 2, "width": 6, "glimpse": 3, "kernels": (3,), "filters": (4,)}


def batch(shape: tuple[int, int, int] = (1, 7, 5), events: int = 8, seed: int = 1) -> Batch:
    """Return images with pixels in [0, 1], most of which are dark."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(events, *shape, generator=generator) * (torch.rand(events, *shape, generator=generator) < 0.4)
    weight = torch.rand(events, generator=generator) + 0.1
    return Batch({"image": pixels}, weight, torch.zeros(events, dtype=torch.int64))


def build(shape: tuple[int, int, int] = (1, 7, 5), **options: object) -> DrawNetwork:
    torch.manual_seed(4)
    names = tuple("abc"[: shape[0]])
    network = Draw(**{**SMALL, **options}).build(
        Schema({"image": Input("image", names, ("",) * len(names), shape[1:])})
    )
    assert isinstance(network, DrawNetwork)
    return network


def seeded(network: DrawNetwork, events: Batch, progress: float = 1.0) -> dict[str, Tensor]:
    """Return the loss terms with the noise of seed 9."""
    torch.manual_seed(9)
    return network.loss("network", events, progress)


def noise_of(network: DrawNetwork, events: int) -> Tensor:
    torch.manual_seed(9)
    return torch.randn(events, network.options.steps, network.options.latent)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 7, 5), (3, 5, 12), (1, 1, 9)])
def test_canvases_have_the_images_shape_and_end_in_the_reconstruction(way: str, shape: tuple[int, int, int]) -> None:
    network, events = build(shape, read_write=way).eval(), batch(shape)
    canvases, outputs = network.canvases(events), network(events)
    assert canvases.shape == (3, 8, *shape)
    assert torch.equal(canvases[-1], outputs["reconstruction"])
    assert torch.equal(network.canvases(events), canvases), "a canvas depends on noise"
    assert not torch.equal(canvases[0], canvases[1])
    assert outputs["latent_mean"].shape == (8, 6)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("regularization", ["kl", "mmd", "none"])
def test_every_parameter_has_a_gradient(way: str, regularization: str) -> None:
    for delta in (0.8, "learned"):
        network = build((2, 7, 5), read_write=way, regularization=regularization, delta=delta)
        torch.stack([*seeded(network, batch((2, 7, 5))).values()]).sum().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name


def test_a_step_is_that_of_the_paper() -> None:
    network, events = build((1, 4, 4), read_write="whole", steps=2), batch((1, 4, 4))
    with torch.no_grad():
        network.canvas.normal_()
        network.states.normal_()
    x, cells = events.inputs["image"], torch.nn.LSTM(32 + 6, 6, batch_first=True)
    cells.load_state_dict({f"{name}_l0": value for name, value in network.encoder.state_dict().items()})
    (h, c, g, m), canvas = (state.expand(8, 6) for state in network.states), network.canvas.expand(8, 1, 4, 4)
    for _ in range(2):
        error = x - 1 / (1 + (-canvas).exp())
        seen = torch.cat([x.flatten(1), error.flatten(1), g], 1)[:, None]
        _, (h, c) = cells(seen, (h[None].contiguous(), c[None].contiguous()))
        h, c = h[0], c[0]
        g, m = network.decoder(network.code(h)[:, :2], (g, m))
        assert isinstance(network.pencil.writes, torch.nn.Linear)
        canvas = canvas + network.pencil.writes(g).view(8, 1, 4, 4)
    torch.testing.assert_close(network(events)["reconstruction"], canvas.sigmoid())


@pytest.mark.parametrize("beta", [0.0, 1.0, 3.0])
def test_loss_is_the_negative_evidence_lower_bound_at_one_draw_of_every_step(beta: float) -> None:
    network, events = build(beta=beta), batch()
    terms = seeded(network, events)
    x, noise = events.inputs["image"], noise_of(network, 8)
    strokes = list(network.strokes(x, noise))
    bernoulli = Bernoulli(logits=strokes[-1].canvas, validate_args=False)
    torch.testing.assert_close(terms["negative_log_likelihood"], -bernoulli.log_prob(x).flatten(1).sum(1))
    expected = torch.zeros(8)
    for _, mean, log_variance in strokes:
        assert log_variance is not None
        expected += kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(terms["kl"], beta * expected)
    torch.manual_seed(9)
    torch.testing.assert_close(network.validate(events), terms["negative_log_likelihood"] + terms["kl"])


def test_mmd_is_the_sum_over_steps_of_the_discrepancy_of_their_codes() -> None:
    network, events = build(regularization="mmd", beta=100.0), batch()
    with torch.no_grad():
        found = seeded(network, events)["mmd"]
        codes = network(events)["latent_mean"].view(8, 3, 2)
    priors = torch.randn(3, 4096, 2)
    expected = sum(float(mmd(codes[:, step], events.weight, priors[step], "rbf")) for step in range(3))
    assert found.unique().numel() == 1
    assert float(found[0]) / 100 == pytest.approx(expected, rel=0.2)  # the draws of the prior are others
    assert set(seeded(build(regularization="none"), events)) == {"negative_log_likelihood"}


def test_squared_error_is_a_gaussian_of_variance_one_half_without_its_constant() -> None:
    network, events = build(loss="mse", beta=0.0).eval(), batch()
    outputs, x = network(events), events.inputs["image"]
    density = Normal(outputs["reconstruction"], 0.5**0.5).log_prob(x) - Normal(0.0, 0.5**0.5).log_prob(torch.zeros(()))
    torch.testing.assert_close(outputs["log_likelihood"], density.flatten(1).sum(1))


@given(progress=st.floats(0, 1), warmup=st.floats(0.05, 1))
@settings(max_examples=20)
def test_beta_rises_linearly_over_the_warm_up_and_judges_whole(progress: float, warmup: float) -> None:
    events, full, part = batch(), build(beta=2.0), build(beta=2.0, warmup=warmup)
    expected = seeded(full, events, progress)["kl"] * min(1.0, progress / warmup)
    torch.testing.assert_close(seeded(part, events, progress)["kl"], expected)
    judged = []
    for network in (full, part):
        torch.manual_seed(9)
        judged.append(network.validate(events))
    assert torch.equal(*judged)


@pytest.mark.parametrize("regularization", ["kl", "mmd", "none"])
def test_outputs_are_at_the_means_and_the_same_at_every_call(regularization: str) -> None:
    network, events = build(regularization=regularization).eval(), batch()
    first, second = network(events), network(events)
    assert all(torch.equal(second[name], value) for name, value in first.items())
    assert first.keys() == Draw.gives
    spread = first["latent_log_variance"]
    assert spread.shape == first["latent_mean"].shape
    assert bool((spread == -10).all()) == (regularization != "kl")


def test_noise_moves_the_code_of_every_step_by_that_many_standard_deviations() -> None:
    network, events = build().eval(), batch()
    noise = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0, 1.0])
    moved = network(events, noise)
    canvas = [*network.strokes(events.inputs["image"], noise.view(1, 3, 2).expand(8, -1, -1))][-1].canvas
    torch.testing.assert_close(moved["reconstruction"], canvas.sigmoid())
    assert not torch.equal(moved["reconstruction"], network(events)["reconstruction"])
    torch.testing.assert_close(network(events, torch.zeros(6))["reconstruction"], network(events)["reconstruction"])


@pytest.mark.parametrize("way", WAYS)
def test_it_learns_to_give_back_what_it_sees(way: str) -> None:
    network, events = build(read_write=way, regularization="none", width=32, steps=4), batch(events=16)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    before = float(network.validate(events).mean().detach())
    for _ in range(60):
        optimizer.zero_grad()
        seeded(network, events)["negative_log_likelihood"].mean().backward()
        optimizer.step()
    assert float(network.validate(events).mean().detach()) < 0.75 * before


def test_pixels_are_measured_in_peaks_and_given_back_in_their_own_scale() -> None:
    events, network, scaled = batch(), build().eval(), build(peak=50.0).eval()
    bright = Batch({"image": 50 * events.inputs["image"]}, events.weight, events.label)
    torch.testing.assert_close(scaled(bright)["reconstruction"], 50 * network(events)["reconstruction"])
    torch.testing.assert_close(scaled(bright)["log_likelihood"], network(events)["log_likelihood"])
    torch.testing.assert_close(scaled.canvases(bright), 50 * network.canvases(events))


@pytest.mark.parametrize(("low", "high", "peak"), [(-0.5, 0.5, "1"), (0.0, 7.25, "7.25")])
def test_pixels_that_cannot_be_drawn_are_named_with_what_would_do(low: float, high: float, peak: str) -> None:
    events = batch()
    events.inputs["image"][3, 0, 2, 1], events.inputs["image"][4, 0, 0, 0] = low, high
    message = rf"the pixels of 'image' lie between .* drawn between 0 and 1; set model.peak .* {peak} keeps all"
    with pytest.raises(InputError, match=message):
        build().loss("network", events, 0.0)
    assert build(peak=7.25).loss("network", events, 0.0)
    assert build()(events)["reconstruction"].isfinite().all()


@pytest.mark.parametrize("loss", ["bce", "mse"])
@pytest.mark.parametrize("peak", [None, 2.0])
def test_an_event_does_not_hide_in_pixels_brighter_than_the_peak_or_below_zero(loss: str, peak: float | None) -> None:
    network, top, pixels = build(loss=loss, peak=peak).eval(), peak or 1.0, torch.tensor([1.0, 1.5, 4.0, 100.0, -1.0])
    images = batch().inputs["image"][:1].repeat(5, 1, 1, 1)
    images[:, 0, 2, 1] = top * pixels
    found = network(Batch({"image": images}, torch.ones(5), torch.zeros(5, dtype=torch.int64)))
    score = -found["log_likelihood"]
    assert (score[:4].diff() > 0).all()
    beyond = (pixels - pixels.clamp(0, 1)).square()
    if loss == "bce":
        torch.testing.assert_close(score[:4] - score[0], beyond[:4])
    else:
        expected = (images / top - found["reconstruction"] / top).square().flatten(1).sum(1)
        torch.testing.assert_close(score, expected)


def test_layers_of_different_numbers_are_an_error() -> None:
    with pytest.raises(ValueError, match="kernels has 1 layers, filters 2"):
        Draw(kernels=(3,), filters=(4, 4))
