"""Roles: which columns of a table are features, and which say what an event is, weighs and is called."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Annotated, TypeVar

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, Shaped
from pydantic import Field

from hepanom.errors import BrokenFileError, InputError, OptionError, Place, did_you_mean
from hepanom.events import Events, Jagged, hash64, match_columns
from hepanom_plugins.readers.files import base

BESIDE = {"id", "keep", "category"}  # a column may have several of these roles, but no other twice
TILE = 2048  # rows transposed at a time: they stay in the cache

Columns = Mapping[str, Shaped[np.ndarray, " event"]]

log = logging.getLogger(__name__)
R = TypeVar("R", bound="Roles")  # beartype cannot read Self in a method


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Options that every reader of named columns shares.

    Columns of ``id``, ``keep`` and ``category`` travel in ``Events.beside``. The event id is the hash of the ``id``
    columns; without them that of the file's base name and the row number, which then travels beside.
    """

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

    def roles(self) -> list[tuple[str, str]]:
        """List (option, column) for every column that an option other than ``features`` names."""
        return [(str(place[0]), column) for place, column in self.places()]

    def places(self) -> list[tuple[Place, str]]:
        """List the same with the place of each in the options: ``("id", 0)``."""
        options = [("id", self.id), ("keep", self.keep), ("category", self.category), ("targets", self.targets)]
        options += [("label", self.label), ("weight", self.weight)]
        found: list[tuple[Place, str]] = []
        for role, columns in options:
            if isinstance(columns, tuple):
                found += [((role, index), column) for index, column in enumerate(columns)]
            elif columns is not None:
                found.append(((role,), columns))
        return found

    def beside(self) -> tuple[str, ...]:
        """Return the columns that travel beside the events."""
        return tuple(dict.fromkeys(column for role, column in self.roles() if role in BESIDE))

    def chosen(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the feature columns among ``names``."""
        used = {column for _, column in self.roles()}
        return matched("features", self.features, [name for name in names if name not in used])

    def unit(self, column: str, default: str = "") -> str:
        """Return a feature's unit."""
        by_pattern = (unit for pattern, unit in self.units.items() if fnmatchcase(column, pattern))
        return self.units[column] if column in self.units else next(by_pattern, default)

    def check(self, names: Sequence[str]) -> None:
        """Raise OptionError for options that contradict each other or name a column that is not among ``names``."""
        if found := self.mistakes(names):
            raise OptionError(found.items())

    def mistakes(self, names: Sequence[str]) -> dict[Place, str]:
        """Return what is wrong with such options by their places."""
        found: dict[Place, str] = {}
        used: dict[str, str] = {}
        features = [(("features", index), pattern) for index, pattern in enumerate(self.features)]
        for place, column in [*self.places(), *features]:
            role = str(place[0])
            if role != "features" and column not in names:
                found[place] = f"column {column!r} is not there; {did_you_mean(column, names)}"
            other = used.setdefault(column, role)
            if other != role and not {other, role} <= BESIDE:
                found[place] = f"column {column!r} cannot be both in `{other}` and in `{role}`"
        try:
            matched("units", self.units, self.chosen(names))
        except OptionError as error:
            found = dict(error.mistakes) | found
        return found | dict(self.class_mistakes())

    def class_mistakes(self) -> Iterator[tuple[Place, str]]:
        """Yield a label without classes, and each value of two classes."""
        class_of = [(value, name) for name, values in self.classes.items() for value in values]
        if self.label is not None and not class_of:
            yield ("label",), f"column {self.label!r} needs `classes`: class name -> its values in that column"
        for value, name in class_of:
            if dict(class_of)[value] != name:
                other = dict(class_of)[value]
                yield ("classes", name), f"{value!r} cannot be both {name!r} and {other!r}"

    def without(self: R, lacks: Callable[[str], set[str]], files: Sequence[str]) -> R:
        """Return these roles less the optional columns that other files lack, and log them; an event's id stays.

        ``lacks`` are the columns of roles that a file has not. Raises InputError where files differ in that: what one
        has would be left out in silence. Broken files do not count where they are skipped.
        """
        known: dict[str, set[str]] = {}
        for file in files:
            try:
                known[file] = lacks(file).difference(self.id)
            except BrokenFileError:
                if getattr(self, "on_bad_file", "stop") == "stop" or (file == files[-1] and not known):
                    raise
        (first, absent), *others = known.items()
        for file, other in others:
            for column in sorted(absent ^ other):
                have, lack = (file, first) if column in absent else (first, file)
                raise InputError(f"{have} has {column!r} and {lack} lacks it; give them to two commands")
        if absent:
            log.info("%s: without %s", ", ".join(known), ", ".join(sorted(absent)))
        return replace(
            self,
            label=None if self.label in absent else self.label,
            weight=None if self.weight in absent else self.weight,
            category=None if self.category in absent else self.category,
            keep=tuple(column for column in self.keep if column not in absent),
            targets=() if absent.intersection(self.targets) else self.targets,
        )

    def class_of(self, text: str) -> int:
        """Return the index of the class that a value of the label column stands for, -1 for none."""
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        for index, values in enumerate(self.classes.values()):
            if any(text == value if isinstance(value, str) else number == value for value in values):
                return index
        return -1

    def events(
        self,
        columns: Columns,
        inputs: Mapping[str, Shaped[np.ndarray, "event ..."] | Jagged],
        rows: Int64[np.ndarray, " event"],
        file: str,
        counter: str = "row",
    ) -> Events:
        """Return events from the columns of all roles, their inputs and their row numbers in the file.

        ``counter`` is what the file calls a row. Raises InputError, naming file and row, for a weight that is missing,
        a label of no class, an id that is missing.
        """
        place = Rows(file, counter, rows)
        beside = {column: _plain(columns[column]) for column in self.beside()}
        if self.id:
            for column in self.id:
                place.refuse(_absent(beside[column]), column, beside[column], "cannot be part of an event id")
            event_id = hash64([beside[column] for column in self.id])
        else:
            event_id = hash64([rows], seed=int(hash64([np.array([base(file)])])[0]))
            beside = {counter: rows, **beside}
        return Events(
            event_id,
            inputs,
            weight=np.ones(len(rows)) if self.weight is None else self._weights(columns[self.weight], place),
            label=np.full(len(rows), -1) if self.label is None else self._labels(columns[self.label], place),
            category=np.zeros(len(rows), np.int64),
            target=self.table(columns, self.targets) if self.targets else None,
            beside=beside,
        )

    def table(self, columns: Columns, names: Sequence[str]) -> Float32[np.ndarray, "event feature"]:
        """Return columns side by side as float32, with NaN where a value means missing."""
        arrays = [columns[name] for name in names]
        numbers = np.empty((len(arrays[0]) if arrays else 0, len(names)), np.float32)
        with np.errstate(over="ignore"):
            for start in range(0, len(numbers), TILE):
                tile = slice(start, start + TILE)
                for index, array in enumerate(arrays):
                    numbers[tile, index] = array[tile]
        return self.blanked(numbers)

    def blanked(self, numbers: Float32[np.ndarray, "event ..."]) -> Float32[np.ndarray, "event ..."]:
        """Put NaN, in place, where a value means missing; return the same array."""
        with np.errstate(over="ignore"):  # a largest double, as some frameworks write it, is read as infinity too
            missing = np.array(self.missing).astype(np.float32)
        for value in missing:
            numbers[numbers == value] = np.nan
        return numbers

    def _weights(self, column: Shaped[np.ndarray, " event"], place: Rows) -> Float64[np.ndarray, " event"]:
        weights = column.astype(np.float64)
        missing = np.array(self.missing, column.dtype if column.dtype.kind == "f" else np.float64)
        bad = ~np.isfinite(weights) | np.isin(column, missing)
        place.refuse(bad, str(self.weight), column, "is no weight; give the event a finite one or leave it out")
        return weights

    def _labels(self, column: Shaped[np.ndarray, " event"], place: Rows) -> Int64[np.ndarray, " event"]:
        values, codes = np.unique(_plain(column), return_inverse=True)
        labels = np.array([self.class_of(str(value)) for value in values], np.int64)[codes]
        known = "; ".join(f"{name}: {', '.join(map(repr, values))}" for name, values in self.classes.items())
        place.refuse(labels < 0, str(self.label), column, f"is in none of the classes ({known})")
        return labels


@dataclass(frozen=True)
class Rows:
    """Where a chunk's rows stand in their file, for errors."""

    file: str
    counter: str
    numbers: Int64[np.ndarray, " event"]

    def refuse(
        self, bad: Bool[np.ndarray, " event"], column: str, values: Shaped[np.ndarray, " event"], why: str
    ) -> None:
        """Raise InputError for the first row that is bad."""
        if bad.any():
            first = int(bad.argmax())
            raise InputError(
                f"{self.file}: {self.counter} {self.numbers[first]}: column {column!r}: {values[first]!s} {why}"
            )


@contextmanager
def blamed_on(file: str) -> Iterator[None]:
    """Let what is wrong with the options say the file that shows it."""
    try:
        yield
    except OptionError as error:
        raise OptionError(error.mistakes, file) from error
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def matched(option: str, patterns: Sequence[str] | Mapping[str, str], columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that the patterns of an option name. Raises OptionError for those that match none."""
    lost: list[tuple[Place, str]] = []
    for index, pattern in enumerate(patterns):
        try:
            match_columns((pattern,), columns)
        except InputError as error:
            lost.append(((option, pattern if isinstance(patterns, Mapping) else index), str(error)))
    if lost:
        raise OptionError(lost)
    return tuple(match_columns(tuple(patterns), columns))


def _plain(column: Shaped[np.ndarray, " event"]) -> Shaped[np.ndarray, " event"]:
    """Return booleans as integers, bytes and objects as text, numbers as int64 or float64 where they fit."""
    if column.dtype.kind == "b":
        return column.astype(np.int64)
    if column.dtype.kind == "S":
        return np.asarray(np.char.decode(column, "utf-8"))
    if column.dtype.kind == "O":
        return np.array([value.decode() if isinstance(value, bytes) else str(value) for value in column], str)
    if column.dtype.kind == "f":
        return column.astype(np.float64)
    return column.astype(np.int64) if column.dtype.kind == "i" or column.dtype.itemsize < 8 else column


def _absent(column: Shaped[np.ndarray, " event"]) -> Bool[np.ndarray, " event"]:
    if column.dtype.kind == "f":
        return np.asarray(np.isnan(column))
    return np.asarray(column == "") if column.dtype.kind == "U" else np.zeros(len(column), bool)
