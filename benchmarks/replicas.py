"""Ten trainings at once beside the same ten one after the other, interleaved: seconds per epoch of all ten.

Autoencoder and VAE as a recipe has them by default, 30 standard normal features, 20,000 events, batch 512, Adam at
1e-3, one thread. A round times two epochs of each; the table gives the medians over rounds and the ratio. On a machine
with a GPU the table is given for it too, with the time of ten over that of one.

    python benchmarks/replicas.py [rounds]
"""

from __future__ import annotations

import statistics
import sys
import time

import torch

from hepanom import stack, train
from hepanom.contracts import Batch, Model
from hepanom.events import Input, Schema
from hepanom.recipe import Train
from hepanom.source import Table
from hepanom_plugins.models.autoencoder import Autoencoder
from hepanom_plugins.models.vae import VAE

EVENTS, FEATURES, EPOCHS, REPLICAS = 20_000, 30, 2, 10
SCHEMA = Schema({"features": Input("table", tuple(f"x{number}" for number in range(FEATURES)), ("",) * FEATURES)})
MODELS: dict[str, Model] = {"autoencoder": Autoencoder(), "vae": VAE()}


def events(number: int, device: str) -> Batch:
    """Return random events."""
    batch = Batch(
        {"features": torch.randn(number, FEATURES)}, torch.ones(number), torch.zeros(number, dtype=torch.int64)
    )
    return batch.map(lambda values: values.to(device))


def seconds(model: Model, replicas: int, device: str, *, together: bool) -> float:
    """Return the time of an epoch of all replicas."""
    table, valid = Table(events(EVENTS, device), 1.0), [events(16, device)]
    options = Train(epochs=EPOCHS, batch=512)
    trainings = [train.start(model.build(SCHEMA).to(device), options, seed) for seed in range(replicas)]
    began = time.perf_counter()
    for run in [stack.fit(trainings, table, valid)] if together else [train.fit(t, table, valid) for t in trainings]:
        list(run)
    return (time.perf_counter() - began) / EPOCHS


def main(rounds: int) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print(f"{'ten trainings, seconds per epoch':<34}{'one by one':>12}{'at once':>10}{'ratio':>8}{'ten over one':>14}")
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        for name, model in MODELS.items():
            found = [
                (
                    seconds(model, REPLICAS, device, together=False),
                    seconds(model, REPLICAS, device, together=True),
                    seconds(model, 1, device, together=False),
                )
                for _ in range(rounds)
            ]
            singles, stacked, one = map(statistics.median, zip(*found, strict=True))
            ratios = f"{stacked / singles:>8.2f}{stacked / one:>14.2f}"
            print(f"{f'{name}, {device}':<34}{singles:>12.3f}{stacked:>10.3f}{ratios}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
