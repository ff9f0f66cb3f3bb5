"""The reader for detector occupancy: histograms of counts as images, one event per lumisection or run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Int64
from pydantic import Field

from hepanom.contracts import Part, Reader
from hepanom.errors import BrokenFileError, InputError
from hepanom.events import Events, Input, Schema
from hepanom_plugins.readers.counts import Counts, Header, Normalize, Source, entries, normalized, told
from hepanom_plugins.readers.files import OnBadFile, base, match_files
from hepanom_plugins.readers.roles import Roles, blamed_on

PART_BYTES = 48_000_000
NEGATIVE_OR_INFINITE = "counts are finite and not negative; a masked channel is NaN, or a value of `missing`"


@dataclass(frozen=True, kw_only=True)
class Occupancy(Roles, Reader):
    """Reads histograms of counts, such as the occupancy of a detector, as the input ``image``.

    What a file holds is seen from its content:

        ROOT   TH1 or TH2 objects whose path in the file matches ``histogram``, in which * and ? stand for characters
               but /, each an event: ``run_*/ls_*/occupancy``. A name without them is one event per file. y are the
               rows and x the columns of the image; a TH1 has one row. What lies in underflow and overflow is left out
               and counted.
        HDF5   the dataset ``histogram``: (event, bin), which has one row, (event, row, column) or (event, channel, row,
               column). Datasets of one value per event beside it, or paths in the file, serve as label, weight, ...

    Several histograms of an event, such as layers, are channels: ``histogram: {inner: run_*/ls_*/L1, outer:
    run_*/ls_*/L2}``, where * and ? stand for the same in all of them. Channels have equally many rows and columns, and
    each has one binning in all events.

    ``number``, a regular expression with named groups, is searched in the name file:object (HDF5: in the file's), such
    as ``run(?P<run>[0-9]+)/ls(?P<ls>[0-9]+)``. Its groups travel beside as whole numbers, those of ``label`` and
    ``category`` as text; ``id: [run, ls]`` makes the event id of them. Without ``id`` it is the hash of the file's base
    name and the position ``event`` in it.

    With N_i counts in bin i of n in all channels, the image is

        normalize: total    x_i = N_i / (sum_j N_j / n), whose mean is 1
        normalize: root     sqrt(x_i), whose mean square is 1
        normalize: none     N_i

    Poisson counts give x_i a relative error 1 / sqrt(N_i), and sqrt(x_i) the same error sqrt(n / sum_j N_j) / 2 in all
    bins that are not nearly empty, so that a mean squared error counts them alike. After normalization this error is
    carried by the number of entries, sum_j N_j, alone: it travels beside as ``entries``, can be the ``weight``, and
    histograms with fewer than ``min_entries`` are left out and counted. NaN and values of ``missing`` are bins that do
    not count.

    References:
        A. A. Pol et al., Detector monitoring with artificial neural networks at the CMS experiment at the CERN Large
        Hadron Collider, 2019, arXiv:1808.00911.
        M. S. Bartlett, The square root transformation in analysis of variance, 1936, doi:10.2307/2983678.
    """

    path: Annotated[str | tuple[str, ...], Field(description="file or glob, or several, with the same binning")]
    histogram: Annotated[
        str | dict[str, str],
        Field(description="path of the histograms in the files, * and ? for any characters; or channel -> path"),
    ]
    number: Annotated[
        str | None, Field(description="regular expression whose named groups are run, lumisection, ... of file:object")
    ] = None
    normalize: Normalize = "total"
    min_entries: Annotated[float, Field(ge=0, description="least number of entries of an event that is kept")] = 1.0
    on_bad_file: OnBadFile = "stop"

    def __post_init__(self) -> None:
        """Check the regular expression, and that there is a channel."""
        try:
            re.compile(self.number or "")
        except re.error as error:
            raise ValueError(f"number: {self.number!r} is no regular expression: {error}") from error
        if not self.histogram:
            raise ValueError("histogram: name the histograms, such as 'run_*/occupancy'")
        if "entries" in self._groups():
            raise ValueError("number: the group 'entries' would hide the number of entries; name it otherwise")

    def schema(self) -> Schema:
        """Describe the events; looks at the first histogram of each file. Raises InputError where they differ."""
        found: dict[str, Header] = {}
        names: dict[str, str] = {}
        for file in match_files(self.path):
            twin = names.setdefault(base(file), file)
            if twin != file and not self.id:
                raise InputError(f"{twin} and {file} would give the same event ids; rename one or set `id`")
            try:
                found[file] = self._header(file)
            except BrokenFileError:
                if self.on_bad_file == "stop":
                    raise
        if not found:
            raise InputError(f"none of the files can be read: {', '.join(names.values())}")
        (first, header), *others = found.items()
        for file, other in others:
            _same(first, header, file, other)
        channels = self.chosen(header.channels)
        units = dict(zip(header.channels, header.units, strict=True))
        unit = {name: "" if self.normalize != "none" else self.unit(name, units[name]) for name in channels}
        image = Input("image", channels, tuple(unit.values()), header.shape)
        beside = self.beside() if self.id else tuple(dict.fromkeys(["event", *self.beside()]))
        return Schema({"image": image}, tuple(self.classes), self.targets, beside)

    def parts(self) -> Sequence[Part]:
        """List pieces of some 48 MB of counts."""
        found: list[Part] = []
        for file in match_files(self.path):
            try:
                header = self._header(file)
            except BrokenFileError as error:
                if self.on_bad_file == "stop":
                    raise
                found.append(Part(file, 0, 0, problem=str(error)))
                continue
            edges = [*range(0, header.events, max(1, PART_BYTES // max(1, header.bytes))), header.events]
            found += [Part(file, start, stop) for start, stop in pairwise(edges)]
        return found

    def read(self, part: Part) -> Iterator[Events]:
        """Yield the part's events in chunks of some 16 MB.

        Raises BrokenFileError for a truncated file, InputError, naming file and histogram, for another binning, a
        negative or infinite count, a label of no class, a number that is not found.
        """
        header = self._header(part.file)
        if header.events < part.stop:
            raise InputError(f"{part.file}: has {header.events} events now, {part.stop} when its parts were listed")
        places = [header.channels.index(name) for name in self.chosen(header.channels)]
        start = part.start
        for counts in self._source(part.file).read(part.start, part.stop):
            yield self._events(counts, places, np.arange(start, start + len(counts.names)), part.file)
            start += len(counts.names)

    def on(self, files: Sequence[str]) -> Occupancy:
        """Return this reader for other files; the optional columns that they lack are left out and logged."""
        used = {column for _, column in self.roles()} - {"entries"}
        found = self.without(lambda file: used.difference(self._source(file).header().columns), match_files(files))
        number = self.number
        for name in used.difference(column for _, column in found.roles()).intersection(self._groups()):
            number = number and number.replace(f"(?P<{name}>", "(")  # a group without name is no column
        return replace(found, path=tuple(files), number=number)

    def beside(self) -> tuple[str, ...]:
        """Return the columns that travel beside the events: those of roles, the groups of ``number``, the entries."""
        groups = (name for name in self._groups() if name not in (self.label, self.weight, *self.targets))
        return tuple(dict.fromkeys([*super().beside(), *groups, "entries"]))

    def _groups(self) -> tuple[str, ...]:
        return tuple(re.compile(self.number or "").groupindex)

    def _source(self, file: str) -> Source:
        """Return how a file holds histograms. The libraries are imported for the files that need them."""
        with Path(file).open("rb") as content:
            magic = content.read(4)
        if not magic:
            raise BrokenFileError(f"{file}: the file is empty; copy it again")
        texts = (self.label, self.category)
        if magic == b"root":
            from hepanom_plugins.readers.counts_root import Histograms

            return Histograms(file, self.histogram, self.number, texts)
        from hepanom_plugins.readers.counts_hdf5 import Arrays

        columns = tuple(column for _, column in self.roles() if column != "entries" and column not in self._groups())
        return Arrays(file, self.histogram, columns, self.number, texts)

    def _header(self, file: str) -> Header:
        """Return what a file says, after a check of the options against it."""
        header = self._source(file).header()
        with blamed_on(file):
            self.check([*header.columns, *header.channels, "entries"])
            self.chosen(header.channels)
        return header

    def _events(self, counts: Counts, places: Sequence[int], rows: Int64[np.ndarray, " event"], file: str) -> Events:
        """Return the events with enough entries, normalized."""
        values = self.blanked(np.ascontiguousarray(counts.values[:, places]))
        wrong = (values < 0) | np.isinf(values)
        if wrong.any():
            event, channel, row, column = np.argwhere(wrong)[0].tolist()
            raise InputError(
                f"{counts.names[event]}: row {row}, column {column} of the image holds "
                f"{values[event, channel, row, column]:g}; {NEGATIVE_OR_INFINITE}"
            )
        sums = entries(values)
        keep = sums >= self.min_entries
        columns = {name: column[keep] for name, column in {**counts.columns, "entries": sums}.items()}
        images = normalized(values[keep], self.normalize)
        events = self.events(columns, {"image": images}, rows[keep], file, "event")
        left = {f"histograms with fewer than {self.min_entries:g} entries left out": int((~keep).sum())}
        return replace(events, tally={**counts.tally, **{why: number for why, number in left.items() if number}})


def _same(first: str, header: Header, file: str, other: Header) -> None:
    """Raise InputError where two files do not hold the same."""
    if other.channels != header.channels:
        raise InputError(
            f"{file}: the channels are {', '.join(other.channels)}, in {first} {', '.join(header.channels)}"
        )
    if other.shape != header.shape or other.binning != header.binning:
        one, two = (_binned(each) for each in (header, other))
        raise InputError(f"{file}: a histogram has {two}, in {first} {one}; images need one binning")


def _binned(header: Header) -> str:
    return told(header.binning[0]) if header.binning[0] else " x ".join(map(str, header.shape)) + " bins"
