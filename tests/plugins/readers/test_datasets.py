"""The layouts of tables in HDF5: matrix, compound dataset, a dataset per column, and what pandas writes."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest

from hepanom.contracts import Reader
from hepanom.errors import InputError
from hepanom.events import Events
from hepanom_plugins.readers import datasets
from hepanom_plugins.readers.hdf5 import Hdf5

NAMES = ("pt", "eta", "mass")
MATRIX = np.random.default_rng(1).normal(size=(200, 3))
LABEL = (np.arange(200) % 3 == 0).astype(np.int64)
CLASSES: dict[str, tuple[str | int | float, ...]] = {"b": (0,), "s": (1,)}
Read = Callable[[Reader], Events]


def matrix(file: Any) -> None:
    file["features"], file["label"] = MATRIX, LABEL
    file["features"].attrs["columns"] = NAMES


def compound(file: Any) -> None:
    rows = np.zeros(200, [("label", "i8"), *((name, "f8") for name in NAMES), ("where", "S3")])
    for index, name in enumerate(NAMES):
        rows[name] = MATRIX[:, index]
    rows["label"] = LABEL
    file["tree/events"] = rows


def by_column(file: Any) -> None:
    for index, name in enumerate(NAMES):
        file[f"events/{name}"] = MATRIX[:, index]
    file["events/label"] = LABEL


def in_the_root(file: Any) -> None:
    for index, name in enumerate(NAMES):
        file[name] = MATRIX[:, index : index + 1]
    file["label"] = LABEL


def pandas_fixed(file: Any) -> None:
    """Imitate DataFrame.to_hdf: a block for each type, and text as a pickle of its own."""
    frame = file.create_group("df")
    frame.attrs["pandas_type"] = np.bytes_("frame")
    frame["axis0"] = np.array([b"eta", b"label", b"pt", b"where", b"mass"])
    frame["axis1"] = np.arange(200)
    frame["block0_items"], frame["block0_values"] = np.array([b"pt", b"eta"]), MATRIX[:, :2]
    frame["block1_items"], frame["block1_values"] = np.array([b"label"]), LABEL[:, None]
    frame["block2_items"], frame["block2_values"] = np.array([b"mass"]), MATRIX[:, 2:].copy()
    frame["block3_items"] = np.array([b"where"])
    pickles = frame.create_dataset("block3_values", 1, h5py.vlen_dtype(np.uint8))
    pickles[0] = np.frombuffer(pickle.dumps(["barrel"] * 200), np.uint8)


def pandas_table(file: Any) -> None:
    """Imitate DataFrame.to_hdf(format="table"): a compound of blocks whose names PyTables pickles."""
    frame = file.create_group("df")
    frame.attrs["pandas_type"] = np.bytes_("frame_table")
    rows = np.zeros(200, [("index", "i8"), ("values_block_0", "f8", (3,)), ("label", "i8")])
    rows["index"], rows["values_block_0"], rows["label"] = np.arange(200), MATRIX, LABEL
    frame["table"] = rows
    frame["table"].attrs["values_block_0_kind"] = np.bytes_(pickle.dumps(list(NAMES), 0))


def written(path: Path, layout: Callable[[Any], None]) -> str:
    with h5py.File(path, "w") as file:
        layout(file)
    return str(path)


@pytest.mark.parametrize("layout", [matrix, compound, by_column, in_the_root, pandas_fixed, pandas_table])
def test_every_layout_is_found_by_itself_and_gives_the_same_events(
    layout: Callable[[Any], None], tmp_path: Path, read: Read
) -> None:
    reader = Hdf5(written(tmp_path / "a.h5", layout), label="label", classes=CLASSES)
    events, table = read(reader), reader.schema().inputs["features"]
    assert set(table.columns) == set(NAMES)
    order = [table.columns.index(name) for name in NAMES]
    np.testing.assert_array_equal(np.asarray(events.inputs["features"])[:, order], MATRIX.astype(np.float32))
    np.testing.assert_array_equal(events.label, LABEL)
    assert events.beside["row"].tolist() == list(range(200))


@pytest.mark.parametrize("kind", ["f4", "f8", ">f4", ">f8", "f2", "i2", "u1"])
@pytest.mark.parametrize("chunks", [None, (64, 2)])
def test_a_matrix_of_any_type_becomes_float32(
    tmp_path: Path, kind: str, chunks: tuple[int, int] | None, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(2).integers(0, 100, (300, 3)).astype(kind)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=values, chunks=chunks)
    monkeypatch.setattr(datasets, "TILE_BYTES", 100)
    features = np.asarray(read(Hdf5(str(tmp_path / "a.h5"), missing=(7.0,))).inputs["features"])
    assert (features.dtype, features.flags.c_contiguous) == (np.dtype(np.float32), True)
    expected = values.astype(np.float32)
    np.testing.assert_array_equal(features, np.where(expected == 7, np.float32(np.nan), expected))


def test_a_frame_keeps_its_order_of_columns(tmp_path: Path) -> None:
    table = Hdf5(written(tmp_path / "a.h5", pandas_fixed)).schema().inputs["features"]
    assert table.columns == ("eta", "label", "pt", "mass")


def test_a_frame_whose_columns_are_numbers_names_them_so(tmp_path: Path, read: Read) -> None:
    def numbered(file: Any) -> None:
        file.create_group("df").attrs["pandas_type"] = "frame"
        for name, values in {"axis0": [0, 1, 2], "block0_items": [0, 1, 2], "block0_values": MATRIX}.items():
            file[f"df/{name}"] = values

    reader = Hdf5(written(tmp_path / "a.h5", numbered), features=("2", "0"))
    assert reader.schema().inputs["features"].columns == ("0", "2")
    np.testing.assert_array_equal(read(reader).inputs["features"], MATRIX[:, [0, 2]].astype(np.float32))


def test_the_pickled_names_of_a_frame_are_read_and_never_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (tmp_path / "ran").mkdir, ()

    def trapped(file: Any) -> None:
        pandas_table(file)
        file["df/table"].attrs["values_block_0_kind"] = np.bytes_(pickle.dumps([Trap()], 0))

    table = Hdf5(written(tmp_path / "a.h5", trapped), features=("values_block_0*",)).schema().inputs["features"]
    assert table.columns == ("values_block_0[0]", "values_block_0[1]", "values_block_0[2]")
    assert not (tmp_path / "ran").exists()


def test_what_pandas_pickled_is_no_feature_and_no_label(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5", pandas_fixed)
    with pytest.raises(InputError, match=r"a\.h5: label: column 'where' holds something else; numbers are needed"):
        Hdf5(path, label="where", classes={"b": ("barrel",)}).schema()


def test_a_frame_of_another_kind_is_refused(tmp_path: Path) -> None:
    def bare(file: Any) -> None:
        file.create_group("df").attrs["pandas_type"] = "frame"

    with pytest.raises(InputError, match=r"a\.h5: /df: this pandas frame cannot be read: it has no axis0"):
        Hdf5(written(tmp_path / "a.h5", bare)).schema()


def test_a_chunk_that_cannot_be_decompressed_breaks_the_file_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        place = file.create_dataset("x", data=MATRIX, chunks=(100, 3), compression="gzip").id.get_chunk_info(1)
        offset, size = place.byte_offset, place.size
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = bytes(size)
    path.write_bytes(content)
    reader = Hdf5(str(path))
    with pytest.raises(InputError, match=r"a\.h5: the HDF5 file is truncated or corrupt"):
        [*reader.read(*reader.parts())]
