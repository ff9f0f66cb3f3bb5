"""DRAW in training, its attention written in three ways, interleaved: images per second on one core.

Images of 64 x 64 pixels, 12 x 12 glimpses, 10 steps, LSTMs of 256 cells, batches of 64, Adam. The networks are alike
but for the attention:

- matrix products: hepanom's, F_Y x F_X^T and F_Y^T w F_X of the whole batch at once;
- broadcasting: the same sums, the filters multiplied with the pixels and added up, one axis after the other;
- sampling: torch's grid_sample in place of Gaussians: the image at the N x N places, the patch at every pixel.

A round times one update of each, in seconds of the processor, which a busy machine lengthens less than those of the
clock; the table gives the median over rounds and what matrix products are faster by.

    OMP_NUM_THREADS=1 python benchmarks/draw.py [rounds]
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
from torch import Tensor
from torch.nn import functional

from hepanom.contracts import Batch, Network
from hepanom.events import Input, Schema
from hepanom_plugins.models.attention import Attention, Grid
from hepanom_plugins.models.draw import Draw, DrawNetwork

BATCH, PIXELS = 64, 64
SHAPE = (1, PIXELS, PIXELS)
OPTIONS = Draw(steps=10, width=256, glimpse=12, latent=10)


class BroadcastGrid(Grid):
    """The same filters, with products and sums over the pixels."""

    def read(self, image: Tensor) -> Tensor:
        """Return the glimpse."""
        along = (self.rows[:, None, :, :, None] * image[:, :, None]).sum(3)
        glimpse = (along[:, :, :, None] * self.columns[:, None, None]).sum(4)
        return self.intensity[:, None, None, None] * glimpse

    def write(self, patch: Tensor) -> Tensor:
        """Return the stroke."""
        along = (patch[..., None] * self.columns[:, None, None]).sum(3)
        stroke = (self.rows[:, None, :, :, None] * along[:, :, :, None]).sum(2)
        return stroke / self.intensity[:, None, None, None]


class Broadcast(Attention):
    """Attention that broadcasts its filters."""

    def grid(self, parameters: Tensor) -> Grid:
        """Return the grid."""
        grid = super().grid(parameters)
        return BroadcastGrid(grid.rows, grid.columns, grid.intensity)


class Sample(Attention):
    """Attention that samples: the grid is an affine map of the unit square, its points are interpolated."""

    def read(self, image: Tensor, error: Tensor, hidden: Tensor) -> Tensor:
        """Return the image and the error image at the grid's places."""
        parameters = self.reads(hidden)
        map_ = affine(parameters[:, :2], torch.full_like(parameters[:, 0], float(self.delta)))
        grid = functional.affine_grid(map_, [len(hidden), 1, self.number, self.number], align_corners=True)
        glimpse = functional.grid_sample(torch.cat([image, error], 1), grid, align_corners=True)
        found: Tensor = parameters[:, 3].exp()[:, None, None, None] * glimpse
        return found.flatten(1)

    def write(self, hidden: Tensor) -> Tensor:
        """Return the patch at every pixel, by the inverse map."""
        parameters = self.writes(hidden)
        inverse = torch.full_like(parameters[:, 0], 1 / float(self.delta))
        map_ = affine(-parameters[:, :2] * inverse[:, None], inverse)
        grid = functional.affine_grid(map_, [len(hidden), *self.shape], align_corners=True)
        patch = self.patch(hidden).view(-1, self.shape[0], self.number, self.number)
        stroke = functional.grid_sample(patch, grid, align_corners=True)
        drawn: Tensor = stroke / parameters[:, 3].exp()[:, None, None, None]
        return drawn


def affine(centre: Tensor, scale: Tensor) -> Tensor:
    """Return the maps u -> scale u + centre, as matrices (event, 2, 3)."""
    zero = torch.zeros_like(scale)
    rows = [torch.stack([scale, zero, centre[:, 0]], 1), torch.stack([zero, scale, centre[:, 1]], 1)]
    return torch.stack(rows, 1)


CONTESTANTS: dict[str, type[Attention]] = {
    "matrix products": Attention,
    "broadcasting": Broadcast,
    "sampling": Sample,
}


def network_of(attention: type[Attention]) -> Network:
    """Return DRAW with this attention; all start with the same weights."""
    torch.manual_seed(1)
    network = OPTIONS.build(Schema({"image": Input("image", ("charge",), ("",), (PIXELS, PIXELS))}))
    assert isinstance(network, DrawNetwork)
    weights = network.pencil.state_dict()
    network.pencil = attention(SHAPE, OPTIONS.width, OPTIONS.glimpse, OPTIONS.delta)
    network.pencil.load_state_dict(weights)
    return network


def images() -> Batch:
    """Return images of which a tenth of the pixels is lit."""
    generator = torch.Generator().manual_seed(1)
    pixels = (torch.rand(BATCH, *SHAPE, generator=generator) < 0.1).float()
    return Batch({"image": pixels}, torch.ones(BATCH), torch.zeros(BATCH, dtype=torch.int64))


def loss(network: Network, batch: Batch) -> Tensor:
    """Return the mean loss."""
    return torch.stack([*network.loss("network", batch, 1.0).values()]).sum(0).mean()


def main(rounds: int) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    batch = images()
    networks = {name: network_of(attention) for name, attention in CONTESTANTS.items()}
    optimizers = {name: torch.optim.Adam(network.parameters(), fused=True) for name, network in networks.items()}
    torch.testing.assert_close(*(seeded(networks[name], batch) for name in ("matrix products", "broadcasting")))
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(rounds):
        for name, network in networks.items():
            began = time.process_time()
            optimizers[name].zero_grad()
            loss(network, batch).backward()  # type: ignore[no-untyped-call]
            optimizers[name].step()
            seconds[name].append(time.process_time() - began)
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    print(f"{'DRAW in training, one core':28}{'images/s':>10}{'ratio':>8}")
    for name, median in medians.items():
        print(f"{name:28}{BATCH / median:>10,.0f}{median / medians['matrix products']:>8.2f}")


def seeded(network: Network, batch: Batch) -> Tensor:
    """Return the loss with the noise of one seed."""
    torch.manual_seed(2)
    return loss(network, batch)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
