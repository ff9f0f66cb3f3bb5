"""Where a result comes from: versions, code, machine and data."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("hepanom", "torch", "numpy", "polars", "mlflow")


def describe(files: Sequence[str], plugins: Mapping[str, str], device: str, threads: int) -> dict[str, Any]:
    """Return the versions, the git commit of the working folder, the data's fingerprint, device and threads."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "plugins": dict(plugins),
        "git": git_commit(),
        "data": [fingerprint(file) for file in dict.fromkeys(files)],
        "device": device,
        "threads": threads,
    }


def fingerprint(file: str) -> dict[str, str | int]:
    """Return path, size and SHA-256 of a file; a simulation, which has no file, is named alone."""
    path = Path(file)
    if not path.is_file():
        return {"path": file}
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"path": str(path.resolve()), "bytes": path.stat().st_size, "sha256": digest}


def git_commit() -> str | None:
    """Return the commit of the working folder, with ``-dirty`` where files differ from it; None outside git."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
