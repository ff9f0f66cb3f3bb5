"""Dense networks: activations, initializations and the stack that autoencoders are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

Activation = Literal["relu", "relu6", "leaky_relu", "elu", "sigmoid", "softplus", "tanh"]
Initialization = Literal["zero", "normal", "glorot", "he"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "relu6": partial(nn.ReLU6, inplace=True),
    "leaky_relu": partial(nn.LeakyReLU, inplace=True),
    "elu": partial(nn.ELU, inplace=True),
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


@dataclass(frozen=True)
class Layers:
    """Options that every network of dense layers shares.

    A hidden layer is linear, then batch normalization, activation and dropout where they are asked for. Weights start
    at zero, from N(0, 0.05^2), from the uniform distribution of Glorot with variance 2 / (fan_in + fan_out), or from
    the normal one of He with variance 2 / fan_in; biases start at zero.

    References:
        X. Glorot, Y. Bengio, Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010.
        K. He et al., Delving deep into rectifiers, 2015, arXiv:1502.01852.
    """

    hidden: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(description="widths of the hidden layers")] = (
        50,
        25,
    )
    activation: Annotated[Activation, Field(description="activation of the hidden layers")] = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1, description="share of hidden nodes switched off in training")] = 0.0
    batch_norm: Annotated[bool, Field(description="batch normalization after each hidden linear layer")] = False
    init: Annotated[Initialization, Field(description="initialization of the weights")] = "glorot"
    l1: Annotated[float, Field(ge=0, description="penalty on the sum of absolute weights")] = 0.0
    l2: Annotated[float, Field(ge=0, description="penalty on the sum of squared weights")] = 0.0

    def stack(self, widths: Sequence[int]) -> nn.Sequential:
        """Return the hidden layers from widths[0] inputs to widths[-1] nodes."""
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers.append(self.linear(before, after))
            if self.batch_norm:
                layers.append(nn.BatchNorm1d(after))
            layers.append(ACTIVATIONS[self.activation]())
            if self.dropout:
                layers.append(nn.Dropout(self.dropout))
        return nn.Sequential(*layers)

    def linear(self, before: int, after: int) -> nn.Linear:
        """Return one initialized linear layer."""
        layer = nn.Linear(before, after)
        if self.init == "zero":
            nn.init.zeros_(layer.weight)
        elif self.init == "normal":
            nn.init.normal_(layer.weight, std=0.05)
        elif self.init == "glorot":
            nn.init.xavier_uniform_(layer.weight)
        else:
            nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer

    def penalty(self, network: nn.Module, like: Tensor) -> dict[str, Tensor]:
        """Return the L1 and L2 penalties on all weight matrices as loss terms, the same for every event."""
        weights = [module.weight for module in network.modules() if isinstance(module, nn.Linear)]
        terms = {}
        if self.l1:
            terms["l1"] = self.l1 * sum(weight.abs().sum() for weight in weights).expand_as(like)  # type: ignore[union-attr]
        if self.l2:
            terms["l2"] = self.l2 * sum(weight.square().sum() for weight in weights).expand_as(like)  # type: ignore[union-attr]
        return terms


@dataclass(frozen=True)
class Dense(Layers):
    """Options of a dense encoder, whose hidden layers a decoder mirrors."""

    latent: Annotated[int, Field(gt=0, description="width of the latent code")] = 2
