"""The parquet reader: flat columns, lists and records, nulls, row groups as parts, and bad files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from hepanom.contracts import Part
from hepanom.errors import BrokenFileError, InputError
from hepanom.events import Events, Jagged, hash64
from hepanom_plugins.readers import columnar
from hepanom_plugins.readers.groups import Group
from hepanom_plugins.readers.parquet import Parquet

NUMBER = 500
PT = ak.unflatten(np.random.default_rng(2).exponential(30, 1000), np.tile([0, 1, 2, 5], 125))


def columns(events: int = NUMBER) -> dict[str, Any]:
    generator = np.random.default_rng(1)
    return {
        "event": np.arange(events),
        "met": np.where(generator.random(events) < 0.2, -25.0, generator.exponential(20, events)),
        "good": generator.random(events) < 0.7,
        "kind": np.where(generator.random(events) < 0.3, "top", "qcd"),
        "w": generator.random(events).astype(np.float32),
    }


def write(path: Path, made: dict[str, Any] | pa.Table | None = None, **options: Any) -> str:
    table = made if isinstance(made, pa.Table) else pa.table(columns() if made is None else made)
    pq.write_table(table, path, **options)
    return str(path)


def read(reader: Parquet) -> Events:
    return Events.concat([events for part in reader.parts() for events in reader.read(part)])


@pytest.mark.parametrize("features", [("*",), ("met", "w"), ("w", "met")])
def test_files_may_have_their_columns_in_another_order_and_more_of_them(
    tmp_path: Path, features: tuple[str, ...]
) -> None:
    made = {name: values for name, values in columns().items() if name != "kind"}
    other = {"more": np.arange(NUMBER), **dict(reversed(made.items()))}
    paths = (write(tmp_path / "a.parquet", made), write(tmp_path / "b.parquet", other))
    for reader in (Parquet(path=paths, features=features), Parquet(path=paths[0], features=features).on(paths)):
        names = reader.schema().inputs["features"].columns
        wanted = np.stack([made[name].astype(np.float32) for name in names], axis=1)
        np.testing.assert_array_equal(read(reader).inputs["features"], np.concatenate([wanted, wanted]))


def test_flat_columns_become_a_table_with_roles(tmp_path: Path) -> None:
    made = columns()
    path = write(tmp_path / "a.parquet", {**made, "kind": pa.array(made["kind"]).dictionary_encode()})
    classes: dict[str, tuple[str | int | float, ...]] = {"background": ("qcd",), "signal": ("top",)}
    reader = Parquet(
        path=path,
        features=("met", "good", "half"),
        derive={"half": "event / 2"},
        label="kind",
        classes=classes,
        weight="2 * w",
        id=("event",),
        missing=(-25.0,),
    )
    events = read(reader)
    assert reader.schema().inputs["features"].columns == ("met", "good", "half")
    met = np.where(made["met"] == -25, np.nan, made["met"])
    wanted = np.column_stack([met, made["good"], made["event"] / 2]).astype(np.float32)
    np.testing.assert_array_equal(events.inputs["features"], wanted)
    np.testing.assert_array_equal(events.label, made["kind"] == "top")
    np.testing.assert_allclose(events.weight, 2 * made["w"])
    np.testing.assert_array_equal(events.event_id, hash64([made["event"]]))


def test_a_null_is_missing_and_a_null_list_is_empty(tmp_path: Path) -> None:
    table = pa.table(
        {
            "n": pa.array([1, None, 3]),
            "ok": pa.array([True, None, False]),
            "price": pa.array([1, None, 2], pa.decimal128(5, 2)),
            "pt": pa.array([[1.0, None], None, []]),
        }
    )
    reader = Parquet(path=write(tmp_path / "a.parquet", table), points={"jets": "{pt}"})
    events = read(reader)
    nan = np.nan
    np.testing.assert_array_equal(events.inputs["features"], [[1, 1, 1], [nan, nan, nan], [3, 0, 2]])
    jets = events.inputs["jets"]
    assert isinstance(jets, Jagged)
    np.testing.assert_array_equal(jets.offsets, [0, 2, 2, 2])
    np.testing.assert_array_equal(jets.values, [[1], [nan]])


@pytest.mark.parametrize("writer", ["awkward", "arrow"])
def test_members_of_records_are_columns_and_of_lists_of_records_points(tmp_path: Path, writer: str) -> None:
    made = ak.zip(
        {"met": ak.zip({"phi": np.ones(NUMBER), "x": ak.num(PT)}), "jet": ak.zip({"e": 2 * PT, "pt": PT})},
        depth_limit=1,
    )
    path = str(tmp_path / "a.parquet")
    if writer == "awkward":
        ak.to_parquet(made, path)
    else:
        pq.write_table(pa.Table.from_pylist(ak.to_list(made)), path, row_group_size=70)
    reader = Parquet(path=path, points={"jets": "jet.{e,pt}"}, leading={"jet.{pt}": 2}, cut="num(jet.pt) > 0")
    events = read(reader)
    assert reader.schema().inputs["features"].columns == ("met.phi", "met.x", "jet.pt[0]", "jet.pt[1]")
    kept = PT[ak.num(PT) > 0]
    jets = events.inputs["jets"]
    assert isinstance(jets, Jagged)
    np.testing.assert_allclose(jets.values[:, 1], ak.to_numpy(ak.flatten(kept)), rtol=1e-6)
    np.testing.assert_allclose(jets.values[:, 0], 2 * jets.values[:, 1])
    np.testing.assert_array_equal(np.diff(jets.offsets), ak.num(kept))
    np.testing.assert_allclose(np.asarray(events.inputs["features"])[:, 2], ak.to_numpy(kept[:, 0]), rtol=1e-6)
    assert events.tally["entries removed by the cut"] == int(ak.sum(ak.num(PT) == 0))


@pytest.mark.parametrize("group", [1, 7, 64, 499, 500])
def test_parts_are_whole_row_groups_and_do_not_change_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    path = write(tmp_path / "a.parquet", row_group_size=group)
    reader = Parquet(path=path, features=("met", "good"))
    whole = read(reader)
    monkeypatch.setattr(columnar, "PART_BYTES", 900)
    monkeypatch.setattr(columnar, "CHUNK_BYTES", 150)
    parts = reader.parts()
    assert all(part.start % group == 0 for part in parts)
    assert max(part.stop - part.start for part in parts) <= max(100, group)
    assert len(parts) >= min(NUMBER // group, 5)
    chunks = [list(reader.read(part)) for part in reversed(parts)][::-1]
    again = Events.concat([chunk for found in chunks for chunk in found])
    np.testing.assert_array_equal(again.inputs["features"], whole.inputs["features"])
    np.testing.assert_array_equal(again.event_id, whole.event_id)
    np.testing.assert_array_equal(again.beside["row"], np.arange(NUMBER))
    assert max(len(chunk) for found in chunks for chunk in found) <= 16


def test_folders_addresses_and_groups_of_files(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / f"{name}.parquet")
    assert len(read(Parquet(path=str(tmp_path)))) == 2 * NUMBER
    assert len(read(Parquet(path=(tmp_path / "a.parquet").as_uri()))) == NUMBER
    files: Any = {"background": str(tmp_path / "a.parquet"), "signal": Group(str(tmp_path / "b.parquet"), 0.5)}
    events = read(Parquet(files=files, features=("met",)))
    np.testing.assert_array_equal(events.label, np.repeat([0, 1], NUMBER))
    np.testing.assert_array_equal(events.weight, np.repeat([1, 0.5], NUMBER))


def test_an_empty_file_and_a_cut_that_leaves_nothing_give_no_events(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", columns(0))
    assert Parquet(path=str(tmp_path)).parts() == []
    write(tmp_path / "a.parquet")
    assert len(read(Parquet(path=str(tmp_path), cut="met > 1e9"))) == 0


def test_what_pandas_writes_of_its_index_is_no_feature(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"x": [1.0], "__index_level_0__": [7]})
    assert Parquet(path=path).schema().inputs["features"].columns == ("x",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": ("mett",)}, r"a\.parquet: features: .*mett"),
        ({"features": ("kind",)}, "column 'kind' holds text, no feature"),
        ({"cut": "mt > 5"}, r"cut: 'mt > 5': there is no column 'mt'; did you mean 'met'"),
        ({"points": {"jets": "met"}}, "column 'met' holds one number per event; a list of numbers is needed"),
        ({"weight": "bad"}, r"row 3: column 'bad': nan is no weight"),
    ],
)
def test_what_is_not_there_or_of_another_kind_is_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "a.parquet", {**columns(), "bad": [1.0, 2, 3, None, *[1.0] * (NUMBER - 4)]})
    with pytest.raises(InputError, match=message):
        read(Parquet(path=path, **options))


def test_a_column_of_another_kind_in_another_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"x": [1.0]})
    write(tmp_path / "b.parquet", {"x": ["1.0"]})
    with pytest.raises(InputError, match=r"b\.parquet: column 'x' is text, in .*a\.parquet it is number"):
        Parquet(path=str(tmp_path)).schema()


@pytest.mark.parametrize("cut", [0, 3, 2000, -1])
def test_a_truncated_file_is_named_and_may_be_skipped(tmp_path: Path, cut: int) -> None:
    content = Path(write(tmp_path / "a.parquet")).read_bytes()
    (tmp_path / "b.parquet").write_bytes(content[:cut])
    with pytest.raises(BrokenFileError, match=r"b\.parquet: is truncated, corrupt or no Parquet file: .*; copy it"):
        Parquet(path=str(tmp_path)).schema()
    reader = Parquet(path=str(tmp_path), features=("met",), on_bad_file="skip")
    assert reader.schema().inputs["features"].columns == ("met",)
    sound, broken = reader.parts()
    assert (sound.problem, Path(broken.file).name) == ("", "b.parquet")
    assert "truncated" in broken.problem


def test_a_flipped_bit_in_a_page_with_a_checksum_is_an_error(tmp_path: Path) -> None:
    options: dict[str, Any] = {"compression": "none", "write_page_checksum": True, "use_dictionary": False}
    path = Path(write(tmp_path / "a.parquet", {"x": np.zeros(5000)}, **options))
    content = bytearray(path.read_bytes())
    content[20000] ^= 4
    path.write_bytes(content)
    with pytest.raises(BrokenFileError, match=r"a\.parquet: is truncated, corrupt"):
        read(Parquet(path=str(path)))


def test_a_file_whose_row_groups_changed_since_its_parts_were_listed_is_an_error(tmp_path: Path) -> None:
    reader = Parquet(path=write(tmp_path / "a.parquet", row_group_size=100))
    with pytest.raises(InputError, match=r"a\.parquet: its row groups are not those that were there"):
        list(reader.read(Part(str(tmp_path / "a.parquet"), 0, 150)))


def test_other_files_may_lack_labels_and_weights(tmp_path: Path) -> None:
    classes: dict[str, tuple[str | int | float, ...]] = {"b": ("qcd",), "s": ("top",)}
    reader = Parquet(path=write(tmp_path / "a.parquet"), features=("met",), label="kind", classes=classes, weight="w")
    other = reader.on([write(tmp_path / "b.parquet", {"met": [1.0, 2.0]})])
    events = read(other)
    assert (set(events.label), set(events.weight), other.schema().classes) == ({-1}, {1.0}, ("b", "s"))
