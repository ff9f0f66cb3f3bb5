"""Convolutional autoencoders for images: a deterministic one and a variational one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from hepanom.contracts import Batch, Guard, Model, Network, Outputs
from hepanom.errors import InputError
from hepanom.events import Input, Schema
from hepanom_plugins.models.activity import GUARDS, activity
from hepanom_plugins.models.convolutions import Convolutional
from hepanom_plugins.models.latent import Divergence, Regularization, standard_normal

Images = Float[Tensor, "event channel row column"]
Loss = Annotated[
    Literal["mse", "bce"], Field(description="reconstruction by squared error, or by binary cross-entropy")
]


@dataclass(frozen=True)
class ConvAutoencoder(Regularization, Convolutional, Model):
    """Convolutional autoencoder for an image, whose codes may be held near N(0, 1) by their mean discrepancy.

    With encoder f and decoder g, which mirror each other, the loss is R(x) + beta MMD^2, where the squared maximum mean
    discrepancy between the codes z = f(x) of the batch and draws of N(0, 1) enters with ``regularization: mmd`` alone,
    and R is, over the n pixels of all channels,

        mse:  R = 1/n sum_i (x_i - x'_i)^2,                                           x' = g(z),
        bce:  R = -sum_i [x_i ln x'_i + (1 - x_i) ln (1 - x'_i)],                     x' = 1 / (1 + exp(-g(z))).

    Mean and sum are those of the thesis's program. So beta is the price of one unit of MMD^2, which is 2 at most, in
    squared errors of an average pixel with mse, in nats of the whole image with bce. It is applied once, where the
    thesis's program multiplies by it twice; and batch normalization comes before the activation, and neither for the
    code nor for the output. With bce pixels outside of [0, 1] are an InputError in training; in scoring the encoder
    sees them at its ends. ``warmup`` raises beta linearly from 0 over that share of the training; validation always
    uses the final beta. ``conv_vae`` has the KL divergence.

    References:
        R. Solli, master's thesis, Oslo 2019, sections 2.9, 2.10 and table 4.3; program
        https://github.com/ATTPC/VAE-event-classification.
        S. Zhao, J. Song, S. Ermon, InfoVAE, 2017, arXiv:1706.02262.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"reconstruction", "latent_mean"})

    regularization: Annotated[Literal["mmd", "none"], Field(description="what holds the codes near N(0, 1)")] = "none"
    loss: Loss = "mse"

    def __post_init__(self) -> None:
        """Check the layers, and that no option is for the KL divergence."""
        super().__post_init__()
        if self.free_bits:
            raise ValueError("free_bits is for the KL divergence, which conv_vae has; leave it out, or use conv_vae")

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only image."""
        return ConvNetwork(self, self, *schema.only("image"))

    def misfit(self, decoded: Images, images: Images) -> Float[Tensor, " event"]:
        """Return R of each event."""
        if self.loss == "bce":
            return cross_entropy(decoded, images)
        return functional.mse_loss(decoded, images, reduction="none").flatten(1).mean(1)


@dataclass(frozen=True)
class ConvVAE(Divergence, Convolutional, Model):
    """Convolutional variational autoencoder for an image.

    The encoder gives a diagonal Gaussian q(z|x) = N(m, s^2); the prior is p(z) = N(0, 1). With z = m + s e,
    e ~ N(0, 1), and the decoder g the loss is

        loss(x) = -ln p(x|z) + beta 1/2 sum_j (m_j^2 + s_j^2 - 1 - ln s_j^2),

        mse:  -ln p(x|z) = sum_i [ln(2 pi v) / 2 + (x_i - x'_i)^2 / (2 v)],           x' = g(z), v = ``variance``,
        bce:  -ln p(x|z) = -sum_i [x_i ln x'_i + (1 - x_i) ln (1 - x'_i)],            x' = 1 / (1 + exp(-g(z))),

    with sums over the pixels of all channels: the negative evidence lower bound where beta is 1. With bce pixels
    outside of [0, 1] are an InputError in training; in scoring the encoder sees them at its ends, and the square of how
    far they lie beyond is taken from ln p(x|z), so that they do not hide. Log variances are held within +-10.
    ``warmup`` raises beta linearly from 0 over that share of the training; validation always uses the final beta. With
    ``free_bits`` a latent dimension whose KL divergence, averaged over the batch with the event weights, is below that
    many nats is not pushed further.

    References:
        D. Kingma, M. Welling, Auto-encoding variational Bayes, 2013, arXiv:1312.6114.
        R. Solli, master's thesis, Oslo 2019, section 2.9.2.
    """

    gives: ClassVar[frozenset[str]] = frozenset(
        {"reconstruction", "latent_mean", "latent_log_variance", "log_likelihood"}
    )

    loss: Loss = "mse"
    variance: Annotated[float, Field(gt=0, description="of a pixel given the code, with mse")] = 1.0

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only image."""
        held = Regularization(self.beta, self.warmup, self.free_bits, regularization="kl")
        return ConvNetwork(self, held, *schema.only("image"))

    def misfit(self, decoded: Images, images: Images) -> Float[Tensor, " event"]:
        """Return -ln p(x|z) of each event."""
        if self.loss == "bce":
            return cross_entropy(decoded, images)
        squares = functional.mse_loss(decoded, images, reduction="none").flatten(1)
        return squares.sum(1) / (2 * self.variance) + squares.shape[1] * math.log(2 * math.pi * self.variance) / 2


class ConvNetwork(Network):
    """Encoder and decoder of ConvAutoencoder and ConvVAE; mean and log variance are the halves of one linear layer."""

    def __init__(
        self, options: ConvAutoencoder | ConvVAE, regularization: Regularization, name: str, image: Input
    ) -> None:
        super().__init__()
        self.options, self.regularization, self.input = options, regularization, name
        self.encoder = options.encoder(image, regularization.heads * options.latent)
        self.decoder = options.decoder(image)

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return the outputs at the code's mean, or ``noise`` standard deviations from it."""
        images = batch.inputs[self.input]
        seen = images.clamp(0, 1) if self.options.loss == "bce" else images
        mean, log_variance = self.regularization.split(self.encoder(seen))
        if log_variance is None or noise is None:
            decoded = self.decoder(mean)
        else:
            decoded = self.decoder(mean + (log_variance / 2).exp() * noise)
        outputs = {"latent_mean": mean, "reconstruction": self._shown(decoded)}
        if log_variance is None:
            return outputs
        likelihood = -self.options.misfit(decoded, images)
        return {**outputs, "latent_log_variance": log_variance, "log_likelihood": likelihood}

    def prior(self, draws: int) -> Float[Tensor, "draw latent"] | None:
        """Return draws of N(0, 1), None where nothing holds the codes near it."""
        if self.regularization.regularization == "none":
            return None
        return standard_normal(self, draws, self.options.latent)

    def decode(self, codes: Float[Tensor, "code latent"], given: Batch | None = None) -> Images:
        """Return the images of codes, without the noise of single pixels."""
        return self._shown(self.decoder(codes))

    def _shown(self, decoded: Images) -> Images:
        return decoded.sigmoid() if self.options.loss == "bce" else decoded

    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Float[Tensor, " event"]]:
        """Return the misfit at one drawn code, and beta times the penalty on the codes."""
        return self._terms(batch, self.regularization.beta_at(progress), self.regularization.free_bits)

    def validate(self, batch: Batch) -> Float[Tensor, " event"]:
        """Return the loss with the final beta, without free bits."""
        terms = self._terms(batch, self.regularization.beta, 0.0)
        return sum(terms.values(), start=terms["reconstruction"].new_zeros(()))

    def diagnose(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Return how many dimensions of the code vary."""
        codes = ((self.regularization.split(self.encoder(self._images(batch)))[0], batch.weight) for batch in batches)
        return activity(codes, prior=self.regularization.regularization != "none")

    def guards(self) -> Sequence[Guard]:
        """Return the limit of the diagnostics."""
        return GUARDS

    def _terms(self, batch: Batch, beta: float, free_bits: float) -> dict[str, Float[Tensor, " event"]]:
        images = self._images(batch)
        mean, log_variance = self.regularization.split(self.encoder(images))
        decoded = self.decoder(self.regularization.draw(mean, log_variance))
        penalty = self.regularization.penalty(mean, log_variance, batch.weight, beta, free_bits)
        return {"reconstruction": self.options.misfit(decoded, images), **penalty}

    def _images(self, batch: Batch) -> Images:
        """Return the images. Raises InputError for pixels that have no cross-entropy."""
        images = batch.inputs[self.input]
        if self.options.loss == "bce":
            low, high = images.aminmax()
            if not (low >= 0 and high <= 1):
                raise InputError(
                    f"{self.input}: pixels range from {float(low):.4g} to {float(high):.4g}, but `loss: bce` needs "
                    "them within 0 and 1; a larger `scale` of the transform image would do, or `loss: mse`"
                )
        return images


def cross_entropy(logits: Images, images: Images) -> Float[Tensor, " event"]:
    """Return the binary cross-entropy of each event, and how far its pixels lie outside of [0, 1].

        sum_i [-u_i ln s(l_i) - (1 - u_i) ln(1 - s(l_i)) + (x_i - u_i)^2],   u_i = min(max(x_i, 0), 1)

    with s(l) = 1 / (1 + exp(-l)). The cross-entropy itself would fall without end for brighter and brighter pixels.
    """
    inside = images.clamp(0, 1)
    entropy = functional.binary_cross_entropy_with_logits(logits, inside, reduction="none")
    return (entropy + (images - inside).square()).flatten(1).sum(1)
