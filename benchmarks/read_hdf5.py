"""Events from HDF5 beside plain h5py slices into a preallocated float32 matrix, interleaved, one thread.

A contiguous matrix of a million standard normal events with 30 columns, float32 and float64; the peer reads slices of
the best of four lengths into one matrix. Medians over rounds, and the median ratio of the peer's time to ours.

    python benchmarks/read_hdf5.py [rounds]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import numpy as np

from hepanom_plugins.readers.hdf5 import Hdf5

EVENTS, COLUMNS = 1_000_000, 30
STEPS = (10_000, 25_000, 50_000, 100_000)


def write(folder: Path) -> dict[str, Path]:
    """Write the files and return them by the type of their numbers."""
    matrix = np.random.default_rng(1).normal(size=(EVENTS, COLUMNS))
    paths = {}
    for kind in ("float32", "float64"):
        paths[kind] = folder / f"{kind}.h5"
        with h5py.File(paths[kind], "w") as file:
            file.create_dataset("features", data=matrix.astype(kind))
    return paths


def hepanom(path: Path) -> float:
    """Return seconds to read all events, with their ids, weights and labels."""
    began = time.perf_counter()
    reader = Hdf5(path=str(path))
    read = sum(len(events) for part in reader.parts() for events in reader.read(part))
    assert read == EVENTS
    return time.perf_counter() - began


def plain(path: Path, step: int) -> float:
    """Return seconds of slices into one matrix."""
    began = time.perf_counter()
    matrix = np.empty((EVENTS, COLUMNS), np.float32)
    with h5py.File(path) as file:
        features = file["features"]
        for start in range(0, EVENTS, step):
            matrix[start : start + step] = features[start : start + step]
    return time.perf_counter() - began


def main(rounds: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'contiguous, 30 columns':28}{'hepanom events/s':>18}{'h5py events/s':>18}{'ratio':>8}")
        for kind, path in write(Path(folder)).items():
            best = min(STEPS, key=lambda step: min(plain(path, step) for _ in range(2)))
            seconds: tuple[list[float], list[float]] = ([], [])
            for _ in range(rounds):
                seconds[0].append(hepanom(path))
                seconds[1].append(plain(path, best))
            ours, theirs = (statistics.median(each) for each in seconds)
            ratio = statistics.median(b / a for a, b in zip(*seconds, strict=True))
            print(f"{kind:28}{EVENTS / ours:>18,.0f}{EVENTS / theirs:>18,.0f}{ratio:>8.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
