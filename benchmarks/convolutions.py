"""The convolutional autoencoder beside a channels-last loop written by hand, interleaved: images per second.

The network of table 4.3 of R. Solli's thesis (Oslo 2019): kernels of 11, 5 and 3 pixels, strides 2, 16, 16 and 8
filters, a code of 3; 256 images of 128 x 128 pixels, batch 64, Adam at 1e-3, mean squared error, float32, one thread. A
round times one epoch of each contestant, in seconds of CPU time; the table gives the median over rounds and the ratio
to the loop. ``mmd`` adds the latent penalty, ``torch`` is hepanom's network with torch's own transposed convolution in
its last layer, as the loop has it.

    python benchmarks/convolutions.py [rounds]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import nn

from hepanom import train
from hepanom.contracts import Batch
from hepanom.events import Input, Schema
from hepanom.recipe import Adam, Train
from hepanom.source import Table
from hepanom_plugins.models import convolutions
from hepanom_plugins.models.conv_autoencoder import ConvAutoencoder

EVENTS, PIXELS, BATCH = 256, 128, 64
SCHEMA = Schema({"image": Input("image", ("charge",), ("",), (PIXELS, PIXELS))})


def hepanom(images: torch.Tensor, model: ConvAutoencoder, few: int = convolutions.FEW) -> float:
    """Return seconds per epoch of the training loop."""
    table = Batch({"image": images}, torch.ones(EVENTS), torch.zeros(EVENTS, dtype=torch.int64))
    valid = Batch({"image": images[:1]}, table.weight[:1], table.label[:1])
    options = Train(epochs=1, batch=BATCH, optimizer=Adam(lr=1e-3))
    before, convolutions.FEW = convolutions.FEW, few
    training = train.start(model.build(SCHEMA), options, 0)
    convolutions.FEW = before
    began = time.process_time()
    next(train.fit(training, Table(table, 1.0), [valid]))
    return time.process_time() - began


def loop(images: torch.Tensor) -> float:
    """Return seconds per epoch of a loop written by hand, images and weights channels last."""
    network = nn.Sequential(
        nn.Conv2d(1, 16, 11, 2, 5),
        nn.ReLU(inplace=True),
        nn.Conv2d(16, 16, 5, 2, 2),
        nn.ReLU(inplace=True),
        nn.Conv2d(16, 8, 3, 2, 1),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(2048, 3),
        nn.Linear(3, 2048),
        nn.ReLU(inplace=True),
        nn.Unflatten(1, (8, 16, 16)),
        nn.ConvTranspose2d(8, 16, 3, 2, 1, 1),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(16, 16, 5, 2, 2, 1),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(16, 1, 11, 2, 5, 1),
    )
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    began = time.process_time()
    for index in torch.randperm(EVENTS).split(BATCH):
        batch = images[index].contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad()
        nn.functional.mse_loss(network(batch), batch).backward()
        optimizer.step()
    return time.process_time() - began


def main(rounds: int) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = torch.rand(EVENTS, 1, PIXELS, PIXELS) * (torch.rand(EVENTS, 1, PIXELS, PIXELS) < 0.02)
    contestants: dict[str, Callable[[], float]] = {
        "loop": lambda: loop(images),
        "hepanom": lambda: hepanom(images, ConvAutoencoder()),
        "hepanom, mmd": lambda: hepanom(images, ConvAutoencoder(regularization="mmd", beta=10.0)),
        "hepanom, torch": lambda: hepanom(images, ConvAutoencoder(), few=0),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            seconds[name].append(contestant())
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{'training, one core':24}{'images/s':>12}{'of the loop':>14}")
    for name, median in medians.items():
        print(f"{name:24}{EVENTS / median:>12,.0f}{medians['loop'] / median:>14.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
