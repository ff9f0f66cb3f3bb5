"""The set autoencoder: a cloud of points squeezed through a narrow code and back, whatever the order of its points."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from hepanom.contracts import Batch, Guard, Model, Network, Outputs
from hepanom.errors import InputError
from hepanom.events import Schema
from hepanom_plugins.models.activity import GUARDS, activity
from hepanom_plugins.models.chamfer import chamfer, chamfer_parts
from hepanom_plugins.models.layers import Dense

MASK = "real"
REMEDY = "the transform pad makes such a table of points: {use: pad, points: 64, mask: true}"


@dataclass(frozen=True)
class SetAutoencoder(Dense, Model):
    """Permutation-invariant autoencoder for clouds of points, trained to give back the set.

    The same layers h see every point x_i of an event, and what they find is pooled over its n points, so that neither
    order nor number matters; dense layers f lead to the code z and g, which mirrors them, to m points y_j:

        z = f(mean_i h(x_i), max_i h(x_i)),   y = g(z),
        loss(x) = 1/n sum_i min_j |x_i - y_j|^2 + 1/m sum_j min_i |x_i - y_j|^2,

    the Chamfer distance, which is the ``outlyingness`` of the event, too. Distances are taken over all columns of the
    points: bring them to one scale by normalize_points. The clouds enter as the table of the transform pad with ``mask:
    true``; what fills it up is not looked at. An event without any point has the code of pooled zeros and the distance
    0: it trains nothing and is not strange, so leave such events out (``empty: drop``) or cut on the number of points.

    References:
        M. Zaheer et al., Deep sets, 2017, arXiv:1703.06114.
        C. Qi et al., PointNet: deep learning on point sets for 3D classification and segmentation, 2016,
        arXiv:1612.00593.
        P. Achlioptas et al., Learning representations and generative models for 3D point clouds, 2017,
        arXiv:1707.02392 (an autoencoder of points with the Chamfer loss).
    """

    gives: ClassVar[frozenset[str]] = frozenset({"latent_mean", "outlyingness"})

    shared: Annotated[
        tuple[Annotated[int, Field(gt=0)], ...], Field(description="widths of the layers that every point goes through")
    ] = (64, 64)
    points: Annotated[
        int | None,
        Field(ge=1, description="points that the decoder gives; as many as the table holds where it is left out"),
    ] = None

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's table of padded points. Raises InputError for any other table."""
        name, entry = schema.only("table")
        return SetAutoencoderNetwork(self, name, layout(entry.columns))


class SetAutoencoderNetwork(Network):
    """Shared layers, encoder and decoder of the SetAutoencoder; ``places`` is where a table holds its points."""

    places: Tensor

    def __init__(self, options: SetAutoencoder, name: str, places: Int[Tensor, "point column"]) -> None:
        super().__init__()
        self.options, self.input = options, name
        self.register_buffer("places", places, persistent=False)
        columns = places.shape[1] - 1
        self.shape = (options.points or len(places), columns)
        self.shared = options.stack((columns, *options.shared))
        widths = (2 * (columns, *options.shared)[-1], *options.hidden)
        self.encoder = options.stack(widths).append(options.linear(widths[-1], options.latent))
        mirrored = (options.latent, *options.hidden[::-1])
        self.decoder = options.stack(mirrored).append(options.linear(mirrored[-1], self.shape[0] * columns))

    def clouds(self, batch: Batch) -> tuple[Float[Tensor, "event point column"], Bool[Tensor, "event point"]]:
        """Return the points, and which of them are real. Raises InputError for a mask other than 0 and 1."""
        table = batch.inputs[self.input][:, self.places]
        points, mask = table[..., :-1], table[..., -1]
        if not self.training and (wrong := mask[(mask != 0) & (mask != 1)]).numel():
            raise InputError(
                f"set_autoencoder: a column {MASK}[k] holds {float(wrong[0]):.4g}, where 1 is a point and 0 is none; "
                "scale the points before pad, by normalize_points, not the table after it"
            )
        return points, mask > 0.5

    def encode(
        self, points: Float[Tensor, "event point column"], real: Bool[Tensor, "event point"]
    ) -> Float[Tensor, "event latent"]:
        """Return the codes; only real points go through the shared layers."""
        seen = self.shared(points[real])
        padded = seen.new_zeros(*real.shape, seen.shape[1]).masked_scatter(real[..., None], seen)
        count = real.sum(1, keepdim=True)
        highest = padded.masked_fill(~real[..., None], -torch.inf).amax(1)
        pooled = (padded.sum(1) / count.clamp(min=1), torch.where(count > 0, highest, 0.0))
        latent: Tensor = self.encoder(torch.cat(pooled, 1))
        return latent

    def decode(
        self, codes: Float[Tensor, "code latent"], given: Batch | None = None
    ) -> Float[Tensor, "code point column"]:
        """Return the points that the decoder gives for each code."""
        points: Tensor = self.decoder(codes)
        return points.view(-1, *self.shape)

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return codes and Chamfer distances; there is no noise here."""
        points, real = self.clouds(batch)
        latent = self.encode(points, real)
        return {"latent_mean": latent, "outlyingness": chamfer(points, real, self.decode(latent))}

    def explain(self, batch: Batch) -> Float[Tensor, "event feature"]:
        """Return the parts of the Chamfer distance, in the columns of the points that they belong to."""
        points, real = self.clouds(batch)
        parts = chamfer_parts(points, real, self.decode(self.encode(points, real)))
        table = torch.zeros_like(batch.inputs[self.input])
        table[:, self.places[:, :-1].flatten()] = parts.flatten(1)
        return table

    def validate(self, batch: Batch) -> Float[Tensor, " event"]:
        """Return the Chamfer distance of each event, without penalties."""
        return self.forward(batch)["outlyingness"]

    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Float[Tensor, " event"]]:
        """Return the Chamfer distance of each event, and the penalties."""
        distance = self.validate(batch)
        return {"chamfer": distance, **self.options.penalty(self, distance)}

    def diagnose(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Return how many dimensions of the code vary."""
        codes = ((self.encode(*self.clouds(batch)), batch.weight) for batch in batches)
        return activity(codes, prior=False)

    def guards(self) -> Sequence[Guard]:
        """Return the limit of the diagnostics."""
        return GUARDS


def layout(columns: Sequence[str]) -> Int[Tensor, "point column"]:
    """Return the positions of the columns NAME[k] in a table of points, a row per point, the mask real[k] last.

    Raises InputError for a table without mask, without any other column of points, or with a column that is not one of
    a point or is there for some points only.
    """
    found = [re.fullmatch(r"(.+)\[(\d+)\]", column) for column in columns]
    for column, match in zip(columns, found, strict=True):
        if match is None:
            raise InputError(f"set_autoencoder: column {column!r} is no NAME[k] of a point k; {REMEDY}")
    index = {(match[1], int(match[2])): position for position, match in enumerate(found) if match}
    names = [name for name in dict.fromkeys(name for name, _ in index) if name != MASK]
    number = 1 + max((point for _, point in index), default=-1)
    if not any(name == MASK for name, _ in index):
        raise InputError(f"set_autoencoder: the table has no mask {MASK}[0], {MASK}[1], ... of its points; {REMEDY}")
    if not names:
        raise InputError(f"set_autoencoder: the table has the mask of the points, and none of their columns; {REMEDY}")
    for point in range(number):
        for name in (*names, MASK):
            if (name, point) not in index:
                raise InputError(f"set_autoencoder: the table lacks {name}[{point}] of {number} points; {REMEDY}")
    return torch.tensor([[index[name, point] for name in (*names, MASK)] for point in range(number)])
