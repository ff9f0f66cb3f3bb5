"""GET traces: from pads and samples to points, and what a table of pads must be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from hepanom.contracts import Reader
from hepanom.errors import InputError
from hepanom.events import Events, Jagged
from hepanom_plugins.readers.attpc import ATTPC

Read = Callable[[Reader], Events]


def event(*hits: tuple[int, float, float]) -> np.ndarray:
    """Return traces, given as (pad, time, height), as pytpc writes them."""
    traces = np.zeros((len(hits), 517), np.int16)
    for row, (pad, time, height) in enumerate(hits):
        traces[row, :5] = 0, 1, 2, 3, pad
        traces[row, 5:] = np.round(300 + height * np.exp(-((np.arange(512) - time) ** 2) / 18))
    return traces


@pytest.fixture
def run(tmp_path: Path) -> str:
    path = str(tmp_path / "run.h5")
    with h5py.File(path, "w") as file:
        group = file.create_group("get")
        group["11"] = event((7, 100, 900), (2, 250, 400), (99, 300, 800))
        group["3"] = event((2, 50.5, 2000))
        group["20"] = event()
    return path


@pytest.fixture
def pads(tmp_path: Path) -> str:
    path = tmp_path / "pads.csv"
    path.write_text("x, pad, y\n-2.5, 7, 10\n4.0, 2, -1.25\n")
    return str(path)


def test_peaks_become_points_where_their_pads_are(run: str, pads: str, read: Read) -> None:
    reader = ATTPC(path=run, pads=pads, units={"[xy]": "mm"}, peak_window=15, features=("*",))
    assert reader.schema().inputs["points"].columns == ("x", "y", "time", "charge", "amplitude", "pad")
    assert reader.schema().inputs["points"].units == ("mm", "mm", "bucket", "ADC", "ADC", "")
    events = read(reader)
    cloud = events.inputs["points"]
    assert isinstance(cloud, Jagged)
    assert events.beside["event"].tolist() == [3, 11, 20]
    assert np.diff(cloud.offsets).tolist() == [1, 2, 0]
    area = np.sqrt(18 * np.pi)
    expected = [[4, -1.25, 50.5, 2000 * area, 2000, 2], [-2.5, 10, 100, 900 * area, 900, 7]]
    np.testing.assert_allclose(cloud.values[:2], expected, rtol=0.02)
    assert [chunk.tally for part in reader.parts() for chunk in reader.read(part)] == [
        {"traces of pads that are not in the table left out": 1, "events without points kept": 1}
    ]


def test_names_of_the_merger_are_read_and_headers_are_not(run: str, pads: str, read: Read) -> None:
    with h5py.File(run, "a") as file:
        for number in ("3", "11", "20"):
            file.move(f"get/{number}", f"get/evt{number}_data")
            file[f"get/evt{number}_header"] = np.zeros(10)
    assert read(ATTPC(path=run, pads=pads)).beside["event"].tolist() == [3, 11, 20]


def test_parts_are_pieces_of_the_events(run: str, pads: str, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read(ATTPC(path=run, pads=pads))
    monkeypatch.setattr("hepanom_plugins.readers.clouds_hdf5.PART_BYTES", 1)
    monkeypatch.setattr("hepanom_plugins.readers.clouds_hdf5.CHUNK_BYTES", 1)
    reader = ATTPC(path=run, pads=pads)
    assert [(part.start, part.stop) for part in reader.parts()] == [(0, 1), (1, 2), (2, 3)]
    np.testing.assert_array_equal(read(reader).event_id, whole.event_id)
    clouds = (read(reader).inputs["points"], whole.inputs["points"])
    np.testing.assert_array_equal(*(cloud.values for cloud in clouds if isinstance(cloud, Jagged)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pad,x\n1,2\n", r"pads\.csv:1: pads: the columns pad, x, y are not there; found pad, x"),
        ("", r"pads\.csv:1: pads: the columns pad, x, y are not there; found nothing"),
        ("pad,x,y\n1,2,3\n2,a,4\n", r"pads\.csv:3: pads: could not convert string to float: 'a'; pad is an integer"),
        ("pad,x,y\n1,2\n", r"pads\.csv:2: pads: .*; pad is an integer, x and y numbers"),
        ("pad,x,y\n1,2,3\n1,4,5\n", r"pads\.csv: pads: pad 1 is there twice; give each pad one line"),
        ("pad,x,y\n", r"pads\.csv: pads: the table is empty"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_with_its_line(text: str, message: str, run: str, tmp_path: Path) -> None:
    (tmp_path / "pads.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        ATTPC(path=run, pads=str(tmp_path / "pads.csv")).schema()


def test_traces_need_pads_and_their_shape(run: str, pads: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run\.h5: GET traces need `pads`, a csv file"):
        ATTPC(path=run).schema()
    with pytest.raises(InputError, match=r"nowhere\.csv: pads: cannot be read: No such file"):
        ATTPC(path=run, pads=str(tmp_path / "nowhere.csv")).schema()
    with h5py.File(run, "a") as file:
        file["get/1"] = np.zeros((3, 5), np.int16)
    with pytest.raises(InputError, match=r"get/1 has the shape \(3, 5\); GET traces are \(trace, 5 \+ samples\)"):
        ATTPC(path=run, pads=pads).schema()
