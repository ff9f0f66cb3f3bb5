"""The Gaussian mixture: an exact density, fitted by expectation maximization."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Float64
from pydantic import Field
from torch import Tensor

from hepanom.contracts import Batch, Model, Network, Outputs, Player
from hepanom.errors import InputError
from hepanom.events import Input, Schema
from hepanom_plugins.models.baseline import refuse_wide, rows, sample

CACHED = 2**17  # numbers that the events of a piece have for all components


@dataclass(frozen=True)
class GMM(Model):
    """Mixture of Gaussians with full covariances on a table of features or an image.

        p(x) = sum_k p_k N(x; m_k, C_k),   log_density = ln p(x),   outlyingness = -ln p(x)

    maximizes sum w ln p(x) over the training events with weights w, by expectation maximization:

        r_k(x) = p_k N(x; m_k, C_k) / p(x),           W_k = sum w r_k,
        m_k = sum w r_k x / W_k,                      p_k = W_k / sum w,
        C_k = sum w r_k (x - m_k)(x - m_k)^T / W_k + regularization 1.

    It begins with equal round Gaussians at centres that k-means++ chooses, as wide as events are from the nearest, and
    ends when the mean log likelihood rises by less than ``tolerance``, or after ``iterations``; the best of ``starts``
    is kept. Where there are more than ``events``, a random part of so many is used.

    References:
        A. Dempster, N. Laird, D. Rubin, Maximum likelihood from incomplete data via the EM algorithm, J. R. Stat. Soc.
        B 39 (1977) 1.
        D. Arthur, S. Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"log_density", "outlyingness"})

    components: Annotated[int, Field(gt=0, description="number of Gaussians")] = 8
    regularization: Annotated[float, Field(gt=0, description="added to the variances")] = 1e-4
    starts: Annotated[int, Field(gt=0, description="choices of centres of which the best is kept")] = 1
    iterations: Annotated[int, Field(gt=0, description="steps of expectation maximization, at most")] = 100
    tolerance: Annotated[float, Field(ge=0, description="rise of the mean log likelihood that ends the fit")] = 1e-3
    events: Annotated[int, Field(ge=2, description="events to fit, held in memory")] = 100_000

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only table or image; InputError for too many features."""
        name, entry = schema.only()
        refuse_wide(entry.width)
        return GMMNetwork(self, name, entry)


@dataclass(frozen=True)
class Mixture:
    """Log shares, means, and for each component a matrix A with A A^T the inverse of its covariance."""

    log_share: Float64[Tensor, " component"]
    mean: Float64[Tensor, "component feature"]
    whitening: Float64[Tensor, "component feature feature"]

    def pieces(self, x: Float64[Tensor, "event feature"]) -> list[slice]:
        """Return slices of events that are small enough to stay in the cache with all components."""
        size = max(1, CACHED // self.mean.numel())
        return [slice(start, start + size) for start in range(0, len(x), size)]

    def log_terms(self, apart: Float64[Tensor, "component event feature"]) -> Float64[Tensor, "component event"]:
        """Return ln p_k N(x; m_k, C_k) = ln p_k - n/2 ln 2 pi + ln det A_k - |A_k^T (x - m_k)|^2 / 2 of x - m_k."""
        log_determinant = self.whitening.diagonal(dim1=1, dim2=2).log().sum(1)
        constant = self.log_share + log_determinant - 0.5 * apart.shape[2] * math.log(2 * math.pi)
        return constant[:, None] - 0.5 * (apart @ self.whitening).square().sum(2)

    def log_density(self, x: Float64[Tensor, "event feature"]) -> Float64[Tensor, " event"]:
        """Return ln p(x) of each event."""
        return torch.cat([self.log_terms(x[piece] - self.mean[:, None]).logsumexp(0) for piece in self.pieces(x)])


class GMMNetwork(Network):
    """The mixture, which ``prepare`` fits in one call."""

    log_share: Tensor
    mean: Tensor
    whitening: Tensor

    def __init__(self, options: GMM, name: str, entry: Input) -> None:
        super().__init__()
        self.options, self.input, self.shape, features = options, name, entry.extent, entry.width
        number = options.components
        self.register_buffer("log_share", torch.full((number,), -math.log(number), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(number, features, dtype=torch.float64))
        self.register_buffer("whitening", torch.eye(features, dtype=torch.float64).repeat(number, 1, 1))

    def players(self) -> dict[str, Player]:
        """Return nobody: there is nothing to train by gradients."""
        return {}

    def prepare(self, batches: Iterable[Batch], epoch: int) -> bool:
        """Fit from every start and keep the best; finished at once.

        Raises InputError where all features vary by less than the regularization, which would be all that is seen.
        """
        options = self.options
        x, weight = sample(rows(batches, self.input), options.events)
        x, weight = x[weight > 0].double(), weight[weight > 0].double()
        largest = float(x.var(0, correction=0).amax())
        if 0 < largest < options.regularization:
            raise InputError(
                f"gmm: the largest variance of a feature is {largest:.3g}, less than the regularization "
                f"{options.regularization:g} that is added to it; the transform standardize, or a smaller "
                "regularization, would do"
            )
        best = -math.inf
        for _ in range(options.starts):
            centres = plus_plus(x, weight, options.components)
            found, likelihood = fit(x, weight, centres, options)
            if likelihood > best:
                best = likelihood
                self.log_share, self.mean, self.whitening = found.log_share, found.mean, found.whitening
        return True

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return the log density of each event, and minus it."""
        mixture = Mixture(self.log_share, self.mean, self.whitening)
        found = mixture.log_density(batch.inputs[self.input].flatten(1).double())
        return {"log_density": found, "outlyingness": -found}

    def generate(self, draws: int, given: Batch | None = None) -> Float[Tensor, "draw ..."]:
        """Return draws of p(x): m_k + A_k^-T e with e ~ N(0, 1) and k drawn by the shares."""
        device = self.mean.device
        k = torch.multinomial(self.log_share.exp(), draws, replacement=True)
        noise = torch.randn(draws, self.mean.shape[1], 1, dtype=self.mean.dtype, device=device)
        apart: Tensor = torch.linalg.solve_triangular(self.whitening[k].mT, noise, upper=False)
        return (self.mean[k] + apart.squeeze(2)).float().view(-1, *self.shape)

    def validate(self, batch: Batch) -> Float[Tensor, " event"]:
        """Return the negative log density of each event."""
        return self.forward(batch)["outlyingness"].float()


