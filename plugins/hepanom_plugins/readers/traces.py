"""GET traces in HDF5: the digitized pulses of a detector's pads, read as the peaks in them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from hepanom.errors import InputError
from hepanom.events import Jagged
from hepanom_plugins.readers.clouds import Clouds, Header
from hepanom_plugins.readers.clouds_hdf5 import datasets, even_steps, event_numbers, opened
from hepanom_plugins.readers.peaks import Peaks, find_peaks

ADDRESS = 5  # columns before the samples: CoBo, AsAd, AGET, channel, pad
PAD = 4
COLUMNS = ("x", "y", "time", "charge", "amplitude", "pad")
UNITS = ("", "", "bucket", "ADC", "ADC", "")
NAMES = r"(?:evt)?(\d+)(?:_data)?"


@dataclass(frozen=True)
class Traces:
    """The group ``get``: one dataset for each event, named by its number, of N x (5 + samples) integers.

    The columns are CoBo, AsAd, AGET, channel and pad, as pytpc writes them, then the samples, of which GET has 512.
    Names such as ``evt17_data`` of the FRIB's merger are read too. A trace with several peaks gives several points; one
    whose pad the table lacks, such as the channels of fixed pattern noise, gives none and is counted.
    """

    file: str
    peaks: Peaks

    def header(self) -> Header:
        """Return the columns of peaks. Raises InputError for a dataset of another shape, BrokenFileError."""
        read_pads(self.peaks.pads, self.file)
        with opened(self.file) as content:
            numbers = event_numbers(content["get"], NAMES)
            for name in numbers.values():
                shape = content["get"][name].shape
                if len(shape) != 2 or shape[1] <= ADDRESS:
                    raise InputError(
                        f"{self.file}: get/{name} has the shape {shape}; GET traces are (trace, 5 + samples): CoBo, "
                        "AsAd, AGET, channel, pad, then the samples"
                    )
                break
        return Header(COLUMNS, UNITS, (), (), "event", even_steps(self.file, len(numbers)))

    def read(self, start: int, stop: int, columns: Sequence[str], beside: Sequence[str]) -> Iterator[Clouds]:
        """Yield the peaks of events ``start`` to ``stop``."""
        table = read_pads(self.peaks.pads, self.file)
        places = [COLUMNS.index(column) for column in columns]
        with opened(self.file) as content:
            for numbers, arrays, _ in datasets(content["get"], NAMES, start, stop, ()):
                event = np.repeat(np.arange(len(arrays)), [len(array) for array in arrays])
                traces = np.concatenate(arrays)
                known = np.isin(traces[:, PAD], table[0])
                if not known.all():
                    traces, event = traces[known], event[known]
                trace, found = find_peaks(traces[:, ADDRESS:].astype(np.float32), self.peaks)
                pad = traces[trace, PAD]
                row = np.searchsorted(table[0], pad)
                points = np.column_stack([table[1][row], table[2][row], found, pad]).astype(np.float32)
                counts = np.bincount(event[trace], minlength=len(arrays))
                clouds = Jagged(points[:, places], np.concatenate([[0], np.cumsum(counts)]))
                left = int((~known).sum())
                tally = {"traces of pads that are not in the table left out": left} if left else {}
                yield Clouds(clouds, {"event": numbers}, tally)


def read_pads(
    file: str | None, traces: str
) -> tuple[Int64[np.ndarray, " pad"], Float64[np.ndarray, " pad"], Float64[np.ndarray, " pad"]]:
    """Return the numbers of the pads, rising, with their x and y.

    Raises InputError, naming the line, for a file without the columns pad, x, y or with a value that is no number.
    """
    if file is None:
        raise InputError(
            f"{traces}: GET traces need `pads`, a csv file with the columns pad, x, y that says where pads are"
        )
    rows: list[tuple[int, float, float]] = []
    try:
        with Path(file).open(newline="", encoding="utf-8") as text:
            table = csv.DictReader(text, skipinitialspace=True)
            names = table.fieldnames or ()
            if not {"pad", "x", "y"} <= set(names):
                found = ", ".join(names) or "nothing"
                raise InputError(f"{file}:1: pads: the columns pad, x, y are not there; found {found}")
            for row in table:
                try:
                    rows.append((int(row["pad"]), float(row["x"]), float(row["y"])))
                except (TypeError, ValueError) as error:
                    raise InputError(
                        f"{file}:{table.line_num}: pads: {error}; pad is an integer, x and y numbers"
                    ) from error
    except OSError as error:
        raise InputError(f"{file}: pads: cannot be read: {error.strerror}") from error
    pad, x, y = np.array(sorted(rows)).reshape(-1, 3).T
    if len(pad) == 0 or (np.diff(pad) == 0).any():
        twice = pad[1:][np.diff(pad) == 0]
        what = f"pad {twice[0]:g} is there twice" if len(twice) else "the table is empty"
        raise InputError(f"{file}: pads: {what}; give each pad one line")
    return pad.astype(np.int64), x, y
