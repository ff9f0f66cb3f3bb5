"""One file over HTTP: resumed after a break, checked against what was published, moved into place when it is whole."""

from __future__ import annotations

import hashlib
import json
import ssl
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from io import RawIOBase
from pathlib import Path
from typing import TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, build_opener

from hepanom.errors import HepanomError

T = TypeVar("T")
CHUNK = 1 << 20  # bytes; an attempt that gets this much further was worth it, and the count of attempts begins anew
LONGEST = 32 << 20  # bytes of a record
NO_SUCH_RANGE = 416
PASSING = {408, NO_SUCH_RANGE, 425, 429, 500, 502, 503, 504}  # answers that may be others in a while


@dataclass(frozen=True)
class Patience:
    """How long a download puts up with a bad connection; times in seconds.

    It ends after so many ``attempts`` in a row that brought it no further. The first ``pause`` doubles each time; a
    server may ask for another one, up to ``longest``. Nothing for ``stall`` seconds is a broken connection.
    """

    attempts: int = 6
    pause: float = 1.0
    stall: float = 30.0
    longest: float = 120.0


@dataclass(frozen=True)
class File:
    """A published file; ``checksum`` is ``algorithm:hexadecimal``, ``source`` says who published it."""

    name: str
    url: str
    size: int
    checksum: str
    source: str


class Watcher:
    """Is told how a download goes; this one does nothing with it."""

    def begin(self, file: File) -> None:
        """A file is next."""

    def reached(self, size: int) -> None:
        """So many bytes of it are there."""

    def note(self, text: str) -> None:
        """Something happened that the user may want to know."""


class _Broken(Exception):
    """An attempt failed, and another one may not; ``wait`` is what the server asked for, in seconds."""

    def __init__(self, why: str, wait: float = 0.0, *, further: bool = False, afresh: bool = False) -> None:
        super().__init__(why)
        self.wait, self.further, self.afresh = wait, further, afresh


def text(url: str, patience: Patience, watcher: Watcher) -> str:
    """Return a short text such as a record of a data portal. Raises HepanomError where it is not to be had."""

    def attempt() -> str:
        with _answer(url, {}, patience) as response:
            return response.read(LONGEST).decode("utf-8", "replace")

    return _persist(url, attempt, patience, watcher)


def download(file: File, place: Path, patience: Patience, watcher: Watcher) -> None:
    """Bring a file to ``place``; what a broken download left in ``.NAME.part`` beside it is gone on with.

    Raises HepanomError where the server does not have it, the connection stays broken, the disk is full, or what came
    is not what was published; that is deleted, all else is kept for the next time.
    """
    part = place.with_name(f".{place.name}.part")
    seal = part.with_name(f"{part.name}.json")
    _persist(file.url, lambda: _attempt(file, part, seal, patience, watcher), patience, watcher)
    found = checksum(part, file.checksum)
    if found != file.checksum:
        _remove(part, seal)
        raise HepanomError(
            f"{file.url}: the checksum of what came is {found}, expected {file.checksum} ({file.source}); it was "
            "deleted: fetch it again, and if that does not help, the file was changed where it is published or on "
            "the way"
        )
    with _writing(place):
        part.replace(place)
        seal.unlink(missing_ok=True)


def checksum(path: Path, like: str) -> str:
    """Return the checksum of a file in the manner of another one: ``md5:...``, ``sha1:...``, ``adler32:...``."""
    algorithm = like.partition(":")[0]
    with path.open("rb") as stream:
        if algorithm != "adler32":
            return f"{algorithm}:{hashlib.file_digest(stream, algorithm).hexdigest()}"
        value = 1
        while block := stream.read(CHUNK):
            value = zlib.adler32(block, value)
    return f"adler32:{value:08x}"


def _persist(url: str, attempt: Callable[[], T], patience: Patience, watcher: Watcher) -> T:
    """Return what an attempt returns, however many it takes within the patience."""
    failed = 0
    while True:
        try:
            return attempt()
        except _Broken as broken:
            failed = 1 if broken.further else failed + 1
            if broken.wait > patience.longest:
                raise HepanomError(
                    f"{url}: {broken}, and asks to come again in {broken.wait:.0f} s; the same command then goes on"
                ) from broken
            if failed >= patience.attempts:
                raise HepanomError(
                    f"{url}: {broken}; {failed} attempts in a row failed; the same command goes on where it broke"
                ) from broken
            pause = max(patience.pause * 2.0 ** (failed - 1), broken.wait)
            watcher.note(f"{broken}; again in {pause:.0f} s")
            time.sleep(pause)


