"""Replicas that train at once: they end as those that train one by one, and go on where they were stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from offered import SCHEMAS, build, cases_on, some_events
from torch import Tensor, nn
from trainings import NOISY, OPTIMIZERS, PLAIN, SCHEMA, begin, options, same, source, table, weights

from hepanom import checkpoint, stack, train
from hepanom.contracts import Batch
from hepanom.errors import HepanomError
from hepanom.source import Stream, Table

STACKING = [case for case in cases_on("model") if build("model", *case.values).build(SCHEMAS[case.values[2]]).stacks]


def replicas(model: Any = PLAIN, **changes: Any) -> list[train.Training]:
    return [begin(model, seed=seed, **{"epochs": 20, "patience": 2, **changes}) for seed in range(4)]


def alone(trainings: list[train.Training]) -> list[train.Training]:
    for training in trainings:
        list(train.fit(training, source(table()), [table(30, 2)]))
    return trainings


def together(trainings: list[train.Training]) -> list[train.Training]:
    list(stack.fit(trainings, source(table()), [table(30, 2)]))
    return trainings


def assert_alike(one: train.Training, other: train.Training) -> None:
    """Check that two trainings agree to 1e-5 in weights and losses."""
    for key, value in weights(one.network).items():
        torch.testing.assert_close(other.network.state_dict()[key], value, rtol=1e-5, atol=1e-5)
    assert [(record.epoch, record.best) for record in one.history] == [(r.epoch, r.best) for r in other.history]
    for a, b in zip(one.history, other.history, strict=True):
        assert dict(b.losses) == pytest.approx(dict(a.losses), rel=1e-4, abs=1e-5)
        assert b.validation == pytest.approx(a.validation, rel=1e-4)


@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("use", OPTIMIZERS)
def test_each_is_clipped_and_stops_as_it_would_alone(use: str, clip: float | None) -> None:
    changes = {"optimizer": {"use": use, **OPTIMIZERS[use]}, "clip": clip}
    singles, stacked = alone(replicas(**changes)), together(replicas(**changes))
    for one, other in zip(singles, stacked, strict=True):
        assert_alike(one, other)
        assert not other.network.training
    epochs = {len(training.history) for training in stacked}
    assert len(epochs) > 1 or epochs == {20}


def test_some_stop_before_others() -> None:
    lengths = [len(training.history) for training in together(replicas(optimizer={"use": "sgd", "lr": 1.0}))]
    assert len(set(lengths)) > 1, lengths


@pytest.mark.parametrize(("name", "chosen", "on"), STACKING)
def test_what_a_network_learns_with_others_is_what_it_learns_alone(
    name: str, chosen: dict[str, Any], on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noise(values: Tensor) -> Tensor:  # the same for all, which draw their own otherwise
        return torch.arange(values.numel(), dtype=values.dtype).sin().reshape(values.shape)

    monkeypatch.setattr(torch, "randn_like", noise)
    given = some_events(100, missing=False, on=on)
    inputs = {key: torch.from_numpy(values) for key, values in given.inputs.items() if not hasattr(values, "offsets")}
    events = Batch(inputs, torch.linspace(0.5, 2, 100), torch.zeros(100, dtype=torch.int64))
    train_options = options(epochs=4, batch=20, clip=0.1, optimizer={"use": "sgd", "lr": 0.01})

    def begun() -> list[train.Training]:
        trainings = []
        for seed in range(3):
            torch.manual_seed(seed)
            network = build("model", name, chosen, on).build(SCHEMAS[on])
            for layer in network.modules():
                if isinstance(layer, nn.Dropout):
                    layer.p = 0.0
            trainings.append(train.start(network, train_options, seed))
        return trainings

    singles, stacked, events_of = begun(), begun(), Table(events, float(events.weight.mean()))
    for training in singles:
        list(train.fit(training, events_of, [events]))
    list(stack.fit(stacked, events_of, [events]))
    for one, other in zip(singles, stacked, strict=True):
        torch.testing.assert_close(weights(other.network), weights(one.network), rtol=1e-5, atol=1e-5)


def test_each_has_noise_of_its_own() -> None:
    twins = [begin(NOISY, seed=3, epochs=2) for _ in range(2)]
    together(twins)
    assert not same(weights(twins[0].network), weights(twins[1].network))


def test_the_validation_loss_agrees_within_its_spread_where_there_is_noise() -> None:
    model = replace(NOISY, dropout=0.0)
    found = [
        torch.tensor([train_.best_loss for seed in range(3) for train_ in kind(replicas(model, epochs=30))])
        for kind in (alone, together)
    ]
    difference = abs(found[0].mean() - found[1].mean())
    assert difference < 3 * (found[0].var() / 12 + found[1].var() / 12).sqrt()


@pytest.mark.parametrize("use", ["adam", "sgd"])
def test_they_go_on_where_they_were_stopped_bit_for_bit(use: str, tmp_path: Path) -> None:
    changes = {"optimizer": {"use": use, **OPTIMIZERS[use]}, "epochs": 8}
    whole, stopped, resumed = (replicas(NOISY, **changes) for _ in range(3))
    torch.manual_seed(5)
    together(whole)
    torch.manual_seed(5)
    epochs = stack.fit(stopped, source(table()), [table(30, 2)])
    for _ in range(3):
        next(epochs)
        checkpoint.save(stopped, tmp_path / "checkpoint")
    checkpoint.restore(resumed, tmp_path / "checkpoint")
    assert [len(training.history) for training in resumed] == [3] * 4
    together(resumed)
    for one, other in zip(whole, resumed, strict=True):
        assert same(weights(one.network), weights(other.network))
        assert [record.losses for record in one.history] == [record.losses for record in other.history]


def test_a_loss_that_is_not_finite_names_the_training() -> None:
    trainings = replicas(optimizer={"use": "sgd", "lr": 0.1})
    with torch.no_grad():
        next(trainings[2].network.parameters()).fill_(float("nan"))
    with pytest.raises(HepanomError, match=r"epoch 1, batch 1 of 4, training 3 of 4: the loss \(reconstruction\)"):
        together(trainings)


@pytest.mark.parametrize("what", ["the network", "the optimizer", "the events"])
def test_what_cannot_be_stacked_trains_one_by_one(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = PLAIN.build(SCHEMA)
    assert stack.stacks(network, options(), source(table()))
    monkeypatch.setattr(network, "stacks", what != "the network")
    chosen = options(optimizer={"use": "genetic"}) if what == "the optimizer" else options()
    stream = Stream(lambda part: iter([table()]), 1, 60, 30, 1.0, torch.device("cpu"))
    assert not stack.stacks(network, chosen, stream if what == "the events" else source(table()))
