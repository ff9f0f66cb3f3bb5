"""Deep SVDD: centre, radius and objectives against their definitions, and no door to a collapsed sphere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from offered import build as plugin
from trainings import begin, finish, same, source, table, weights

from hepanom import checkpoint, train
from hepanom.contracts import Batch
from hepanom.errors import InputError, RecipeError
from hepanom.events import Input, Schema
from hepanom.metrics import auc, roc
from hepanom.stream import batches
from hepanom_plugins.models.deep_svdd import DeepSVDD, DeepSVDDNetwork

SCHEMA = Schema({"features": Input("table", tuple("abcd"), ("",) * 4)})
SOFT = {"objective": "soft_boundary", "warmup_epochs": 1}
seeds = st.integers(0, 2**31)


def build(seed: int = 4, **options: object) -> DeepSVDDNetwork:
    torch.manual_seed(seed)
    network = DeepSVDD(**{"hidden": (8,), "latent": 5, **options}).build(SCHEMA)
    assert isinstance(network, DeepSVDDNetwork)
    return network


def with_features(features: torch.Tensor) -> Batch:
    return Batch({"features": features}, torch.ones(len(features)), torch.zeros(len(features), dtype=torch.int64))


def squared_distance(network: DeepSVDDNetwork, events: Batch) -> torch.Tensor:
    code = network(events)["latent_mean"]
    return sum((code[:, index] - network.centre[index]) ** 2 for index in range(code.shape[1]))


@settings(max_examples=20)
@given(seed=seeds)
def test_the_centre_is_the_weighted_mean_of_the_first_codes_and_keeps_off_zero(seed: int) -> None:
    network, events = build(seed), table(60, seed)
    network.prepare(batches(events, 16), 0)
    mean = np.average(network(events)["latent_mean"].detach().numpy(), axis=0, weights=events.weight.numpy())
    expected = np.where(np.abs(mean) < 0.1, np.where(mean < 0, -0.1, 0.1), mean)
    np.testing.assert_allclose(network.centre.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert not network.centre.requires_grad


def test_the_centre_stays_where_it_was_set() -> None:
    for options in ({}, SOFT):
        network = build(**options)
        network.prepare(batches(table(), 16), 0)
        before = network.centre.clone()
        for epoch in (1, 2):
            network.prepare(batches(table(seed=epoch + 5), 16), epoch)
        assert torch.equal(network.centre, before)


@pytest.mark.parametrize("options", [{}, SOFT])
def test_a_resumed_training_has_the_same_bits(options: dict[str, object], tmp_path: Path) -> None:
    model = DeepSVDD(hidden=(8,), latent=5, **options)
    whole = begin(model, epochs=4, optimizer={"use": "adam", "lr": 0.01})
    finish(whole)
    half = begin(model, epochs=4, optimizer={"use": "adam", "lr": 0.01})
    steps = train.fit(half, source(table()), [table(30, 2)])
    for _ in range(2):
        next(steps)
    checkpoint.save([half], tmp_path / "half.safetensors")
    again = begin(model, seed=8, epochs=4, optimizer={"use": "adam", "lr": 0.01})
    checkpoint.restore([again], tmp_path / "half.safetensors")
    finish(again)
    assert same(weights(whole.network), weights(again.network))
    assert bool(whole.network.radius > 0) == (options == SOFT)


def test_one_class_is_the_squared_distance_and_half_the_squared_weights() -> None:
    network, events = build(weight_decay=0.1), table()
    network.prepare([events], 0)
    terms = network.loss("network", events, 0.5)
    torch.testing.assert_close(terms["objective"], squared_distance(network, events))
    penalty = 0.05 * sum(float((layer.detach() ** 2).sum()) for layer in network.parameters())
    torch.testing.assert_close(terms["weight_decay"], torch.full((60,), penalty))
    torch.testing.assert_close(network.validate(events), terms["objective"])
    torch.testing.assert_close(network(events)["outlyingness"], terms["objective"])


@settings(max_examples=20)
@given(seed=seeds, nu=st.floats(0.02, 1))
def test_the_soft_boundary_has_the_radius_of_the_smallest_loss(seed: int, nu: float) -> None:
    network, events = build(seed, nu=nu, **SOFT), table(60, seed)
    network.prepare([events], 0)
    assert float(network.radius) == 0
    network.prepare(batches(events, 16), 1)
    squared = squared_distance(network, events).detach()
    radius = network.radius.square()
    outside = events.weight[squared > radius * (1 + 1e-5)].sum() / events.weight.sum()
    assert float(outside) <= nu + 1e-6

    def loss(radius: torch.Tensor) -> float:
        each = radius + torch.where(squared > radius, squared - radius, 0.0) / nu
        return float(each @ events.weight / events.weight.sum())

    found = float(network.validate(events).detach() @ events.weight / events.weight.sum())
    assert found == pytest.approx(loss(radius), rel=1e-5)
    assert found <= min(loss(other) for other in [torch.tensor(0.0), *squared]) * (1 + 1e-5)
    torch.testing.assert_close(network(events)["outlyingness"], squared - radius)


def test_the_radius_waits_for_the_end_of_the_warm_up() -> None:
    network, events = build(objective="soft_boundary", warmup_epochs=3), table()
    for epoch in range(4):
        network.prepare([events], epoch)
        assert bool(network.radius > 0) == (epoch == 3)


def test_no_bias_can_move_a_code_to_the_centre() -> None:
    nothing = with_features(torch.zeros(3, 4))
    for activation in ("relu", "leaky_relu"):
        network = build(activation=activation)
        assert all(parameter.ndim == 2 for parameter in network.parameters())
        assert not network(nothing)["latent_mean"].any()
    for activation in ("tanh", "sigmoid", "relu6", "elu", "softplus"):
        with pytest.raises(RecipeError, match=r"activation.*'leaky_relu'"):
            plugin("model", "deep_svdd", {"activation": activation})


def test_a_column_that_is_a_bias_is_refused_by_name() -> None:
    features = table().inputs["features"].clone()
    features[:, 1] = 0
    build().prepare(batches(with_features(features), 16), 0)
    features[:, 2] = 2.5
    with pytest.raises(InputError, match=r"same value: 2\.5 in c; it acts as a bias.*standardize"):
        build().prepare(batches(with_features(features), 16), 0)
    image = Schema({"image": Input("image", ("charge", "hits"), ("", ""), (2, 2))})
    pixels = torch.rand(6, 2, 2, 2)
    pixels[:, 1, 0, 1] = 3
    events = Batch({"image": pixels}, torch.ones(6), torch.zeros(6, dtype=torch.int64))
    with pytest.raises(InputError, match="3 in a pixel of hits"):
        DeepSVDD().build(image).prepare([events], 0)


@pytest.mark.parametrize("options", [{}, SOFT])
def test_events_of_another_kind_lie_outside(options: dict[str, object]) -> None:
    generator = torch.Generator().manual_seed(3)
    mix = torch.tensor([[1.0, 0.9, 0, 0], [0, 0.3, 0, 0], [0, 0, 1, -0.9], [0, 0, 0, 0.3]])
    known = torch.randn(4000, 4, generator=generator) @ mix  # two pairs of correlated columns; the others have none
    other = torch.randn(1000, 4, generator=generator)
    training = begin(DeepSVDD(**options), epochs=15, batch=128, optimizer={"use": "adam", "lr": 1e-3})
    finish(training, with_features(known[:2000]), with_features(known[2000:3000]))
    with torch.no_grad():
        score = training.network(with_features(torch.cat([known[3000:], other])))["outlyingness"].numpy()
    labels = np.repeat([False, True], 1000)
    assert score.std() > 0
    assert auc(roc(score, labels, np.ones(2000))) > 0.7
