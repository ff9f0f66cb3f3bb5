"""What an HDF5 file holds: tables of named columns and images, found by themselves and read by rows."""

from __future__ import annotations

import math
import pickletools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Shaped

from hepanom.errors import BrokenFileError, InputError, did_you_mean

try:
    import h5py  # type: ignore[import-untyped]
except ImportError as error:
    raise InputError('files in HDF5 need the library h5py: pip install "hepanom[hdf5]"') from error

NUMBERS = "biuf"
TILE_BYTES = 2_500_000
PANDAS = {"frame": "fixed", "frame_table": "table"}

Holds = Literal["numbers", "text", "something else"]


@dataclass(frozen=True)
class Place:
    """Where a column lies: a dataset of one value per event, or a field or column, or both, of a wider one."""

    dataset: str
    steps: tuple[str | int, ...]
    holds: Holds
    unit: str = ""


@dataclass(frozen=True)
class Picture:
    """A dataset of images (event, channel, row, column) or (event, row, column), its channels and their size."""

    dataset: str
    channels: tuple[str, ...]
    units: tuple[str, ...]
    shape: tuple[int, int]


@contextmanager
def opened(file: str) -> Iterator[Any]:
    """Open a file; what HDF5 finds wrong with it, there and later, becomes a BrokenFileError."""
    if not h5py.is_hdf5(file):
        raise BrokenFileError(f"{file}: this is no HDF5 file, or its head is missing; copy it again")
    try:
        with h5py.File(file) as content:
            yield content
    except (OSError, RuntimeError, KeyError) as error:
        if isinstance(error, KeyError) and "nable to" not in str(error):  # h5py's KeyError for a broken dataset says so
            raise
        raise BrokenFileError(f"{file}: the HDF5 file is truncated or corrupt ({error}); copy it again") from error


def find(content: Any, name: str) -> Any:
    """Return a dataset or group. Raises InputError where there is none of that name."""
    entry = content.get(name)
    if entry is None:
        known: list[str] = []
        content.visit(known.append)
        raise InputError(f"there is no dataset {name!r}; {did_you_mean(name, known)}")
    return entry


def search(content: Any, used: set[str]) -> str:
    """Return the only table or image there is: its dataset, or the group whose datasets are its columns.

    Datasets that are ``used`` otherwise do not count. Raises InputError where there is none, or more than one.
    """
    wide: dict[str, str] = {}
    groups: dict[str, str] = {}

    def visit(name: str, entry: Any) -> None:
        if any(name.startswith(f"{frame}/") for frame in wide) or name in used or name.rpartition("/")[2] in used:
            return
        if isinstance(entry, h5py.Group):
            if pandas_format(entry):
                wide[name] = "pandas"
        elif entry.dtype.kind in NUMBERS and _per_event(entry):
            parent = entry.parent.name.strip("/") or "/"
            groups[parent] = f"{parent} (one dataset per column)"
        elif (entry.ndim == 1 and entry.dtype.names) or (entry.ndim in (2, 3, 4) and entry.dtype.kind in NUMBERS):
            wide[name] = f"{name} {entry.shape}"

    content.visititems(visit)
    found = wide or groups
    if not found:
        held = ", ".join(sorted(content)[:20]) or "nothing"
        raise InputError(
            "there is no table and no image: no matrix (event, column), no compound dataset, no group of datasets of "
            f"one number per event, no pandas frame, no (event, channel, row, column); it holds {held}"
        )
    if len(found) > 1:
        raise InputError(
            f"several datasets could be read: {'; '.join(list(found.values())[:20])}; choose a table by the option "
            "`dataset`, or images by `images`"
        )
    return next(iter(found))


