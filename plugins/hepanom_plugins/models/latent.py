"""Latent codes held near their prior N(0, 1): by the Kullback-Leibler divergence or by maximum mean discrepancy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

LOG_VARIANCE = 10.0
TINY = 1e-30  # a batch whose weights are all zero counts for nothing
PRIOR = 256  # draws of the prior that a batch is compared with


@dataclass(frozen=True)
class Divergence:
    """Options of a latent penalty: beta, its warm-up and free bits.

    ``warmup`` raises beta linearly from 0 over that share of the training; validation always uses the final beta. With
    ``free_bits`` a latent dimension whose KL divergence, averaged over the batch with the event weights, is below that
    many nats is not pushed further.

    References:
        I. Higgins et al., beta-VAE, ICLR 2017.
        D. Kingma et al., Improved variational inference with inverse autoregressive flow, 2016, arXiv:1606.04934
        (free bits, appendix C.8).
    """

    beta: Annotated[float, Field(ge=0, description="factor of the latent penalty")] = 1.0
    warmup: Annotated[float, Field(ge=0, le=1, description="share of the epochs over which beta rises from 0")] = 0.0
    free_bits: Annotated[float, Field(ge=0, description="nats per latent dimension that cost nothing")] = 0.0

    def beta_at(self, progress: float) -> float:
        """Return beta at a share of the training."""
        return self.beta * min(1.0, progress / self.warmup if self.warmup else 1.0)

    def divergence(
        self,
        mean: Float[Tensor, "event latent"],
        log_variance: Float[Tensor, "event latent"],
        weight: Float[Tensor, " event"],
        free_bits: float,
    ) -> Float[Tensor, " event"]:
        """Return each event's KL divergence summed over the dimensions, without beta."""
        divergence = kl(mean, log_variance)
        if free_bits:
            average = weight @ divergence / weight.sum()
            divergence = torch.where(average > free_bits, divergence, free_bits)
        return divergence.sum(1)


@dataclass(frozen=True)
class Regularization(Divergence):
    """Options of an encoder whose codes are held near N(0, 1) by one of three penalties.

    - ``kl``: the code is drawn from q(z|x) = N(m, s^2), the penalty is KL(q(z|x) || N(0, 1)),
    - ``mmd``: the code is m itself, the penalty is the maximum mean discrepancy between the codes of the batch and
      draws of N(0, 1), the same for all of its events (InfoVAE without its KL part),
    - ``none``: the code is m, there is no penalty.

    References:
        S. Zhao, J. Song, S. Ermon, InfoVAE, 2017, arXiv:1706.02262.
        I. Tolstikhin et al., Wasserstein auto-encoders, 2017, arXiv:1711.01558 (inverse multiquadric kernel).
        R. Solli, master's thesis, Oslo 2019, section 2.10.
    """

    regularization: Annotated[Literal["kl", "mmd", "none"], Field(description="what holds the codes near N(0, 1)")] = (
        "kl"
    )
    kernel: Annotated[Literal["rbf", "inverse_multiquadric"], Field(description="kernel of the mmd")] = "rbf"

    @property
    def heads(self) -> int:
        """Return how many numbers the encoder gives per latent dimension."""
        return 2 if self.regularization == "kl" else 1

    def split(
        self, encoded: Float[Tensor, "event head"]
    ) -> tuple[Float[Tensor, "event latent"], Float[Tensor, "event latent"] | None]:
        """Return mean and log variance of the code, the latter within +-10, or None where there is none."""
        if self.regularization != "kl":
            return encoded, None
        mean, log_variance = encoded.chunk(2, 1)
        return mean, log_variance.clamp(-LOG_VARIANCE, LOG_VARIANCE)

    def draw(
        self, mean: Float[Tensor, "event latent"], log_variance: Float[Tensor, "event latent"] | None
    ) -> Float[Tensor, "event latent"]:
        """Return codes for training: m + s e with e ~ N(0, 1), or m where the code has no spread."""
        if log_variance is None:
            return mean
        return torch.addcmul(mean, (log_variance / 2).exp(), torch.randn_like(mean))

    def penalty(
        self,
        mean: Float[Tensor, "event latent"],
        log_variance: Float[Tensor, "event latent"] | None,
        weight: Float[Tensor, " event"],
        beta: float,
        free_bits: float = 0.0,
    ) -> dict[str, Float[Tensor, " event"]]:
        """Return the loss term, times beta; {} for ``none``."""
        if log_variance is not None:
            return {"kl": beta * self.divergence(mean, log_variance, weight, free_bits)}
        if self.regularization == "none":
            return {}
        prior = torch.randn_like(torch.empty(PRIOR, mean.shape[1], device=mean.device))
        return {"mmd": beta * mmd(mean, weight, prior, self.kernel).expand(len(mean))}


def standard_normal(network: nn.Module, draws: int, width: int) -> Float[Tensor, "draw latent"]:
    """Return draws of N(0, 1), where the network lies."""
    return torch.randn(draws, width, device=next(network.parameters()).device)


def kl(
    mean: Float[Tensor, "event latent"], log_variance: Float[Tensor, "event latent"]
) -> Float[Tensor, "event latent"]:
    """Return KL(N(m, s^2) || N(0, 1)) = (m^2 + s^2 - 1 - ln s^2) / 2 of every latent dimension."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def mmd(
    codes: Float[Tensor, "event latent"],
    weight: Float[Tensor, " event"],
    prior: Float[Tensor, "draw latent"],
    kernel: str,
) -> Float[Tensor, ""]:
    """Return the squared maximum mean discrepancy between weighted codes z_i and draws p_j.

        MMD^2 = sum_ii' w_i w_i' k(z_i, z_i') / W^2 + mean_jj' k(p_j, p_j') - 2 sum_ij w_i k(z_i, p_j) / (W J)

    with W = sum_i w_i over the events and J draws, the terms i = i' and j = j' included, so that an event of weight 2
    counts as two. With d latent dimensions the kernels are

        rbf: exp(-|a - b|^2 / (2 d)),   inverse_multiquadric: 2 d / (2 d + |a - b|^2).

    References:
        A. Gretton et al., A kernel two-sample test, JMLR 13 (2012) 723, eq. 5.
    """
    with torch.autocast(codes.device.type, enabled=False):  # bfloat16 is coarser than a small discrepancy
        codes, share = codes.to(prior.dtype), (weight / weight.sum().clamp(min=TINY)).to(prior.dtype)
        within = share @ _kernel(codes, codes, kernel) @ share
        between = (share @ _kernel(codes, prior, kernel)).mean()
        return within + _kernel(prior, prior, kernel).mean() - 2 * between


def _kernel(a: Float[Tensor, "a latent"], b: Float[Tensor, "b latent"], name: str) -> Float[Tensor, "a b"]:
    dimensions = a.shape[1]
    distance = (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).clamp(min=0)
    if name == "rbf":
        return (distance / (-2 * dimensions)).exp()
    return 2 * dimensions / (2 * dimensions + distance)
