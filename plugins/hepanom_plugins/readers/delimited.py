"""Delimited text as polars frames of bounded size in which every row has been checked."""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, zip_longest
from typing import Literal

import numpy as np
import polars as pl
from polars.exceptions import PanicException, PolarsError

from hepanom.errors import InputError
from hepanom_plugins.readers.files import blame_the_file_first, open_text

Type = Literal["float32", "float", "int", "str"]

BLOCK = 8 << 20  # bytes of decompressed text parsed at a time
SAMPLE = 1000  # rows that tell a column's type
LONGEST = 1 << 20  # bytes of a header beyond which a file is no table
NUMBER = "a number; where a value is missing leave the field empty or write nan"
POLARS = {"float32": pl.Float32, "float": pl.Float64, "int": pl.Int64, "str": pl.String}
EXPECTED = {
    "float32": f"{NUMBER}, or leave the column out of `features`",
    "float": NUMBER,
    "int": "an integer, as the first rows are; say in the option `types` whether it is float or str",
}
KINDS = {
    b"root": "a ROOT file",
    b"\x89HDF": "an HDF5 file",
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a zip archive",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
}


@dataclass(frozen=True)
class Table:
    """One file: its column names in order, the types of the columns to be read, and what separates them."""

    file: str
    names: tuple[str, ...]
    types: Mapping[str, Type]
    separator: str

    def at(self, file: str) -> Table:
        """Return the same table in another file. Raises InputError where its header differs."""
        with blame_the_file_first(file):
            names = read_header(file, self.separator)
            for column, (here, there) in enumerate(zip_longest(names, self.names), 1):
                if here != there:
                    found, wanted = ("nothing" if name is None else repr(name) for name in (here, there))
                    other = f"in {self.file} it is {wanted}"
                    raise InputError(f"{file}:1: column {column} is {found}, {other}; make the headers equal")
        return replace(self, file=file)

    def scan(self, text: bytes) -> pl.DataFrame:
        """Parse whole lines as polars does, which is silent about rows that are too short or too long."""
        schema = {name: POLARS[self.types.get(name, "str")] for name in self.names}
        rows = pl.scan_csv(text, has_header=False, schema=schema, separator=self.separator)
        return rows.select(*self.types, *{self.names[-1]} - {*self.types}).collect()


def read_header(file: str, separator: str) -> tuple[str, ...]:
    """Return the column names.

    Raises InputError for a file that is empty, is no text, has no rows, repeats or omits a name, or is separated by
    something else.
    """
    with blame_the_file_first(file):
        return _header(file, separator)


def _header(file: str, separator: str) -> tuple[str, ...]:
    with open_text(file) as stream:
        first, second = stream.readline(LONGEST), stream.readline(LONGEST)
    if not first:
        raise InputError(f"{file}: the file is empty")
    header = None if b"\0" in first or len(first) == LONGEST else _text(first)
    if header is None:
        kind = next((kind for magic, kind in KINDS.items() if first.startswith(magic)), "binary or has no lines")
        raise InputError(f"{file}: not a CSV: this is {kind}; what would do is UTF-8 text, plain or gzipped")
    if not second.strip():
        raise InputError(f"{file}: no rows below the header")
    names = tuple(name.strip() for name in _fields(header, separator))
    below = _text(second) or ""
    if len(names) == 1 or len(names) != len(_fields(below, separator)):
        for other in ",;\t| ":
            count = len(_fields(header, other))
            if count > len(names) and count == len(_fields(below, other)):
                found = f"separated by {separator!r} the header has {len(names)}"
                raise InputError(f"{file}:1: wrong separator: {found}, by {other!r} {count} columns")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(f"{file}:1: duplicate column {', '.join(map(repr, repeated))}; name each column once")
    if "" in names:
        place = names.index("") + 1
        raise InputError(f"{file}:1: column {place} has no name (a saved row index?); name it or leave it out")
    return names


def guess_types(table: Table, columns: Sequence[str]) -> dict[str, Type]:
    """Return ``int``, ``float`` or ``str`` for each column, whatever fits all of the first ``SAMPLE`` rows."""
    text = _first_rows(table.file)
    types: dict[str, Type] = {}
    for column in columns:
        whole, number = (replace(table, types={column: kind}) for kind in ("int", "float"))
        if _parses(whole, text) and not whole.scan(text)[column].null_count():
            types[column] = "int"
        else:
            types[column] = "float" if _parses(number, text) else "str"
    return types


def hold_text(table: Table) -> tuple[str, ...]:
    """Return the columns with words, and nothing like a number, in the first ``SAMPLE`` rows: 1,5 is a number."""
    found, text = replace(table, types=dict.fromkeys(table.names, "str")), _first_rows(table.file)
    if not _parses(found, text):
        return ()  # reading says why
    rows = found.scan(text)
    number = (
        pl.all().str.contains(r"^\s*[-+]?[.,]?\d")
        | pl.all().str.strip_chars().cast(pl.Float64, strict=False).is_not_null()
    )
    some, numbers = rows.select(pl.all().count() > 0).row(0), rows.select(number.any()).row(0)
    return tuple(name for name, has, like in zip(rows.columns, some, numbers, strict=True) if has and not like)


