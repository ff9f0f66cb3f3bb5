"""What held-out background looks like, kept with a detector: its scores and columns as weighted histograms.

``hepanom monitor`` compares new events with it. A histogram of at most 512 bins, each with an equal share of the
weight, says where every quantile lies, and is all that the tests of ``hepanom.drift`` need; it can be kept and given
away where the events cannot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from hepanom.drift import Binned
from hepanom.efficiency import ROUNDING
from hepanom.errors import InputError
from hepanom.events import Events, Input, Jagged, Schema

MOST_EVENTS = (
    100_000  # behind a reference, drawn at random; they tell distributions apart that differ by half a percent
)
NUMBERS = 2**24  # that are held while it is made, or while events are compared
BINS = (16, 512)
BUDGET = 2**16  # bins of all columns together
FEW = 20  # different values, up to which a column's values are told apart one by one
PER_VALUE = 5  # events for each of them on average, at least
CELLS = 2048  # of an image: larger ones are looked at in blocks of pixels
TAIL = np.geomspace(1 / 16, 64, 25)  # knots beyond the largest score, in units of its distance from the median


@dataclass(frozen=True)
class Axis:
    """A column or a score, and the bins of its histogram.

    Bin i ends with the knot i, the last but one is above all knots, and the last is for missing values. Of ``few``
    values each is a knot, and the last bin but one is for any other. ``category`` is that of a score, "" for a column.
    """

    kind: Literal["column", "score"]
    name: str
    category: str
    unit: str
    few: bool
    knots: Float[np.ndarray, " knot"]

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what tells the axes apart."""
        return self.kind, self.name, self.category

    @property
    def bins(self) -> int:
        """Return the number of bins."""
        return len(self.knots) + 2

    def place(self, values: Float[np.ndarray, " event"]) -> Int[np.ndarray, " event"]:
        """Return the bin of each value."""
        found = np.searchsorted(self.knots, values)
        if self.few:
            nearest = np.minimum(found, len(self.knots) - 1)
            found = np.where(self.knots[nearest] == values, nearest, len(self.knots))
        return np.where(np.isnan(values), self.bins - 1, found)

    def quantiles(self, held: Binned, shares: Sequence[float]) -> list[float]:
        """Return weighted quantiles of the values that are not missing, linear within a bin; NaN where there are none.

        Of few values they are values.
        """
        below = np.cumsum(held.weight[:-2])
        whole = below[-1] + held.weight[-2]
        if whole <= 0:
            return [float("nan")] * len(shares)
        if self.few:
            place = np.searchsorted(below, np.array(shares) * whole)
            return list(map(float, self.knots[np.minimum(place, len(below) - 1)]))
        return list(map(float, np.interp(np.array(shares) * whole, below, self.knots)))

    def below(self, held: Binned, value: float) -> float:
        """Return the weighted share of the values that are not missing that lie below one, linear within a bin.

        Half of those equal to it count as below, so that what most events have is not called rare.
        """
        whole = np.cumsum(held.weight[:-1])
        if whole[-1] <= 0 or np.isnan(value):
            return float("nan")
        if self.few:
            equal = held.weight[:-2][self.knots == value].sum()
            return float((held.weight[:-2][self.knots < value].sum() + equal / 2) / whole[-1])
        equal = held.weight[:-2][self.knots == value].sum()  # of the bin that ends there, where such values are
        found = np.interp(value, self.knots, whole[:-1] / whole[-1], left=0.0, right=1.0)
        return float(found - equal / 2 / whole[-1])