def columns_of(content: Any, name: str, names: Sequence[str]) -> dict[str, Place]:
    """Return the columns of a table by name, in their order; ``names`` are those of a matrix.

    Raises InputError for something that is no table, and for names that do not fit.
    """
    entry = find(content, name)
    if isinstance(entry, h5py.Group):
        if pandas_format(entry) == "fixed":
            return _fixed(entry)
        if pandas_format(entry) == "table":
            return {column: place for column, place in _fields(entry["table"]).items() if column != "index"}
        found = beside(entry)
        if not found:
            raise InputError(f"{entry.name} is a group without datasets of one value per event")
        return found
    if entry.ndim == 1 and entry.dtype.names:
        return _fields(entry)
    if entry.ndim != 2 or entry.dtype.kind not in NUMBERS:
        raise InputError(
            f"dataset {name!r} has the shape {entry.shape} of {entry.dtype}; a table is (event, column) of numbers, or "
            "a compound dataset with one entry per event"
        )
    width = entry.shape[1]
    found_names = tuple(names) or texts(entry, "columns") or tuple(map(str, range(width)))
    where = "the option `columns`" if names else "its attribute `columns`"
    if len(found_names) != width:
        raise InputError(f"dataset {name!r} has {width} columns, {where} names {len(found_names)}")
    if twice := [column for column in found_names if found_names.count(column) > 1]:
        raise InputError(f"dataset {name!r}: {where} names {twice[0]!r} twice")
    units = texts(entry, "units")
    units = units if len(units) == width else ("",) * width
    return {
        column: Place(entry.name, (index,), "numbers", unit)
        for index, (column, unit) in enumerate(zip(found_names, units, strict=True))
    }


def picture(content: Any, name: str, names: Sequence[str]) -> Picture:
    """Return what a dataset of images says of itself; ``names`` are those of its channels. Raises InputError."""
    entry = find(content, name)
    if isinstance(entry, h5py.Group) or entry.ndim not in (3, 4) or entry.dtype.kind not in NUMBERS:
        found = "is a group" if isinstance(entry, h5py.Group) else f"has the shape {entry.shape} of {entry.dtype}"
        raise InputError(f"{name!r} {found}; images are (event, channel, row, column) or (event, row, column)")
    width = entry.shape[1] if entry.ndim == 4 else 1
    default = (name.rpartition("/")[2],) if width == 1 else tuple(map(str, range(width)))
    channels = tuple(names) or texts(entry, "columns") or default
    if len(channels) != width:
        raise InputError(f"dataset {name!r} has {width} channels, but {len(channels)} are named: {', '.join(channels)}")
    units = texts(entry, "units")
    return Picture(entry.name, channels, units if len(units) == width else ("",) * width, entry.shape[-2:])


def beside(group: Any) -> dict[str, Place]:
    """Return the datasets of one value per event in a group, by name."""
    found = {name: group.get(name) for name in group}
    return {
        name: whole(entry) for name, entry in found.items() if isinstance(entry, h5py.Dataset) and _per_event(entry)
    }


def whole(dataset: Any) -> Place:
    """Return a dataset as one column. Raises InputError for a wider one."""
    if not _per_event(dataset):
        raise InputError(f"dataset {dataset.name!r} has the shape {dataset.shape}; a column is one value per event")
    return Place(dataset.name, (0,) if dataset.ndim == 2 else (), _holds(dataset.dtype), *texts(dataset, "units")[:1])


def rows(content: Any, names: Sequence[str]) -> int:
    """Return how many rows these datasets have. Raises InputError where their lengths differ."""
    lengths = {name: int(content[name].shape[0]) for name in names}
    for name, length in lengths.items():
        if length != lengths[names[0]]:
            raise InputError(
                f"dataset {name!r} has {length} rows, {names[0]!r} has {lengths[names[0]]}; both need one per event"
            )
    return lengths[names[0]] if names else 0


