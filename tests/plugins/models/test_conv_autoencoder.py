"""Convolutional autoencoders: mirrored sizes, the losses against their formulas, and faults seen elsewhere."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from hepanom.contracts import Batch, Network
from hepanom.errors import InputError
from hepanom.events import Input, Schema
from hepanom_plugins.models.conv_autoencoder import ConvAutoencoder, ConvVAE
from hepanom_plugins.models.convolutions import Convolutional, Phases

LOSSES = ("mse", "bce")
SMALL = {"kernels": (5, 3), "filters": (4, 3), "latent": 2}


def schema(rows: int, columns: int, channels: int = 1) -> Schema:
    return Schema({"image": Input("image", tuple("abcd"[:channels]), ("",) * channels, (rows, columns))})


def batch(events: int = 12, shape: tuple[int, int] = (9, 6), channels: int = 1, seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(events, channels, *shape, generator=generator)
    weight = torch.rand(events, generator=generator) + 0.1
    return Batch({"image": images}, weight, torch.zeros(events, dtype=torch.int64))


def build(model: type[ConvAutoencoder | ConvVAE], channels: int = 1, **options: object) -> Network:
    torch.manual_seed(4)
    return model(**{**SMALL, **options}).build(schema(9, 6, channels))


def seeded(network: Network, events: Batch, progress: float = 1.0) -> dict[str, Tensor]:
    """Return the loss terms with the noise of seed 9."""
    torch.manual_seed(9)
    return network.loss("network", events, progress)


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    layers=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 10)), min_size=1, max_size=3),
    channels=st.integers(1, 3),
)
def test_every_size_comes_back_exactly(
    size: tuple[int, int], layers: list[tuple[int, int, int]], channels: int
) -> None:
    kernels, strides, filters = zip(*layers, strict=True)
    options = Convolutional(kernels=kernels, strides=strides, filters=filters)
    image = schema(*size, channels).inputs["image"]
    assume(min(size) > 3 ** len(layers) or all(kernel % 2 for kernel in kernels))
    try:
        encoder, decoder = options.encoder(image, 3), options.decoder(image)
    except InputError:
        assert any(kernel % 2 == 0 for kernel in kernels), "odd kernels take every image"
        return
    assert decoder(encoder(torch.zeros(2, channels, *size))).shape == (2, channels, *size)
    down = [module for module in encoder if isinstance(module, nn.Conv2d)]
    up = [module for module in decoder if isinstance(module, nn.ConvTranspose2d)]
    assert [module.weight.shape for module in down] == [module.weight.shape for module in reversed(up)]


@given(
    kernel=st.integers(1, 11),
    stride=st.integers(1, 5),
    size=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    data=st.data(),
)
def test_convolution_in_phases_is_torchs_transposed_convolution(
    kernel: int, stride: int, size: tuple[int, int], data: st.DataObject
) -> None:
    more = data.draw(st.tuples(*[st.integers(0, stride - 1)] * 2))
    options = (3, 2, kernel, stride, (kernel - 1) // 2, more)
    expected, found = nn.ConvTranspose2d(*options).double(), Phases(*options).double()
    found.load_state_dict(expected.state_dict())
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    results = []
    for layer in (expected, found):
        pixels = layer(images)
        gradients = torch.autograd.grad(pixels.square().sum(), list(layer.parameters()))
        results.append([pixels, *gradients])
    for left, right in zip(*results, strict=True):
        torch.testing.assert_close(left, right)


def test_the_default_is_the_network_of_the_thesis() -> None:
    image = schema(128, 128).inputs["image"]
    options = ConvAutoencoder()
    down = [module for module in options.encoder(image, 3) if isinstance(module, nn.Conv2d)]
    assert [layer.after for layer in options.layers(image)] == [(64, 64), (32, 32), (16, 16)]
    assert [module.kernel_size[0] for module in down] == [11, 5, 3]
    assert [module.out_channels for module in down] == [16, 16, 8]
    assert options.latent == 3


@pytest.mark.parametrize("loss", LOSSES)
def test_the_reconstruction_is_the_mean_squared_error_or_the_summed_cross_entropy(loss: str) -> None:
    network, events = build(ConvAutoencoder, loss=loss), batch()
    images, back = events.inputs["image"], network(events)["reconstruction"]
    (term,) = seeded(network, events).values()
    if loss == "mse":
        expected = ((images - back) ** 2).mean((1, 2, 3))
    else:
        expected = -(images * back.log() + (1 - images) * (1 - back).log()).sum((1, 2, 3))
        assert back.min() > 0
        assert back.max() < 1
    torch.testing.assert_close(term, expected)
    torch.testing.assert_close(network.validate(events), expected)


@pytest.mark.parametrize("options", [{"variance": 0.3}, {"loss": "bce"}, {"beta": 4.0}])
def test_the_variational_loss_is_the_negative_evidence_lower_bound_at_one_draw(options: dict[str, object]) -> None:
    network, events = build(ConvVAE, **options), batch()
    terms, outputs = seeded(network, events), network(events)
    mean, spread = outputs["latent_mean"], (outputs["latent_log_variance"] / 2).exp()
    torch.manual_seed(9)
    decoded = network.decoder(mean + spread * torch.randn_like(mean))
    images = events.inputs["image"]
    if "loss" in options:  # torch's Bernoulli takes pixels between 0 and 1 when it does not look at them
        p = Bernoulli(logits=decoded, validate_args=False)
    else:
        p = Normal(decoded, math.sqrt(options.get("variance", 1.0)))
    torch.testing.assert_close(terms["reconstruction"], -p.log_prob(images).sum((1, 2, 3)))
    prior = kl_divergence(Normal(mean, spread), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(terms["kl"], options.get("beta", 1.0) * prior)
    torch.manual_seed(9)
    torch.testing.assert_close(network.validate(events), terms["reconstruction"] + terms["kl"])


def test_outputs_are_at_the_mean_or_the_asked_number_of_standard_deviations_from_it() -> None:
    network, events = build(ConvVAE).eval(), batch()
    still, moved = network(events), network(events, torch.tensor([1.0, -2.0]))
    code = still["latent_mean"] + (still["latent_log_variance"] / 2).exp() * torch.tensor([1.0, -2.0])
    for outputs, z in ((still, still["latent_mean"]), (moved, code)):
        torch.testing.assert_close(outputs["reconstruction"], network.decoder(z))
        p = Normal(network.decoder(z), 1.0)
        torch.testing.assert_close(outputs["log_likelihood"], p.log_prob(events.inputs["image"]).sum((1, 2, 3)))


@pytest.mark.parametrize(
    ("model", "options", "term"), [(ConvVAE, {}, "kl"), (ConvAutoencoder, {"regularization": "mmd"}, "mmd")]
)
def test_the_latent_penalty_is_there_from_the_first_step_and_beta_acts_once(
    model: type[ConvAutoencoder | ConvVAE], options: dict[str, object], term: str
) -> None:
    events = batch()
    once = seeded(build(model, **options), events, 0.0)[term]
    assert (once > 0).all()
    torch.testing.assert_close(seeded(build(model, beta=10.0, **options), events, 0.0)[term], 10 * once)
    torch.testing.assert_close(seeded(build(model, warmup=0.5, **options), events, 0.25)[term], 0.5 * once)
    assert not seeded(build(model, warmup=0.5, **options), events, 0.0)[term].any()


@pytest.mark.parametrize("model", [ConvAutoencoder, ConvVAE])
def test_two_calls_give_the_same_to_the_last_bit_whatever_was_drawn_between(
    model: type[ConvAutoencoder | ConvVAE],
) -> None:
    network, events = build(model, batch_norm=True).eval(), batch()
    first = network(events)
    torch.rand(7)
    for name, value in network(events).items():
        assert torch.equal(value, first[name])


@pytest.mark.parametrize("low_high", [(-0.2, 0.9), (0.1, 3.5), (float("nan"), 1.0)])
@pytest.mark.parametrize("model", [ConvAutoencoder, ConvVAE])
def test_pixels_that_have_no_cross_entropy_are_one_clear_error(
    model: type[ConvAutoencoder | ConvVAE], low_high: tuple[float, float]
) -> None:
    events = batch()
    events.inputs["image"][3, 0, 2, 2], events.inputs["image"][5, 0, 1, 1] = low_high
    network = build(model, loss="bce")
    for use in (network.validate, lambda events: network.loss("network", events, 0.0)):
        with pytest.raises(InputError, match=r"^image: pixels range from .* within 0 and 1; .*`loss: mse`$"):
            use(events)
    build(model)(events)


def test_an_event_that_is_too_bright_is_scored_all_the_same_and_stranger() -> None:
    events, beyond = batch(), torch.tensor([0.0, 0.5, 3.0, 99.0])
    images = events.inputs["image"][:1].repeat(4, 1, 1, 1)
    images[:, 0, 2, 2] = 1 + beyond
    found = build(ConvVAE, loss="bce").eval()(Batch({"image": images}, torch.ones(4), torch.zeros(4).long()))
    assert torch.equal(found["latent_mean"][0].expand(4, -1), found["latent_mean"]), "the encoder sees 1"
    torch.testing.assert_close(found["log_likelihood"][0] - found["log_likelihood"], beyond.square())


def test_options_that_do_not_fit_say_what_would() -> None:
    with pytest.raises(ValueError, match=r"kernels has 3 layers, filters 2, strides 3; give each layer one of them"):
        ConvAutoencoder(filters=(4, 4))
    with pytest.raises(ValueError, match="strides 1"):
        ConvVAE(strides=(2,))
    with pytest.raises(ValueError, match="conv_vae"):
        ConvAutoencoder(free_bits=0.1)
    with pytest.raises(InputError, match=r"layer 3 finds 1 x 1 pixels, of which its kernel of 4 leaves none; fewer"):
        ConvVAE(kernels=(4, 4, 4)).build(schema(4, 4))
    with pytest.raises(InputError, match="one image"):
        ConvVAE().build(Schema({"features": Input("table", ("pt",), ("GeV",))}))


@pytest.mark.parametrize("channels", [1, 3])
def test_convolutions_work_channels_last(channels: int) -> None:
    network, events, strides = build(ConvAutoencoder, channels, batch_norm=True), batch(channels=channels), []
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]
    for layer in layers:
        layer.register_forward_pre_hook(lambda _, maps: strides.append((maps[0].stride(1), maps[0].shape[1])))
    network(events)
    steps = [(1, channels), (1, 4), (1, 3), (1, 4)]
    assert strides == steps


def test_channels_are_all_given_back() -> None:
    events = batch(channels=3)
    network = build(ConvAutoencoder, 3, hidden=(7,), activation="leaky_relu")
    assert network(events)["reconstruction"].shape == events.inputs["image"].shape
    other = replace(events, inputs={"image": events.inputs["image"].flip(1)})
    assert not torch.equal(network(other)["latent_mean"], network(events)["latent_mean"])
