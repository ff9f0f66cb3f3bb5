"""How much training does a search by TPE with pruning need to find what 40 random trials find?

For each seed 40 random recipes are tried, and their best AUC on the valid share is the mark. Then a search by TPE with
a median pruner tries recipes until one of its trials reaches the mark, or twice as many were tried. Both count the CPU
time of their trials; events are read and prepared before. They are simulated, the same in all searches; seeds are those
of samplers and networks.

    OMP_NUM_THREADS=1 python benchmarks/search_speed.py [seeds: 5] [random trials: 40]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hepanom import document, plugins
from hepanom.attempts import Events, Trier
from hepanom.study import Attempt, Pruned, open_study

RECIPE = """
name: search-speed
data: {use: toy, events: 8000, signal_share: 0.1}
background: [background]
split: {train: 0.4, valid: 0.3, calibrate: 0.1, test: 0.2}
transforms: [{use: missing}, {use: standardize}]
model: {use: vae, hidden: [16], latent: 2, decoder: fixed}
train: {epochs: 12, batch: 128, device: cpu}
scores: [{use: elbo}]
evaluate: {metrics: [auc]}
search:
  maximize: valid/auc
  variables: {layers: {int: [1, 3]}}
  space:
    model.latent: {int: [1, 8]}
    model.hidden: {list: {int: [4, 64], log: true}, length: layers, order: falling}
    model.activation: {choice: [relu, tanh, elu, sigmoid]}
    model.beta: {float: [1e-3, 1e+1], log: true}
    model.dropout: {float: [0.0, 0.5]}
    train.optimizer.lr: {float: [1e-5, 1e-1], log: true}
    train.batch: {choice: [64, 128, 256, 512]}
"""


@dataclass(frozen=True)
class Search:
    """The best value after each trial, the CPU seconds until then, and how many trials were pruned."""

    best: Sequence[float]
    seconds: Sequence[float]
    pruned: int

    def reaches(self, mark: float) -> int | None:
        """Return the number of trials until the mark is reached; None where it is not."""
        return next((place for place, value in enumerate(self.best, 1) if value >= mark), None)


def searched(seed: int, sampler: str, pruner: str, trials: int, mark: float, events: Events, folder: Path) -> Search:
    """Search until the mark is reached, or so many trials were made."""
    changes = [f"seed={seed}", f"search.sampler={sampler}", f"search.pruner={pruner}"]
    best, seconds, spent, pruned = list[float](), list[float](), 0.0, 0
    while len(best) < trials and (not best or best[-1] < mark):
        text = document.parse(RECIPE, "search_speed.yaml", [*changes, f"search.trials={len(best) + 1}"])
        parts = plugins.build(text)
        options = parts.recipe.search
        assert options is not None
        study = open_study(str(folder / f"{sampler}-{seed}.journal"), "speed", options, seed, parts.recipe.train.epochs)
        trier = Trier(parts, options, lambda category, replica, record: None, events)

        def run(attempt: Attempt, trier: Trier = trier) -> Sequence[float]:
            nonlocal spent, pruned
            began = time.process_time()
            try:
                return trier.run(attempt)
            except Pruned:
                pruned += 1
                raise
            finally:
                spent += time.process_time() - began

        study.work(run)
        best.append(max((trial.values[0] for trial in study.trials() if trial.state == "complete"), default=0.0))
        seconds.append(spent)
    return Search(best, seconds, pruned)


def main(seeds: int, trials: int) -> None:
    """Print the table."""
    events, ratios = Events(), list[float]()
    print("| seed | best of random | CPU s | TPE with pruning reaches it after | pruned | CPU s | ratio |")
    print("|---|---|---|---|---|---|---|")
    with TemporaryDirectory() as folder:
        searched(0, "random", "none", 1, 2.0, events, Path(folder))  # reads, prepares, warms up
        for seed in range(1, seeds + 1):
            plain = searched(seed, "random", "none", trials, 2.0, events, Path(folder))
            tpe = searched(seed, "tpe", "median", 2 * trials, plain.best[-1], events, Path(folder))
            found = tpe.reaches(plain.best[-1])
            ratio = tpe.seconds[-1] / plain.seconds[-1]
            ratios.append(ratio if found else float("inf"))
            after = f"{found} trials" if found else f"not in {2 * trials}"
            cells = (
                f"{plain.best[-1]:.4f}",
                f"{plain.seconds[-1]:.0f}",
                after,
                str(tpe.pruned),
                f"{tpe.seconds[-1]:.0f}",
            )
            print(f"| {seed} | {' | '.join(cells)} | {'' if found else '> '}{ratio:.2f} |", flush=True)
    print(f"\nmedian ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main(*(int(each) for each in (*sys.argv[1:], *("5", "40")[len(sys.argv) - 1 :])))
