"""The reader for tables in delimited text: one event a row, one file or many, plain or gzipped."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float32, Float64, Int, Int64, Shaped
from pydantic import Field

from hepanom.contracts import Part, Reader
from hepanom.errors import InputError, did_you_mean
from hepanom.events import Events, Input, Schema, hash64, match_columns
from hepanom_plugins.readers.delimited import Table, Type, guess_types, read_header, read_rows
from hepanom_plugins.readers.files import blame_the_file_first, match_files

log = logging.getLogger(__name__)

TILE = 2048  # rows transposed at a time: they stay in the cache
BESIDE = {"id", "keep", "category"}  # a column may have several of these roles, but no other twice


@dataclass(frozen=True)
class Csv(Reader):
    """Reads a table: a header, then one event a row, with features as float32 in the input ``features``.

    An empty field and ``nan`` are missing and become NaN. Columns of ``id``, ``keep`` and ``category`` travel in
    ``Events.beside`` as int64, float64 or str, by what the first thousand rows of the first file hold. The event id is
    the hash of the ``id`` columns; without them that of the file's base name (less ``.gz``) and the row number, which
    then travels beside as ``row``. A file is one part, read in order in blocks of some 8 MB of text.
    """

    path: Annotated[str | tuple[str, ...], Field(description="file or glob, or several; all have the same header")]
    features: Annotated[
        tuple[str, ...], Field(description="feature columns as shell patterns, less the columns used otherwise")
    ] = ("*",)
    label: Annotated[str | None, Field(description="column that says what an event is")] = None
    classes: Annotated[
        dict[str, tuple[str | int | float, ...]],
        Field(description="class name -> its values in the label column; numbers are compared as numbers"),
    ] = field(default_factory=dict)
    weight: Annotated[str | None, Field(description="column of event weights; without it they are 1")] = None
    id: Annotated[tuple[str, ...], Field(description="columns that make an event unique")] = ()
    keep: Annotated[tuple[str, ...], Field(description="columns that travel beside the events")] = ()
    category: Annotated[str | None, Field(description="column that travels beside, for a model per value")] = None
    targets: Annotated[tuple[str, ...], Field(description="columns of the regression target")] = ()
    missing: Annotated[tuple[float, ...], Field(description="values that mean missing, in all but columns beside")] = ()
    units: Annotated[dict[str, str], Field(description="unit by feature or pattern; a name goes before a pattern")] = (
        field(default_factory=dict)
    )
    types: Annotated[
        dict[str, Literal["int", "float", "str"]],
        Field(description="type by id, keep or category column, where the first thousand rows mislead"),
    ] = field(default_factory=dict)
    separator: Annotated[str, Field(description="what stands between fields", pattern="^[\t -~]$")] = ","

    def schema(self) -> Schema:
        """Describe the events; looks at the headers of all files."""
        files = match_files(self.path)
        first = self._table(files[0])
        names = [_base(file) for file in files]
        for file, name in zip(files, names, strict=True):
            first.at(file)
            twin = files[names.index(name)]
            if twin != file and not self.id:
                raise InputError(f"{twin} and {file} would give the same event ids; rename one or set `id`")
        columns = self._features(first.names)
        units = tuple(self._unit(column) for column in columns)
        beside = self._beside() if self.id else tuple(dict.fromkeys(["row", *self._beside()]))
        return Schema({"features": Input("table", columns, units)}, tuple(self.classes), self.targets, beside)

    def parts(self) -> Sequence[Part]:
        """List the files: each is one part, of its size in bytes."""
        return [Part(file, 0, Path(file).stat().st_size) for file in match_files(self.path)]

    def read(self, part: Part) -> Iterator[Events]:
        """Yield a file's events block by block.

        Raises InputError, naming file, line and column, for a broken file, a field that is no number, a short or long
        row, an unknown label, a missing weight or id.
        """
        table = self._table(match_files(self.path)[0]).at(part.file)
        features = self._features(table.names)
        with blame_the_file_first(part.file):
            for line, rows in read_rows(table):
                yield self._events(table, features, rows, line)

    def on(self, files: Sequence[str]) -> Csv:
        """Return this reader for other files; the optional columns that they lack are left out and logged."""
        names = read_header(match_files(files)[0], self.separator)
        absent = {column for role, column in self._roles() if role != "id" and column not in names}
        if absent:
            log.info("%s: without %s", files[0], ", ".join(sorted(absent)))
        return replace(
            self,
            path=tuple(files),
            label=None if self.label in absent else self.label,
            weight=None if self.weight in absent else self.weight,
            category=None if self.category in absent else self.category,
            keep=tuple(column for column in self.keep if column not in absent),
            targets=() if absent.intersection(self.targets) else self.targets,
            types={column: kind for column, kind in self.types.items() if column not in absent},
        )

    def _roles(self) -> list[tuple[str, str]]:
        """List (option, column) for every column that an option other than ``features`` names."""
        roles = {"id": self.id, "keep": self.keep, "category": (self.category,)}
        roles |= {"targets": self.targets, "label": (self.label,), "weight": (self.weight,)}
        return [(role, column) for role, columns in roles.items() for column in columns if column is not None]

    def _beside(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(column for role, column in self._roles() if role in BESIDE))

    def _features(self, names: Sequence[str]) -> tuple[str, ...]:
        used = {column for _, column in self._roles()}
        return _match("features", self.features, [name for name in names if name not in used])

    def _unit(self, column: str) -> str:
        by_pattern = (unit for pattern, unit in self.units.items() if fnmatchcase(column, pattern))
        return self.units[column] if column in self.units else next(by_pattern, "")

    def _table(self, file: str) -> Table:
        """Return names and types of a file's columns, after a check of the options against its header."""
        with blame_the_file_first(file):
            names = read_header(file, self.separator)
            try:
                self._check(names)
            except InputError as error:
                raise InputError(f"{file}:1: {error}") from error
            types: dict[str, Type] = dict.fromkeys((*self._features(names), *self.targets), "float32")
            types |= {column: "float" for role, column in self._roles() if role == "weight"}
            types |= {column: "str" for role, column in self._roles() if role == "label"}
            table = Table(file, names, types, self.separator)
            return replace(table, types=types | guess_types(table, self._beside()) | self.types)

    def _check(self, names: Sequence[str]) -> None:
        """Raise InputError for options that contradict each other or name what is not in the header."""
        used: dict[str, str] = {}
        for role, column in [*self._roles(), *(("features", pattern) for pattern in self.features)]:
            if role != "features" and column not in names:
                raise InputError(f"{role}: column {column!r} is not there; {did_you_mean(column, names)}")
            other = used.setdefault(column, role)
            if other != role and not {other, role} <= BESIDE:
                raise InputError(f"column {column!r} cannot be both in `{other}` and in `{role}`")
        _match("units", self.units, self._features(names))
        _match("types", self.types, self._beside())
        class_of = [(value, name) for name, values in self.classes.items() for value in values]
        if self.label is not None and not class_of:
            raise InputError(f"label {self.label!r} needs `classes`: class name -> its values in that column")
        for value, name in class_of:
            if dict(class_of)[value] != name:
                raise InputError(f"classes: {value!r} cannot be both {name!r} and {dict(class_of)[value]!r}")

    def _events(self, table: Table, features: Sequence[str], rows: pl.DataFrame, line: int) -> Events:
        """Turn checked rows, the first of which is ``line``, into events."""
        beside = {column: _carried(rows[column], column in self.id, table, line) for column in self._beside()}
        if self.id:
            event_id = hash64([beside[column] for column in self.id])
        else:
            row = np.arange(line - 2, line - 2 + rows.height)
            event_id = hash64([row], seed=int(hash64([np.array([_base(table.file)])])[0]))
            beside = {"row": row, **beside}
        ones, unknown = np.ones(rows.height), np.full(rows.height, -1)
        return Events(
            event_id,
            {"features": self._numbers(rows, features)},
            weight=ones if self.weight is None else self._weights(rows[self.weight], table, line),
            label=unknown if self.label is None else self._labels(rows[self.label], table, line),
            category=np.zeros(rows.height, np.int64),
            target=self._numbers(rows, self.targets) if self.targets else None,
            beside=beside,
        )

    def _numbers(self, rows: pl.DataFrame, columns: Sequence[str]) -> Float32[np.ndarray, "event feature"]:
        by_column = rows.select(columns).to_numpy(order="fortran")
        numbers = np.empty(by_column.shape, np.float32)
        with np.errstate(over="ignore"):  # a largest double, as some frameworks write it, is read as infinity too
            missing = np.array(self.missing).astype(np.float32)
        for start in range(0, len(numbers), TILE):
            tile = numbers[start : start + TILE]
            tile[:] = by_column[start : start + TILE]
            for value in missing:
                tile[tile == value] = np.nan
        return numbers

    def _weights(self, column: pl.Series, table: Table, line: int) -> Float64[np.ndarray, " event"]:
        weights: Float64[np.ndarray, " event"] = column.to_numpy(writable=True)
        bad = ~np.isfinite(weights) | np.isin(weights, self.missing)
        _refuse(bad, column, table, line, "is no weight; give the event a finite one or leave it out")
        return weights

    def _labels(self, column: pl.Series, table: Table, line: int) -> Int64[np.ndarray, " event"]:
        texts, codes = _encode(column)
        labels: Int64[np.ndarray, " event"] = np.array([self._class(text) for text in texts], np.int64)[codes]
        known = "; ".join(f"{name}: {', '.join(map(repr, values))}" for name, values in self.classes.items())
        _refuse(labels < 0, column, table, line, f"is in none of the classes ({known})")
        return labels

    def _class(self, text: str) -> int:
        """Return the index of the class that a field of the label column stands for, -1 for none."""
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        for index, values in enumerate(self.classes.values()):
            if any(text == value if isinstance(value, str) else number == value for value in values):
                return index
        return -1


