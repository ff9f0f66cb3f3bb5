"""The classical baselines on events that nobody prepared: a right answer, or one clear error."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hepanom.contracts import Batch, Model, Network
from hepanom.errors import InputError
from hepanom.events import Input, Schema
from hepanom_plugins.models.deep_clustering import kmeans, log_target, nearest
from hepanom_plugins.models.gmm import GMM
from hepanom_plugins.models.hbos import HBOS
from hepanom_plugins.models.isolation_forest import IsolationForest
from hepanom_plugins.models.knn import KNN
from hepanom_plugins.models.mahalanobis import Mahalanobis
from hepanom_plugins.models.pca import PCA

SAME = "all training events are the same"
MODELS = [
    PCA(latent=1),
    PCA(latent=1, whiten=True),
    Mahalanobis(),
    Mahalanobis(shrinkage=0.1),
    HBOS(),
    HBOS(binning="width"),
    KNN(k=2),
    KNN(k=1, distance="mean"),
    IsolationForest(trees=20),
    GMM(components=3, starts=2),
]
KINDS = ["normal", "constant", "huge offset", "huge", "tiny", "two values", "outlier"]


def column(kind: str, events: int, generator: torch.Generator) -> Tensor:
    normal = torch.randn(events, generator=generator)
    outlier = torch.arange(events) == 0
    return {
        "normal": normal,
        "constant": torch.full((events,), 1.23e6),
        "huge offset": 1e6 + normal,
        "huge": 1e12 * normal,
        "tiny": 1e-6 * normal,
        "two values": (normal > 1).float(),
        "outlier": torch.where(outlier, 1e30, normal),
    }[kind]


def batch(x: Tensor, weight: Tensor | None = None) -> Batch:
    return Batch({"features": x}, torch.ones(len(x)) if weight is None else weight, torch.zeros(len(x)).long())


def fitted(model: Model, x: Tensor, weight: Tensor | None = None) -> Network:
    torch.manual_seed(3)
    columns = tuple(f"c{index}" for index in range(x.shape[1]))
    network = model.build(Schema({"features": Input("table", columns, ("",) * len(columns))}))
    network.prepare(iter([batch(x, weight)]), 0)
    return network.eval()


def score(network: Network, x: Tensor) -> Tensor:
    """Return the model's own score, or the error of its reconstruction."""
    found = network(batch(x))
    assert all(values.isfinite().all() for values in found.values())
    if "outlyingness" in found:
        return found["outlyingness"].double()
    return (x.double() - found["reconstruction"]).square().sum(1)


@pytest.mark.parametrize("model", MODELS, ids=repr)
@settings(max_examples=25)
@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
    events=st.integers(1, 40),
    copies=st.integers(1, 3),
    idle=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_events_that_nobody_prepared_are_scored_or_refused(
    model: Model, kinds: list[str], events: int, copies: int, idle: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.stack([column(kind, events, generator) for kind in kinds], 1).repeat(copies, 1)
    weight = (torch.arange(len(x)) % 2 == 0).float() if idle else None
    try:
        network = fitted(model, x, weight)
    except InputError as error:
        assert re.search(f"{SAME}|choose a smaller k|singular|less than the regularization", str(error))  # noqa: PT017
        return
    found = score(network, x)
    assert torch.equal(score(network, x), found)
    far = x[:1] + 100 * (x.abs().amax(0) + 1)  # in every column
    blind = isinstance(model, PCA) or (isinstance(model, IsolationForest) and len(x) < 20)
    assert blind or score(network, far) >= found.median(), "components see along themselves, short trees nothing"


@pytest.mark.parametrize("model", [Mahalanobis(), IsolationForest()], ids=repr)
def test_events_that_are_all_the_same_are_refused_where_nothing_could_be_learnt(model: Model) -> None:
    with pytest.raises(InputError, match=SAME):
        fitted(model, torch.full((30, 2), 3.3))


def test_features_below_the_regularization_are_refused_and_constant_ones_are_not() -> None:
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(1))
    with pytest.raises(InputError, match=r"gmm: the largest variance .* less than the regularization 0\.0001"):
        fitted(GMM(), 1e-6 * x)
    constant = fitted(GMM(), torch.full((50, 2), 3.3))
    near, far = score(constant, torch.tensor([[3.3, 3.3], [3.3, 9.0]])).tolist()
    assert far > near + 10


@pytest.mark.parametrize("distance", ["largest", "mean"])
def test_one_event_far_away_does_not_round_the_others_distances_away(distance: Any) -> None:
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(1))
    x[0] = 1e30
    plain = fitted(KNN(k=3, distance=distance), x[1:])
    asked = torch.randn(50, 3, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(score(fitted(KNN(k=3, distance=distance), x), asked), score(plain, asked))


def test_clusters_far_from_the_origin_are_told_apart() -> None:
    generator = torch.Generator().manual_seed(1)
    centres = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    truth = torch.arange(300) % 3
    codes = 1e6 + centres[truth] + 0.3 * torch.randn(300, 2, generator=generator)
    torch.testing.assert_close(nearest(codes, 1e6 + centres), truth)
    torch.manual_seed(2)
    found = kmeans(codes, torch.ones(300), 3, starts=5)
    assert ((found - 1e6)[:, None] - centres).square().sum(2).amin(0).max() < 0.1


def test_a_cluster_without_any_share_leaves_the_target_a_distribution() -> None:
    shares = torch.tensor([[0.7, 0.3, 0.0], [0.2, 0.8, 0.0]])
    target = log_target(shares.log(), torch.tensor([0.5, 0.5, 0.0])).exp()
    torch.testing.assert_close(target.sum(1), torch.ones(2))
    assert target[:, 2].tolist() == [0, 0]


def test_fewer_events_than_clusters_are_their_own_centroids() -> None:
    torch.manual_seed(1)
    codes = torch.tensor([[0.0, 1.0], [5.0, 5.0]])
    found = kmeans(codes, torch.ones(2), 4, starts=3)
    assert found.isfinite().all()
    assert torch.cdist(codes, found).amin(1).tolist() == [0, 0]