def _attempt(file: File, part: Path, seal: Path, patience: Patience, watcher: Watcher) -> None:
    """Bring the part of a file to its full size, or further."""
    with _writing(part), part.open("ab", buffering=0) as stream:  # no byte that came is lost when the process is killed
        start = stream.tell()
        if start > file.size:
            start = stream.truncate(0)
        if start == file.size:
            return
        try:
            with _answer(file.url, _range(start, seal), patience) as response:
                if response.status != 206:
                    start = 0
                _check_promise(file, response, start)
                stream.truncate(start)
                seal.write_text(json.dumps({"validator": _validator(response)}), encoding="utf-8")
                _copy(response, stream, start, file.size, patience, watcher)
        except _Broken as broken:
            if broken.afresh:
                stream.truncate(0)
            raise


def _copy(
    response: HTTPResponse, stream: RawIOBase, start: int, end: int, patience: Patience, watcher: Watcher
) -> None:
    """Append what comes to the part. Raises _Broken where that ends before the part has its full size."""
    size, why = start, "the server ended it"
    watcher.reached(size)
    while size < end:
        try:
            block = response.read1(min(CHUNK, end - size))
        except (OSError, HTTPException) as error:
            why, block = _why(error, patience), b""
        if not block:
            raise _Broken(f"the connection broke after {size:,} of {end:,} bytes: {why}", further=size - start >= CHUNK)
        size += len(block)
        while block:  # the last write before a disk is full may take a part of it
            block = block[stream.write(block) :]
        watcher.reached(size)


def _range(start: int, seal: Path) -> dict[str, str]:
    """Return the headers that ask for the rest of a file, if it is still the same file (RFC 9110, 13.1.5 and 14.2)."""
    if not start:
        return {}
    validator = ""
    with suppress(OSError, ValueError, TypeError, KeyError):
        validator = str(json.loads(seal.read_text(encoding="utf-8"))["validator"])
    return {"Range": f"bytes={start}-", **({"If-Range": validator} if validator else {})}


def _validator(response: HTTPResponse) -> str:
    """Return what tells this version of the file from others: a strong entity tag or a date."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _check_promise(file: File, response: HTTPResponse, start: int) -> None:
    """Raise _Broken, before anything is overwritten, where the answer is not the file, or not the rest of it."""
    length = response.headers.get("Content-Length", "")
    promised = start + int(length) if length.isdecimal() else file.size
    if response.status == 206:
        span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if span.partition("-")[0] != str(start):
            raise _Broken(f"the server sends bytes {span or 'of an unknown place'}, asked for those from {start}")
        promised = int(total) if total.isdecimal() else promised
    if promised != file.size:
        raise _Broken(f"the server has {promised:,} bytes under this name, expected {file.size:,} ({file.source})")


@contextmanager
def _answer(url: str, headers: dict[str, str], patience: Patience) -> Iterator[HTTPResponse]:
    """Yield the answer of a server; proxies are those of the environment."""
    if not url.startswith(("https://", "http://")):
        raise HepanomError(f"{url}: no address of a file; expected https://...")
    try:
        request = Request(url, headers={"User-Agent": "hepanom", **headers})
        with build_opener().open(request, timeout=patience.stall) as response:
            yield response
    except HTTPError as error:
        told = f"the server answers {error.code} {error.reason}".rstrip()
        with error:
            if error.code in PASSING:
                asked = _retry_after(error.headers.get("Retry-After", ""))
                raise _Broken(told, asked, afresh=error.code == NO_SUCH_RANGE) from error
        raise HepanomError(f"{url}: {told}; look whether it is still published there") from error
    except URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            why = error.reason.verify_message
            raise HepanomError(
                f"{url}: the server does not prove who it is: {why}; SSL_CERT_FILE names the certificates to trust"
            ) from error
        raise _Broken(f"there is no connection: {_why(error.reason, patience)}") from error
    except (TimeoutError, ConnectionError, ssl.SSLError, HTTPException) as error:
        raise _Broken(f"the connection broke: {_why(error, patience)}") from error


def _why(error: object, patience: Patience) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing came for {patience.stall:g} s"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def _retry_after(value: str) -> float:
    """Return the seconds that a server asks to wait, given as a number or as a date."""
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    """Turn what a disk refuses into a HepanomError that names the place."""
    try:
        yield
    except OSError as error:
        raise HepanomError(
            f"{place}: cannot be written: {error.strerror or error}; make room or choose another folder with --to, "
            "the same command then goes on"
        ) from error


def _remove(*paths: Path) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()
