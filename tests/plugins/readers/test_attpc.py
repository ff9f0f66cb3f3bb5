"""The AT-TPC reader: what every layout gives, ids and labels, and measured and simulated files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hepanom.contracts import Reader
from hepanom.errors import BrokenFileError, InputError
from hepanom.events import Events, Jagged
from hepanom_plugins.readers.attpc import ATTPC

Read = Callable[[Reader], Events]


@pytest.fixture
def clouds(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes points and offsets of events of 2, 0 and 3 points, and returns the path."""

    def write(name: str = "run.h5", **more: Any) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        with h5py.File(path, "w") as file:
            file["points"] = np.arange(20, dtype=np.float64).reshape(5, 4)
            file["offsets"] = [0, 2, 2, 5]
            for key, values in more.items():
                if key in file:
                    del file[key]
                file[key] = values
        return str(path)

    return write


def counts(events: Events) -> list[int]:
    cloud = events.inputs["points"]
    assert isinstance(cloud, Jagged)
    return np.diff(cloud.offsets).tolist()


def values(events: Events) -> np.ndarray:
    cloud = events.inputs["points"]
    assert isinstance(cloud, Jagged)
    return cloud.values


def tally(reader: Reader) -> Counter[str]:
    found: Counter[str] = Counter()
    for part in reader.parts():
        for events in reader.read(part):
            found.update(events.tally)
    return found


def test_points_with_offsets_are_read_with_what_lies_beside(clouds: Callable[..., str], read: Read) -> None:
    path = clouds(kind=[1, 0, 1], energy=[1.5, 2.5, 3.5], w=[1.0, 2.0, 0.5], event_id=[7, 9, 8])
    labelled = {"label": "kind", "classes": {"proton": (0,), "carbon": (1,)}}
    reader = ATTPC(path=path, weight="w", keep=("energy",), targets=(), units={"[xyz]": "mm"}, **labelled)
    events, schema = read(reader), reader.schema()
    assert schema.inputs["points"].columns == ("x", "y", "z", "charge")
    assert schema.inputs["points"].units == ("mm", "mm", "mm", "")
    assert schema.classes == ("proton", "carbon")
    assert schema.beside == ("event", "energy")
    assert counts(events) == [2, 0, 3]
    np.testing.assert_array_equal(values(events), np.arange(20, dtype=np.float32).reshape(5, 4))
    assert events.label.tolist() == [1, 0, 1]
    assert events.weight.tolist() == [1, 2, 0.5]
    assert events.beside["event"].tolist() == [7, 9, 8]


def test_an_event_is_its_files_base_name_and_its_number(clouds: Callable[..., str], read: Read) -> None:
    here, moved, other = (clouds(name, event_id=[7, 9, 8]) for name in ("run1.h5", "moved/run1.h5", "run3.h5"))
    first, same, different = (read(ATTPC(path=path)).event_id for path in (here, moved, other))
    np.testing.assert_array_equal(first, same)
    assert not np.isin(first, different).any()
    by_id = [read(ATTPC(path=path, id=("event_id",))).event_id for path in (here, other)]
    np.testing.assert_array_equal(*by_id)
    reordered = read(ATTPC(path=clouds("run1.h5", event_id=[8, 7, 9]))).event_id
    assert reordered.tolist() == [first[2], first[0], first[1]]


def test_two_files_of_one_name_need_an_id(clouds: Callable[..., str]) -> None:
    paths = (clouds("a/run.h5"), clouds("b/run.h5"))
    with pytest.raises(InputError, match="would give the same event ids; rename one or set `id`"):
        ATTPC(path=paths).schema()


def test_groups_of_files_are_classes(clouds: Callable[..., str], read: Read) -> None:
    proton, carbon = clouds("p.h5"), clouds("c.h5")
    reader = ATTPC(files={"proton": proton, "carbon": (carbon,)})
    assert reader.schema().classes == ("proton", "carbon")
    assert read(reader).label.tolist() == [0, 0, 0, 1, 1, 1]
    unlabelled = reader.on([carbon])
    assert unlabelled.schema().classes == ("proton", "carbon")
    assert read(unlabelled).label.tolist() == [-1, -1, -1]
    with pytest.raises(InputError, match=r"p\.h5 cannot be both 'carbon' and 'proton'"):
        ATTPC(files={"proton": proton, "carbon": proton}).schema()