def _first_rows(file: str) -> bytes:
    with open_text(file) as stream:
        stream.readline()
        return b"".join(islice(stream, SAMPLE))


def read_rows(table: Table) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield (number of the first line, checked rows) for each block of about ``BLOCK`` bytes of text.

    The header is line 1. Raises InputError with file, line and column for a row that is short or long, a field that is
    not of its column's type, or a file that does not end with a line end.
    """
    line = 2
    with open_text(table.file) as stream:
        stream.readline()
        while text := stream.read(BLOCK) + stream.readline():
            if not text.endswith(b"\n"):
                last = line + text.count(b"\n")
                cut = "no line end at the end of the file, which may be cut inside its last field"
                raise InputError(f"{table.file}:{last}: {cut}; if it is complete, add the line end")
            rows = check(table, text, line)
            yield line, rows
            line += rows.height


def check(table: Table, text: bytes, line: int) -> pl.DataFrame:
    """Parse whole lines, the first of which is ``line``; raise InputError where one is wrong."""
    if b'"' in text:
        _refuse_open_quotes(table, text, line)
    try:
        frame = table.scan(text)
    except (PolarsError, PanicException) as error:
        _refuse_ragged_rows(table, text, line)
        _refuse_bad_field(table, text, line)
        raise InputError(f"{table.file}:{line}: a line from here on cannot be parsed: {error}") from error
    if text[:1] in b"\r\n" or not _rectangular(table, text, frame):  # polars 1 skips an empty first line
        _refuse_ragged_rows(table, text, line)
    return frame


def _rectangular(table: Table, text: bytes, frame: pl.DataFrame) -> bool:
    """Say whether each row has as many fields as the header, where that can be seen without parsing.

    Polars fills a short row with nulls: with a value in each last field no row is short, and then the number of
    separators shows that none is long.
    """
    mark, width = table.separator.encode(), len(table.names)
    if not frame[table.names[-1]].null_count():
        letters = np.frombuffer(text, np.uint8)
        pieces = np.array_split(letters, len(letters) // 2**18 + 1)  # a piece and its mask stay in the cache
        marks = sum(int(np.count_nonzero(piece == mark[0])) for piece in pieces)
        return marks == frame.height * (width - 1)
    other = bytes(set(range(256)) - {*mark, *b"\n"})
    return width > 1 and text.translate(None, other) == (mark * (width - 1) + b"\n") * frame.height


def _refuse_ragged_rows(table: Table, text: bytes, line: int) -> None:
    """Raise InputError for the first line whose number of fields is not the header's."""
    for number, row in enumerate(text.split(b"\n")[:-1], line):
        count = len(_fields(row.decode("utf-8", "replace"), table.separator))
        if count != len(table.names):
            what = "a long row" if count > len(table.names) else "a short row" if count else "an empty line"
            raise InputError(f"{table.file}:{number}: {what}: {count} fields, the header has {len(table.names)}")


def _refuse_bad_field(table: Table, text: bytes, line: int) -> None:
    """Raise InputError for the first field that polars refuses, if it refuses any line."""
    rows = text.split(b"\n")[:-1]
    index = bisect_left(
        range(len(rows)), True, key=lambda stop: not _parses(table, b"\n".join(rows[: stop + 1]) + b"\n")
    )
    if index == len(rows):
        return
    place = f"{table.file}:{line + index}"
    row = _text(rows[index])
    if row is None:
        raise InputError(f"{place}: not UTF-8 text; save the file as UTF-8")
    for name, field in zip(table.names, _fields(row, table.separator), strict=True):
        wanted = table.types.get(name, "str")
        single = Table(table.file, (name,), {name: wanted}, table.separator)
        if wanted in EXPECTED and field and not _parses(single, field.encode() + b"\n"):
            raise InputError(f"{place}: column {name!r}: {field!r} is not {EXPECTED[wanted]}")
    raise InputError(f"{place}: cannot be parsed: {row[:80]!r}; look at its quotes")


def _refuse_open_quotes(table: Table, text: bytes, line: int) -> None:
    """Raise InputError for the first line with an odd number of quotes: a block could end inside such a field."""
    letters = np.frombuffer(text, np.uint8)
    before = np.searchsorted(np.flatnonzero(letters == ord('"')), np.flatnonzero(letters == ord("\n")))
    odd = np.flatnonzero(before % 2)
    if len(odd):
        raise InputError(f"{table.file}:{line + odd[0]}: a quote is not closed on its line; a field is one line")


def _parses(table: Table, text: bytes) -> bool:
    try:
        table.scan(text)
    except (PolarsError, PanicException):
        return False
    return True


def _text(line: bytes) -> str | None:
    """Return the line without its end, or None where it is no text."""
    try:
        return line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        return None


def _fields(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r\n")], delimiter=separator))
    except (csv.Error, StopIteration):
        return line.split(separator) if line else []
