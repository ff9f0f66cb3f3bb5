"""Model and score keep their contracts, and the diffusion time is what the paper says."""

from __future__ import annotations

import pytest
import torch
from hepanom.contracts import Batch
from hepanom.errors import InputError
from hepanom.events import Input, Schema
from hepanom.testing import Case, conformance

from hepanom_dte.model import DTE, DTENetwork

SCHEMA = Schema({"features": Input("table", ("a", "b"), ("", ""))})
SMALL = {"hidden": [16, 16], "steps": 50}

test_contract = conformance(
    Case("model", "dte", SMALL),
    Case("model", "dte", {**SMALL, "dropout": 0.0, "bins": 3}, on="image"),
    Case("scorer", "diffusion_time", models=(Case("model", "dte", SMALL),)),
)


def batch(values: torch.Tensor) -> Batch:
    """Return events of weight 1."""
    return Batch({"features": values}, torch.ones(len(values)), torch.zeros(len(values), dtype=torch.int64))


def test_noise_grows_as_the_equation_says() -> None:
    """Two steps by hand: 1 - 0.9 and 1 - 0.9 * 0.5."""
    network = DTE(bins=2, steps=2, noise=(0.1, 0.5), hidden=(4,)).build(SCHEMA)
    assert network.get_buffer("sigma").square().tolist() == pytest.approx([0.1, 0.55])


def test_a_classifier_without_an_opinion_says_half_and_loses_the_logarithm_of_the_bins() -> None:
    """With all weights zero every bin has probability 1 / K."""
    network = DTE(bins=5, steps=10, hidden=(4,)).build(SCHEMA)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    events = batch(torch.randn(6, 2))
    assert network(events)["diffusion_time"].tolist() == pytest.approx([0.5] * 6)
    assert network.loss("network", events, 0.0)["cross_entropy"].tolist() == pytest.approx([1.6094379] * 6)


def test_all_bins_are_of_one_size() -> None:
    """Seven hundred steps fill seven bins of a hundred."""
    network = DTE(bins=7, steps=700, hidden=(4,)).build(SCHEMA)
    assert isinstance(network, DTENetwork)
    steps = network._steps(torch.arange(700) / 700 + 1e-4)
    assert steps.tolist() == list(range(700))
    assert network._bins(steps).bincount().tolist() == [100] * 7


def test_an_event_apart_seems_to_have_diffused_longer() -> None:
    """Trained on a narrow ring, both its middle and its outside look older than the ring."""
    torch.manual_seed(1)
    angle = 6.2831853 * torch.rand(500)
    ring = torch.stack([angle.cos(), angle.sin()], 1) * 1.5
    network = DTE(hidden=(32, 32), dropout=0.0).build(SCHEMA)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(200):
        optimizer.zero_grad()
        network.loss("network", batch(ring), 0.0)["cross_entropy"].mean().backward()
        optimizer.step()
    with torch.no_grad():
        old, middle, outside = (
            network.eval()(batch(values))["diffusion_time"].mean().item()
            for values in (ring, torch.zeros(1, 2), torch.tensor([[3.0, 0.0]]))
        )
    assert old + 0.2 < min(middle, outside)


def test_empty_bins_are_refused() -> None:
    """A bin that no step fills could not be learnt."""
    with pytest.raises(InputError, match="5 steps do not fill 7 bins"):
        DTE(steps=5).build(SCHEMA)
