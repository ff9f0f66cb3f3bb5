"""The evidence lower bound as a score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hepanom.contracts import Batch, Network, Outputs, Scorer, State
from hepanom_plugins.models.latent import kl


@dataclass(frozen=True)
class Elbo(Scorer):
    """Negative evidence lower bound.

        score(x) = KL(q(z|x) || p(z)) - 1/N sum_n ln p(x | z = m + s e_n)

    with q(z|x) = N(m, s^2). ``samples: 0`` takes z at the mean m; otherwise the same N vectors e_n, drawn once from
    ``seed``, serve every event, so that two scorings agree.

    References:
        D. Kingma, M. Welling, Auto-encoding variational Bayes, 2013, arXiv:1312.6114.
        A. Nardelli, bachelor's thesis, Trento 2016, eq. 3.17 and algorithm 4.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"latent_mean", "latent_log_variance", "log_likelihood"})

    samples: Annotated[int, Field(ge=0, description="latent draws per event; 0 scores at the latent mean")] = 0
    seed: Annotated[int, Field(ge=0, description="seed of the draws")] = 0

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Float[Tensor, " event"]:
        """Return the negative bound of each event."""
        mean = outputs["latent_mean"]
        likelihood = outputs["log_likelihood"]
        if self.samples:
            generator = torch.Generator().manual_seed(self.seed)
            noise = torch.randn(self.samples, mean.shape[1], generator=generator).to(mean)
            likelihood = torch.stack([network(batch, vector)["log_likelihood"] for vector in noise]).mean(0)
        return kl(mean, outputs["latent_log_variance"]).sum(1) - likelihood
