"""What a run leaves behind: delivered to its store, or kept under ``STATE/unsent`` until the store is back."""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hepanom import address, track
from hepanom.errors import HepanomError
from hepanom.facts import Ending, Late, Point
from hepanom.files import written

FOLDER = "unsent"
NOTE = "unsent.json"
FILES = "files"
MODEL = "model"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sent:
    """A run that was kept, its store, and why it is kept still; ``reason`` is empty where it was uploaded."""

    run_id: str
    store: str
    folder: str
    reason: str


def deliver(
    record: track.Record, ending: Ending, files: Path, model: Path | None, late: Sequence[Late], state: Path
) -> Path | None:
    """Record what a run found out, and mark it as finished; where its store is away, keep everything instead.

    Returns the folder of what is kept, None where nothing had to be. ``files`` and ``model`` are moved there.
    """
    try:
        track.finish(record, ending, files, model, late)
    except HepanomError as error:
        folder = keep(record, ending, files, model, late, state)
        log.error(
            "%s\nthe results are kept in %s; when the store is back, `hepanom upload %s` records them",
            error,
            folder,
            state,
        )
        return folder
    return None


def keep(
    record: track.Record, ending: Ending, files: Path, model: Path | None, late: Sequence[Late], state: Path
) -> Path:
    """Move everything that a run has to tell into ``STATE/unsent/RUN_ID``, whole or not at all."""
    folder = state / FOLDER / record.run_id
    plain = {
        "uri": record.store.uri,
        "run_id": record.run_id,
        "ending": ending.to_json(),
        "late": [asdict(some) for some in late],
    }
    with written(folder) as temporary:
        temporary.mkdir()
        shutil.move(files, temporary / FILES)
        if model is not None:
            shutil.move(model, temporary / MODEL)
        note = temporary / NOTE
        note.touch(mode=0o600)  # the address may hold a password
        note.write_text(json.dumps(plain), encoding="utf-8")
    return folder


def upload(state: Path, tracking: str | None = None) -> Iterator[Sent]:
    """Send the runs that are kept under a state folder to their stores, one by one, and mark them as finished.

    A run is removed from there when all of it has arrived. What was sent before the connection broke is not sent twice;
    ``tracking`` is the address of the same store, where it moved.
    """
    stores: dict[str, track.Store] = {}
    for note in sorted((state / FOLDER).glob(f"*/{NOTE}")):
        run_id, place = note.parent.name, tracking or "?"
        try:
            plain = json.loads(note.read_text(encoding="utf-8"))
            place = tracking or plain["uri"]
            with (note.parent / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stores[place] = stores.get(place) or track.open_store(address.existing(place))
                _send(track.known(stores[place], run_id), plain, note.parent)
                note.unlink()
            shutil.rmtree(note.parent)
            reason = ""
        except BlockingIOError:
            reason = "another process is uploading it"
        except (HepanomError, OSError) as error:
            if not note.exists():
                continue  # another process has uploaded it
            reason = str(error)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{note}: the note is damaged: {error!r}; the files beside it are the results"
        yield Sent(run_id, address.shown(place), str(note.parent), reason)


def _send(record: track.Record, plain: dict[str, Any], folder: Path) -> None:
    place = address.local_folder(record.artifact_uri)
    if place is not None and not place.is_dir():
        raise HepanomError(f"{place}: the run's artifacts belong there, and it is gone; move its folder back there")
    late = [
        Late(some["name"], some["tags"], tuple(Point(**point) for point in some["points"])) for some in plain["late"]
    ]
    model = folder / MODEL
    track.finish(record, Ending.from_json(plain["ending"]), folder / FILES, model if model.is_dir() else None, late)
