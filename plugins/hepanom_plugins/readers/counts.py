"""Counts in the bins of histograms: what a file tells of them, and how they are normalized."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64, Shaped
from pydantic import Field

from hepanom.errors import InputError
from hepanom_plugins.readers.roles import Columns

CHUNK_BYTES = 16_000_000  # of counts as float32

Normalization = Literal["total", "root", "none"]
Normalize = Annotated[
    Normalization, Field(description="counts over the event's mean count, the square root of that, or counts")
]
Edges = tuple[tuple[float, ...], ...]  # of the bins of each axis; () where a file does not say


@dataclass(frozen=True)
class Header:
    """What a file says of its histograms before any is read but the first.

    ``columns`` are those of one value per event, ``binning`` the edges of each channel's bins.
    """

    channels: tuple[str, ...]
    units: tuple[str, ...]
    shape: tuple[int, int]
    binning: tuple[Edges, ...]
    columns: tuple[str, ...]
    events: int

    @property
    def bytes(self) -> int:
        """Return how much memory one event takes."""
        return 4 * len(self.channels) * self.shape[0] * self.shape[1]


@dataclass(frozen=True)
class Counts:
    """Some events as a file holds them; ``names`` says where each lies, ``tally`` what was left out on the way."""

    values: Float32[np.ndarray, "event channel row column"]
    columns: Columns
    names: Sequence[str]
    tally: Mapping[str, int]


@runtime_checkable
class Source(Protocol):
    """One kind of file that holds histograms."""

    def header(self) -> Header:
        """Return what the file says. Raises BrokenFileError, InputError."""
        ...

    def read(self, start: int, stop: int) -> Iterator[Counts]:
        """Yield events ``start`` to ``stop`` in pieces of some megabytes. Raises BrokenFileError, InputError."""
        ...


def entries(counts: Float32[np.ndarray, "event channel row column"]) -> Float64[np.ndarray, " event"]:
    """Return the sum of each event's bins; a bin that is NaN, such as a masked channel, has none."""
    return np.asarray(np.nansum(counts, axis=(1, 2, 3), dtype=np.float64))


def normalized(
    counts: Float32[np.ndarray, "event channel row column"], normalize: Normalization
) -> Float32[np.ndarray, "event channel row column"]:
    """Return counts N over their mean in the event, x_i = N_i / (sum_j N_j / n), or sqrt(x_i).

    n is the number of bins that are not NaN. The mean of x is 1, and 0 where nothing was counted. With Poisson counts
    the relative error of x_i is 1 / sqrt(N_i), and the error of sqrt(x_i) is sqrt(n / sum_j N_j) / 2 in every bin.
    """
    if normalize == "none":
        return counts
    bins = np.isfinite(counts).sum(axis=(1, 2, 3))
    total = entries(counts)
    factor = np.divide(bins, total, out=np.zeros(len(counts)), where=total > 0)
    images: Float32[np.ndarray, "event channel row column"] = counts * factor.astype(np.float32)[:, None, None, None]
    return np.sqrt(images) if normalize == "root" else images


def groups(
    pattern: str | None, places: Sequence[str], texts: Sequence[str | None]
) -> dict[str, Shaped[np.ndarray, " event"]]:
    """Return what the named groups of a regular expression match in each place, where it is searched.

    Groups are whole numbers, but for those of ``texts``; these are left out where the first place lacks them. Raises
    InputError for a place where the expression is not found, or a group is no number.
    """
    if pattern is None or not places:
        return {}
    found = [re.search(pattern, place) for place in places]
    columns: dict[str, Shaped[np.ndarray, " event"]] = {}
    for name in re.compile(pattern).groupindex:
        values: list[str] = []
        for place, match in zip(places, found, strict=True):
            if match is None:
                raise InputError(f"{place}: the option `number`, {pattern!r}, is not found in this name")
            values.append(match[name] or "")
            if name not in texts and not re.fullmatch(r"\d{1,18}", values[-1]):
                raise InputError(
                    f"{place}: number: the group {name!r} is {values[-1]!r}; it is a whole number, unless it is the "
                    "`label` or the `category`"
                )
        if name not in texts:
            columns[name] = np.array(values).astype(np.int64)
        elif values[0]:
            columns[name] = np.array(values)
    return columns


def told(binning: Edges) -> str:
    """Return what an error says of a binning."""
    return " x ".join(f"{len(edges) - 1} bins from {edges[0]:g} to {edges[-1]:g}" for edges in binning)
