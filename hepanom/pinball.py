"""Weighted quantile regression by a curve that is linear between knots: exact, and the same on every run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import linprog  # type: ignore[import-untyped]

from hepanom.efficiency import quantile
from hepanom.errors import HepanomError

ENDS = 0.01  # share of the weight beyond the first and the last knot, where the curve is constant
WIDTH = 4.0  # standard deviations of the share above, within which events may lie on either side of the curve
FARTHEST = 1e6  # a residual in units of the spread of those; farther ones act alike


@dataclass(frozen=True)
class Curve:
    """A curve through ``heights`` at ``knots``, linear between them and constant beyond; ``on`` are events on it."""

    knots: Float[np.ndarray, " knot"]
    heights: Float[np.ndarray, " knot"]
    on: Bool[np.ndarray, " event"]


def curve(
    x: Float[np.ndarray, " event"],
    y: Float[np.ndarray, " event"],
    weight: Float[np.ndarray, " event"],
    share: float,
    knots: int,
) -> Curve:
    """Return the curve above which lies a share of the weight, at every x as nearly as so many knots allow.

    With hat functions b of the knots, which stand at equal distances in weight, it minimizes over the heights h

        sum_i w_i r_i [(1 - share) (r_i > 0) - share (r_i < 0)],    r_i = y_i - sum_j b_j(x_i) h_j.

    The linear program is solved in its dual form, a_i being how far event i is above: maximize sum_i w_i a_i y_i with
    sum_i w_i a_i b_j(x_i) = share sum_i w_i b_j(x_i) for every j, and 0 <= a_i <= 1. As the hats sum to one, at most
    the share of the weight is above. Only events near the curve are unknowns; where one of the others turns out to be
    on the wrong side, it becomes one. Raises HepanomError where numbers fail.

    References:
        R. Koenker, G. Bassett, Regression quantiles, 1978, doi:10.2307/1913643.
        S. Portnoy, R. Koenker, The Gaussian hare and the Laplacian tortoise, 1997, doi:10.1214/ss/1030037960.
    """
    there = weight > 0
    places = np.unique(
        [quantile(x, weight, ENDS + (1 - 2 * ENDS) * step / (knots - 1)) for step in range(knots)]
    ).astype(np.float64)
    hats = _hats(x[there], places)
    values, mass = y[there].astype(np.float64), weight[there] / weight[there].mean()
    heights = np.array([quantile(values, mass * hat, 1 - share) for hat in hats.T])
    width = WIDTH * np.sqrt(len(places) * share * (1 - share) / len(values)) + share / 4
    wrong = np.zeros(len(values), np.bool_)
    while True:
        residual = values - hats @ heights
        near = wrong | _near(residual, mass, share, width)
        found = _solved(hats, residual, mass, share, near)
        if found is None and near.all():
            raise HepanomError("quantile regression: no curve was found through these scores; choose method: bins")
        if found is not None:
            change, raised = found
            residual = residual - hats @ change
            heights = heights + change
            wrong = ~near & (raised != (residual > 0)) & (np.abs(residual) > 0)
        if found is not None and not wrong.any():
            break
        width *= 2
    on = np.zeros(len(x), np.bool_)
    on[np.flatnonzero(there)[(raised > 1e-7) & (raised < 1 - 1e-7)]] = True
    lift = float(np.finfo(np.float64).eps * np.abs(heights).max())
    while (y[on] > np.interp(x[on], places, heights)).any():  # rounding leaves events beside the curve that are on it
        heights, lift = heights + lift, 2 * lift
    return Curve(places, heights, on)


def _hats(x: Float[np.ndarray, " event"], knots: Float[np.ndarray, " knot"]) -> Float[np.ndarray, "event knot"]:
    """Return what each knot counts at x: one at its own place, zero at the others, linear between."""
    found = np.zeros((len(x), len(knots)))
    for index in range(len(knots)):
        found[:, index] = np.interp(x, knots, np.arange(len(knots)) == index)
    return found


def _near(
    residual: Float[np.ndarray, " event"], mass: Float[np.ndarray, " event"], share: float, width: float
) -> Bool[np.ndarray, " event"]:
    """Return the events between the residuals' quantiles on either side of the wanted one."""
    low = quantile(residual, mass, max(1 - share - width, 0.0))
    high = quantile(residual, mass, min(1 - share + width, 1.0))
    return (residual >= low) & (residual <= high)


def _solved(
    hats: Float[np.ndarray, "event knot"],
    residual: Float[np.ndarray, " event"],
    mass: Float[np.ndarray, " event"],
    share: float,
    near: Bool[np.ndarray, " event"],
) -> tuple[Float[np.ndarray, " knot"], Float[np.ndarray, " event"]] | None:
    """Return the change of the heights and how far each event is above, None where the others leave no solution."""
    raised = (residual > 0).astype(np.float64)
    above = ~near & (raised == 1)
    wanted = share * (mass @ hats) - mass[above] @ hats[above]
    unit = float(np.median(np.abs(residual[near]))) or 1.0
    scaled = np.clip(residual[near] / unit, -FARTHEST, FARTHEST)
    done = linprog(
        -mass[near] * scaled, A_eq=(hats[near] * mass[near, None]).T, b_eq=wanted, bounds=(0, 1), method="highs-ds"
    )
    if done.status != 0:
        return None
    raised[near] = done.x
    return -np.asarray(done.eqlin.marginals) * unit, raised
