"""The autoencoder: a table or an image squeezed through a narrow code and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from hepanom.contracts import Batch, Guard, Model, Network, Outputs
from hepanom.events import Input, Schema
from hepanom_plugins.models.activity import GUARDS, activity
from hepanom_plugins.models.layers import Dense


@dataclass(frozen=True)
class Autoencoder(Dense, Model):
    """Autoencoder for a table of features or an image, trained to give back its input.

    With encoder f and decoder g, whose hidden layers mirror each other, and linear code and output layers:

        z = f(x),   x' = g(z),   loss(x) = 1/n sum_i (x_i - x'_i)^2   over the n features.

    An image enters as its n = channel x row x column pixels side by side, and is given back as an image.

    References:
        G. Hinton, R. Salakhutdinov, Reducing the dimensionality of data with neural networks, Science 313 (2006) 504,
        doi:10.1126/science.1127647.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"reconstruction", "latent_mean"})

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only table or image."""
        name, entry = schema.only()
        return AutoencoderNetwork(self, name, entry)


class AutoencoderNetwork(Network):
    """Encoder and decoder of the Autoencoder."""

    stacks = True

    def __init__(self, options: Autoencoder, name: str, entry: Input) -> None:
        super().__init__()
        self.options, self.input, self.shape = options, name, entry.extent
        widths = (entry.width, *options.hidden)
        self.encoder = options.stack(widths).append(options.linear(widths[-1], options.latent))
        mirrored = (options.latent, *options.hidden[::-1])
        self.decoder = options.stack(mirrored).append(options.linear(mirrored[-1], entry.width))

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return code and reconstruction; there is no noise here."""
        inputs = batch.inputs[self.input]
        latent = self.encoder(inputs.flatten(1))
        return {"latent_mean": latent, "reconstruction": self.decode(latent)}

    def decode(self, codes: Float[Tensor, "code latent"], given: Batch | None = None) -> Float[Tensor, "code ..."]:
        """Return the reconstruction of codes."""
        rebuilt: Tensor = self.decoder(codes)
        return rebuilt.view(-1, *self.shape)

    def validate(self, batch: Batch) -> Float[Tensor, " event"]:
        """Return the mean squared error of each event, without penalties."""
        inputs = batch.inputs[self.input].flatten(1)
        return functional.mse_loss(self.decoder(self.encoder(inputs)), inputs, reduction="none").mean(1)

    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Float[Tensor, " event"]]:
        """Return the mean squared error of each event, and the penalties."""
        error = self.validate(batch)
        return {"reconstruction": error, **self.options.penalty(self, error)}

    def diagnose(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Return how many dimensions of the code vary."""
        codes = ((self.encoder(batch.inputs[self.input].flatten(1)), batch.weight) for batch in batches)
        return activity(codes, prior=False)

    def guards(self) -> Sequence[Guard]:
        """Return the limit of the diagnostics."""
        return GUARDS
