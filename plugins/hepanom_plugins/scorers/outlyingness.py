"""The score that a model gives itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from hepanom.contracts import Batch, Network, Outputs, Scorer, State


@dataclass(frozen=True)
class Outlyingness(Scorer):
    """Outlyingness as the model defines it, for models made to detect anomalies.

        score(x) = outlyingness(x)

    Which number that is, the model's own page says: the isolation forest's 2^(-mean depth / expected depth), a distance
    to neighbours, minus a log density. It is higher for stranger events in every one of them.

    References:
        V. Chandola, A. Banerjee, V. Kumar, Anomaly detection: a survey, ACM Comput. Surv. 41 (2009) 15,
        doi:10.1145/1541880.1541882.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"outlyingness"})

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Float[Tensor, " event"]:
        """Return the model's score of each event."""
        return outputs["outlyingness"]

    def explain(
        self, batch: Batch, outputs: Outputs, state: State, network: Network
    ) -> Float[Tensor, "event ..."] | None:
        """Return the parts that the model gives, such as those of a cloud's points."""
        return network.explain(batch)
