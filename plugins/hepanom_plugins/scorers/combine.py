"""Several scores of one event as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hepanom.contracts import Batch, Network, Outputs, Scorer, State

KNOTS = 4096  # places where the background's distribution is kept; half of them are its highest scores


@dataclass(frozen=True)
class Combine(Scorer):
    """Several earlier scores of the recipe as one, after each was turned into its rank.

    With r_k in [0, 1) the share, by weight, of valid events of the kind that trains, background unless ``train.on`` is
    ``all``, whose score k is at most the event's:

    - ``and``: min_k r_k, above a cut where every score is,
    - ``or``: 1 - prod_k (1 - r_k), near 1 where any score is,
    - ``mean``: 1/n sum_k r_k,
    - ``product``: prod_k r_k,
    - ``maximum``: max_k r_k, above a cut where any score is.

    Ranks are linear between the scores that are kept of the background: its 2,048 highest, and as many evenly spread
    ones. N events reach from 0 to N / (N + 1); what lies d beyond the last of them, with s the range of the scores (1
    where all are equal), has

        r = N / (N + 1) + 1 / (N + 1) * d / (d + s),

    so that the strangest events keep their order.
    """

    needs: ClassVar[frozenset[str]] = frozenset()

    scores: Annotated[tuple[str, ...], Field(min_length=2, description="names of earlier scores of the recipe")]
    how: Annotated[
        Literal["and", "or", "mean", "product", "maximum"], Field(description="how their ranks become one number")
    ] = "mean"

    def combines(self) -> Sequence[str]:
        """Return the names of the scores."""
        return self.scores

    def fit(self, batches: Iterable[tuple[Batch, Outputs]]) -> State:
        """Return the distribution of each score on background that no other score has seen."""
        weights: list[Tensor] = []
        values: dict[str, list[Tensor]] = {name: [] for name in self.scores}
        for batch, outputs in batches:
            weights.append(batch.weight.double().cpu())
            for name in self.scores:
                values[name].append(outputs[f"score/{name}"].double().cpu())
        weight = torch.cat(weights).numpy()
        return {
            f"{name}/{key}": array
            for name in self.scores
            for key, array in _distribution(torch.cat(values[name]).numpy(), weight).items()
        }

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Float[Tensor, " event"]:
        """Return the combined rank of each event."""
        ranks = torch.stack(
            [_rank(outputs[f"score/{name}"], state[f"{name}/knots"], state[f"{name}/share"]) for name in self.scores]
        )
        if self.how == "and":
            return ranks.amin(0)
        if self.how == "or":
            return 1 - (1 - ranks).prod(0)
        if self.how == "mean":
            return ranks.mean(0)
        return ranks.prod(0) if self.how == "product" else ranks.amax(0)


def _distribution(values: Float[np.ndarray, " event"], weight: Float[np.ndarray, " event"]) -> State:
    """Return at most KNOTS distinct scores and the share of the weight at or below each, up to N / (N + 1)."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weight[order])
    knots, first = np.unique(values[order], return_index=True)
    last = np.append(first[1:], len(values)) - 1
    share = below[last] / below[-1] * (len(values) / (len(values) + 1))
    if len(knots) > KNOTS:
        tail = len(knots) - KNOTS // 2
        kept = np.concatenate([np.linspace(0, tail - 1, KNOTS // 2).astype(np.int64), np.arange(tail, len(knots))])
        knots, share = knots[kept], share[kept]
    return {"knots": knots, "share": share}


def _rank(
    scores: Float[Tensor, " event"], knots: Float[np.ndarray, " knot"], share: Float[np.ndarray, " knot"]
) -> Float[Tensor, " event"]:
    values = scores.double().cpu().numpy()
    span = float(knots[-1] - knots[0]) or 1.0
    beyond = np.maximum(values - knots[-1], 0.0)
    ranks = np.interp(values, knots, share, left=0.0) + beyond / (beyond + span) * (1 - share[-1])
    return torch.from_numpy(ranks).to(scores.device)
