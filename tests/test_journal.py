"""A trial whose process died is done once more, whenever that was."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState
from test_study import STORAGES, opened, run

from hepanom.errors import HepanomError
from hepanom.study import Attempt, Study

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::optuna.exceptions.ExperimentalWarning")


def states(study: Study) -> list[tuple[str, int | None]]:
    """Return of each trial how it ended, and which one it does again."""
    return [(trial.state, trial.retry_of) for trial in study.trials()]


def test_a_process_that_died_before_its_first_sign_of_life_is_noticed(tmp_path: Path) -> None:
    study = opened(tmp_path / "trials.db", trials=2, silence=1)
    study.inner.ask()  # and its process dies at once
    with sqlite3.connect(tmp_path / "trials.db") as database:
        database.execute("update trial_heartbeats set heartbeat = datetime('now', '-1 hour')")
    study.work(run, linger=False)
    assert states(study) == [("failed", None), ("complete", None), ("complete", 0)]


@pytest.mark.parametrize("name", STORAGES)
def test_a_lost_trial_is_laid_down_where_who_noticed_died_too(tmp_path: Path, name: str) -> None:
    study = opened(tmp_path / name, trials=2)
    trial = study.inner.ask()
    study.inner.tell(trial, state=TrialState.FAIL)  # whoever did this did not live to do more
    opened(tmp_path / name, trials=2).work(run)
    assert states(study) == [("failed", None), ("complete", None), ("complete", 0)]


@pytest.mark.parametrize("name", STORAGES)
def test_a_trial_is_laid_down_again_once_whoever_does_it(tmp_path: Path, name: str) -> None:
    first, second = (opened(tmp_path / name, trials=1) for _ in range(2))
    first.inner.tell(first.inner.ask(), state=TrialState.FAIL)
    for study in (first, second):
        study._mend()
    callback = second.inner._storage.get_heartbeat_stale_trial_callback()  # type: ignore[attr-defined]
    callback(second.inner, second.inner.get_trials()[0])
    assert [trial.state.name for trial in first.inner.get_trials()] == ["FAIL", "WAITING"]


@pytest.mark.parametrize("name", STORAGES)
def test_a_trial_that_was_begun_by_mistake_holds_nobody_up(tmp_path: Path, name: str) -> None:
    study = opened(tmp_path / name, trials=1)
    study.work(run)
    study.inner.ask()  # another process took the last that waited, and this one dies
    study.work(run)
    assert states(study) == [("complete", None)]


@pytest.mark.parametrize("name", STORAGES)
def test_an_interrupted_trial_is_failed_before_it_waits_again(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, seen = opened(tmp_path / name, trials=1), list[str]()
    real = optuna.Study.add_trial

    def add(self: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        seen.extend(trial.state.name for trial in self.get_trials())
        real(self, trial)

    def interrupted(_: object) -> list[float]:
        raise KeyboardInterrupt

    monkeypatch.setattr(optuna.Study, "add_trial", add)
    with pytest.raises(KeyboardInterrupt):
        study.work(interrupted)
    assert seen == ["FAIL"]  # killed between the two, it is laid down by others; the other way round it runs twice


@pytest.mark.parametrize("name", STORAGES)
def test_a_storage_that_goes_away_in_the_middle_is_named(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    study = opened(folder / name, trials=2)

    def lose(attempt: Attempt) -> list[float]:
        shutil.rmtree(folder)
        return run(attempt)

    with pytest.raises(HepanomError, match=rf"search\.storage: .*{name} cannot be used: (?!.*Should not reach)"):
        study.work(lose)


def test_a_full_disk_is_called_so(tmp_path: Path) -> None:
    study = opened(tmp_path / "trials.db", trials=2)
    engine = study.inner._storage._backend.engine  # type: ignore[attr-defined]

    def full(attempt: Attempt) -> list[float]:
        @sqlalchemy.event.listens_for(engine, "begin")
        def limit(connection: sqlalchemy.Connection) -> None:
            connection.exec_driver_sql("pragma max_page_count = 1")  # not one more than there are

        attempt.remember(drawn={"x": "1" * 100_000})
        return [0.0]

    with pytest.raises(HepanomError, match="cannot be used: database or disk is full"):
        study.work(full)
