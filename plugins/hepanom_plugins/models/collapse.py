"""Whether a generator has collapsed: what tells its events from real ones."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from hepanom.contracts import Batch, Guard, Outputs

PAIRS = 2**28  # of real and generated events, times their features: what the two-sample test may compare
NAMES = ("critic_gap", "variance_ratio", "two_sample_auc")
GUARDS = (
    Guard("variance_ratio", "the generator has collapsed, it makes nearly the same event of all noise", below=0.01),
    Guard("two_sample_auc", "the generator has not converged, its events are told without a mistake", above=0.999),
)
LOGIT_GUARD = Guard(
    "critic_gap", "the critic has won, it is sure of every event and teaches the generator no more", above=20.0
)


@runtime_checkable
class Generative(Protocol):
    """A network with a critic that makes events like those of its input: that of gan, wgan_gp, bigan or anogan."""

    input: str

    def __call__(self, batch: Batch) -> Outputs:
        """Return the outputs, the critic's value among them."""

    def prior(self, draws: int) -> Float[Tensor, "draw latent"]:
        """Return noise from torch's global generator."""

    def decode(self, codes: Float[Tensor, "code latent"]) -> Float[Tensor, "code ..."]:
        """Return the events that the generator makes of noise, in the shape of the input."""


def diagnose(network: Generative, batches: Iterable[Batch]) -> dict[str, float]:
    """Return the ``diagnostics`` of the batches together, or of as many of their events as can be compared soon.

    They are NaN where there is a single event.
    """
    kept: list[Batch] = []
    most = 2
    for batch in batches:
        most = max(2, math.isqrt(PAIRS // batch.inputs[network.input][:1].numel()))
        kept.append(batch)
        if sum(map(len, kept)) >= most:
            break
    columns = zip(*((batch.inputs[network.input], batch.weight, batch.label) for batch in kept), strict=True)
    x, weight, label = (torch.cat(column)[:most] for column in columns)
    if len(x) == 1:
        return dict.fromkeys(NAMES, math.nan)
    return diagnostics(network, Batch({network.input: x}, weight, label))


@torch.no_grad()
def diagnostics(network: Generative, batch: Batch) -> dict[str, float]:
    """Return three guards against collapse, from real events and as many generated ones.

    - ``critic_gap``: the mean of the critic's value of real events minus that of generated ones; 0 in equilibrium,
    - ``variance_ratio``: the variance of generated over that of real events; 0 where all generated events are one,
    - ``two_sample_auc``: the area under the curve of a classifier that tells real from generated events, see
      ``two_sample_auc``; 0.5 where nobody can.

    Real events count by their weight. The network is in evaluation mode, the noise from torch's global generator.
    """
    real = batch.inputs[network.input]
    generated = network.decode(network.prior(len(batch)))
    critic = network(batch)["critic"]
    fooled = network(replace(batch, inputs={network.input: generated}))["critic"]
    x, made = real.flatten(1), generated.flatten(1)
    gap = batch.weight @ critic / batch.weight.sum() - fooled.mean()
    found = torch.stack([gap, variance_ratio(made, x, batch.weight), two_sample_auc(x, made, batch.weight)])
    return dict(zip(NAMES, found.tolist(), strict=True))


def variance_ratio(
    generated: Float[Tensor, "draw feature"], real: Float[Tensor, "event feature"], weight: Float[Tensor, " event"]
) -> Float[Tensor, ""]:
    """Return the variance of generated over that of (weighted) real events, both summed over the features."""
    share = weight / weight.sum()
    spread = (share @ (real - share @ real).square().sum(1)).clamp(min=1e-12)
    return (generated - generated.mean(0)).square().sum(1).mean() / spread


def two_sample_auc(
    real: Float[Tensor, "event feature"], generated: Float[Tensor, "draw feature"], weight: Float[Tensor, " event"]
) -> Float[Tensor, ""]:
    """Return the area under the curve of a nearest-neighbour classifier of real against generated events.

    With a and b the distances of an event from the nearest real and generated one of the even rows, those of the odd
    rows are ordered by b - a. Ties count half, real events by their weight.

    References:
        D. Lopez-Paz, M. Oquab, Revisiting classifier two-sample tests, ICLR 2017, arXiv:1610.06545.
    """
    known, asked = (torch.cat([real[start::2], generated[start::2]]) - real.mean(0) for start in (0, 1))
    squares = (
        known.square().sum(1) + asked.square().sum(1)[:, None] - 2 * asked @ known.T
    )  # cdist takes five times as long
    nearest = [side.amin(1).clamp(min=0).sqrt() for side in squares.tensor_split([len(real[::2])], 1)]
    first, second = (nearest[1] - nearest[0]).tensor_split([len(real[1::2])])
    ordered = (torch.sign(first[:, None] - second) / 2 + 0.5).mean(1)
    return weight[1::2] @ ordered / weight[1::2].sum()
