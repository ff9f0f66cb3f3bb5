"""The layouts of point clouds: fixed arrays, Spyral and hits in ROOT, their parts, and files that are not sound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st

from hepanom.contracts import Reader
from hepanom.errors import BrokenFileError, InputError
from hepanom.events import Events, Jagged
from hepanom_plugins.readers.attpc import ATTPC
from hepanom_plugins.readers.clouds import named, steps

Read = Callable[[Reader], Events]


def cloud(events: Events) -> Jagged:
    found = events.inputs["points"]
    assert isinstance(found, Jagged)
    return found


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 3), st.integers(1, 4000))
def test_pieces_hold_every_event_once_and_no_more_points_than_fit(counts: list[int], width: int, size: int) -> None:
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    found = steps(offsets, width, size)
    assert [event for start, stop in found for event in range(start, stop)] == list(range(len(counts)))
    for start, stop in found:
        assert stop == start + 1 or 4 * width * (offsets[stop] - offsets[start]) <= size


def test_columns_are_recognized_by_the_names_that_files_give_them() -> None:
    spyral = ("x", "y", "z", "amplitude", "integral", "pad")
    assert named(spyral, {})["charge"] == "integral"
    assert list(named(spyral, {})) == ["x", "y", "z", "amplitude", "charge", "pad"]
    chosen = named(spyral, {"charge": "amplitude", "depth": 2})
    assert chosen == {"x": "x", "y": "y", "depth": "z", "charge": "amplitude", "integral": "integral", "pad": "pad"}
    assert named(("X", "adc", "Time"), {}) == {"x": "X", "charge": "adc", "time": "Time"}


def test_arrays_of_one_file_are_counted_apart(tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = {name: np.random.default_rng(1).normal(size=(events, 3, 4)) for name, events in (("val", 2), ("train", 5))}
    path = str(tmp_path / "run.h5")
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[f"46/{name}"] = values
    whole = read(ATTPC(path=path))
    assert whole.beside["event"].tolist() == [0, 1, 2, 3, 4, 0, 1]
    assert whole.beside["dataset"].tolist() == ["46/train"] * 5 + ["46/val"] * 2
    np.testing.assert_array_equal(cloud(whole).values[-6:], arrays["val"].reshape(6, 4).astype(np.float32))
    assert len(np.unique(whole.event_id)) == 7
    only = read(ATTPC(path=path, inside="*/val"))
    np.testing.assert_array_equal(only.event_id, whole.event_id[5:])
    reader = ATTPC(path=path)
    monkeypatch.setattr("hepanom_plugins.readers.clouds_hdf5.PART_BYTES", 100)
    assert [(part.start, part.stop) for part in reader.parts()] == [(0, 2), (2, 4), (4, 6), (6, 7)]
    np.testing.assert_array_equal(read(reader).event_id, whole.event_id)


def test_spyral_has_one_dataset_per_event_in_the_order_of_numbers(tmp_path: Path, read: Read) -> None:
    path = str(tmp_path / "run_0017.h5")
    values = {number: np.full((number, 8), number, np.float64) for number in (10, 2, 9)}
    with h5py.File(path, "w") as file:
        group = file.create_group("cloud")
        group.attrs["min_event"], group.attrs["max_event"] = 2, 10
        for number, points in values.items():
            dataset = group.create_dataset(f"cloud_{number}", data=points)
            dataset.attrs["orig_run"], dataset.attrs["orig_event"] = 17, number + 100
    reader = ATTPC(path=path, id=("orig_run", "orig_event"), keep=("orig_event",))
    events = read(reader)
    assert reader.schema().inputs["points"].units == ("mm", "mm", "mm", "ADC")
    assert events.beside["event"].tolist() == [2, 9, 10]
    assert events.beside["orig_event"].tolist() == [102, 109, 110]
    assert np.diff(cloud(events).offsets).tolist() == [2, 9, 10]
    assert cloud(events).values[0].tolist() == [2, 2, 2, 2]
    with h5py.File(path, "a") as file:
        del file["cloud/cloud_9"].attrs["orig_run"]
    with pytest.raises(InputError, match=r"cloud/cloud_9 lacks the attribute 'orig_run'"):
        read(reader)
    with h5py.File(path, "a") as file:
        del file["cloud"]
        file["cloud/cloud_1"] = np.zeros((3, 4))
    with pytest.raises(InputError, match=r"cloud/cloud_1 has the shape \(3, 4\); a cloud of Spyral is \(point, 8\)"):
        ATTPC(path=path).schema()


BASES = {"x": 0, "y": 10, "time": 20, "adc": 30}


@pytest.fixture(params=["TTree", "RNTuple"])
def hits(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Write hits of four events, one of them empty, and return the path."""
    path = tmp_path / "run.root"
    lengths = np.array([2, 0, 1, 3])
    columns = {name: ak.unflatten(np.arange(6, dtype=np.float32) + base, lengths) for name, base in BASES.items()}
    write(path, request.param, hit={"eventId": [4, 6, 8, 2], "kind": [1, 0, 1, 1], **columns}, run={"number": [1]})
    return str(path)