def plus_plus(
    x: Float64[Tensor, "event feature"], weight: Float64[Tensor, " event"], number: int
) -> Float64[Tensor, "component feature"]:
    """Return events as centres, each drawn in proportion to weight times squared distance to the nearest before it."""
    chance, centres = weight, []
    nearest = torch.full_like(weight, torch.inf)
    for _ in range(number):
        below = chance.cumsum(0)
        place = torch.searchsorted(below, torch.rand(1, dtype=torch.float64).to(x.device) * below[-1], right=True)
        centres.append(x[place.clamp(max=len(x) - 1)][0])
        nearest = torch.minimum(nearest, (x - centres[-1]).square().sum(1))
        chance = weight * nearest
    return torch.stack(centres)


def fit(
    x: Float64[Tensor, "event feature"],
    weight: Float64[Tensor, " event"],
    centres: Float64[Tensor, "component feature"],
    options: GMM,
) -> tuple[Mixture, float]:
    """Return the mixture that expectation maximization reaches from these centres, and its mean log likelihood."""
    share, number = weight / weight.sum(), len(centres)
    squares = torch.stack([(x - centre).square().sum(1) for centre in centres]).amin(0)
    deviation = (share @ squares / x.shape[1] + options.regularization).sqrt()
    eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    mixture = Mixture(
        torch.full_like(centres[:, 0], -math.log(number)), centres, (eye / deviation).repeat(number, 1, 1)
    )
    before = -math.inf
    for _ in range(options.iterations):
        better, likelihood = step(mixture, x, share, options.regularization)
        if likelihood - before < options.tolerance:
            break
        mixture, before = better, likelihood
    return mixture, likelihood


def step(
    mixture: Mixture, x: Float64[Tensor, "event feature"], share: Float64[Tensor, " event"], regularization: float
) -> tuple[Mixture, float]:
    """Return the mixture after one step of expectation maximization, and the mean log likelihood before it.

    With d = x - m_k from the mean so far, the new one is m_k + <d> and the new covariance <d d^T> - <d><d>^T.
    Raises InputError for a covariance that is singular to the last digit.
    """
    total = torch.zeros_like(mixture.log_share)
    first, second, likelihood = torch.zeros_like(mixture.mean), torch.zeros_like(mixture.whitening), total.sum()
    for piece in mixture.pieces(x):
        apart = x[piece] - mixture.mean[:, None]
        terms = mixture.log_terms(apart)
        counts = terms.softmax(0) * share[piece]
        counted = apart * counts[:, :, None]
        total, first, second = total + counts.sum(1), first + counted.sum(1), second.baddbmm_(counted.mT, apart)
        likelihood = likelihood + share[piece] @ terms.logsumexp(0)
    total = total.clamp(min=torch.finfo(torch.float64).tiny)  # nobody may be near a centre
    moved = first / total[:, None]
    covariance = second / total[:, None, None] - moved[:, :, None] * moved[:, None, :]
    variances = covariance.diagonal(dim1=1, dim2=2).add_(regularization)
    factor, failed = torch.linalg.cholesky_ex(covariance)
    rounding = x.shape[1] * torch.finfo(x.dtype).eps * variances
    if failed.any() or (factor.diagonal(dim1=1, dim2=2).square() <= rounding).any():
        raise InputError(
            f"gmm: a covariance is singular to the last digit, with regularization {regularization:g} added to "
            f"variances up to {float(variances.max()):.3g}; the transform standardize, or a larger regularization, "
            "may do"
        )
    eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device).expand_as(factor)
    inverse = torch.linalg.solve_triangular(factor, eye, upper=False)
    return Mixture((total / total.sum()).log(), mixture.mean + moved, inverse.mT.contiguous()), float(likelihood)
