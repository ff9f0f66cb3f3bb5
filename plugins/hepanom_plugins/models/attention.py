"""Attention by a grid of Gaussian filters: glimpses of an image, and strokes on one, as batched matrix products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

LOGARITHM = 10.0  # logarithms of variance, stride and intensity are held within +- this
FAINT = -30.0  # logarithm of the faintest weight beside a filter's largest


@dataclass(frozen=True)
class Grid:
    """A grid of N x N Gaussian filters over each event's image: the filters of its rows, of its columns, its intensity.

    Row j of ``rows`` holds the weights of the image's rows in the grid's row j, and adds up to 1; so do ``columns``.
    """

    rows: Float[Tensor, "event filter row"]
    columns: Float[Tensor, "event filter column"]
    intensity: Float[Tensor, " event"]

    def read(self, image: Float[Tensor, "event channel row column"]) -> Float[Tensor, "event channel filter filter"]:
        """Return the glimpse gamma F_Y x F_X^T of every channel."""
        glimpse = torch.einsum("ejr,ecrk,eik->ecji", self.rows, image, self.columns)
        return self.intensity[:, None, None, None] * glimpse

    def write(self, patch: Float[Tensor, "event channel filter filter"]) -> Float[Tensor, "event channel row column"]:
        """Return the stroke F_Y^T w F_X / gamma of every channel."""
        patch = patch / self.intensity[:, None, None, None]
        return torch.einsum("ejr,ecji,eik->ecrk", self.rows, patch, self.columns)


def filters(
    centre: Float[Tensor, " event"],
    stride: Float[Tensor, " event"],
    variance: Float[Tensor, " event"],
    number: int,
    pixels: int,
) -> Float[Tensor, "event filter pixel"]:
    """Return Gaussian filters along one axis of an image.

        F[i, a] = exp(-(a - mu_i)^2 / (2 sigma^2)) / Z_i,   mu_i = g + (i - N/2 - 1/2) delta,   sum_a F[i, a] = 1

    for i = 1..N and pixels a = 1..A. A softmax never divides by Z_i = 0: a filter whose centre lies far outside of the
    image looks at the pixel on the edge. Weights below exp(-30) = 1e-13 of the largest are held at that.

    References:
        K. Gregor et al., DRAW: a recurrent neural network for image generation, 2015, arXiv:1502.04623, eqs. 19 to 26.
    """
    place = torch.arange(1, number + 1, dtype=centre.dtype, device=centre.device) - (number + 1) / 2
    pixel = torch.arange(1, pixels + 1, dtype=centre.dtype, device=centre.device)
    means, narrow = torch.addcmul(centre[:, None], stride[:, None], place)[:, :, None], (2 * variance).rsqrt()
    narrow = narrow[:, None, None]
    nearest = (narrow * (means - means.round().clamp(1, pixels))).detach()
    exponent = nearest.square() - torch.addcmul(-narrow * means, narrow, pixel).square()
    # fainter weights are denormal numbers, or their products are, which slow the matrix products down fivefold
    return functional.threshold(exponent, FAINT, FAINT).softmax(2)


class Attention(nn.Module):
    """Read from and write to a part of an image that the decoder's hidden state h chooses.

    With linear layers W, one for reading and one for writing, and an image of A columns and B rows:

        (g'_X, g'_Y, ln sigma^2, ln gamma, ln delta') = W h
        g_X = (A + 1) / 2 (g'_X + 1),   g_Y = (B + 1) / 2 (g'_Y + 1),   delta = (max(A, B) - 1) / (N - 1) delta'
        read(x, x', h) = gamma [F_Y x F_X^T, F_Y x' F_X^T],   write(h) = F_Y^T w F_X / gamma,   w = W' h

    F are the ``filters``. ``delta`` is delta', the part of the longer side that the grid spans: a number, the same for
    all events and steps, or ``learned``, from h. The channels of an image share the grid.

    References:
        K. Gregor et al., DRAW: a recurrent neural network for image generation, 2015, arXiv:1502.04623, section 3.
        R. Solli, master's thesis, Oslo 2019, section 2.9.4 (constant delta; its eq. 2.85 multiplies by gamma in error).
    """

    def __init__(
        self, shape: tuple[int, int, int], hidden: int, number: int, delta: float | Literal["learned"]
    ) -> None:
        super().__init__()
        self.shape, self.number, self.delta = shape, number, delta
        self.width = 2 * shape[0] * number**2
        parameters = 5 if delta == "learned" else 4
        self.reads, self.writes = nn.Linear(hidden, parameters), nn.Linear(hidden, parameters)
        self.patch = nn.Linear(hidden, shape[0] * number**2)

    def read(
        self,
        image: Float[Tensor, "event channel row column"],
        error: Float[Tensor, "event channel row column"],
        hidden: Float[Tensor, "event width"],
    ) -> Float[Tensor, "event glimpse"]:
        """Return the glimpses of image and error image, side by side."""
        grid = self.grid(self.reads(hidden))
        return torch.cat([grid.read(image).flatten(1), grid.read(error).flatten(1)], 1)

    def write(self, hidden: Float[Tensor, "event width"]) -> Float[Tensor, "event channel row column"]:
        """Return what is added to the canvas."""
        patch = self.patch(hidden).view(-1, self.shape[0], self.number, self.number)
        return self.grid(self.writes(hidden)).write(patch)

    def grid(self, parameters: Float[Tensor, "event parameter"]) -> Grid:
        """Return the grid of (g'_X, g'_Y, ln sigma^2, ln gamma) and, where it is learned, ln delta'."""
        _, rows, columns = self.shape
        # positions of pixels need more digits than bfloat16 has
        parameters = parameters.to(torch.promote_types(parameters.dtype, torch.float32))
        x, y = parameters[:, 0], parameters[:, 1]
        variance, intensity, *learned = parameters[:, 2:].clamp(-LOGARITHM, LOGARITHM).exp().unbind(1)
        delta = learned[0] if learned else torch.full_like(x, float(self.delta))
        stride = (max(rows, columns) - 1) / (self.number - 1) * delta
        return Grid(
            filters((rows + 1) / 2 * (y + 1), stride, variance, self.number, rows),
            filters((columns + 1) / 2 * (x + 1), stride, variance, self.number, columns),
            intensity,
        )
