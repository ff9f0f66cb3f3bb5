"""The distance to the nearest training events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float, Float64
from pydantic import Field
from torch import Tensor

from hepanom.contracts import Batch, Model, Network, Outputs, Player
from hepanom.errors import InputError
from hepanom.events import Schema
from hepanom_plugins.models.baseline import rows, sample

MIDDLE = 256  # references whose median says where they lie
HELD = 2**22  # numbers that are held at a time, distances or the features of neighbours


@dataclass(frozen=True)
class Neighbours:
    """Options of a distance to the nearest of a sample of training events.

    With d_1 <= ... <= d_k the Euclidean distances of x to the k nearest of the references,

        distance: largest   d_k,
        distance: mean      1/k sum_i d_i.

    The references are drawn from the training events in proportion to their weights, each at most once: as many as
    the effective number of events, (sum w)^2 / sum w^2, and at most ``references``. A reference that is scored finds
    itself at the distance 0.
    """

    k: Annotated[int, Field(gt=0, description="number of neighbours")] = 5
    distance: Annotated[Literal["largest", "mean"], Field(description="distance to the k-th or mean over all k")] = (
        "largest"
    )
    references: Annotated[int, Field(gt=0, description="training events to compare with, at most")] = 10_000

    def draw(
        self, batches: Iterable[tuple[Tensor, Tensor]], generator: torch.Generator | None = None
    ) -> Float[Tensor, "reference feature"]:
        """Return the references. Raises InputError where they are fewer than the neighbours asked for."""
        references, _ = sample(batches, self.references, by_weight=True, generator=generator)
        if len(references) < self.k:
            raise InputError(
                f"knn: k is {self.k}, but there are only {len(references)} references (option references: "
                f"{self.references}, or the effective number of training events); choose a smaller k"
            )
        # distances are taken from the first, which should lie among the others: far away it would round theirs away
        first = (references - references[:MIDDLE].median(0).values).abs().amax(1).argmin()
        return torch.cat([references[first : first + 1], references[:first], references[first + 1 :]])

    def measure(
        self, x: Float[Tensor, "event feature"], references: Float[Tensor, "reference feature"]
    ) -> Float[Tensor, " event"]:
        """Return the distance of each event."""
        origin, size = references[0].double(), max(1, HELD // max(len(references), self.k * x.shape[1]))
        known, asked = references.double() - origin, x.double() - origin
        lengths = known.square().sum(1)
        nearest = torch.cat(
            [self._nearest(asked[start : start + size], known, lengths) for start in range(0, len(x), size)]
        )
        return (nearest.amax(1) if self.distance == "largest" else nearest.mean(1)).float()

    def _nearest(
        self,
        x: Float64[Tensor, "event feature"],
        references: Float64[Tensor, "reference feature"],
        lengths: Float64[Tensor, " reference"],
    ) -> Float64[Tensor, "event neighbour"]:
        # |x - r|^2 = |x|^2 + |r|^2 - 2 x r finds the neighbours four times faster, but rounds small distances
        nearest = torch.addmm(lengths, x, references.T, alpha=-2).topk(self.k, largest=False, sorted=False).indices
        exact: Tensor = torch.linalg.vector_norm(x[:, None] - references[nearest], dim=2)
        return exact


@dataclass(frozen=True)
class KNN(Neighbours, Model):
    """Distance of a table of features or an image to its nearest neighbours among the training events.

    With d_1 <= ... <= d_k the Euclidean distances of x to the k nearest of the references,

        outlyingness(x) = d_k,   or 1/k sum_i d_i with ``distance: mean``.

    The features count by their spread: transform them (``standardize``, ``quantile``) first. The references are drawn
    from the training events in proportion to their weights, each at most once: as many as the effective number of
    events, (sum w)^2 / sum w^2, and at most ``references``. A reference that is scored finds itself at the distance 0.

    References:
        S. Ramaswamy, R. Rastogi, K. Shim, Efficient algorithms for mining outliers from large data sets, SIGMOD 2000,
        doi:10.1145/342009.335437 (the largest).
        F. Angiulli, C. Pizzuti, Fast outlier detection in high dimensional spaces, PKDD 2002,
        doi:10.1007/3-540-45681-3_2 (the mean).
    """

    gives: ClassVar[frozenset[str]] = frozenset({"outlyingness"})

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only table or image."""
        name, entry = schema.only()
        return KNNNetwork(self, name, entry.width)


class KNNNetwork(Network):
    """The references, which ``prepare`` draws in one call."""

    references: Tensor

    def __init__(self, options: KNN, name: str, features: int) -> None:
        super().__init__()
        self.options, self.input = options, name
        self.register_buffer("references", torch.zeros(0, features))

    def players(self) -> dict[str, Player]:
        """Return nobody: there is nothing to train."""
        return {}

    def prepare(self, batches: Iterable[Batch], epoch: int) -> bool:
        """Draw the references; finished at once."""
        self.references = self.options.draw(rows(batches, self.input))
        return True

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return the distance of each event."""
        return {"outlyingness": self.options.measure(batch.inputs[self.input].flatten(1), self.references)}

    def validate(self, batch: Batch) -> Float[Tensor, " event"]:
        """Return the distance: how far held-out events lie. It is no likelihood: values of other k do not compare."""
        return self.forward(batch)["outlyingness"]
