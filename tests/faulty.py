"""A server of one machine that does to a download what servers and networks do to downloads."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from hepanom.catalogue import DataSet
from hepanom.download import File, Patience

DATA = bytes(range(256)) * 40
MD5 = hashlib.md5(DATA).hexdigest()
QUICK = Patience(attempts=2, pause=0.001, stall=5.0)


@dataclass
class Answer:
    """How the server answers one request.

    ``status`` other than 200 is an error. ``stop`` ends the connection after so many bytes of the file, ``stall`` says
    nothing more from there. ``length`` is announced instead of the truth.
    """

    status: int = 200
    stop: int | None = None
    stall: int | None = None
    length: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Faulty:
    """A server whose answers are those of ``plan``, one a request, and right when the plan is at its end.

    ``ranges`` says whether it knows about Range, ``tag`` is the file's entity tag. ``asked`` are the requests: path and
    Range.
    """

    files: dict[str, bytes]
    plan: list[Answer] = field(default_factory=list)
    ranges: bool = True
    tag: str = '"one"'
    asked: list[tuple[str, str]] = field(default_factory=list)
    address: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def reply(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a request as the plan says."""
        wanted = request.headers.get("Range", "")
        self.asked.append((request.path, wanted))
        answer = self.plan.pop(0) if self.plan else Answer()
        if request.path not in self.files:
            answer = Answer(404)
        body = self.files.get(request.path, b"")
        first = self._first(wanted, request.headers.get("If-Range", self.tag))
        status = answer.status if answer.status != 200 else 206 if first else 200
        request.send_response(status)
        for name, value in answer.headers.items():
            request.send_header(name, value)
        if answer.status != 200:
            request.end_headers()
            return
        if self.tag:
            request.send_header("ETag", self.tag)
        if first:
            request.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        request.send_header("Content-Length", str(answer.length or len(body) - first))
        request.end_headers()
        last = next((end for end in (answer.stop, answer.stall) if end is not None), len(body))
        request.wfile.write(body[first:last])
        if answer.stall is not None:
            request.wfile.flush()
            self.over.wait()

    def _first(self, wanted: str, condition: str) -> int:
        if not wanted or not self.ranges or condition != self.tag:
            return 0
        return int(wanted.removeprefix("bytes=").rstrip("-"))


@contextmanager
def served(files: dict[str, bytes], *plan: Answer, ranges: bool = True, tag: str = '"one"') -> Iterator[Faulty]:
    """Give a server that is up and has these files, and end it."""
    faulty = Faulty(files, list(plan), ranges, tag)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            faulty.reply(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        faulty.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield faulty
        finally:
            faulty.over.set()
            server.shutdown()
            thread.join()


def jets(server: Faulty) -> DataSet:
    """Return a data set whose checksum is known without a record."""
    known = File("jets.h5", f"{server.address}/jets.h5", len(DATA), f"md5:{MD5}", "record 1")
    return DataSet("jets", "made-up jets", "zenodo:1", files=(known,), licence="CC0", citation="M. Curie")
