"""An overview of events, before anyone writes a recipe: what every column holds, and what the classes weigh."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float64, Int, Int64, Shaped

from hepanom.contracts import Part, Reader
from hepanom.errors import BrokenFileError, InputError
from hepanom.events import Events, Jagged, Schema
from hepanom.histograms import binning
from hepanom.result import Skipped
from hepanom.stream import read_parts

BINS = 30
PLACES = 8  # parts whose first chunk decides the bins: files are often sorted by class
SAMPLE = 20_000  # values of a column that decide its bins
UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class Summary:
    """What is known of many values; ``low`` is above ``high`` where there was no finite one.

    ``m2`` is the sum of squared distances from the mean; ``counts`` are values by class (the last one without a label)
    in the bins, the first and last of which are below and above the edges. Infinite values are in no bin.
    """

    values: int
    missing: int
    infinite: int
    low: float
    high: float
    mean: float
    m2: float
    counts: Int64[np.ndarray, "class bin"]

    def __add__(self, other: Summary) -> Summary:
        """Return the summary of both.

        References:
            T. Chan, G. Golub, R. LeVeque, Updating formulae and a pairwise algorithm for computing sample variances,
            COMPSTAT 1982, doi:10.1007/978-3-642-51461-6_3.
        """
        a, b = self.finite, other.finite
        shift, share = other.mean - self.mean, b / max(a + b, 1)
        return Summary(
            self.values + other.values,
            self.missing + other.missing,
            self.infinite + other.infinite,
            min(self.low, other.low),
            max(self.high, other.high),
            self.mean + shift * share,
            self.m2 + other.m2 + shift**2 * a * share,
            self.counts + other.counts,
        )

    @property
    def finite(self) -> int:
        """Return how many values are numbers."""
        return self.values - self.missing - self.infinite

    @property
    def std(self) -> float:
        """Return the standard deviation."""
        return float(np.sqrt(self.m2 / max(self.finite, 1)))


@dataclass(frozen=True)
class Column:
    """A column: where it stands in the events, and its numbers; text has no ``summary``.

    ``place`` is the input's name, ``target`` or ``beside``; ``kind`` is table, points, image, target or beside, and
    ``type`` that of its values as the reader gives them.
    """

    place: str
    name: str
    kind: str
    type: str
    unit: str
    edges: Float64[np.ndarray, " edge"] | None = None
    summary: Summary | None = None


@dataclass(frozen=True)
class Weights:
    """The events of one class, with their weights."""

    events: int = 0
    total: float = 0.0
    squares: float = 0.0
    negative: int = 0
    low: float = np.inf
    high: float = -np.inf

    def __add__(self, other: Weights) -> Weights:
        """Return both together."""
        return Weights(
            self.events + other.events,
            self.total + other.total,
            self.squares + other.squares,
            self.negative + other.negative,
            min(self.low, other.low),
            max(self.high, other.high),
        )


@dataclass(frozen=True)
class Points:
    """How many points the events have."""

    events: int = 0
    total: int = 0
    most: int = 0
    empty: int = 0

    def __add__(self, other: Points) -> Points:
        """Return both together."""
        return Points(
            self.events + other.events,
            self.total + other.total,
            max(self.most, other.most),
            self.empty + other.empty,
        )


@dataclass(frozen=True)
class Overview:
    """What a reader's events hold; ``stopped`` where only the first ``events`` of them were looked at.

    ``classes`` has the schema's classes, and unlabelled events where there are some; ``points`` is by input.
    """

    schema: Schema
    files: tuple[str, ...]
    events: int
    stopped: bool
    columns: tuple[Column, ...]
    classes: Mapping[str, Weights]
    points: Mapping[str, Points]
    tally: Mapping[str, int]
    skipped: tuple[Skipped, ...]


def survey(reader: Reader, most: int | None = None, watch: Callable[[int], None] = lambda _: None) -> Overview:
    """Read the events once, or the first ``most`` of them, chunk by chunk, and sum up what they hold.

    The bins of the histograms come from the first chunk of up to eight parts, spread over the data, before: they leave
    out the outermost per mille on either side, and are logarithmic where all values there are positive and span more
    than 1.5 decades. Raises InputError where there is no event.
    """
    schema, parts = reader.schema(), list(reader.parts())
    columns = _described(schema, list(_looks(reader, parts)))
    classes: dict[str, Weights] = dict.fromkeys((*schema.classes, UNLABELLED), Weights())
    points = {name: Points() for name, entry in schema.inputs.items() if entry.kind == "points"}
    tally: Counter[str] = Counter()
    skipped: list[Skipped] = []
    seen = 0
    with closing(_up_to(most, read_parts(reader, parts, skipped))) as chunks:
        for chunk in chunks:
            seen += len(chunk)
            tally.update(chunk.tally)
            columns = [_seen(column, chunk, schema) for column in columns]
            for index, name in enumerate(classes):
                label = index if index < len(schema.classes) else -1
                classes[name] += _weights(chunk.weight[chunk.label == label])
            points = {name: summed + _points(chunk.inputs[name]) for name, summed in points.items()}
            watch(seen)
    files = tuple(dict.fromkeys(part.file for part in parts))
    if not seen:
        told = [f"{what}: {count:,}" for what, count in tally.items()] + [entry.why for entry in skipped]
        raise InputError(f"no events in {', '.join(files[:3]) or 'these data'}{''.join(f'; {text}' for text in told)}")
    if not classes[UNLABELLED].events:
        del classes[UNLABELLED]
    return Overview(schema, files, seen, seen == most, tuple(columns), classes, points, tally, tuple(skipped))


def _up_to(most: int | None, chunks: Iterable[tuple[Part, Events]]) -> Iterator[Events]:
    """Yield the first ``most`` events; a chunk that is cut keeps the tally of the whole."""
    left = most
    for _, chunk in chunks:
        if left is None or len(chunk) < left:
            left = None if left is None else left - len(chunk)
            yield chunk
        else:
            yield replace(chunk.mask(np.arange(len(chunk)) < left), tally=chunk.tally)
            return


def _looks(reader: Reader, parts: Sequence[Part]) -> Iterator[Events]:
    """Yield the beginning of the first chunk of parts from all over the data; broken ones are reported later."""
    for index in np.unique(np.linspace(0, len(parts) - 1, PLACES, dtype=int)) if parts else ():
        if parts[index].problem:
            continue
        try:
            chunk = next(iter(reader.read(parts[index])), None)
        except BrokenFileError:
            continue
        if chunk is not None and len(chunk):
            yield chunk.mask(np.arange(len(chunk)) % (1 + len(chunk) * PLACES // SAMPLE) == 0)


def _described(schema: Schema, looks: Sequence[Events]) -> list[Column]:
    """List the columns with their bins; nothing is known of those of no event."""
    listed = [
        (place, name, entry.kind, unit)
        for place, entry in schema.inputs.items()
        for name, unit in zip(entry.columns, entry.units, strict=True)
    ]
    listed += [("target", name, "target", "") for name in schema.targets]
    listed += [("beside", name, "beside", "") for name in schema.beside]
    return [_binned(Column(place, name, kind, "", unit), looks, schema) for place, name, kind, unit in listed]


def _binned(column: Column, looks: Sequence[Events], schema: Schema) -> Column:
    found = [values for chunk in looks if (values := _values(column, chunk, schema)[0]) is not None]
    if not found:
        return column
    kind = "text" if found[0].dtype.kind not in "biuf" else str(found[0].dtype)
    if kind == "text":
        return replace(column, type=kind)
    sample = np.concatenate(found).astype(np.float64)
    sample = sample[:: 1 + len(sample) // (4 * SAMPLE)]
    return replace(column, type=kind, edges=edges(sample[np.isfinite(sample)]))


def edges(sample: Float[np.ndarray, " value"]) -> Float64[np.ndarray, " edge"]:
    """Return the edges of at most thirty bins; whole numbers get bins of equal whole widths around them."""
    if len(sample) and (sample == np.round(sample)).all() and np.abs(sample).max() < 2**52:
        low, high = np.quantile(sample, (0, 1))
        width = np.ceil((high - low + 1) / BINS)
        if width <= 4:
            return np.asarray(np.arange(low - 0.5, high + 0.5 + width, width))
    return binning(sample[:SAMPLE], np.empty(0))


def _values(
    column: Column, chunk: Events, schema: Schema
) -> tuple[Shaped[np.ndarray, " value"] | None, Int[np.ndarray, " value"]]:
    """Return all values of a column in a chunk, and the label of each; None where these events lack it."""
    label = chunk.label
    if column.kind == "beside":
        return chunk.beside.get(column.name), label
    if column.kind == "target":
        return (None if chunk.target is None else chunk.target[:, schema.targets.index(column.name)]), label
    index = schema.inputs[column.place].columns.index(column.name)
    inputs = chunk.inputs[column.place]
    if isinstance(inputs, Jagged):
        values = inputs.values[inputs.offsets[0] : inputs.offsets[-1], index]
        return values, np.repeat(label, np.diff(inputs.offsets))
    flat = inputs[:, index].reshape(len(chunk), -1)
    return flat.ravel(), np.repeat(label, flat.shape[1])


def _seen(column: Column, chunk: Events, schema: Schema) -> Column:
    """Return the column with the values of a chunk added."""
    values, labels = _values(column, chunk, schema)
    if values is None or column.edges is None:
        return column
    summary = summarized(values, labels, column.edges, len(schema.classes))
    return replace(column, summary=summary if column.summary is None else column.summary + summary)


def summarized(
    values: Shaped[np.ndarray, " value"],
    labels: Int[np.ndarray, " value"],
    edges: Float64[np.ndarray, " edge"],
    classes: int,
) -> Summary:
    """Return the summary of values, whose labels run from -1 to ``classes`` - 1."""
    values = values.astype(np.float64)
    finite = np.isfinite(values)
    missing = int(np.isnan(values).sum())
    numbers, labels = values[finite], labels[finite]
    bins = len(edges) + 1
    place = np.searchsorted(edges, numbers, side="right")
    place[numbers == edges[-1]] -= 1
    counts = np.bincount(np.where(labels < 0, classes, labels) * bins + place, minlength=(classes + 1) * bins)
    mean = float(numbers.mean()) if len(numbers) else 0.0
    return Summary(
        len(values),
        missing,
        len(values) - missing - len(numbers),
        float(numbers.min(initial=np.inf)),
        float(numbers.max(initial=-np.inf)),
        mean,
        float(((numbers - mean) ** 2).sum()),
        counts.reshape(classes + 1, bins),
    )


def _weights(weight: Float[np.ndarray, " event"]) -> Weights:
    low, high = weight.min(initial=np.inf), weight.max(initial=-np.inf)
    return Weights(
        len(weight), float(weight.sum()), float((weight**2).sum()), int((weight < 0).sum()), float(low), float(high)
    )


def _points(cloud: object) -> Points:
    assert isinstance(cloud, Jagged)
    counts = np.diff(cloud.offsets)
    return Points(len(counts), int(counts.sum()), int(counts.max(initial=0)), int((counts == 0).sum()))
