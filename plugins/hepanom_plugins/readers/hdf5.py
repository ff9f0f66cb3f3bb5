"""The reader for HDF5: tables of any of the usual layouts, with labels and weights beside, and images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from jaxtyping import Float32, Shaped
from pydantic import Field

from hepanom.contracts import Part, Reader, Unread
from hepanom.errors import BrokenFileError, InputError
from hepanom.events import Events, Input, Schema
from hepanom_plugins.readers import datasets
from hepanom_plugins.readers.datasets import Picture, Place
from hepanom_plugins.readers.files import OnBadFile, base, match_files
from hepanom_plugins.readers.roles import Roles, blamed_on
from hepanom_plugins.readers.unread import columns_left, elsewhere

CHUNK_BYTES = 16_000_000  # as they lie in the file
PART_BYTES = 64_000_000


@dataclass(frozen=True, kw_only=True)
class Held:
    """What is read of a file: features, the columns of all roles, images, the number of events."""

    features: Mapping[str, Place]
    roles: Mapping[str, Place]
    images: Mapping[str, Picture]
    inputs: Mapping[str, Input]
    rows: int

    def datasets(self) -> list[str]:
        """Return every dataset once."""
        tables = [place.dataset for place in (*self.features.values(), *self.roles.values())]
        return list(dict.fromkeys([*tables, *(picture.dataset for picture in self.images.values())]))

    def block(self, name: str, dataset: Any, start: int, stop: int) -> Shaped[np.ndarray, "event ..."]:
        """Return rows of a dataset; where it is an input as a whole, straight as float32."""
        columns = [place.steps for place in self.features.values() if place.dataset == name]
        whole = dataset.ndim > 2 or (dataset.ndim == 2 and columns == [(index,) for index in range(dataset.shape[1])])
        if whole and all(place.dataset != name for place in self.roles.values()):
            return datasets.numbers(dataset, start, stop)
        rows: Shaped[np.ndarray, "event ..."] = dataset[start:stop]
        return rows


@dataclass(frozen=True)
class Hdf5(Roles, Reader):
    """Reads a table as the input ``features``, or images as ``image``; one row, one event.

    A table may be

        a matrix               (event, column), named by its attribute ``columns``, by the option, or 0, 1, 2, ...
        a compound dataset     a field that holds several numbers is several columns: ``field[0]``, ``field[1]``, ...
        a group                of datasets of one value per event, a column each; the file as a whole is ``/``
        a pandas frame         fixed format (axis0, block0_items, block0_values, ...) or table format (table with fields
                               values_block_0, ...), without the columns of Python objects, which pandas pickles

    Images are (event, channel, row, column) or (event, row, column). Roles (``label``, ``weight``, ``id``, ...) name
    columns of the table, or datasets of one value per event beside it, or their paths in the file. By default all
    columns of numbers are features. Units are those of the attribute ``units``, unless the option says others. The
    event id is the hash of the ``id`` columns; without them that of the file's base name and the row, which then
    travels beside as ``row``.
    """

    path: Annotated[str | tuple[str, ...], Field(description="file or glob, or several, with the same columns")]
    dataset: Annotated[
        str | None, Field(description="dataset or group with the table or the images; by default the only one there is")
    ] = None
    columns: Annotated[
        tuple[str, ...], Field(description="names of a matrix's columns, or of the channels of images")
    ] = ()
    images: Annotated[
        str | dict[str, str],
        Field(description="dataset of images, or input -> dataset, where the file holds several or a table too"),
    ] = field(default_factory=dict)
    on_bad_file: OnBadFile = "stop"

    @classmethod
    def reads(cls, file: str) -> bool:
        """Say whether this is an HDF5 file, by its name."""
        return file.endswith((".h5", ".hdf5", ".hdf"))

    def schema(self) -> Schema:
        """Describe the events from the headers of all files, which have the same columns."""
        found: dict[str, Mapping[str, Input]] = {}
        names: dict[str, str] = {}
        for file in match_files(self.path):
            twin = names.setdefault(base(file), file)
            if twin != file and not self.id:
                raise InputError(f"{twin} and {file} would give the same event ids; rename one or set `id`")
            try:
                with datasets.opened(file) as content:
                    found[file] = self._held(content, file).inputs
            except BrokenFileError:
                if self.on_bad_file == "stop":
                    raise
        if not found:
            raise InputError(f"none of the files can be read: {', '.join(names.values())}")
        (first, inputs), *others = found.items()
        for file, other in others:
            _same(first, inputs, file, other)
        beside = self.beside() if self.id else tuple(dict.fromkeys(["row", *self.beside()]))
        return Schema(inputs, tuple(self.classes), self.targets, beside)

    def parts(self) -> Sequence[Part]:
        """List ranges of rows of some 64 MB, whole HDF5 chunks each; where broken files are skipped, one for each."""
        found: list[Part] = []
        for file in match_files(self.path):
            try:
                with datasets.opened(file) as content:
                    held = self._held(content, file)
                    edges = [*range(0, held.rows, _step(content, held, PART_BYTES)), held.rows]
                    found += [Part(file, start, stop) for start, stop in pairwise(edges)]
            except BrokenFileError as error:
                if self.on_bad_file == "stop":
                    raise
                found.append(Part(file, 0, 0, problem=str(error)))
        return found

    def read(self, part: Part) -> Iterator[Events]:
        """Yield the part's events in chunks of some 16 MB, whole HDF5 chunks each.

        Raises BrokenFileError for a truncated file, InputError for a dataset or column that is not there or has another
        length or shape, a label of no class, a weight that is missing.
        """
        with datasets.opened(part.file) as content:
            held = self._held(content, part.file)
            if held.rows < part.stop:
                raise InputError(f"{part.file}: has {held.rows} rows now, {part.stop} when its parts were listed")
            step = _step(content, held, CHUNK_BYTES)
            for start in range(part.start, part.stop, step):
                rows = np.arange(start, min(start + step, part.stop))
                blocks = {name: held.block(name, content[name], start, start + len(rows)) for name in held.datasets()}
                roles = {column: datasets.picked(blocks, place) for column, place in held.roles.items()}
                yield self.events(roles, self._inputs(blocks, held), rows, part.file)

    def on(self, files: Sequence[str]) -> Hdf5:
        """Return this reader for other files; the optional columns that they lack are left out and logged."""

        def lacks(file: str) -> set[str]:
            with datasets.opened(file) as content:
                columns, others, _ = self._known(content)
            return {column for _, column in self.roles()}.difference(columns, others)

        return replace(self.without(lacks, match_files(files)), path=tuple(files))

    def unread(self) -> Sequence[Unread]:
        """List the other columns, and all other datasets, of the first file that can be read."""
        for file in match_files(self.path):
            with suppress(BrokenFileError), datasets.opened(file) as content:
                columns, others, images = self._known(content)
                held, places = self._held(content, file), {**others, **columns}
                left = {name: places[name] for name in places if name not in {**held.features, **held.roles}}
                seen = {place.dataset for place in places.values()} | {entry.dataset for entry in images.values()}
                return [*columns_left(content, left, held.rows), *elsewhere(content, seen, held.rows)]
        return ()

    def _known(self, content: Any) -> tuple[dict[str, Place], dict[str, Place], dict[str, Picture]]:
        """Return the table's columns, the columns that lie beside it, and the images."""
        used = {column for _, column in self.roles()}
        columns: dict[str, Place] = {}
        asked = {"image": self.images} if isinstance(self.images, str) else self.images
        names = () if self.dataset else self.columns
        images = {name: datasets.picture(content, dataset, names) for name, dataset in asked.items()}
        name = self.dataset or (None if images else datasets.search(content, used))
        if name is None:
            group = content[next(iter(images.values())).dataset].parent
        else:
            entry = datasets.find(content, name)
            group = entry.parent
            if getattr(entry, "ndim", 0) in (3, 4):
                images = {"image": datasets.picture(content, name, self.columns), **images}
            else:
                columns = datasets.columns_of(content, name, self.columns)
        others = {column: place for column, place in datasets.beside(group).items() if column not in columns}
        for column in used.difference(columns, others):
            if column in content:
                others[column] = datasets.whole(content[column])
        return columns, others, images

    def _held(self, content: Any, file: str) -> Held:
        """Return what is read of a file, after a check of the options. Raises InputError that names the file."""
        with blamed_on(file):
            columns, others, images = self._known(content)
            channels = [channel for picture in images.values() for channel in picture.channels]
            everything = {**others, **columns}
            self.check([*everything, *channels])
            for role, column in [*self.roles(), *(("features", pattern) for pattern in self.features)]:
                holds = everything[column].holds if column in everything else "numbers"
                if holds != "numbers" and (holds != "text" or role in ("weight", "targets", "features")):
                    raise InputError(f"{role}: column {column!r} holds {holds}; numbers are needed")
            names: tuple[str, ...] = ()
            if columns and self.features:
                names = self.chosen([column for column, place in columns.items() if place.holds == "numbers"])
            elif not columns and self.features not in ((), ("*",)):
                raise InputError("`features` chooses columns of a table; there are images alone")
            inputs = {"features": self._table({name: columns[name] for name in names})} if names else {}
            inputs |= {name: self._image(picture) for name, picture in images.items()}
            roles = {column: everything[column] for _, column in self.roles()}
            held = Held(
                features={name: columns[name] for name in names}, roles=roles, images=images, inputs=inputs, rows=0
            )
            return replace(held, rows=datasets.rows(content, held.datasets()))

    def _table(self, columns: Mapping[str, Place]) -> Input:
        return Input("table", tuple(columns), tuple(self.unit(name, place.unit) for name, place in columns.items()))

    def _image(self, picture: Picture) -> Input:
        units = zip(picture.channels, picture.units, strict=True)
        return Input("image", picture.channels, tuple(self.unit(name, unit) for name, unit in units), picture.shape)

    def _inputs(
        self, blocks: Mapping[str, Shaped[np.ndarray, "event ..."]], held: Held
    ) -> dict[str, Float32[np.ndarray, "event ..."]]:
        """Return the features and images of the rows that were read."""
        found: dict[str, Float32[np.ndarray, "event ..."]] = {}
        if held.features:
            found["features"] = self._features(blocks, held.features)
        for name, picture in held.images.items():
            values = blocks[picture.dataset]
            values = values if values.ndim == 4 else values[:, None]
            found[name] = self.blanked(values.astype(np.float32, copy=False))
        return found

    def _features(
        self, blocks: Mapping[str, Shaped[np.ndarray, "event ..."]], columns: Mapping[str, Place]
    ) -> Float32[np.ndarray, "event feature"]:
        """Return columns side by side; those of one matrix are taken from it at once."""
        matrices = {(place.dataset, place.steps[:-1]) for place in columns.values()}
        ends = [place.steps[-1] for place in columns.values() if place.steps]
        last = [step for step in ends if isinstance(step, int)]
        if len(matrices) > 1 or len(last) < len(columns):
            return self.table({name: datasets.picked(blocks, place) for name, place in columns.items()}, list(columns))
        (dataset, steps), *_ = matrices
        matrix = datasets.picked(blocks, Place(dataset, steps, "numbers"))
        if last != list(range(matrix.shape[1])):
            matrix = matrix.take(last, axis=1)
        with np.errstate(over="ignore"):
            return self.blanked(np.ascontiguousarray(matrix, np.float32))


