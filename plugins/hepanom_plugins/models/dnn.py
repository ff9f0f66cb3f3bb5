"""The deep network that regresses targets, with or without an uncertainty of its own."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from hepanom.contracts import Batch, Model, Network, Outputs
from hepanom.errors import InputError
from hepanom.events import Schema
from hepanom_plugins.models.latent import LOG_VARIANCE
from hepanom_plugins.models.layers import Layers
from hepanom_plugins.models.vae import negative_log_likelihood


@dataclass(frozen=True)
class DNN(Layers, Model):
    """Deep network from a table of features to the target columns.

    Before the first epoch the weighted mean m_t and standard deviation d_t of each target y_t are measured; the last
    layer is linear and gives numbers of the standardized target y'_t = (y_t - m_t) / d_t, of which there are T. With
    r_t = y'_t - p'_t the loss of an event is one of

        mse         1/T sum_t r_t^2
        huber       1/T sum_t h(r_t),  h(r) = r^2 / 2 where |r| < delta, else delta (|r| - delta / 2)
        gaussian    sum_t [ln(2 pi s_t^2) / 2 + r_t^2 / (2 s_t^2)],  with ln s_t^2 from the network, within +-10
        quantiles   1/(T K) sum_tk max(q_k r_tk, (q_k - 1) r_tk),  with r_tk from one output for each of K levels q_k,
                    in ascending order (rearranged where they cross)

    ``prediction`` is m_t + d_t p'_t, for quantiles the median. ``spread`` is its standard deviation: d_t s_t for
    gaussian; for quantiles what a normal distribution with the outermost two would have, d_t times (p'_tK - p'_t1) /
    (z(q_K) - z(q_1)), at least exp(-5) d_t. A point regression, mse or huber, knows none: it gives d_t for every event,
    and the score ``residual_pull`` measures by how much the residuals are narrower.

    References:
        P. Huber, Robust estimation of a location parameter, Ann. Math. Statist. 35 (1964) 73,
        doi:10.1214/aoms/1177703732.
        D. Nix, A. Weigend, Estimating the mean and variance of the target probability distribution, ICNN 1994,
        doi:10.1109/ICNN.1994.374138.
        R. Koenker, G. Bassett, Regression quantiles, Econometrica 46 (1978) 33, doi:10.2307/1913643.
        V. Chernozhukov, I. Fernandez-Val, A. Galichon, Quantile and probability curves without crossing, Econometrica
        78 (2010) 1093, arXiv:0704.3649.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"prediction", "spread"})
    loss_options: ClassVar[frozenset[str]] = Model.loss_options | {"delta", "levels"}

    loss: Annotated[
        Literal["mse", "huber", "gaussian", "quantiles"],
        Field(description="a point (mse, huber), or one with an uncertainty (gaussian, quantiles)"),
    ] = "mse"
    delta: Annotated[float, Field(gt=0, description="huber: where it turns linear, in standard deviations")] = 1.0
    levels: Annotated[
        tuple[Annotated[float, Field(gt=0, lt=1)], ...],
        Field(min_length=2, description="quantiles: their levels, ascending, 0.5 among them"),
    ] = (0.16, 0.5, 0.84)

    def __post_init__(self) -> None:
        """Check that the levels ascend and hold the median."""
        if 0.5 not in self.levels or any(a >= b for a, b in zip(self.levels, self.levels[1:], strict=False)):
            raise ValueError(
                f"levels are {', '.join(f'{level:g}' for level in self.levels)}; they must ascend and hold 0.5, "
                "which is the prediction, such as [0.16, 0.5, 0.84]"
            )

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's table and targets. Raises InputError where there is no target."""
        if not schema.targets:
            raise InputError(
                "model: dnn learns target columns, and these events have none; the reader's option targets names them"
            )
        name, entry = schema.only("table")
        return DNNNetwork(self, name, entry.width, schema.targets)


