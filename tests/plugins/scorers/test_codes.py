"""Scores of latent codes: their formulas, their weights, and a bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from hepanom.contracts import Batch, Network, Outputs, State
from hepanom_plugins.scorers.codes import CodeKNN, CodeMahalanobis
from hepanom_plugins.scorers.outlyingness import Outlyingness

Fitted = list[tuple[Batch, Outputs]]


def codes(events: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(events, 3, generator=generator) @ torch.tensor([[2.0, 1, 0], [0, 1, 0], [0, 0, 0.1]]) + 5


def pieces(z: Tensor, weight: Tensor | None = None, size: int = 50) -> Fitted:
    weight = torch.ones(len(z)) if weight is None else weight
    return [(batch(w), {"latent_mean": part}) for part, w in zip(z.split(size), weight.split(size), strict=True)]


def batch(weight: Tensor) -> Batch:
    return Batch({}, weight, torch.zeros(len(weight)).long())


def scored(scorer: CodeKNN | CodeMahalanobis, state: State, z: Tensor) -> np.ndarray:
    return scorer.score(batch(torch.ones(len(z))), {"latent_mean": z}, state, Network()).numpy()


def test_mahalanobis_is_the_distance_in_the_weighted_covariance() -> None:
    train, z, weight = codes(400), codes(60, 2), torch.rand(400, generator=torch.Generator().manual_seed(3))
    mean = np.average(train.double().numpy(), axis=0, weights=weight.double().numpy())
    inverse = np.linalg.inv(np.cov(train.double().numpy().T, aweights=weight.double().numpy(), ddof=0))
    apart = z.double().numpy() - mean
    state = CodeMahalanobis().fit(iter(pieces(train, weight)))
    expected = np.einsum("ei,ij,ej->e", apart, inverse, apart)
    assert scored(CodeMahalanobis(), state, z) == pytest.approx(expected, rel=1e-5)


def test_full_shrinkage_leaves_the_sum_of_the_squared_pulls() -> None:
    train, z = codes(400), codes(60, 2)
    state = CodeMahalanobis(shrinkage=1.0).fit(pieces(train))
    pulls = (z.double() - train.double().mean(0)) / train.double().std(0, correction=0)
    assert scored(CodeMahalanobis(shrinkage=1.0), state, z) == pytest.approx(pulls.square().sum(1).numpy(), rel=1e-5)


def test_mahalanobis_takes_an_event_of_weight_two_for_two() -> None:
    train, count = codes(90), torch.tensor([0, 1, 2] * 30)
    once = CodeMahalanobis().fit(pieces(train, count.float()))
    twice = CodeMahalanobis().fit(pieces(train.repeat_interleave(count, 0)))
    z = codes(60, 2)
    assert scored(CodeMahalanobis(), once, z) == pytest.approx(scored(CodeMahalanobis(), twice, z), rel=1e-6)


@pytest.mark.parametrize("kind", ["largest", "mean"])
def test_knn_is_scikit_learns(kind: Any) -> None:
    train, z, scorer = codes(400), codes(60, 2), CodeKNN(k=4, distance=kind)
    distances, _ = NearestNeighbors(n_neighbors=4).fit(train.numpy()).kneighbors(z.numpy())
    expected = distances[:, -1] if kind == "largest" else distances.mean(1)
    assert scored(scorer, scorer.fit(pieces(train)), z) == pytest.approx(expected, rel=1e-5)


def test_references_are_bounded_weighted_and_fixed_by_the_scorers_own_seed() -> None:
    train, weight = codes(2000), torch.cat([torch.ones(1000), torch.zeros(1000)])
    first = CodeKNN(references=200).fit(pieces(train, weight))["references"]
    torch.rand(3)
    again = CodeKNN(references=200).fit(pieces(train, weight))["references"]
    other = CodeKNN(references=200, seed=1).fit(pieces(train, weight))["references"]
    assert first.shape == (200, 3)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    weighted = {tuple(row) for row in train[:1000].numpy()}
    assert all(tuple(row) in weighted for row in first)


def test_outlyingness_is_the_models_own() -> None:
    own = torch.tensor([1.0, 3.0, 2.0])
    assert Outlyingness().score(batch(torch.ones(3)), {"outlyingness": own}, {}, Network()) is own
