"""The isolation forest: scikit-learn's trees score the same here, and trees grown here score like scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import IsolationForest as SklearnForest
from sklearn.tree import ExtraTreeRegressor
from torch import Tensor

from hepanom.contracts import Batch, Network
from hepanom.events import Input, Schema
from hepanom_plugins.models.isolation_forest import IsolationForest, average_path, grow

SCHEMA = Schema({"features": Input("table", tuple("abcd"), ("",) * 4)})


def features(events: int, seed: int) -> Tensor:
    """Return features of which the last two are often equal, and few events lie far out."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(events, 4, generator=generator)
    x[:, 2:] = x[:, 2:].round()
    return torch.where(torch.rand(events, 1, generator=generator) < 0.05, 4 * x, x)


def batch(x: Tensor, weight: Tensor | None = None) -> Batch:
    return Batch({"features": x}, torch.ones(len(x)) if weight is None else weight, torch.zeros(len(x)).long())


def scores(network: Network, x: Tensor) -> np.ndarray:
    return network.eval()(batch(x))["outlyingness"].numpy()


def heap(tree: ExtraTreeRegressor, depth: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return scikit-learn's tree as a complete one: leaves go on to the left below a threshold of infinity."""
    arrays = tree.tree_
    feature, threshold = torch.zeros(2**depth - 1).long(), torch.full((2**depth - 1,), torch.inf)
    path = torch.zeros(2**depth)

    def walk(node: int, place: int, level: int, ended: int) -> None:
        leaf = arrays.children_left[node] < 0
        if level == depth:
            count = torch.tensor([arrays.n_node_samples[node]])
            path[place - 2**depth + 1] = ended + average_path(count)[0]
        elif leaf:
            walk(node, 2 * place + 1, level + 1, ended)
        else:
            cut = np.float32(arrays.threshold[node])  # x <= cut for the same float32 x: round down
            rounded = np.nextafter(cut, np.float32(-np.inf)) if cut > arrays.threshold[node] else cut
            feature[place], threshold[place] = int(arrays.feature[node]), float(rounded)
            walk(arrays.children_left[node], 2 * place + 1, level + 1, ended + 1)
            walk(arrays.children_right[node], 2 * place + 2, level + 1, ended + 1)

    walk(0, 0, 0, 0)
    return feature, threshold, path


@pytest.mark.parametrize("samples", [256, 100, 2])
def test_scikit_learns_trees_score_as_scikit_learn_does(samples: int) -> None:
    train, test = features(600, 1), features(300, 2)
    theirs = SklearnForest(n_estimators=30, max_samples=samples, random_state=4).fit(train.numpy())
    depth = int(np.ceil(np.log2(samples)))
    network = IsolationForest(trees=30, samples=samples).build(SCHEMA)
    columns = zip(*(heap(tree, depth) for tree in theirs.estimators_), strict=True)
    network.feature, network.threshold, network.path = (torch.stack(column) for column in columns)
    network.expected = average_path(torch.tensor([samples]))[0]
    np.testing.assert_allclose(scores(network, test), -theirs.score_samples(test.numpy()), rtol=1e-6)


def test_trees_grown_here_score_like_scikit_learns() -> None:
    train, test = features(2000, 1), features(300, 2)
    torch.manual_seed(1)
    network = IsolationForest(trees=1000).build(SCHEMA)
    network.prepare([batch(train)], 0)
    theirs, others = (
        -SklearnForest(n_estimators=1000, random_state=s).fit(train.numpy()).score_samples(test.numpy()) for s in (1, 2)
    )
    ours, noise = scores(network, test), np.std(theirs - others)
    assert np.std(ours - theirs) < 1.3 * noise
    assert abs(np.mean(ours - theirs)) < 3 * abs(np.mean(theirs - others)) + noise


def test_a_tree_isolates_what_differs_and_cuts_within_the_node() -> None:
    torch.manual_seed(2)
    x = features(64, 3)
    feature, threshold, path = grow(x, 6)
    place, inside = torch.zeros(64).long(), []
    for level in range(6):
        first = 2**level - 1
        for node in place.unique():
            here, cut = x[place == node][:, feature[first + node]], threshold[first + node]
            inside.append(bool(cut.isinf()) or bool(here.min() <= cut < here.max()))
            assert not cut.isinf() or (x[place == node] == x[place == node][0]).all()
        place = 2 * place + (x[torch.arange(64), feature[first + place]] > threshold[first + place])
    assert all(inside)
    assert (path[place] >= 1).all()
    assert path[place].double().mean() == pytest.approx(float(average_path(torch.tensor([64]))[0]), rel=0.35)


def test_average_path_is_twice_the_sum_of_the_harmonic_series() -> None:
    n = np.array([1000, 5000])
    harmonic = [sum(1 / k for k in range(1, number)) for number in n]
    assert average_path(torch.from_numpy(n)).numpy() == pytest.approx(
        2 * np.array(harmonic) - 2 * (n - 1) / n, rel=1e-4
    )
    assert average_path(torch.tensor([0, 1, 2])).tolist() == [0, 0, 1]


def test_events_without_weight_are_not_drawn() -> None:
    ordinary, far = features(500, 1), features(500, 2) + 50
    weight = torch.cat([torch.ones(500), torch.zeros(500)])
    torch.manual_seed(1)
    network = IsolationForest(samples=400).build(SCHEMA)
    network.prepare([batch(torch.cat([ordinary, far]), weight)], 0)
    assert scores(network, far).min() > scores(network, ordinary).mean() + 0.1
    assert network.path.shape[1] == 512


def test_heavier_events_look_more_ordinary() -> None:
    x = torch.cat([features(500, 1), features(500, 2) + 20])
    found = []
    for heavy in (1.0, 0.01):
        torch.manual_seed(1)
        network = IsolationForest(samples=128).build(SCHEMA)
        network.prepare([batch(x, torch.tensor([1.0, heavy]).repeat_interleave(500))], 0)
        found.append(scores(network, x[500:]).mean() - scores(network, x[:500]).mean())
    assert found[1] > found[0] + 0.1
