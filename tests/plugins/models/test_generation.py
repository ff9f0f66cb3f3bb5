"""What models make of noise and of latent codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from offered import SCHEMAS, build, cases_on, some_events

from hepanom.contracts import Batch, Network
from hepanom.events import Input, Schema
from hepanom_plugins.models.draw import Draw
from hepanom_plugins.models.flow import Flow
from hepanom_plugins.models.gmm import GMM
from hepanom_plugins.models.pca import PCA
from hepanom_plugins.models.vae import VAE

GENERATIVE = {"vae", "conv_vae", "gan", "wgan_gp", "bigan", "anogan", "flow", "gmm"}
SEARCHED = {"anogan"}  # whose forward pass is in double precision


def batch(on: str) -> Batch:
    events = some_events(40, missing=False, on=on)
    tensors = {name: torch.from_numpy(np.asarray(values)) for name, values in events.inputs.items()}
    target = None if events.target is None else torch.from_numpy(events.target).float()
    return Batch(tensors, torch.ones(40), torch.zeros(40, dtype=torch.int64), target)


def network_of(name: str, options: dict[str, Any], on: str) -> Network:
    torch.manual_seed(1)
    network: Network = build("model", name, options, on).build(SCHEMAS[on])
    network.prepare([batch(on)], 0)
    return network.eval()


@pytest.mark.parametrize(("name", "options", "on"), cases_on("model"))
def test_a_reconstruction_is_what_its_code_decodes_to(name: str, options: dict[str, Any], on: str) -> None:
    network, events = network_of(name, options, on), batch(on)
    with torch.no_grad():
        outputs = network(events)
        if "reconstruction" in outputs:
            decoded = network.decode(outputs["latent_mean"])
            assert decoded is not None, "a model that gives reconstructions can decode"
            torch.testing.assert_close(decoded, outputs["reconstruction"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "options", "on"), cases_on("model"))
def test_generated_events_are_like_the_input_and_those_of_the_seed(name: str, options: dict[str, Any], on: str) -> None:
    network, events = network_of(name, options, on), batch(on)
    assert name not in GENERATIVE or network.generate(2, events) is not None
    made = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        with torch.no_grad():
            made.append(network.generate(7, events))
    if made[0] is not None:
        assert made[0].shape == (7, *next(iter(events.inputs.values())).shape[1:])
        assert made[0].isfinite().all()
        assert torch.equal(made[0], made[1])
        assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize(("name", "options", "on"), cases_on("model"))
def test_canvases_end_in_the_reconstruction(name: str, options: dict[str, Any], on: str) -> None:
    network, events = network_of(name, options, on), batch(on)
    with torch.no_grad():
        if (canvases := network.canvases(events)) is not None:
            torch.testing.assert_close(canvases[-1], network(events)["reconstruction"])


@pytest.mark.parametrize(("name", "options", "on"), cases_on("model"))
def test_what_explains_an_event_sums_to_its_outlyingness(name: str, options: dict[str, Any], on: str) -> None:
    network, events = network_of(name, options, on), batch(on)
    with torch.no_grad():
        if (parts := network.explain(events)) is not None:
            assert parts.shape == next(iter(events.inputs.values())).shape
            torch.testing.assert_close(parts.flatten(1).sum(1), network(events)["outlyingness"])


def test_an_autoencoder_whose_codes_nothing_holds_generates_nothing() -> None:
    assert network_of("autoencoder", {}, "table").generate(2) is None
    draw = {"width": 5, "steps": 2, "glimpse": 3, "peak": 4.0}
    assert network_of("draw", {**draw, "regularization": "none"}, "image").generate(2) is None
    assert network_of("draw", {**draw, "regularization": "mmd"}, "image").generate(2) is not None


TABLE = Schema({"features": Input("table", ("a", "b", "c"), ("", "", ""))})
MIX = torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.9, -0.4], [0.0, 0.0, 0.3]])


def correlated(events: int) -> Batch:
    x = torch.tensor([2.0, -1.0, 0.5]) + torch.randn(events, 3, generator=torch.Generator().manual_seed(2)) @ MIX
    return Batch({"features": x}, torch.ones(events), torch.zeros(events, dtype=torch.int64))


def assert_alike(made: torch.Tensor, real: torch.Tensor, tolerance: float) -> None:
    np.testing.assert_allclose(made.mean(0), real.mean(0), atol=tolerance)
    np.testing.assert_allclose(np.cov(made.T), np.cov(real.T), atol=2 * tolerance)


def test_a_mixture_generates_mean_and_covariance_of_what_it_was_fitted_to() -> None:
    torch.manual_seed(1)
    network, events = GMM(components=3).build(TABLE), correlated(4000)
    network.prepare([events], 0)
    made = network.generate(20_000)
    assert made is not None
    assert_alike(made, events.inputs["features"], 0.05)


def test_a_trained_flow_and_a_trained_vae_generate_mean_and_covariance() -> None:
    events = correlated(2000)
    for model, tolerance in ((Flow(transforms=2, hidden=(16,)), 0.1), (VAE(hidden=(16,), latent=3), 0.2)):
        torch.manual_seed(1)
        network = model.build(TABLE)
        optimizer = torch.optim.Adam(network.parameters(), 1e-2)
        for _ in range(400):
            optimizer.zero_grad()
            torch.stack([*network.loss("network", events, 1.0).values()]).sum(0).mean().backward()
            optimizer.step()
        with torch.no_grad():
            made = network.eval().generate(10_000)
        assert made is not None
        assert_alike(made, events.inputs["features"], tolerance)


def test_a_conditional_flow_takes_the_conditions_in_turn() -> None:
    torch.manual_seed(1)
    network = Flow(transforms=1, hidden=(4,), condition=("b",)).build(TABLE).eval()
    events = correlated(3)
    assert network.generate(5) is None
    with torch.no_grad():
        made, outputs = network.generate(5, events), network(events)
        back = network.decode(outputs["latent_mean"], events)
    assert made is not None
    assert back is not None
    assert torch.equal(made[:, 1], events.inputs["features"][[0, 1, 2, 0, 1], 1])
    torch.testing.assert_close(back, events.inputs["features"])


def test_whitened_components_decode_as_they_were_coded() -> None:
    network, events = PCA(latent=3, whiten=True).build(TABLE), correlated(50)
    network.prepare([events], 0)
    decoded = network.decode(network(events)["latent_mean"])
    assert decoded is not None
    torch.testing.assert_close(decoded, events.inputs["features"], rtol=1e-4, atol=1e-5)


def test_draw_decodes_what_it_draws_at_these_codes() -> None:
    torch.manual_seed(1)
    schema = Schema({"image": Input("image", ("charge",), ("",), (6, 5))})
    network = Draw(steps=3, latent=2, width=5, glimpse=3, peak=2.0).build(schema).eval()
    events = Batch({"image": torch.rand(4, 1, 6, 5)}, torch.ones(4), torch.zeros(4, dtype=torch.int64))
    with torch.no_grad():
        moved = network(events, torch.ones(6))["reconstruction"]
        outputs = network(events)
        decoded = network.decode(outputs["latent_mean"])
    assert decoded is not None
    assert torch.equal(decoded, outputs["reconstruction"])
    assert not torch.equal(moved, decoded)
