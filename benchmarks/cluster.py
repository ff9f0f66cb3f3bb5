"""Scoring compressed ROOT files on two dask workers beside one process, each with one thread; rounds interleaved.

Eight files of 250,000 events with 30 float32 branches, zlib 1; an autoencoder 30-100-50-25-2. What is measured is
``output.score_files`` into a Parquet file after each contestant has scored once, so that imports do not count. The
workers start as docs/scale.md says: dask's own default gives every freed block back to the system, which costs a third.

    python benchmarks/cluster.py [rounds]
"""

from __future__ import annotations

import os

# Before torch is there, for the workers take it from here; glibc has read its own when this process began.
os.environ |= {"OMP_NUM_THREADS": "1", "MALLOC_TRIM_THRESHOLD_": "1073741824", "MALLOC_MMAP_THRESHOLD_": "1073741824"}

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

COLUMNS, FILES, EVENTS = 30, 8, 250_000
RECIPE = """
name: cluster
data: {{use: root, path: "{path}"}}
split: {{train: 0.01, valid: 0.01, calibrate: 0.01, test: 0.97}}
transforms: [{{use: standardize}}]
model: {{use: autoencoder, hidden: [100, 50, 25]}}
train: {{epochs: 1, batch: 512, device: cpu}}
scores: [{{use: reconstruction}}]
thresholds: [{{rule: background_efficiency, value: 1e-2}}]
"""


def write(folder: Path) -> list[str]:
    """Write the files."""
    import uproot

    generator = np.random.default_rng(1)
    paths = [folder / f"events{number}.root" for number in range(FILES)]
    for path in paths:
        with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
            tree = file.mktree("events", {f"x{index}": np.float32 for index in range(COLUMNS)})
            for _ in range(0, EVENTS, 50_000):
                tree.extend({f"x{index}": generator.normal(size=50_000).astype(np.float32) for index in range(COLUMNS)})
    return [str(path) for path in paths]


def main(rounds: int) -> None:
    """Print the table."""
    import torch
    from distributed import LocalCluster

    from hepanom import cluster, document, output, plugins, shares, storage
    from hepanom.fit import fit

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write(folder)
        parts = plugins.build(document.parse(RECIPE.format(path=files[0]), "cluster.yaml"))
        storage.save(fit(shares.read(parts, 10**9), {})[0], folder / "detector")
        detector, seconds = storage.load(folder / "detector"), {"one process": [], "two workers": []}
        with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as local:
            for _ in range(1 + rounds):
                began = time.perf_counter()
                output.score_files(detector, files, folder / "alone.parquet")
                seconds["one process"].append(time.perf_counter() - began)
                began = time.perf_counter()
                with cluster.scorer(local.scheduler_address, str(folder / "detector"), (), files) as by:
                    output.score_files(detector, files, folder / "together.parquet", by=by)
                seconds["two workers"].append(time.perf_counter() - began)
    alone, together = (each[1:] for each in seconds.values())
    print(f"{'scoring ' + format(FILES * EVENTS, ',') + ' events':28}{'events/s':>12}{'ratio':>8}")
    print(f"{'one process':28}{FILES * EVENTS / statistics.median(alone):>12,.0f}{1:>8.2f}")
    ratio = statistics.median(one / two for one, two in zip(alone, together, strict=True))
    print(f"{'two dask workers':28}{FILES * EVENTS / statistics.median(together):>12,.0f}{ratio:>8.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
