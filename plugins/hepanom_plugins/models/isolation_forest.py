"""The isolation forest: random trees in which strange events stand alone early."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from hepanom.contracts import Batch, Model, Network, Outputs, Player
from hepanom.errors import InputError
from hepanom.events import Schema
from hepanom_plugins.models.baseline import SAME, drawn, effective, rows, sample

EULER = 0.5772156649015329


@dataclass(frozen=True)
class IsolationForest(Model):
    """Isolation forest on a table of features or an image.

    Each tree draws ``samples`` events, in proportion to their weights and each at most once, and cuts them at random:
    a node draws a feature among those that vary in it, and a threshold uniformly between that feature's extremes. It
    ends where nothing varies, or at depth log2(samples), rounded up. With h(x) the depth of the leaf of x plus c(n)
    for the n events that are left there,

        outlyingness(x) = 2^(-mean h(x) / c(samples)),   c(n) = 2 (ln(n - 1) + 0.57722) - 2 (n - 1) / n,

    c(2) = 1 and c(n) = 0 for n < 2: minus scikit-learn's ``score_samples``. A tree draws no more than the effective
    number of events. Where there are more than ``events``, a random part of so many serves all trees.

    References:
        F. Liu, K. Ting, Z.-H. Zhou, Isolation forest, ICDM 2008, doi:10.1109/ICDM.2008.17.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"outlyingness"})

    trees: Annotated[int, Field(gt=0, description="number of trees")] = 100
    samples: Annotated[int, Field(ge=2, le=2**14, description="events that each tree draws")] = 256
    events: Annotated[int, Field(ge=2, description="events to draw from, held in memory")] = 100_000

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only table or image."""
        return IsolationForestNetwork(self, schema.only()[0])


class IsolationForestNetwork(Network):
    """Trees as arrays, grown by ``prepare`` in one call.

    A tree is complete: node i has the children 2 i + 1 (x <= threshold) and 2 i + 2. A leaf above the last level goes
    on as a node with the threshold infinity, so that every event walks the same number of steps; ``path`` holds h for
    the last level, and ``expected`` is c(samples).
    """

    feature: Tensor
    threshold: Tensor
    path: Tensor
    expected: Tensor

    def __init__(self, options: IsolationForest, name: str) -> None:
        super().__init__()
        self.options, self.input = options, name
        self.register_buffer("feature", torch.zeros(options.trees, 0, dtype=torch.int64))
        self.register_buffer("threshold", torch.zeros(options.trees, 0))
        self.register_buffer("path", torch.zeros(options.trees, 1))
        self.register_buffer("expected", torch.ones(()))

    def players(self) -> dict[str, Player]:
        """Return nobody: there is nothing to train by gradients."""
        return {}

    def prepare(self, batches: Iterable[Batch], epoch: int) -> bool:
        """Grow all trees; finished at once. Raises InputError where no feature varies."""
        x, weight = sample(rows(batches, self.input), self.options.events)
        if torch.equal(x[weight > 0].amin(0), x[weight > 0].amax(0)):
            raise InputError(f"isolation_forest: {SAME}")
        number = min(self.options.samples, max(2, effective(weight)), int((weight > 0).sum()))
        depth = math.ceil(math.log2(max(2, number)))
        trees = [grow(x[drawn(weight, number)], depth) for _ in range(self.options.trees)]
        self.feature, self.threshold, self.path = (torch.stack(column) for column in zip(*trees, strict=True))
        expected = average_path(torch.tensor([number], device=x.device))[0]
        self.expected = torch.where(expected > 0, expected, torch.ones_like(expected))
        return True

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return the score of each event."""
        columns = batch.inputs[self.input].flatten(1).T.contiguous()
        node = torch.zeros(len(self.path), columns.shape[1], dtype=torch.int64, device=columns.device)
        nodes = level = self.feature.shape[1]
        while level:
            right = columns.gather(0, self.feature.gather(1, node)) > self.threshold.gather(1, node)
            node = 2 * node + 1 + right
            level //= 2
        path = self.path.gather(1, node - nodes)
        return {"outlyingness": torch.exp2(-path.double().mean(0) / self.expected).float()}

    def validate(self, batch: Batch) -> Float[Tensor, " event"]:
        """Return the score: how strange held-out events look. It is no likelihood, and there are no epochs to judge."""
        return self.forward(batch)["outlyingness"]


def grow(
    x: Float[Tensor, "event feature"], depth: int
) -> tuple[Int[Tensor, " node"], Float[Tensor, " node"], Float[Tensor, " leaf"]]:
    """Return features and thresholds of a tree's nodes, level by level, and the path length of its last level."""
    features, thresholds = [], []
    place = torch.zeros(len(x), dtype=torch.int64, device=x.device)  # of each event's node in its level
    steps = torch.zeros(len(x), device=x.device)
    for level in range(depth):
        lowest = _extremes(x, place, 2**level, "amin")
        highest = _extremes(x, place, 2**level, "amax")
        varies = highest > lowest
        feature = torch.where(varies, _uniform(varies.shape, x), -1.0).argmax(1)
        low, high = (edge.gather(1, feature[:, None])[:, 0] for edge in (lowest, highest))
        share = _uniform(low.shape, x)
        cut = torch.maximum(low * (1 - share) + high * share, low)
        cut = torch.where(cut < high, cut, low)  # an event stands on each side
        splits = varies.any(1)
        features.append(feature)
        thresholds.append(torch.where(splits, cut, torch.inf))
        steps += splits[place]
        right = x.gather(1, feature[place][:, None])[:, 0] > thresholds[-1][place]
        place = 2 * place + right
    count = torch.bincount(place, minlength=2**depth)
    path = torch.zeros(2**depth, device=x.device)
    path[place] = steps + average_path(count[place])  # events of one leaf write the same number
    return torch.cat(features), torch.cat(thresholds), path


def average_path(count: Int[Tensor, " leaf"]) -> Float[Tensor, " leaf"]:
    """Return c(n), the mean depth of an event in a fully grown tree of n events."""
    n = count.double().clamp(min=2)
    mean = 2 * ((n - 1).log() + EULER) - 2 * (n - 1) / n
    return torch.where(count > 2, mean, (count == 2).double()).float()


def _extremes(
    x: Float[Tensor, "event feature"], place: Int[Tensor, " event"], nodes: int, reduce: str
) -> Float[Tensor, "node feature"]:
    """Return the smallest or largest value of every feature in each node; a node without events varies in nothing."""
    start = x.new_full((nodes, x.shape[1]), torch.inf if reduce == "amin" else -torch.inf)
    return start.scatter_reduce(0, place[:, None].expand_as(x), x, reduce)


def _uniform(shape: tuple[int, ...], like: Tensor) -> Tensor:
    return torch.rand(shape).to(like.device)