def test_other_files_may_lack_labels_and_weights(clouds: Callable[..., str], read: Read) -> None:
    whole, bare = clouds("a.h5", kind=[1, 0, 1], w=[1.0, 2, 3], tag=[4, 5, 6]), clouds("b.h5")
    reader = ATTPC(path=whole, label="kind", classes={"a": (0,), "b": (1,)}, weight="w", keep=("tag",))
    events = read(reader.on([bare]))
    assert events.label.tolist() == [-1, -1, -1]
    assert events.weight.tolist() == [1, 1, 1]
    assert reader.on([bare]).schema().classes == ("a", "b")


def test_faults_are_counted_and_treated_as_the_options_say(clouds: Callable[..., str], read: Read) -> None:
    points = np.array([[0, 0, 5, 1], [0, 0, 9, 2], [1, 1, 5, 0], [1, 1, np.nan, 3], [1, 1, 4, -1]])
    path = clouds(points=points)
    plain = ATTPC(path=path)
    assert counts(read(plain)) == [2, 0, 3]
    assert tally(plain) == {"events without points kept": 1}
    strict = ATTPC(path=path, within={"z": (0.0, 6.0)}, charge="drop", empty="drop", features=("z", "charge"))
    assert values(read(strict)).tolist() == [[5, 1]]
    assert tally(strict) == {
        "points with z outside of 0 to 6 left out": 2,
        "points with charge not above 0 left out": 2,
        "events without points left out": 2,
    }
    twice = tally(ATTPC(path=path, within={"z": (0.0, 6.0), "charge": (0.5, 1.5)}))  # a point is left out once
    assert twice["points with charge outside of 0.5 to 1.5 left out"] == 2
    clipped = ATTPC(path=path, charge="clip", missing=(3.0,))
    assert values(read(clipped))[:, 3].tolist() == [1, 2, 0, 0, 0]
    assert tally(clipped)["charges not above 0 set to 0"] == 3


def test_events_do_not_depend_on_the_chunk(clouds: Callable[..., str], read: Read) -> None:
    path = clouds()
    whole = read(ATTPC(path=path, empty="drop"))
    (part,) = ATTPC(path=path).parts()
    chunks = list(ATTPC(path=path, empty="drop", chunk=1).read(part))
    assert [len(events) for events in chunks] == [1, 0, 1]
    assert sum(events.tally.get("events without points left out", 0) for events in chunks) == 1
    np.testing.assert_array_equal(values(Events.concat(chunks)), values(whole))
    np.testing.assert_array_equal(Events.concat(chunks).event_id, whole.event_id)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"label": "kin", "classes": {"a": (1,)}},
            r"run\.h5: label: there is no column 'kin' beside; did you mean 'kind'",
        ),
        ({"label": "kind"}, r"run\.h5: label: column 'kind' needs `classes`"),
        ({"features": ("w",)}, r"run\.h5: features: column 'w' is not there"),
        ({"columns": {"z": "zz"}}, r"run\.h5: columns: z: there is no 'zz'; did you mean 'z'"),
        ({"columns": {"z": 4}}, r"run\.h5: columns: z cannot be number 4: the points have 4, from 0"),
        ({"within": {"t": (0.0, 1.0)}}, r"run\.h5: within: the points have no column 't'"),
        ({"within": {"z": (1.0, 0.0)}}, r"run\.h5: within: z from 1 to 0 holds no point"),
        ({"charge": "drop", "columns": {"q": 3}}, r"none is called charge; say which is"),
        ({"charge": "drop", "columns": {"q": 3}, "features": ("x",)}, r"charge: the points have no column 'charge'"),
        ({"layout": "spyral"}, r"run\.h5: there are no spyral: neither"),
        ({"inside": "deep"}, r"run\.h5: there are no point clouds at 'deep'"),
        ({"units": {"w": "mm"}}, r"run\.h5: units\.w: column 'w' is not there"),
    ],
)
def test_options_that_do_not_fit_the_file_are_messages(
    options: dict[str, Any], message: str, clouds: Callable[..., str]
) -> None:
    with pytest.raises(InputError, match=message):
        ATTPC(path=clouds(kind=[1, 0, 1]), **options).schema()


