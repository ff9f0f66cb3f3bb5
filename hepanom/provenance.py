"""Where a result comes from: versions, code, machine and data."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hepanom.contracts import Reader

PACKAGES = ("hepanom", "torch", "numpy", "polars", "mlflow")


def describe(reader: Reader, plugins: Mapping[str, str], device: str, threads: int) -> dict[str, Any]:
    """Return the versions, the git commit of the working folder, the data's fingerprints, device and threads."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "plugins": dict(plugins),
        "git": git_commit(),
        "data": fingerprints(reader),
        "device": device,
        "threads": threads,
    }


def fingerprints(reader: Reader) -> list[dict[str, Any]]:
    """Return path, size and SHA-256 of every file of a reader.

    A simulation, which has no file, is told by its name and all options of its reader, as they decide what it gives.
    """
    found: list[dict[str, Any]] = []
    for name in dict.fromkeys(part.file for part in reader.parts()):
        path = Path(name)
        if path.is_file():
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            found.append({"path": str(path.resolve()), "bytes": path.stat().st_size, "sha256": digest})
        else:
            options = asdict(reader)  # type: ignore[call-overload]
            found.append({"path": name, "options": json.loads(json.dumps(options, default=str))})
    return found


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
