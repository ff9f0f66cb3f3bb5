"""How strange an event's latent code is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from hepanom.contracts import Batch, Network, Outputs, Scorer, State
from hepanom_plugins.models.latent import kl


@dataclass(frozen=True)
class KL(Scorer):
    """Distance of the latent distribution from its prior.

        score(x) = 1/2 sum_j (m_j^2 + s_j^2 - 1 - ln s_j^2),   q(z|x) = N(m, s^2)

    References:
        D. Kingma, M. Welling, Auto-encoding variational Bayes, 2013, arXiv:1312.6114, appendix B.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"latent_mean", "latent_log_variance"})

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Float[Tensor, " event"]:
        """Return the divergence of each event."""
        return kl(outputs["latent_mean"], outputs["latent_log_variance"]).sum(1)


@dataclass(frozen=True)
class LatentMu2(Scorer):
    """Squared length of the latent mean: the part of the divergence that needs no variance and no decoder.

        score(x) = sum_j m_j^2

    References:
        E. Govorkova et al., Autoencoders on FPGAs for real-time, unsupervised new physics detection at 40 MHz at the
        LHC, Nature Machine Intelligence 4 (2022) 154, arXiv:2108.03986.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"latent_mean"})

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Float[Tensor, " event"]:
        """Return the squared length of each event's mean code."""
        return outputs["latent_mean"].square().sum(1)
