"""Normalize points: shift and scale the columns of points."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
from jaxtyping import Bool, Float, Float64
from pydantic import Field

from hepanom.contracts import Sketch, State, Transform
from hepanom.errors import InputError
from hepanom.events import Events, Input, Schema, match_columns
from hepanom_plugins.transforms import moments
from hepanom_plugins.transforms.points import clouds_of, described, exchanged, rows_of
from hepanom_plugins.transforms.standardize import Standardize
from hepanom_plugins.transforms.table import with_log_jacobian

Interval = Annotated[tuple[float, float], Field(description="lowest and highest value")]


@dataclass(frozen=True)
class NormalizePoints(Transform):
    """Shift and scale every column of the points: by a fixed range, or by mean and standard deviation.

    A column of ``log`` is replaced first by sgn(x) ln(1 + |x|), which is defined for the negative charges that a
    baseline leaves, too. Then

        y = (x - low) / (high - low)   for a column with a ``range``, whose ends are given in the unit of the points and
                                       go through the logarithm where there is one,
        y = (x - mean) / std           for every other, with the mean and standard deviation over all points of the
                                       training events, each with the weight of its event,
        y = x                          for a column of ``keep``, such as the number of a pad.

    A column that is constant in the training events gets std 1. Missing and infinite values are left out of the
    sums and stay what they are. The units become those of pure numbers. ``log_jacobian`` grows, for every point of an
    event, by sum log |dy/dx| over the columns that are there, so that the density of the points as they were read is
    log p(x) = log p(y) + sum log_jacobian.
    """

    log: Annotated[tuple[str, ...], Field(description="columns or patterns to take the logarithm of")] = ()
    range: Annotated[
        dict[str, Interval], Field(description="column or pattern -> [low, high], which become 0 and 1")
    ] = field(default_factory=dict)
    keep: Annotated[tuple[str, ...], Field(description="columns or patterns that stay as they are")] = ()

    def measure(self, events: Events, schema: Schema) -> Sketch:
        """Return the moments of one chunk's points. Raises InputError for negative weights."""
        name, cloud = schema.only("points")
        clouds, weight = clouds_of(events, name), moments.weights(events)
        return moments.measure(_logarithms(clouds.values, _which(self.log, cloud)), weight[rows_of(clouds)])

    def merge(self, a: Sketch, b: Sketch) -> Sketch:
        """Return the moments of two chunks together."""
        return moments.merge(a, b)

    def finish(self, sketch: Sketch) -> State:
        """Return ``mean`` and ``std``, float64 (column,)."""
        return Standardize().finish(sketch)

    def schema(self, before: Schema, state: State) -> Schema:
        """Return the schema with pure numbers in place of units.

        Raises InputError for a pattern that matches no column, a range that is upside down, and a column of ``keep``
        that has a range or a logarithm.
        """
        name, cloud = before.only("points")
        kept = _which(self.keep, cloud)
        for option, patterns in (("log", self.log), ("range", tuple(self.range))):
            for column in np.array(cloud.columns)[kept & _which(patterns, cloud)]:
                raise InputError(f"normalize_points: column {str(column)!r} cannot be both in `keep` and in `{option}`")
        for pattern, (low, high) in self.range.items():
            if not low < high:
                raise InputError(
                    f"normalize_points: the range of {pattern} is [{low:g}, {high:g}]; give the lower first"
                )
        units = tuple(unit if kept[index] else "" for index, unit in enumerate(cloud.units))
        return described(before, name, replace(cloud, units=units))

    def apply(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with normalized points, in the precision that they have."""
        name, cloud = schema.only("points")
        clouds, log = clouds_of(events, name), _which(self.log, cloud)
        shift, width = self._shift_and_width(cloud, state)
        with np.errstate(over="ignore"):  # what is too far out becomes infinite, which the core reports with its column
            values = ((_logarithms(clouds.values, log) - shift) / width).astype(clouds.values.dtype)
        slopes = -np.log(width) - np.where(log, np.log1p(np.abs(clouds.values)), 0.0)
        of_point = np.where(np.isfinite(clouds.values), slopes, 0.0).sum(1)
        grown = {name: np.bincount(rows_of(clouds), of_point, len(events))}
        return with_log_jacobian(exchanged(events, name, name, replace(clouds, values=values), {}), grown)

    def undo(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with x = shift + width y, and sgn(y) (exp(|y|) - 1) in the columns of ``log``."""
        name, cloud = schema.only("points")
        clouds, (shift, width) = clouds_of(events, name), self._shift_and_width(cloud, state)
        values = shift + width * clouds.values
        with np.errstate(over="ignore"):
            plain = np.where(_which(self.log, cloud), np.copysign(np.expm1(np.abs(values)), values), values)
        points = replace(clouds, values=plain.astype(clouds.values.dtype))
        return replace(exchanged(events, name, name, points, {}), log_jacobian={})

    def _shift_and_width(
        self, cloud: Input, state: State
    ) -> tuple[Float64[np.ndarray, " column"], Float64[np.ndarray, " column"]]:
        """Return what is taken from every column, and what it is divided by then."""
        shift, width, log = state["mean"].copy(), state["std"].copy(), _which(self.log, cloud)
        for pattern, ends in self.range.items():
            these = _which((pattern,), cloud)
            low, high = _logarithms(np.repeat(np.array(ends, np.float64)[:, None], len(log), axis=1), log)
            shift[these], width[these] = low[these], (high - low)[these]
        kept = _which(self.keep, cloud)
        shift[kept], width[kept] = 0, 1
        return shift, width


def _which(patterns: Iterable[str], cloud: Input) -> Bool[np.ndarray, " column"]:
    """Return which columns any of the patterns matches. Raises InputError for one that matches none."""
    return np.isin(cloud.columns, match_columns(tuple(patterns), cloud.columns))


def _logarithms(
    values: Float[np.ndarray, "point column"], log: Bool[np.ndarray, " column"]
) -> Float[np.ndarray, "point column"]:
    """Return the values with sgn(x) ln(1 + |x|) in the columns where ``log`` is true."""
    return np.where(log, np.copysign(np.log1p(np.abs(values)), values), values) if log.any() else values
