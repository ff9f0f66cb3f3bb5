"""The model keeps its contract, and learns."""

from __future__ import annotations

import torch
from hepanom.contracts import Batch
from hepanom.events import Input, Schema
from hepanom.testing import Case, conformance

from hepanom_my_plugin.model import MyPluginModel

test_contract = conformance(Case("model", "my_plugin"))


def test_it_learns_to_give_back_a_line() -> None:
    """Two features that are one and the same fit through a code of one number."""
    torch.manual_seed(1)
    network = MyPluginModel(latent=1).build(Schema({"features": Input("table", ("a", "b"), ("", ""))}))
    values = torch.randn(500, 1).expand(500, 2)
    events = Batch({"features": values}, torch.ones(500), torch.zeros(500, dtype=torch.int64))
    optimizer = torch.optim.Adam(network.players()["network"].parameters, lr=0.01)
    before = network.validate(events).mean().item()
    for _ in range(200):
        optimizer.zero_grad()
        network.loss("network", events, 0.0)["reconstruction"].mean().backward()
        optimizer.step()
    assert network.validate(events).mean().item() < 0.1 * before
