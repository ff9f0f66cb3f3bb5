"""Deep clustering: its target and gradient against the paper, its k-means against scikit-learn, and when it stops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from hepanom import checkpoint, train
from hepanom.contracts import Batch
from hepanom.errors import InputError
from hepanom.events import Input, Schema
from hepanom.recipe import Train as Options
from hepanom.source import Table
from hepanom_plugins.models import deep_clustering
from hepanom_plugins.models.deep_clustering import DeepClustering, DeepClusteringNetwork, kmeans
from hepanom_plugins.scorers.cluster_distance import ClusterDistance

SCHEMA = Schema({"features": Input("table", tuple("abcdef"), ("",) * 6)})


def three(events: int, seed: int = 1) -> Batch:
    """Return events of three Gaussians of unequal size with weights; the label says which Gaussian."""
    draw = torch.Generator().manual_seed(seed)
    label = torch.tensor([0, 0, 0, 1, 1, 2])[torch.randint(6, (events,), generator=draw)]
    means = torch.tensor([[2.0, 0, 0, 1, 0, 0], [0, 2, 0, 0, 1, 0], [0, 0, 2, 0, 0, 1]])
    features = means[label] + 0.5 * torch.randn(events, 6, generator=draw)
    return Batch({"features": features}, 0.5 + torch.rand(events, generator=draw), label)


def build(options: DeepClustering) -> DeepClusteringNetwork:
    torch.manual_seed(3)
    network = options.build(SCHEMA)
    assert isinstance(network, DeepClusteringNetwork)
    return network.train()


def moved(network: DeepClusteringNetwork, by: float) -> None:
    """Move every parameter that is trained, as an epoch of training does."""
    torch.manual_seed(8)
    with torch.no_grad():
        for parameter in network.players()["network"].parameters:
            parameter.add_(by * torch.randn_like(parameter))


def assignment(codes: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return Xie et al., eq. 1, as it stands there."""
    found = np.zeros((len(codes), len(centroids)))
    for i, code in enumerate(codes):
        for j, centroid in enumerate(centroids):
            found[i, j] = 1 / (1 + sum((code - centroid) ** 2))
        found[i] /= sum(found[i])
    return found