def numbers(dataset: Any, start: int, stop: int) -> Float32[np.ndarray, "event ..."]:
    """Return rows as float32. Other types go through a piece of memory that stays in the cache, if chunks allow it."""
    found = np.empty((stop - start, *dataset.shape[1:]), np.float32)
    if dataset.dtype == np.float32:
        dataset.read_direct(found, np.s_[start:stop])
        return found
    width = dataset.dtype.itemsize * math.prod(dataset.shape[1:])
    step = stop - start if dataset.chunks else max(1, min(stop - start, TILE_BYTES // max(1, width)))
    tile = np.empty((step, *dataset.shape[1:]), dataset.dtype)
    with np.errstate(over="ignore"):
        for first in range(start, stop, step):
            length = min(step, stop - first)
            dataset.read_direct(tile, np.s_[first : first + length], np.s_[:length])
            found[first - start : first - start + length] = tile[:length]
    return found


def picked(blocks: Mapping[str, Shaped[np.ndarray, "event ..."]], place: Place) -> Shaped[np.ndarray, "event ..."]:
    """Return a column of the rows that were read from its dataset."""
    values = blocks[place.dataset]
    for step in place.steps:
        values = values[step] if isinstance(step, str) else values[:, step]
    return values


def texts(entry: Any, attribute: str) -> tuple[str, ...]:
    """Return an attribute as texts, none where it is missing."""
    values = np.atleast_1d(entry.attrs.get(attribute, []))
    return tuple(value.decode() if isinstance(value, bytes) else str(value) for value in values.ravel())


def _per_event(dataset: Any) -> bool:
    return dataset.dtype.names is None and (dataset.ndim == 1 or (dataset.ndim == 2 and dataset.shape[1] == 1))


def _holds(dtype: np.dtype[Any]) -> Holds:
    if dtype.kind in NUMBERS:
        return "numbers"
    return "text" if dtype.kind == "S" or h5py.check_string_dtype(dtype) else "something else"


def pandas_format(group: Any) -> str | None:
    """Return how pandas wrote a frame into this group, None where it did not."""
    return PANDAS.get("".join(texts(group, "pandas_type")))


def _fields(dataset: Any) -> dict[str, Place]:
    """Return the fields of a compound dataset; a field of several numbers is as many columns."""
    names, units = dataset.dtype.names, texts(dataset, "units")
    found: dict[str, Place] = {}
    for index, field in enumerate(names):
        dtype, unit = dataset.dtype[field], units[index] if len(units) == len(names) else ""
        if dtype.shape == ():
            found[field] = Place(dataset.name, (field,), _holds(dtype), unit)
        elif len(dtype.shape) == 1:
            width = dtype.shape[0]
            told = _pickled(dataset.attrs.get(f"{field}_kind", b""))
            columns = told if len(told) == width else tuple(f"{field}[{number}]" for number in range(width))
            places = [Place(dataset.name, (field, number), _holds(dtype.base), unit) for number in range(width)]
            found |= dict(zip(columns, places, strict=True))
    return found


def _fixed(group: Any) -> dict[str, Place]:
    """Return the columns of a frame that pandas wrote in its fixed format, in the order of the frame."""
    found: dict[str, Place] = {}
    for block in count():
        items, values = group.get(f"block{block}_items"), group.get(f"block{block}_values")
        if items is None or values is None:
            break
        for index, column in enumerate(_named(items)):
            if values.ndim == 2 and values.shape[1] == len(items):
                found[column] = Place(values.name, (index,), _holds(values.dtype))
            else:  # pandas pickles the columns that hold Python objects
                found[column] = Place(values.name, (), "something else")
    if not found or "axis0" not in group:
        raise InputError(
            f"{group.name}: this pandas frame cannot be read: it has no axis0, block0_items, block0_values"
        )
    order = [column for column in _named(group["axis0"]) if column in found]
    return {column: found[column] for column in order}


def _named(items: Any) -> tuple[str, ...]:
    return tuple(item.decode() if isinstance(item, bytes) else str(item) for item in items[...].tolist())


def _pickled(text: Any) -> tuple[str, ...]:
    """Return the texts in a pickled list, as PyTables keeps column names; the pickle is read and never run."""
    try:
        words = [(code.name, value) for code, value, _ in pickletools.genops(bytes(text))]
    except (ValueError, TypeError):
        return ()
    return tuple(str(value) for code, value in words if code.endswith("UNICODE"))
