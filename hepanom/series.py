"""What a run tells its store while it goes on: losses epoch by epoch, and how busy the machine is.

A store that does not answer delays nothing but a warning. What could not be sent is tried again, and what is left over
at the end is for ``hepanom.unsent``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from hepanom import address, facts, machine, track
from hepanom.contracts import Epoch
from hepanom.errors import HepanomError
from hepanom.facts import Late, Point

EVERY = 5.0  # seconds between two sendings
SAMPLE = 10.0  # seconds between two looks at the meters
FIRST = 1.0  # seconds until the first look
SHARE = 20.0  # a store that does not answer takes one part in so many of the time at most

log = logging.getLogger(__name__)


@dataclass
class Feed:
    """Points on their way to a run: sent every few seconds, and at the end of the ``with`` block.

    ``name`` is that of a run below ``record``, begun with the first sending; without it they belong to ``record``
    itself. One call costs milliseconds and more, an epoch of a small network less.
    """

    record: track.Record
    name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    every: float = EVERY
    pending: list[Point] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wait, self.sent = self.every, time.monotonic()
        self.home: track.Record | None = None if self.name else self.record
        self.lost = False

    def __enter__(self) -> Feed:
        if self.home is None:
            self._try()  # a run below is seen from its beginning
        return self

    def put(self, points: Iterable[Point]) -> None:
        """Take down points, and send what is pending where it is time to."""
        self.pending += points
        if time.monotonic() - self.sent >= self.wait:
            self._try()

    def flush(self) -> None:
        """Send what is pending. Raises HepanomError, and keeps it, where the store does not answer."""
        self.home = self.home or track.child(self.record, self.name, self.tags)
        track.send(self.home, self.pending)

    def late(self) -> Late:
        """Return what could not be sent."""
        return Late(self.name, dict(self.tags), tuple(self.pending))

    def _try(self) -> None:
        began = time.monotonic()
        try:
            self.flush()
        except HepanomError as error:
            log.log(logging.DEBUG if self.lost else logging.WARNING, "%s; the run goes on", error)
            self.lost, self.wait = True, max(self.every, SHARE * (time.monotonic() - began))
        else:
            if self.lost:
                log.info("%s answers again; what was waiting has been sent", address.shown(self.record.store.uri))
            self.lost, self.wait = False, self.every
        self.sent = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._try()


@dataclass
class Series(Feed):
    """The losses of a training; epochs that the store has already are not sent again.

    After a resume, add the whole history.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.known: frozenset[int] | None = None

    def __enter__(self) -> Series:
        super().__enter__()
        return self

    def add(self, epoch: Epoch) -> None:
        """Take down the mean losses of an epoch, its diagnostics, its validation loss and its speed."""
        self.put(facts.points(facts.losses(epoch), epoch.epoch))

    def flush(self) -> None:
        """Send the epochs that are pending and that the store does not have."""
        if self.known is None:
            self.home = self.home or track.child(self.record, self.name, self.tags)
            self.known = track.known_steps(self.home, facts.LAST_OF_EPOCH)
        self.pending[:] = [point for point in self.pending if point.step not in self.known]
        super().flush()


@contextmanager
def metered(record: track.Record, every: float = SAMPLE) -> Iterator[Feed]:
    """Record during the block how busy the machine is: soon after its beginning, every few seconds, and at its end.

    Steps are seconds since the run began, so that a resumed run goes on behind what it has. A meter that fails ends
    this record, not the run. What could not be sent stays in the feed.
    """
    feed, done = Feed(record), threading.Event()
    thread = threading.Thread(target=_watch, args=(feed, every, done), name="meters", daemon=True)
    thread.start()
    try:
        yield feed
    finally:
        done.set()
        thread.join()


def _watch(feed: Feed, every: float, done: threading.Event) -> None:
    pause, ended = min(FIRST, every), False
    try:
        with machine.meters() as meters, feed:
            while not ended:
                ended = done.wait(pause)
                pause = every
                feed.put(facts.points(meters.read(), int(time.time() - feed.record.began / 1000)))
    except Exception as error:  # psutil knows many systems, and each may refuse something else
        log.warning("the meters of this machine cannot be read: %r", error)