def target(q: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return Xie et al., eq. 3, as it stands there, an event of weight 2 counted twice."""
    found = np.zeros_like(q)
    frequency = [sum(w * row[j] for w, row in zip(weight, q, strict=True)) for j in range(q.shape[1])]
    for i, row in enumerate(q):
        total = sum(row[k] ** 2 / frequency[k] for k in range(len(row)))
        found[i] = [row[j] ** 2 / frequency[j] / total for j in range(len(row))]
    return found


def codes_of(network: DeepClusteringNetwork, events: Batch) -> np.ndarray:
    with torch.no_grad():
        found: np.ndarray = network(events)["latent_mean"].double().numpy()
    return found


def test_the_clustering_term_is_the_divergence_from_the_target_of_the_last_update() -> None:
    network, events = build(DeepClustering(hidden=(8,), latent=3, pretrain=0, gamma=0.3)), three(60)
    network.prepare([events], 0)
    q = assignment(codes_of(network, events), network.centroids.detach().numpy())
    p = target(q, events.weight.numpy())
    moved(network, 0.05)
    terms = network.loss("network", events, 0.5)
    now = assignment(codes_of(network, events), network.centroids.detach().numpy())
    expected = [0.3 * sum(p[i, j] * np.log(p[i, j] / now[i, j]) for j in range(3)) for i in range(60)]
    assert terms["clustering"].detach().numpy() == pytest.approx(np.array(expected), rel=1e-4, abs=1e-6)
    assert network.validate(events).tolist() == pytest.approx(sum(terms.values()).tolist())
    assert network(events)["assignment"].detach().numpy() == pytest.approx(now, rel=1e-4)


def test_the_centroids_gradient_is_the_papers() -> None:
    network, events = build(DeepClustering(hidden=(8,), pretrain=0, gamma=1.0)), three(60)
    network.prepare([events], 0)
    z, c = codes_of(network, events), network.centroids.detach().double().numpy()
    q = assignment(z, c)
    p = target(q, events.weight.numpy())
    network.loss("network", events, 0.5)["clustering"].sum().backward()
    for j in range(3):  # Xie et al., eq. 5
        pulls = [(p[i, j] - q[i, j]) * (z[i] - c[j]) / (1 + sum((z[i] - c[j]) ** 2)) for i in range(60)]
        assert network.centroids.grad[j].numpy() == pytest.approx(-2 * sum(pulls), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("clusters", [2, 7])
def test_kmeans_is_as_good_as_scikit_learns(clusters: int) -> None:
    events = three(400)
    codes, weight = events.inputs["features"][:, :2], events.weight**3
    torch.manual_seed(1)
    found = kmeans(codes, weight, clusters, starts=20).numpy()
    theirs = KMeans(clusters, n_init=20, random_state=1).fit(codes.numpy(), sample_weight=weight.numpy())
    squares = np.square(codes.double().numpy()[:, None] - found).sum(2)
    assert squares.min(1) @ weight.double().numpy() < 1.01 * theirs.inertia_, "each has its luck with its starts"
    for cluster in range(clusters):
        mine = squares.argmin(1) == cluster
        assert found[cluster] == pytest.approx(np.average(codes[mine], axis=0, weights=weight[mine]), abs=1e-5)


def test_kmeans_takes_codes_of_fewer_places_than_clusters_and_leaves_out_weight_zero() -> None:
    codes = torch.tensor([[0.0, 0], [4, 4], [9, 9]])[torch.arange(30) % 3]
    weight = torch.tensor([1.0, 1, 0])[torch.arange(30) % 3]
    found = kmeans(codes, weight, 4, starts=3)
    assert {tuple(row) for row in found.unique(dim=0).tolist()} == {(0.0, 0.0), (4.0, 4.0)}


def started(network: DeepClusteringNetwork, epochs: int) -> train.Training:
    return train.start(network, Options(epochs=epochs, batch=128, optimizer={"use": "adam", "lr": 3e-3}), 1)


def test_three_gaussians_are_found_and_the_training_ends_by_itself() -> None:
    events, held_out = three(1500), three(500, seed=2)
    network = build(DeepClustering(hidden=(20,), pretrain=6))
    training = started(network, epochs=60)
    history = list(train.fit(training, Table(events, float(events.weight.mean())), [held_out]))
    found = network(held_out)["assignment"].argmax(1)
    assert adjusted_rand_score(held_out.label, found) > 0.95
    assert 6 < len(history) < 60
    assert history[-1].losses == {}, "the update that finds the clusters settled is the end"
    assert [record.losses["clustering"] > 0 for record in history[:-1]] == [
        epoch >= 6 for epoch in range(len(history) - 1)
    ]
    assert training.best_epoch > 6, "look-back returned to a network without clusters"


def test_prepare_ends_the_training_when_few_events_change_their_cluster() -> None:
    network = build(DeepClustering(hidden=(8,), pretrain=2, update=2, delta=0.3))
    halves = [three(150), three(150, seed=5)]
    assert [network.prepare(halves, epoch) for epoch in range(3)] == [False, False, False]
    assert not network.prepare(halves, 3), "no update is due"
    assert network.prepare(halves, 4), "nothing has changed"
    with torch.no_grad():
        network.centroids.copy_(network.centroids.roll(1, 0))
    assert not network.prepare(halves, 5), "no update is due"
    assert not network.prepare(halves, 6), "every event has changed its cluster"
    assert network.prepare(halves, 8), "nothing has changed since"


@pytest.mark.parametrize("side", [-0.01, 0.01])
def test_the_share_that_changed_its_cluster_is_by_weight(side: float) -> None:
    events = three(300)
    network = build(DeepClustering(hidden=(8,), pretrain=0)).eval()
    network.prepare([events], 0)
    leaving = network(events)["assignment"].argmax(1) == 0
    with torch.no_grad():
        network.centroids[0] = 1e3
    changed = float(events.weight[leaving].sum() / events.weight.sum())
    again = build(DeepClustering(hidden=(8,), pretrain=0, delta=changed + side)).eval()
    again.load_state_dict(network.state_dict())
    assert again.prepare([events], 1) == (side > 0)
    assert not again.training, "prepare leaves the mode as it was"


def test_a_training_goes_on_bit_for_bit_from_a_checkpoint_among_the_clusters(tmp_path: Path) -> None:
    events, held_out = three(300), three(100, seed=2)
    options = DeepClustering(hidden=(8,), pretrain=2, update=2, delta=0.0, batch_norm=True)
    source, finished = Table(events, 1.0), []
    for resume in (False, True):
        training = started(build(options), epochs=7)
        if resume:
            torch.manual_seed(99)
            checkpoint.restore([training], tmp_path / "half.safetensors")
        for record in train.fit(training, source, [held_out]):
            if record.epoch == 4:
                checkpoint.save([training], tmp_path / "half.safetensors")
        finished.append(training)
    whole, resumed = finished
    assert [record.losses for record in whole.history] == [record.losses for record in resumed.history]
    for (name, left), right in zip(whole.best.items(), resumed.best.values(), strict=True):
        assert torch.equal(left, right), name


def test_a_training_that_ends_in_pretraining_is_a_message() -> None:
    network, events = build(DeepClustering(pretrain=3)), three(20)
    assert not network.prepare([events], 0)
    waiting = network.validate(events)
    with pytest.raises(InputError, match="ended within the 3 epochs of pretraining, before there were clusters; give"):
        network(events)
    network.prepare([events], 3)
    assert (waiting > network.validate(events)).all()


def test_the_past_encoder_is_evaluated_and_belongs_to_nobody() -> None:
    network = build(DeepClustering(hidden=(8,), pretrain=0, dropout=0.5, l2=0.1))
    assert not any(module.training for module in network.past_encoder.modules())
    assert not any(parameter.requires_grad for parameter in network.past_encoder.parameters())
    events = three(20)
    moved(network, 0.1)
    penalty = network.loss("network", events, 0.0)["l2"]
    trained_weights = [value for name, value in network.autoencoder.named_parameters() if name.endswith("weight")]
    assert penalty.tolist() == pytest.approx(
        [0.1 * sum(float(w.detach().square().sum()) for w in trained_weights)] * 20
    )


def test_the_score_is_the_distance_from_the_nearest_centroid() -> None:
    network, events = build(DeepClustering(hidden=(8,), pretrain=0)).eval(), three(50)
    network.prepare([events], 0)
    with torch.no_grad():
        found = ClusterDistance().score(events, network(events), {}, network)
    away = codes_of(network, events)[:, None] - network.centroids.detach().numpy()
    assert found.numpy() == pytest.approx(np.linalg.norm(away, axis=2).min(1), rel=1e-5)


def test_the_frequency_does_not_depend_on_the_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    events = three(100)
    codes: Tensor = events.inputs["features"]
    whole = deep_clustering.frequency(codes, events.weight, codes[:3])
    monkeypatch.setattr(deep_clustering, "PIECE", 30)
    torch.testing.assert_close(deep_clustering.frequency(codes, events.weight, codes[:3]), whole)
    assert float(whole.sum()) == pytest.approx(1)
