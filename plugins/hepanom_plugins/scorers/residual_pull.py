"""How far an event's targets lie from what the rest of the event predicts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hepanom.contracts import Batch, Network, Outputs, Scorer, State
from hepanom.errors import InputError

CENTRAL = 0.682689492137  # of a normal distribution lies within one standard deviation


@dataclass(frozen=True)
class ResidualPull(Scorer):
    """Squared pull of the residuals of a regression, summed over the targets.

        score(x, y) = sum_t ((y_t - p_t(x)) / (c_t s_t(x)))^2

    with targets y, prediction p and the model's ``spread`` s, or s = 1 where it gives none. c_t is measured on the
    training events: 68.27 % of their weight has |y_t - p_t| / s_t below c_t. So c is 1 where the model's spread is
    true, and for a point regression c s is the width of its residuals, whatever their tails. Where residuals are normal
    and independent, scores follow a chi-squared distribution with as many degrees of freedom as there are targets.

    References:
        L. Demortier, L. Lyons, Everything you always wanted to know about pulls, CDF note 5776 (2002).
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prediction"})

    def fit(self, batches: Iterable[tuple[Batch, Outputs]]) -> State:
        """Measure c on the training events. Raises InputError for events without target."""
        found = [(_pulls(batch, outputs).abs(), batch.weight) for batch, outputs in batches]
        pulls, weight = (torch.cat(column).double().cpu().numpy() for column in zip(*found, strict=True))
        order = np.argsort(pulls, axis=0, kind="stable")
        below = np.cumsum(weight[order], axis=0)
        row = np.argmax(below >= CENTRAL * below[-1], axis=0)
        scale = np.take_along_axis(np.take_along_axis(pulls, order, 0), row[None], 0)[0]
        return {"scale": np.where(scale > 0, scale, 1.0)}

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Float[Tensor, " event"]:
        """Return the squared pull of each event. Raises InputError for events without target."""
        pulls = _pulls(batch, outputs)
        return (pulls / torch.as_tensor(state["scale"]).to(pulls)).square().sum(1)


def _pulls(batch: Batch, outputs: Outputs) -> Float[Tensor, "event target"]:
    if batch.target is None:
        raise InputError(
            "scores: residual_pull compares a prediction with the target, and these events have none; the reader's "
            "option targets names the columns"
        )
    residual = batch.target - outputs["prediction"]
    spread = outputs.get("spread")
    return residual if spread is None else residual / spread
