"""Deep support vector data description: a network that maps the background into a small hypersphere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from hepanom.contracts import Batch, Model, Network, Outputs
from hepanom.errors import InputError
from hepanom.events import Input, Schema
from hepanom_plugins.models.layers import ACTIVATIONS

NEAR_ZERO = 0.1  # the authors' distance of the centre's entries from 0


@dataclass(frozen=True)
class DeepSVDD(Model):
    """Deep support vector data description for a table of features or an image, whose pixels are the features.

    With the code z = f(x), the centre c and d^2 = |z - c|^2,

        one_class:      loss(x) = d^2 + lambda/2 sum |W|^2,               outlyingness = d^2,
        soft_boundary:  loss(x) = R^2 + max(0, d^2 - R^2) / nu + lambda/2 sum |W|^2,   outlyingness = d^2 - R^2.

    The centre is the weighted mean of the untrained network's codes over the training events, its entries nearer to 0
    than 0.1 moved to +-0.1; it stays. R is the weighted (1 - nu) quantile of d over the training events, which
    minimizes the loss at given weights: 0 during the first ``warmup_epochs``, then found anew before each epoch.

    A network that can give every event the code c has loss 0 and knows nothing: the sphere collapses. So the layers
    have no biases, the hidden activations are those without a bound other than 0 and with value 0 at 0, the last layer
    has none, and a column with the same value other than 0 in all training events is refused: it would be a bias.
    The authors' option to start from an autoencoder's weights is not here.

    References:
        L. Ruff et al., Deep one-class classification, ICML 2018, PMLR 80:4393 (propositions 1 to 4);
        the authors' code, github.com/lukasruff/Deep-SVDD-PyTorch.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"outlyingness", "latent_mean"})
    loss_options: ClassVar[frozenset[str]] = Model.loss_options | {"objective", "nu", "latent", "hidden", "activation"}

    objective: Annotated[Literal["one_class", "soft_boundary"], Field(description="mean distance, or soft sphere")] = (
        "one_class"
    )
    hidden: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(description="widths of the hidden layers")] = (
        64,
        32,
    )
    latent: Annotated[int, Field(gt=0, description="width of the code")] = 16
    activation: Annotated[Literal["relu", "leaky_relu"], Field(description="activation of the hidden layers")] = (
        "leaky_relu"
    )
    nu: Annotated[float, Field(gt=0, le=1, description="share of background outside of the soft sphere")] = 0.1
    warmup_epochs: Annotated[int, Field(gt=0, description="epochs before the soft sphere gets a radius")] = 10
    weight_decay: Annotated[float, Field(ge=0, description="lambda, factor of half the squared weights")] = 1e-6

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only table or image."""
        return DeepSVDDNetwork(self, *schema.only())

    def refuse_epochs(self, epochs: int) -> None:
        """Raise InputError for a training that would end before the soft sphere gets a radius."""
        if self.objective == "soft_boundary" and self.warmup_epochs >= epochs:
            raise InputError(
                f"warmup_epochs is {self.warmup_epochs}, so that in the {epochs} epochs of train.epochs the sphere "
                "would get no radius; give train.epochs more, or model.warmup_epochs less"
            )


class DeepSVDDNetwork(Network):
    """The encoder of DeepSVDD, with the centre (latent,) and the radius () as buffers."""

    centre: Float[Tensor, " latent"]
    radius: Float[Tensor, ""]

    def __init__(self, options: DeepSVDD, name: str, entry: Input) -> None:
        super().__init__()
        self.options, self.input, self.entry = options, name, entry
        widths = (entry.width, *options.hidden, options.latent)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after, bias=False), ACTIVATIONS[options.activation]()]
        self.encoder = nn.Sequential(*layers[:-1])
        self.register_buffer("centre", torch.full((options.latent,), NEAR_ZERO))
        self.register_buffer("radius", torch.zeros(()))

    def prepare(self, batches: Iterable[Batch], epoch: int) -> bool:
        """Set the centre before the first epoch, and the radius before each one after the warm-up.

        Raises InputError for columns that are a bias: the same number other than 0 in all events.
        """
        options = self.options
        if epoch == 0:
            self._set_centre(batches)
        elif options.objective == "soft_boundary" and epoch >= options.warmup_epochs:
            self._set_radius(batches)
        return False

    @torch.no_grad()
    def _set_centre(self, batches: Iterable[Batch]) -> None:
        total, weight = self.centre.new_zeros(self.options.latent, dtype=torch.float64), 0.0
        lows, highs = [], []
        for batch in batches:
            x = batch.inputs[self.input].flatten(1)
            total += batch.weight.double() @ self.encoder(x).double()
            weight += float(batch.weight.double().sum())
            lows.append(x.amin(0))
            highs.append(x.amax(0))
        low, high = torch.stack(lows).amin(0), torch.stack(highs).amax(0)
        self._refuse_biases(low, (low == high) & (low != 0))
        centre = (total / weight).float()
        edge = torch.where(centre < 0, -NEAR_ZERO, NEAR_ZERO)
        self.centre.copy_(torch.where(centre.abs() < NEAR_ZERO, edge, centre))

    def _refuse_biases(self, values: Float[Tensor, " feature"], constant: Tensor) -> None:
        pixels = self.entry.width // len(self.entry.columns)
        found = {
            self.entry.columns[index // pixels]: float(values[index]) for index in constant.nonzero().flatten().tolist()
        }
        if found:
            where = "in a pixel of" if pixels > 1 else "in"
            named = ", ".join(f"{value:g} {where} {column}" for column, value in found.items())
            raise InputError(
                f"deep_svdd: all training events have the same value: {named}; it acts as a bias, with which the "
                "hypersphere collapses. The transform standardize moves it to 0, {use: drop, columns: [...]} leaves it "
                "out"
            )

    @torch.no_grad()
    def _set_radius(self, batches: Iterable[Batch]) -> None:
        pairs = [(self._distance(batch)[0], batch.weight) for batch in batches]
        distance, weight = (torch.cat(values) for values in zip(*pairs, strict=True))
        distance, order = distance.sort()
        share = weight[order].double().cumsum(0)
        index = torch.searchsorted(share, (1 - self.options.nu) * share[-1])
        self.radius.copy_(distance[index.clamp(max=len(distance) - 1)].sqrt())

    def _distance(self, batch: Batch) -> tuple[Float[Tensor, " event"], Float[Tensor, "event latent"]]:
        code = self.encoder(batch.inputs[self.input].flatten(1))
        return (code - self.centre).square().sum(1), code

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return code and outlyingness; there is no noise here."""
        distance, code = self._distance(batch)
        return {"outlyingness": distance - self.radius.square(), "latent_mean": code}

    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Float[Tensor, " event"]]:
        """Return the objective of each event and the penalty on the weights."""
        penalty = sum(parameter.square().sum() for parameter in self.parameters()) * self.options.weight_decay / 2
        return {"objective": self.validate(batch), "weight_decay": torch.as_tensor(penalty).expand_as(batch.weight)}

    def validate(self, batch: Batch) -> Float[Tensor, " event"]:
        """Return the objective of each event, without the penalty."""
        distance, _ = self._distance(batch)
        if self.options.objective == "one_class":
            return distance
        squared = self.radius.square()
        return squared + (distance - squared).clamp(min=0) / self.options.nu
