"""Events from Parquet beside plain pyarrow batches into a preallocated float32 matrix, interleaved.

A million standard normal events with 30 float32 columns in row groups of 100,000, with zstd and uncompressed; the peer
is ``ParquetFile.iter_batches`` with the best of four batch sizes; both let pyarrow use its threads. Medians over rounds
and the median ratio of the peer's time to ours.

    python benchmarks/read_parquet.py [rounds]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import parquet as pq

from hepanom_plugins.readers.parquet import Parquet

EVENTS, COLUMNS, TILE = 1_000_000, 30, 2048
STEPS = (10_000, 25_000, 50_000, 100_000)


def write(folder: Path) -> dict[str, Path]:
    """Write the files and return them by compression."""
    generator = np.random.default_rng(1)
    table = pa.table({f"x{index}": generator.normal(size=EVENTS).astype(np.float32) for index in range(COLUMNS)})
    paths = {}
    for compression in ("zstd", "none"):
        paths[compression] = folder / f"{compression}.parquet"
        pq.write_table(table, paths[compression], compression=compression, row_group_size=100_000)
    return paths


def hepanom(path: Path) -> float:
    """Return seconds to read all events, with their ids, weights and labels."""
    began = time.perf_counter()
    reader = Parquet(path=str(path))
    read = sum(len(events) for part in reader.parts() for events in reader.read(part))
    assert read == EVENTS
    return time.perf_counter() - began


def plain(path: Path, step: int) -> float:
    """Return seconds of batches into one matrix, transposed a tile at a time."""
    began = time.perf_counter()
    matrix, first = np.empty((EVENTS, COLUMNS), np.float32), 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(step):
            columns = [column.to_numpy() for column in batch.columns]
            for start in range(0, len(batch), TILE):
                stop = min(start + TILE, len(batch))
                for index, column in enumerate(columns):
                    matrix[first + start : first + stop, index] = column[start:stop]
            first += len(batch)
    assert first == EVENTS
    return time.perf_counter() - began


def main(rounds: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'Parquet, 30 columns':28}{'hepanom events/s':>18}{'pyarrow events/s':>18}{'ratio':>8}")
        for compression, path in write(Path(folder)).items():
            best = min(STEPS, key=lambda step: min(plain(path, step) for _ in range(2)))
            seconds: tuple[list[float], list[float]] = ([], [])
            for _ in range(rounds):
                seconds[0].append(hepanom(path))
                seconds[1].append(plain(path, best))
            ours, theirs = (statistics.median(each) for each in seconds)
            ratio = statistics.median(b / a for a, b in zip(*seconds, strict=True))
            print(f"{compression:28}{EVENTS / ours:>18,.0f}{EVENTS / theirs:>18,.0f}{ratio:>8.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
