"""A transform that keeps what it promises, and others like it that break one promise each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hepanom.contracts import Sketch, State, Transform
from hepanom.events import Events, Schema
from hepanom.hookspecs import Offers, hookimpl


@dataclass(frozen=True)
class Centre(Transform):
    """Subtract the weighted mean of each column."""

    def weights(self, events: Events) -> Any:
        return events.weight

    def measure(self, events: Events, schema: Schema) -> Sketch:
        features, weight = np.asarray(events.inputs["features"], np.float64), self.weights(events)
        there = np.isfinite(features)
        return {"sum": weight @ np.where(there, features, 0), "weight": weight @ there}

    def merge(self, a: Sketch, b: Sketch) -> Sketch:
        return {key: a[key] + b[key] for key in a}

    def finish(self, sketch: Sketch) -> State:
        return {"mean": sketch["sum"] / sketch["weight"]}

    def apply(self, events: Events, schema: Schema, state: State) -> Events:
        return self.moved(events, -np.asarray(state["mean"]))

    def undo(self, events: Events, schema: Schema, state: State) -> Events | None:
        return self.moved(events, np.asarray(state["mean"]))

    def moved(self, events: Events, by: Any) -> Events:
        features = np.asarray(events.inputs["features"])
        return replace(events, inputs={"features": (features + by).astype(np.float32)})


class Hasty(Centre):
    """Subtract the mean of each column in the first chunk."""

    def merge(self, a: Sketch, b: Sketch) -> Sketch:
        return a


class Unweighted(Centre):
    """Subtract the mean of each column over events of any weight."""

    def weights(self, events: Events) -> Any:
        return np.ones(len(events))


class Widening(Centre):
    """Subtract the mean, in double precision."""

    def moved(self, events: Events, by: Any) -> Events:
        return replace(events, inputs={"features": np.asarray(events.inputs["features"]) + by})


class Blanking(Centre):
    """Subtract the mean, and lose the first column."""

    def moved(self, events: Events, by: Any) -> Events:
        features = np.array(events.inputs["features"])
        features[:, 0] = np.nan
        return super().moved(replace(events, inputs={"features": features}), by)


class Spoiling(Centre):
    """Subtract the mean in the very array that was given."""

    def apply(self, events: Events, schema: Schema, state: State) -> Events:
        features = np.asarray(events.inputs["features"])
        features -= state["mean"].astype(np.float32)
        return events


class Social(Centre):
    """Subtract the mean of the events at hand."""

    def apply(self, events: Events, schema: Schema, state: State) -> Events:
        return self.moved(events, -np.nan_to_num(np.asarray(events.inputs["features"])).mean(0))


class Listing(Centre):
    """Subtract the mean, which is kept in a list."""

    def finish(self, sketch: Sketch) -> State:
        return {"mean": super().finish(sketch)["mean"].tolist()}


class Lost(Centre):
    """Subtract the mean twice to undo that."""

    def undo(self, events: Events, schema: Schema, state: State) -> Events | None:
        return self.apply(events, schema, state)


@hookimpl
def transforms() -> Offers:
    return {
        "centre": Centre,
        "hasty": Hasty,
        "unweighted": Unweighted,
        "widening": Widening,
        "blanking": Blanking,
        "spoiling": Spoiling,
        "social": Social,
        "listing": Listing,
        "lost": Lost,
    }