def write(path: Path, kind: str, **trees: dict[str, Any]) -> None:
    """Write trees of columns, one branch each."""
    with uproot.recreate(path) as file:
        for name, tree in trees.items():
            arrays = {column: ak.Array(values) for column, values in tree.items()}
            if kind == "RNTuple":
                file.mkrntuple(name, arrays)
            else:
                file.mktree(name, {column: array.type.content for column, array in arrays.items()}).extend(arrays)


def test_jagged_branches_are_the_columns_of_points(hits: str, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ATTPC(path=hits, label="kind", classes={"good": (1,), "bad": (0,)})
    whole = read(reader)
    assert reader.schema().inputs["points"].columns == ("x", "y", "time", "charge")
    np.testing.assert_array_equal(cloud(whole).values, np.arange(6)[:, None] + np.array(list(BASES.values())))
    assert np.diff(cloud(whole).offsets).tolist() == [2, 0, 1, 3]
    assert whole.beside["event"].tolist() == [4, 6, 8, 2]
    assert whole.beside["entry"].tolist() == [0, 1, 2, 3]
    assert whole.label.tolist() == [0, 1, 0, 0]
    monkeypatch.setattr("hepanom_plugins.readers.clouds_root.PART_BYTES", 1)
    assert [(part.start, part.stop) for part in reader.parts()] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    np.testing.assert_array_equal(cloud(read(reader)).values, cloud(whole).values)


def test_branches_of_different_lengths_are_named_with_their_entry(tmp_path: Path, read: Read) -> None:
    path = tmp_path / "run.root"
    hits = {name: ak.unflatten(np.zeros(4, np.float32), [1, 3]) for name in ("x", "y", "time")}
    write(path, "TTree", hit={**hits, "adc": ak.unflatten(np.zeros(3, np.float32), [1, 2])})
    with pytest.raises(InputError, match=r"run\.root: entry 1: 'adc' has 2 hits, 'x' has 3"):
        read(ATTPC(path=str(path)))


def test_a_tree_is_chosen_by_name(hits: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no tree has jagged branches of hits of those that match 'run'.* hit, run"):
        ATTPC(path=hits, inside="run").schema()
    tree = {column: ak.unflatten(np.zeros(2, np.float32), [1, 1]) for column in BASES}
    write(tmp_path / "two.root", "TTree", a=tree, b=tree)
    two = str(tmp_path / "two.root")
    with pytest.raises(InputError, match="the trees a, b have jagged branches of hits; choose one"):
        ATTPC(path=two).schema()
    assert ATTPC(path=two, inside="b").schema().beside == ("event", "entry")


def test_a_truncated_root_file_is_broken(hits: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.root"
    bad.write_bytes(Path(hits).read_bytes()[:2000])
    with pytest.raises(BrokenFileError, match=r"bad\.root: the ROOT file is truncated or corrupt"):
        ATTPC(path=str(bad)).schema()


@pytest.mark.parametrize(
    ("offsets", "found"),
    [([0, 2, 6], "3 offsets, from 0 to 6"), ([1, 5], "from 1 to 5"), ([0, 4, 3, 5], "from 0 to 5"), ([], "none")],
)
def test_offsets_that_do_not_match_points_are_one_clear_error(offsets: list[int], found: str, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with h5py.File(path, "w") as file:
        file["points"], file["offsets"] = np.zeros((5, 4)), np.array(offsets, np.int64)
    with pytest.raises(BrokenFileError, match=rf"offsets do not match points: there are 5 points, .*{found}"):
        ATTPC(path=str(path)).schema()
