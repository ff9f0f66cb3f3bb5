"""Image: points as two-dimensional histograms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int32
from pydantic import Field

from hepanom.contracts import Sketch, State, Transform
from hepanom.errors import InputError
from hepanom.events import Events, Input, Jagged, Schema
from hepanom_plugins.transforms.points import clouds_of, coordinate, described, exchanged, rows_of, sources, unit

BLOCK = 262144  # points that are binned at a time: more would only take memory
COUNT = "points"
Interval = Annotated[tuple[float, float], Field(description="lowest and highest value")]


@dataclass(frozen=True)
class Image(Transform):
    """Replace points by an image: the sum of a column, or the number of points, in every pixel.

    ``axes`` are what runs along rows and along columns: columns of the points such as x, y, z or time; else r =
    hypot(x, y), pt = hypot(px, py), phi = atan2(py, px), eta = asinh(pz / pt) from columns of those names. With n
    pixels from low to high along an axis, a point u belongs to pixel floor(n (u - low) / (high - low)), one at high to
    the last. Points outside of either range, and those whose coordinate is missing or infinite, are left out and
    counted. ``range`` is

    - ``background``: from the lowest to the highest finite value in the training events, measured once,
    - ``event``: from each event's own lowest to its highest; position and size of the event are lost,
    - two intervals, one for each axis, in their units.

    Where lowest and highest are equal, the range is 1 wide around them. With ``centre`` the event is moved first, so
    that the mean along both axes, weighted with the positive values of the pixels' column, is zero: jet images. An
    angle phi has its circular mean, and then lies within -pi to pi. The pixel holds q / scale for the sum q or, with
    ``log``, sgn(q) ln(1 + |q| / scale), which is defined for the negative charges that a baseline leaves, too.

    In the schema the input of points gives way to the input ``image`` with one channel of shape (row, column), named
    after ``value``, in its unit where ``scale`` is 1 and there is no logarithm. Events without points are empty images.
    ``log_jacobian`` ends here: pixels do not bring the points back.

    References:
        R. Solli, master's thesis, Oslo 2019: events of an AT-TPC as images of charge.
        L. de Oliveira et al., Jet-images: deep learning edition, JHEP 07 (2016) 069, arXiv:1511.05190.
    """

    axes: Annotated[tuple[str, str], Field(description="what runs along rows and along columns, such as x and z")]
    size: Annotated[
        tuple[Annotated[int, Field(ge=1, le=4096)], Annotated[int, Field(ge=1, le=4096)]],
        Field(description="number of rows and of columns"),
    ] = (32, 32)
    range: Annotated[
        Literal["background", "event"] | tuple[Interval, Interval],
        Field(description="[low, high] for both axes; or of the training events, or of every event"),
    ] = "background"
    value: Annotated[str, Field(description="column that pixels sum up, or `points` for their number")] = "charge"
    log: Annotated[bool, Field(description="sgn(q) ln(1 + |q| / scale) in place of q / scale")] = False
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False, description="what counts as 1")] = 1.0
    centre: Annotated[bool, Field(description="move every event so that its mean lies at zero")] = False

    def measure(self, events: Events, schema: Schema) -> Sketch:
        """Return ``low`` and ``high``, float64 (2,), where the range is that of the background."""
        if self.range != "background":
            return {}
        name, cloud = schema.only("points")
        sketch = {"low": np.full(2, np.inf), "high": np.full(2, -np.inf)}
        for _, points in _blocks(clouds_of(events, name)):
            for axis, values in enumerate(self._positions(points, cloud)):
                finite = values[np.isfinite(values)]
                sketch["low"][axis] = min(sketch["low"][axis], finite.min(initial=np.inf))
                sketch["high"][axis] = max(sketch["high"][axis], finite.max(initial=-np.inf))
        return sketch

    def merge(self, a: Sketch, b: Sketch) -> Sketch:
        """Return the range of two chunks together."""
        return {key: (np.minimum if key == "low" else np.maximum)(a[key], b[key]) for key in a}

    def finish(self, sketch: Sketch) -> State:
        """Return the range as ``low`` and ``high``, float64 (2,). Raises InputError where there was no point."""
        for axis, low in zip(self.axes, sketch.get("low", ()), strict=False):
            if low == np.inf:
                raise InputError(
                    f"image: no training event has a point with a finite {axis}, so that there is no "
                    "range; check what the reader leaves out, or give `range`"
                )
        return sketch

    def schema(self, before: Schema, state: State) -> Schema:
        """Return the schema with an image in place of the points. Raises InputError for a column that is not there."""
        _, cloud = before.only("points")
        if isinstance(self.range, tuple):
            for axis, (low, high) in zip(self.axes, self.range, strict=True):
                if not low < high:
                    raise InputError(f"image: the range of {axis} is [{low:g}, {high:g}]; give the lower end first")
        for axis in self.axes:
            sources(axis, cloud, "image: axes")
        summed = "" if self.value == COUNT else unit(self.value, cloud, self._value(cloud))
        image = Input("image", (self.value,), ("" if self.log or self.scale != 1 else summed,), self.size)
        return described(before, "image", image)

    def apply(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the events with images in place of points."""
        name, cloud = schema.only("points")
        (rows, columns), clouds = self.size, clouds_of(events, name)
        pixels = np.zeros(len(events) * rows * columns, np.float32)
        outside = 0
        for first, points in _blocks(clouds):
            (row, inside), (column, within) = self._pixels(points, cloud, state)
            inside &= within
            row *= columns
            row += column
            index = np.repeat(np.arange(len(points)) * (rows * columns), np.diff(points.offsets))
            index += row
            values = self._values(points, cloud)
            if not inside.all():
                outside += int((~inside).sum())
                index, values = index[inside], values[inside]
            start = first * rows * columns
            np.add.at(pixels[start : start + len(points) * rows * columns], index, values)
        image = self._scaled(pixels).reshape(len(events), 1, rows, columns)
        told = {"points outside of the image left out": outside}
        left = {column: values for column, values in events.log_jacobian.items() if column != name}
        return replace(exchanged(events, name, "image", image, told), log_jacobian=left)

    def _value(self, cloud: Input) -> tuple[int, ...]:
        return sources(self.value, cloud, "image: value")

    def _values(self, points: Jagged, cloud: Input) -> Float32[np.ndarray, " point"]:
        if self.value == COUNT:
            return np.ones(len(points.values), np.float32)
        return coordinate(self.value, points.values, self._value(cloud))

    def _positions(self, points: Jagged, cloud: Input) -> Iterator[Float32[np.ndarray, " point"]]:
        """Yield the points' coordinate along rows, then along columns."""
        for axis in self.axes:
            values = coordinate(axis, points.values, sources(axis, cloud, "image: axes"))
            yield self._centred(axis, values, points, cloud) if self.centre else values

    def _centred(
        self, axis: str, values: Float32[np.ndarray, " point"], points: Jagged, cloud: Input
    ) -> Float32[np.ndarray, " point"]:
        """Return a coordinate less its mean in the event, an angle with its circular mean."""
        event, weight = rows_of(points), np.maximum(self._values(points, cloud), 0)
        weight = np.where(np.isfinite(values) & np.isfinite(weight), weight, 0)

        def total(of: Float32[np.ndarray, " point"]) -> Float64[np.ndarray, " event"]:
            return np.bincount(event, np.where(weight > 0, of, 0) * weight.astype(np.float64), len(points))

        if axis.lower() == "phi":
            middle = np.arctan2(total(np.sin(values)), total(np.cos(values)))
            turned = np.remainder(values - middle[event] + np.pi, 2 * np.pi) - np.pi
            return np.asarray(turned, np.float32)
        weights = total(np.ones_like(values))
        middle = np.divide(total(values), weights, out=np.zeros(len(points)), where=weights > 0)
        return np.asarray(values - middle[event], np.float32)

    def _pixels(
        self, points: Jagged, cloud: Input, state: State
    ) -> Iterator[tuple[Int32[np.ndarray, " point"], Bool[np.ndarray, " point"]]]:
        """Yield, for both axes, the points' pixels and whether they lie within."""
        for axis, values in enumerate(self._positions(points, cloud)):
            if self.range == "event":
                event, (low, high) = rows_of(points), _widened(*_extremes(values, points))
                yield _pixel(values, low[event], high[event], self.size[axis])
            else:
                ends = self.range[axis] if isinstance(self.range, tuple) else (state["low"][axis], state["high"][axis])
                low, high = _widened(*np.array(ends, np.float64)[:, None])
                yield _pixel(values, low, high, self.size[axis])

    def _scaled(self, pixels: Float32[np.ndarray, " pixel"]) -> Float32[np.ndarray, " pixel"]:
        """Scale in place."""
        if self.scale != 1:
            pixels /= np.float32(self.scale)
        if self.log:
            np.copysign(np.log1p(np.abs(pixels)), pixels, out=pixels)
        return pixels


