"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from hepanom.errors import HepanomError


@contextmanager
def written(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, which becomes ``path`` when the block ends without an error.

    Raises HepanomError naming ``path`` where the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary, retired = (path.with_name(f".{path.name}.{os.getpid()}.{end}") for end in ("part", "old"))
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError("it is neither a file nor a folder")  # root could replace /dev/null
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if path.exists() and any(map(Path.is_dir, (path, temporary))):
            path.replace(retired)  # only a file can be replaced in one step
        try:
            temporary.replace(path)
        except OSError:
            if retired.exists():
                retired.replace(path)
            raise
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        raise HepanomError(
            f"{path}: cannot be written: {why}; no half of it was left, make room or choose another place"
        ) from error
    finally:
        for leftover in (temporary, retired):
            shutil.rmtree(leftover, ignore_errors=True)
            with suppress(OSError):
                leftover.unlink()
