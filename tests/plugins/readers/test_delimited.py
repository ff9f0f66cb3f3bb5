from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepanom.contracts import Part
from hepanom.errors import InputError
from hepanom.events import Events
from hepanom_plugins.readers import delimited
from hepanom_plugins.readers.csv import Csv

Write = Callable[[str, str | bytes], str]
Read = Callable[[Csv], Events]
Bad = tuple[str | bytes, str, dict[str, Any]]

SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def of(text: str | bytes, name: str = "bad.csv", **options: Any) -> Bad:
    return text, name, options


PLAIN = "x,y,n\n1,2,3\n4,5,6\n"
BAD: dict[str, tuple[Bad, str]] = {
    "missing column": (of(PLAIN, weight="yy"), r"bad\.csv:1: weight: column 'yy' is not there; did you mean 'y'"),
    "missing feature": (
        of(PLAIN, features=("z*",)),
        r"bad\.csv:1: features: column 'z\*' is not there; known are n, x, y",
    ),
    "all columns used": (of("x\n1\n", keep=("x",)), r"features: column '\*' is not there"),
    "unknown unit": (of(PLAIN, units={"xx": "GeV"}), "units.xx: column 'xx' is not there; did you mean 'x'"),
    "unknown type": (of(PLAIN, types={"x": "int"}), "types.x: column 'x' is not there"),
    "two roles": (of(PLAIN, weight="n", keep=("n",)), "column 'n' cannot be both in `keep` and in `weight`"),
    "feature and target": (
        of(PLAIN, features=("x",), targets=("x",)),
        "'x' cannot be both in `targets` and in `features`",
    ),
    "label without classes": (of(PLAIN, label="n"), "label: column 'n' needs `classes`"),
    "value of two classes": (of(PLAIN, label="n", classes={"a": (3,), "b": (3.0,)}), "3 cannot be both 'a' and 'b'"),
    "duplicate header": (of("x,y,x\n1,2,3\n"), r"bad\.csv:1: duplicate column 'x'"),
    "nameless column": (of(",x\n0,1\n"), r"bad\.csv:1: column 1 has no name"),
    "wrong separator": (of("x;y;n\n1;2;3\n"), r"bad\.csv:1: wrong separator: .*',' the header has 1, by ';' 3 columns"),
    "tabs": (of("x\ty\n1\t2\n", separator=";"), r"wrong separator: .* by '\\t' 2 columns"),
    "decimal comma": (of("x;y\n1,5;2\n", separator=";"), r"bad\.csv:2: column 'x': '1,5' is not a number"),
    "empty file": (of(""), r"bad\.csv: the file is empty"),
    "empty gzip": (of("", "bad.csv.gz"), r"bad\.csv\.gz: the file is empty"),
    "header alone": (of("x,y\n"), r"bad\.csv: no rows below the header"),
    "ROOT file": (of(b"root\0\0\xf7\xfa\n\1\n"), r"bad\.csv: not a CSV: this is a ROOT file"),
    "binary": (of(bytes(range(256)) * 9), r"bad\.csv: not a CSV: this is binary"),
    "no lines": (of(b"x" * 2**21), r"bad\.csv: not a CSV: this is binary or has no lines"),
    "UTF-16": (of("x,y\n1,2\n".encode("utf-16")), r"bad\.csv: not a CSV"),
    "not a number": (of("x,y,n\n1,2,3\n4,5.5.5,6\n"), r"bad\.csv:3: column 'y': '5\.5\.5' is not a number"),
    "NA": (
        of(PLAIN + "NA,1,1\n"),
        r"bad\.csv:4: column 'x': 'NA' is not a number; .* leave the field empty or write nan",
    ),
    "number of a target": (of(PLAIN + "1,2,a\n", targets=("n",)), r"bad\.csv:4: column 'n': 'a' is not a number"),
    "Latin-1": (of(b"x,y\n1,2\n3,\xe9\n"), r"bad\.csv:3: not UTF-8"),
    "short row": (of(PLAIN + "7,8\n9,9,9\n"), r"bad\.csv:4: a short row: 2 fields, the header has 3"),
    "first row short": (of("x,y,n\n7,8\n"), r"bad\.csv:2: a short row: 2 fields, the header has 3"),
    "long row": (of(PLAIN + "7,8,9,1\n"), r"bad\.csv:4: a long row: 4 fields, the header has 3"),
    "long row of unread columns": (of(PLAIN + "7,8,9,1\n", features=("x",)), r"bad\.csv:4: a long row"),
    "a short row after a long one": (of(PLAIN + "1,2,3,4\n1,2\n", features=("x",)), r"bad\.csv:4: a long row"),
    "one more separator": (of("x,y\n1,2,\n3,4,\n"), r"bad\.csv:2: a long row: 3 fields"),
    "empty line": (of(PLAIN + "\n7,8,9\n"), r"bad\.csv:4: an empty line: 0 fields, the header has 3"),
    "empty line in one column": (of("x\n1\n\n2\n"), r"bad\.csv:3: an empty line"),
    "open quote": (of('x,y\n1,2\n"1,2\n3",4\n', types={"y": "str"}, keep=("y",)), r"bad\.csv:3: a quote is not closed"),
    "quotes inside a field": (of('x,y\n1,a\n1,"a"b\n', keep=("y",)), r"bad\.csv:3: cannot be parsed: '1,\"a\"b'"),
    "no line end": (of(PLAIN + "7,8,9"), r"bad\.csv:4: no line end at the end of the file, which may be cut"),
    "no line end in a gzip": (of(PLAIN + "7,8,9", "bad.csv.gz"), r"bad\.csv\.gz:4: no line end"),
    "unknown label": (
        of("x,y\n1,s\n2,b\n3,S\n", label="y", classes={"bkg": ("b",), "sig": ("s", 1)}),
        r"bad\.csv:4: column 'y': 'S' is in none of the classes \(bkg: 'b'; sig: 's', 1\)",
    ),
    "empty label": (
        of("x,y\n1,\n", label="y", classes={"b": (0,)}),
        r"bad\.csv:2: column 'y': an empty field is in none",
    ),
    "empty weight": (of("x,y\n1,1\n1,\n", weight="y"), r"bad\.csv:3: column 'y': an empty field is no weight"),
    "NaN weight": (of("x,y\n1,1\n1,nan\n", weight="y"), r"bad\.csv:3: column 'y': nan is no weight"),
    "missing weight": (of("x,y\n1,-9\n", weight="y", missing=(-9.0,)), r"bad\.csv:2: column 'y': -9\.0 is no weight"),
    "empty id": (
        of("x,y\n1,a\n1,\n", id=("y",)),
        r"bad\.csv:3: column 'y': an empty field cannot be part of an event id",
    ),
}


