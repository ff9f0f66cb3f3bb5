"""Point clouds in HDF5: points with offsets, arrays of fixed size, and the clouds of Spyral."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from hepanom.errors import BrokenFileError, InputError
from hepanom.events import Jagged
from hepanom_plugins.readers.clouds import CHUNK_BYTES, PART_BYTES, Clouds, Header, joined, numbered, steps

try:
    import h5py  # type: ignore[import-untyped]
except ImportError as error:
    raise InputError('files in HDF5 need the library h5py: pip install "hepanom[hdf5]"') from error

XYZ = ("x", "y", "z", "charge")
SPYRAL = ("x", "y", "z", "amplitude", "integral", "pad", "timebucket", "scale")
SPYRAL_UNITS = ("mm", "mm", "mm", "ADC", "ADC", "", "", "")


@contextmanager
def opened(file: str) -> Iterator[Any]:
    """Open a file; what HDF5 finds wrong with it becomes a BrokenFileError."""
    try:
        with h5py.File(file) as content:
            yield content
    except (OSError, RuntimeError) as error:
        raise BrokenFileError(f"{file}: the HDF5 file is truncated or corrupt ({error}); copy it again") from error


@dataclass(frozen=True)
class Ragged:
    """``points`` (point, column) of all events, and ``offsets``: event i has points offsets[i] to offsets[i + 1].

    Other datasets of one value per event lie in the same group.
    """

    file: str
    group: str

    def header(self) -> Header:
        """Return columns and units from the attributes ``columns`` and ``units`` of the points."""
        with opened(self.file) as content:
            group = content[self.group]
            points, offsets = group["points"], self._offsets(group)
            columns = _columns(points, self.file)
            units = _texts(points, "units") or ("",) * len(columns)
            beside = tuple(name for name, entry in group.items() if _per_event(entry, len(offsets) - 1))
            return Header(
                columns, units, beside, (), numbered(beside, "event"), steps(offsets, len(columns), PART_BYTES)
            )

    def read(self, start: int, stop: int, columns: Sequence[str], beside: Sequence[str]) -> Iterator[Clouds]:
        """Yield events ``start`` to ``stop``."""
        with opened(self.file) as content:
            group = content[self.group]
            points, offsets = group["points"], self._offsets(group)[start : stop + 1]
            names = _columns(points, self.file)
            places = [names.index(column) for column in columns]
            for first, last in steps(offsets, len(names), CHUNK_BYTES):
                values = points[offsets[first] : offsets[last]][:, places].astype(np.float32)
                rows = slice(start + first, start + last)
                found = {name: group[name][rows] for name in beside if name in group}
                found = {"event": np.arange(rows.start, rows.stop), **found}
                yield Clouds(Jagged(values, offsets[first : last + 1] - offsets[first]), found, {})

    def _offsets(self, group: Any) -> Int64[np.ndarray, " offset"]:
        offsets: Int64[np.ndarray, " offset"] = group["offsets"][...].astype(np.int64)
        points = group["points"].shape[0]
        if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != points or (np.diff(offsets) < 0).any():
            ends = f"from {offsets[0]} to {offsets[-1]}" if len(offsets) else "none"
            raise BrokenFileError(
                f"{self.file}: offsets do not match points: there are {points} points, and {len(offsets)} offsets, "
                f"{ends}; they must rise from 0 to the number of points, one more than there are events"
            )
        return offsets


@dataclass(frozen=True)
class Fixed:
    """Arrays (event, point, column) with the same number of points in every event.

    The events of several arrays are counted on, in the order of their names; ``dataset`` and ``event``, the row in it,
    travel beside.
    """

    file: str
    arrays: tuple[str, ...]

    def header(self) -> Header:
        """Return columns and units from the attributes ``columns`` and ``units`` of the first array."""
        with opened(self.file) as content:
            shapes = {name: content[name].shape for name in self.arrays}
            first = content[self.arrays[0]]
            columns, units = _columns(first, self.file), _texts(first, "units")
            for name, shape in shapes.items():
                if shape[2] != len(columns):
                    raise InputError(
                        f"{self.file}: {name} has {shape[2]} columns, {self.arrays[0]} has {len(columns)}; choose "
                        "arrays of one kind by the option `inside`"
                    )
            counts = np.repeat([shape[1] for shape in shapes.values()], [shape[0] for shape in shapes.values()])
            points = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return Header(
            columns, units or ("",) * len(columns), (), ("dataset",), "event", steps(points, len(columns), PART_BYTES)
        )

    def read(self, start: int, stop: int, columns: Sequence[str], beside: Sequence[str]) -> Iterator[Clouds]:
        """Yield events ``start`` to ``stop``, counted through all arrays."""
        with opened(self.file) as content:
            before = 0
            for name in self.arrays:
                array = content[name]
                events, points, width = array.shape
                names = _columns(array, self.file)
                places = [names.index(column) for column in columns]
                step = max(1, CHUNK_BYTES // max(1, 4 * points * width))
                low, high = max(start - before, 0), min(stop - before, events)
                for first in range(low, high, step):
                    values = array[first : min(first + step, high)][:, :, places].astype(np.float32)
                    rows = np.arange(first, first + len(values))
                    clouds = Jagged(values.reshape(-1, len(places)), np.arange(len(rows) + 1) * points)
                    yield Clouds(clouds, {"event": rows, "dataset": np.full(len(rows), name)}, {})
                before += events


@dataclass(frozen=True)
class Spyral:
    """The group ``cloud`` of Spyral: one dataset ``cloud_<event>`` for each event, of eight columns.

    References:
        AT-TPC collaboration, Spyral, an analysis library for AT-TPC data, https://github.com/ATTPC/Spyral.
    """

    file: str

    def header(self) -> Header:
        """Return Spyral's columns, and ``orig_run`` and ``orig_event`` where the clouds have these attributes."""
        with opened(self.file) as content:
            numbers = event_numbers(content["cloud"], r"cloud_(\d+)")
            beside: tuple[str, ...] = ()
            for name in numbers.values():
                cloud = content["cloud"][name]
                if cloud.ndim != 2 or cloud.shape[1] != len(SPYRAL):
                    raise InputError(
                        f"{self.file}: cloud/{name} has the shape {cloud.shape}; a cloud of Spyral is (point, "
                        f"{len(SPYRAL)}): {', '.join(SPYRAL)}"
                    )
                beside = tuple(key for key in ("orig_run", "orig_event") if key in cloud.attrs)
                break
        return Header(SPYRAL, SPYRAL_UNITS, beside, (), "event", even_steps(self.file, len(numbers)))

    def read(self, start: int, stop: int, columns: Sequence[str], beside: Sequence[str]) -> Iterator[Clouds]:
        """Yield events ``start`` to ``stop``."""
        places = [SPYRAL.index(column) for column in columns]
        attributes = [name for name in beside if name != "event"]
        with opened(self.file) as content:
            for numbers, clouds, found in datasets(content["cloud"], r"cloud_(\d+)", start, stop, attributes):
                values, offsets = joined(clouds, places)
                yield Clouds(Jagged(values, offsets), {"event": numbers, **found}, {})