def _match(option: str, patterns: Iterable[str], columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that the patterns of an option name."""
    try:
        return tuple(match_columns(tuple(patterns), columns))
    except InputError as error:
        raise InputError(f"{option}: {error}") from error


def _carried(column: pl.Series, unique: bool, table: Table, line: int) -> Shaped[np.ndarray, " event"]:
    """Return a column that travels beside the events; an integer, or what makes an event unique, may not be empty."""
    if unique or column.dtype == pl.Int64:
        remedy = "cannot be part of an event id" if unique else "is no integer; make it float in the option `types`"
        _refuse(column.is_null().to_numpy(), column, table, line, remedy)
    if column.dtype == pl.String:
        texts, codes = _encode(column)
        values: Shaped[np.ndarray, " event"] = np.array(texts)[codes]
    else:
        values = column.to_numpy(writable=True)
    return values


def _encode(column: pl.Series) -> tuple[list[str], Int[np.ndarray, " event"]]:
    """Return the different texts of a column and each event's index in them: ten times faster than text by text."""
    filled = column.fill_null("") if column.null_count() else column
    encoded = filled.to_arrow().dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy()


def _refuse(bad: Bool[np.ndarray, " event"], column: pl.Series, table: Table, line: int, why: str) -> None:
    """Raise InputError for the first event that is bad."""
    if bad.any():
        row = int(bad.argmax())
        found = "an empty field" if column[row] in (None, "") else repr(column[row])
        raise InputError(f"{table.file}:{line + row}: column {column.name!r}: {found} {why}")


def _base(file: str) -> str:
    """Return what names a file wherever it lies, compressed or not."""
    return Path(file).name.removesuffix(".gz")
