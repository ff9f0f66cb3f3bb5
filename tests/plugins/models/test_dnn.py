"""The regression: each loss against its formula, targets in their units, and uncertainties that are true."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal

from hepanom.contracts import Batch
from hepanom.errors import InputError
from hepanom.events import Input, Schema
from hepanom_plugins.models.dnn import DNN, DNNNetwork, pinball

SCHEMA = Schema({"features": Input("table", ("a", "b", "c"), ("",) * 3)}, targets=("u_x", "u_y"))
LOSSES = ("mse", "huber", "gaussian", "quantiles")
seeds = st.integers(0, 2**32 - 1)


def batch(events: int = 40, seed: int = 1, shift: float = 300.0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    features, noise = torch.randn(2, events, 3, generator=generator)
    target = torch.tensor([20.0, 5.0]) * (features[:, :2] + 0.5 * noise[:, :2]) + shift
    weight = torch.rand(events, generator=generator) + 0.5
    return Batch({"features": features}, weight, torch.zeros(events, dtype=torch.int64), target)


def build(events: Batch | None = None, **options: object) -> DNNNetwork:
    torch.manual_seed(4)
    network = DNN(**{"hidden": (6,), **options}).build(SCHEMA)  # type: ignore[arg-type]
    assert isinstance(network, DNNNetwork)
    network.prepare([batch() if events is None else events], 0)
    return network.eval()


def trained(events: Batch, steps: int = 400, **options: object) -> DNNNetwork:
    network = build(events, **options).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        (network.loss("network", events, 0.5)[network.options.loss] @ events.weight / events.weight.sum()).backward()
        optimizer.step()
    return network.eval()


@given(seed=seeds, pieces=st.integers(1, 6), shift=st.sampled_from([0.0, 1e4, -1e6]))
def test_targets_are_standardized_by_their_weighted_mean_and_spread(seed: int, pieces: int, shift: float) -> None:
    events, network = batch(60, seed, shift), build()
    chunks = [events.map(lambda values, index=index: values[index]) for index in torch.arange(60).chunk(pieces)]
    assert network.prepare(chunks, 0) is False
    assert events.target is not None
    target, weight = events.target.double().numpy(), events.weight.double().numpy()
    mean = np.average(target, axis=0, weights=weight)
    spread = np.average((target - mean) ** 2, axis=0, weights=weight) ** 0.5
    np.testing.assert_allclose(network.target_mean, mean, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(network.target_spread, spread, rtol=1e-5)


def test_a_training_that_goes_on_keeps_its_standardization_and_does_not_read_the_events() -> None:
    def unread() -> Iterator[Batch]:
        raise AssertionError("the events were read")
        yield

    network = build()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert network.prepare(unread(), 1) is False
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_constant_target_is_predicted_and_divides_by_nothing() -> None:
    events = batch()
    constant = replace(events, target=torch.full((40, 2), 7.0))
    network = build(constant)
    assert network.target_mean.tolist() == [7, 7]
    assert network.target_spread.tolist() == [1, 1]
    assert network.validate(constant).isfinite().all()


@given(seed=seeds, delta=st.floats(0.1, 3))
def test_losses_are_their_formulas_on_standardized_targets(seed: int, delta: float) -> None:
    events = batch(seed=seed)
    for loss in LOSSES:
        network = build(events, loss=loss, delta=delta)
        assert events.target is not None
        target = (events.target - network.target_mean) / network.target_spread
        out = network.layers(events.inputs["features"]).detach()
        if loss == "gaussian":
            p = Normal(out[:, ::2], (out[:, 1::2] / 2).exp())
            expected = -p.log_prob(target).sum(1)
        elif loss == "quantiles":
            levels, each = torch.tensor([0.16, 0.5, 0.84]), out.reshape(40, 2, 3).sort(2).values
            r = target[:, :, None] - each
            expected = torch.where(r > 0, levels * r, (levels - 1) * r).mean((1, 2))
        else:
            r = (target - out).abs()
            huber = torch.where(r < delta, r**2 / 2, delta * (r - delta / 2))
            expected = (r**2 if loss == "mse" else huber).mean(1)
        found = network.loss("network", events, 0.5)
        assert set(found) == {loss}
        torch.testing.assert_close(found[loss].detach(), expected, rtol=1e-4, atol=1e-5)


def test_penalties_train_but_do_not_judge() -> None:
    network, events = build(l1=0.1, l2=0.1), batch()
    assert set(network.loss("network", events, 0.5)) == {"mse", "l1", "l2"}
    torch.testing.assert_close(build().validate(events), network.validate(events))


@pytest.mark.parametrize("loss", LOSSES)
def test_outputs_are_in_the_units_of_the_targets(loss: str) -> None:
    events = batch()
    assert events.target is not None
    factor, shift = torch.tensor([10.0, 0.1]), torch.tensor([-3.0, 50.0])
    plain = build(events, loss=loss)(events)
    scaled = build(replace(events, target=events.target * factor + shift), loss=loss)(events)
    torch.testing.assert_close(scaled["prediction"], plain["prediction"] * factor + shift, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(scaled["spread"], plain["spread"] * factor, rtol=1e-4, atol=1e-4)
    assert (plain["spread"] > 0).all()


def test_a_linear_network_finds_the_least_squares_line() -> None:
    events = batch(200)
    assert events.target is not None
    network = trained(events, hidden=())
    design = np.column_stack([np.ones(200), events.inputs["features"].numpy()])
    root = events.weight.sqrt().numpy()[:, None]
    expected = design @ np.linalg.lstsq(design * root, events.target.numpy() * root, rcond=None)[0]
    found = network(events)
    np.testing.assert_allclose(found["prediction"].detach(), expected, atol=0.1)
    assert torch.equal(found["spread"], network.target_spread.expand(200, 2))


@pytest.mark.parametrize("loss", ["gaussian", "quantiles"])
def test_the_spread_is_that_of_the_residuals(loss: str) -> None:
    events = batch(2000)
    found = trained(events, hidden=(), loss=loss)(events)
    np.testing.assert_allclose(found["spread"].mean(0).detach(), [10, 2.5], rtol=0.1)


def test_quantiles_do_not_cross_and_the_spread_is_between_the_outermost() -> None:
    levels, events = (0.05, 0.5, 0.84), batch(300)
    network = build(events, loss="quantiles", levels=levels)
    out = network.layers(events.inputs["features"]).reshape(300, 2, 3)
    assert (out.diff(dim=2) < 0).any(), "nothing crosses, so nothing is tried"
    low, middle, high = out.sort(2).values.unbind(2)
    found = network(events)
    torch.testing.assert_close(found["prediction"], network.target_mean + network.target_spread * middle)
    distance = NormalDist().inv_cdf(0.84) - NormalDist().inv_cdf(0.05)
    spread = ((high - low) / distance).clamp(min=np.exp(-5))
    torch.testing.assert_close(found["spread"], network.target_spread * spread)


@given(level=st.floats(0.05, 0.95), seed=seeds)
def test_pinball_is_least_at_the_quantile(level: float, seed: int) -> None:
    values = torch.randn(501, generator=torch.Generator().manual_seed(seed))
    quantile = values.sort().values[math.ceil(level * len(values)) - 1]
    points = torch.cat([quantile[None], quantile + torch.tensor([-0.5, -0.05, 0.05, 0.5])])
    costs = [float(pinball((values - point)[:, None], torch.tensor([level])).mean()) for point in points]
    assert costs[0] <= min(costs) + 1e-6


def test_log_variances_far_out_are_held_so_that_losses_stay_finite() -> None:
    network, events = build(loss="gaussian"), batch()
    for parameter in network.parameters():
        parameter.data.mul_(1e4)
    assert network.validate(events).isfinite().all()
    assert network(events)["spread"].isfinite().all()


def test_predictions_need_no_target_but_training_does() -> None:
    events = replace(batch(), target=None)
    network = build()
    assert network(events)["prediction"].shape == (40, 2)
    for use in (lambda: network.validate(events), lambda: network.prepare([events], 0)):
        with pytest.raises(InputError, match=r"these events have no target .* reader's option targets"):
            use()


def test_events_without_target_columns_are_refused_before_any_is_read() -> None:
    with pytest.raises(InputError, match="dnn learns target columns, and these events have none"):
        DNN().build(replace(SCHEMA, targets=()))


@pytest.mark.parametrize("levels", [(0.16, 0.84), (0.84, 0.5, 0.16), (0.5, 0.5)])
def test_levels_ascend_and_hold_the_median(levels: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"must ascend and hold 0\.5"):
        DNN(levels=levels)


def test_the_thesis_network_is_tanh_after_batch_normalization() -> None:
    network = build(activation="tanh", batch_norm=True, hidden=(8, 4))
    names = [type(layer).__name__ for layer in network.layers]
    assert names == ["Linear", "BatchNorm1d", "Tanh"] * 2 + ["Linear"]
