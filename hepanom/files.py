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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise HepanomError(
            f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}; nothing was left there, make room or choose another place"
        ) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with suppress(OSError):
                temporary.unlink()
