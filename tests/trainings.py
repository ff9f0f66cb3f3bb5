"""Small trainings for the tests of the training loop."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hepanom import train
from hepanom.contracts import Batch, Epoch, Network
from hepanom.events import Input, Schema
from hepanom.recipe import Train
from hepanom.source import Table
from hepanom_plugins.models.autoencoder import Autoencoder
from hepanom_plugins.models.vae import VAE

SCHEMA = Schema({"features": Input("table", tuple("abcd"), ("GeV",) * 4)})
PLAIN = Autoencoder(hidden=(6,), latent=2, activation="tanh")
NOISY = VAE(hidden=(6,), latent=2, dropout=0.2, batch_norm=True)
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adam": {"lr": 0.02, "betas": (0.8, 0.9), "eps": 1e-7, "weight_decay": 0.1, "amsgrad": True},
    "sgd": {"lr": 0.02, "momentum": 0.8, "dampening": 0.0, "nesterov": True, "weight_decay": 0.1},
    "adadelta": {"lr": 0.5, "rho": 0.8, "eps": 1e-5, "weight_decay": 0.1},
    "adagrad": {"lr": 0.02, "lr_decay": 0.1, "initial_accumulator_value": 0.2, "eps": 1e-9, "weight_decay": 0.1},
    "rmsprop": {"lr": 0.02, "alpha": 0.9, "eps": 1e-7, "momentum": 0.5, "centered": True, "weight_decay": 0.1},
}


def options(**changes: Any) -> Train:
    """Return the train section of a recipe."""
    settings = {"epochs": 4, "batch": 16, "device": "cpu", "optimizer": {"use": "sgd", "lr": 0.1}, **changes}
    return Train.model_validate_json(json.dumps(settings))


def table(events: int = 60, seed: int = 1) -> Batch:
    """Return correlated random features with uneven weights."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(events, 4, generator=generator) @ torch.randn(4, 4, generator=generator)
    weight = torch.rand(events, generator=generator) * 3 + 0.1
    return Batch({"features": features}, weight, torch.zeros(events, dtype=torch.int64))


def begin(model: Any = PLAIN, seed: int = 3, **changes: Any) -> train.Training:
    """Return a training at epoch 0."""
    torch.manual_seed(seed)
    return train.start(model.build(SCHEMA), options(**changes), seed)


def finish(training: train.Training, events: Batch | None = None, valid: Batch | None = None) -> list[Epoch]:
    """Train to the end."""
    return list(train.fit(training, source(events or table()), [valid or table(30, 2)]))


def source(events: Batch) -> Table:
    """Return events to train with."""
    return Table(events, float(events.weight.mean()))


def weights(network: Network) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Say whether both hold the same bits."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Scripted(Network):
    """A network whose validation loss after each epoch is given; ``epoch`` is what it has learnt."""

    def __init__(self, losses: Sequence[float]) -> None:
        super().__init__()
        self.losses = losses
        self.slope = nn.Parameter(torch.zeros(()))
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))

    def prepare(self, batches: Any, epoch: int) -> bool:
        self.epoch.fill_(epoch + 1)
        return False

    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Tensor]:
        return {"slope": self.slope.expand(len(batch))}

    def validate(self, batch: Batch) -> Tensor:
        return torch.full((len(batch),), self.losses[int(self.epoch) - 1])
