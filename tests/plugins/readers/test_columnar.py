"""What readers of columns share: files that differ, names with two meanings, values that mean missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from hepanom.errors import BrokenFileError, InputError, OptionError
from hepanom.events import Events, Jagged
from hepanom_plugins.readers.csv import Csv
from hepanom_plugins.readers.groups import Group
from hepanom_plugins.readers.hdf5 import Hdf5
from hepanom_plugins.readers.parquet import Parquet

X = np.arange(4.0)


def write(path: Path, **columns: Any) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


def read(reader: Parquet) -> Events:
    return Events.concat([events for part in reader.parts() for events in reader.read(part)])


def features(reader: Parquet) -> list[list[float]]:
    return np.asarray(read(reader).inputs["features"]).tolist()


@pytest.mark.parametrize("reverse", [False, True])
def test_other_files_that_differ_in_what_they_lack_are_refused(tmp_path: Path, reverse: bool) -> None:
    files = [write(tmp_path / "a.parquet", x=X, w=X), write(tmp_path / "b.parquet", x=X)][:: -1 if reverse else 1]
    reader = Parquet(path=files[0], weight="w", features=("x",))
    with pytest.raises(InputError, match=r"a\.parquet has 'w' and .*b\.parquet lacks it; give them to two commands"):
        reader.on(files)
    (tmp_path / "a.csv").write_text("x,w\n1,2\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("x\n1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.csv has 'w' and .*b\.csv lacks it"):
        Csv(path=str(tmp_path / "a.csv"), weight="w").on([str(tmp_path / f"{name}.csv") for name in "ba"])


def test_a_broken_file_that_comes_first_is_skipped_where_broken_ones_are(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    files = [str(tmp_path / "a.parquet"), write(tmp_path / "b.parquet", x=X)]
    reader = Parquet(path=files[1], weight="w", on_bad_file="skip").on(files)
    assert reader.weight is None
    assert reader.schema().inputs["features"].columns == ("x",)
    with pytest.raises(BrokenFileError):
        Parquet(path=files[1]).on(files)
    with pytest.raises(BrokenFileError):
        reader.on(files[:1])
    (tmp_path / "a.h5").write_bytes(b"no")
    with pytest.raises(BrokenFileError):
        Hdf5(path="b.h5", on_bad_file="skip").on([str(tmp_path / "a.h5")])


def test_a_file_is_one_however_its_path_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(Path("a.parquet"), x=X, n=np.arange(4))
    assert len(read(Parquet(path=(path, f"./{path}", str(tmp_path / path)), id=("n",)))) == 4
    with pytest.raises(InputError, match="a file is in two groups of `files`"):
        Parquet(files={"a": path, "b": f"./{path}"}, id=("n",)).schema()


def test_what_weighs_a_class_does_not_change_a_column_that_is_called_weight(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", x=X, weight=X + 1)
    events = read(Parquet(files={"a": Group(path, "10 * weight")}, keep=("weight",)))
    np.testing.assert_array_equal(events.beside["weight"], X + 1)
    np.testing.assert_array_equal(events.weight, 10 * (X + 1))


def test_a_column_that_is_called_as_the_number_of_the_row_needs_another_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", x=X, row=X[::-1].astype(int))
    with pytest.raises(OptionError, match=r"'row' is what the number of the row is called; give the column a name"):
        Parquet(path=path, keep=("row",)).schema()
    events = read(Parquet(path=path, keep=("n",), derive={"n": "row"}, features=("x",)))
    assert [events.beside[name].tolist() for name in ("row", "n")] == [[0, 1, 2, 3], [3, 2, 1, 0]]


def test_a_column_may_be_derived_from_one_of_its_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", x=X, y=X)
    assert features(Parquet(path=path, derive={"x": "x / 2", "z": "x + 1"}))[2] == [1.0, 2.0, 2.0]


def test_values_that_mean_missing_do_in_points_derived_columns_and_weights(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.parquet",
        s=np.array([-999, 1, 2, 3]),
        f=np.array([-999.9, 1, 2, 3], np.float32),
        q=[[-999.0, 5.0], [], [1.0], [2.0]],
    )
    options: dict[str, Any] = {"path": path, "missing": (-999.0, -999.9), "features": ("d", "e", "m")}
    reader = Parquet(**options, derive={"d": "s + 1", "e": "f * 2", "m": "max(q)"}, points={"hits": "{q}"})
    nan = np.nan
    np.testing.assert_array_equal(features(reader), [[nan, nan, 5], [2, 2, nan], [3, 4, 1], [4, 6, 2]])
    hits = read(reader).inputs["hits"]
    assert isinstance(hits, Jagged)
    np.testing.assert_array_equal(hits.values[:, 0], [nan, 5, 1, 2])
    with pytest.raises(InputError, match="is no weight"):
        read(Parquet(path=path, weight="f", missing=(-999.9,)))


def test_what_is_missing_passes_no_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", x=X, ok=pa.array([True, False, None, True]), t=[[True], [], [False], [True]])
    for cut, wanted in (("ok", [0, 3]), ("ok & x > 0", [3]), ("t[0]", [0, 3]), ("!ok", [1, 2])):
        assert features(Parquet(path=path, cut=cut, features=("x",))) == [[row] for row in wanted], cut
