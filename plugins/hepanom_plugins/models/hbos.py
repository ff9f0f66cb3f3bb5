"""Histogram-based outlier score: the features' one-dimensional densities, multiplied."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float, Float64
from pydantic import Field
from torch import Tensor

from hepanom.contracts import Batch, Model, Network, Outputs, Player
from hepanom.events import Schema
from hepanom_plugins.models.baseline import rows, sample

NARROWEST = 1e-3  # of the mean bin: how wide a bin counts in which all events have one value


@dataclass(frozen=True)
class HBOS(Model):
    """Histogram-based outlier score of a table of features or an image, as if the features were independent.

        outlyingness(x) = -sum_i ln p_i(x_i),   p_i(x) = (W_b / (W h_b) + a / s) / (1 + a S / s)   for x in bin b

    with W_b / W the weighted share of the training events in one of B ``bins``, h_b its width, S the range from the
    smallest to the largest training value, s the weighted standard deviation and a the ``floor``, so that an empty bin
    has a density too. The higher the floor, the less one feature in a tail outweighs all others; in units of s it moves
    less than in units of S with the single strangest training event. At the distance d beyond the range p_i(x) is that
    of an empty bin over 1 + B d / S: half of it one mean bin further, and falling. Bins are of equal width (``binning:
    width``) or hold equal weights (``binning: weight``, the paper's dynamic bins), which suits the long tails of
    energies; a bin that one value fills counts as 1/1000 of the mean bin wide, range and deviation of a constant
    feature as 1. Where there are more than ``events``, a random part of so many is used.

    References:
        M. Goldstein, A. Dengel, Histogram-based outlier score (HBOS), KI 2012, poster and demo track, 59.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"outlyingness"})

    bins: Annotated[int, Field(ge=2, description="number of bins per feature")] = 20
    binning: Annotated[Literal["width", "weight"], Field(description="what is equal in all bins")] = "weight"
    floor: Annotated[float, Field(gt=0, description="density added everywhere, per standard deviation")] = 0.1
    events: Annotated[int, Field(ge=2, description="events to fill the histograms with, held in memory")] = 100_000

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only table or image."""
        name, entry = schema.only()
        return HBOSNetwork(self, name, entry.width)


class HBOSNetwork(Network):
    """Edges and log densities of every feature's histogram, which ``prepare`` fills in one call."""

    edges: Tensor
    log_density: Tensor
    log_empty: Tensor

    def __init__(self, options: HBOS, name: str, features: int) -> None:
        super().__init__()
        self.options, self.input = options, name
        self.register_buffer("edges", torch.zeros(features, options.bins + 1))
        self.register_buffer("log_density", torch.zeros(features, options.bins, dtype=torch.float64))
        self.register_buffer("log_empty", torch.zeros(features, 1, dtype=torch.float64))

    def players(self) -> dict[str, Player]:
        """Return nobody: there is nothing to train."""
        return {}

    def prepare(self, batches: Iterable[Batch], epoch: int) -> bool:
        """Fill the histograms; finished at once."""
        x, weight = sample(rows(batches, self.input), self.options.events)
        counted = weight > 0
        columns, weight = x[counted].T.contiguous(), weight[counted].double()
        share = weight / weight.sum()
        self.edges = edges(columns, share, self.options.bins, self.options.binning)
        span = self._range()
        floor = self.options.floor / deviation(columns, share)
        widths = torch.maximum(self.edges.diff(dim=1).double(), NARROWEST * span / self.options.bins)
        filled = torch.zeros_like(widths).scatter_add_(1, self._bin(columns), share.expand(columns.shape))
        self.log_density = ((filled / widths + floor) / (1 + floor * span)).log()
        self.log_empty = (floor / (1 + floor * span)).log()
        return True

    def _range(self) -> Float64[Tensor, "feature 1"]:
        span = (self.edges[:, -1:] - self.edges[:, :1]).double()
        return torch.where(span > 0, span, torch.ones_like(span))

    def _bin(self, columns: Float[Tensor, "feature event"]) -> Tensor:
        """Return the bin of each value; one on an edge belongs to the bin above, the largest to the last."""
        return torch.searchsorted(self.edges[:, 1:-1].contiguous(), columns, right=True)

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return the score of each event."""
        columns = batch.inputs[self.input].flatten(1).T.contiguous()
        inside = self.log_density.gather(1, self._bin(columns))
        low, high = self.edges[:, :1], self.edges[:, -1:]
        beyond = torch.maximum(low - columns, columns - high).double()
        outside = self.log_empty - (self.options.bins * beyond.clamp(min=0) / self._range()).log1p()
        return {"outlyingness": -torch.where(beyond > 0, outside, inside).sum(0).float()}

    def validate(self, batch: Batch) -> Float[Tensor, " event"]:
        """Return the negative log density of the product of the histograms."""
        return self.forward(batch)["outlyingness"]


def deviation(
    columns: Float[Tensor, "feature event"], share: Float64[Tensor, " event"]
) -> Float64[Tensor, "feature 1"]:
    """Return the weighted standard deviation of every feature, 1 for one that is constant."""
    apart = columns.double() - (columns.double() @ share)[:, None]
    found = (apart.square() @ share).sqrt()[:, None]
    varies = (columns.amin(1, keepdim=True) < columns.amax(1, keepdim=True)) & (found > 0)
    return torch.where(varies, found, torch.ones_like(found))


def edges(
    columns: Float[Tensor, "feature event"], share: Float64[Tensor, " event"], bins: int, binning: str
) -> Float[Tensor, "feature edge"]:
    """Return the bin edges of every feature, from its smallest to its largest value.

    Between bins of equal weight stands the smallest value below which, with itself, the share b / bins of the weight
    lies, for b = 1, 2, ...: many events with one value make edges that coincide. The last of them moves up to the next
    number, so that this value has a bin of its own; a constant feature stays as it is.
    """
    low, high = columns.amin(1, keepdim=True), columns.amax(1, keepdim=True)
    if binning == "width":
        inner = low + (high - low) * torch.linspace(0, 1, bins + 1, device=columns.device)[1:-1]
        return torch.cat([low, inner, high], 1)
    ordered, order = columns.sort(1)
    below = share[order].cumsum(1)
    wanted = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=columns.device)[1:-1]
    place = torch.searchsorted(below, (wanted - 1e-12).expand(len(columns), -1).contiguous())
    inner = ordered.gather(1, place.clamp(max=columns.shape[1] - 1))
    found = torch.cat([low, inner, high], 1)
    again = (found.diff(dim=1) == 0) & (low < high)
    last = again & ~torch.cat([again[:, 1:], torch.zeros_like(again[:, :1])], 1)
    found[:, 1:] = torch.where(last, found[:, 1:].nextafter(found.new_tensor(torch.inf)), found[:, 1:])
    return found
