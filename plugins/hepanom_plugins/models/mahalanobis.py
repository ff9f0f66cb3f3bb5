"""The Mahalanobis distance: how far an event is from the mean, in units of the covariance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Float64
from pydantic import Field
from torch import Tensor

from hepanom.contracts import Batch, Model, Network, Outputs, Player
from hepanom.errors import InputError
from hepanom.events import Schema
from hepanom_plugins.models.baseline import SAME, Moments, moments, refuse_wide, rows

SINGULAR = 1e-12  # a direction whose share of the largest variance is smaller has none
CONSTANT = 1e-9  # a column whose deviation over mean is smaller varies by rounding alone


@dataclass(frozen=True)
class Mahalanobis(Model):
    """Squared Mahalanobis distance of a table of features or an image from the mean of the training events.

        outlyingness(x) = (x - m)^T C^+ (x - m)

    with the weighted mean m and covariance C = D R D of all training events, D the standard deviations and R the
    correlation matrix. ``shrinkage`` replaces R by (1 - shrinkage) R + shrinkage 1, for more features than events can
    tell apart. C^+ = D^-1 R^+ D^-1 with the pseudo-inverse R^+: a direction in which no training event
    varies (an eigenvalue of R below 1e-12 of the largest) does not count without shrinkage.

    References:
        P. Mahalanobis, On the generalized distance in statistics, Proc. Nat. Inst. Sci. India 2 (1936) 49.
        J. Schaefer, K. Strimmer, A shrinkage approach to large-scale covariance matrix estimation, Stat. Appl. Genet.
        Mol. Biol. 4 (2005) 32, doi:10.2202/1544-6115.1175 (target D).
    """

    gives: ClassVar[frozenset[str]] = frozenset({"outlyingness"})

    shrinkage: Annotated[float, Field(ge=0, le=1, description="how far correlations are drawn to zero")] = 0.0

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only table or image; InputError for too many features."""
        name, entry = schema.only()
        refuse_wide(entry.width)
        return MahalanobisNetwork(self, name, entry.width)


class MahalanobisNetwork(Network):
    """Mean and whitening matrix, which ``prepare`` finds in one call."""

    mean: Tensor
    whitening: Tensor
    log_volume: Tensor

    def __init__(self, options: Mahalanobis, name: str, features: int) -> None:
        super().__init__()
        self.options, self.input = options, name
        self.register_buffer("mean", torch.zeros(features, dtype=torch.float64))
        self.register_buffer("whitening", torch.eye(features, dtype=torch.float64))
        self.register_buffer("log_volume", torch.zeros((), dtype=torch.float64))

    def players(self) -> dict[str, Player]:
        """Return nobody: there is nothing to train."""
        return {}

    def prepare(self, batches: Iterable[Batch], epoch: int) -> bool:
        """Measure mean and covariance; finished at once. Raises InputError where no feature varies."""
        found = moments(rows(batches, self.input))
        self.mean = found.mean
        self.whitening, self.log_volume = whitening(found, self.options.shrinkage)
        if not self.whitening.any():
            raise InputError(f"mahalanobis: {SAME}")
        return True

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return the squared distance of each event."""
        x = batch.inputs[self.input].flatten(1)
        return {"outlyingness": squared_distance(x, self.mean, self.whitening)}

    def validate(self, batch: Batch) -> Float[Tensor, " event"]:
        """Return -ln N(x; m, C) up to a constant: half the squared distance and the log of the ellipsoid's volume.

        The distance alone would call the widest covariance the best.
        """
        return (0.5 * self.forward(batch)["outlyingness"] + self.log_volume).float()


def whitening(found: Moments, shrinkage: float = 0.0) -> tuple[Float64[Tensor, "feature feature"], Float64[Tensor, ""]]:
    """Return A = D^-1 (R^+)^(1/2), so that A A^T = C^+, and ln det(C) / 2 over the directions that count.

    The symmetric root does not depend on the signs of the eigenvectors, which are arbitrary.
    """
    deviations = found.covariance.diagonal().clamp(min=0).sqrt()
    constant = deviations <= CONSTANT * found.mean.abs()
    deviations = torch.where(constant, torch.ones_like(deviations), deviations)
    correlation = (1 - shrinkage) * found.covariance / torch.outer(deviations, deviations)
    correlation.diagonal().add_(shrinkage)
    variances, vectors = torch.linalg.eigh(correlation)
    counts = variances > SINGULAR * variances[-1]
    scales = torch.where(counts, variances, torch.ones_like(variances)).sqrt()
    log_volume = scales.log().sum() + deviations.log().sum()
    return (vectors * (counts / scales)) @ vectors.T / deviations[:, None], log_volume


def squared_distance(
    x: Float[Tensor, "event feature"], mean: Float64[Tensor, " feature"], matrix: Float64[Tensor, "feature feature"]
) -> Float[Tensor, " event"]:
    """Return |A^T (x - m)|^2 of each event, for the whitening matrix A."""
    return ((x.double() - mean) @ matrix).square().sum(1)
