"""The normalizing flow: a density that integrates to one, is exact, and is learnt."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Iterable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from hepanom.contracts import Batch, Network
from hepanom.errors import InputError
from hepanom.events import Input, Schema
from hepanom_plugins.models.flow import Flow

KINDS = ["maf", "nsf"]
seeds = st.integers(0, 2**31)


def schema(columns: str = "abc") -> Schema:
    return Schema({"features": Input("table", tuple(columns), ("",) * len(columns))})


def build(columns: str = "abc", seed: int = 4, **options: object) -> Network:
    torch.manual_seed(seed)
    return Flow(**{"transforms": 2, "hidden": (16,), **options}).build(schema(columns))


def batch(features: Tensor) -> Batch:
    return Batch({"features": features}, torch.ones(len(features)), torch.zeros(len(features), dtype=torch.int64))


def draw(number: int, seed: int = 1) -> Tensor:
    """Return events on a parabola, b near a^2 / 2, whose width grows with c, which is 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    a, noise = torch.randn(2, number, generator=generator)
    c = torch.randint(2, (number,), generator=generator).float()
    return torch.stack([a, a.square() / 2 - 0.5 + (0.3 + 0.5 * c) * noise, c], 1)


def train(network: Network, draws: Iterable[Tensor]) -> Network:
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for features in draws:
        optimizer.zero_grad()
        sum(network.loss("network", batch(features), 0.5).values()).mean().backward()
        optimizer.step()
    return network.eval()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given_c", [None, 0.0, 1.0])
def test_the_density_integrates_to_one(kind: str, given_c: float | None) -> None:
    # the condition stands between the features
    columns, order, condition = ("ab", [0, 1], ()) if given_c is None else ("acb", [0, 2, 1], ("c",))
    draws = (draw(200, seed)[:, order] for seed in range(40))
    network = train(build(columns, kind=kind, condition=condition), draws).double()
    axis = torch.arange(-9, 9, 0.1, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    points = torch.cat([grid, torch.full((len(grid), 1), given_c or 0.0, dtype=torch.float64)], 1)[:, order]
    with torch.no_grad():
        integral = network(batch(points))["log_density"].exp().sum() * 0.1**2
    assert float(integral) == pytest.approx(1, abs=2e-3)


@settings(max_examples=20)
@given(seed=seeds, kind=st.sampled_from(KINDS), condition=st.sampled_from([(), ("b",), ("b", "c")]))
def test_log_density_is_the_change_of_variables_by_autograd(seed: int, kind: str, condition: tuple[str, ...]) -> None:
    network = build(seed=seed, kind=kind, condition=condition).double()
    for parameter in network.parameters():  # far from the identity
        parameter.data.mul_(2)
    x = 2 * torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    x.requires_grad_()
    features = [index for index, column in enumerate("abc") if column not in condition]
    outputs = network(batch(x))
    z = outputs["latent_mean"]
    rows = [torch.autograd.grad(z[:, index].sum(), x, retain_graph=True)[0][:, features] for index in range(z.shape[1])]
    expected = Normal(0.0, 1.0).log_prob(z).sum(1) + torch.stack(rows, 1).slogdet().logabsdet
    torch.testing.assert_close(outputs["log_density"], expected)
    torch.testing.assert_close(network.validate(batch(x)), -expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_correlated_gaussian_is_learnt_to_its_entropy(kind: str) -> None:
    true = MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, 0.8], [0.8, 1.0]]))
    torch.manual_seed(5)
    network = train(build("ab", kind=kind), (true.sample((256,)) for _ in range(200)))
    held_out = true.sample((20_000,))
    with torch.no_grad():
        excess = (true.log_prob(held_out) - network(batch(held_out))["log_density"]).mean()
        entropy = network.validate(batch(held_out)).mean()
    assert 0 < float(excess) < 0.02  # nats; the Kullback-Leibler divergence from the truth
    assert float(entropy) == pytest.approx(float(true.entropy()), abs=0.04)  # the sample's own error is 0.007


@pytest.mark.parametrize("kind", KINDS)
def test_a_condition_is_learnt_to_the_conditional_entropy(kind: str) -> None:
    true = MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, 0.8], [0.8, 1.0]]))
    torch.manual_seed(5)
    network = train(build("ab", kind=kind, condition=("a",)), (true.sample((256,)) for _ in range(200)))
    held_out = true.sample((20_000,))
    with torch.no_grad():
        entropy = network.validate(batch(held_out)).mean()
    assert network(batch(held_out))["latent_mean"].shape == (20_000, 1)
    assert float(entropy) == pytest.approx(0.5 * math.log(2 * math.pi * math.e * (1 - 0.8**2)), abs=0.04)


def test_splines_are_the_identity_outside_of_five() -> None:
    far = torch.tensor([[5.5, -7.0, 20.0], [-5.01, 6.0, -9.0]])
    outputs = build(kind="nsf")(batch(far))
    torch.testing.assert_close(outputs["latent_mean"], far)
    torch.testing.assert_close(outputs["log_density"], Normal(0.0, 1.0).log_prob(far).sum(1))


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_precision_leaves_the_density_exact(kind: str) -> None:
    network, events = build(kind=kind), batch(draw(50))
    expected = network(events)
    with torch.autocast("cpu", torch.bfloat16):
        found = network(events)
    assert all(torch.equal(found[name], values) for name, values in expected.items())


def test_options_that_leave_no_density_say_what_would_do() -> None:
    with pytest.raises(InputError, match=r"column 'd' is not there; known are a, b, c"):
        build(condition=("d",))
    with pytest.raises(InputError, match=r"model\.condition: \* names every column; leave one to the density"):
        build(condition=("*",))
    with pytest.raises(InputError, match=r"model\.hidden: a layer of 2 nodes .* 3 features .*; 3 nodes or more do"):
        build(hidden=(8, 2))
    with pytest.raises(InputError, match="one table"):
        Flow().build(Schema({"image": Input("image", ("charge",), ("",), (4, 4))}))


def test_without_zuko_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zuko.flows", None)
    monkeypatch.delitem(sys.modules, "hepanom_plugins.models.flow")
    with pytest.raises(InputError, match=r'needs the library zuko: pip install "hepanom\[flows\]"'):
        importlib.import_module("hepanom_plugins.models.flow")
