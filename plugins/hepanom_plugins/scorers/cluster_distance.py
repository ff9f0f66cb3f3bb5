"""How far an event lies from all clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from hepanom.contracts import Batch, Network, Outputs, Scorer, State


@dataclass(frozen=True)
class ClusterDistance(Scorer):
    """Distance of an event's code z from the nearest of the model's centroids c_j.

        score(x) = min_j |z - c_j|

    References:
        J. Xie, R. Girshick, A. Farhadi, Unsupervised deep embedding for clustering analysis, 2015, arXiv:1511.06335.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"cluster_distance"})

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Float[Tensor, " event"]:
        """Return each event's distance from its nearest centroid."""
        return outputs["cluster_distance"].amin(1)
