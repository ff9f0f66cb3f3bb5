"""Logit: columns of a bounded range stretched to the whole axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy.special import expit  # type: ignore[import-untyped]

from hepanom.contracts import Sketch, State, Transform
from hepanom.events import Events, Schema
from hepanom_plugins.transforms.columns import Patterns, matched
from hepanom_plugins.transforms.table import (
    features_of,
    undone,
    width_of_constant,
    with_features,
    with_log_jacobian,
    with_pure_numbers,
)


@dataclass(frozen=True)
class Logit(Transform):
    """Stretch the range of the training events to the whole axis, as flows on bounded features need it.

        y = log((u + m) / (1 - u + m)),   u = (x - low) / (high - low)

    with the lowest and highest finite value of each column in the training events, whatever the weights, events of
    weight zero apart, and the ``margin`` m, which keeps y within -log((1 + m) / m) and log((1 + m) / m). This is the
    logit of alpha + (1 - 2 alpha) u with alpha = m / (1 + 2 m). A value outside of the range is cut to its end, and
    counted for its column. A column that is constant gets a range of 1 around it. Missing and infinite values stay: the
    core reports them.

    The units become those of pure numbers. ``log_jacobian`` grows, where the value is there, by

        log dy/dx = log(1 + 2 m) - log(u + m) - log(1 - u + m) - log(high - low)

    so that log p(x) = log p(y) + sum log_jacobian; for a value that was cut, it is that at the end. Undone, a value
    that was cut comes back as the end.

    References:
        L. Dinh, J. Sohl-Dickstein, S. Bengio, Density estimation using Real NVP, ICLR 2017, arXiv:1605.08803.
        B. Nachman, D. Shih, Anomaly detection with density estimation, Phys. Rev. D 101 (2020) 075042,
        arXiv:2001.04990.
    """

    columns: Patterns = ("*",)
    margin: Annotated[
        float, Field(gt=0, le=1, description="distance from both ends, as a share of the range; keeps the logit finite")
    ] = 0.01

    def measure(self, events: Events, schema: Schema) -> Sketch:
        """Return the ``low`` and ``high`` of one chunk, float64 (chosen column,)."""
        features = features_of(events, schema)[:, matched(self.columns, schema)]
        there = np.isfinite(features) & (events.weight != 0)[:, None]
        return {
            "low": np.where(there, features, np.inf).min(0, initial=np.inf).astype(np.float64),
            "high": np.where(there, features, -np.inf).max(0, initial=-np.inf).astype(np.float64),
        }

    def merge(self, a: Sketch, b: Sketch) -> Sketch:
        """Return the range of two chunks together."""
        return {"low": np.minimum(a["low"], b["low"]), "high": np.maximum(a["high"], b["high"])}

    def finish(self, sketch: Sketch) -> State:
        """Return ``low`` and ``high``; around 0 for a column without a finite value."""
        low, high = (np.where(np.isfinite(end), end, 0.0) for end in (sketch["low"], sketch["high"]))
        half = np.where(high > low, 0.0, width_of_constant(low) / 2)
        return {"low": low - half, "high": high + half}

    def schema(self, before: Schema, state: State) -> Schema:
        """Return the schema with pure numbers in place of units."""
        return with_pure_numbers(before, matched(self.columns, before))

    def apply(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with logits in the chosen columns, in the precision that they have."""
        chosen, names = matched(self.columns, schema), schema.table()[1].columns
        features, margin = features_of(events, schema).copy(), self.margin
        told, grown = {}, {}
        for index, low, high in zip(chosen, state["low"], state["high"], strict=True):
            there = np.isfinite(features[:, index])
            share = (features[there, index].astype(np.float64) - low) / (high - low)
            told[f"values outside of logit's range: {names[index]}"] = int(((share < 0) | (share > 1)).sum())
            share = share.clip(0, 1)
            below, above = np.log(share + margin), np.log(1 - share + margin)
            features[there, index] = below - above
            grown[names[index]] = np.zeros(len(events))
            grown[names[index]][there] = np.log1p(2 * margin) - below - above - np.log(high - low)
        return with_log_jacobian(with_features(events, schema, features, told), grown)

    def undo(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with x = low + (high - low) ((1 + 2 m) / (1 + exp(-y)) - m)."""
        chosen, features = matched(self.columns, schema), features_of(events, schema).copy()
        low, high = state["low"], state["high"]
        logits = features[:, chosen].astype(np.float64)
        values = low + (high - low) * ((1 + 2 * self.margin) * expit(logits) - self.margin)
        features[:, chosen] = np.where(np.isinf(logits), logits, values)
        return undone(events, schema, features)
