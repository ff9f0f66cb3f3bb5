"""Reading a table to float32 beside polars and pandas, interleaved: rows per second and peak memory.

The table is the measured HiggsML file (35 columns) tiled to some 300,000 rows, plain and gzipped. hepanom's reader
hands on blocks of checked float32 features with their ids, labels and weights; polars and pandas give one float32
matrix. A round times each contestant once in this process; the table gives the median over rounds and the ratio to
polars. The peak is what reading once adds to a fresh process.

    HEPANOM_DATA=/where/the/data/are python benchmarks/read_csv.py [rounds]
"""

from __future__ import annotations

import gzip
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread

import numpy as np
import psutil

from hepanom_plugins.readers.higgsml import UNITS, HiggsML

TILES = 19
NAMES = ["EventId", *UNITS, "Weight", "Label", "KaggleSet", "KaggleWeight"]
FEATURES = list(UNITS)


def hepanom(path: str) -> int:
    """Read block by block, as a run does."""
    reader = HiggsML(path)
    return sum(len(events) for part in reader.parts() for events in reader.read(part))


def polars(path: str) -> int:
    """Scan with the types stated, collect, and take the features as one matrix."""
    import polars as pl

    text = dict.fromkeys(("Label", "KaggleSet"), pl.String)
    schema = dict.fromkeys(NAMES, pl.Float32) | text | {"EventId": pl.Int64, "KaggleWeight": pl.Float64}
    table = pl.scan_csv(path, schema=schema).collect()
    return len(table.select(FEATURES).to_numpy(order="c"))


def pandas(path: str) -> int:
    """Read with the types stated, and take the features as one matrix."""
    import pandas as pd

    types = dict.fromkeys(FEATURES, np.float32) | {"EventId": np.int64, "Label": "category", "KaggleSet": "category"}
    return len(pd.read_csv(path, dtype=types)[FEATURES].to_numpy())


READERS: dict[str, Callable[[str], int]] = {"hepanom": hepanom, "polars": polars, "pandas": pandas}


def write_table(folder: str) -> tuple[str, str]:
    """Write the tiled table, plain and gzipped."""
    source = next((Path(os.environ["HEPANOM_DATA"]) / "higgsml").glob("*.csv.gz"))
    header, rows = gzip.decompress(source.read_bytes()).split(b"\n", 1)
    plain, packed = Path(folder) / "events.csv", Path(folder) / "events.csv.gz"
    plain.write_bytes(header + b"\n" + rows * TILES)
    packed.write_bytes(gzip.compress(plain.read_bytes(), compresslevel=6))
    return str(plain), str(packed)


def peak(name: str, path: str) -> float:
    """Return the megabytes that reading once adds to a fresh process."""
    command = [sys.executable, __file__, "--peak", name, path]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def watch(name: str, path: str) -> float:
    """Read once and return by how many megabytes this process grew meanwhile, looked at every millisecond."""
    import_module(name)
    size = psutil.Process().memory_info
    before, most, done = size().rss, [0], Event()

    def look() -> None:
        while not done.wait(1e-3):
            most[0] = max(most[0], size().rss)

    thread = Thread(target=look)
    thread.start()
    READERS[name](path)
    done.set()
    thread.join()
    return (most[0] - before) / 1e6


def main(rounds: int) -> None:
    """Print the table."""
    contestants = [name for name in READERS if find_spec(name)]
    with tempfile.TemporaryDirectory() as folder:
        for path in write_table(folder):
            rows = {name: READERS[name](path) for name in contestants}
            seconds: dict[str, list[float]] = {name: [] for name in contestants}
            for _ in range(rounds):
                for name in contestants:
                    began = time.perf_counter()
                    READERS[name](path)
                    seconds[name].append(time.perf_counter() - began)
            print(f"{Path(path).name}: {rows['hepanom']} rows, {Path(path).stat().st_size / 1e6:.0f} MB")
            print(f"{'':10}{'rows/s':>12}{'of polars':>12}{'peak MB':>12}")
            best = statistics.median(seconds["polars"])
            for name in contestants:
                median = statistics.median(seconds[name])
                print(f"{name:10}{rows[name] / median:12,.0f}{best / median:12.2f}{peak(name, path):12.0f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        print(watch(sys.argv[2], sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
