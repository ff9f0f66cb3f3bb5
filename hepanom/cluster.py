"""Score parts, and measure them for transforms, on a dask.distributed cluster: the only file that imports it.

Workers get the detector's path, or the recipe, and the plugin folder with it; never a plugin's objects, whose import
could hang where the worker cannot find it. They work in the folder of the command, so that relative paths are the same.
What they return is in the order of the parts, so that a result is that of one process. A worker that dies costs the
parts it was at, which dask gives to another.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Condition
from typing import TYPE_CHECKING, Any

from hepanom import document, output, plugins, storage
from hepanom.contracts import Part, Reader, Sketch, State
from hepanom.detector import Detector
from hepanom.document import Document
from hepanom.errors import HepanomError, InputError
from hepanom.other_files import reader_of
from hepanom.plugins import Parts
from hepanom.preparation import Chosen, Measure, chosen, measure_piece
from hepanom.result import Skipped
from hepanom.shares import Shares

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

AHEAD = 2  # parts under way per thread of the cluster
TRIES = 3
Command = tuple[str, str]  # which one it is, and its folder: what a worker keeps, it keeps for one command alone

_left = Condition()
_inside = Counter[str]()  # tasks that are at work, by the folder that this process is in


@contextmanager
def scorer(
    address: str, folder: str, overrides: Sequence[str], files: Sequence[str], only: Sequence[str] = ()
) -> Iterator[Callable[[Reader, Sequence[Part], list[Skipped]], Iterator[tuple[Part, pa.Table]]]]:
    """Give what ``output.score_files`` scores by, on the cluster at an address such as ``tcp://host:8786``.

    ``only`` are the names of thresholds, as ``storage.load`` takes them. Raises HepanomError where the cluster cannot
    be reached.
    """
    with _client(address) as client:

        def scored(_: Reader, parts: Sequence[Part], skipped: list[Skipped]) -> Iterator[tuple[Part, pa.Table]]:
            command = client.id, str(Path.cwd())
            tasks = ((command, folder, tuple(overrides), tuple(only), tuple(files), part) for part in parts)
            for part, (tables, left_out) in zip(parts, _mapped(client, _score, tasks), strict=True):
                skipped.extend(left_out)
                yield from ((part, table) for table in tables)

        yield scored


@contextmanager
def measurer(address: str) -> Iterator[Measure]:
    """Give what ``fit.fit`` measures training events by, on the cluster, whose workers must see the same files."""
    with _client(address) as client:

        def measured(events: Chosen, states: tuple[State, ...]) -> Iterator[Sketch]:
            parts = events.shares.parts
            command = client.id, str(Path.cwd())
            who = (command, parts.document, events.share, tuple(events.labels), events.index, states)
            for sketches in _mapped(client, _measure, ((*who, part) for part in events.shares.sound)):
                yield from sketches

        yield measured


@contextmanager
def _client(address: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError('--dask needs dask.distributed: pip install "hepanom[dask]"') from error
    try:
        client = Client(address, timeout=30)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise HepanomError(f"--dask {address}: no cluster answers there: {error}") from error
    try:
        yield client
    finally:
        client.close()  # type: ignore[no-untyped-call]


def _mapped(client: Any, function: Callable[..., Any], tasks: Iterator[tuple[Any, ...]]) -> Iterator[Any]:
    """Yield the results in the order of the tasks, of which only so many are under way."""
    under_way: deque[Any] = deque()
    most = AHEAD * max(1, sum(client.nthreads().values()))
    for task in tasks:
        under_way.append(client.submit(function, *task, pure=False, retries=TRIES))
        if len(under_way) >= most:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Work in the folder of a command. A process has one folder: tasks of commands from elsewhere wait.

    Raises InputError where the worker does not see the folder.
    """
    with _left:
        _left.wait_for(lambda: _inside.total() == _inside[place])
        try:
            os.chdir(place)
        except OSError as error:
            hint = "give the command in a folder that workers see"
            raise InputError(f"a worker of the cluster does not see {place} ({error.strerror}); {hint}") from error
        _inside[place] += 1
    try:
        yield
    finally:
        with _left:
            _inside[place] -= 1
            _left.notify_all()


@lru_cache(maxsize=2)
def _detector(_: Command, folder: str, overrides: tuple[str, ...], only: tuple[str, ...]) -> Detector:
    return storage.load(folder, overrides, only)


@lru_cache(maxsize=2)
def _reader(
    command: Command, folder: str, overrides: tuple[str, ...], only: tuple[str, ...], files: tuple[str, ...]
) -> Reader:
    return reader_of(_detector(command, folder, overrides, only), files)


@lru_cache(maxsize=2)
def _parts(_: Command, recipe: str, source: str) -> Parts:
    return plugins.build(document.parse(recipe, source))


def _measure(
    command: Command,
    recipe: Document,
    share: str,
    labels: tuple[str, ...],
    index: int,
    states: tuple[State, ...],
    part: Part,
) -> list[Sketch]:
    with _at(command[1]):
        shares = Shares(_parts(command, recipe.text(), recipe.source), {}, {}, None, sound=(part,))
        return measure_piece(chosen(shares, share, labels, index), states, 0)


def _score(
    command: Command,
    folder: str,
    overrides: tuple[str, ...],
    only: tuple[str, ...],
    files: tuple[str, ...],
    part: Part,
) -> tuple[list[pa.Table], list[Skipped]]:
    skipped: list[Skipped] = []
    with _at(command[1]):
        detector = _detector(command, folder, overrides, only)
        reader = _reader(command, folder, overrides, only, files)
        scored = output.scored_parts(detector, reader, [part], skipped)
        return [table for _, table in scored], skipped
