"""Events from ROOT beside plain uproot into a preallocated matrix, interleaved, one thread.

Flat: 30 float32 branches of a million standard normal events, as a TTree with zlib 1, zstd 3 and uncompressed, and as
an RNTuple; the peer is ``uproot.iterate`` with the best of four step sizes, copied into one float32 matrix.
Jagged: four float32 branches of 0 to 9 objects as points; the peer is one ``arrays`` call with one numpy copy per
column. Medians over rounds, and the ratio of the peer's time to ours.

    python benchmarks/read_root.py [rounds]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from hepanom_plugins.readers.root import Root

EVENTS, COLUMNS = 1_000_000, 30
NAMES = [f"x{index}" for index in range(COLUMNS)]
STEPS = (25_000, 50_000, 100_000, 250_000)
JAGGED = [f"jet_{name}" for name in ("px", "py", "pz", "e")]


def write(folder: Path) -> dict[str, Path]:
    """Write the files and return them by name."""
    generator = np.random.default_rng(1)
    flat = {name: generator.normal(size=EVENTS).astype(np.float32) for name in NAMES}
    counts = generator.integers(0, 10, EVENTS)
    jagged = {name: ak.unflatten(generator.normal(size=counts.sum()).astype(np.float32), counts) for name in JAGGED}
    kinds = {"TTree zlib": uproot.ZLIB(1), "TTree zstd": uproot.ZSTD(3), "TTree uncompressed": None}
    paths = {}
    for name, compression in kinds.items():
        paths[name] = folder / f"{name}.root"
        with uproot.recreate(paths[name], compression=compression) as file:
            tree = file.mktree("events", dict.fromkeys(NAMES, np.float32))
            for start in range(0, EVENTS, 50_000):
                tree.extend({key: values[start : start + 50_000] for key, values in flat.items()})
    paths["RNTuple zstd"] = folder / "rntuple.root"
    with uproot.recreate(paths["RNTuple zstd"], compression=uproot.ZSTD(3)) as file:
        file.mkrntuple("events", flat)
    paths["TTree jagged"] = folder / "jagged.root"
    with uproot.recreate(paths["TTree jagged"], compression=uproot.ZSTD(3)) as file:
        tree = file.mktree("events", {name: ak.type(values).content for name, values in jagged.items()})
        for start in range(0, EVENTS, 50_000):
            tree.extend({key: values[start : start + 50_000] for key, values in jagged.items()})
    return paths


def hepanom(path: Path, *, jagged: bool) -> float:
    """Return seconds to read all events."""
    options: dict[str, Any] = {"features": (), "points": {"jets": "jet_{px,py,pz,e}"}} if jagged else {}
    began = time.perf_counter()
    reader = Root(path=str(path), **options)
    read = sum(len(events) for part in reader.parts() for events in reader.read(part))
    assert read == EVENTS
    return time.perf_counter() - began


def plain(path: Path, step: int) -> float:
    """Return seconds of uproot.iterate into one matrix."""
    began = time.perf_counter()
    matrix, first = np.empty((EVENTS, COLUMNS), np.float32), 0
    with uproot.open(path) as file:
        library = "np" if isinstance(file["events"], uproot.TTree) else "ak"
        for chunk in file["events"].iterate(NAMES, step_size=step, library=library):
            stop = first + len(chunk[NAMES[0]])
            for start in range(first, stop, 2048):
                for index, name in enumerate(NAMES):
                    here = slice(start - first, min(start + 2048, stop) - first)
                    matrix[start : min(start + 2048, stop), index] = chunk[name][here]
            first = stop
    assert first == EVENTS
    return time.perf_counter() - began


def scattered(path: Path) -> float:
    """Return seconds of one arrays call and one copy per column."""
    began = time.perf_counter()
    with uproot.open(path) as file:
        arrays = file["events"].arrays(JAGGED, library="ak")
    values = np.empty((len(ak.flatten(arrays[JAGGED[0]])), len(JAGGED)), np.float32)
    for index, name in enumerate(JAGGED):
        values[:, index] = ak.to_numpy(ak.flatten(arrays[name]))
    return time.perf_counter() - began


def main(rounds: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'reading ROOT, one thread':28}{'hepanom events/s':>18}{'uproot events/s':>18}{'ratio':>8}")
        for name, path in write(Path(folder)).items():
            jagged = "jagged" in name
            peers: list[Callable[[], float]] = [lambda path=path: scattered(path)] if jagged else []  # type: ignore[misc]
            if not jagged:
                best = min(STEPS, key=lambda step: plain(path, step))
                peers = [lambda path=path, best=best: plain(path, best)]  # type: ignore[misc]
            seconds: tuple[list[float], list[float]] = ([], [])
            for _ in range(rounds):
                seconds[0].append(hepanom(path, jagged=jagged))
                seconds[1].append(peers[0]())
            ours, theirs = (statistics.median(each) for each in seconds)
            ratio = statistics.median(b / a for a, b in zip(*seconds, strict=True))
            print(f"{name:28}{EVENTS / ours:>18,.0f}{EVENTS / theirs:>18,.0f}{ratio:>8.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
