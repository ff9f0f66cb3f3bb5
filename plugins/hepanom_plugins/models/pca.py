"""Principal components: the linear autoencoder in closed form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hepanom.contracts import Batch, Model, Network, Outputs, Player
from hepanom.errors import InputError
from hepanom.events import Input, Schema
from hepanom_plugins.models.baseline import moments, refuse_wide, rows

ROUNDING = 1e-6  # of the largest deviation; a direction with less has none


@dataclass(frozen=True)
class PCA(Model):
    """Principal component analysis of a table of features or an image, the baseline of every autoencoder.

    With mean m and covariance C = V diag(s^2) V^T of the weighted training events, and V_k the ``latent`` directions
    of the largest variance,

        z = V_k^T (x - m),   x' = m + V_k z.

    With ``whiten`` the code is z_j / s_j, so that the score ``latent_mu2`` is the Mahalanobis distance within the
    subspace; the reconstruction is the same. The covariance is summed batch by batch from all events: nothing is
    subsampled and nothing is random. The largest entry of each direction is positive.

    References:
        K. Pearson, On lines and planes of closest fit to systems of points in space, Phil. Mag. 2 (1901) 559.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"reconstruction", "latent_mean"})

    latent: Annotated[int, Field(gt=0, description="number of components")] = 2
    whiten: Annotated[bool, Field(description="divide the codes by their standard deviation")] = False

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only table or image.

        Raises InputError where there are fewer features than components, or too many for a covariance matrix.
        """
        name, entry = schema.only()
        refuse_wide(entry.width)
        if self.latent > entry.width:
            raise InputError(f"pca: latent is {self.latent}, but the events have {entry.width} features; choose fewer")
        return PCANetwork(self, name, entry)


class PCANetwork(Network):
    """Mean, directions and standard deviations, which ``prepare`` finds in one call."""

    mean: Tensor
    directions: Tensor
    deviations: Tensor

    def __init__(self, options: PCA, name: str, entry: Input) -> None:
        super().__init__()
        self.options, self.input, self.shape, features = options, name, entry.extent, entry.width
        self.register_buffer("mean", torch.zeros(features, dtype=torch.float64))
        self.register_buffer("directions", torch.zeros(features, options.latent, dtype=torch.float64))
        self.register_buffer("deviations", torch.ones(options.latent, dtype=torch.float64))

    def players(self) -> dict[str, Player]:
        """Return nobody: there is nothing to train."""
        return {}

    def prepare(self, batches: Iterable[Batch], epoch: int) -> bool:
        """Find the components; finished at once."""
        found = moments(rows(batches, self.input))
        variances, vectors = torch.linalg.eigh(found.covariance)
        largest = vectors.flip(1)[:, : self.options.latent]
        signs = largest.gather(0, largest.abs().argmax(0, keepdim=True)).sign()
        self.mean, self.directions = found.mean, (largest * signs).contiguous()  # the order of a stored state
        self.deviations = variances.flip(0)[: self.options.latent].clamp(min=0).sqrt()
        return True

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return code and reconstruction; there is no noise here."""
        inputs = batch.inputs[self.input]
        latent = (inputs.flatten(1).double() - self.mean) @ self.directions
        reconstruction = self.mean + latent @ self.directions.T
        latent = latent / self._scale()
        return {"latent_mean": latent.float(), "reconstruction": reconstruction.float().view_as(inputs)}

    def decode(self, codes: Float[Tensor, "code latent"], given: Batch | None = None) -> Float[Tensor, "code ..."]:
        """Return the reconstruction of codes."""
        rebuilt = self.mean + (codes.double() * self._scale()) @ self.directions.T
        return rebuilt.float().view(-1, *self.shape)

    def _scale(self) -> Float[Tensor, " latent"]:
        """Return what codes are divided by; along a direction without variance every training event has the code 0."""
        varies = self.deviations > ROUNDING * self.deviations[:1]
        return torch.where(varies & self.options.whiten, self.deviations, 1.0)

    def validate(self, batch: Batch) -> Float[Tensor, " event"]:
        """Return the mean squared reconstruction error of each event."""
        errors = batch.inputs[self.input] - self.forward(batch)["reconstruction"]
        return errors.flatten(1).square().mean(1)
