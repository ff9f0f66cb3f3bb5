"""Training from a ROOT file that is ten times larger than its memory, beside the same events in memory.

30 float32 branches, zstd 3; an autoencoder 30-100-50-25-2, batch 512, one thread. Each contestant trains in a process
of its own, so that its peak resident memory is what the operating system says of it; rounds are interleaved. The rate
is the median over rounds of the last of two epochs.

    python benchmarks/streaming.py [rounds] [memory in MB]
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

COLUMNS = 30
RECIPE = """
name: streaming
memory: {memory} MB
data: {{use: root, path: "{path}"}}
split: {{train: 0.9, valid: 0.02, calibrate: 0.02, test: 0.06}}
transforms: [{{use: standardize}}]
model: {{use: autoencoder, hidden: [100, 50, 25]}}
train: {{epochs: 2, batch: 512, device: cpu}}
scores: [{{use: reconstruction}}]
"""


def write(path: Path, events: int) -> None:
    """Write the events."""
    import uproot

    generator = np.random.default_rng(1)
    with uproot.recreate(path, compression=uproot.ZSTD(3)) as file:
        tree = file.mktree("events", {f"x{index}": np.float32 for index in range(COLUMNS)})
        for _ in range(0, events, 50_000):
            tree.extend({f"x{index}": generator.normal(size=50_000).astype(np.float32) for index in range(COLUMNS)})


def train(path: str, memory: int) -> dict[str, float]:
    """Read, prepare and train in this process; return the rate of the last epoch and the peak memory in MB."""
    from hepanom import document, plugins, shares
    from hepanom.fit import prepare_all, train_models

    parts = plugins.build(document.parse(RECIPE.format(path=path, memory=memory), "streaming.yaml"))
    events = shares.read(parts, shares.memory_bytes(parts.recipe))
    rates = []
    watch = lambda category, replica, record: rates.append(record.events_per_second)  # noqa: E731
    train_models(events, watch, None, prepare_all(events))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"rate": rates[-1], "peak": peak, "streamed": events.kept is None}


def main(rounds: int, memory: int) -> None:
    """Print the table."""
    size = 10 * memory * 10**6
    events = size // (4 * COLUMNS) // 50_000 * 50_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.root"
        write(path, events)
        found: dict[str, list[dict[str, float]]] = {"streamed": [], "in memory": []}
        for _ in range(rounds):
            for name, allowed in (("streamed", memory), ("in memory", 100 * memory)):
                command = [sys.executable, __file__, "--train", str(path), str(allowed)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found[name].append(json.loads(done.stdout.splitlines()[-1]))
                assert found[name][-1]["streamed"] == (name == "streamed")
    print(f"{events:,} events of {COLUMNS} float32, memory: {memory} MB, the events are {size // 10**6} MB")
    print(f"{'':12}{'events/s':>12}{'ratio':>8}{'peak MB':>10}")
    rates = {name: statistics.median(each["rate"] for each in runs) for name, runs in found.items()}
    for name, runs in found.items():
        peak = max(each["peak"] for each in runs)
        print(f"{name:12}{rates[name]:>12,.0f}{rates[name] / rates['in memory']:>8.2f}{peak:>10,.0f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        print(json.dumps(train(sys.argv[2], int(sys.argv[3]))))
    else:
        main(*(int(value) for value in (*sys.argv[1:], *("3", "50")[len(sys.argv) - 1 :])))
