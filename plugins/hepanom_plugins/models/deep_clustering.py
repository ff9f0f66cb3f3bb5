"""Deep embedded clustering: an autoencoder whose codes are drawn into clusters."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from hepanom.contracts import Batch, Guard, Network, Outputs, Player
from hepanom.errors import InputError
from hepanom.events import Input, Schema
from hepanom_plugins.models import activity
from hepanom_plugins.models.autoencoder import Autoencoder, AutoencoderNetwork

ROUNDS = 300  # of one k-means; it nearly always stands still long before
PIECE = 4096  # events whose distances from all centroids are held at a time
EXACT = "donot_use_mm_for_euclid_dist"  # by differences: products lose the distances of codes far from the origin
UNFINISHED = 10.0  # how much worse a network without clusters counts in validation


@dataclass(frozen=True)
class DeepClustering(Autoencoder):
    """Deep embedded clustering of a table of features or an image, whose pixels are the features.

    An autoencoder is trained for ``pretrain`` epochs. Then the centroids c_j start at the k-means of the training
    events' codes z, and are trained with it. Student's t gives each event's share q in every cluster, and the target p
    makes the large shares larger, those of large clusters less so:

        q_j = (1 + |z - c_j|^2)^-1 / sum_k (1 + |z - c_k|^2)^-1,
        p_j = (q_j^2 / f_j) / sum_k (q_k^2 / f_k),   f_j = sum_events w q_j / sum_events w,
        loss(x) = 1/n sum_i (x_i - x'_i)^2 + gamma sum_j p_j ln(p_j / q_j)   over the n features.

    Every ``update`` epochs f and the network that p is computed with become those of the moment; in between they stand
    still. An event's cluster is the one with the largest q. The training ends when, between two updates, less than
    ``delta`` of the training events, by weight, changed theirs; 0 trains all epochs. In validation an epoch of the
    pretraining counts ten times as bad, the missing term as ln(clusters), so that look-back stopping returns to none.
    ``gamma`` is in Guo's scale (0.1); Xie trains without the decoder, which the limit of large gamma comes near to.

    References:
        J. Xie, R. Girshick, A. Farhadi, Unsupervised deep embedding for clustering analysis, 2015, arXiv:1511.06335.
        X. Guo, X. Liu, E. Zhu, J. Yin, Deep clustering with convolutional autoencoders, ICONIP 2017,
        doi:10.1007/978-3-319-70096-0_39.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"reconstruction", "latent_mean", "assignment", "cluster_distance"})
    loss_options: ClassVar[frozenset[str]] = Autoencoder.loss_options | {"clusters", "gamma"}

    clusters: Annotated[int, Field(ge=2, description="number of clusters")] = 3
    pretrain: Annotated[int, Field(ge=0, description="epochs of the autoencoder alone, before there are clusters")] = 20
    gamma: Annotated[float, Field(gt=0, description="factor of the clustering term")] = 0.1
    update: Annotated[int, Field(ge=1, description="epochs from one target to the next")] = 1
    delta: Annotated[
        float, Field(ge=0, lt=1, description="share of events that change their cluster below which training ends")
    ] = 0.001
    starts: Annotated[int, Field(ge=1, description="k-means starts, the best of which is taken")] = 20

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only table or image."""
        name, entry = schema.only()
        return DeepClusteringNetwork(self, name, entry)

    def refuse_epochs(self, epochs: int) -> None:
        """Raise InputError for a training that would end before there are clusters."""
        if self.pretrain >= epochs:
            raise InputError(
                f"pretrain is {self.pretrain}, so that in the {epochs} epochs of train.epochs no clusters would be "
                "found; give train.epochs more, or model.pretrain less"
            )


class DeepClusteringNetwork(Network):
    """Autoencoder and centroids, and as ``past`` what the encoder and the centroids were when the target was made.

    ``frequency`` is f; it is empty until there are clusters.
    """

    frequency: Tensor
    past_centroids: Tensor

    def __init__(self, options: DeepClustering, name: str, entry: Input) -> None:
        super().__init__()
        self.options, self.input = options, name
        self.autoencoder = AutoencoderNetwork(options, name, entry)
        self.centroids = nn.Parameter(torch.randn(options.clusters, options.latent))
        self.past_encoder = copy.deepcopy(self.autoencoder.encoder).requires_grad_(False)
        self.register_buffer("past_centroids", self.centroids.detach().clone())
        self.register_buffer("frequency", torch.zeros(0))

    def players(self) -> dict[str, Player]:
        """Return the autoencoder and the centroids as one player."""
        return {"network": Player([*self.autoencoder.parameters(), self.centroids])}

    def train(self, mode: bool = True) -> DeepClusteringNetwork:
        """Switch between training and evaluation; the past encoder is always evaluated."""
        super().train(mode)
        self.past_encoder.eval()
        return self

    @torch.no_grad()
    def prepare(self, batches: Iterable[Batch], epoch: int) -> bool:
        """Start the clusters, or renew the target; return True when hardly an event changed its cluster since."""
        since = epoch - self.options.pretrain
        if since < 0 or (since % self.options.update and len(self.frequency)):
            return False
        mode, started = self.training, len(self.frequency) > 0
        self.eval()
        rows = [
            (self.autoencoder.encoder(x), nearest(self.past_encoder(x), self.past_centroids), batch.weight)
            for batch in batches
            for x in [batch.inputs[self.input].flatten(1)]
        ]
        codes, past, weight = (torch.cat(column) for column in zip(*rows, strict=True))
        if not started:
            self.centroids.copy_(kmeans(codes, weight, self.options.clusters, self.options.starts))
        changed = weight @ (nearest(codes, self.centroids) != past).to(weight) / weight.sum()
        self.frequency = frequency(codes, weight, self.centroids)
        self.past_encoder.load_state_dict(self.autoencoder.encoder.state_dict())
        self.past_centroids.copy_(self.centroids)
        self.train(mode)
        return started and bool(changed < self.options.delta)

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return code, reconstruction, the share in every cluster and the distance from every centroid."""
        if not len(self.frequency):
            raise InputError(
                f"deep_clustering: the training ended within the {self.options.pretrain} epochs of pretraining, before "
                "there were clusters; give train.epochs or train.patience more, or model.pretrain less"
            )
        outputs = self.autoencoder(batch)
        codes = outputs["latent_mean"]
        distance = squared_distance(codes, self.centroids).sqrt()
        return {**outputs, "assignment": log_assignment(codes, self.centroids).exp(), "cluster_distance": distance}

    def decode(self, codes: Float[Tensor, "code latent"], given: Batch | None = None) -> Float[Tensor, "code ..."]:
        """Return the reconstruction of codes."""
        return self.autoencoder.decode(codes)

    def validate(self, batch: Batch) -> Float[Tensor, " event"]:
        """Return the loss of each event without penalties, ten times as large while there are no clusters."""
        error, divergence = self._terms(batch)
        if divergence is None:
            return UNFINISHED * (error + self.options.gamma * math.log(self.options.clusters))
        return error + divergence

    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Float[Tensor, " event"]]:
        """Return squared error, gamma times the divergence from the target (0 in pretraining), and penalties."""
        error, divergence = self._terms(batch)
        clustering = torch.zeros_like(error) if divergence is None else divergence
        return {
            "reconstruction": error,
            "clustering": clustering,
            **self.options.penalty(self.autoencoder, error),
        }

    def diagnose(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Return how many dimensions of the code vary, and how many clusters have events.

        The latter is NaN before there are clusters, and for fewer events than clusters.
        """
        seen = [(self.autoencoder.encoder(each.inputs[self.input].flatten(1)), each.weight) for each in batches]
        clusters = torch.cat([nearest(codes, self.centroids) for codes, _ in seen])
        known = len(self.frequency) > 0 and len(clusters) >= self.options.clusters
        occupied = float(clusters.bincount().count_nonzero()) if known else math.nan
        return {**activity.activity(seen, prior=False), "occupied_clusters": occupied}

    def guards(self) -> Sequence[Guard]:
        """Return the limits of the diagnostics."""
        return (
            *activity.GUARDS,
            Guard("occupied_clusters", "the clusters have collapsed, all events are in one", below=2.0),
        )

    def _terms(self, batch: Batch) -> tuple[Float[Tensor, " event"], Float[Tensor, " event"] | None]:
        outputs, x = self.autoencoder(batch), batch.inputs[self.input]
        error = (outputs["reconstruction"] - x).flatten(1).square().mean(1)
        if not len(self.frequency):
            return error, None
        with torch.no_grad():
            past = log_assignment(self.past_encoder(x.flatten(1)), self.past_centroids)
        found = log_assignment(outputs["latent_mean"], self.centroids)
        target = log_target(past, self.frequency)
        return error, self.options.gamma * (target.exp() * (target - found)).sum(1)


def squared_distance(
    codes: Float[Tensor, "event latent"], centroids: Float[Tensor, "cluster latent"]
) -> Float[Tensor, "event cluster"]:
    """Return |z - c_j|^2."""
    return (codes.float()[:, None] - centroids).square().sum(2)


def nearest(codes: Float[Tensor, "event latent"], centroids: Float[Tensor, "cluster latent"]) -> Int[Tensor, " event"]:
    """Return the index of the centroid that is nearest to each code, which is the one with the largest q."""
    return torch.cdist(codes, centroids, compute_mode=EXACT).min(1).indices


def log_assignment(
    codes: Float[Tensor, "event latent"], centroids: Float[Tensor, "cluster latent"]
) -> Float[Tensor, "event cluster"]:
    """Return ln q_j with q_j = (1 + |z - c_j|^2)^-1 / sum_k (1 + |z - c_k|^2)^-1 (Xie et al., eq. 1)."""
    return (-squared_distance(codes, centroids).log1p()).log_softmax(1)


def frequency(
    codes: Float[Tensor, "event latent"], weight: Float[Tensor, " event"], centroids: Float[Tensor, "cluster latent"]
) -> Float[Tensor, " cluster"]:
    """Return f_j = sum_i w_i q_ij / sum_i w_i, some thousand events at a time."""
    pieces = -(-len(codes) // PIECE)
    sums = [
        w @ log_assignment(z, centroids).exp() for z, w in zip(codes.chunk(pieces), weight.chunk(pieces), strict=True)
    ]
    return torch.stack(sums).sum(0) / weight.sum()


def log_target(
    assignment: Float[Tensor, "event cluster"], frequency: Float[Tensor, " cluster"]
) -> Float[Tensor, "event cluster"]:
    """Return ln p_j with p_j = (q_j^2 / f_j) / sum_k (q_k^2 / f_k) from ln q and f (Xie et al., eq. 3)."""
    rare = torch.finfo(frequency.dtype).tiny  # of a cluster so far away that it has no share of any event
    return (2 * assignment - frequency.clamp(min=rare).log()).log_softmax(1)


def kmeans(
    codes: Float[Tensor, "event latent"], weight: Float[Tensor, " event"], clusters: int, starts: int
) -> Float[Tensor, "cluster latent"]:
    """Return the centroids that minimise the inertia sum_i w_i min_j |z_i - c_j|^2, the best of several starts.

    Each start draws its centroids by k-means++, where an event is taken with a probability proportional to w times its
    squared distance from the centroids so far, from torch's global generator, and moves them by Lloyd's algorithm to
    the weighted means of their events until they stand still. A centroid without events stays where it is.

    References:
        D. Arthur, S. Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007.
        S. Lloyd, Least squares quantization in PCM, IEEE Trans. Inf. Theory 28 (1982) 129.
    """
    points, share = codes.double(), weight.double() / weight.sum()
    found = [_lloyd(points, share, _spread(points, share, clusters)) for _ in range(starts)]
    return min(found, key=lambda start: start[0])[1].to(codes)


def _spread(
    points: Float[Tensor, "event latent"], share: Float[Tensor, " event"], clusters: int
) -> Float[Tensor, "cluster latent"]:
    chosen = [_drawn(share)]
    closest = torch.full_like(share, torch.inf)
    while len(chosen) < clusters:
        closest = torch.minimum(closest, (points - points[chosen[-1]]).square().sum(1))
        apart = share * closest
        chosen.append(_drawn(apart if apart.any() else share))  # fewer different codes than clusters
    return points[torch.stack(chosen)]


def _drawn(mass: Float[Tensor, " event"]) -> Int[Tensor, ""]:
    """Return the index of one event, drawn with probability proportional to its mass."""
    total = mass.cumsum(0)
    place = torch.rand((), dtype=mass.dtype).to(mass.device) * total[-1]
    return torch.searchsorted(total, place, right=True).clamp(max=len(mass) - 1)


def _lloyd(
    points: Float[Tensor, "event latent"], share: Float[Tensor, " event"], centroids: Float[Tensor, "cluster latent"]
) -> tuple[float, Float[Tensor, "cluster latent"]]:
    """Return the inertia of the centroids, and where they came to stand."""
    for _ in range(ROUNDS):
        members = functional.one_hot(nearest(points, centroids), len(centroids)).to(points) * share[:, None]
        mass = members.sum(0)[:, None]
        moved = torch.where(mass > 0, members.T @ points / mass, centroids)
        if torch.equal(moved, centroids):
            break
        centroids = moved
    return float(share @ torch.cdist(points, centroids, compute_mode=EXACT).min(1).values.square()), centroids
