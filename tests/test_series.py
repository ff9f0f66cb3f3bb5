"""What a run tells while it goes on: complete, once, and without ever stopping the run."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hepanom import address, facts, machine, series, track
from hepanom.contracts import Epoch
from hepanom.errors import HepanomError
from hepanom.series import Feed, Series, metered


@pytest.fixture(scope="module")
def store(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> track.Store:
    return track.open_store(str(shutil.copytree(migrated, tmp_path_factory.mktemp("series") / "mlruns")))


@pytest.fixture
def record(store: track.Store, request: pytest.FixtureRequest) -> track.Record:
    return track.start(store, request.node.name, recipe="name: toy\n", params={}, tags={})


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Return a switch that takes the store away, and gives it back."""
    gone = [False]
    knock = address.knock

    def answer(uri: str) -> None:
        if gone[0]:
            raise ConnectionRefusedError("connection refused")
        knock(uri)

    monkeypatch.setattr(address, "knock", answer)
    return lambda is_gone: gone.__setitem__(0, is_gone)


def history(record: track.Record, name: str) -> list[Any]:
    return list(record.store.client.get_metric_history(record.run_id, name))


def steps(record: track.Record, name: str) -> list[int]:
    return sorted(metric.step for metric in history(record, name))


def epoch(number: int, loss: float = 0.5, validation: float = 0.6) -> Epoch:
    return Epoch(number, {"reconstruction": loss, "kl": 0.1}, validation, True, 1e5)


def test_a_series_arrives_complete(record: track.Record) -> None:
    with Series(record, every=0.0) as sending:
        for number in range(1, 4):
            sending.add(epoch(number))
    for name in ("train/reconstruction", "train/kl", "validation", "events_per_second"):
        assert steps(record, name) == [1, 2, 3]


def test_a_series_arrives_complete_when_the_training_breaks(record: track.Record) -> None:
    def broken_training() -> None:
        with Series(record, every=1e9) as sending:
            for number in range(1, 300):  # more than one batch of metrics
                sending.add(epoch(number))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_training()
    assert steps(record, "validation") == list(range(1, 300))


def test_a_resumed_series_repeats_no_epoch(record: track.Record) -> None:
    with Series(record) as sending:
        sending.add(epoch(1, validation=float("nan")))
    with Series(track.resume(record.store, record.run_id)) as sending:
        for number in (1, 2):
            sending.add(epoch(number))
    assert steps(record, "train/kl") == [1, 2]


def test_values_that_are_not_finite_are_left_out(record: track.Record) -> None:
    with Series(record) as sending:
        sending.add(epoch(1, loss=float("inf")))
        sending.add(epoch(2, loss=float("nan")))
        sending.add(epoch(3))
    assert steps(record, "train/reconstruction") == [3]
    assert steps(record, "validation") == [1, 2, 3]


def test_what_is_sent_twice_is_there_once(record: track.Record) -> None:
    points = facts.points({"a": 1.0, "b": 2.0}, 3)
    for _ in range(2):
        track.send(record, list(points))
    assert (steps(record, "a"), steps(record, "b")) == ([3], [3])


def test_a_store_that_goes_away_gets_what_it_missed_when_it_is_back(
    record: track.Record, away: Callable[[bool], None], caplog: pytest.LogCaptureFixture
) -> None:
    with Series(record, "below", {"category": "2"}, every=0.0) as sending:
        sending.add(epoch(1))
        away(True)
        sending.wait = 0.0
        for number in (2, 3):
            sending.add(epoch(number))
            sending.wait = 0.0
        away(False)
        sending.add(epoch(4))
        assert sending.home is not None
        assert steps(sending.home, "validation") == [1, 2, 3, 4]
        assert steps(record, "validation") == []
    said = [(entry.levelname, entry.getMessage()) for entry in caplog.records if entry.name == series.__name__]
    assert [level for level, _ in said if level in {"WARNING", "INFO"}] == ["WARNING", "INFO"]  # once each
    assert "connection refused" in said[0][1]
    assert not sending.late().points


def test_a_store_that_stays_away_leaves_everything_in_the_series(
    record: track.Record, away: Callable[[bool], None]
) -> None:
    away(True)
    with Series(record, "below", {"category": "2"}, every=0.0) as sending:
        for number in (1, 2):
            sending.add(epoch(number))
    late = sending.late()
    assert (late.name, late.tags) == ("below", {"category": "2"})
    assert [point.step for point in late.points if point.name == "validation"] == [1, 2]


def test_a_store_that_hangs_costs_a_small_share_of_the_time(
    record: track.Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, hung = [0.0], [0.0]

    def hang(*_: object) -> None:
        clock[0] += 60.0
        raise HepanomError("no answer")

    monkeypatch.setattr(series, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(track, "send", hang)
    feed = Feed(record)
    for second in range(100_000):
        clock[0] = max(clock[0], second)
        before = clock[0]
        feed.put([])
        hung[0] += clock[0] - before
    assert 0 < hung[0] < 0.06 * clock[0]


def test_a_short_run_has_one_look_at_the_meters_at_least(record: track.Record) -> None:
    with metered(record):
        pass
    found = record.store.client.get_run(record.run_id).data.metrics
    expected = {"cpu_utilization_percentage", "system_memory_usage_megabytes", "process_memory_megabytes"}
    assert {f"system/{name}" for name in expected} <= set(found)
    assert found["system/process_memory_megabytes"] > 1


def test_meters_are_read_until_the_end(record: track.Record) -> None:
    with metered(record, every=0.02):
        time.sleep(0.1)
    assert len(history(record, "system/cpu_utilization_percentage")) >= 2


@pytest.mark.parametrize("broken", [OSError("no /proc"), RuntimeError("driver"), KeyError("x")])
def test_meters_that_fail_are_a_warning(
    record: track.Record, broken: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(machine.Meters, "read", lambda self: (_ for _ in ()).throw(broken))
    with metered(record) as feed:
        pass
    assert "cannot be read" in caplog.text
    assert not feed.late().points


def test_meters_wait_for_a_store_that_is_away(record: track.Record, away: Callable[[bool], None]) -> None:
    away(True)
    with metered(record, every=0.02) as feed:
        time.sleep(0.1)
    assert {point.name for point in feed.late().points} >= {"system/cpu_utilization_percentage"}
    assert min(point.step for point in feed.late().points) >= 0
