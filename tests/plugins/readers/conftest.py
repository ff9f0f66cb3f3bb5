"""Small files for the tests of readers, and all events of a reader as one."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from hepanom.contracts import Reader
from hepanom.events import Events


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], str]:
    """Return a function that writes a file, compressed where its name ends with .gz, and returns its path."""

    def write(name: str, text: str | bytes) -> str:
        content = text.encode() if isinstance(text, str) else text
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
        return str(path)

    return write


@pytest.fixture(scope="session")
def read() -> Callable[[Reader], Events]:
    """Return a function that checks a reader's schema and then reads all of its events."""

    def read(reader: Reader) -> Events:
        reader.schema()
        return Events.concat([events for part in reader.parts() for events in reader.read(part)])

    return read