def _blocks(clouds: Jagged) -> Iterator[tuple[int, Jagged]]:
    """Yield (first event, clouds) of some BLOCK points each; together all events that have points."""
    offsets, first = clouds.offsets, 0
    while first < len(clouds):
        stop = int(np.searchsorted(offsets, offsets[first] + BLOCK, side="right")) - 1
        stop = min(max(stop, first + 1), len(clouds))
        begin, end = offsets[first], offsets[stop]
        yield first, Jagged(clouds.values[begin:end], offsets[first : stop + 1] - begin)
        first = stop


def _pixel(
    values: Float32[np.ndarray, " point"],
    low: Float32[np.ndarray, " #point"],
    high: Float32[np.ndarray, " #point"],
    number: int,
) -> tuple[Int32[np.ndarray, " point"], Bool[np.ndarray, " point"]]:
    """Return each point's pixel, and whether it lies within.

    The product comes before the quotient: then a value on the edge of two pixels is exactly a whole number.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        place = values - low
        place *= np.float32(number)
        place /= high - low
        inside = place >= 0
        inside &= place <= number
        np.minimum(place, np.float32(number - 0.5), out=place)
        return place.astype(np.int32), inside


def _extremes(
    values: Float32[np.ndarray, " point"], points: Jagged
) -> tuple[Float[np.ndarray, " event"], Float[np.ndarray, " event"]]:
    """Return the lowest and highest finite value of each event; both 0 where there is none."""
    some, finite = np.diff(points.offsets) > 0, np.isfinite(values)
    low, high = np.zeros(len(points), np.float32), np.zeros(len(points), np.float32)
    starts = points.offsets[:-1][some]
    low[some] = np.minimum.reduceat(np.where(finite, values, np.float32(np.inf)), starts)
    high[some] = np.maximum.reduceat(np.where(finite, values, np.float32(-np.inf)), starts)
    none = low > high
    low[none], high[none] = 0, 0
    return low, high


def _widened(
    low: Float[np.ndarray, " event"], high: Float[np.ndarray, " event"]
) -> tuple[Float32[np.ndarray, " event"], Float32[np.ndarray, " event"]]:
    """Return ranges as float32, 1 wide where they would be empty."""
    half = np.where(low == high, 0.5, 0.0)
    return (low - half).astype(np.float32), (high + half).astype(np.float32)