@dataclass(frozen=True)
class Reference:
    """Held-out background by axis, with where it comes from: ``about`` holds texts and numbers of events.

    The columns are those of the files, in their units and before any transform: a person who is told that one has
    moved knows what it is, missing values are seen where a transform would fill them, and columns that no network sees
    are watched, too. An image counts pixel by pixel or, beyond 2,048 pixels, by the means of blocks of them; of a set
    of points the number of points and the mean of each of their columns are looked at, as points of one event are not
    independent.
    """

    axes: tuple[Axis, ...]
    held: tuple[Binned, ...]
    about: Mapping[str, Any]

    def items(self) -> list[tuple[Axis, Binned]]:
        """Return the axes with their histograms."""
        return list(zip(self.axes, self.held, strict=True))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the numbers as three arrays, axis after axis."""
        return {
            "knots": np.concatenate([axis.knots for axis in self.axes]),
            "weight": np.concatenate([each.weight for each in self.held]),
            "squares": np.concatenate([each.squares for each in self.held]),
        }

    def to_json(self) -> dict[str, Any]:
        """Return the words that go with the arrays as plain values."""
        words = ("kind", "name", "category", "unit", "few")
        axes = [{key: getattr(axis, key) for key in words} | {"knots": len(axis.knots)} for axis in self.axes]
        return {"axes": axes, "about": dict(self.about)}

    @staticmethod
    def of(plain: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Reference:
        """Return the reference that ``to_json`` and ``to_arrays`` described."""
        numbers = [entry["knots"] for entry in plain["axes"]]
        knots = np.split(arrays["knots"], np.cumsum(numbers)[:-1])
        places = np.cumsum([number + 2 for number in numbers])[:-1]
        weight, squares = (np.split(arrays[name], places) for name in ("weight", "squares"))
        axes = tuple(Axis(**{**entry, "knots": each}) for entry, each in zip(plain["axes"], knots, strict=True))
        return Reference(axes, tuple(map(Binned, weight, squares)), plain["about"])


@dataclass(frozen=True)
class Met:
    """Events of a chunk with their decision scores and the weights that count."""

    events: Events
    decided: Mapping[str, Float[np.ndarray, " event"]]
    weight: Float[np.ndarray, " event"]


def columns(schema: Schema) -> list[tuple[str, str]]:
    """List the names and units of the columns that are watched."""
    found: list[tuple[str, str]] = []
    for name, entry in schema.inputs.items():
        if entry.kind == "table":
            found += zip(entry.columns, entry.units, strict=True)
        elif entry.kind == "points":
            found.append((f"{name} points", ""))
            found += [(f"mean {each}", unit) for each, unit in zip(entry.columns, entry.units, strict=True)]
        else:
            rows, across = (np.arange(0, side, _block(entry)).tolist() for side in entry.shape)
            for each, unit in zip(entry.columns, entry.units, strict=True):
                found += [(f"{each}[{row},{column}]", unit) for row in rows for column in across]
    return found


def matrix(events: Events, schema: Schema) -> Float32[np.ndarray, "event column"]:
    """Return the values of the watched columns; NaN where one is missing."""
    found: list[np.ndarray] = []
    for name, entry in schema.inputs.items():
        values = events.inputs[name]
        if isinstance(values, Jagged):
            counts = np.diff(values.offsets)
            owner = np.repeat(np.arange(len(events)), counts)
            points = values.values[values.offsets[0] : values.offsets[-1]]
            sums = np.stack([np.bincount(owner, column, len(events)) for column in points.T], 1)
            missing = np.full(sums.shape, np.nan)
            found += [counts[:, None], np.divide(sums, counts[:, None], out=missing, where=counts[:, None] > 0)]
        elif entry.kind == "image":
            block = _block(entry)
            starts = [np.arange(0, side, block) for side in entry.shape]
            sums = np.add.reduceat(np.add.reduceat(values, starts[0], axis=2), starts[1], axis=3)
            sizes = [np.diff(np.append(start, side)) for start, side in zip(starts, entry.shape, strict=True)]
            found.append((sums / np.outer(*sizes)).reshape(len(events), -1))
        else:
            found.append(values)
    return np.concatenate(found, 1).astype(np.float32)


def _block(entry: Input) -> int:
    """Return the side of the blocks of pixels that an image is looked at in."""
    return max(1, int(np.ceil(np.sqrt(entry.width / CELLS))))


@dataclass
class _Drawn:
    """A random sample of events that were seen so far: those with the smallest of uniform random numbers."""

    most: int
    generator: np.random.Generator
    rows: list[np.ndarray]
    keys: np.ndarray

    def add(self, pieces: Sequence[np.ndarray]) -> None:
        """Add events, given as arrays of equal length."""
        keys = np.concatenate([self.keys, self.generator.random(len(pieces[0]))])
        rows = [np.concatenate(pair) for pair in zip(self.rows, pieces, strict=True)] if self.rows else list(pieces)
        keep = np.sort(np.argpartition(keys, self.most)[: self.most]) if len(keys) > self.most else slice(None)
        self.keys, self.rows = keys[keep], [each[keep] for each in rows]


def measure(
    stream: Iterable[Met], schema: Schema, categories: Sequence[str], about: Mapping[str, Any], seed: int
) -> Reference:
    """Return the reference of a stream of background events: of all, or of a random sample of at most 100,000.

    Raises InputError where there is none, or for negative weights, which have no quantiles.
    """
    listed, events = columns(schema), 0
    room = int(np.clip(NUMBERS // (len(listed) + 1), 1000, MOST_EVENTS))
    drawn, scorers = _Drawn(room, np.random.default_rng(seed), [], np.zeros(0)), list[str]()
    for met in stream:
        refuse_negative(met.weight, "the reference")
        scorers = list(met.decided)
        events += len(met.weight)
        pieces = [met.weight, met.events.category, matrix(met.events, schema)]
        drawn.add([*pieces, *met.decided.values()])
    if not events or not drawn.rows[0].any():
        raise InputError("there is no background, or none with a weight, to make a reference of")
    weight, category, values, *decided = drawn.rows
    bins = int(np.clip(BUDGET // (len(listed) + 1), *BINS))
    axes, held = list[Axis](), list[Binned]()
    looked = watched(listed, categories, category, values, dict(zip(scorers, decided, strict=True)))
    for bare, here, column in looked:
        axes.append(_knotted(bare, column[here], weight[here], bins))
        held.append(filled(axes[-1], column[here], weight[here]))
    return Reference(tuple(axes), tuple(held), {**about, "events": events, "sampled": len(weight)})


def watched(
    listed: Sequence[tuple[str, str]],
    categories: Sequence[str],
    category: Int[np.ndarray, " event"],
    values: Float[np.ndarray, "event column"],
    decided: Mapping[str, Float[np.ndarray, " event"]],
) -> Iterator[tuple[Axis, Bool[np.ndarray, " event"], Float[np.ndarray, " event"]]]:
    """Yield everything that is watched: an axis without knots, which events it counts, and the values of all."""
    none = np.zeros(0)
    for scorer, scores in decided.items():
        for index, label in enumerate(categories):
            if (here := category == index).any():
                yield Axis("score", scorer, label, "", False, none), here, scores
    everywhere = np.ones(len(category), bool)
    if len(categories) > 1:
        yield Axis("column", "category", "", "", False, none), everywhere, category.astype(np.float64)
    for (name, unit), column in zip(listed, values.T, strict=True):
        yield Axis("column", name, "", unit, False, none), everywhere, column


def _knotted(bare: Axis, values: Float[np.ndarray, " event"], weight: Float[np.ndarray, " event"], bins: int) -> Axis:
    """Return the axis with bins for these values."""
    there = np.flatnonzero(~np.isnan(values))
    distinct = np.unique(values[there]).astype(np.float64)
    if not len(distinct) or (bare.kind == "column" and len(distinct) <= min(FEW, len(there) / PER_VALUE)):
        return replace(bare, few=True, knots=distinct if len(distinct) else np.zeros(1))
    order = there[np.argsort(values[there], kind="stable")]
    below = np.cumsum(weight[order])
    places = np.searchsorted(below, np.linspace(0, 1, bins) * below[-1] * (1 - ROUNDING))
    knots = np.unique(values[order[places]]).astype(np.float64)
    if bare.kind == "score":
        reach = float(knots[-1] - np.median(knots)) or 1.0
        knots = np.concatenate([knots, knots[-1] + reach * TAIL])
    return replace(bare, knots=knots)


def filled(axis: Axis, values: Float[np.ndarray, " event"], weight: Float[np.ndarray, " event"]) -> Binned:
    """Return the histogram of values."""
    place = axis.place(values)
    return Binned(*(np.bincount(place, each, axis.bins) for each in (weight, weight**2)))


def refuse_negative(weight: Float[np.ndarray, " event"], place: str) -> None:
    """Raise InputError for weights with which distributions cannot be compared."""
    if not np.isfinite(weight).all():
        raise InputError(f"{place}: a weight is missing or infinite; give each event a finite weight")
    if negative := int(np.count_nonzero(weight < 0)):
        raise InputError(
            f"{place}: {negative} of {len(weight)} weights are negative, which have no quantiles; train with "
            "train: {weighted: absolute}, or monitor files without these weights"
        )
