"""A scorer that keeps what it promises, and others like it that break one promise each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hepanom.contracts import Batch, Network, Outputs, Scorer, State
from hepanom.hookspecs import Offers, hookimpl


@dataclass(frozen=True)
class Distance(Scorer):
    """How far the code of an event is from the mean code."""

    needs: ClassVar[frozenset[str]] = frozenset({"tiny_code"})

    def fit(self, batches: Iterable[tuple[Batch, Outputs]]) -> State:
        pairs = [(batch.weight, outputs["tiny_code"]) for batch, outputs in batches]
        total = sum(weight.sum() for weight, _ in pairs)
        return {"mean": (sum(weight @ code for weight, code in pairs) / total).numpy()}

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Tensor:
        return (outputs["tiny_code"] - torch.from_numpy(np.array(state["mean"]))).square().sum(1)

    def explain(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Tensor | None:
        return self.score(batch, outputs, state, network)[:, None].expand(-1, 4) / 4


class Flat(Distance):
    """The same for every event."""

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Tensor:
        return 0 * super().score(batch, outputs, state, network)


class Unknown(Distance):
    """A score that is not known."""

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Tensor:
        return super().score(batch, outputs, state, network).log() * torch.nan


class Noisy(Distance):
    """A score with some luck."""

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Tensor:
        return super().score(batch, outputs, state, network) + torch.rand(len(batch))


class Social(Distance):
    """The score in units of the highest."""

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Tensor:
        found = super().score(batch, outputs, state, network)
        return found / found.max()


class Hasty(Distance):
    """The distance from the mean code of the first batch."""

    def fit(self, batches: Iterable[tuple[Batch, Outputs]]) -> State:
        return super().fit([next(iter(batches))])


class Listing(Distance):
    """A mean that is kept in a list."""

    def fit(self, batches: Iterable[tuple[Batch, Outputs]]) -> State:
        return {"mean": super().fit(batches)["mean"].tolist()}


class Greedy(Distance):
    """A score that needs more than it reads."""

    needs = frozenset({"tiny_code", "reconstruction"})


class Curt(Distance):
    """Parts that are no parts."""

    def explain(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Tensor | None:
        return self.score(batch, outputs, state, network)


class Elsewhere(Distance):
    """A score on another device."""

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Tensor:
        return torch.empty(len(batch), device="meta")


class Lonely(Distance):
    """A score of what nobody gives."""

    needs = frozenset({"big_code"})


class Failing(Distance):
    """A score that is a mistake."""

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Tensor:
        return outputs["big_code"]


@hookimpl
def scorers() -> Offers:
    found = (Distance, Flat, Unknown, Noisy, Social, Hasty, Listing, Greedy, Curt, Elsewhere, Failing, Lonely)
    return {each.__name__.lower(): each for each in found}
