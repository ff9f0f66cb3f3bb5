"""Histograms in HDF5: datasets (event, bin), (event, row, column) or (event, channel, row, column)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped

from hepanom.errors import InputError, did_you_mean
from hepanom_plugins.readers import datasets
from hepanom_plugins.readers.counts import CHUNK_BYTES, Counts, Header, groups
from hepanom_plugins.readers.datasets import Picture, Place


@dataclass(frozen=True)
class Arrays:
    """The datasets of a file, one for each channel or one for all; an event is a row of them.

    ``columns`` are datasets of one value per event beside the first of them, or paths in the file.
    """

    file: str
    histogram: str | Mapping[str, str]
    columns: Sequence[str]
    number: str | None
    texts: Sequence[str | None]

    def header(self) -> Header:
        """Return shapes and names. Raises InputError for datasets that do not fit together."""
        with datasets.opened(self.file) as content:
            try:
                pictures = self._pictures(content)
                places = self._places(content, pictures[0])
                used = [places[name].dataset for name in self.columns if name in places]
                events = datasets.rows(content, [*(picture.dataset for picture in pictures), *used])
            except InputError as error:
                raise InputError(f"{self.file}: {error}") from error
        channels = tuple(name for picture in pictures for name in picture.channels)
        units = tuple(unit for picture in pictures for unit in picture.units)
        found = tuple(groups(self.number, [self.file], self.texts))
        return Header(channels, units, pictures[0].shape, ((),) * len(channels), (*places, *found), events)

    def read(self, start: int, stop: int) -> Iterator[Counts]:
        """Yield rows ``start`` to ``stop``."""
        header = self.header()
        with datasets.opened(self.file) as content:
            pictures = self._pictures(content)
            places = {name: place for name, place in self._places(content, pictures[0]).items() if name in self.columns}
            told = groups(self.number, [self.file], self.texts)
            step = max(1, CHUNK_BYTES // max(1, header.bytes))
            for first in range(start, stop, step):
                last = min(first + step, stop)
                values = [self._values(content[picture.dataset], first, last) for picture in pictures]
                blocks = {place.dataset: content[place.dataset][first:last] for place in places.values()}
                columns: dict[str, Shaped[np.ndarray, " event"]] = {
                    name: datasets.picked(blocks, place) for name, place in places.items()
                }
                columns |= {name: value.repeat(last - first) for name, value in told.items()}
                names = [f"{self.file}: event {row}" for row in range(first, last)]
                yield Counts(values[0] if len(values) == 1 else np.concatenate(values, axis=1), columns, names, {})

    def _values(self, dataset: Any, first: int, last: int) -> Float32[np.ndarray, "event channel row column"]:
        values = datasets.numbers(dataset, first, last)
        return values.reshape(len(values), -1, *((1, *values.shape[1:])[-2:]))

    def _pictures(self, content: Any) -> list[Picture]:
        """Return the datasets of counts. Raises InputError for one that is none, or of another shape than the first."""
        asked = {"occupancy": self.histogram} if isinstance(self.histogram, str) else self.histogram
        found: list[Picture] = []
        for channel, name in asked.items():
            entry = datasets.find(content, name)
            if getattr(entry, "ndim", 0) == 2 and entry.dtype.kind in datasets.NUMBERS:
                units = datasets.texts(entry, "units")
                found.append(Picture(entry.name, (channel,), units if len(units) == 1 else ("",), (1, entry.shape[1])))
            elif getattr(entry, "ndim", 0) in (3, 4) and entry.dtype.kind in datasets.NUMBERS:
                single = len(asked) > 1 or entry.ndim == 3 or entry.shape[1] == 1
                found.append(datasets.picture(content, name, (channel,) if single else ()))
            else:
                kind = f"has the shape {entry.shape} of {entry.dtype}" if hasattr(entry, "shape") else "is a group"
                raise InputError(
                    f"{name!r} {kind}; histograms are (event, bin), (event, row, column) or (event, channel, row, "
                    "column) of numbers"
                )
            if found[-1].shape != found[0].shape:
                one, two = ("x".join(map(str, picture.shape)) for picture in (found[0], found[-1]))
                raise InputError(f"channels have one binning: {found[0].dataset!r} is {one}, {name!r} {two}")
        return found

    def _places(self, content: Any, picture: Picture) -> dict[str, Place]:
        """Return the columns of one value per event. Raises InputError for one that holds neither numbers nor text."""
        found = datasets.beside(content[picture.dataset].parent)
        for name in self.columns:
            if name not in found and name in content:
                found[name] = datasets.whole(content[name])
            if name in found and found[name].holds == "something else":
                raise InputError(f"column {name!r} holds neither numbers nor text; {did_you_mean(name, found)}")
        return found
