"""Adversarial models on two correlated Gaussian features, untrained and after a short training by the core's loop."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import normalize
from trainings import options, source

from hepanom import train
from hepanom.contracts import Batch, Epoch, Network
from hepanom.events import Input, Schema
from hepanom_plugins.models.anogan import AnoGAN
from hepanom_plugins.models.bigan import BiGAN
from hepanom_plugins.models.gan import GAN, Adversarial
from hepanom_plugins.models.wgan_gp import WGANGP

SCHEMA = Schema({"features": Input("table", ("a", "b"), ("", ""))})
CENTRE = torch.tensor([1.0, -1.0])
MODELS: dict[str, Adversarial] = {
    "gan": GAN(hidden=(32, 32)),
    "wgan_gp": WGANGP(hidden=(32, 32), critic_steps=2),
    "bigan": BiGAN(hidden=(32, 32), latent=2),
    "anogan": AnoGAN(hidden=(32, 32), latent=2, steps=60),
}


def table(features: Tensor, seed: int = 1) -> Batch:
    """Return events of these features with uneven weights, one on average."""
    weight = 0.5 + torch.rand(len(features), generator=torch.Generator().manual_seed(seed))
    return Batch({"features": features}, weight, torch.zeros(len(features), dtype=torch.int64))


def batch(events: int, seed: int = 1) -> Batch:
    """Return background: a Gaussian around CENTRE of width 1 in both features, with correlation 0.6."""
    white = torch.randn(events, 2, generator=torch.Generator().manual_seed(seed))
    return table(CENTRE + white @ torch.tensor([[1.0, 0.6], [0.0, 0.8]]))


def outliers(events: int) -> Batch:
    """Return events that lie 6 away from CENTRE in all directions."""
    return table(CENTRE + 6 * normalize(torch.randn(events, 2, generator=torch.Generator().manual_seed(7))))


def build(model: Adversarial) -> Network:
    """Return an untrained network."""
    torch.manual_seed(4)
    network: Network = model.build(SCHEMA)  # type: ignore[attr-defined]
    return network


@cache
def trained(name: str) -> tuple[Network, tuple[Epoch, ...]]:
    """Return a network trained for 12 epochs of 8 batches, and their records."""
    changes = {"epochs": 12, "batch": 128, "optimizer": {"use": "adam", "lr": 5e-3, "betas": [0.5, 0.9]}}
    training = train.start(build(MODELS[name]), options(**changes), 3)
    records = tuple(train.fit(training, source(batch(1024, 2)), [batch(500, 3)]))
    return training.network, records
