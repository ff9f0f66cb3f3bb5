"""The files that a reader reads: found by name or glob, opened plain or decompressed, and blamed when broken."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from gzip import BadGzipFile, GzipFile
from io import BufferedIOBase
from pathlib import Path
from typing import Annotated, Literal

from isal import igzip, isal_zlib
from pydantic import Field

from hepanom.errors import BrokenFileError, InputError, did_you_mean

OnBadFile = Annotated[
    Literal["stop", "skip"], Field(description="stop at a broken file, or leave it out and report it")
]


def match_files(path: str | Sequence[str]) -> list[str]:
    """Return the files that a path or glob, or several, stand for: each one's sorted, none twice.

    Raises InputError for one that matches no file.
    """
    found: dict[str, str] = {}
    for pattern in [path] if isinstance(path, str) else path:
        place = os.path.expanduser(pattern)
        files = [place] if os.path.isfile(place) else sorted(filter(os.path.isfile, glob.glob(place, recursive=True)))
        if not files:
            raise InputError(f"no file matches {pattern!r}{_nearest(Path(place))}")
        for file in files:
            found.setdefault(same(file), file)
    return list(found.values())


def same(file: str) -> str:
    """Return the same for the same file, however its path is written."""
    return file if "://" in file else os.path.realpath(file)


def _nearest(place: Path) -> str:
    """Return the tail of the message: the folder that is not there, or the files of that kind that it has."""
    if glob.has_magic(str(place.parent)):
        return ""
    if place.is_dir():
        return f"; that is a folder, {str(place / '*')!r} are the files in it"
    if not place.parent.is_dir():
        return f"; there is no folder {str(place.parent)!r}"
    names = [each.name for each in place.parent.iterdir() if place.suffixes[:1] == each.suffixes[:1]]
    return f"; {did_you_mean(place.name, names)}" if names else f"; {str(place.parent)!r} has none of that kind"


def find_files(path: str | Sequence[str], suffix: str) -> list[str]:
    """Return the files that paths, globs, folders and addresses stand for; a folder's are those with the suffix."""
    found: dict[str, str] = {}
    for pattern in [path] if isinstance(path, str) else path:
        if "://" in pattern:
            files = [pattern]
        elif (folder := Path(pattern).expanduser()).is_dir():
            files = match_files(str(Path(glob.escape(str(folder))) / f"*{suffix}"))
        else:
            files = match_files(pattern)
        for file in files:
            found.setdefault(same(file), file)
    return list(found.values())


def base(file: str) -> str:
    """Return what names a file wherever it lies, compressed or not."""
    return Path(file).name.removesuffix(".gz")


@contextmanager
def open_text(file: str) -> Iterator[BufferedIOBase]:
    """Open a file, decompressed where it is a gzip; what goes wrong while it is read becomes an InputError."""
    try:
        with open(file, "rb") as raw:
            if file.endswith(".gz") or raw.peek(2)[:2] == b"\x1f\x8b":
                with igzip.IGzipFile(fileobj=raw) as text:  # type: ignore[no-untyped-call]
                    yield text
            else:
                yield raw
    except EOFError as error:
        raise BrokenFileError(
            f"{file}: the gzip is truncated; none of its rows were kept, copy the file again"
        ) from error
    except (BadGzipFile, isal_zlib.error) as error:  # type: ignore[misc]  # isal's stub has an instance
        raise BrokenFileError(f"{file}: the gzip is corrupt ({error}); copy the file again") from error
    except OSError as error:
        raise BrokenFileError(f"{file}: cannot be read: {error.strerror or error}") from error


@contextmanager
def blame_the_file_first(file: str) -> Iterator[None]:
    """Let a broken gzip, whose rows may be plausible garbage, be the error instead of what its rows led to."""
    try:
        yield
    except InputError:
        with open_text(file) as stream:
            while isinstance(stream, GzipFile) and stream.read(1 << 20):
                pass
        raise
