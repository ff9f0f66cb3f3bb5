"""The hdf5 reader: matrix, compound dataset, a dataset per column, images, and bad files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hepanom.contracts import Part
from hepanom.errors import BrokenFileError, InputError
from hepanom.events import Events, hash64
from hepanom_plugins.readers import hdf5
from hepanom_plugins.readers.hdf5 import Hdf5

NUMBER = 300
MATRIX = np.random.default_rng(1).normal(size=(NUMBER, 3)).astype(np.float32)
LABEL = (np.arange(NUMBER) % 3 == 0).astype(np.int8)
CLASSES: dict[str, tuple[str | int | float, ...]] = {"b": (0,), "s": (1,)}


def write(path: Path, **datasets: Any) -> str:
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name.replace("__", "/")] = values
    return str(path)


def named(path: Path) -> str:
    """Write a matrix with names and units, and labels beside."""
    write(path, features=MATRIX, label=LABEL)
    with h5py.File(path, "a") as file:
        file["features"].attrs["columns"] = ["pt", "eta", "mass"]
        file["features"].attrs["units"] = ["GeV", "", "GeV"]
    return str(path)


def compound(path: Path) -> str:
    rows = np.zeros(NUMBER, [("pt", "f4"), ("eta", "f4"), ("mass", "f4"), ("label", "i1")])
    for index, name in enumerate(("pt", "eta", "mass")):
        rows[name] = MATRIX[:, index]
    rows["label"] = LABEL
    return write(path, frame__table=rows)


def by_column(path: Path) -> str:
    columns = {f"events__{name}": MATRIX[:, index] for index, name in enumerate(("pt", "eta", "mass"))}
    return write(path, **columns, events__label=LABEL)


def read(reader: Hdf5) -> Events:
    return Events.concat([events for part in reader.parts() for events in reader.read(part)])


@pytest.mark.parametrize("maker", [named, compound, by_column])
def test_three_layouts_give_the_same_events(maker: Any, tmp_path: Path) -> None:
    reader = Hdf5(maker(tmp_path / "a.h5"), label="label", classes=CLASSES, units={"eta": "1"})
    events, schema = read(reader), reader.schema()
    columns = list(schema.inputs["features"].columns)
    order = [columns.index(name) for name in ("pt", "eta", "mass")]
    np.testing.assert_array_equal(np.asarray(events.inputs["features"])[:, order], MATRIX)
    np.testing.assert_array_equal(events.label, LABEL)
    assert schema.inputs["features"].units[columns.index("eta")] == "1"
    assert events.beside["row"].tolist() == list(range(NUMBER))


def test_units_and_names_come_from_the_attributes_or_the_recipe(tmp_path: Path) -> None:
    table = Hdf5(named(tmp_path / "a.h5"), features=("pt", "mass")).schema().inputs["features"]
    assert (table.columns, table.units) == (("pt", "mass"), ("GeV", "GeV"))
    plain = write(tmp_path / "b.h5", x=MATRIX)
    assert Hdf5(plain).schema().inputs["features"].columns == ("0", "1", "2")
    assert Hdf5(plain, columns=("a", "b", "c")).schema().inputs["features"].columns == ("a", "b", "c")


@pytest.mark.parametrize("shape", [(NUMBER, 4, 5), (NUMBER, 2, 4, 5)])
def test_images_come_with_their_channels(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pictures = np.random.default_rng(1).random(shape)
    reader = Hdf5(
        write(tmp_path / "a.h5", maps=pictures, label=LABEL), images={"image": "maps"}, label="label", classes=CLASSES
    )
    image = reader.schema().inputs["image"]
    assert (image.kind, len(image.columns), image.shape) == ("image", 1 if len(shape) == 3 else 2, (4, 5))
    events = read(reader)
    expected = pictures.reshape(NUMBER, -1, 4, 5).astype(np.float32)
    np.testing.assert_array_equal(events.inputs["image"], expected)


def test_parts_are_ranges_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read(Hdf5(named(tmp_path / "a.h5")))
    monkeypatch.setattr(hdf5, "PART_BYTES", 1300)
    monkeypatch.setattr(hdf5, "CHUNK_BYTES", 500)
    reader = Hdf5(str(tmp_path / "a.h5"))
    parts = reader.parts()
    assert len(parts) > 2
    alone = [Events.concat(list(reader.read(part))) for part in reversed(parts)]
    np.testing.assert_array_equal(Events.concat(alone[::-1]).inputs["features"], whole.inputs["features"])


def test_real_files_in_two_layouts(data: Path) -> None:
    options: dict[str, Any] = {"label": "label", "classes": CLASSES, "id": ("event_id",)}
    first = Hdf5(str(data / "lhco" / "signal_region_train.h5"), **options)
    other = first.on([str(data / "lhco" / "signal_region_valid.h5")])
    assert first.schema().inputs["features"].units == ("TeV", "TeV", "TeV", "", "")
    assert [(len(events), (events.label == 1).sum()) for events in (read(first), read(other))] == [
        (60000, 395),
        (60000, 369),
    ]
    assert other.schema().inputs["features"].columns == first.schema().inputs["features"].columns


@pytest.mark.parametrize(
    ("datasets", "options", "message"),
    [
        (
            {"a": MATRIX, "b": MATRIX},
            {},
            r"several datasets could be read: a \(300, 3\); b \(300, 3\); choose",
        ),
        ({"a": MATRIX}, {"dataset": "aa"}, r"there is no dataset 'aa'; did you mean 'a'"),
        ({"a": MATRIX}, {"columns": ("x",)}, r"a\.h5: dataset 'a' has 3 columns, the option `columns` names 1"),
        (
            {"a": MATRIX, "label": LABEL[:10]},
            {"label": "label", "classes": CLASSES},
            r"label.*10.*300|300.*10",
        ),
        ({"a": MATRIX}, {"features": ("pt",)}, r"features: column 'pt' is not there; known are 0, 1, 2"),
        ({"a": MATRIX}, {"label": "label", "classes": CLASSES}, r"label: column 'label' is not there"),
        (
            {"a": MATRIX},
            {"images": {"image": "a"}},
            r"'a' has the shape \(300, 3\) of float32",
        ),
        ({"a": 3.0}, {}, r"there is no table and no image: .*; it holds a"),
        (
            {"a": MATRIX, "label": LABEL},
            {"label": "label", "classes": {"b": (0,)}},
            r"a\.h5: row 0: column 'label': 1 is in none of the classes \(b: 0\)",
        ),
        (
            {"a": MATRIX, "w": np.full(NUMBER, np.nan)},
            {"weight": "w"},
            r"a\.h5: row 0: column 'w': nan is no weight",
        ),
    ],
)
def test_bad_input_is_one_message_that_names_file_and_dataset(
    tmp_path: Path, datasets: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    reader = Hdf5(write(tmp_path / "a.h5", **datasets), **options)

    def used() -> None:
        reader.schema()
        read(reader)

    with pytest.raises(InputError, match=message):
        used()


def test_files_whose_columns_differ_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", x=MATRIX)
    write(tmp_path / "b.h5", x=MATRIX[:, :2])
    with pytest.raises(InputError, match=r"b\.h5: features: column '2' is not there, but in .*a\.h5 it is"):
        Hdf5(str(tmp_path / "*.h5")).schema()


def test_a_truncated_file_is_broken_and_can_be_skipped(tmp_path: Path) -> None:
    whole = Path(named(tmp_path / "a.h5")).read_bytes()
    (tmp_path / "b.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BrokenFileError, match=r"b\.h5: the HDF5 file is truncated or corrupt"):
        Hdf5(str(tmp_path / "*.h5")).parts()
    skipping = Hdf5(str(tmp_path / "*.h5"), on_bad_file="skip")
    assert skipping.schema().inputs["features"].columns == ("pt", "eta", "mass")
    assert [bool(part.problem) for part in skipping.parts()] == [False, True]


def test_a_file_that_lost_rows_since_its_parts_were_listed_is_an_error(tmp_path: Path) -> None:
    reader = Hdf5(named(tmp_path / "a.h5"))
    with pytest.raises(InputError, match="has 300 rows now, 400 when its parts were listed"):
        list(reader.read(Part(str(tmp_path / "a.h5"), 0, 400)))


def test_roles_are_datasets_beside_columns_or_paths_and_nothing_beside_is_a_feature(tmp_path: Path) -> None:
    weight, run = np.linspace(0.5, 2, NUMBER)[:, None], np.arange(NUMBER) // 100
    kind = np.array([b"qcd", b"top"])[LABEL]
    path = named(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file["weight"], file["kind"], file["meta/run"], file["spare"] = weight, kind, run, run
    options: dict[str, Any] = {"label": "kind", "classes": {"b": ("qcd",), "s": ("top",)}, "weight": "weight"}
    reader = Hdf5(path, id=("meta/run", "pt"), targets=("mass",), **options)
    events = read(reader)
    assert reader.schema().inputs["features"].columns == ("eta",)
    np.testing.assert_array_equal(events.inputs["features"], MATRIX[:, 1:2])
    np.testing.assert_array_equal(events.target, MATRIX[:, 2:])
    np.testing.assert_array_equal(events.weight, weight[:, 0])
    np.testing.assert_array_equal(events.label, LABEL)
    np.testing.assert_array_equal(events.event_id, hash64([run, MATRIX[:, 0].astype(float)]))
    assert tuple(events.beside) == reader.schema().beside == ("meta/run", "pt")


def test_an_event_may_have_a_table_and_several_images(tmp_path: Path) -> None:
    tracks, towers = np.zeros((NUMBER, 2, 2)), np.ones((NUMBER, 3, 2, 4))
    path = write(tmp_path / "a.h5", features=MATRIX, tracks=tracks, towers=towers)
    events = read(Hdf5(path, dataset="features", images={"one": "tracks", "two": "towers"}))
    shapes = {name: np.shape(np.asarray(values)) for name, values in events.inputs.items()}
    assert shapes == {"features": (NUMBER, 3), "one": (NUMBER, 1, 2, 2), "two": (NUMBER, 3, 2, 4)}


@pytest.mark.parametrize("rows", [None, 7, 64, 300])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_parts_and_chunks_are_whole_hdf5_chunks_and_do_not_change_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int | None, kind: str
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        options: dict[str, Any] = {"chunks": (rows, 3), "compression": "gzip"} if rows else {}
        file.create_dataset("x", data=MATRIX.astype(kind), **options)
    reader = Hdf5(str(tmp_path / "a.h5"))
    whole = read(reader)
    monkeypatch.setattr(hdf5, "PART_BYTES", 2000)
    monkeypatch.setattr(hdf5, "CHUNK_BYTES", 700)
    parts = reader.parts()
    chunks = [list(reader.read(part)) for part in reversed(parts)][::-1]
    starts = [int(chunk.beside["row"][0]) for found in chunks for chunk in found]
    assert all(start % (rows or 1) == 0 for start in starts)
    assert len(starts) >= len(parts) == len({part.start for part in parts})
    events = Events.concat([chunk for found in chunks for chunk in found])
    np.testing.assert_array_equal(events.inputs["features"], MATRIX)
    np.testing.assert_array_equal(events.event_id, whole.event_id)


def test_other_files_may_lack_labels_and_weights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.h5", x=MATRIX, label=LABEL, w=np.full(NUMBER, 2.0), run=LABEL)
    reader = Hdf5(path, label="label", classes=CLASSES, weight="w", keep=("run",))
    with caplog.at_level("INFO"):
        other = reader.on([write(tmp_path / "b.h5", x=MATRIX)])
    assert "b.h5: without label, run, w" in caplog.text
    events = read(other)
    np.testing.assert_array_equal(events.inputs["features"], MATRIX)
    assert (set(events.label), set(events.weight)) == ({-1}, {1.0})
    assert (other.schema().classes, other.schema().beside) == (("b", "s"), ("row",))


def test_files_whose_units_or_pixels_differ_are_refused(tmp_path: Path) -> None:
    named(tmp_path / "a.h5")
    with h5py.File(named(tmp_path / "b.h5"), "a") as file:
        file["features"].attrs["units"] = ["TeV", "", "GeV"]
    with pytest.raises(InputError, match=r"b\.h5: features: column 'pt' is in 'TeV', in .*a\.h5 in 'GeV'"):
        Hdf5(str(tmp_path / "*.h5")).schema()
    paths = tuple(write(tmp_path / f"{side}.h5", maps=np.zeros((4, side, 3))) for side in (5, 6))
    with pytest.raises(InputError, match=r"6\.h5: image: images of \(6, 3\) pixels, in .*5\.h5 of \(5, 3\)"):
        Hdf5(paths).schema()


def test_two_files_of_one_name_need_an_id(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    paths = (named(tmp_path / "a.h5"), named(tmp_path / "run" / "a.h5"))
    with pytest.raises(InputError, match="would give the same event ids; rename one or set `id`"):
        Hdf5(paths).schema()


def test_what_options_leave_in_the_file_is_listed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.zeros((6, 2))
        file["label"] = np.zeros(6, np.int8)
        file["names"] = np.array([b"a"] * 6)
        file["edges"] = np.zeros(9)
        file["deep/image"] = np.zeros((6, 4, 5), np.uint8)
    path = str(tmp_path / "a.h5")
    found = {entry.name: entry for entry in Hdf5(path=path, dataset="x", features=("0",)).unread()}
    assert {name: (entry.holds, entry.fewest) for name, entry in found.items()} == {
        "1": ("number", 1),
        "label": ("number", 1),
        "names": ("text", 1),
        "edges": ("9 values, not one for each event", None),
        "deep/image": ("6 x 4 x 5", 20),
    }
    assert found["deep/image"].type == "uint8"
    assert "label" not in {entry.name for entry in Hdf5(path=path, dataset="x", keep=("label",)).unread()}
