"""A model that keeps what it promises, and others like it that break one promise each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from hepanom.contracts import Batch, Guard, Model, Network, Outputs
from hepanom.events import Schema
from hepanom.hookspecs import Offers, hookimpl


class TinyNetwork(Network):
    """Two linear layers around a code of two numbers, for features in units of their mean."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(features, 2), nn.Linear(2, features)
        self.register_buffer("mean", torch.ones(features))
        self.mean: Tensor

    def prepare(self, batches: Iterable[Batch], epoch: int) -> bool:
        self.mean = torch.cat([batch.inputs["features"] for batch in batches]).mean(0)
        return False

    def forward(self, batch: Batch, noise: Tensor | None = None) -> Outputs:
        code = self.encoder(batch.inputs["features"] / self.mean)
        return {"reconstruction": self.decoder(code) * self.mean, "tiny_code": code}

    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Tensor]:
        residual = (self(batch)["reconstruction"] - batch.inputs["features"]) / self.mean
        return {"reconstruction": residual.square().sum(1)}

    def diagnose(self, batches: Iterable[Batch]) -> dict[str, float]:
        codes = torch.cat([self(batch)["tiny_code"] for batch in batches])
        return {"highest": float(codes.max())}

    def guards(self) -> Sequence[Guard]:
        return (Guard("highest", "the code has exploded", above=1e6),)


@dataclass(frozen=True)
class Tiny(Model):
    """A linear autoencoder with a code of two numbers."""

    gives: ClassVar[frozenset[str]] = frozenset({"reconstruction", "tiny_code"})
    network: ClassVar[type[TinyNetwork]] = TinyNetwork

    def build(self, schema: Schema) -> Network:
        return self.network(schema.table()[1].width)


class Boasting(Tiny):
    """A linear autoencoder that names an output more."""

    gives = frozenset({"reconstruction", "tiny_code", "log_density"})


class ElsewhereNetwork(TinyNetwork):
    def prepare(self, batches: Iterable[Batch], epoch: int) -> bool:
        self.mean = torch.ones(4, device="meta")
        return True


class NoisyNetwork(TinyNetwork):
    def forward(self, batch: Batch, noise: Tensor | None = None) -> Outputs:
        given = super().forward(batch)
        return {**given, "tiny_code": given["tiny_code"] + torch.rand(2)}


class SocialNetwork(TinyNetwork):
    def forward(self, batch: Batch, noise: Tensor | None = None) -> Outputs:
        given = super().forward(batch)
        return {**given, "tiny_code": given["tiny_code"] - given["tiny_code"].mean(0)}


class WildNetwork(TinyNetwork):
    def __init__(self, features: int) -> None:
        super().__init__(features)
        generator = torch.Generator()
        generator.seed()
        nn.init.normal_(self.encoder.weight, generator=generator)


class ForgetfulNetwork(TinyNetwork):
    def prepare(self, batches: Iterable[Batch], epoch: int) -> bool:
        self.factor = 3.0
        return False

    def forward(self, batch: Batch, noise: Tensor | None = None) -> Outputs:
        return {key: value * getattr(self, "factor", 1.0) for key, value in super().forward(batch).items()}


class UnwatchedNetwork(TinyNetwork):
    def guards(self) -> Sequence[Guard]:
        return (Guard("lowest", "the code has imploded", below=-1e6),)


class FickleNetwork(TinyNetwork):
    told = 0

    def diagnose(self, batches: Iterable[Batch]) -> dict[str, float]:
        type(self).told += 1
        return {"highest": float(self.told)}


class MeanNetwork(TinyNetwork):
    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Tensor]:
        return {key: term.mean() for key, term in super().loss(player, batch, progress).items()}


class IdleNetwork(TinyNetwork):
    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.spare = nn.Linear(2, 2)


class ExactNetwork(TinyNetwork):
    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Tensor]:
        code = self.encoder(batch.inputs["features"]).detach().numpy()
        return {**super().loss(player, batch, progress), "code": torch.from_numpy(code.max(1))}


class DemocraticNetwork(TinyNetwork):
    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Tensor]:
        centre = self(batch)["tiny_code"].mean(0).square().sum()
        return {**super().loss(player, batch, progress), "centre": centre.expand(len(batch))}


class ScatteredNetwork(TinyNetwork):
    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Tensor]:
        return {key: term * torch.randperm(len(term)) for key, term in super().loss(player, batch, progress).items()}


NETWORKS = {
    "elsewhere": ElsewhereNetwork,
    "noisy": NoisyNetwork,
    "social": SocialNetwork,
    "wild": WildNetwork,
    "forgetful": ForgetfulNetwork,
    "unwatched": UnwatchedNetwork,
    "fickle": FickleNetwork,
    "mean": MeanNetwork,
    "idle": IdleNetwork,
    "exact": ExactNetwork,
    "democratic": DemocraticNetwork,
    "scattered": ScatteredNetwork,
}


def liar(network: type[TinyNetwork]) -> type:
    return type("Liar", (Tiny,), {"network": network, "__doc__": "A liar.", "__module__": __name__})


@hookimpl
def models() -> Offers:
    return {"tiny": Tiny, "boasting": Boasting, **{name: liar(network) for name, network in NETWORKS.items()}}
