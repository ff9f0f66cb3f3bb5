"""The files of the digitizer, byte for byte.

All numbers are little-endian. A header of 32 bytes:

    0  4 bytes  the letters PULS
    4  uint16   version of the layout, 1
    6  uint16   channels
    8  uint32   samples of a waveform
   12  uint32   run
   16  float32  sampling period in ns
   20  float32  scale in mV per count
   24  uint64   events

and, one after the other, the events:

    0  uint64   time stamp in sampling periods since the run began
    8  uint32   number of the event in the run
   12  uint32   flags: 1 pile-up, 2 saturated
   16  int16    counts, channel by channel
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hepanom.errors import BrokenFileError, InputError

MAGIC, VERSION = b"PULS", 1
FLAGS = {"pile_up": 1, "saturated": 2}
HEADER = np.dtype(
    [
        ("magic", "S4"),
        ("version", "<u2"),
        ("channels", "<u2"),
        ("samples", "<u4"),
        ("run", "<u4"),
        ("period", "<f4"),
        ("scale", "<f4"),
        ("events", "<u8"),
    ]
)


@dataclass(frozen=True)
class Header:
    """What a file says of itself; ``period`` in ns, ``scale`` in mV per count."""

    channels: int
    samples: int
    run: int
    period: float
    scale: float
    events: int

    @property
    def record(self) -> np.dtype[np.void]:
        """Return the type of one event."""
        counts = ("counts", "<i2", (self.channels, self.samples))
        return np.dtype([("time", "<u8"), ("number", "<u4"), ("flags", "<u4"), counts])

    @property
    def settings(self) -> tuple[int, int, float, float]:
        """Return what all files that are read together share."""
        return self.channels, self.samples, self.period, self.scale


def read_header(file: str) -> Header:
    """Return the header of a file.

    Raises BrokenFileError for a file that begins otherwise, or is shorter or longer than its header says, InputError
    for a layout of another version.
    """
    try:
        size = Path(file).stat().st_size
        with Path(file).open("rb") as stream:
            raw = stream.read(HEADER.itemsize)
    except OSError as error:
        raise BrokenFileError(f"{file}: cannot be read: {error.strerror or error}") from error
    if raw[: len(MAGIC)] != MAGIC:
        raise BrokenFileError(f"{file}: begins with {raw[: len(MAGIC)]!r}, files of pulses with {MAGIC!r}")
    if len(raw) < HEADER.itemsize:
        raise BrokenFileError(f"{file}: ends inside its header of {HEADER.itemsize} bytes; copy it again")
    found = np.frombuffer(raw, HEADER)[0]
    if found["version"] != VERSION:
        raise InputError(
            f"{file}: layout of version {found['version']}, this reader knows version {VERSION}; upgrade it"
        )
    header = Header(*(found[name].item() for name in ("channels", "samples", "run", "period", "scale", "events")))
    expected = HEADER.itemsize + header.events * header.record.itemsize
    if size != expected:
        whole = max(0, (size - HEADER.itemsize) // header.record.itemsize)
        what = f"truncated after {whole:,} of its {header.events:,} events" if size < expected else "too long"
        raise BrokenFileError(f"{file}: {what}: {size:,} bytes, its header says {expected:,}; copy it again")
    return header
