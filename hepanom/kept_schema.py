"""The JSON schema of recipes, kept in the cache for the shell, which cannot wait until every plugin is imported."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hepanom.cache import cache_folder

MOST = 8  # schemas that are kept, of several environments or plugin folders
PATIENCE = 60.0  # seconds that another process has to make it


def keep(schema: dict[str, Any], folder: str | None) -> None:
    """Keep the schema for the plugins as they are now, those of a local folder among them."""
    from hepanom.errors import HepanomError
    from hepanom.files import written  # the shell, which only reads, shall not wait for what that imports

    place = _place(folder)
    with suppress(HepanomError, OSError):  # a home that cannot be written is no failure
        with written(place) as temporary:
            temporary.write_text(json.dumps(schema), encoding="utf-8")
        for old in _newest(place.parent, "*")[MOST:]:
            old.unlink()


def kept(folder: str | None) -> dict[str, Any] | None:
    """Return the schema for the plugins as they are now, or the last one while another process makes that.

    Without any there is none yet.
    """
    place = _place(folder)
    with suppress(OSError):
        if not place.exists() and not _begun(place):
            _make(folder)
    for file in [place, *_newest(place.parent, place.name.partition("-")[0])]:
        with suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return found
    return None


def _newest(cache: Path, plugins: str) -> list[Path]:
    """Return the schemas of a set of plugins in the cache, the newest first."""
    return sorted(cache.glob(f"{plugins}-*.schema.json"), key=lambda file: file.stat().st_mtime, reverse=True)


def _begun(place: Path) -> bool:
    """Return whether another process makes this schema since not long ago, and say from now on that one does."""
    mark = place.with_suffix(".begun")
    if mark.exists() and time.time() - mark.stat().st_mtime < PATIENCE:
        return True
    for old in place.parent.glob("*.begun"):
        old.unlink(missing_ok=True)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return False


def _make(folder: str | None) -> None:
    """Start a process that makes the schema and keeps it, and do not wait for it."""
    command = [sys.executable, "-m", "hepanom", "schema", "--quiet", *(["--plugins", folder] if folder else [])]
    null = subprocess.DEVNULL
    subprocess.Popen(command, stdin=null, stdout=null, stderr=null, start_new_session=True)


def _place(folder: str | None) -> Path:
    """Return where the schema is kept: its name says for which plugins, and in which state their files and ours are."""
    packages = {entry.value.partition(":")[0].partition(".")[0] for entry in entry_points(group="hepanom")}
    files = [file for name in packages | {"hepanom"} for file in _files(name)]
    files += Path(folder).glob("*.py") if folder else []
    seen = "\n".join(f"{file} {file.stat().st_mtime_ns}" for file in sorted(files))
    which, state = (sha256(text.encode()).hexdigest()[:16] for text in (f"{sys.prefix} {folder}", seen))
    return cache_folder() / f"{which}-{state}.schema.json"


def _files(package: str) -> list[Path]:
    """Return the files of a package or module, which is not imported for it."""
    with suppress(ImportError, ValueError):
        if spec := find_spec(package):
            inside = [file for root in spec.submodule_search_locations or () for file in Path(root).rglob("*.py")]
            return inside or [Path(str(spec.origin))]
    return []
