"""Whether latent codes have collapsed: how many of their dimensions tell events apart."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from hepanom.contracts import Guard

ACTIVE = 0.01  # of the prior's variance, above which a dimension is active
ROUNDING = 1e-10  # of a code's mean square: a smaller variance is that of float32
GUARDS = (Guard("active_units", "the latent code has collapsed, no dimension tells events apart", below=1.0),)


def activity(
    codes: Iterable[tuple[Float[Tensor, "_ latent"], Float[Tensor, " _"]]], *, prior: bool
) -> dict[str, float]:
    """Return ``active_units``, the number of latent dimensions whose mean varies from event to event, and its spread.

    With m_j(x) the mean of the code of event x, and weighted sums over the events, a dimension is active where

        Var_x[m_j(x)] > 0.01 s^2,

    with s^2 = 1 the variance of the prior; without one, that of the dimension that varies most, which is active unless
    it is constant. ``latent_spread`` is the median over the dimensions of the standard deviation of m_j(x). Both are
    NaN for a single event. ``codes`` are m and weight by batch.

    References:
        Y. Burda, R. Grosse, R. Salakhutdinov, Importance weighted autoencoders, 2015, arXiv:1509.00519, section 5.2.
    """
    mean, weight = (torch.cat(column).double() for column in zip(*codes, strict=True))
    if len(mean) == 1:
        return {"active_units": math.nan, "latent_spread": math.nan}
    share = weight / weight.sum()
    variance = share @ (mean - share @ mean).square()
    scale = 1.0 if prior else float(variance.max())
    floor = ROUNDING * float((share @ mean.square()).max())
    active = (scale * ACTIVE < variance) & (variance > floor)
    return {"active_units": float(active.sum()), "latent_spread": float(variance.median().sqrt())}