@pytest.mark.parametrize(("bad", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_named_with_its_place(bad: Bad, message: str, write: Write, read: Read) -> None:
    text, name, options = bad
    with pytest.raises(InputError, match=message):
        read(Csv(write(name, text), **options))


WITHOUT = {
    "none*.csv": r"known are events\.csv$",
    "event.csv": r"did you mean 'events\.csv'\?",
    "events.gz": "has none of that kind",
    "away/events.csv": "there is no folder .*away'",
    "": r"that is a folder, .*\*' are the files in it",
}


@pytest.mark.parametrize("name", WITHOUT)
def test_a_path_without_a_file_is_an_error_that_says_what_is_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "events.csv").touch()
    with pytest.raises(InputError, match=f"no file matches .*{WITHOUT[name]}"):
        Csv(f"{tmp_path}/{name}").schema()


@pytest.mark.parametrize("block", [1, 7, 30, 10**6])
@pytest.mark.parametrize("row", ["1,2", "1,2,3,4", "1,z,s", "1,2,b", '1,2,"s', ""])
def test_the_line_of_an_error_does_not_depend_on_block_size(
    row: str, block: int, monkeypatch: pytest.MonkeyPatch, write: Write, read: Read
) -> None:
    monkeypatch.setattr(delimited, "BLOCK", block)
    path = write("bad.csv", "x,y,l\n" + "1,2,s\n" * 20 + row + "\n1,2,s\n")
    with pytest.raises(InputError, match=r"bad\.csv:22: "):
        read(Csv(path, label="l", classes={"s": ("s", 3)}))


def test_files_with_different_headers_are_an_error(write: Write) -> None:
    first, second = write("a.csv", PLAIN), write("b.csv", PLAIN.replace("y", "z"))
    reader = Csv((first, second))
    with pytest.raises(InputError, match=r"b\.csv:1: column 2 is 'z', in .*a\.csv it is 'y'"):
        reader.schema()
    with pytest.raises(InputError, match=r"b\.csv:1: column 2 is 'z'"):
        next(reader.read(Part(second, 0, 0)))
    write("b.csv", "x,y\n1,2\n")
    with pytest.raises(InputError, match=r"b\.csv:1: column 3 is nothing, in .*a\.csv it is 'n'"):
        reader.schema()


def test_files_of_one_name_need_id_columns(tmp_path: Path, write: Write, read: Read) -> None:
    for folder in ("run1", "run2"):
        write(f"{folder}/events.csv", PLAIN)
    files = f"{tmp_path}/*/*.csv"
    with pytest.raises(InputError, match=r"run1.events\.csv and .*run2.events\.csv would give the same event ids"):
        Csv(files).schema()
    assert len(read(Csv(files, id=("n",)))) == 4


TABLE = ("x,y,n\n" + "".join(f"{i},{i % 7}.5,{i % 3}\n" for i in range(200))).encode()
GZIP = gzip.compress(TABLE, mtime=0)


@SAME_FOLDER
@given(keep=st.integers(0, len(GZIP) - 1))
def test_a_truncated_gzip_is_an_error(keep: int, tmp_path: Path, read: Read) -> None:
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(GZIP[:keep])
    with pytest.raises(InputError, match=r"cut\.csv\.gz: the (gzip is truncated|gzip is corrupt|file is empty)"):
        read(Csv(str(path)))


@SAME_FOLDER
@given(place=st.integers(0, len(GZIP) - 1), flip=st.integers(1, 255))
def test_a_wrong_byte_in_a_gzip_is_blamed_on_the_gzip_or_changes_nothing(
    place: int, flip: int, tmp_path: Path, read: Read
) -> None:
    path = tmp_path / "wrong.csv.gz"
    path.write_bytes(GZIP[:place] + bytes([GZIP[place] ^ flip]) + GZIP[place + 1 :])
    try:
        found = read(Csv(str(path))).inputs["features"].tolist()
    except InputError as error:
        found = str(error).split(": ")[1][:12]
    assert found in ("the gzip is ", [[i, i % 7 + 0.5, i % 3] for i in range(200)])


@pytest.mark.parametrize("row", ["1,2", "1,2,3,4", "a,b,c", "1,2,3,s"])
def test_a_wrong_row_of_a_corrupt_gzip_is_blamed_on_the_gzip(
    row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Read
) -> None:
    monkeypatch.setattr(delimited, "BLOCK", 500)
    text = "x,y,n,l\n" + row + "\n" + "1,2,3,b\n" * 400_000
    stored = bytearray(gzip.compress(text.encode(), compresslevel=0, mtime=0))
    stored[-8] ^= 1  # the checksum, which is far from the wrong row: nothing is wrong when that is read
    (tmp_path / "wrong.csv.gz").write_bytes(stored)
    with pytest.raises(InputError, match=r"wrong\.csv\.gz: the gzip is corrupt"):
        read(Csv(str(tmp_path / "wrong.csv.gz"), label="l", classes={"b": ("b",)}))


@pytest.mark.parametrize("cut", [-4, -300])
def test_a_broken_gzip_raises_before_its_part_ends(cut: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK", 500)
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(TABLE, compresslevel=0, mtime=0)[:cut])
    reader = Csv(str(tmp_path / "cut.csv.gz"))
    with pytest.raises(InputError, match="the gzip is truncated"):
        list(reader.read(*reader.parts()))


def test_a_gzip_is_known_by_its_content(tmp_path: Path, read: Read) -> None:
    (tmp_path / "events.csv").write_bytes(gzip.compress(TABLE[:500]) + gzip.compress(TABLE[500:]))
    assert len(read(Csv(str(tmp_path / "events.csv")))) == 200
    (tmp_path / "plain.csv.gz").write_bytes(TABLE)
    with pytest.raises(InputError, match=r"plain\.csv\.gz: the gzip is corrupt"):
        Csv(str(tmp_path / "plain.csv.gz")).schema()


def test_quoted_fields_and_a_byte_order_mark_are_read(write: Write, read: Read) -> None:
    path = write("a.csv", '\ufeff"x","y z",n\n"1.5","a ""b"", c",\n2,",",3\n')
    events = read(Csv(path, keep=("y z",)))
    assert events.beside["y z"].tolist() == ['a "b", c', ","]
    np.testing.assert_array_equal(events.inputs["features"], [[1.5, np.nan], [2, 3]])
