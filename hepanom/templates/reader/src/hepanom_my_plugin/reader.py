"""A reader for the text files of our detector."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from hepanom.contracts import Part, Reader
from hepanom.errors import BrokenFileError, InputError
from hepanom.events import Events, Input, Schema, hash64
from pydantic import Field

COLUMNS = ("energy", "rise_time")  # what the model sees
UNITS = ("keV", "ns")  # stated once, never converted; "" is a pure number
CLASSES = ("good", "odd")  # what Events.label counts: 0 is good, 1 is odd


# The fields of the class are the options that recipes set: data: {use: my_plugin, path: "runs/*.dat"}. Types and
# bounds are checked with the recipe; `hepanom plugins my_plugin` shows the docstring and the descriptions.
@dataclass(frozen=True)
class MyPluginReader(Reader):
    """Reads text files: the first line is ``# run NUMBER``, then an event a line.

    A line holds the event's number, its energy in keV, its rise time in ns, and 0 (good), 1 (odd) or -1 (unknown).
    A file is one part.
    """

    path: Annotated[str | tuple[str, ...], Field(description="file or glob, or several")]
    chunk: Annotated[int, Field(gt=0, description="events that are held at a time")] = 50_000
    on_bad_file: Annotated[
        Literal["stop", "skip"], Field(description="stop at a broken file, or leave it out and report it")
    ] = "stop"

    @classmethod
    def reads(cls, file: str) -> bool:
        """Say whether this is a file of this kind, so that `hepanom inspect FILE` finds this reader by itself."""
        try:
            with Path(file).open(encoding="utf-8") as lines:
                return lines.readline().startswith("# run ")
        except (OSError, UnicodeDecodeError):
            return False

    def schema(self) -> Schema:
        """Describe the events. Everything that ``read`` yields has to agree with it."""
        self._files()  # no file is a mistake of the recipe, which is told before anything is read
        return Schema({"features": Input("table", COLUMNS, UNITS)}, CLASSES, beside=("run", "number"))

    def parts(self) -> Sequence[Part]:
        """List the files: each is one part, which can be read alone, in any order, in another process."""
        return [Part(file, 0, Path(file).stat().st_size) for file in self._files()]

    def read(self, part: Part) -> Iterator[Events]:
        """Yield a file's events chunk by chunk, so that a file may be larger than memory."""
        with Path(part.file).open(encoding="utf-8") as lines:
            run, first = _run(part.file, lines.readline()), 2
            while rows := list(islice(lines, self.chunk)):
                yield _events(part.file, run, rows, first)
                first += len(rows)

    def on(self, files: Sequence[str]) -> Reader:
        """Return this reader for other files, such as new ones that a detector scores."""
        return replace(self, path=tuple(files))

    def _files(self) -> list[str]:
        patterns = [self.path] if isinstance(self.path, str) else self.path
        found = sorted({file for pattern in patterns for file in glob.glob(pattern)})
        if not found:
            raise InputError(f"no file matches {', '.join(map(repr, patterns))}")
        return found


def _run(file: str, line: str) -> int:
    """Return the run of the first line. An error for the user names the file, what was found, and what would do."""
    words = line.split()
    if words[:2] != ["#", "run"] or len(words) != 3 or not words[2].isdecimal():
        raise InputError(f"{file}:1: found {line.strip()!r}; expected a first line such as '# run 12'")
    return int(words[2])


def _events(file: str, run: int, rows: Sequence[str], first: int) -> Events:
    """Return the events of some lines, of which the first has this number."""
    # With `on_bad_file: skip` a BrokenFileError leaves the whole file out, and the report says so.
    where = f"{file}: lines {first} to {first + len(rows) - 1}"
    try:
        table = np.loadtxt(rows, dtype=np.float64, ndmin=2, comments=None)
    except ValueError as error:
        raise BrokenFileError(f"{where}: {error}; a line is no event, copy the file again") from error
    if table.shape[1] != 4:
        raise BrokenFileError(f"{where}: {table.shape[1]} numbers in a line, expected 4; copy the file again")
    number = table[:, 0].astype(np.int64)
    runs = np.full(len(table), run)
    return Events(
        # The id decides to which share of the split an event goes, and must be unique over all files.
        event_id=hash64([runs, number]),
        inputs={"features": table[:, 1:3].astype(np.float32)},  # a missing value is NaN
        weight=np.ones(len(table)),
        label=table[:, 3].astype(np.int64),
        category=np.zeros(len(table), np.int64),  # the core fills it in
        beside={"run": runs, "number": number},  # goes into the outputs, and is no feature
    )
