"""Readers of columns, one value or one list of values per event: what ROOT trees and Parquet files share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int64
from pydantic import Field

from hepanom.contracts import Part, Reader, Unread
from hepanom.errors import BrokenFileError, InputError, OptionError, Place
from hepanom.events import Events, Input, Schema
from hepanom_plugins.readers import mistakes
from hepanom_plugins.readers.expressions import parse, truth
from hepanom_plugins.readers.files import OnBadFile, base, find_files, same
from hepanom_plugins.readers.groups import NO_CLASS, Group, common_weight, grouped, regrouped
from hepanom_plugins.readers.objects import cloud, described, lead, members, per_event, present
from hepanom_plugins.readers.roles import BESIDE, Roles

CHUNK_BYTES = 8_000_000  # read at a time
PART_BYTES = 64_000_000

Kind = Literal["number", "numbers", "text", "other"]  # of one value per event, or a list of them
C = TypeVar("C", bound="Columnar")  # beartype cannot read Self in a method


@runtime_checkable
class Columns(Protocol):
    """An open file: the kind of every column, and how to read some of them."""

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """What every column holds."""

    def edges(self, names: Sequence[str], size: int) -> list[int]:
        """Return 0, the rows where parts of some ``size`` bytes of these columns begin, and the number of rows."""

    def chunks(self, names: Sequence[str], rows: range, size: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (rows, arrays) of some ``size`` bytes, one after the other: numpy, or awkward for lists and text."""


