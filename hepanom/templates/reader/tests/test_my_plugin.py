"""The reader keeps its contract, and reads what stands in the files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hepanom.errors import BrokenFileError
from hepanom.testing import Case, conformance

from hepanom_my_plugin.reader import MyPluginReader

SAMPLES = Path(__file__).parents[1] / "samples" / "*.dat"

test_contract = conformance(Case("reader", "my_plugin", {"path": str(SAMPLES)}))


def test_an_event_is_read_as_it_was_written(tmp_path: Path) -> None:
    """The columns are where they belong, and the event's number is kept."""
    (tmp_path / "a.dat").write_text("# run 7\n40 661.5 31.0 0\n41 1332.5 90.0 1\n")
    reader = MyPluginReader(path=str(tmp_path / "*.dat"))
    (events,) = reader.read(reader.parts()[0])
    assert events.inputs["features"].tolist() == [[661.5, 31.0], [1332.5, 90.0]]
    assert events.label.tolist() == [0, 1]
    assert events.beside["run"].tolist() == [7, 7]
    assert events.beside["number"].tolist() == [40, 41]


def test_a_file_that_was_cut_short_is_told(tmp_path: Path) -> None:
    """No event is lost in silence."""
    (tmp_path / "a.dat").write_text("# run 7\n40 661.5 31.0 0\n41 1332.5")
    reader = MyPluginReader(path=str(tmp_path / "a.dat"))
    with pytest.raises(BrokenFileError, match="lines 2 to 3"):
        list(reader.read(reader.parts()[0]))