class DNNNetwork(Network):
    """Hidden layers and a linear one with 1, 2 or K numbers for each target."""

    target_mean: Float[Tensor, " target"]
    target_spread: Float[Tensor, " target"]

    def __init__(self, options: DNN, name: str, features: int, targets: tuple[str, ...]) -> None:
        super().__init__()
        self.options, self.input, self.targets = options, name, targets
        self.heads = {"gaussian": 2, "quantiles": len(options.levels)}.get(options.loss, 1)
        widths = (features, *options.hidden)
        self.layers = options.stack(widths).append(options.linear(widths[-1], self.heads * len(targets)))
        self.register_buffer("target_mean", torch.zeros(len(targets)))
        self.register_buffer("target_spread", torch.ones(len(targets)))

    def prepare(self, batches: Iterable[Batch], epoch: int) -> bool:
        """Measure weighted mean and standard deviation of the targets before the first epoch."""
        if epoch == 0:
            self._measure(batches)
        return False

    def _measure(self, batches: Iterable[Batch]) -> None:
        """Sum about the first batch's mean, so that targets far from zero keep their digits."""
        sums, centre = torch.zeros(3, len(self.targets), dtype=torch.float64), None
        for batch in batches:
            target = truth(batch).double().cpu()
            weight = batch.weight.double().cpu()
            centre = target.mean(0) if centre is None else centre
            away = target - centre
            sums += torch.stack([weight.sum().expand(len(self.targets)), weight @ away, weight @ away.square()])
        if centre is None:
            return
        mean = sums[1] / sums[0]
        spread = (sums[2] / sums[0] - mean.square()).clamp(min=0).sqrt()
        self.target_mean.copy_(centre + mean)
        self.target_spread.copy_(torch.where(spread > 0, spread, 1.0))  # a target that is constant is its mean

    def _standardized(self, batch: Batch) -> Float[Tensor, "event target head"]:
        out: Tensor = self.layers(batch.inputs[self.input]).unflatten(1, (len(self.targets), self.heads))
        return out.sort(2).values if self.options.loss == "quantiles" else out

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return prediction and spread in the targets' units; there is no noise here."""
        out, levels = self._standardized(batch), self.options.levels
        if self.options.loss == "quantiles":
            point = out[:, :, levels.index(0.5)]
            distance = NormalDist().inv_cdf(levels[-1]) - NormalDist().inv_cdf(levels[0])
            spread = ((out[:, :, -1] - out[:, :, 0]) / distance).clamp(min=math.exp(-LOG_VARIANCE / 2))
        elif self.options.loss == "gaussian":
            point, spread = out[:, :, 0], (_held(out[:, :, 1]) / 2).exp()
        else:
            point, spread = out[:, :, 0], torch.ones_like(out[:, :, 0])
        return {
            "prediction": self.target_mean + self.target_spread * point,
            "spread": self.target_spread * spread,
        }

    def validate(self, batch: Batch) -> Float[Tensor, " event"]:
        """Return the loss of each event, without penalties."""
        target = (truth(batch) - self.target_mean) / self.target_spread
        out, options = self._standardized(batch), self.options
        if options.loss == "gaussian":
            return negative_log_likelihood(target, out[:, :, 0], _held(out[:, :, 1]))
        if options.loss == "quantiles":
            return pinball(target[:, :, None] - out, out.new_tensor(options.levels)).mean((1, 2))
        if options.loss == "huber":
            return functional.huber_loss(out[:, :, 0], target, reduction="none", delta=options.delta).mean(1)
        return functional.mse_loss(out[:, :, 0], target, reduction="none").mean(1)

    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Float[Tensor, " event"]]:
        """Return the loss of each event, and the penalties."""
        error = self.validate(batch)
        return {self.options.loss: error, **self.options.penalty(self, error)}


def truth(batch: Batch) -> Float[Tensor, "event target"]:
    """Return the targets of a batch. Raises InputError where the events have none."""
    if batch.target is None:
        raise InputError(
            "these events have no target to compare a prediction with; the reader's option targets names the columns"
        )
    return batch.target


def pinball(residual: Float[Tensor, "*event level"], levels: Float[Tensor, " level"]) -> Float[Tensor, "*event level"]:
    """Return max(q r, (q - 1) r) for residuals r = y - p of quantiles p with levels q: least at the true quantile."""
    return torch.maximum(levels * residual, (levels - 1) * residual)


def _held(log_variance: Float[Tensor, "event target"]) -> Float[Tensor, "event target"]:
    return log_variance.clamp(-LOG_VARIANCE, LOG_VARIANCE)
