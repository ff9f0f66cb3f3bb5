"""A run's own folder under ``mlruns/checkpoints``: claimed by a lock, resumed after a kill, removed when done."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from hepanom.document import Document
from hepanom.errors import HepanomError, InputError
from hepanom.files import written


@dataclass(frozen=True)
class Workspace:
    """The folder of one run, what it noted before it was interrupted, and the run ids of others that were."""

    folder: Path
    note: Mapping[str, Any]
    abandoned: tuple[str, ...]

    @property
    def checkpoints(self) -> Path:
        """Return the folder of the trainings' checkpoints."""
        return self.folder / "trainings"

    def remember(self, **note: Any) -> None:
        """Keep facts that a resumed run needs, beside those kept before."""
        file = self.folder / "run.json"
        kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        with written(file) as temporary:
            temporary.write_text(json.dumps({**kept, **note}), encoding="utf-8")


@contextmanager
def claim(state: Path, document: Document, *, resume: bool) -> Iterator[Workspace]:
    """Claim a fresh folder for this recipe, or with ``resume`` the newest that an interrupted run of it left.

    The folder is removed when the block ends well, and stays when it does not and anything was remembered. Folders of
    other interrupted runs of the same recipe are removed when a run ends well. Raises InputError where there is nothing
    to resume.
    """
    home = state / "checkpoints" / document.fingerprint()
    left = sorted(home.glob("*/run.json"), key=lambda note: note.stat().st_mtime)
    if resume and not left:
        raise InputError(
            f"{document.source}: there is no interrupted run of this recipe under {state}; recipe, --set values and "
            "folder must be those of the interrupted run; without --resume a new run starts"
        )
    folder = left[-1].parent if resume else home / uuid4().hex[:12]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HepanomError(
            f"{folder}: cannot be created: {error.strerror}; choose another folder with --state"
        ) from error
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{folder}: this run is still going on in another process") from error
        note = json.loads((folder / "run.json").read_text(encoding="utf-8")) if resume else {}
        dead = [other.parent for other in left if other.parent != folder and not _busy(other.parent)]
        abandoned = tuple(json.loads((other / "run.json").read_text(encoding="utf-8"))["run_id"] for other in dead)
        try:
            yield Workspace(folder, note, abandoned)
        except BaseException:
            if not (folder / "run.json").exists():
                _remove(folder)
            raise
    for finished in (folder, *(other for other in dead if not _busy(other))):  # one may be resumed by now
        _remove(finished)


def _remove(folder: Path) -> None:
    """Remove a run's folder, and its recipe's where that is empty now; another run may do the same or just begin."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()


def _busy(folder: Path) -> bool:
    """Return whether another process holds the folder, or has just removed it."""
    try:
        with (folder / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False
