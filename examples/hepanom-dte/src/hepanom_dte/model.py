"""Diffusion-time estimation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from hepanom.contracts import Batch, Model, Network, Outputs
from hepanom.errors import InputError
from hepanom.events import Schema
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

Rate = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True)
class DTE(Model):
    """Diffusion-time estimation, categorical: how much noise an event looks as if it had been given.

    Events x_0 are spread by Gaussian noise, the more the longer they diffuse,

        x_t = x_0 + sigma_t epsilon,   sigma_t^2 = 1 - prod_{s <= t} (1 - beta_s),   epsilon ~ N(0, 1),

    with t = 1 .. ``steps`` and beta rising linearly between the two ``noise`` rates. A classifier is shown x_t, with t
    drawn uniformly, and learns in which of K = ``bins`` equal bins k of time t lies,

        loss(x_0) = -ln p_k(x_t).

    An event that nobody spread is then asked for its time: an ordinary one lies where events are that hardly diffused,
    a strange one where only those come that diffused for long.

        diffusion_time(x) = sum_k p_k(x) (k + 1/2) / K,   k = 0 .. K - 1,   a share of ``steps``.

    sigma_t reaches at most 1: bring the features to unit spread first (``standardize``, ``quantile``). An event that
    lies much farther out than the noise reaches has a time close to 1, and such events are hardly told apart.

    As in the authors' code x_0 is not scaled down while it diffuses, and the first hidden layer has no dropout. Their
    code applies the softmax twice before the logarithm; here it is applied once, as the paper's cross entropy asks.

    References:
        V. Livernoche, V. Jain, Y. Hezaveh, S. Ravanbakhsh, On diffusion modeling for anomaly detection, ICLR 2024,
        arXiv:2305.18593.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"diffusion_time"})
    loss_options: ClassVar[frozenset[str]] = Model.loss_options | {"bins", "steps", "noise"}

    bins: Annotated[int, Field(gt=1, description="bins of the diffusion time, K")] = 7
    steps: Annotated[int, Field(gt=1, description="steps of the diffusion")] = 400
    noise: Annotated[tuple[Rate, Rate], Field(description="rate beta of the noise in the first and the last step")] = (
        1e-4,
        1e-2,
    )
    hidden: Annotated[
        tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1, description="widths of the hidden layers")
    ] = (256, 512, 256)
    dropout: Annotated[float, Field(ge=0, lt=1, description="share of hidden nodes switched off in training")] = 0.5

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only table or image, whose pixels are the features.

        Raises InputError for fewer steps than bins: some of these would be empty.
        """
        if self.steps < self.bins:
            raise InputError(f"dte: {self.steps} steps do not fill {self.bins} bins; set steps to {self.bins} or more")
        name, entry = schema.only()
        return DTENetwork(self, name, entry.width)


class DTENetwork(Network):
    """The classifier, and the noise that it is trained with."""

    sigma: Tensor
    centres: Tensor

    def __init__(self, options: DTE, name: str, features: int) -> None:
        super().__init__()
        self.options, self.input = options, name
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(pairwise((features, *options.hidden))):
            layers += [nn.Linear(before, after), nn.ReLU(), *([nn.Dropout(options.dropout)] if index else [])]
        self.classifier = nn.Sequential(*layers, nn.Linear(options.hidden[-1], options.bins))
        beta = torch.linspace(*options.noise, options.steps, dtype=torch.float64)
        self.register_buffer("sigma", (1 - (1 - beta).cumprod(0)).sqrt().float())
        self.register_buffer("centres", (torch.arange(options.bins) + 0.5) / options.bins)

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return the expected diffusion time of each event; there is no noise here."""
        logits = self.classifier(batch.inputs[self.input].flatten(1))
        return {"diffusion_time": (logits.float().softmax(1) * self.centres).sum(1)}

    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Float[Tensor, " event"]]:
        """Return the cross entropy of each event, spread for a time of its own."""
        features = batch.inputs[self.input].flatten(1)
        step = self._steps(torch.rand_like(batch.weight))
        spread = features + self.sigma[step, None] * torch.randn_like(features)
        logits = self.classifier(spread)
        return {"cross_entropy": functional.cross_entropy(logits, self._bins(step), reduction="none")}

    def _steps(self, share: Float[Tensor, " event"]) -> Int[Tensor, " event"]:
        """Return the step, counted from 0, that a share of the diffusion lies in."""
        return (share * self.options.steps).long().clamp(max=self.options.steps - 1)

    def _bins(self, step: Int[Tensor, " event"]) -> Int[Tensor, " event"]:
        """Return the bin of each step."""
        return step * self.options.bins // self.options.steps
