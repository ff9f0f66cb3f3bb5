"""The row groups of Parquet files: opened, described and read in bounded pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import compute, fs
from pyarrow import parquet as pq

from hepanom.errors import BrokenFileError, InputError
from hepanom_plugins.readers.columnar import Kind

try:
    import awkward as ak  # type: ignore[import-untyped]
except ImportError as error:
    raise InputError('the reader parquet needs awkward: pip install "hepanom[parquet]"') from error

INDEX = "__index_level_"  # how pandas names an index without a name
WIDTH = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4}  # bytes of a value; others have 8
Steps = tuple[str, ...]  # from a column to the member of a record, in lists or not


@dataclass(frozen=True)
class RowGroups:
    """An open Parquet file, the kind of every column, where the column lies, and the number of rows."""

    file: str
    content: pq.ParquetFile
    kinds: Mapping[str, Kind]
    places: Mapping[str, Steps]
    rows: int

    def edges(self, names: Sequence[str], size: int) -> list[int]:
        """Return 0, the rows where parts of some ``size`` bytes of these columns begin, and the number of rows."""
        found, step = [0], self._step(names, size)
        for start, end in pairwise(self._ends()):
            if end - found[-1] > step and start > found[-1]:
                found.append(start)
        return [*found, self.rows] if self.rows else found

    def chunks(self, names: Sequence[str], rows: range, size: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (rows, arrays) of some ``size`` bytes: numpy for a value per event, else awkward.

        Raises BrokenFileError where the file cannot be read, InputError where its row groups are others by now.
        """
        ends = self._ends()
        if rows.start not in ends or rows.stop not in ends:
            raise InputError(f"{self.file}: its row groups are not those that were there when its parts were listed")
        groups = list(range(ends.index(rows.start), ends.index(rows.stop)))
        batches = self.content.iter_batches(self._step(names, size), row_groups=groups, columns=self._paths(names))
        while True:
            with blamed(self.file):
                batch = next(batches, None)
                if batch is None:
                    break
                arrays = {name: self._array(batch, name) for name in names}
            yield len(batch), arrays

    def _ends(self) -> list[int]:
        """Return the first row of every row group, and the number of rows."""
        metadata = self.content.metadata
        counts = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        return list(accumulate(counts, initial=0))

    def _step(self, names: Sequence[str], size: int) -> int:
        """Return how many rows take some ``size`` bytes, as in the first row group."""
        if not self.rows:
            return 1
        group, paths = self.content.metadata.row_group(0), set(self._paths(names))
        columns = (group.column(index) for index in range(group.num_columns))
        held: int = sum(
            max(column.num_values * WIDTH.get(column.physical_type, 8), column.total_uncompressed_size)
            for column in columns
            if column.path_in_schema in paths
        )  # dictionaries and run lengths make a page smaller than its values
        return max(1, size * int(group.num_rows) // max(1, held))

    def _paths(self, names: Sequence[str]) -> list[str]:
        """Return the paths in the file's own schema: how it names the levels of a list differs between writers."""
        schema = self.content.schema
        paths = [schema.column(index).path for index in range(len(schema))]
        found = []
        for name in names:
            top, *inner = self.places[name]
            end = "".join(f".{step}" for step in inner)
            found += [path for path in paths if path == top or (path.startswith(f"{top}.") and path.endswith(end))]
        return list(dict.fromkeys(found))

    def _array(self, batch: pa.RecordBatch, name: str) -> Any:
        top, *inner = self.places[name]
        array = batch.column(top)
        if self.kinds[name] == "text":
            array = _member(array, inner)
            return np.asarray(
                compute.fill_null(compute.cast(array, pa.string()), "").to_numpy(zero_copy_only=False), str
            )
        if self.kinds[name] == "number":
            return _numbers(_member(array, inner))
        counts = compute.fill_null(compute.list_value_length(array), 0).to_numpy()
        values = _numbers(_member(compute.list_flatten(array), inner))
        offsets = ak.index.Index64(np.concatenate([[0], np.cumsum(counts)]))
        return ak.Array(ak.contents.ListOffsetArray(offsets, ak.contents.NumpyArray(values)))


@contextmanager
def opened(file: str) -> Iterator[RowGroups]:
    """Open a Parquet file here or at an address.

    Raises BrokenFileError for a file that cannot be read, InputError for one that is not there.
    """
    with blamed(file):
        system, place = fs.FileSystem.from_uri(file) if "://" in file else (fs.LocalFileSystem(), file)
        stream = system.open_input_file(place)
    with stream:
        with blamed(file):
            content = pq.ParquetFile(stream, page_checksum_verification=True)
            columns = dict(_columns(content.schema_arrow))
        kinds = {name: kind for name, (_, kind) in columns.items()}
        places = {name: steps for name, (steps, _) in columns.items()}
        yield RowGroups(file, content, kinds, places, content.metadata.num_rows)


@contextmanager
def blamed(file: str) -> Iterator[None]:
    """Turn what pyarrow raises in the block into a message that names the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{file}: is not there") from error
    except (pa.ArrowException, OSError) as error:
        reason = str(error).strip().splitlines()[0].split(". ")[0].rstrip(".")
        raise BrokenFileError(f"{file}: is truncated, corrupt or no Parquet file: {reason}; copy it again") from error


def _columns(schema: pa.Schema) -> Iterator[tuple[str, tuple[Steps, Kind]]]:
    """Yield (name, (steps, kind)) of every column: ``met``, ``jet_pt``, and ``jet.pt`` for the member of a record."""
    for field in schema:
        if field.name.startswith(INDEX):
            continue
        lists = _is_list(field.type)
        inner = field.type.value_type if lists else field.type
        if pa.types.is_struct(inner):
            for member in inner:
                yield f"{field.name}.{member.name}", ((field.name, member.name), _kind(member.type, lists=lists))
        else:
            yield field.name, ((field.name,), _kind(inner, lists=lists))


def _kind(of: pa.DataType, *, lists: bool) -> Kind:
    types = pa.types
    if types.is_integer(of) or types.is_floating(of) or types.is_boolean(of) or types.is_decimal(of):
        return "numbers" if lists else "number"
    plain = of.value_type if types.is_dictionary(of) else of
    text = types.is_string(plain) or types.is_large_string(plain) or types.is_string_view(plain)
    return "text" if text and not lists else "other"


def _is_list(type_: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_))


def _member(array: pa.Array, steps: Sequence[str]) -> pa.Array:
    return compute.struct_field(array, list(steps)) if steps else array


def _numbers(array: pa.Array) -> Any:
    """Return an array of numbers with NaN for null."""
    if pa.types.is_decimal(array.type):
        array = compute.cast(array, pa.float64())
    if array.null_count and pa.types.is_boolean(array.type):
        array = compute.cast(array, pa.uint8())
    return array.to_numpy(zero_copy_only=False)
