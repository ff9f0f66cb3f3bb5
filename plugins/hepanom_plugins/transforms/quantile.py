"""Quantile: every column with a normal or uniform distribution on the training events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float, Float64, Int64
from pydantic import Field
from scipy.special import ndtri  # type: ignore[import-untyped]

from hepanom.contracts import Sketch, State, Transform
from hepanom.events import Events, Schema
from hepanom_plugins.transforms import moments, quantiles
from hepanom_plugins.transforms.columns import Patterns, matched
from hepanom_plugins.transforms.table import (
    features_of,
    undone,
    width_of_constant,
    with_features,
    with_log_jacobian,
    with_pure_numbers,
)

_SMALLEST = 1e-12  # of a share of the weight: seven standard deviations


@dataclass(frozen=True)
class Quantile(Transform):
    """Map every column by its weighted distribution on the training events to a normal or uniform one.

    With F the mid-distribution function of the background (the share of the weight below x, and half of that at x), the
    map is continuous, rises, and is linear between ``knots``,

        y_k = Phi^-1(u_k) or u_k,   F(x_k) = u_k,   u_k equally spaced from F(lowest) to F(highest value),

    with the distribution function Phi of the standard normal. As many knots as there are events follow the sample
    itself: likelihood scores want fewer. Below the first and above the last knot it goes on with the mean slope between
    that knot and the middle one, so that what lies far outside stays far outside; the uniform one leaves [0, 1] there.

    The distribution is that of a sample where the background has more than 524,288 events. Equal values share the
    middle of their ranks. A discrete column stays discrete: it has no density, and its part of ``log_jacobian`` means
    nothing, leave it out or use one_hot. A column that is constant is shifted to the middle, 0 or 1/2. Missing and
    infinite values stay: the core reports them. The units become those of pure numbers. ``log_jacobian`` grows by the
    logarithm of the slope, where the value is there, so that log p(x) = log p(y) + sum log_jacobian. Undone by the
    inverse map.
    """

    columns: Patterns = ("*",)
    to: Annotated[Literal["normal", "uniform"], Field(description="distribution of the training events after")] = (
        "normal"
    )
    knots: Annotated[int, Field(ge=3, le=100_000, description="points between which the map is linear")] = 1000

    def measure(self, events: Events, schema: Schema) -> Sketch:
        """Return a sample of one chunk. Raises InputError for negative weights."""
        features, weight, ids = moments.counted(events, schema)
        with np.errstate(over="ignore"):  # too large for the network: infinite, as the core reports it
            chosen = features[:, matched(self.columns, schema)].astype(np.float32)
        return quantiles.measure(chosen, weight, ids)

    def merge(self, a: Sketch, b: Sketch) -> Sketch:
        """Return the sample of two chunks together."""
        return quantiles.merge(a, b)

    def finish(self, sketch: Sketch) -> State:
        """Return the knots ``x`` and ``y``, float64 (chosen column, knot), both rising."""
        knots = [self._knots(*distribution) for distribution in quantiles.distributions(sketch)]
        return {"x": np.stack([x for x, _ in knots]), "y": np.stack([y for _, y in knots])}

    def _knots(
        self, values: Float64[np.ndarray, " value"], below: Float64[np.ndarray, " value"]
    ) -> tuple[Float64[np.ndarray, " knot"], Float64[np.ndarray, " knot"]]:
        if len(values) < 2:
            shares = (np.arange(self.knots) + 0.5) / self.knots
            constant, y = values.sum(keepdims=True), self._quantile(shares)  # 0 where there is no value
            return constant + width_of_constant(constant) * (y - self._quantile(np.array([0.5]))), y
        shares = np.linspace(max(below[0], _SMALLEST), min(below[-1], 1 - _SMALLEST), self.knots)
        return np.interp(shares, below, values), self._quantile(shares)

    def _quantile(self, shares: Float64[np.ndarray, " knot"]) -> Float64[np.ndarray, " knot"]:
        return np.asarray(ndtri(shares)) if self.to == "normal" else shares

    def schema(self, before: Schema, state: State) -> Schema:
        """Return the schema with pure numbers in place of units. Raises InputError for a pattern without a column."""
        return with_pure_numbers(before, matched(self.columns, before))

    def apply(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with mapped columns, in the precision that they have."""
        features, names, grown = features_of(events, schema).copy(), schema.table()[1].columns, {}
        for index, x, y in zip(matched(self.columns, schema), state["x"], state["y"], strict=True):
            values, slopes = _interpolated(features[:, index], x, y)
            grown[names[index]] = np.where(np.isfinite(features[:, index]), np.log(slopes), 0.0)
            with np.errstate(over="ignore"):  # infinite is what the core reports with its column
                features[:, index] = values
        return with_log_jacobian(with_features(events, schema, features), grown)

    def undo(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with the inverse map in the chosen columns."""
        features = features_of(events, schema).copy()
        for index, x, y in zip(matched(self.columns, schema), state["x"], state["y"], strict=True):
            features[:, index] = _interpolated(features[:, index], y, x)[0]
        return undone(events, schema, features)


def _interpolated(
    values: Float[np.ndarray, " event"], x: Float64[np.ndarray, " knot"], y: Float64[np.ndarray, " knot"]
) -> tuple[Float64[np.ndarray, " event"], Float64[np.ndarray, " event"]]:
    """Return y and dy/dx at the values; the inverse map is the same with x and y exchanged."""
    middle, pieces = len(x) // 2, np.diff(y) / np.diff(x)
    tails = (y[middle] - y[[0, -1]]) / (x[middle] - x[[0, -1]])
    slopes = np.concatenate([tails[:1], pieces, tails[1:]])
    piece: Int64[np.ndarray, " event"] = np.searchsorted(x, values, side="right")
    start = np.maximum(piece - 1, 0)
    return y[start] + slopes[piece] * (values.astype(np.float64) - x[start]), slopes[piece]
