"""The reader for tables in delimited text: one event a row, one file or many, plain or gzipped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float32, Float64, Int, Int64, Shaped
from pydantic import Field

from hepanom.contracts import Part, Reader, Unread
from hepanom.errors import InputError
from hepanom.events import Events, Input, Schema, hash64
from hepanom_plugins.readers.delimited import Table, Type, guess_types, hold_text, read_header, read_rows
from hepanom_plugins.readers.files import OnBadFile, base, blame_the_file_first, match_files
from hepanom_plugins.readers.roles import TILE, Roles, blamed_on, matched


@dataclass(frozen=True)
class Csv(Roles, Reader):
    """Reads a table: a header, then one event a row, with features as float32 in the input ``features``.

    An empty field and ``nan`` are missing and become NaN. By default all columns are features but those that hold
    words, and nothing like a number, in the first thousand rows of the first file. Columns of ``id``, ``keep`` and
    ``category`` travel in ``Events.beside`` as int64, float64 or str, by what these rows hold. The event id is the hash
    of the ``id`` columns; without them that of the file's base name (less ``.gz``) and the row number, which then
    travels beside as ``row``. A file is one part, read in order in blocks of some 8 MB of text.
    """

    path: Annotated[str | tuple[str, ...], Field(description="file or glob, or several; all have the same header")]
    types: Annotated[
        dict[str, Literal["int", "float", "str"]],
        Field(description="type by id, keep or category column, where the first thousand rows mislead"),
    ] = field(default_factory=dict)
    separator: Annotated[str, Field(description="what stands between fields", pattern="^[\t -~]$")] = ","
    on_bad_file: OnBadFile = "stop"

    @classmethod
    def reads(cls, file: str) -> bool:
        """Say whether this is delimited text, by its name."""
        return file.removesuffix(".gz").endswith((".csv", ".txt"))

    def schema(self) -> Schema:
        """Describe the events; looks at the headers of all files."""
        files = match_files(self.path)
        first = self._table(files[0])
        names = [base(file) for file in files]
        for file, name in zip(files, names, strict=True):
            first.at(file)
            twin = files[names.index(name)]
            if twin != file and not self.id:
                raise InputError(f"{twin} and {file} would give the same event ids; rename one or set `id`")
        columns = self._features(first)
        units = tuple(self.unit(column) for column in columns)
        beside = self.beside() if self.id else tuple(dict.fromkeys(["row", *self.beside()]))
        return Schema({"features": Input("table", columns, units)}, tuple(self.classes), self.targets, beside)

    def parts(self) -> Sequence[Part]:
        """List the files: each is one part, of its size in bytes."""
        return [Part(file, 0, Path(file).stat().st_size) for file in match_files(self.path)]

    def read(self, part: Part) -> Iterator[Events]:
        """Yield a file's events block by block.

        Raises InputError, naming file, line and column, for a broken file, a field that is no number, a short or long
        row, an unknown label, a missing weight or id.
        """
        first = self._table(match_files(self.path)[0])
        table, features = first.at(part.file), self._features(first)
        with blame_the_file_first(part.file):
            for line, rows in read_rows(table):
                yield self._events(table, features, rows, line)

    def on(self, files: Sequence[str]) -> Csv:
        """Return this reader for other files; the optional columns that they lack are left out and logged."""
        used = [column for _, column in self.roles()]
        found = self.without(lambda file: {*used}.difference(read_header(file, self.separator)), match_files(files))
        left = [column for _, column in found.roles()]
        types = {column: kind for column, kind in self.types.items() if column in left or column not in used}
        return replace(found, path=tuple(files), types=types)

    def unread(self) -> Sequence[Unread]:
        """List the other columns."""
        table = self._table(match_files(self.path)[0])
        used, words = {*self._features(table), *(column for _, column in self.roles())}, hold_text(table)
        left = [name for name in table.names if name not in used]
        return [Unread(name, "text" if name in words else "number", "", 1, 1) for name in left]

    def _table(self, file: str) -> Table:
        """Return names and types of a file's columns, after a check of the options against its header."""
        with blame_the_file_first(file):
            names = read_header(file, self.separator)
            with blamed_on(f"{file}:1"):
                self._check(names)
            features = self._features(Table(file, names, {}, self.separator))
            types: dict[str, Type] = dict.fromkeys((*features, *self.targets), "float32")
            types |= {column: "float" for role, column in self.roles() if role == "weight"}
            types |= {column: "str" for role, column in self.roles() if role == "label"}
            table = Table(file, names, types, self.separator)
            return replace(table, types=types | guess_types(table, self.beside()) | self.types)

    def _features(self, table: Table) -> tuple[str, ...]:
        """Return the features: by default all columns but those of text, as long as there are others."""
        words = hold_text(table) if self.features == ("*",) else ()
        columns = self.chosen(table.names)
        return tuple(name for name in columns if name not in words) or columns

    def _check(self, names: Sequence[str]) -> None:
        self.check(names)
        matched("types", self.types, self.beside())

    def _events(self, table: Table, features: Sequence[str], rows: pl.DataFrame, line: int) -> Events:
        """Turn checked rows, the first of which is ``line``, into events."""
        beside = {column: _carried(rows[column], column in self.id, table, line) for column in self.beside()}
        if self.id:
            event_id = hash64([beside[column] for column in self.id])
        else:
            row = np.arange(line - 2, line - 2 + rows.height)
            event_id = hash64([row], seed=int(hash64([np.array([base(table.file)])])[0]))
            beside = {"row": row, **beside}
        ones, unknown = np.ones(rows.height), np.full(rows.height, -1)
        return Events(
            event_id,
            {"features": self._numbers(rows, features)},
            weight=ones if self.weight is None else self._weight_column(rows[self.weight], table, line),
            label=unknown if self.label is None else self._label_column(rows[self.label], table, line),
            category=np.zeros(rows.height, np.int64),
            target=self._numbers(rows, self.targets) if self.targets else None,
            beside=beside,
        )

    def _numbers(self, rows: pl.DataFrame, columns: Sequence[str]) -> Float32[np.ndarray, "event feature"]:
        by_column = rows.select(columns).to_numpy(order="fortran")
        numbers = np.empty(by_column.shape, np.float32)
        for start in range(0, len(numbers), TILE):
            tile = numbers[start : start + TILE]
            tile[:] = by_column[start : start + TILE]
            self.blanked(tile)
        return numbers

    def _weight_column(self, column: pl.Series, table: Table, line: int) -> Float64[np.ndarray, " event"]:
        weights: Float64[np.ndarray, " event"] = column.to_numpy(writable=True)
        bad = ~np.isfinite(weights) | np.isin(weights, self.missing)
        _refuse(bad, column, table, line, "is no weight; give the event a finite one or leave it out")
        return weights

    def _label_column(self, column: pl.Series, table: Table, line: int) -> Int64[np.ndarray, " event"]:
        texts, codes = _encode(column)
        labels: Int64[np.ndarray, " event"] = np.array([self.class_of(text) for text in texts], np.int64)[codes]
        known = "; ".join(f"{name}: {', '.join(map(repr, values))}" for name, values in self.classes.items())
        _refuse(labels < 0, column, table, line, f"is in none of the classes ({known})")
        return labels


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
