"""The reader for point clouds of time projection chambers, in the layouts that their groups write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from hepanom.contracts import Part, Reader, Unread
from hepanom.errors import BrokenFileError, InputError, OptionError, did_you_mean
from hepanom.events import Events, Input, Jagged, Schema, hash64
from hepanom_plugins.readers.clouds import Clouds, Header, Layout, named
from hepanom_plugins.readers.faults import Faults
from hepanom_plugins.readers.files import OnBadFile, base, match_files
from hepanom_plugins.readers.peaks import Peaks
from hepanom_plugins.readers.roles import Roles, blamed_on

Paths = str | tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ATTPC(Peaks, Faults, Roles, Reader):
    """Reads point clouds of an active-target time projection chamber, as the input ``points``.

    What a file holds is seen from its content, or said by ``layout``:

        points   HDF5: ``points`` (point, column) of all events, and ``offsets``, by which event i has the points
                 offsets[i] to offsets[i + 1]; other datasets of one value per event beside them
        arrays   HDF5: arrays (event, point, column); ``dataset`` travels beside, and event is the row in it
        spyral   HDF5: the group ``cloud`` of Spyral, a dataset ``cloud_<event>`` for each event
        traces   HDF5: the group ``get``, a dataset of GET traces for each event, in which peaks are searched; x and y
                 come from the table of pads
        hits     ROOT: a tree with jagged branches of hits; ``entry`` travels beside

    The points' columns are x, y, z and charge (the first there is of charge, integral, adc, q and amplitude), and time
    where the file has no z; ``columns`` gives names where the file has others, ``features`` chooses. Units are those
    that the file says, or its format (Spyral), or the option ``units``, or none.

    The event id is the hash of the file's base name, the array where there are several, and the event number, which
    travels beside as ``event``: measured runs repeat their numbers. With ``id`` it is the hash of these columns alone.
    With ``files`` in place of ``path`` the events of each group of files are a class.

    References:
        D. Bazin et al., Low energy nuclear physics with active targets and time projection chambers, Prog. Part. Nucl.
        Phys. 114 (2020) 103790.
    """

    path: Annotated[Paths, Field(description="file or glob, or several")] = ()
    files: Annotated[dict[str, Paths], Field(description="class -> its files or globs, in place of `path`")] = field(
        default_factory=dict
    )
    features: Annotated[
        tuple[str, ...], Field(description="columns of the points, or patterns; x, y, z or time, and charge by default")
    ] = ()
    columns: Annotated[
        dict[str, str | int], Field(description="name -> the file's column or branch, or a position from 0")
    ] = field(default_factory=dict)
    layout: Annotated[
        Literal["points", "arrays", "spyral", "hits", "traces"] | None,
        Field(description="how the files hold points; seen from their content by default"),
    ] = None
    inside: Annotated[
        str | None, Field(description="tree, group or array to read, or a pattern, where a file holds several")
    ] = None
    chunk: Annotated[int, Field(ge=1, description="most events that are handed over at once")] = 1024
    on_bad_file: OnBadFile = "stop"

    before: ClassVar = ("hdf5", "root")  # which would read the same files, but not as clouds

    @classmethod
    def reads(cls, file: str) -> bool:
        """Say whether this is a file of point clouds, by its content."""
        try:
            return file.endswith((".h5", ".hdf5", ".root")) and bool(cls(path=file).schema().inputs)
        except InputError:
            return False

    def schema(self) -> Schema:
        """Describe the events; looks at the headers of all files, which have the same columns."""
        files = list(self._files())
        names = [base(file) for file in files]
        found: dict[str, Schema] = {}
        for index, file in enumerate(files):
            if names.index(names[index]) != index and not self.id:
                twin = files[names.index(names[index])]
                raise InputError(f"{twin} and {file} would give the same event ids; rename one or set `id`")
            try:
                found[file] = self._described(file)
            except BrokenFileError:
                if self.on_bad_file == "stop" or (not found and index + 1 == len(files)):
                    raise
        (first, schema), *others = found.items()
        for file, other in others:
            if other != schema:
                raise InputError(f"{file}: {_told(other)}, {first}: {_told(schema)}; read files of one kind at a time")
        return schema

    def parts(self) -> Sequence[Part]:
        """List pieces of some 48 MB of points, or of the file where each event has a dataset."""
        found: list[Part] = []
        for file in self._files():
            try:
                found += [Part(file, start, stop) for start, stop in self._layout(file).header().steps]
            except BrokenFileError as error:
                if self.on_bad_file == "stop":
                    raise
                found.append(Part(file, 0, 0, problem=str(error)))
        return found

    def read(self, part: Part) -> Iterator[Events]:
        """Yield the part's events, at most ``chunk`` at once.

        Raises InputError, naming file and event, for an unknown label, a missing weight or id; BrokenFileError.
        """
        layout = self._layout(part.file)
        header = layout.header()
        names = self._names(header, part.file)
        features = self.chosen(tuple(names))
        wanted = tuple(dict.fromkeys([*features, *self.concerned()]))
        beside = tuple(dict.fromkeys([header.number, *header.extras, *(column for _, column in self.roles())]))
        label = self._files().get(part.file, -1)
        for clouds in layout.read(part.start, part.stop, [names[name] for name in wanted], beside):
            self.blanked(clouds.points.values)
            for piece in clouds.slices(self.chunk):
                events = self._events(piece, header, wanted, len(features), part.file)
                yield replace(events, label=np.full(len(events), label)) if self.files else events

    def on(self, files: Sequence[str]) -> ATTPC:
        """Return this reader for other files; the optional columns that they lack are left out and logged."""
        used = {column for _, column in self.roles()}
        found = self.without(lambda file: used.difference(self._layout(file).header().beside), match_files(files))
        classes = self.classes or dict.fromkeys(self.files, ())
        return replace(found, path=tuple(files), files={}, classes=classes)

    def unread(self) -> Sequence[Unread]:
        """List the other columns of the first file that can be read, those of points and those of events."""
        for file in self._files():
            with suppress(BrokenFileError):
                header = self._layout(file).header()
                names = self._names(header, file)
                used = {header.number, *header.extras, *(column for _, column in self.roles())}
                points = [Unread(name, "number of each point") for name in names if name not in self.chosen([*names])]
                return [*points, *(Unread(name, "number", "", 1, 1) for name in header.beside if name not in used)]
        return ()

    def chosen(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the columns of the points that are read."""
        if self.features:
            return super().chosen(names)
        usual = ("x", "y", "z" if "z" in names else "time", "charge")
        found = tuple(name for name in usual if name in names)
        if len(found) < len(usual):
            lacking = ", ".join("z or time" if name == "time" else name for name in usual if name not in names)
            raise InputError(
                f"the points have the columns {', '.join(names)}, of which none is called {lacking}; say which is, "
                "such as columns: {charge: ADC} or {x: 0}, or choose others by `features`"
            )
        return found

    def _files(self) -> dict[str, int]:
        """Return the files, each with the index of its class, -1 where it has none."""
        if bool(self.path) == bool(self.files):
            raise InputError("attpc: give either `path` or `files`, class -> its files")
        if not self.files:
            return dict.fromkeys(match_files(self.path), -1)
        if self.label is not None or self.classes:
            raise InputError("attpc: with `files` the classes are those of the files; leave out `label` and `classes`")
        found: dict[str, int] = {}
        for index, (name, paths) in enumerate(self.files.items()):
            for file in match_files(paths):
                if found.setdefault(file, index) != index:
                    raise InputError(f"files: {file} cannot be both {name!r} and {list(self.files)[found[file]]!r}")
        return found

    def _layout(self, file: str) -> Layout:
        """Return how a file holds its points. The libraries are imported for the files that need them."""
        with Path(file).open("rb") as content:
            magic = content.read(4)
        if not magic:
            raise BrokenFileError(f"{file}: the file is empty; copy it again")
        if magic == b"root":
            if self.layout not in (None, "hits"):
                raise InputError(f"{file}: layout {self.layout} is one of HDF5, this is a ROOT file; it holds hits")
            from hepanom_plugins.readers.clouds_root import Hits

            return Hits(file, self.inside)
        from hepanom_plugins.readers import clouds_hdf5, traces

        layout, places = clouds_hdf5.find(file, self.layout, self.inside)
        match layout:
            case "points":
                return clouds_hdf5.Ragged(file, places[0])
            case "arrays":
                return clouds_hdf5.Fixed(file, places)
            case "spyral":
                return clouds_hdf5.Spyral(file)
            case _:
                return traces.Traces(file, self)

    def _names(self, header: Header, file: str) -> dict[str, str]:
        """Return the points' columns, name -> as the file has it, after a check of the options against the header."""
        per_event = tuple(dict.fromkeys([*header.beside, *header.extras, header.number]))
        with blamed_on(file):
            names = named(header.columns, self.columns)
            lost = [(place, column) for place, column in self.places() if column not in per_event]
            if lost:
                raise OptionError(
                    (place, f"there is no column {column!r} beside; {did_you_mean(column, per_event)}")
                    for place, column in lost
                )
            self.chosen(tuple(names))
            self.check((*names, *per_event))
            self.check_columns(tuple(names))
        return names

    def _described(self, file: str) -> Schema:
        header = self._layout(file).header()
        names = self._names(header, file)
        features = self.chosen(tuple(names))
        units = dict(zip(header.columns, header.units, strict=True))
        cloud = Input("points", features, tuple(self.unit(name, units[names[name]]) for name in features))
        beside = tuple(dict.fromkeys(["event", *header.extras, *self.beside()]))
        return Schema({"points": cloud}, tuple(self.files or self.classes), self.targets, beside)

    def _events(self, clouds: Clouds, header: Header, wanted: tuple[str, ...], features: int, file: str) -> Events:
        """Return events whose points have the first ``features`` of the wanted columns."""
        points, stays, tally = self.mended(clouds.points, wanted)
        columns = {name: column[stays] for name, column in clouds.columns.items()}
        inputs = {"points": Jagged(np.ascontiguousarray(points.values[:, :features]), points.offsets)}
        number = columns[header.number].astype(np.int64)
        events = self.events(columns, inputs, number, file, "event")
        extras = {name: columns[name] for name in header.extras}
        event_id = (
            events.event_id if self.id or "dataset" not in extras else hash64([events.event_id, extras["dataset"]])
        )
        beside = {"event": number, **extras, **events.beside}
        told = {**clouds.tally, **tally}
        return replace(events, event_id=event_id, beside=beside, tally=told)


def _told(schema: Schema) -> str:
    """Return what an error says of the points' columns."""
    cloud = schema.inputs["points"]
    return ", ".join(
        f"{name} ({unit})" if unit else name for name, unit in zip(cloud.columns, cloud.units, strict=True)
    )
