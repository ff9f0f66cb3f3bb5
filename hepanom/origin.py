"""Thresholds that were set after the training: when, on which background, and a file of a detector for each name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hepanom.errors import HepanomError, InputError
from hepanom.files import written
from hepanom.thresholds import Threshold

FOLDER = "thresholds"


@dataclass(frozen=True)
class Origin:
    """When thresholds were set and on what.

    ``data`` lists the files as ``provenance.fingerprints`` does, ``events`` and ``effective`` are the number of
    background events and their effective number (sum w)^2 / sum w^2, ``background`` says in words what counted as
    background, and ``weighted`` whether weights counted: True, ``absolute`` or False.
    """

    created: str
    data: tuple[Mapping[str, Any], ...]
    events: int
    effective: float
    background: str
    weighted: bool | str


def keep(name: str, origin: Origin, thresholds: Sequence[Threshold], folder: Path) -> Path:
    """Write thresholds that share a name into a detector's folder, whole or not at all; return their file.

    Each name has a file of its own, so that nothing which is there is ever written again. Of several processes that
    want the same name at once one succeeds. Raises InputError where the name is taken.
    """
    import fcntl

    file = folder / FOLDER / f"{name}.json"
    plain = {"name": name, **asdict(origin), "thresholds": [entry.to_json() for entry in thresholds]}
    try:
        file.parent.mkdir(exist_ok=True)
        with (file.parent / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if file.exists():
                raise InputError(f"{folder}: has thresholds {name!r} already; old ones stay, so choose another --name")
            with written(file) as temporary:
                temporary.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise HepanomError(
            f"{file}: cannot be written: {error.strerror}; copy the detector to a place of yours"
        ) from error
    return file


def read(folder: Path) -> Iterator[tuple[str, Origin, tuple[Threshold, ...]]]:
    """Yield name, origin and thresholds of everything that was set after the training, oldest first."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted((folder / FOLDER).glob("*.json"))]
    for plain in sorted(found, key=lambda plain: str(plain["created"])):
        name, entries = plain.pop("name"), plain.pop("thresholds")
        yield name, Origin(**plain | {"data": tuple(plain["data"])}), tuple(map(Threshold.from_json, entries))
