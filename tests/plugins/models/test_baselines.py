"""The classical baselines: each against scikit-learn, scipy or a loop, and what weights mean to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import distance
from sklearn.decomposition import PCA as SklearnPCA
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from hepanom.contracts import Batch, Model, Network
from hepanom.errors import InputError
from hepanom.events import Input, Schema
from hepanom_plugins.models.baseline import effective, moments, refuse_wide, sample
from hepanom_plugins.models.gmm import GMM
from hepanom_plugins.models.hbos import HBOS
from hepanom_plugins.models.isolation_forest import IsolationForest
from hepanom_plugins.models.knn import KNN
from hepanom_plugins.models.mahalanobis import Mahalanobis
from hepanom_plugins.models.pca import PCA

SCHEMA = Schema({"features": Input("table", tuple("abcd"), ("",) * 4)})
ALL = [PCA(), Mahalanobis(), HBOS(), KNN(), IsolationForest(trees=20), GMM(components=3)]


def features(events: int, seed: int = 1) -> Tensor:
    """Return correlated features with two modes, far from the origin."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(4, 4, generator=torch.Generator().manual_seed(9))
    x = torch.randn(events, 4, generator=generator) @ mixing
    return x + torch.where(torch.rand(events, 1, generator=generator) < 0.3, 6.0, 0.0) + 20


def batch(x: Tensor, weight: Tensor | None = None) -> Batch:
    return Batch({"features": x}, torch.ones(len(x)) if weight is None else weight, torch.zeros(len(x)).long())


def pieces(events: Batch, size: int = 64) -> Iterator[Batch]:
    """Yield the events in batches that can be gone through once, as a training gives them."""
    for start in range(0, len(events), size):
        yield events.map(lambda values, start=start: values[start : start + size])


def fitted(model: Model, events: Batch, seed: int = 3) -> Network:
    torch.manual_seed(seed)
    network = model.build(SCHEMA).train()
    assert network.prepare(pieces(events), 0), "one call is enough"
    return network.eval()


def given(network: Network, x: Tensor) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in network(batch(x)).items()}


def outlyingness(model: Model, events: Batch, x: Tensor) -> np.ndarray:
    return given(fitted(model, events), x)["outlyingness"]


@pytest.mark.parametrize("whiten", [False, True])
def test_pca_is_scikit_learns(whiten: bool) -> None:
    train, test = features(500), features(200, 2)
    theirs = SklearnPCA(2, whiten=whiten).fit(train.double().numpy())
    ours = given(fitted(PCA(latent=2, whiten=whiten), batch(train)), test)
    codes = theirs.transform(test.double().numpy())
    signs = np.sign((ours["latent_mean"] * codes).sum(0))
    scale = np.sqrt(500 / 499) if whiten else 1.0  # theirs is the deviation of a sample, ours of a distribution
    np.testing.assert_allclose(ours["latent_mean"], scale * signs * codes, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours["reconstruction"], theirs.inverse_transform(codes), rtol=1e-6)


def test_all_components_give_every_event_back() -> None:
    network, x = fitted(PCA(latent=4), batch(features(100))), features(50, 2)
    np.testing.assert_allclose(given(network, x)["reconstruction"], x, rtol=1e-6)
    assert network.validate(batch(x)).max() < 1e-10


def test_mahalanobis_is_scipys() -> None:
    train, test = features(500).double(), features(50, 2)
    inverse = np.linalg.inv(np.cov(train.numpy().T, ddof=0))
    expected = [distance.mahalanobis(x, train.mean(0).numpy(), inverse) ** 2 for x in test.double().numpy()]
    assert outlyingness(Mahalanobis(), batch(train.float()), test) == pytest.approx(np.array(expected), rel=1e-4)


def test_a_feature_that_the_others_fix_or_that_is_constant_does_not_change_the_distance() -> None:
    train, test = features(500), features(50, 2)
    for x in (train, test):
        x[:, 2] = 7.5
        x[:, 3] = x[:, 0] * 2  # exact in binary
    expected = np.linalg.inv(np.cov(train[:, :2].double().numpy().T, ddof=0))
    apart = (test[:, :2].double() - train[:, :2].double().mean(0)).numpy()
    found = outlyingness(Mahalanobis(), batch(train), test)
    assert found == pytest.approx(np.einsum("ei,ij,ej->e", apart, expected, apart), rel=1e-4)
    moved = test.clone()
    moved[:, 2] += 1
    assert outlyingness(Mahalanobis(), batch(train), moved) == pytest.approx(found), "the documented blind spot"
    assert (outlyingness(Mahalanobis(shrinkage=0.1), batch(train), moved) > found + 5).all()


