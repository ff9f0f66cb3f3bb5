"""The training loop: what one step is, when it stops, what it returns, and what it says when it fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from trainings import NOISY, OPTIMIZERS, PLAIN, SCHEMA, Scripted, begin, finish, options, same, table, weights

from hepanom import optimizers, train
from hepanom.contracts import Batch, Network, Player
from hepanom.errors import HepanomError, InputError
from hepanom_plugins.models.vae import VAE


def test_a_step_follows_the_gradient_of_the_weighted_loss_over_batch_size_times_mean_weight() -> None:
    training, events, lr = begin(epochs=1), table(42), 0.1
    by_hand = PLAIN.build(SCHEMA)
    by_hand.load_state_dict(weights(training.network))
    order = torch.randperm(42, generator=torch.Generator().manual_seed(3))
    for start in (0, 16, 32):
        rows = order[start : start + 16]
        batch = Batch({"features": events.inputs["features"][rows]}, events.weight[rows], events.label[rows])
        loss = by_hand.validate(batch) @ batch.weight / (len(rows) * events.weight.mean())
        by_hand.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in by_hand.parameters():
                parameter.sub_(lr * parameter.grad)
    record = finish(training, events, events)[0]
    for name, value in weights(by_hand).items():
        torch.testing.assert_close(training.network.state_dict()[name], value)
    expected = float(by_hand.validate(events).detach() @ events.weight / events.weight.sum())
    assert record.validation == pytest.approx(expected, rel=1e-5)


def test_weight_two_is_the_event_twice() -> None:
    count = torch.tensor([1, 2, 3] * 20)
    once = replace(table(), weight=count.float())
    rows = torch.arange(60).repeat_interleave(count)
    twice = Batch({"features": once.inputs["features"][rows]}, torch.ones(len(rows)), once.label[rows])
    weighted, repeated = begin(batch=1000), begin(batch=1000)
    records = finish(weighted, once), finish(repeated, twice)
    assert [r.losses["reconstruction"] for r in records[0]] == pytest.approx(
        [r.losses["reconstruction"] for r in records[1]], rel=1e-4
    )
    for name, value in weights(weighted.network).items():
        torch.testing.assert_close(value, repeated.network.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_a_common_factor_of_all_weights_changes_nothing() -> None:
    events = table()
    light, heavy = begin(), begin()
    finish(light, events)
    finish(heavy, replace(events, weight=events.weight * 1024))
    assert same(weights(light.network), weights(heavy.network))


def test_recorded_losses_are_weighted_means_over_the_epoch() -> None:
    training, events = begin(epochs=1, optimizer={"use": "sgd", "lr": 1e-30}), table()
    record = finish(training, events)[0]
    expected = float(training.network.validate(events).detach() @ events.weight / events.weight.sum())
    assert dict(record.losses) == {"reconstruction": pytest.approx(expected, rel=1e-5)}


@given(losses=st.lists(st.integers(-3, 3), min_size=1, max_size=12), patience=st.integers(1, 4) | st.none())
def test_look_back_stops_after_the_patience_and_returns_the_best_epoch(losses: list[int], patience: int | None) -> None:
    network = Scripted([float(loss) for loss in losses])
    training = train.start(network, options(epochs=len(losses), patience=patience), 1)
    records = finish(training, table(4), table(4))
    seen, best = 0, 0
    while seen < len(losses) and (patience is None or seen - best < patience):
        seen += 1
        best = seen if seen == 1 or losses[seen - 1] < min(losses[: seen - 1]) else best
    assert len(records) == seen
    assert [record.epoch for record in records if record.best][-1] == training.best_epoch == best
    assert int(network.epoch) == best
    assert not network.training


def test_validation_noise_is_the_same_in_every_epoch_and_takes_none_from_training() -> None:
    still = begin(NOISY, optimizer={"use": "sgd", "lr": 1e-30})
    still.network.apply(lambda layer: setattr(layer, "momentum", 0.0) if isinstance(layer, nn.BatchNorm1d) else None)
    assert len({record.validation for record in finish(still)}) == 1
    losses = [[r.losses for r in finish(begin(NOISY), valid=table(size, 5))] for size in (10, 50)]
    assert losses[0] == losses[1]


def test_validation_judges_the_final_beta_while_the_warm_up_goes_on() -> None:
    frozen = {"optimizer": {"use": "sgd", "lr": 1e-30}}
    steady, warming = (begin(VAE(hidden=(6,), warmup=share), **frozen) for share in (0.0, 1.0))
    records = list(zip(finish(steady), finish(warming), strict=True))
    assert all(a.validation == b.validation for a, b in records)
    shares = [b.losses["kl"] / a.losses["kl"] for a, b in records]
    assert shares == sorted(shares)
    assert shares[0] < 0.25
    assert 0.7 < shares[-1] < 1


def test_clip_bounds_the_norm_of_the_gradient() -> None:
    training = begin(epochs=1, batch=100, clip=0.01, optimizer={"use": "sgd", "lr": 1.0})
    before = weights(training.network)
    finish(training)
    moved = torch.cat([(value - before[name]).flatten() for name, value in weights(training.network).items()])
    assert float(moved.norm()) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_gets_all_its_options(name: str) -> None:
    section = {"adam": "Adam", "sgd": "SGD", "adadelta": "Adadelta", "adagrad": "Adagrad", "rmsprop": "RMSprop"}[name]
    assert set(OPTIMIZERS[name]) == set(getattr(optimizers, section).model_fields) - {"use"}
    training = begin(optimizer={"use": name, **OPTIMIZERS[name]})
    (group,) = training.optimizers["network"].param_groups
    assert {option: group[option] for option in OPTIMIZERS[name]} == OPTIMIZERS[name]
    before = weights(training.network)
    finish(training)
    assert not any(torch.equal(value, before[name]) for name, value in weights(training.network).items())


def test_parameters_keep_their_values_and_memory_order_when_one_tensor_holds_them() -> None:
    network = PLAIN.build(SCHEMA)
    network.kernel = nn.Parameter(torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last))
    before, strides = weights(network), [parameter.stride() for parameter in network.parameters()]
    optimizers = train.start(network, options(), 1).optimizers
    (flat,) = optimizers["network"].param_groups[0]["params"]
    assert same(weights(network), before)
    assert [parameter.stride() for parameter in network.parameters()] == strides
    assert {parameter.untyped_storage().data_ptr() for parameter in network.parameters()} == {flat.data_ptr()}
    assert flat.numel() == sum(parameter.numel() for parameter in network.parameters())


class Duel(Network):
    """Two players that push their own number."""

    def __init__(self) -> None:
        super().__init__()
        self.critic, self.generator = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))

    def players(self) -> dict[str, Player]:
        return {"critic": Player([self.critic], steps=3), "generator": Player([self.generator], optimizer={"lr": 0.5})}

    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Tensor]:
        return {"push": -getattr(self, player).expand(len(batch))}


def test_players_take_their_steps_with_their_own_optimizer() -> None:
    duel = Duel()
    training = train.start(duel, options(epochs=1, batch=30), 1)
    records = finish(training, replace(table(), weight=torch.ones(60)))
    assert (duel.critic.item(), duel.generator.item()) == pytest.approx((2 * 3 * 0.1, 2 * 0.5))
    assert set(records[0].losses) == {"critic/push", "generator/push"}


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"speed": 1.0}])
def test_a_players_options_that_its_optimizer_refuses_are_a_message(wrong: dict[str, float]) -> None:
    class Wrong(Duel):
        def players(self) -> dict[str, Player]:
            return {"critic": Player([self.critic], optimizer=wrong)}

    with pytest.raises(InputError, match=r"train\.optimizer: sgd: "):
        train.start(Wrong(), options(), 1)


def test_a_network_that_is_fitted_in_one_call_needs_one_epoch() -> None:
    class Fitted(Scripted):
        def players(self) -> dict[str, Player]:
            return {}

        def prepare(self, batches: Any, epoch: int) -> bool:
            self.epoch.fill_(sum(len(batch) for batch in batches))
            return True

        def validate(self, batch: Batch) -> Tensor:
            return torch.zeros(len(batch))

    network = Fitted([])
    records = finish(train.start(network, options(), 1))
    assert len(records) == 1
    assert records[0].losses == {}
    assert int(network.epoch) == 60


def test_divergence_names_epoch_batch_and_inputs() -> None:
    with pytest.raises(HepanomError, match=r"epoch 1, batch 2 of 4: the loss \(reconstruction\).*features\[\d\]"):
        finish(begin(optimizer={"use": "sgd", "lr": 1e30}))


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), float("-inf")])
def test_validation_loss_that_is_not_finite_names_the_epoch(loss: float) -> None:
    with pytest.raises(HepanomError, match="epoch 2: the validation loss is"):
        finish(train.start(Scripted([1.0, loss]), options(), 1))


def test_a_device_that_is_not_there_is_a_message() -> None:
    with pytest.raises(HepanomError, match=r"train\.device: cuda:77"):
        train.resolve_device("cuda:77")


def test_a_parameter_of_two_players_is_refused() -> None:
    network = Duel()
    network.generator = network.critic
    with pytest.raises(TypeError, match=r"Duel.players\(\) names a parameter twice; each belongs to one player"):
        train.start(network, options(), 1)