def _step(content: Any, held: Held, size: int) -> int:
    """Return how many rows take so many bytes, in whole HDF5 chunks: none is decompressed twice."""
    read = [content[name] for name in held.datasets()]
    width: int = sum(dataset.dtype.itemsize * math.prod(dataset.shape[1:]) for dataset in read)
    chunk: int = max((dataset.chunks[0] for dataset in read if dataset.chunks), default=1)
    return max(1, size // max(1, width) // chunk) * chunk


def _same(first: str, inputs: Mapping[str, Input], file: str, other: Mapping[str, Input]) -> None:
    """Raise InputError where two files do not hold the same."""
    for name in {**inputs, **other}:
        if name not in inputs or name not in other:
            raise InputError(f"{file if name in inputs else first} has no {name}, which the other files have")
        one, two = inputs[name], other[name]
        if lacking := [column for column in one.columns if column not in two.columns]:
            raise InputError(f"{file}: {name}: column {lacking[0]!r} is not there, but in {first} it is")
        if further := [column for column in two.columns if column not in one.columns]:
            raise InputError(f"{file}: {name}: column {further[0]!r} is not in {first}; leave it out by `features`")
        if one.columns != two.columns:
            raise InputError(f"{file}: {name}: the columns are in another order than in {first}")
        if one.shape != two.shape:
            raise InputError(f"{file}: {name}: images of {two.shape} pixels, in {first} of {one.shape}")
        for column, unit, its in zip(one.columns, one.units, two.units, strict=True):
            if unit != its and any(one.units) and any(two.units):
                raise InputError(f"{file}: {name}: column {column!r} is in {its!r}, in {first} in {unit!r}")
