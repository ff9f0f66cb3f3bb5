"""An autoencoder to begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from hepanom.contracts import Batch, Model, Network, Outputs, Player
from hepanom.events import Schema
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn


# The fields of the class are the options that recipes set: model: {use: my_plugin, latent: 3}. Types and bounds are
# checked with the recipe, and `hepanom plugins my_plugin` shows the docstring and the descriptions.
@dataclass(frozen=True)
class MyPluginModel(Model):
    """A small autoencoder for a table of features.

        z = f(x),   x' = g(z),   loss(x) = 1/n sum_i (x_i - x'_i)^2   over the n features

    with one hidden layer in f and in g. Transform the features first (``standardize``).

    References:
        the paper that the model is from: authors, title, year, arXiv or DOI.
    """

    # What scorers may read; "reconstruction" lets every scorer of reconstructions work with this model.
    gives: ClassVar[frozenset[str]] = frozenset({"reconstruction", "latent_mean"})

    hidden: Annotated[int, Field(gt=0, description="width of the hidden layers")] = 32
    latent: Annotated[int, Field(gt=0, description="width of the code")] = 2

    def build(self, schema: Schema) -> Network:
        """Return a network with fresh weights; raise InputError for events that it cannot take."""
        name, table = schema.table()
        return MyPluginNetwork(self, name, table.width)


class MyPluginNetwork(Network):
    """Encoder and decoder. Devices, optimizers, epochs and files are the core's affair."""

    def __init__(self, options: MyPluginModel, name: str, features: int) -> None:
        super().__init__()
        self.input = name
        self.encoder = nn.Sequential(
            nn.Linear(features, options.hidden), nn.ReLU(), nn.Linear(options.hidden, options.latent)
        )
        self.decoder = nn.Sequential(
            nn.Linear(options.latent, options.hidden), nn.ReLU(), nn.Linear(options.hidden, features)
        )

    def players(self) -> dict[str, Player]:
        """Return who is trained: here one, as without this method; a GAN has a critic and a generator."""
        return {"network": Player(list(self.parameters()))}

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return what ``gives`` names, each with one row per event; deterministic in evaluation."""
        code = self.encoder(batch.inputs[self.input])
        return {"latent_mean": code, "reconstruction": self.decoder(code)}

    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Float[Tensor, " event"]]:
        """Return named terms, one number per event: the core applies the weights, and takes the mean of their sum."""
        error = batch.inputs[self.input] - self(batch)["reconstruction"]
        return {"reconstruction": error.square().mean(1)}
