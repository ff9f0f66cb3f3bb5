"""Rotate phi: every event turned so that its leading object lies at phi = 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Bool, Float, Int64
from pydantic import Field

from hepanom.contracts import State, Transform
from hepanom.errors import InputError, did_you_mean
from hepanom.events import Events, Input, Jagged, Schema, match_columns
from hepanom_plugins.transforms.columns import Patterns
from hepanom_plugins.transforms.points import clouds_of, exchanged, rows_of
from hepanom_plugins.transforms.table import features_of, with_features

RADIANS = {"", "rad", "radian", "radians"}


@dataclass(frozen=True)
class RotatePhi(Transform):
    """Turn every event about the beam so that its leading object lies at phi = 0; on demand mirror eta, too.

        phi -> phi - phi_leading, brought into (-pi, pi];   eta -> -eta for all objects where eta_leading < 0

    A detector that is symmetric about the beam, and whose two ends are alike, gives an event and its image the same
    probability: what is left is what physics depends on.

    In a table, ``phi`` and ``eta`` choose the columns of all objects, ``leading`` and ``positive`` the column that
    becomes 0 and the one that becomes positive: the leading object's, or the second's. With ``points`` (a column of the
    points, such as pt) the points of an event are turned instead: its leading point is that with the highest value
    there, the first of equals, and ``phi`` and ``eta`` are one column each.

    Events whose leading angle is missing or infinite, among them those without points, are not turned, and counted;
    eta is not mirrored where the leading one's is missing. Missing and infinite values stay: the core reports them.
    Columns and units stay. The leading object's column is 0 then: the transform missing lets it go. ``log_jacobian``
    does not change: the other angles are moved by a constant, the mirror keeps lengths, and the angle that is gone is
    uniform in such a detector, a factor 1 / (2 pi) in the density of every event (and 1 / 2 for the mirror). It cannot
    be undone: the angle is gone.

    Raises InputError for a pattern that matches no column, angles that are not in radians, a leading or positive column
    that is not among those chosen, and a column that is both phi and eta.
    """

    phi: Patterns
    eta: Annotated[tuple[str, ...], Field(description="columns or patterns of eta to mirror")] = ()
    leading: Annotated[str, Field(description="column of phi that becomes 0; the first of phi if empty")] = ""
    positive: Annotated[str, Field(description="column of eta that becomes positive; the first of eta if empty")] = ""
    points: Annotated[str, Field(description="column of points whose highest value leads, such as pt")] = ""

    def schema(self, before: Schema, state: State) -> Schema:
        """Return the schema as it is."""
        _, entry = before.only("points") if self.points else before.table()
        phi, eta = match_columns(self.phi, entry.columns), match_columns(self.eta, entry.columns)
        for column in phi:
            if (unit := entry.units[entry.columns.index(column)]).lower() not in RADIANS:
                raise InputError(
                    f"rotate_phi: column {column!r} is in {unit!r}, and can be turned in radians only (rad, or no unit)"
                )
        if both := sorted({*phi} & {*eta}):
            raise InputError(f"rotate_phi: column {both[0]!r} cannot be both phi and eta")
        for option, column, group in (("leading", self.leading, phi), ("positive", self.positive, eta)):
            if column and column not in group:
                whose = "phi" if option == "leading" else "eta"
                raise InputError(f"rotate_phi: {option} is {column!r}, which `{whose}` does not choose")
        if self.points:
            if self.points not in entry.columns:
                raise InputError(
                    f"rotate_phi: the points have no column {self.points!r}; {did_you_mean(self.points, entry.columns)}"
                )
            for option, group in (("phi", phi), ("eta", eta)):
                if len(group) > 1:
                    raise InputError(f"rotate_phi: points have one {option}, and {', '.join(group)} are chosen")
        return before

    def apply(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the turned events, and how many could not be turned, in the precision that they have."""
        return self._points(events, schema) if self.points else self._table(events, schema)

    def _table(self, events: Events, schema: Schema) -> Events:
        entry, features = schema.table()[1], features_of(events, schema).copy()
        phi, eta = _positions(self.phi, entry), _positions(self.eta, entry)
        first = entry.columns.index(self.leading) if self.leading else phi[0]
        angle = features[:, first].copy()
        features[:, phi] = _turned(features[:, phi], angle[:, None])
        if len(eta):
            positive = entry.columns.index(self.positive) if self.positive else eta[0]
            features[:, eta] *= _sign(features[:, positive])[:, None]
        told = {f"events without {entry.columns[first]}, not rotated": int((~np.isfinite(angle)).sum())}
        return with_features(events, schema, features, told)

    def _points(self, events: Events, schema: Schema) -> Events:
        name, entry = schema.only("points")
        clouds, eta = clouds_of(events, name), _positions(self.eta, entry)
        (phi,), event = _positions(self.phi, entry), rows_of(clouds)
        some, leading = _leading(clouds, entry.columns.index(self.points))
        angle = np.full(len(events), np.nan, clouds.values.dtype)
        angle[some] = clouds.values[leading, phi]
        values = clouds.values.copy()
        values[:, phi] = _turned(values[:, phi], angle[event])
        for column in eta:
            sign = np.ones(len(events), values.dtype)
            sign[some] = _sign(clouds.values[leading, column])
            values[:, column] *= sign[event]
        told = {"events without a leading phi, not rotated": int((~np.isfinite(angle)).sum())}
        return exchanged(events, name, name, Jagged(values, clouds.offsets), told)


def _positions(patterns: tuple[str, ...], entry: Input) -> Int64[np.ndarray, " column"]:
    return np.flatnonzero(np.isin(entry.columns, match_columns(patterns, entry.columns)))


def _turned(phi: Float[np.ndarray, "*shape"], angle: Float[np.ndarray, "*#shape"]) -> Float[np.ndarray, "*shape"]:
    """Return phi - angle within (-pi, pi]; phi where either of them is not finite."""
    there = np.isfinite(phi) & np.isfinite(angle)
    turned = np.where(there, phi, 0.0).astype(np.float64) - np.where(there, angle, 0.0)
    turned -= 2 * np.pi * np.ceil((turned - np.pi) / (2 * np.pi))
    turned = turned.astype(phi.dtype)
    half = phi.dtype.type(np.pi)
    turned = np.where(turned <= -half, half, np.minimum(turned, half))  # rounding may have left the interval
    return np.where(there, turned, phi)


def _sign(eta: Float[np.ndarray, " event"]) -> Float[np.ndarray, " event"]:
    return np.where(eta < 0, -1, 1).astype(eta.dtype)


def _leading(clouds: Jagged, column: int) -> tuple[Bool[np.ndarray, " event"], Int64[np.ndarray, " leading"]]:
    """Return which events have points, and for these the position of the point with the highest value."""
    counts = np.diff(clouds.offsets)
    some, values = counts > 0, clouds.values[:, column]
    values = np.where(np.isnan(values), -np.inf, values)
    starts = clouds.offsets[:-1][some]
    equal = np.flatnonzero(values == np.repeat(np.maximum.reduceat(values, starts), counts[some]))
    return some, equal[np.searchsorted(equal, starts)]
