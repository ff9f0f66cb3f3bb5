"""Every trial of a search is one run of MLflow, whoever records it and whoever dies over that."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from hepanom import ledger, track
from hepanom.trials import Objective, Trial

GOALS = (Objective("valid/auc", "maximize"),)
TRIALS = [Trial(number, "complete", {"x": number}, (number / 10,), seconds=1.0, began=1e9) for number in range(3)]


@pytest.fixture
def record(tmp_path: Path, migrated: Path) -> track.Record:
    """The run of a search."""
    shutil.copytree(migrated, tmp_path, dirs_exist_ok=True)
    return track.start(track.open_store(str(tmp_path)), "search", recipe="", params={}, tags={})


def recorded(record: track.Record) -> dict[int, str]:
    """Return the run ids of trials, of which none is there twice."""
    runs = track.children(record)
    assert set(Counter(run.data.tags[ledger.TRIAL] for run in runs).values()) <= {1}
    assert {run.info.status for run in runs} <= {"FINISHED"}
    return {int(run.data.tags[ledger.TRIAL]): run.info.run_id for run in runs}


def test_a_trial_that_two_processes_record_is_there_once(record: track.Record) -> None:
    ids = {ledger.write(record, TRIALS[0], GOALS) for _ in range(4)}
    assert recorded(record) == {0: min(ids)} == ledger.settle(record, TRIALS[:1], GOALS)


def test_a_run_whose_process_died_is_recorded_anew(record: track.Record, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.write(record, TRIALS[0], GOALS)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(track, "log_params", die)
        with pytest.raises(KeyboardInterrupt):
            ledger.write(record, TRIALS[1], GOALS)
    track.fail(record, "interrupted", "KILLED")  # and with it what runs below
    known = ledger.settle(record, TRIALS, GOALS)
    assert known == recorded(record)
    params = {number: record.store.client.get_run(run_id).data.params for number, run_id in known.items()}
    assert params == {0: {"x": "0"}, 1: {"x": "1"}, 2: {"x": "2"}}
