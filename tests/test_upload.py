"""Uploads of what runs left: after the state folder was moved, and beside another process."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from test_unsent import left, refuse_loss_or_repeat

from hepanom import track, unsent
from hepanom.errors import HepanomError


@pytest.fixture
def record(state: Path) -> track.Record:
    return track.start(track.open_store(str(state)), "moved", recipe="", params={}, tags={})


def test_a_state_folder_that_was_moved_is_told_and_makes_no_new_store(
    record: track.Record, state: Path, tmp_path: Path
) -> None:
    unsent.keep(record, *left(tmp_path), state)
    moved = state.rename(tmp_path / "new")
    for tracking, why in ((None, "nothing was recorded there"), (str(moved), "move its folder back")):
        (found,) = unsent.upload(moved, tracking)
        assert why in found.reason
    assert not state.exists()
    moved.rename(state)
    assert [each.reason for each in unsent.upload(state)] == [""]
    refuse_loss_or_repeat(record)


def test_what_another_process_has_just_uploaded_is_no_failure(
    record: track.Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsent.keep(record, *left(tmp_path), tmp_path / "state")
    first, known = unsent.upload(tmp_path / "state"), track.known

    def slow(*_: Any) -> track.Record:
        monkeypatch.setattr(track, "known", known)
        shutil.rmtree(tmp_path / "state" / "unsent" / record.run_id)  # as the faster one does
        raise HepanomError("the files are gone")

    monkeypatch.setattr(track, "known", slow)
    assert list(first) == []
