"""How strange an event's latent code is among the codes of the training events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hepanom.contracts import Batch, Network, Outputs, Scorer, State
from hepanom_plugins.models.baseline import moments
from hepanom_plugins.models.knn import Neighbours
from hepanom_plugins.models.mahalanobis import squared_distance, whitening


@dataclass(frozen=True)
class CodeMahalanobis(Scorer):
    """Squared Mahalanobis distance of the latent code from the mean code of the training events.

        score(x) = (z - m)^T C^+ (z - m),   z = latent_mean(x)

    with the weighted mean m and covariance C of all training events' codes, as in the model ``mahalanobis``:
    ``shrinkage`` draws the correlations to zero; directions in which no code varies do not count without it.

    References:
        P. Mahalanobis, On the generalized distance in statistics, Proc. Nat. Inst. Sci. India 2 (1936) 49.
        K. Lee et al., A simple unified framework for detecting out-of-distribution samples and adversarial attacks,
        2018, arXiv:1807.03888.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"latent_mean"})

    shrinkage: Annotated[float, Field(ge=0, le=1, description="how far correlations are drawn to zero")] = 0.0

    def fit(self, batches: Iterable[tuple[Batch, Outputs]]) -> State:
        """Return mean and whitening matrix of the codes, held one batch at a time."""
        found = moments(_codes(batches))
        matrix, _ = whitening(found, self.shrinkage)
        return {"mean": found.mean.cpu().numpy(), "whitening": matrix.cpu().numpy()}

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Float[Tensor, " event"]:
        """Return the squared distance of each event's code."""
        codes = outputs["latent_mean"].flatten(1)
        mean, matrix = (torch.from_numpy(state[name]).to(codes.device) for name in ("mean", "whitening"))
        return squared_distance(codes, mean, matrix)


@dataclass(frozen=True)
class CodeKNN(Neighbours, Scorer):
    """Distance of the latent code to its nearest neighbours among the codes of the training events.

    With d_1 <= ... <= d_k the Euclidean distances of z = latent_mean(x) to the k nearest of the references' codes,

        score(x) = d_k,   or 1/k sum_i d_i with ``distance: mean``.

    The references are drawn from the training events in proportion to their weights, each at most once: as many as
    the effective number of events, (sum w)^2 / sum w^2, and at most ``references``; ``seed`` draws them, so that
    nothing else that is random changes them.

    References:
        Y. Sun et al., Out-of-distribution detection with deep nearest neighbors, ICML 2022, arXiv:2204.06507.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"latent_mean"})

    seed: Annotated[int, Field(ge=0, description="seed of the draw of the references")] = 0

    def fit(self, batches: Iterable[tuple[Batch, Outputs]]) -> State:
        """Return the codes of the references; at most twice as many are held at a time."""
        references = self.draw(_codes(batches), torch.Generator().manual_seed(self.seed))
        return {"references": references.cpu().numpy()}

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Float[Tensor, " event"]:
        """Return the distance of each event's code."""
        codes = outputs["latent_mean"].flatten(1)
        return self.measure(codes, torch.from_numpy(state["references"]).to(codes))


def _codes(batches: Iterable[tuple[Batch, Outputs]]) -> Iterator[tuple[Tensor, Tensor]]:
    for batch, outputs in batches:
        yield outputs["latent_mean"].flatten(1), batch.weight
