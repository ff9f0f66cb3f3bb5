"""How well a hadronic recoil is measured: response and resolutions against the boson's transverse momentum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy as np
from jaxtyping import Float

# The half width of the central 68.27 % of n normal numbers has the standard error sigma sqrt(p (1 - 2p) / 2 / n) / f,
# with p the share in one tail and f the density there.
TAIL = NormalDist().cdf(-1)
WIDTH_ERROR = float(np.sqrt(TAIL * (1 - 2 * TAIL) / 2)) / NormalDist().pdf(1)


@dataclass(frozen=True)
class RecoilPerformance:
    """Response and resolutions in bins of the boson's transverse momentum, in its unit, with standard errors.

    ``events`` is the effective number in each bin; what a bin with fewer than two cannot say is NaN. ``corrected``
    divides the resolutions by the response: a recoil that is only scaled down gains nothing.
    """

    edges: Float[np.ndarray, " edge"]
    events: Float[np.ndarray, " bin"]
    boson_pt: Float[np.ndarray, " bin"]
    response: Float[np.ndarray, " bin"]
    response_error: Float[np.ndarray, " bin"]
    parallel: Float[np.ndarray, " bin"]
    parallel_error: Float[np.ndarray, " bin"]
    perpendicular: Float[np.ndarray, " bin"]
    perpendicular_error: Float[np.ndarray, " bin"]

    @property
    def corrected(self) -> tuple[Float[np.ndarray, " bin"], Float[np.ndarray, " bin"]]:
        """Return the resolutions of u_par + q_T and of u_perp over the response."""
        return self.parallel / self.response, self.perpendicular / self.response


def recoil(missing: Float[np.ndarray, "event 2"], boson: Float[np.ndarray, "event 2"]) -> Float[np.ndarray, "event 2"]:
    """Return u = -(pT_miss + q_T): what is neither the boson nor missing."""
    return np.asarray(-(missing + boson))


def components(
    u: Float[np.ndarray, "event 2"], boson: Float[np.ndarray, "event 2"]
) -> tuple[Float[np.ndarray, " event"], Float[np.ndarray, " event"]]:
    """Return the recoil's components along the boson, -q_T where it is perfect, and a quarter turn left of it."""
    x, y = (boson / np.linalg.norm(boson, axis=1, keepdims=True)).T
    return u[:, 0] * x + u[:, 1] * y, u[:, 1] * x - u[:, 0] * y


def performance(
    u: Float[np.ndarray, "event 2"],
    boson: Float[np.ndarray, "event 2"],
    edges: Sequence[float],
    weight: Float[np.ndarray, " event"] | None = None,
) -> RecoilPerformance:
    """Return how well u measures the recoil of a boson with transverse momentum q_T, in bins of q_T.

        response       -<u_par> / <q_T>
        parallel       resolution of u_par + q_T: half the width of its central 68.27 %
        perpendicular  the same of u_perp

    Means and quantiles are weighted. The errors are those of normal distributions with the effective number of events
    (sum w)^2 / sum w^2 in the bin.

    References:
        CMS Collaboration, Performance of the CMS missing transverse momentum reconstruction in pp data at 8 TeV, JINST
        10 (2015) P02006, arXiv:1411.0511, section 5.
    """
    weight = np.ones(len(u)) if weight is None else weight
    q_t = np.linalg.norm(boson, axis=1)
    par, perp = components(u, boson)
    columns = [
        _bin(*(values[(q_t >= low) & (q_t < high)] for values in (par, perp, q_t, weight)))
        for low, high in pairwise(edges)
    ]
    return RecoilPerformance(np.asarray(edges, np.float64), *np.array(columns).T)


def _bin(
    par: Float[np.ndarray, " event"],
    perp: Float[np.ndarray, " event"],
    q_t: Float[np.ndarray, " event"],
    weight: Float[np.ndarray, " event"],
) -> tuple[float, ...]:
    """Return one bin's fields of RecoilPerformance after the edges."""
    events = float(weight.sum() ** 2 / np.square(weight).sum()) if len(weight) else 0.0
    if events < 2:
        return (events, *[np.nan] * 7)
    mean, boson_pt = np.average(par, weights=weight), np.average(q_t, weights=weight)
    scatter = np.average((par - mean * q_t / boson_pt) ** 2, weights=weight) ** 0.5
    parallel, perpendicular = width(par + q_t, weight), width(perp, weight)
    error = WIDTH_ERROR / events**0.5
    return (
        events,
        boson_pt,
        -mean / boson_pt,
        scatter / boson_pt / events**0.5,
        parallel,
        parallel * error,
        perpendicular,
        perpendicular * error,
    )


def width(values: Float[np.ndarray, " event"], weight: Float[np.ndarray, " event"]) -> float:
    """Return half the width of the central 68.27 % of the weight, the standard deviation of a normal distribution."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weight[order])
    low, high = values[order][np.searchsorted(below, np.array([TAIL, 1 - TAIL]) * below[-1])]
    return float(high - low) / 2
