"""A data set by name, brought to a folder where recipes find it: once, whole, and as it was published."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hepanom.cache import cache_folder
from hepanom.catalogue import DataSet
from hepanom.download import File, Patience, Watcher, checksum, download
from hepanom.errors import InputError, did_you_mean
from hepanom.files import written
from hepanom.published import Published, record

HOME = "HEPANOM_DATA"  # the variable by which recipes find data


@dataclass(frozen=True)
class Fetched:
    """A data set on disk: its files, and whether each came just now."""

    data_set: DataSet
    folder: Path
    files: tuple[File, ...]
    new: tuple[bool, ...]


def home(to: Path | None = None) -> Path:
    """Return the folder of all data sets: ``to``, else what HEPANOM_DATA names, else a folder in the user's cache."""
    named = os.environ.get(HOME, "")
    return to or (Path(named).expanduser() if named else cache_folder() / "data")


def fetch(
    wanted: DataSet,
    to: Path | None = None,
    *,
    verify: bool = False,
    patience: Patience | None = None,
    watcher: Watcher | None = None,
) -> Fetched:
    """Bring the files of a data set to ``home(to) / NAME`` and return where they are.

    What is there already is not fetched again; with ``verify`` its checksum is computed again. Another process that
    fetches the same is waited for. Raises InputError where another file of that name is there or the disk is too small,
    HepanomError where the download fails.
    """
    patience, watcher = patience or Patience(), watcher or Watcher()
    folder = home(to) / wanted.name
    with _locked(folder, watcher):
        wanted, files = _published(wanted, folder, patience, watcher)
        lacking = [file for file in files if not _there(file, folder, watcher, verify=verify)]
        _check_room(lacking, folder)
        for file in lacking:
            watcher.begin(file)
            download(file, folder / file.name, patience, watcher)
            _remember(file, folder)
    return Fetched(wanted, folder, files, tuple(file in lacking for file in files))


def complete(wanted: DataSet, to: Path | None = None) -> bool:
    """Return whether every file of a data set is where it would be fetched to, without asking anybody."""
    folder = home(to) / wanted.name
    names = [file.name for file in wanted.files] or wanted.wanted
    return bool(names) and all(_receipt(folder / name).exists() and (folder / name).exists() for name in names)


def _published(wanted: DataSet, folder: Path, patience: Patience, watcher: Watcher) -> tuple[DataSet, tuple[File, ...]]:
    """Return the data set with licence and citation, and its files with size and checksum.

    Where they are not known here the portal is asked, unless all files are there: its answer is kept beside them.
    """
    if wanted.files:
        return wanted, wanted.files
    told, kept = None, folder / ".record.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        told = _from_json(json.loads(kept.read_text(encoding="utf-8")))
    if told is None or not all((folder / file.name).exists() for file in _chosen(wanted, told)):
        told = record(wanted.record, patience, watcher)
        with written(kept) as temporary:
            temporary.write_text(json.dumps(asdict(told)), encoding="utf-8")
    files = _chosen(wanted, told)
    full = replace(
        wanted,
        about=wanted.about if wanted.data else told.title,
        licence=wanted.licence or told.licence,
        citation=wanted.citation or told.citation,
    )
    return full, files


def _from_json(plain: Mapping[str, Any]) -> Published:
    return Published(**{**plain, "files": tuple(File(**entry) for entry in plain["files"])})


def _chosen(wanted: DataSet, told: Published) -> tuple[File, ...]:
    """Return the files of a record that are wanted. Raises InputError for one that it does not have."""
    names = [file.name for file in told.files]
    for name in wanted.wanted:
        if name not in names:
            raise InputError(f"{wanted.record} has no file {name!r}; {did_you_mean(name, names)}")
    return tuple(file for file in told.files if not wanted.wanted or file.name in wanted.wanted)


def _there(file: File, folder: Path, watcher: Watcher, *, verify: bool) -> bool:
    """Return whether a file is there as it was published; its checksum is computed unless a receipt says that it was.

    Raises InputError for another file of that name: it may be the user's own.
    """
    place = folder / file.name
    if not place.exists():
        return False
    size, found = place.stat().st_size, ""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(_receipt(place).read_text(encoding="utf-8"))["checksum"]
    if size == file.size and (verify or found != file.checksum):
        watcher.note(f"{place}: computing the checksum")
        found = checksum(place, file.checksum)
    if size != file.size or found != file.checksum:
        told = found if size == file.size else f"{size:,} bytes"
        expected = file.checksum if size == file.size else f"{file.size:,}"
        raise InputError(
            f"{place}: found {told}, expected {expected} ({file.source}); it is not the published file: move it away "
            "and fetch again, or choose another folder with --to"
        )
    _remember(file, folder)
    return True


def _receipt(place: Path) -> Path:
    return place.with_name(f".{place.name}.json")


def _remember(file: File, folder: Path) -> None:
    """Keep, beside a file, that it was found to be what was published."""
    with written(_receipt(folder / file.name)) as temporary:
        temporary.write_text(json.dumps(asdict(file)), encoding="utf-8")


def _check_room(files: Sequence[File], folder: Path) -> None:
    """Raise InputError where the rest of the files does not fit on the disk."""
    parts = [folder / f".{file.name}.part" for file in files]
    needed = sum(file.size for file in files) - sum(part.stat().st_size for part in parts if part.exists())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{folder}: {needed / 1e6:,.0f} MB are still to come, {free / 1e6:,.0f} MB are free; make room or choose "
            "another folder with --to"
        )


@contextmanager
def _locked(folder: Path, watcher: Watcher) -> Iterator[None]:
    """Let one process at a time fetch into a folder, which is made where it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}; choose another folder with --to") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            watcher.note(f"{folder}: another process fetches this, too; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
