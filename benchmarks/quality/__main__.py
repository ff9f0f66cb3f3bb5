"""Compare what hepanom and PyOD find, on the same events: AUC, signal efficiencies and largest SIC, with their spread.

    python -m benchmarks.quality [--data lhco ...] [--seeds 1 2 ...] [--events N] [--models NAME ...] [--output FILE]

A seed is that of the split and of every training. What the output file holds already is not computed again.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from benchmarks.quality import ours, peers, tables
from benchmarks.quality.cases import CASES, Case
from benchmarks.quality.sample import Sample, draw, numbers
from benchmarks.quality.tables import Entry
from hepanom.errors import HepanomError

Scores = Mapping[str, Float[np.ndarray, " event"]]


@dataclass(frozen=True)
class Contestant:
    """A model of one side on a data set.

    ``setup`` says all that decides its numbers beside data, seed and versions: results with another are not reused.
    """

    side: str
    kind: str
    model: str
    setup: str
    overrides: tuple[str, ...] = ()

    def scores(self, sample: Sample, seed: int) -> Scores:
        """Return the scores of the test events by name; PyOD's one has none."""
        if self.side == "hepanom":
            return ours.scores(sample, self.overrides)
        return {"": peers.scores(sample, self.model, seed)}


def contestants(case: Case) -> list[Contestant]:
    """Return hepanom's models and PyOD's detectors on a data set."""
    common = " ".join([case.recipe, *case.overrides])
    mine = [
        Contestant("hepanom", model.kind, name, " ".join([common, *model.overrides]), model.overrides)
        for name, model in case.models.items()
    ]
    return mine + [Contestant("PyOD", peer.kind, name, f"{common} {peer.place}") for name, peer in peers.PEERS.items()]


def compute(data: str, contestant: Contestant, sample: Sample, seed: int, most: int) -> list[Entry]:
    """Return the numbers of one contestant, one entry for each of its scores; why there are none where it fails."""
    began = time.perf_counter()
    try:
        found = dict(contestant.scores(sample, seed))
        failed = ""
    except (ArithmeticError, ValueError, RuntimeError, HepanomError) as error:
        found, failed = {"": np.full(len(sample.test), math.nan)}, f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - began
    entries = []
    for label, score in found.items():
        broken = failed or ("scores that are NaN" if np.isnan(score).any() else "")
        entries.append(
            Entry(
                data=data,
                seed=seed,
                events=most,
                side=contestant.side,
                kind=contestant.kind,
                model=f"{contestant.model}: {label}" if len(found) > 1 else contestant.model,
                setup=contestant.setup,
                numbers={} if broken else numbers(sample, score),
                failed=broken,
                seconds=seconds,
            )
        )
    return entries


def load(path: Path) -> list[Entry]:
    """Return the entries of an earlier run; none where there is no file."""
    if not path.exists():
        return []
    plain = json.loads(path.read_text(encoding="utf-8"))
    return [Entry(**{**entry, "numbers": _known(entry["numbers"])}) for entry in plain["entries"]]


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else value for name, value in values.items()}


def save(path: Path, entries: Sequence[Entry]) -> None:
    """Write all entries at once, so that a stop in between loses nothing; a number that is not known is null."""
    plain = [asdict(entry) for entry in entries]
    for entry in plain:
        entry["numbers"] = {
            name: None if math.isnan(value) else round(value, 6) for name, value in entry["numbers"].items()
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"entries": plain}, indent=1), encoding="utf-8")
    partial.replace(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute what is missing, seed by seed, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", nargs="+", choices=list(CASES), default=list(CASES), help="data sets")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5], help="seeds of splits and trainings")
    parser.add_argument("--events", type=int, default=3000, help="training events at most; 0 for all")
    parser.add_argument("--kinds", nargs="+", choices=tables.KINDS, default=tables.KINDS, help="deep or classical")
    parser.add_argument("--models", nargs="+", default=[], help="these alone, of either side")
    parser.add_argument("--output", type=Path, default=Path("mlruns/quality.json"), help="file of all results")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    kept = load(options.output)
    try:
        entries = list(_entries(options, kept))
    except HepanomError as error:
        parser.exit(error.exit_code, f"{error}\n")
    for data in options.data:
        here = [entry for entry in entries if entry.data == data]
        print(f"\n## {CASES[data].title}\n")
        print("\n".join(tables.table(here)), flush=True)


def _entries(options: argparse.Namespace, kept: list[Entry]) -> Iterator[Entry]:
    """Yield the entries of every seed, data set and contestant, kept or computed now; ``kept`` grows and is written."""
    chosen = {
        data: [
            each
            for each in contestants(CASES[data])
            if each.kind in options.kinds and (not options.models or each.model in options.models)
        ]
        for data in options.data
    }
    total, done = len(options.seeds) * sum(map(len, chosen.values())), 0
    for seed in options.seeds:
        for data in options.data:
            case, sample = CASES[data], None
            for contestant in chosen[data]:
                key = (data, seed, options.events, contestant.side, contestant.setup)
                found = [e for e in kept if (e.data, e.seed, e.events, e.side, e.setup) == key]
                done += 1
                if not found:
                    sample = sample or draw(case.recipe, case.overrides, seed, options.events or None)
                    found = compute(data, contestant, sample, seed, options.events)
                    kept += found
                    save(options.output, kept)
                    for entry in found:
                        print(f"{done}/{total} {data} seed {seed} {tables.line(entry)}", flush=True)
                yield from found


if __name__ == "__main__":
    main()
