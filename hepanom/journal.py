"""A study in one file that many processes share, and that survives the death of any of them.

Optuna's journal is fast, but loses the study when a process dies in the middle of a line, waits 30 seconds for the lock
of a dead process, and knows nothing of lost trials. Here the operating system holds the lock, which ends with its
process; whoever writes next cuts off what is no whole line; and every running trial shows a sign of life. On SQLite,
which does not lock what it reads, Optuna gives two processes the same waiting trial: here a lock keeps them apart.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import optuna
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages._heartbeat import BaseHeartbeat  # optuna asks for this class where it looks for lost trials
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from hepanom.address import locked, shown
from hepanom.errors import HepanomError, InputError

SQLITE_WAIT = 100  # seconds that a process waits for others to write

Lost = Callable[[optuna.Study, FrozenTrial], None]


class WholeLines(JournalFileOpenLock):
    """A lock that the operating system takes back from a dead process; who gets it finds whole lines alone."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path
        self.held: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Wait for the lock, and cut off a line that a process did not live to finish."""
        self.held = Path(f"{self.path}.lock").open("ab")  # noqa: SIM115 - release closes it
        fcntl.flock(self.held, fcntl.LOCK_EX)
        mend(self.path)
        return True

    def release(self) -> None:
        """Give the lock back."""
        assert self.held is not None
        self.held.close()
        self.held = None


def mend(path: Path) -> None:
    """Cut off what stands behind the last end of line."""
    with path.open("r+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        start, tail = end, b""
        while start > 0 and b"\n" not in tail:
            start = max(0, start - 4096)
            stream.seek(start)
            tail = stream.read(end - start)
        whole = start + tail.rfind(b"\n") + 1
        if whole < end:
            stream.truncate(whole)


class Database(RDBStorage):
    """A database in which a trial shows a sign of life before it runs: Optuna overlooks one that died without any."""

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Change the state of a trial; return False where another process has taken it already."""
        if state == TrialState.RUNNING:
            with suppress(optuna.exceptions.StorageInternalError):  # another process takes it, too, and was faster
                self.record_heartbeat(trial_id)
        return super().set_trial_state_values(trial_id, state, values)


class SQLite(Database):
    """A database in a file, in which one process at a time changes the state of a trial."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.lock = Path(f"{path}.lock")
        super().__init__(f"sqlite:///{path}", **options)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Change the state of a trial; return False where another process has taken it already."""
        with self.lock.open("ab") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            return super().set_trial_state_values(trial_id, state, values)


class Journal(JournalStorage, BaseHeartbeat):
    """A journal whose running trials show signs of life: files beside it, touched again and again.

    A trial that was silent for ``silence`` seconds is failed by whoever notices first, and ``lost`` hears of it. Times
    are those of the file system that holds the journal, so that clocks need not agree.
    """

    def __init__(self, path: Path, silence: float, lost: Lost) -> None:
        self.alive = Path(f"{path}.alive")
        self.alive.mkdir(parents=True, exist_ok=True)
        self.silence, self.lost = silence, lost
        super().__init__(JournalFileBackend(str(path), WholeLines(path)))

    def record_heartbeat(self, trial_id: int) -> None:
        """Show a sign of life."""
        (self.alive / str(trial_id)).touch()

    def get_heartbeat_interval(self) -> int:
        """Return the seconds between two signs of life."""
        return interval(self.silence)

    def get_heartbeat_stale_trial_callback(self) -> Lost:
        """Return what hears of lost trials."""
        return self.lost

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        clock = self.alive / f"now-{os.getpid()}"
        clock.touch()
        now = clock.stat().st_mtime
        clock.unlink()
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        return [trial._trial_id for trial in running if now - self._last(trial) > self.silence]

    def _last(self, trial: FrozenTrial) -> float:
        """Return when a trial last showed a sign of life: at its start, where it never did."""
        try:
            return (self.alive / str(trial._trial_id)).stat().st_mtime
        except FileNotFoundError:
            return (trial.datetime_start or datetime.now()).timestamp()


def interval(silence: float) -> int:
    """Return the seconds between two signs of life, a few of which may get lost before a trial does."""
    return max(1, int(silence // 4))


def place_of(storage: str | None, state: Path) -> str:
    """Return where a search keeps its trials. Raises InputError for what is neither a file of ours nor a URL."""
    if storage is None:
        return str(state / "search.db")
    if storage.startswith("sqlite:///"):
        storage = storage.removeprefix("sqlite:///")
    if "://" in storage or storage.endswith((".db", ".journal")):
        return storage
    raise InputError(
        f"search.storage: {storage}: expected NAME.db, NAME.journal or a database's URL, such as postgresql://"
    )


def storage(place: str, silence: float, lost: Lost) -> optuna.storages.BaseStorage:
    """Return the storage at a place of ``place_of``; ``lost`` hears of trials that were silent for too long."""
    if place.endswith(".journal"):
        return Journal(Path(place), silence, lost)
    signs: dict[str, Any] = {
        "heartbeat_interval": interval(silence),
        "grace_period": max(1, int(silence)),
        "heartbeat_stale_trial_callback": lost,
    }
    if "://" in place:
        return Database(place, **signs)
    return SQLite(Path(place).resolve(), engine_kwargs={"connect_args": {"timeout": SQLITE_WAIT}}, **signs)


@contextmanager
def alone(place: str) -> Iterator[None]:
    """Let one process at a time into the block, of those that share a file; with a database's URL all of them."""
    with nullcontext() if "://" in place else locked(Path(place).resolve().parent):
        yield


@contextmanager
def told(place: str) -> Iterator[None]:
    """Turn what a storage raises into one error that names it."""
    try:
        yield
    except (HepanomError, KeyboardInterrupt):
        raise
    except Exception as error:
        theirs = type(error).__module__.startswith(("optuna", "sqlalchemy", "json"))
        if not theirs and not isinstance(error, (OSError, ImportError, KeyError)):
            raise
        cause: BaseException = error
        while cause.__cause__ is not None:  # a full disk is "invalid data in the commit" to those above it
            cause = cause.__cause__
        first = (str(cause) or type(cause).__name__).splitlines()[0]
        raise HepanomError(
            f"search.storage: {shown(place)} cannot be used: {first}; is the address right, the database up, the "
            "folder writable? Another storage is set by --set search.storage=FILE.db"
        ) from error
