"""How improbable an event is under a model that knows its density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from hepanom.contracts import Batch, Network, Outputs, Scorer, State


@dataclass(frozen=True)
class Likelihood(Scorer):
    """Negative log density of an event in the variables that were read.

        score(x) = -ln p(x) = -[ln p(y) + ln |dy/dx|]

    with y what the transforms made of the reader's x, p(y) the model's density and ln |dy/dx| the batch's
    ``log_jacobian``, 0 where no transform has one. Scores of models behind different transforms of the same columns
    thus compare, in nats, and depend on the units as a density does. Columns that a transform adds or takes away change
    what the density is of. Of a model with a ``condition`` c the score is -ln p(x | c): what transforms do to c is not
    in it, nor what they did to columns that have left the table.

    References:
        B. Nachman, D. Shih, Anomaly detection with density estimation, Phys. Rev. D 101 (2020) 075042,
        arXiv:2001.04990.
        C. Bishop, Novelty detection and neural network validation, IEE Proc. Vis. Image Signal Process. 141 (1994) 217,
        doi:10.1049/ip-vis:19941330.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"log_density"})

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Float[Tensor, " event"]:
        """Return the negative log density of each event."""
        log_density = outputs["log_density"]
        return -log_density if batch.log_jacobian is None else -(log_density + batch.log_jacobian)