def test_path_and_files_exclude_each_other(clouds: Callable[..., str]) -> None:
    for options in ({}, {"path": clouds(), "files": {"a": clouds()}}):
        with pytest.raises(InputError, match="either `path` or `files`"):
            ATTPC(**options).schema()
    with pytest.raises(InputError, match="leave out `label` and `classes`"):
        ATTPC(files={"a": clouds()}, classes={"a": (1,)}).schema()


def test_files_of_different_kinds_are_named_with_their_columns(clouds: Callable[..., str]) -> None:
    first, second = clouds("a.h5"), clouds("b.h5", points=np.zeros((5, 6)))
    with pytest.raises(InputError, match=r"b\.h5: the points have the columns 0, 1, 2, 3, 4, 5, of which none is"):
        ATTPC(path=(first, second)).schema()
    with h5py.File(second, "a") as file:
        file["points"].attrs["columns"] = ["x", "y", "time", "adc", "pad", "scale"]
    with pytest.raises(
        InputError, match=r"b\.h5: x, y, time, charge, .*a\.h5: x, y, z, charge; read files of one kind"
    ):
        ATTPC(path=(first, second)).schema()


def test_a_broken_file_stops_or_is_listed_with_its_problem(clouds: Callable[..., str], tmp_path: Path) -> None:
    good, bad = clouds("a.h5"), tmp_path / "b.h5"
    bad.write_bytes(Path(good).read_bytes()[:-500])
    with pytest.raises(BrokenFileError, match=r"b\.h5: the HDF5 file is truncated or corrupt \(.*truncated file"):
        ATTPC(path=(str(bad), good)).schema()
    skipping = ATTPC(path=(str(bad), good), on_bad_file="skip")
    assert skipping.schema().inputs["points"].columns == ("x", "y", "z", "charge")
    broken, sound = skipping.parts()
    assert "truncated" in broken.problem
    assert sound.problem == ""
    bad.write_bytes(b"")
    with pytest.raises(BrokenFileError, match="is empty"):
        ATTPC(path=str(bad), on_bad_file="skip").schema()
    bad.write_text("x,y,z\n")
    with pytest.raises(InputError, match="neither an HDF5 nor a ROOT file"):
        ATTPC(path=str(bad)).schema()


def test_measured_muon_runs_repeat_their_event_numbers_but_not_their_ids(data: Path, read: Read) -> None:
    pytest.importorskip("uproot")
    reader = ATTPC(path=str(data / "attpc/muon_tracks/*.root"), within={"time": (0.0, 512.0)}, keep=("nhits",))
    schema, events = reader.schema(), read(reader)
    assert schema.inputs["points"].columns == ("x", "y", "time", "charge")
    assert schema.beside == ("event", "entry", "nhits")
    assert len(events) == 9836
    assert len(np.unique(events.event_id)) == 9836
    assert len(np.unique(events.beside["event"])) < 6000
    time = values(events)[:, 2]
    assert (time >= 0).all()
    assert (time <= 512).all()
    left = tally(reader)["points with time outside of 0 to 512 left out"]
    assert sum(counts(events)) + left == events.beside["nhits"].sum()


def test_simulated_files_are_read_as_they_are_described(data: Path, read: Read) -> None:
    folder = data / "attpc"
    classes = {"label": "label", "classes": {"proton": (0,), "carbon": (1,)}}
    voxels = ATTPC(path=str(folder / "ar46_simulated_voxels_train.h5"), **classes)
    assert voxels.schema().inputs["points"].units == ("voxel", "voxel", "voxel", "ADC")
    events = read(voxels)
    assert np.bincount(events.label).tolist() == [793, 803]
    assert len(values(events)) == 25058
    fixed = read(ATTPC(path=str(folder / "ar46_resampled_256x4.h5"), charge="clip"))
    assert counts(fixed) == [256] * 960
    assert set(fixed.beside["dataset"]) == {"46000046/test", "46000046/train", "46000046/val"}
    assert len(np.unique(fixed.event_id)) == 960
    beast = read(ATTPC(path=str(folder / "beast_tpc_train.h5"), targets=("track_energy",)))
    assert len(values(beast)) == 1_444_840
    assert beast.target is not None
    assert beast.target.shape == (8000, 1)