def datasets(
    group: Any, pattern: str, start: int, stop: int, attributes: Sequence[str]
) -> Iterator[tuple[Int64[np.ndarray, " event"], list[Any], dict[str, Int64[np.ndarray, " event"]]]]:
    """Yield numbers, arrays and attributes of some megabytes of events that have a dataset each."""
    numbers: list[int] = []
    arrays: list[Any] = []
    found: dict[str, list[int]] = {}
    held = 0
    chosen = list(event_numbers(group, pattern).items())[start:stop]
    for index, (number, name) in enumerate(chosen):
        dataset = group[name]
        numbers.append(number)
        arrays.append(dataset[...])
        for key in attributes:
            if key not in dataset.attrs:
                raise InputError(
                    f"{group.file.filename}: {dataset.name} lacks the attribute {key!r}, which others have"
                )
            found.setdefault(key, []).append(dataset.attrs[key])
        held += arrays[-1].nbytes
        if held >= CHUNK_BYTES or index + 1 == len(chosen):
            yield np.array(numbers), arrays, {key: np.array(values) for key, values in found.items()}
            numbers, arrays, found, held = [], [], {}, 0


def event_numbers(group: Any, pattern: str) -> dict[int, str]:
    """Return event number -> dataset of the names that match, in the order of the numbers."""
    matches = [(re.fullmatch(pattern, name), name) for name in group]
    return dict(sorted((int(match[1]), name) for match, name in matches if match))


