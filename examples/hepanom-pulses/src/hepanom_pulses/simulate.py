"""Made-up runs, for tests and for a first look: ``python -m hepanom_pulses.simulate FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from hepanom_pulses.layout import FLAGS, HEADER, MAGIC, VERSION, Header

FULL = 8191  # counts of a 14-bit converter, of either sign
RISE, DECAY = 6.0, 60.0  # ns
NOISE = 4.0  # counts


def run(header: Header, pile_up: float = 0.02) -> np.ndarray:
    """Return the events of a run, whose number is the seed.

    A pulse a (exp(-t / decay) - exp(-t / rise)), with an exponential amplitude, is seen by all channels, each with its
    share of it; in pile-up a second one follows. What exceeds the converter's range is cut off.
    """
    random = np.random.default_rng(header.run)
    count, period = header.events, header.period
    time = np.arange(header.samples) * period

    def pulse(start: np.ndarray, height: np.ndarray) -> np.ndarray:
        after = np.clip(time - start[:, None], 0, None)
        return np.asarray(height[:, None] * (np.exp(-after / DECAY) - np.exp(-after / RISE)))

    start = time[-1] * random.uniform(0.15, 0.2, count)
    height = 300 + random.exponential(1500, count)
    piled = random.random(count) < pile_up
    later = start + time[-1] * random.uniform(0.1, 0.5, count)
    total = pulse(start, height) + pulse(later, height * piled * random.uniform(0.2, 1, count))
    share = random.uniform(0.7, 1.3, (count, header.channels, 1))
    volts = share * total[:, None] + random.normal(0, NOISE, (count, header.channels, header.samples))
    records = np.zeros(count, header.record)
    records["time"] = np.cumsum(random.geometric(1e-4, count))
    records["number"] = np.arange(count)
    records["flags"] = FLAGS["pile_up"] * piled + FLAGS["saturated"] * (volts > FULL).any((1, 2))
    records["counts"] = np.clip(np.rint(volts), -FULL - 1, FULL)
    return records


def write(file: Path, header: Header, records: np.ndarray) -> None:
    """Write a file of pulses."""
    head = np.zeros(1, HEADER)
    head["magic"], head["version"] = MAGIC, VERSION
    for name in ("channels", "samples", "run", "period", "scale", "events"):
        head[name] = getattr(header, name)
    with file.open("wb") as stream:
        stream.write(head.tobytes())
        stream.write(records.tobytes())


def main() -> None:
    """Write two runs of 4,000 events each, 8 MB in all, into the folder that the command line names."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number in (1, 2):
        header = Header(2, 256, number, 2.0, 0.25, 4000)
        write(folder / f"run{number}.puls", header, run(header))


if __name__ == "__main__":
    main()
