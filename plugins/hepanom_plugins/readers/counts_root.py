"""Histograms in ROOT: objects TH1 or TH2 in a file, each an event or a channel of one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from hepanom.errors import InputError
from hepanom_plugins.readers.counts import CHUNK_BYTES, Counts, Edges, Header, groups, told
from hepanom_plugins.readers.trees import blamed

try:
    import uproot  # type: ignore[import-untyped]
except ImportError as error:
    raise InputError('files of ROOT need the library uproot: pip install "hepanom[root]"') from error

OUTSIDE = "counts in underflow or overflow left out"

Objects = dict[str, list["Stored"]]  # channel -> its objects, one per event


@dataclass(frozen=True)
class Stored:
    """An object in a file: its path, its class, and the folder that it is read from."""

    path: str
    kind: str
    folder: Any

    @property
    def counts(self) -> bool:
        """Whether this is a histogram of counts."""
        return re.fullmatch(r"TH[12][CSILFD]", self.kind) is not None

    def read(self) -> tuple[Float32[np.ndarray, "row column"], Edges, float]:
        """Return counts with y as rows and x as columns, the edges of the bins, and what lies outside of them."""
        found = self.folder[self.path.rpartition("/")[2]]
        every = np.atleast_2d(found.values(flow=True).T)
        within = np.s_[:, 1:-1] if len(found.axes) == 1 else np.s_[1:-1, 1:-1]
        edges = tuple(tuple(axis.edges().tolist()) for axis in found.axes)
        inside = every[within].astype(np.float32)
        outside = every.astype(float)
        outside[within] = 0
        return inside, edges, float(outside[np.isfinite(outside)].sum())


@dataclass(frozen=True)
class Histograms:
    """The objects of a file whose paths match, one pattern for each channel or one alone.

    ``*`` stands for any characters but /, ``?`` for one. Channels belong to one event where their ``*`` and ``?`` stand
    for the same. Events are in the order of the first channel's objects in the file.
    """

    file: str
    histogram: str | Mapping[str, str]
    number: str | None
    texts: Sequence[str | None]

    def header(self) -> Header:
        """Return names, and the binning of the first event. Raises InputError for channels that do not fit together."""
        with self._opened() as directory:
            objects = self._objects(directory)
            found = [(stored[0].path, *self._read(stored[0])) for stored in objects.values()]
        path, (rows, columns) = found[0][0], found[0][1].shape
        for other, values, _, _ in found:
            if values.shape != (rows, columns):
                raise InputError(
                    f"{self.file}: {path} has {rows} x {columns} bins, {other} {values.shape[0]} x {values.shape[1]}; "
                    "channels need equally many"
                )
        binning = tuple(edges for _, _, edges, _ in found)
        names = tuple(groups(self.number, self._names(objects)[:1], self.texts))
        events = len(next(iter(objects.values())))
        return Header(tuple(objects), ("",) * len(objects), (rows, columns), binning, names, events)

    def read(self, start: int, stop: int) -> Iterator[Counts]:
        """Yield events ``start`` to ``stop``. Raises InputError for a binning that differs from the first event's."""
        with self._opened() as directory:
            objects = self._objects(directory)
            names = self._names(objects)
            first = [self._read(stored[0]) for stored in objects.values()]
            shape = (len(objects), *first[0][0].shape)
            step = max(1, CHUNK_BYTES // max(1, first[0][0].nbytes * len(objects)))
            for begin in range(start, stop, step):
                events = range(begin, min(begin + step, stop))
                values = np.empty((len(events), *shape), np.float32)
                outside = 0.0
                for channel, (stored, (_, binning, _)) in enumerate(zip(objects.values(), first, strict=True)):
                    for event in events:  # each is an object of its own in the file
                        counts, edges, flow = self._read(stored[event])
                        if edges != binning:
                            raise InputError(
                                f"{self.file}: {stored[event].path} has {told(edges)}, {stored[0].path} has "
                                f"{told(binning)}; images need one binning"
                            )
                        values[event - begin, channel] = counts
                        outside += flow
                chosen = names[begin : events.stop]
                tally = {OUTSIDE: round(outside)} if round(outside) else {}
                yield Counts(values, groups(self.number, chosen, self.texts), chosen, tally)

    def _opened(self) -> Any:
        with blamed(self.file):
            return uproot.open(self.file, object_cache=None, array_cache=None)  # every object is read once

    def _read(self, stored: Stored) -> tuple[Float32[np.ndarray, "row column"], Edges, float]:
        with blamed(self.file):
            return stored.read()

    def _names(self, objects: Objects) -> list[str]:
        return [f"{self.file}:{stored.path}" for stored in next(iter(objects.values()))]

    def _objects(self, directory: Any) -> Objects:
        """Return each channel's objects, in the order of the first. Raises InputError for none, or one that lacks."""
        with blamed(self.file):
            every = list(_walked(directory, ""))
        asked = {"occupancy": self.histogram} if isinstance(self.histogram, str) else self.histogram
        found: dict[str, dict[tuple[str, ...], Stored]] = {}
        for channel, pattern in asked.items():
            expression = re.escape(pattern.strip("/")).replace(r"\*", "([^/]*)").replace(r"\?", "([^/])")
            matches = [(re.fullmatch(expression, stored.path), stored) for stored in every]
            found[channel] = {match.groups(): stored for match, stored in matches if match}
            if not found[channel]:
                known = [stored.path for stored in every if stored.counts]
                listed = ", ".join([*known[:6], *(["..."] if len(known) > 6 else [])]) or "none"
                raise InputError(
                    f"{self.file}: no object matches {pattern!r}; there are {len(known)} histograms: {listed}"
                )
            for stored in found[channel].values():
                if not stored.counts:
                    raise InputError(
                        f"{self.file}: {stored.path} is a {stored.kind}; counts are TH1 or TH2: let `histogram`, "
                        f"{pattern!r}, match these alone"
                    )
        first, events = next(iter(found.items()))
        for channel, keys in found.items():
            for key in {**events, **keys}:
                if key not in events or key not in keys:
                    raise InputError(
                        f"{self.file}: {(keys.get(key) or events[key]).path} has no partner in the channel "
                        f"{(channel if key in events else first)!r}; an event has a histogram in each channel"
                    )
        return {channel: [keys[key] for key in events] for channel, keys in found.items()}


def _walked(folder: Any, place: str) -> Iterator[Stored]:
    """Yield what a folder and those in it hold; each folder is read once."""
    for name, kind in folder.classnames(recursive=False, cycle=False).items():
        if kind in ("TDirectory", "TDirectoryFile"):
            yield from _walked(folder[name], f"{place}{name}/")
        else:
            yield Stored(f"{place}{name}", kind, folder)
