"""The reader for HDF5: tables of any of the usual layouts, with labels and weights beside, and images."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from jaxtyping import Float32, Shaped
from pydantic import Field

from hepanom.contracts import Part, Reader
from hepanom.errors import BrokenFileError, InputError
from hepanom.events import Events, Input, Schema
from hepanom_plugins.readers import datasets
from hepanom_plugins.readers.datasets import Picture, Place
from hepanom_plugins.readers.files import OnBadFile, match_files
from hepanom_plugins.readers.roles import Roles, base

log = logging.getLogger(__name__)

CHUNK_BYTES = 8_000_000  # as they lie in the file
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
        places = [*self.features.values(), *self.roles.values(), *self.images.values()]
        return list(dict.fromkeys(place.dataset for place in places))


@dataclass(frozen=True, kw_only=True)
class Hdf5(Roles, Reader):
    """Reads a table as the input ``features``, or images as ``image``; one row, one event. A table may be

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
        dict[str, str], Field(description="input -> its dataset of images, where there are several, or a table too")
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
        """Yield the part's events in chunks of some 8 MB, whole HDF5 chunks each.

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
                blocks = {name: content[name][start : start + len(rows)] for name in held.datasets()}
                roles = {column: datasets.picked(blocks, place) for column, place in held.roles.items()}
                yield self.events(roles, self._inputs(blocks, held), rows, part.file)

    def on(self, files: Sequence[str]) -> Hdf5:
        """Return this reader for other files; the optional columns that they lack are left out and logged."""
        listed = match_files(files)
        for file in listed:
            try:
                with datasets.opened(file) as content:
                    known = self._known(content, file)
            except BrokenFileError:
                if self.on_bad_file == "stop" or file == listed[-1]:
                    raise
                continue
            break
        absent = {column for role, column in self.roles() if role != "id" and column not in known}
        if absent:
            log.info("%s: without %s", file, ", ".join(sorted(absent)))
        return replace(self.without(absent), path=tuple(files))
