"""An overview of events, before anyone writes a recipe: what every column holds, and what the classes weigh."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float64, Int, Shaped

from hepanom.contracts import Part, Reader, Unread
from hepanom.errors import BrokenFileError, InputError
from hepanom.events import Events, Jagged, Schema
from hepanom.result import Skipped
from hepanom.stream import read_parts
from hepanom.summary import SAMPLE, Points, Summary, Weights, counted, edges, summarized, weighed

DIFFERENT = 1000  # texts of a column that are told apart
PLACES = 8  # parts whose first chunk decides the bins: files are often sorted by class
UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class Column:
    """A column: where it stands in the events, and its numbers; text has ``texts`` in place of a ``summary``.

    ``place`` is the input's name, ``target`` or ``beside``; ``kind`` is table, points, image, target or beside, and
    ``type`` that of its values as the reader gives them. ``texts`` counts the values; more than a thousand different
    ones are no longer counted.
    """

    place: str
    name: str
    kind: str
    type: str
    unit: str
    edges: Float64[np.ndarray, " edge"] | None = None
    summary: Summary | None = None
    texts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Overview:
    """What a reader's events hold; ``stopped`` where only the first ``events`` of them were looked at.

    ``classes`` has the schema's classes, and unlabelled events where there are some; ``points`` is by input; ``unread``
    is what else lies in the files.
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
    unread: tuple[Unread, ...] = ()

    @property
    def placeholders(self) -> list[tuple[str, float, float]]:
        """List (column, value, share of its values) of the inputs' columns in which a value may mean missing."""
        return [
            (column.name, column.summary.placeholder, column.summary.lowest / column.summary.values)
            for column in self.columns
            if column.place in self.schema.inputs and column.summary and column.summary.placeholder is not None
        ]


def survey(reader: Reader, most: int | None = None, watch: Callable[[int], None] = lambda _: None) -> Overview:
    """Read the events once, or the first ``most`` of them, chunk by chunk, and sum up what they hold.

    The bins of the histograms come from the first chunk of up to eight parts, spread over the data, before: they leave
    out the outermost per mille on either side, and are logarithmic where all values there are positive and span more
    than 1.5 decades. Raises InputError where there is no event.
    """
    schema, parts = reader.schema(), list(reader.parts())
    looks = list(_looks(reader, parts))
    columns: list[Column] = []
    classes: dict[str, Weights] = dict.fromkeys((*schema.classes, UNLABELLED), Weights())
    points = {name: Points() for name, entry in schema.inputs.items() if entry.kind == "points"}
    tally: Counter[str] = Counter()
    skipped: list[Skipped] = []
    seen = 0
    with closing(_up_to(most, read_parts(reader, parts, skipped))) as chunks:
        for chunk in chunks:
            seen += len(chunk)
            tally.update(chunk.tally)
            if not len(chunk):  # a cut may leave nothing
                continue
            columns = [_seen(column, chunk, schema) for column in columns or _described(schema, looks or [chunk])]
            for index, name in enumerate(classes):
                label = index if index < len(schema.classes) else -1
                classes[name] += weighed(chunk.weight[chunk.label == label])
            for name, values in chunk.inputs.items():
                if isinstance(values, Jagged):
                    points[name] += counted(values)
            watch(seen)
    files = tuple(dict.fromkeys(part.file for part in parts))
    if not seen:
        told = [f"{what}: {count:,}" for what, count in tally.items()] + [entry.why for entry in skipped]
        raise InputError(f"no events in {', '.join(files[:3]) or 'these data'}{''.join(f'; {text}' for text in told)}")
    if not classes[UNLABELLED].events:
        del classes[UNLABELLED]
    stopped, unread = seen == most, tuple(reader.unread())
    return Overview(schema, files, seen, stopped, tuple(columns), classes, points, tally, tuple(skipped), unread)


def _up_to(most: int | None, chunks: Iterable[tuple[Part, Events]]) -> Generator[Events, None, None]:
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
            chunk = next((chunk for chunk in reader.read(parts[index]) if len(chunk)), None)
        except BrokenFileError:
            continue
        if chunk is not None:
            yield chunk.mask(np.arange(len(chunk)) % (1 + len(chunk) * PLACES // SAMPLE) == 0)


def _described(schema: Schema, looks: Sequence[Events]) -> list[Column]:
    """List the columns, with their types and bins."""
    listed: list[tuple[str, str, str, str]] = [
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
    return replace(column, type=kind, edges=edges(sample[np.isfinite(sample)]))


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
    if values is not None and column.type == "text" and len(column.texts) <= DIFFERENT:
        found, counts = np.unique(values.astype(str), return_counts=True)
        more = Counter(dict(zip(found.tolist(), counts.tolist(), strict=True)))
        return replace(column, texts=Counter(column.texts) + more)
    if values is None or column.edges is None:
        return column
    summary = summarized(values, labels, column.edges, len(schema.classes))
    return replace(column, summary=summary if column.summary is None else column.summary + summary)
