"""Whether a generator has collapsed: what tells its events from real ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from hepanom.contracts import Batch, Outputs
from hepanom_plugins.models.gan import variance_ratio


@runtime_checkable
class Generative(Protocol):
    """A network with a critic that makes events like those of its input: that of gan, wgan_gp, bigan or anogan."""

    input: str

    def __call__(self, batch: Batch) -> Outputs:
        """Return the outputs, the critic's value among them."""

    def generate(self, draws: int) -> Float[Tensor, "draw feature"]:
        """Return generated events, flat, from torch's global generator."""


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
    generated = network.generate(len(batch)).view_as(real)
    critic = network(batch)["critic"]
    fooled = network(replace(batch, inputs={network.input: generated}))["critic"]
    share = batch.weight / batch.weight.sum()
    x, made = real.flatten(1), generated.flatten(1)
    return {
        "critic_gap": float(share @ critic - fooled.mean()),
        "variance_ratio": float(variance_ratio(made, x, batch.weight)[0]),
        "two_sample_auc": float(two_sample_auc(x, made, batch.weight)),
    }


def two_sample_auc(
    real: Float[Tensor, "event feature"], generated: Float[Tensor, "draw feature"], weight: Float[Tensor, " event"]
) -> Float[Tensor, ""]:
    """Return the area under the curve of a nearest-neighbour classifier of real against generated events.

    With a and b the distances of an event from the nearest real and generated one of the even rows, those of the odd
    rows are ordered by b - a. Ties count half, real events by their weight.

    References:
        D. Lopez-Paz, M. Oquab, Revisiting classifier two-sample tests, ICLR 2017, arXiv:1610.06545.
    """
    first, second = (
        torch.cdist(events, generated[::2]).amin(1) - torch.cdist(events, real[::2]).amin(1)
        for events in (real[1::2], generated[1::2])
    )
    ordered = (torch.sign(first[:, None] - second[None]) / 2 + 0.5).mean(1)
    return weight[1::2] @ ordered / weight[1::2].sum()
