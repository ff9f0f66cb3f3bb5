"""The scorer keeps its contract, and scores as it says."""

from __future__ import annotations

import torch
from hepanom.contracts import Batch, Network
from hepanom.testing import Case, conformance

from hepanom_my_plugin.scorer import MyPluginScorer

test_contract = conformance(Case("scorer", "my_plugin"))


def test_the_worst_feature_counts() -> None:
    """Worked out by hand: the largest residual, squared."""
    values = torch.tensor([[3.0, -4.0], [0.0, 1.0]])
    events = Batch({"features": values}, torch.ones(2), torch.zeros(2, dtype=torch.int64))
    score = MyPluginScorer(power=2).score(events, {"reconstruction": torch.zeros(2, 2)}, {}, Network())
    assert score.tolist() == [16.0, 1.0]