@pytest.mark.parametrize("kind", ["largest", "mean"])
def test_knn_is_brute_force_and_scikit_learns(kind: Any) -> None:
    train, test = features(400), features(60, 2)
    pairs = np.sort(np.linalg.norm(test[:, None].double().numpy() - train.double().numpy(), axis=2), axis=1)[:, :5]
    theirs, _ = NearestNeighbors(n_neighbors=5).fit(train.numpy()).kneighbors(test.numpy())
    found = outlyingness(KNN(k=5, distance=kind), batch(train), test)
    for distances in (pairs, theirs):
        expected = distances[:, -1] if kind == "largest" else distances.mean(1)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_small_distances_far_from_the_origin_keep_their_digits() -> None:
    x = torch.tensor([[1000.0, 0, 0, 0], [1000.0 + 2**-10, 0, 0, 0], [0.0, 0, 0, 0]])
    assert outlyingness(KNN(k=2), batch(x), x[:1]) == pytest.approx([2**-10], rel=1e-6)


def test_more_neighbours_than_references_are_refused() -> None:
    with pytest.raises(InputError, match="k is 5, but there are only 2 references"):
        fitted(KNN(k=5), batch(features(100), torch.tensor([1.0, 1.0] + [0.0] * 98)))


@pytest.mark.parametrize("binning", ["width", "weight"])
def test_hbos_is_a_loop_over_features_and_bins(binning: Any) -> None:
    train, test, bins, floor = features(300), torch.cat([features(100, 2), features(20, 4) * 3 - 50]), 7, 0.05
    weight = torch.rand(300, generator=torch.Generator().manual_seed(2))
    expected = np.zeros(len(test))
    for column, values in zip(train.double().numpy().T, test.double().numpy().T, strict=True):
        low, high = column.min(), column.max()
        mean = np.average(column, weights=weight.double().numpy())
        empty = floor / np.sqrt(np.average((column - mean) ** 2, weights=weight.double().numpy()))
        order = np.argsort(column)
        below = np.cumsum(weight.double().numpy()[order]) / float(weight.double().sum())
        inner = [column[order][np.argmax(below >= b / bins)] for b in range(1, bins)]
        edges = np.linspace(low, high, bins + 1) if binning == "width" else np.array([low, *inner, high])
        share, _ = np.histogram(column, edges, weights=weight.double().numpy() / float(weight.double().sum()))
        for event, x in enumerate(values):
            beyond = max(low - x, x - high)
            b = min(np.searchsorted(edges, x, side="right"), bins) - 1
            inside = share[b] / (edges[b + 1] - edges[b]) + empty
            density = empty / (1 + bins * beyond / (high - low)) if beyond > 0 else inside
            expected[event] -= np.log(density / (1 + empty * (high - low)))
    found = outlyingness(HBOS(bins=bins, binning=binning, floor=floor), batch(train, weight), test)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("binning", ["width", "weight"])
def test_hbos_grows_with_the_distance_from_the_range_even_beside_a_value_that_many_events_have(binning: Any) -> None:
    train = features(300)
    train[:150, 0], train[:, 1] = train[:, 0].min(), 5.0
    x = train.median(0).values.repeat(6, 1)
    x[:, 0] = train[:, 0].min() - torch.tensor([0.0, 1e-4, 1.0, 10.0, 100.0, 1e6])
    found = outlyingness(HBOS(binning=binning), batch(train), x)
    assert (np.diff(found) > 0).all()
    assert found[1] > outlyingness(HBOS(binning=binning), batch(train), train).min() + 1


def test_one_far_training_event_hardly_lowers_the_floor_of_hbos() -> None:
    train = torch.randn(1000, 1, generator=torch.Generator().manual_seed(3))
    places = torch.tensor([[0.0], [float(train.min()) - 1e-5]])  # in the bulk, and in an empty bin
    alone, joined = (
        np.ptp(outlyingness(HBOS(), batch(values), places))
        for values in (train, torch.cat([train, torch.tensor([[100.0]])]))
    )
    assert 0.5 < joined - alone < 1.5  # the deviation grows to its threefold, the range to its sixteenfold


WEIGHED = [PCA(), Mahalanobis(), HBOS(), HBOS(binning="width")]


