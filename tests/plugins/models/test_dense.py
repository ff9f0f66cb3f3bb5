"""Dense networks: every activation and initialization, and the order of a layer's pieces."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from hepanom_plugins.models.layers import ACTIVATIONS, Activation, Dense, Initialization

FORMULAS = {
    "relu": lambda x: x.clamp(min=0),
    "relu6": lambda x: x.clamp(0, 6),
    "leaky_relu": lambda x: torch.where(x > 0, x, 0.01 * x),
    "elu": lambda x: torch.where(x > 0, x, x.exp() - 1),
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "softplus": lambda x: (1 + x.exp()).log(),
    "tanh": lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
}


@pytest.mark.parametrize("name", get_args(Activation))
def test_activation_is_its_formula(name: str) -> None:
    layer = Dense(activation=name, init="zero").stack((5, 5))
    layer[0].weight.data = torch.eye(5)
    x = torch.linspace(-8, 8, 30).reshape(6, 5)
    torch.testing.assert_close(layer(x), FORMULAS[name](x), rtol=1e-5, atol=1e-6)


def test_every_activation_and_initialization_that_is_offered_is_there() -> None:
    assert set(get_args(Activation)) == set(ACTIVATIONS) == set(FORMULAS)
    assert set(get_args(Initialization)) == {"zero", "normal", "glorot", "he"}


@pytest.mark.parametrize(
    ("init", "variance", "largest"),
    [
        ("zero", 0.0, 0.0),
        ("normal", 0.05**2, None),
        ("glorot", 2 / 700, (6 / 700) ** 0.5),
        ("he", 2 / 300, None),
    ],
)
def test_initial_weights_have_the_stated_spread(init: str, variance: float, largest: float | None) -> None:
    torch.manual_seed(1)
    layer = Dense(init=init).linear(300, 400)
    weight = layer.weight.detach()
    assert float(weight.mean()) == pytest.approx(0, abs=4 * (variance / weight.numel()) ** 0.5)
    assert float(weight.var()) == pytest.approx(variance, rel=0.02)
    if largest is not None:
        assert float(weight.abs().max()) == pytest.approx(largest, rel=1e-3)
    else:
        assert float((weight.abs() > 3 * variance**0.5).float().mean()) == pytest.approx(0.0027, rel=0.2)
    assert not layer.bias.any()


def test_a_hidden_layer_is_linear_then_norm_then_activation_then_dropout() -> None:
    layers = Dense(dropout=0.3, batch_norm=True, activation="elu").stack((4, 3, 2))
    assert [type(layer) for layer in layers] == 2 * [nn.Linear, nn.BatchNorm1d, nn.ELU, nn.Dropout]
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout)] == [0.3, 0.3]
    assert [(layer.in_features, layer.out_features) for layer in layers if isinstance(layer, nn.Linear)] == [
        (4, 3),
        (3, 2),
    ]
    assert [type(layer) for layer in Dense().stack((4, 3))] == [nn.Linear, nn.ReLU]
    assert len(Dense().stack((4,))) == 0


def test_penalties_are_on_weight_matrices_alone_and_the_same_for_every_event() -> None:
    options = Dense(l1=0.5, l2=0.25, batch_norm=True)
    network = options.stack((2, 2))
    network[0].weight.data = torch.tensor([[1.0, -2.0], [0.0, 3.0]])
    network[0].bias.data.fill_(100)
    terms = options.penalty(network, torch.zeros(3))
    assert {name: value.tolist() for name, value in terms.items()} == {"l1": [3.0] * 3, "l2": [3.5] * 3}
    assert Dense().penalty(network, torch.zeros(3)) == {}
