"""Workers of a search do not outlive the command that started them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from hepanom import fleet

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(1000)"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The workers that a test starts: Python programs in the place of commands."""
    found: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def start(command: list[str], **_: object) -> subprocess.Popen[bytes]:
        found.append(real([sys.executable, "-c", command[-1]], stdout=subprocess.PIPE))
        return found[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    yield found
    for process in found:
        assert process.stdout is not None
        process.stdout.close()


def test_workers_that_end_well_are_waited_for_and_others_are_named(
    started: list[subprocess.Popen[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    with fleet.workers(3, ["import time; time.sleep(0.5)"]):
        pass
    assert [process.returncode for process in started] == [0, 0]
    assert caplog.messages == []
    with fleet.workers(2, ["raise SystemExit(3)"]):
        pass
    assert "ended with 3" in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_workers_end_where_the_command_does_not_end_well(
    started: list[subprocess.Popen[bytes]], error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(error), fleet.workers(3, ["import time; time.sleep(1000)"]):
        raise error
    assert all(process.returncode for process in started)
    assert caplog.messages == []  # what they left undone nobody did


def test_a_worker_that_does_not_end_is_killed_where_somebody_asks_twice(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> int:
        monkeypatch.undo()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), fleet.workers(3, [STUBBORN]):  # noqa: PT012
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        monkeypatch.setattr(started[0].__class__, "wait", interrupted)
        raise ValueError
    assert [process.returncode for process in started] == [-9, -9]


def test_a_worker_that_takes_too_long_is_killed(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "PATIENCE", 0.2)
    with fleet.workers(2, [STUBBORN]):
        pass
    assert [process.returncode for process in started] == [-9]