@pytest.mark.parametrize("model", WEIGHED, ids=repr)
def test_weight_two_is_the_event_twice(model: Model) -> None:
    x, count = features(90), torch.tensor([0, 1, 2] * 30)
    once = given(fitted(model, batch(x, 3 * count.float())), features(50, 2))
    twice = given(fitted(model, batch(x.repeat_interleave(count, 0))), features(50, 2))
    for name, values in once.items():
        np.testing.assert_allclose(values, twice[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model", ALL, ids=repr)
def test_a_seed_fixes_the_fit_and_its_state_brings_it_back_bit_for_bit(model: Model) -> None:
    train, x = batch(features(300)), features(100, 2)
    network = fitted(model, train)
    again, loaded = fitted(model, train), model.build(SCHEMA).eval()
    loaded.load_state_dict({name: value.clone() for name, value in network.state_dict().items()})
    assert network.players() == {}
    for name, values in given(network, x).items():
        np.testing.assert_array_equal(given(again, x)[name], values)
        np.testing.assert_array_equal(given(loaded, x)[name], values)


@pytest.mark.parametrize("model", ALL, ids=repr)
def test_an_events_score_does_not_depend_on_its_batch(model: Model) -> None:
    network, x = fitted(model, batch(features(300))), features(1000, 2)
    whole = given(network, x)
    for start, stop in ((0, 1), (500, 517), (993, 1000)):
        for name, values in given(network, x[start:stop]).items():
            np.testing.assert_allclose(values, whole[name][start:stop], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("model", [model for model in ALL if "outlyingness" in model.gives], ids=repr)
def test_events_far_away_are_stranger_and_held_out_ones_validate_better(model: Model) -> None:
    network, x = fitted(model, batch(features(2000))), features(300, 2)
    strange = torch.randn(300, 4, generator=torch.Generator().manual_seed(5)) * 30
    assert np.median(given(network, strange)["outlyingness"]) > given(network, x)["outlyingness"].max()
    assert network.validate(batch(x)).mean() < network.validate(batch(strange)).mean()


def test_moments_of_batches_are_those_of_all_events_whatever_the_offset() -> None:
    x, weight = features(1000).double() + 1e6, torch.rand(1000, generator=torch.Generator().manual_seed(1))
    weight[:70] = 0  # a whole batch without weight
    found = moments((events.inputs["features"], events.weight) for events in pieces(batch(x, weight)))
    np.testing.assert_allclose(found.mean, np.average(x.numpy(), axis=0, weights=weight.numpy()), rtol=1e-13)
    expected = np.cov(x.numpy().T, aweights=weight.double().numpy(), ddof=0)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-8)


def test_a_sample_is_drawn_in_proportion_to_the_weights_or_keeps_them() -> None:
    torch.manual_seed(1)
    weight = torch.tensor([0.0, 1.0, 2.0, 4.0]).repeat(5000)
    kind = torch.arange(4.0).repeat(5000)[:, None]
    parts = lambda: zip(kind.split(1000), weight.split(1000), strict=True)  # noqa: E731
    drawn, _ = sample(parts(), 700, by_weight=True)
    assert len(drawn) == 700
    assert np.bincount(drawn[:, 0].long()) / 700 == pytest.approx(np.array([0, 1, 2, 4]) / 7, abs=0.06)
    uniform, kept = sample(parts(), 700)
    assert np.bincount(uniform[:, 0].long()) / 700 == pytest.approx(np.full(4, 0.25), abs=0.06)
    assert torch.equal(kept, torch.tensor([0.0, 1.0, 2.0, 4.0])[uniform[:, 0].long()])
    most, _ = sample(parts(), 10**6, by_weight=True)
    assert len(most) == effective(weight) == round(20_000 * 1.75**2 / 5.25)
    everything, _ = sample(parts(), 20_000)
    assert torch.equal(everything, kind)


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(InputError, match="latent is 5, but the events have 4 features"):
        PCA(latent=5).build(SCHEMA)
    with pytest.raises(InputError, match="16384 features are too many"):
        refuse_wide(16384)
    for model in ALL:
        with pytest.raises(InputError, match="weights of all training events are zero"):
            fitted(model, batch(features(30), torch.zeros(30)))


@pytest.mark.parametrize("binning", ["width", "weight"])
@pytest.mark.parametrize("rare", [0.5, 0.1, 0.01])
@pytest.mark.parametrize("turned", [1.0, -1.0])
def test_hbos_finds_the_rarer_of_two_values_stranger(binning: Any, rare: float, turned: float) -> None:
    values = turned * (torch.arange(1000) < 1000 * rare).float()[:, None]
    often, seldom = outlyingness(HBOS(binning=binning), batch(values), torch.tensor([[0.0], [turned]])).tolist()
    assert seldom == pytest.approx(often, abs=0.01) if rare == 0.5 else seldom > often + 1


def test_hbos_gives_a_value_that_many_events_have_a_bin_of_its_own() -> None:
    spread = torch.rand(500, generator=torch.Generator().manual_seed(1))
    for place in (0.0, 0.5, 1.0):
        values = torch.cat([torch.full((500,), place), spread])[:, None]
        here, beside = outlyingness(HBOS(), batch(values), torch.tensor([[place], [0.3]])).tolist()
        assert here < beside - 3
