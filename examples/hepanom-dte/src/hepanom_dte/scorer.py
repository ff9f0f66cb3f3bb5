"""The diffusion time as a score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hepanom.contracts import Batch, Network, Outputs, Scorer, State
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class DiffusionTime(Scorer):
    """How long an event looks as if it had diffused.

        score(x) = diffusion_time(x), between 0 and 1

    as the model ``dte`` estimates it.

    References:
        V. Livernoche, V. Jain, Y. Hezaveh, S. Ravanbakhsh, On diffusion modeling for anomaly detection, ICLR 2024,
        arXiv:2305.18593.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"diffusion_time"})

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Float[Tensor, " event"]:
        """Return the diffusion time of each event."""
        return outputs["diffusion_time"]