def even_steps(file: str, events: int) -> tuple[tuple[int, int], ...]:
    """Return pieces of equally many events, by the size of the file."""
    pieces = max(1, min(events, round(Path(file).stat().st_size / PART_BYTES)))
    edges = np.linspace(0, events, pieces + 1).astype(int).tolist()
    return tuple(pairwise(edges)) if events else ()


def find(file: str, layout: str | None, inside: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the layout of a file, and the groups or datasets in it that have it. Raises InputError for none."""
    if not h5py.is_hdf5(file):
        raise InputError(f"{file}: this is neither an HDF5 nor a ROOT file")
    with opened(file) as content:
        top = set(content)
        holds: Mapping[str, tuple[str, ...]] = {
            "traces": ("get",) if "get" in top else (),
            "spyral": ("cloud",) if "cloud" in top else (),
        }
        if not any(holds.values()) or layout in ("points", "arrays"):
            holds = {**holds, **_searched(content, inside)}
        found = {name: places for name, places in holds.items() if places and layout in (None, name)}
        if not found:
            wanted = layout or "point clouds"
            pattern = f" at {inside!r}" if inside else ""
            raise InputError(
                f"{file}: there are no {wanted}{pattern}: neither `points` with `offsets`, nor arrays (event, point, "
                "column), nor the groups `cloud` (Spyral) or `get` (GET traces); it holds "
                f"{', '.join(sorted(top)[:20]) or 'nothing'}"
            )
        name, places = next(iter(found.items()))
        if name == "points" and len(places) > 1:
            raise InputError(f"{file}: several groups hold points: {', '.join(places)}; choose by the option `inside`")
        return name, places


def _searched(content: Any, inside: str | None) -> dict[str, tuple[str, ...]]:
    groups: list[str] = []
    arrays: list[str] = []

    def visit(name: str, entry: Any) -> None:
        path = name or "/"
        if inside is not None and not fnmatchcase(path.strip("/"), inside.strip("/")):
            return
        if isinstance(entry, h5py.Group) and {"points", "offsets"} <= set(entry):
            groups.append(path)
        elif isinstance(entry, h5py.Dataset) and entry.ndim == 3 and entry.dtype.kind in "iuf":
            arrays.append(path)

    visit("", content)
    content.visititems(visit)
    return {"points": tuple(groups), "arrays": tuple(sorted(arrays))}


def _columns(dataset: Any, file: str) -> tuple[str, ...]:
    """Return the names of the columns: those of the attribute, x, y, z and charge for four, else their positions."""
    width, names = dataset.shape[-1] if dataset.ndim > 1 else 1, _texts(dataset, "columns")
    if dataset.ndim == 1 or (names and len(names) != width):
        raise InputError(
            f"{file}: {dataset.name} has the shape {dataset.shape} and names {len(names)} columns; points are (point, "
            "column), with the names in the attribute `columns` or in none"
        )
    return names or (XYZ if width == len(XYZ) else tuple(map(str, range(width))))


def _texts(dataset: Any, attribute: str) -> tuple[str, ...]:
    values = np.atleast_1d(dataset.attrs.get(attribute, []))
    return tuple(value.decode() if isinstance(value, bytes) else str(value) for value in values)


def _per_event(entry: Any, events: int) -> bool:
    return isinstance(entry, h5py.Dataset) and entry.shape == (events,)
