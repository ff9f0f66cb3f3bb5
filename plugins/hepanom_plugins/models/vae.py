"""The variational autoencoder of Kingma and Welling for tables and images, with a Gaussian decoder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hepanom.contracts import Batch, Guard, Model, Network, Outputs
from hepanom.events import Input, Schema
from hepanom_plugins.models.activity import GUARDS, activity
from hepanom_plugins.models.latent import LOG_VARIANCE, Divergence, standard_normal
from hepanom_plugins.models.layers import Dense


@dataclass(frozen=True)
class VAE(Divergence, Dense, Model):
    """Variational autoencoder for a table of features or an image, whose pixels are the features.

    The encoder gives a diagonal Gaussian q(z|x) = N(m, s^2), the decoder a diagonal Gaussian p(x|z) = N(m', s'^2); the
    prior is p(z) = N(0, 1). With z = m + s e, e ~ N(0, 1), the loss is

        loss(x) = sum_i [ln(2 pi s'_i^2) / 2 + (x_i - m'_i)^2 / (2 s'_i^2)]
                  + beta 1/2 sum_j (m_j^2 + s_j^2 - 1 - ln s_j^2),

    the negative evidence lower bound where beta is 1. ``decoder: gaussian`` learns s'^2 for every feature and event,
    ``fixed`` holds it at ``variance``. Log variances are held within +-10. ``warmup`` raises beta linearly from 0 over
    that share of the training; validation always uses the final beta. With ``free_bits`` a latent dimension whose KL
    divergence, averaged over the batch with the event weights, is below that many nats is not pushed further.

    References:
        D. Kingma, M. Welling, Auto-encoding variational Bayes, 2013, arXiv:1312.6114.
        A. Nardelli, bachelor's thesis, Trento 2016, eq. 3.17.
    """

    gives: ClassVar[frozenset[str]] = frozenset(
        {"reconstruction", "latent_mean", "latent_log_variance", "log_likelihood"}
    )

    decoder: Annotated[Literal["gaussian", "fixed"], Field(description="learn the decoder's variance or fix it")] = (
        "gaussian"
    )
    variance: Annotated[float, Field(gt=0, description="the decoder's variance where it is fixed")] = 1.0

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only table or image."""
        name, entry = schema.only()
        return VAENetwork(self, name, entry)


class VAENetwork(Network):
    """Encoder and decoder of the VAE; mean and log variance are the halves of one linear layer."""

    stacks = True

    def __init__(self, options: VAE, name: str, entry: Input) -> None:
        super().__init__()
        self.options, self.input, self.shape = options, name, entry.extent
        widths = (entry.width, *options.hidden)
        self.encoder = options.stack(widths).append(options.linear(widths[-1], 2 * options.latent))
        mirrored = (options.latent, *options.hidden[::-1])
        heads = 2 if options.decoder == "gaussian" else 1
        self.decoder = options.stack(mirrored).append(options.linear(mirrored[-1], heads * entry.width))

    def encode(
        self, x: Float[Tensor, "event feature"]
    ) -> tuple[Float[Tensor, "event latent"], Float[Tensor, "event latent"]]:
        """Return mean and log variance of q(z|x)."""
        mean, log_variance = self.encoder(x).chunk(2, 1)
        return mean, log_variance.clamp(-LOG_VARIANCE, LOG_VARIANCE)

    def likelihood(self, z: Float[Tensor, "event latent"]) -> tuple[Float[Tensor, "event feature"], Tensor]:
        """Return mean and log variance of p(x|z)."""
        out = self.decoder(z)
        if self.options.decoder == "fixed":
            return out, out.new_tensor(math.log(self.options.variance))
        mean, log_variance = out.chunk(2, 1)
        return mean, log_variance.clamp(-LOG_VARIANCE, LOG_VARIANCE)

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return the outputs at the latent mean, or ``noise`` standard deviations from it."""
        inputs = batch.inputs[self.input]
        x = inputs.flatten(1)
        mean, log_variance = self.encode(x)
        z = mean if noise is None else mean + (log_variance / 2).exp() * noise
        reconstruction, spread = self.likelihood(z)
        return {
            "latent_mean": mean,
            "latent_log_variance": log_variance,
            "reconstruction": reconstruction.view_as(inputs),
            "log_likelihood": -negative_log_likelihood(x, reconstruction, spread),
        }

    def prior(self, draws: int) -> Float[Tensor, "draw latent"]:
        """Return draws of p(z) = N(0, 1)."""
        return standard_normal(self, draws, self.options.latent)

    def decode(self, codes: Float[Tensor, "code latent"], given: Batch | None = None) -> Float[Tensor, "code ..."]:
        """Return the mean of p(x|z)."""
        mean, _ = self.likelihood(codes)
        return mean.reshape(-1, *self.shape)

    def generate(self, draws: int, given: Batch | None = None) -> Float[Tensor, "draw ..."]:
        """Return draws of p(x); with a fixed variance, which says nothing of the data, without the decoder's noise."""
        mean, log_variance = self.likelihood(self.prior(draws))
        if self.options.decoder == "gaussian":
            mean = torch.addcmul(mean, (log_variance / 2).exp(), torch.randn_like(mean))
        return mean.reshape(-1, *self.shape)

    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Float[Tensor, " event"]]:
        """Return the negative log likelihood at one drawn code, beta times the KL divergence, and the penalties."""
        options = self.options
        terms = self._terms(batch, options.beta_at(progress), options.free_bits)
        return {**terms, **options.penalty(self, terms["kl"])}

    def validate(self, batch: Batch) -> Float[Tensor, " event"]:
        """Return the loss with the final beta, without free bits and penalties."""
        terms = self._terms(batch, self.options.beta, 0.0)
        return terms["negative_log_likelihood"] + terms["kl"]

    def diagnose(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Return how many dimensions of the code vary."""
        codes = ((self.encode(batch.inputs[self.input].flatten(1))[0], batch.weight) for batch in batches)
        return activity(codes, prior=True)

    def guards(self) -> Sequence[Guard]:
        """Return the limit of the diagnostics."""
        return GUARDS

    def _terms(self, batch: Batch, beta: float, free_bits: float) -> dict[str, Float[Tensor, " event"]]:
        x = batch.inputs[self.input].flatten(1)
        mean, log_variance = self.encode(x)
        z = torch.addcmul(mean, (log_variance / 2).exp(), torch.randn_like(mean))
        divergence = self.options.divergence(mean, log_variance, batch.weight, free_bits)
        return {"negative_log_likelihood": negative_log_likelihood(x, *self.likelihood(z)), "kl": beta * divergence}


def negative_log_likelihood(
    x: Float[Tensor, "event feature"], mean: Float[Tensor, "event feature"], log_variance: Float[Tensor, "*spread"]
) -> Float[Tensor, " event"]:
    """Return -ln N(x; m, s^2) = sum_i [ln(2 pi s_i^2) / 2 + (x_i - m_i)^2 / (2 s_i^2)] of each event."""
    constant = x.shape[1] * math.log(2 * math.pi)
    return 0.5 * ((x - mean).square() * (-log_variance).exp() + log_variance).sum(1) + 0.5 * constant
