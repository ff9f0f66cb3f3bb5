"""Pad: a fixed number of points of every event, side by side in a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Int64, UInt64
from pydantic import Field

from hepanom.contracts import State, Transform
from hepanom.errors import InputError
from hepanom.events import Events, Input, Jagged, Schema, hash64
from hepanom_plugins.transforms.points import clouds_of, coordinate, described, exchanged, rows_of, sources

MASK = "real"


@dataclass(frozen=True)
class Pad(Transform):
    """Replace points by a table of ``points`` of them: an event with fewer is filled up, one with more is cut.

    Which points stay, and their order in the table, is what ``by`` says:

    - ``largest``: those with the largest value of ``column``, such as the charge, in falling order,
    - ``smallest``: those with the smallest, in rising order; with column r those nearest to the beam axis,
    - ``random``: any, each choice with the same probability, in the order of the file. The draw is a hash of event id,
      point and ``seed``, so that it does not depend on what else is read,
    - ``first``: the first ones of the file, in its order.

    ``column`` is a column of the points; else r = hypot(x, y), pt = hypot(px, py), phi = atan2(py, px) or eta =
    asinh(pz / pt) from columns of those names. Equal values stay in the order of the file, missing ones come last.

    In the schema the input of points gives way to the table ``features`` with the columns x[0], y[0], ..., x[1], ... in
    the points' units. Where there is no point every column holds ``fill``: 0, or NaN for the transform missing, where
    zero is a place in the detector. How many points were cut, and from how many events, is counted. ``log_jacobian``
    starts anew: points that are cut have no density. Undone, the points that stayed come back.

    With ``mask`` a further column of every point, real[0], real[1], ..., is 1 where there is a point and 0 where there
    is none, for models of sets; undone, it says which points there are.
    """

    points: Annotated[int, Field(ge=1, description="points of each event in the table")]
    by: Annotated[Literal["largest", "smallest", "random", "first"], Field(description="which points stay")] = "largest"
    column: Annotated[str, Field(description="what `largest` and `smallest` compare")] = "charge"
    fill: Annotated[
        float | Literal["nan"], Field(description="value in place of points that an event does not have, or nan")
    ] = 0.0
    seed: Annotated[int, Field(ge=0, lt=2**63, description="other seeds keep other random points")] = 1
    mask: Annotated[bool, Field(description="a column real[k] for every point k, 1 for a point and 0 for filling")] = (
        False
    )

    def schema(self, before: Schema, state: State) -> Schema:
        """Return the schema with a table in place of the points.

        Raises InputError for a column that is not there, and where the mask's name is that of a column.
        """
        _, cloud = before.only("points")
        if self.by in ("largest", "smallest"):
            sources(self.column, cloud, "pad: column")
        if self.mask and MASK in cloud.columns:
            raise InputError(f"pad: mask: the points have a column {MASK!r} already, which would be the mask's name")
        names, units = ((*cloud.columns, MASK), (*cloud.units, "")) if self.mask else (cloud.columns, cloud.units)
        columns = tuple(f"{name}[{point}]" for point in range(self.points) for name in names)
        return described(before, "features", Input("table", columns, units * self.points))

    def apply(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with a table of points."""
        name, cloud = schema.only("points")
        clouds = clouds_of(events, name)
        counts = np.diff(clouds.offsets)
        kept = np.minimum(counts, self.points)
        points = self._chosen(clouds, cloud, events.event_id)
        width = len(cloud.columns) + self.mask
        table = np.full((len(events), self.points, width), float(self.fill), np.float32)
        place = np.arange(len(points)) - np.repeat(np.cumsum(kept) - kept, kept)
        table[np.repeat(np.arange(len(events)), kept), place, : len(cloud.columns)] = clouds.values[points]
        if self.mask:
            table[..., -1] = np.arange(self.points) < kept[:, None]
        told = {
            "points cut by pad": int((counts - kept).sum()),
            "events with points cut by pad": int((counts > kept).sum()),
        }
        features = table.reshape(len(events), self.points * width)
        left = {column: values for column, values in events.log_jacobian.items() if column != name}
        return replace(exchanged(events, name, "features", features, told), log_jacobian=left)

    def undo(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with the points of the table.

        Points are those whose mask is nearer to 1 than to 0; without a mask, points at the end of the table that hold
        ``fill`` alone are none.
        """
        name, cloud = schema.only("points")
        width = len(cloud.columns) + self.mask
        table = np.asarray(events.inputs["features"], np.float32).reshape(len(events), self.points, width)
        if self.mask:
            table, real = table[..., :-1], table[..., -1] > 0.5
        else:
            fill = np.float32(self.fill)
            filled = ((table == fill) | (np.isnan(table) & np.isnan(fill))).all(2)
            real = ~np.logical_and.accumulate(filled[:, ::-1], axis=1)[:, ::-1]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(real.sum(1))])
        return replace(exchanged(events, "features", name, Jagged(table[real], offsets), {}), log_jacobian={})

    def _chosen(
        self, clouds: Jagged, cloud: Input, event_id: UInt64[np.ndarray, " event"]
    ) -> Int64[np.ndarray, " kept"]:
        """Return the indices of the points that stay, event after event, in the order of the table."""
        event, point = rows_of(clouds), np.arange(len(clouds.values))
        place = point - clouds.offsets[event]
        order: Int64[np.ndarray, " point"] = point
        if self.by == "random":
            order = np.lexsort((hash64([event_id[event], place], self.seed), event))
        elif self.by != "first":
            values = coordinate(self.column, clouds.values, sources(self.column, cloud, "pad: column"))
            order = np.lexsort((-values if self.by == "largest" else values, event))
        chosen = order[place < self.points]
        return np.sort(chosen) if self.by == "random" else chosen