@dataclass(frozen=True)
class Columnar(Roles, Reader):
    """Options and events of a reader whose files hold columns; the subclasses say what they mean."""

    path: Annotated[
        str | tuple[str, ...] | None, Field(description="file, glob, folder or address, or several of them")
    ] = None
    files: Annotated[
        dict[str, str | tuple[str, ...] | Group],
        Field(description="instead of path: class name -> its files, or {path, weight}"),
    ] = field(default_factory=dict)
    derive: Annotated[dict[str, str], Field(description="name -> expression of a further column")] = field(
        default_factory=dict
    )
    cut: Annotated[str | None, Field(description="expression that an event must fulfil")] = None
    points: Annotated[
        dict[str, str],
        Field(description="name of a point cloud -> columns of lists, such as jets: Jet_{Px,Py,Pz,E}"),
    ] = field(default_factory=dict)
    leading: Annotated[
        dict[str, Annotated[int, Field(gt=0)]],
        Field(description="columns of lists -> how many objects become columns: Jet_{Px,Py}: 2 gives Jet_Px[0] to [1]"),
    ] = field(default_factory=dict)
    on_bad_file: OnBadFile = "stop"

    suffix: ClassVar[str]
    counter: ClassVar[str] = "row"  # what the format calls a row and a column
    called: ClassVar[str] = "column"

    @classmethod
    def reads(cls, file: str) -> bool:
        """Say whether this is a file of the format, by its name."""
        return file.endswith(cls.suffix)

    @abstractmethod
    def opened(self, file: str) -> AbstractContextManager[Columns]:
        """Open a file. Raises BrokenFileError for one that cannot be read."""

    def schema(self) -> Schema:
        """Describe the events from the headers of all files."""
        first, needed = "", list[str]()
        known: Mapping[str, Kind] = {}
        for file, group in self._listed():
            try:
                with self.opened(file) as content:
                    found = content.kinds
            except BrokenFileError:
                if self.on_bad_file == "stop":
                    raise
                continue
            if not first:
                first, known = file, found
                self._check_options(known, first, group)
                needed = self._needed(known, NO_CLASS)
            for column in needed:
                if found.get(column) != known[column]:
                    what = f"is {found[column]}" if column in found else "is not there"
                    raise InputError(f"{file}: {self.called} {column!r} {what}, in {first} it is {known[column]}")
            if wrong := dict(mistakes.in_expressions(self._expressions(group), found, self.called)):
                raise OptionError(wrong.items(), file)
        if not first:
            raise InputError("none of the files can be read")
        inputs = {}
        if names := self._names:
            inputs["features"] = Input("table", names, tuple(self.unit(name) for name in names))
        for name, pattern in self.points.items():
            columns = members(pattern)
            inputs[name] = Input("points", tuple(columns), tuple(self.unit(column) for column in columns.values()))
        beside = tuple(dict.fromkeys([self.counter, *self.beside()]))
        return Schema(inputs, tuple(self.files or self.classes), self.targets, beside)

    def parts(self) -> Sequence[Part]:
        """List ranges of rows of some 64 MB; a broken file is one part with a problem where they are skipped."""
        found: list[Part] = []
        for file, group in self._listed():
            try:
                with self.opened(file) as content:
                    edges = content.edges(self._read(content.kinds, file, group), PART_BYTES)
            except BrokenFileError as error:
                if self.on_bad_file == "stop":
                    raise
                found.append(Part(file, 0, 0, str(error)))
                continue
            found += [Part(file, start, stop) for start, stop in pairwise(edges)]
        return found

    def read(self, part: Part) -> Iterator[Events]:
        """Yield the part's events in chunks of some 8 MB.

        Raises BrokenFileError for a truncated file, InputError for a column that is not there or of another kind, a
        label of no class, a weight that is missing.
        """
        group = dict(self._listed())[part.file]
        with self.opened(part.file) as content:
            columns, first = self._read(content.kinds, part.file, group), part.start
            for count, arrays in content.chunks(columns, range(part.start, part.stop), CHUNK_BYTES):
                yield self._events(arrays, np.arange(first, first + count), part.file, group)
                first += count

    def on(self: C, files: Sequence[str]) -> C:
        """Return this reader for other files; roles whose columns they lack are left out.

        Files of ``files`` keep their class and its weight; others have no class, and the weight that all classes share.
        """
        asked = find_files(files, self.suffix)
        groups: Any = regrouped(self.files, asked, self.suffix)
        others = [file for file in asked if not any(file in group.path for group in groups.values())]
        roles = replace(self, path=tuple(asked), weight=self.weight or common_weight(groups, others))

        def lacks(file: str) -> set[str]:
            with self.opened(file) as content:
                known = {*content.kinds, *self.derive}
            return {text for _, text in roles.roles() if not known.issuperset(parse(text).names)}

        roles = roles.without(lacks, asked)
        if len(others) < len(asked):
            return replace(roles, files=groups)
        return replace(roles, files={}, classes=self.classes or dict.fromkeys(self.files, ()))

    def unread(self) -> Sequence[Unread]:
        """List the other columns of the first file that can be read; its first rows tell how long their lists are."""
        for file, group in self._listed():
            with suppress(BrokenFileError), self.opened(file) as content:
                read = {*self._read(content.kinds, file, group)}
                return described(content, [name for name in content.kinds if name not in read], CHUNK_BYTES)
        return ()

    def _listed(self) -> list[tuple[str, Group]]:
        """List the files with their group. Raises InputError for two that would give the same event ids.

        With ``path`` beside ``files``, as for other files than those of the training, that lists all of them.
        """
        groups = grouped(self.files)
        found = [(file, group) for group in groups.values() for file in find_files(group.path, self.suffix)]
        if self.path is not None:
            every, of = find_files(self.path, self.suffix), dict(found)
            if lost := sorted(of.keys() - {*every}):
                raise InputError(f"set one of `path` and `files`: {lost[0]} is in `files` and not in `path`")
            found = [(file, of.get(file, NO_CLASS)) for file in every]
        elif not groups:
            raise InputError("set one of `path` and `files`")
        names: dict[str, str] = {}
        for file, _ in found:
            twin = names.setdefault(base(file), file)
            if twin != file and not self.id:
                raise InputError(f"{twin} and {file} would give the same event ids; rename one or set `id`")
        if len({same(file) for file, _ in found}) < len(found):
            raise InputError("a file is in two groups of `files`; an event has one class")
        return found

    def _expressions(self, group: Group) -> list[tuple[Place, str]]:
        """List every expression for files of a group with its place in the options, those of ``derive`` first."""
        own = [name for name, other in grouped(self.files).items() if other == group and group.weight is not None]
        return [
            *((("derive", name), text) for name, text in self.derive.items()),
            *([(("cut",), self.cut)] if self.cut else []),
            *self.places(),
            *((("files", name, "weight"), str(group.weight)) for name in own),
        ]

    def _lists(self) -> list[tuple[Place, str]]:
        """List the columns of lists that options name, with their places."""
        clouds: list[tuple[Place, str]] = [(("points", name), text) for name, text in self.points.items()]
        return [*clouds, *((("leading", text), text) for text in self.leading)]

    def _check_options(self, known: Mapping[str, Kind], file: str, group: Group) -> None:
        """Raise OptionError for all that the columns of a file show to be wrong with the options."""
        found = dict(mistakes.in_expressions(self._expressions(group), known, self.called))
        found |= dict(mistakes.in_lists(self._lists(), known, self.called))
        found |= dict(mistakes.in_features(self.features, known, self.called))
        flat = self._flat(known)
        found = self.mistakes([*flat, *(text for _, text in self.roles() if text not in flat)]) | found
        why = f"{self.counter!r} is what the number of the {self.counter} is called; give the column a name by `derive`"
        found |= {place: why for place, text in self.places() if place[0] in BESIDE and text == self.counter}
        if found:
            raise OptionError(found.items(), file)

    def _flat(self, known: Mapping[str, Kind]) -> list[str]:
        """Return the columns of one number per event: the file's, the derived ones, those of leading objects."""
        objects = [
            f"{column}[{rank}]"
            for text, most in self.leading.items()
            for column in members(text).values()
            for rank in range(most)
        ]
        numbers = (name for name, kind in known.items() if kind == "number")
        return list(dict.fromkeys([*numbers, *self.derive, *objects]))

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """Return the feature columns, as the first file that can be read has them; others may have more, elsewhere.

        What weighs an event is none, unless ``features`` says so in full.
        """
        weights = [self.weight, *(group.weight for group in grouped(self.files).values())]
        stated = (parse(str(weight)) for weight in weights if weight is not None)
        unasked = {name for expression in stated for name in expression.names} - {*self.features}
        for file, _ in self._listed() if self.features else ():
            try:
                with self.opened(file) as content:
                    return self.chosen([name for name in self._flat(content.kinds) if name not in unasked])
            except BrokenFileError:
                if self.on_bad_file == "stop":
                    raise
        return ()

    def _read(self, known: Mapping[str, Kind], file: str, group: Group) -> list[str]:
        """Return the columns that are read. Raises OptionError for one that an option names and the file lacks."""
        self._check_options(known, file, group)
        return self._needed(known, group)

    def _needed(self, known: Mapping[str, Kind], group: Group) -> list[str]:
        """Return the columns that features, expressions and lists are made of."""
        needed = [name for name in self._names if name in known]
        needed += [name for _, text in self._expressions(group) for name in parse(text).names if name in known]
        needed += [column for _, text in self._lists() for column in members(text).values()]
        return list(dict.fromkeys(needed))

    def _events(self, columns: dict[str, Any], rows: Int64[np.ndarray, " row"], file: str, group: Group) -> Events:
        """Turn the columns of one chunk into events."""
        sources = {name for text in self.derive.values() for name in parse(text).names if name in columns}
        known = columns | {name: present(columns[name], self.missing) for name in sources if self.missing}
        for name, text in self.derive.items():
            known[name] = columns[name] = per_event(parse(text), known, len(rows))
        tally: dict[str, int] = {}
        if self.cut:
            keep: Bool[np.ndarray, " row"] = truth(per_event(parse(self.cut), columns, len(rows)))
            tally["entries removed by the cut"] = int((~keep).sum())
            columns, rows = {name: values[keep] for name, values in columns.items()}, rows[keep]
        for _, text in self.roles():
            columns[text] = per_event(parse(text), columns, len(rows))
        for text, most in self.leading.items():
            tally[f"objects of {text} beyond the leading {most}"] = lead(columns, text, most)
        inputs: dict[str, Any] = {}
        if self._names:
            inputs["features"] = self.table({name: columns[name] for name in self._names}, self._names)
        for name, text in self.points.items():
            inputs[name] = cloud(columns, text, file, rows)
            self.blanked(inputs[name].values)
        roles: Roles = self
        if group.weight is not None:
            text = f"({group.weight})"  # is no column's name
            roles, columns[text] = replace(self, weight=text), per_event(parse(text), columns, len(rows))
        flat = {column: columns[column] for _, column in roles.roles()}
        events = roles.events(flat, inputs, rows, file, self.counter)
        if group in (groups := [*grouped(self.files).values()]):
            events = replace(events, label=np.full(len(rows), groups.index(group)))
        beside = {self.counter: rows, **events.beside}
        return replace(events, beside=beside, tally={what: count for what, count in tally.items() if count})
