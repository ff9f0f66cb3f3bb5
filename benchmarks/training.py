"""Training throughput beside PyOD's AutoEncoder and VAE and a plain DataLoader loop, interleaved, one thread.

Same network (30-100-50-25-2-25-50-100-30, ReLU), 160,000 standard normal events, batch 512, Adam at 1e-3, float32, no
dropout and no batch normalization. A round times one epoch of each contestant; the table gives the median over rounds
and the ratio to hepanom's. PyOD scores its training events after the last epoch, so its epoch is the difference
between two fits. ``matrix products`` are the forward and backward products of the network alone: the limit.

    python benchmarks/training.py [rounds]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from pyod.models.auto_encoder import AutoEncoder
from pyod.models.vae import VAE as PyODVAE
from torch import nn

from hepanom import train
from hepanom.contracts import Batch, Model
from hepanom.events import Input, Schema
from hepanom.recipe import Adam, Train
from hepanom.source import Table
from hepanom_plugins.models.autoencoder import Autoencoder
from hepanom_plugins.models.vae import VAE

EVENTS, FEATURES, BATCH = 160_000, 30, 512
WIDTHS = (30, 100, 50, 25, 2, 25, 50, 100, 30)


def hepanom(model: Model, events: torch.Tensor) -> float:
    """Return seconds per epoch of the training loop."""
    schema = Schema({"features": Input("table", tuple(f"x{i}" for i in range(FEATURES)), ("",) * FEATURES)})
    table = Batch({"features": events}, torch.ones(EVENTS), torch.zeros(EVENTS, dtype=torch.int64))
    valid = Batch({"features": events[:2000]}, table.weight[:2000], table.label[:2000])
    options = Train(epochs=1, batch=BATCH, optimizer=Adam(lr=1e-3))
    record = next(train.fit(train.start(model.build(schema), options, 0), Table(table, 1.0), [valid]))
    return EVENTS / record.events_per_second


def dataloader(events: torch.Tensor) -> float:
    """Return seconds per epoch of the loop that most people write."""
    layers: list[nn.Module] = []
    for before, after in pairwise(WIDTHS):
        layers += [nn.Linear(before, after), nn.ReLU()]
    network = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(events), batch_size=BATCH, shuffle=True)
    began, total = time.perf_counter(), 0.0
    for (batch,) in loader:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(network(batch), batch)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return time.perf_counter() - began


def pyod(build: Callable[[int], AutoEncoder | PyODVAE], events: np.ndarray) -> float:
    """Return seconds per epoch of a PyOD detector: three epochs less one, halved."""
    seconds = []
    for epochs in (1, 3):
        detector = build(epochs)
        began = time.perf_counter()
        detector.fit(events)
        seconds.append(time.perf_counter() - began)
    return (seconds[1] - seconds[0]) / 2


def products() -> float:
    """Return seconds per epoch of the matrix products alone: forward, and both backward ones."""
    weights = [torch.randn(after, before) for before, after in pairwise(WIDTHS)]
    inputs = [torch.randn(BATCH, width) for width in WIDTHS]
    began = time.perf_counter()
    for _ in range(EVENTS // BATCH):
        for weight, x, y in zip(weights, inputs[:-1], inputs[1:], strict=True):
            torch.mm(x, weight.T)
            torch.mm(y.T, x)
            torch.mm(y, weight)
    return time.perf_counter() - began


def main(rounds: int) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    events = torch.randn(EVENTS, FEATURES)
    array = events.numpy()
    same = {"verbose": 0, "batch_size": BATCH, "batch_norm": False, "dropout_rate": 0.0, "preprocessing": False}
    contestants: dict[str, Callable[[], float]] = {
        "hepanom autoencoder": lambda: hepanom(Autoencoder(hidden=(100, 50, 25), latent=2), events),
        "PyOD AutoEncoder": lambda: pyod(
            lambda epochs: AutoEncoder(
                epoch_num=epochs, hidden_neuron_list=[100, 50, 25, 2], optimizer_params={"weight_decay": 0.0}, **same
            ),
            array,
        ),
        "DataLoader loop": lambda: dataloader(events),
        "matrix products": products,
        "hepanom vae": lambda: hepanom(VAE(hidden=(100, 50, 25), latent=2, decoder="fixed"), events),
        "PyOD VAE": lambda: pyod(
            lambda epochs: PyODVAE(
                epoch_num=epochs,
                encoder_neuron_list=[100, 50, 25],
                decoder_neuron_list=[25, 50, 100],
                latent_dim=2,
                optimizer_params={"weight_decay": 0.0},
                **same,
            ),
            array,
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            seconds[name].append(contestant())
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{'training, one thread':24}{'events/s':>12}{'hepanom is faster by':>24}")
    for name, median in medians.items():
        ours = medians["hepanom vae" if "vae" in name.lower() else "hepanom autoencoder"]
        print(f"{name:24}{EVENTS / median:>12,.0f}{median / ours:>24.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
