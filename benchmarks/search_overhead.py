"""What a trial of a search costs above its training: drawing, building, judging, storage and MLflow.

One process runs trials of about ten seconds, with the trials in an SQLite file or a journal and the runs in MLflow's
SQLite store. A trial lasts from its beginning to that of the next; what is above ``seconds``, its training and
thresholds, is overhead. The first trial, in which events are read and transformed for all of them, and the last, which
has no next one, are left out. ``pruned`` is the same with a median pruner, which is told an AUC of the valid share
after each epoch that is the best so far: that judging is part of ``seconds``.

    python benchmarks/search_overhead.py [trials] [epochs]
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}

import statistics
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

RECIPE = """
name: overhead
seed: 7
data: {{use: toy, events: 100000}}
background: [background]
transforms: [{{use: missing}}, {{use: standardize}}]
model: {{use: autoencoder, hidden: [64, 32]}}
train: {{epochs: {epochs}, batch: 512, device: cpu}}
scores: [{{use: reconstruction}}]
thresholds: [{{rule: background_efficiency, value: 0.01}}]
search:
  trials: {trials}
  storage: {storage}
  pruner: {pruner}
  maximize: valid/auc
  retrain: 0
  space:
    model.latent: {{int: [2, 8]}}
    model.dropout: {{float: [0, 0.1]}}
    train.optimizer.lr: {{float: [1.0e-4, 1.0e-2], log: true}}
"""


def main(trials: int, epochs: int) -> None:
    """Print the table."""
    import torch

    from hepanom import document
    from hepanom.search import search

    torch.set_num_threads(1)
    print(f"{'trials in':>14}{'pruner':>8}{'s/trial':>9}{'training':>10}{'overhead':>10}")
    for name in ("search.db", "search.journal"):
        for pruner in ("none", "median"):
            with tempfile.TemporaryDirectory() as made:
                text = RECIPE.format(trials=trials, epochs=epochs, storage=Path(made) / name, pruner=pruner)
                found = search(document.parse(text, "overhead.yaml"), state=Path(made))
            assert found is not None
            rows = [
                (following.began - trial.began, trial.numbers["seconds"])
                for trial, following in pairwise(found.result.trials[1:])
                if trial.state == "complete"
            ]
            whole, training = (statistics.median(column) for column in zip(*rows, strict=True))
            above = statistics.median((all_of_it - trained) / trained for all_of_it, trained in rows)
            print(f"{name:>14}{pruner:>8}{whole:>9.2f}{training:>10.2f}{above:>10.2%}", flush=True)


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    main(*given, *(8, 40)[len(given) :])
