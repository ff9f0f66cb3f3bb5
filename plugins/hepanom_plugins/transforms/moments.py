"""Weighted mean, variance and range of columns, measured chunk by chunk."""

from __future__ import annotations

from functools import reduce

import numpy as np
from jaxtyping import Float, Shaped

from hepanom.contracts import Sketch
from hepanom.errors import InputError
from hepanom.events import Events, Schema

TILE = 2**15  # values that stay in a core's cache while they are gone through several times


def counted(
    events: Events, schema: Schema
) -> tuple[Float[np.ndarray, "row feature"], Float[np.ndarray, " row"], Shaped[np.ndarray, " row"]]:
    """Return features, float64 weights and ids of the events that have weight; one of weight zero counts for nothing.

    Raises InputError for a weight that is negative or not finite.
    """
    name, _ = schema.table()
    features, weight, ids = np.asarray(events.inputs[name]), weights(events), events.event_id
    some = weight > 0
    return (features, weight, ids) if some.all() else (features[some], weight[some], ids[some])


def weights(events: Events) -> Float[np.ndarray, " row"]:
    """Return the float64 weights. Raises InputError for one that is negative or not finite: then there is no mean."""
    weight = events.weight.astype(np.float64)
    bad = ~((weight >= 0) & np.isfinite(weight))
    if bad.any():
        raise InputError(
            f"{bad.sum()} of {len(events)} training events have a weight that is negative or not a number, the first "
            f"{weight[bad][0]:g}; no mean can be measured with it: set train.weighted to absolute or false"
        )
    return weight


def measure(features: Float[np.ndarray, "row feature"], weight: Float[np.ndarray, " row"]) -> Sketch:
    """Return, per column, over its finite values: sum of weights, mean, M2 = sum w (x - mean)^2, lowest and highest."""
    rows = tile_rows(features)
    return reduce(
        merge,
        (
            _measure_tile(features[start : start + rows], weight[start : start + rows])
            for start in range(0, max(1, len(features)), rows)
        ),
    )


def tile_rows(features: Float[np.ndarray, "row feature"]) -> int:
    """Return how many rows make a tile."""
    return max(1, TILE // max(1, int(features.shape[1])))


def _measure_tile(features: Float[np.ndarray, "row feature"], weight: Float[np.ndarray, " row"]) -> Sketch:
    finite = np.isfinite(features)
    if whole := bool(finite.all()):
        values, total = features.astype(np.float64), np.full(features.shape[1], weight.sum())
    else:
        values, total = np.where(finite, features, 0).astype(np.float64), weight @ finite
    mean = ratio(weight @ values, total)
    deviation = values - mean if whole else np.where(finite, values - mean, 0)
    low, high = (features, features) if whole else (np.where(finite, features, end) for end in (np.inf, -np.inf))
    return {
        "total": total,
        "mean": mean,
        "m2": weight @ (deviation * deviation),
        "low": low.min(0, initial=np.inf).astype(np.float64),
        "high": high.max(0, initial=-np.inf).astype(np.float64),
    }


def merge(a: Sketch, b: Sketch) -> Sketch:
    """Return the moments of both chunks together.

    With W = W_a + W_b and d = mean_b - mean_a: mean = mean_a + d W_b / W, M2 = M2_a + M2_b + d^2 W_a W_b / W.

    References:
        T. Chan, G. Golub, R. LeVeque, Updating formulae and a pairwise algorithm for computing sample variances,
        Stanford STAN-CS-79-773, 1979.
    """
    total = a["total"] + b["total"]
    share = ratio(b["total"], total)
    difference = b["mean"] - a["mean"]
    return {
        "total": total,
        "mean": a["mean"] + difference * share,
        "m2": a["m2"] + b["m2"] + difference * difference * a["total"] * share,
        "low": np.minimum(a["low"], b["low"]),
        "high": np.maximum(a["high"], b["high"]),
    }


def ratio(above: Float[np.ndarray, " feature"], below: Float[np.ndarray, " feature"]) -> Float[np.ndarray, " feature"]:
    """Divide, giving 0 where a column has no weight."""
    quotient = np.zeros_like(above)
    np.divide(above, below, out=quotient, where=below > 0)
    return quotient
