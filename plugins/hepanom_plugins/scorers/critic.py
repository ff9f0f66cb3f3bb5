"""The critic of an adversarial model as a score."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hepanom.contracts import Batch, Network, Outputs, Scorer, State


@dataclass(frozen=True)
class CriticScore(Scorer):
    """How far the critic's value c(x) is from what it should be, in one of three senses.

    - ``median``: |c(x) - m|, with m the median of c over the training events, by weight; this is the distance for a
      Wasserstein critic, whose values have no origin,
    - ``half``: 2 |d(x) - 1/2| = |tanh(c(x) / 2)| with d = 1 / (1 + exp(-c)), for the critics whose value is the logit
      of a probability (``gan``, ``anogan``, ``bigan``); of a Wasserstein critic it means nothing. The thesis flags
      d < t and d > 1 - t, which is a score above 1 - 2t,
    - ``low``: m - c(x), one-sided: strange is what the critic calls generated.

    Computed in double precision, in which ``half`` is 1 to the last digit, and no longer orders events, from |c| = 37
    on; ``median`` always does.

    References:
        A. Nardelli, bachelor's thesis, Trento 2016, algorithm 6.
        M. Arjovsky, S. Chintala, L. Bottou, Wasserstein GAN, 2017, arXiv:1701.07875.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"critic"})

    distance: Annotated[
        Literal["median", "half", "low"], Field(description="what the critic's value is taken from")
    ] = "median"

    def fit(self, batches: Iterable[tuple[Batch, Outputs]]) -> State:
        """Return the median of the critic's values, by weight."""
        pairs = [(outputs["critic"].cpu().numpy(), batch.weight.cpu().numpy()) for batch, outputs in batches]
        values, weights = (np.concatenate(column).astype(np.float64) for column in zip(*pairs, strict=True))
        return {"median": np.array(weighted_median(values, weights))}

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Float[Tensor, " event"]:
        """Return the distance of each event."""
        value = outputs["critic"].double()
        if self.distance == "half":
            return (value / 2).tanh().abs()
        below = float(state["median"]) - value
        return below if self.distance == "low" else below.abs()


def weighted_median(values: Float[np.ndarray, " event"], weight: Float[np.ndarray, " event"]) -> float:
    """Return the lowest of the values at and below which lies at least half of the weight."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(share, share[-1] / 2)])
