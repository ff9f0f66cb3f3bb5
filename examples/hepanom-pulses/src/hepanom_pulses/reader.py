"""The reader."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from hepanom.contracts import Part, Reader
from hepanom.errors import BrokenFileError, InputError
from hepanom.events import Events, Input, Schema, hash64
from jaxtyping import Shaped
from pydantic import Field

from hepanom_pulses.layout import FLAGS, HEADER, MAGIC, Header, read_header
from hepanom_pulses.shapes import SHAPES, shapes, voltages

Flag = Literal["pile_up", "saturated"]


@dataclass(frozen=True)
class Pulses(Reader):
    """Reads digitizer files: the shapes of the pulses as a table, or the waveforms as images.

    Every channel of an event gives six features: baseline and amplitude in mV, charge in mV ns, time of the peak and
    rise time in ns, and the share of the charge after the peak. With ``view: waveforms`` an event is an image of one
    channel, whose rows are the digitizer's channels and whose columns are samples, in mV. Run, number, time stamp (in
    ns since the run began) and flags travel beside the features; run and number are the event's id. Files that are
    read together have the same channels, samples, sampling period and scale.
    """

    path: Annotated[str | tuple[str, ...], Field(description="file or glob, or several")]
    view: Annotated[
        Literal["shapes", "waveforms"], Field(description="a table of pulse shapes, or images of the waveforms")
    ] = "shapes"
    label: Annotated[
        Flag | None, Field(description="flag that makes a class of its own; without it events have no labels")
    ] = None
    drop: Annotated[tuple[Flag, ...], Field(description="flags whose events are left out, and counted")] = ()
    stride: Annotated[int, Field(gt=0, description="events of a part, which is read alone")] = 100_000
    chunk: Annotated[int, Field(gt=0, description="events that are held at a time")] = 4096
    on_bad_file: Annotated[
        Literal["stop", "skip"], Field(description="stop at a broken file, or leave it out and report it")
    ] = "stop"

    @classmethod
    def reads(cls, file: str) -> bool:
        """Say whether a file begins as files of pulses do."""
        try:
            with Path(file).open("rb") as stream:
                return stream.read(len(MAGIC)) == MAGIC
        except OSError:
            return False

    def schema(self) -> Schema:
        """Describe the events; looks at the headers of all files.

        Raises InputError where no file matches or the files were taken with different settings, BrokenFileError for a
        broken one, unless broken ones are skipped.
        """
        files = self._files()
        headers = {file: found for file, found in files.items() if isinstance(found, Header)}
        if not headers:
            raise InputError(f"every file is broken; the first: {next(iter(files.values()))}")
        first, expected = next(iter(headers.items()))
        for file, header in headers.items():
            if header.settings != expected.settings:
                both = " and ".join(map(_told, (expected, header)))
                raise InputError(f"{first} and {file} do not belong together: {both}; read them one by one")
        if self.view == "waveforms":
            inputs = {"waveforms": Input("image", ("voltage",), ("mV",), (expected.channels, expected.samples))}
        else:
            names = tuple(f"{name}[{channel}]" for channel in range(expected.channels) for name in SHAPES)
            inputs = {"features": Input("table", names, tuple(SHAPES.values()) * expected.channels)}
        classes = () if self.label is None else ("good", self.label)
        return Schema(inputs, classes, beside=("run", "number", "time", "flags"))

    def parts(self) -> Sequence[Part]:
        """List the pieces of all files, of ``stride`` events each."""
        parts = []
        for file, header in self._files().items():
            if isinstance(header, str):
                parts.append(Part(file, 0, 0, problem=header))
                continue
            starts = range(0, header.events, self.stride)
            parts += [Part(file, start, min(start + self.stride, header.events)) for start in starts]
        return parts

    def read(self, part: Part) -> Iterator[Events]:
        """Yield a part's events chunk by chunk; the file is mapped, and only what is asked for is read."""
        header = read_header(part.file)
        records = np.memmap(part.file, header.record, "r", HEADER.itemsize, (header.events,))
        for start in range(part.start, part.stop, self.chunk):
            yield self._events(header, records[start : min(start + self.chunk, part.stop)])

    def on(self, files: Sequence[str]) -> Reader:
        """Return this reader for other files."""
        return replace(self, path=tuple(files))

    def _files(self) -> dict[str, Header | str]:
        """Return the header of every file; where broken files are skipped, what is wrong with one in its place."""
        patterns = [self.path] if isinstance(self.path, str) else self.path
        found: dict[str, Header | str] = {}
        for file in sorted({file for pattern in patterns for file in glob.glob(str(Path(pattern).expanduser()))}):
            try:
                found[file] = read_header(file)
            except BrokenFileError as error:
                if self.on_bad_file == "stop":
                    raise
                found[file] = str(error)
        if not found:
            raise InputError(f"no file matches {', '.join(map(repr, patterns))}")
        return found

    def _events(self, header: Header, records: Shaped[np.ndarray, " event"]) -> Events:
        flags = records["flags"].astype(np.int64)
        bits = {name: (flags & bit) > 0 for name, bit in FLAGS.items()}
        dropped = np.zeros(len(flags), bool)
        tally = {}
        for name in self.drop:
            tally[f"events flagged {name} left out"] = int((bits[name] & ~dropped).sum())
            dropped |= bits[name]
        kept, flags = records[~dropped], flags[~dropped]
        run, number = np.full(len(kept), header.run), kept["number"].astype(np.int64)
        volts = voltages(kept["counts"], header.scale)
        inputs = (
            {"waveforms": volts[:, None]}
            if self.view == "waveforms"
            else {"features": shapes(volts, header.period).reshape(len(kept), header.channels * len(SHAPES))}
        )
        label = np.full(len(kept), -1) if self.label is None else bits[self.label][~dropped].astype(np.int64)
        return Events(
            hash64([run, number]),
            inputs,
            np.ones(len(kept)),
            label,
            np.zeros(len(kept), np.int64),
            beside={"run": run, "number": number, "time": kept["time"] * np.float64(header.period), "flags": flags},
            tally={what: count for what, count in tally.items() if count},
        )


def _told(header: Header) -> str:
    return f"{header.channels} x {header.samples} samples of {header.period:g} ns and {header.scale:g} mV"
