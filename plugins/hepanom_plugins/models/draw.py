"""DRAW, the recurrent variational autoencoder of Gregor et al. that draws an image stroke by stroke."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from hepanom.contracts import Batch, Guard, Model, Network, Outputs
from hepanom.errors import InputError
from hepanom.events import Input, Schema
from hepanom_plugins.models.activity import GUARDS, activity
from hepanom_plugins.models.attention import Attention
from hepanom_plugins.models.conv_autoencoder import cross_entropy
from hepanom_plugins.models.convolutions import Convolutional, Size
from hepanom_plugins.models.latent import LOG_VARIANCE, Regularization, standard_normal


@dataclass(frozen=True)
class Draw(Regularization, Model):
    """Deep recurrent attentive writer for an image: a code and a stroke on a canvas at each of T steps.

    With pixels x in [0, 1], sigma the logistic function, and the canvas c and the states h starting at learned values:

        x'_t = x - sigma(c_{t-1})                       error image
        h^enc_t = LSTM(h^enc_{t-1}, [read(x, x'_t, h^dec_{t-1}), h^dec_{t-1}])
        z_t = m_t + s_t e, e ~ N(0, 1)                  with m_t, ln s_t^2 linear in h^enc_t
        h^dec_t = LSTM(h^dec_{t-1}, z_t)
        c_t = c_{t-1} + write(h^dec_t)
        loss(x) = -ln p(x | c_T) + beta sum_t penalty_t

    ``read_write`` is ``attention``: N x N Gaussian filters that h^dec places, where ``delta`` is a number, the part of
    the longer side that the filters span (the thesis), or ``learned`` (the paper); ``convolutional``: layers and their
    mirror (the thesis); or ``whole``: every pixel, and a linear layer (the paper, without attention).

    With p = sigma(c_T), -ln p(x | c_T) is -sum_i [x_i ln p_i + (1 - x_i) ln(1 - p_i)] for ``bce``, and
    sum_i (x_i - p_i)^2, a Gaussian of variance 1/2 without its constant, for ``mse``: sums over pixels, not means. The
    penalty of a step is the one of ``regularization``. For ``kl`` it is KL(N(m_t, s_t^2) || N(0, 1)): with bce and beta
    1 the loss is the negative evidence lower bound. For ``mmd`` it is the discrepancy between the m_t of the batch and
    N(0, 1), 2 at most, so that a beta of hundreds weighs as much as the sum over pixels. ``none`` has none. In both z_t
    is m_t, whose log variance is given as -10, the least there is: the scores ``kl`` and ``elbo`` then count
    sum_t |m_t|^2 / 2 and a constant.

    A pixel enters as x = pixel / peak, the reconstruction is peak p. Without ``peak`` pixels outside of [0, 1] are an
    InputError in training; with it, brighter ones enter as 1, negative ones as 0. In scoring the network sees them so,
    too, but ``log_likelihood`` counts them as they are: ``mse`` by (x_i - p_i)^2, ``bce`` by the square of how far they
    lie outside, beside the cross-entropy at the end that they enter as. So an event does not hide in what is cut off.
    ``latent_mean`` holds the T means side by side, each found with the codes before it at theirs.

    References:
        K. Gregor et al., DRAW: a recurrent neural network for image generation, 2015, arXiv:1502.04623.
        R. Solli, master's thesis, Oslo 2019, section 2.9.4.
    """

    gives: ClassVar[frozenset[str]] = frozenset(
        {"reconstruction", "latent_mean", "latent_log_variance", "log_likelihood"}
    )

    steps: Annotated[int, Field(gt=0, description="number of strokes T")] = 10
    latent: Annotated[int, Field(gt=0, description="width of the code of one step")] = 3
    width: Annotated[int, Field(gt=0, description="cells of the encoder's and of the decoder's LSTM")] = 256
    read_write: Annotated[
        Literal["attention", "convolutional", "whole"], Field(description="how the network looks and draws")
    ] = "attention"
    glimpse: Annotated[int, Field(ge=2, description="attention: filters N along each side")] = 12
    delta: Annotated[
        Annotated[float, Field(gt=0, le=10)] | Literal["learned"],
        Field(description="attention: part of the longer side that the filters span, or `learned`"),
    ] = 0.8
    kernels: Annotated[
        tuple[Size, ...], Field(min_length=1, description="convolutional: kernel size of each layer")
    ] = (
        5,
        3,
    )
    strides: Annotated[Size | tuple[Size, ...], Field(description="convolutional: steps of the kernels")] = 2
    filters: Annotated[tuple[Size, ...], Field(min_length=1, description="convolutional: filters of each layer")] = (
        16,
        8,
    )
    loss: Annotated[
        Literal["mse", "bce"], Field(description="reconstruction by squared error, or by binary cross-entropy")
    ] = "bce"
    peak: Annotated[
        Annotated[float, Field(gt=0, allow_inf_nan=False)] | None,
        Field(description="pixel value that counts as 1; without it pixels must lie within [0, 1]"),
    ] = None

    def __post_init__(self) -> None:
        """Check that every convolution has a kernel, a stride and a number of filters."""
        self.convolutional()

    def convolutional(self) -> Convolutional:
        """Return the options of the convolutional layers, which write from the decoder's state."""
        return Convolutional(kernels=self.kernels, strides=self.strides, filters=self.filters, latent=self.width)

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only image."""
        return DrawNetwork(self, *schema.only("image"))


class Stroke(NamedTuple):
    """What one step leaves: the canvas, and mean and log variance of the step's code."""

    canvas: Float[Tensor, "event channel row column"]
    mean: Float[Tensor, "event latent"]
    log_variance: Float[Tensor, "event latent"] | None


class DrawNetwork(Network):
    """The two LSTMs of Draw, their way to and from the code, and what reads and writes."""

    def __init__(self, options: Draw, name: str, entry: Input) -> None:
        super().__init__()
        self.options, self.input, width = options, name, options.width
        rows, columns = entry.shape
        shape = (len(entry.columns), rows, columns)
        self.pencil: Attention | Convolution | Whole
        if options.read_write == "attention":
            self.pencil = Attention(shape, width, options.glimpse, options.delta)
        elif options.read_write == "convolutional":
            self.pencil = Convolution(entry, options)
        else:
            self.pencil = Whole(shape, width)
        self.encoder = nn.LSTMCell(self.pencil.width + width, width)
        self.code = nn.Linear(width, options.heads * options.latent)
        self.decoder = nn.LSTMCell(options.latent, width)
        self.canvas = nn.Parameter(torch.zeros(shape))
        self.states = nn.Parameter(torch.zeros(4, width))

    def strokes(
        self, x: Float[Tensor, "event channel row column"], noise: Float[Tensor, "event step latent"] | None
    ) -> Iterator[Stroke]:
        """Yield every step, with codes that lie ``noise`` standard deviations from their means."""
        canvas = self.canvas.expand_as(x)
        state, cell, hidden, memory = self.states[:, None].expand(-1, len(x), -1).unbind(0)
        for step in range(self.options.steps):
            glimpse = self.pencil.read(x, x - canvas.sigmoid(), hidden)
            state, cell = self.encoder(torch.cat([glimpse, hidden], 1), (state, cell))
            mean, log_variance = self.options.split(self.code(state))
            code = mean
            if noise is not None and log_variance is not None:
                code = torch.addcmul(mean, (log_variance / 2).exp(), noise[:, step])
            hidden, memory = self.decoder(code, (hidden, memory))
            canvas = canvas + self.pencil.write(hidden)
            yield Stroke(canvas, mean, log_variance)

    def canvases(self, batch: Batch) -> Float[Tensor, "step event channel row column"]:
        """Return what the canvas shows after each step, with codes at their means; the last is the reconstruction."""
        shown = [stroke.canvas.sigmoid() for stroke in self.strokes(self._pixels(batch), None)]
        return torch.stack(shown) * (self.options.peak or 1.0)

    def prior(self, draws: int) -> Float[Tensor, "draw latent"] | None:
        """Return draws of N(0, 1) for all steps side by side, None where nothing holds the codes near it."""
        if self.options.regularization == "none":
            return None
        return standard_normal(self, draws, self.options.steps * self.options.latent)

    def decode(
        self, codes: Float[Tensor, "code latent"], given: Batch | None = None
    ) -> Float[Tensor, "code channel row column"]:
        """Return what is drawn by codes of all steps side by side."""
        canvas = self.canvas.expand(len(codes), -1, -1, -1)
        hidden, memory = self.states[2:, None].expand(-1, len(codes), -1).unbind(0)
        for code in codes.chunk(self.options.steps, 1):
            hidden, memory = self.decoder(code, (hidden, memory))
            canvas = canvas + self.pencil.write(hidden)
        return canvas.sigmoid() * (self.options.peak or 1.0)

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return the outputs at the latent means, or ``noise`` standard deviations from them, steps side by side."""
        x = self._pixels(batch)
        steps = None if noise is None else noise.view(1, self.options.steps, -1).expand(len(x), -1, -1)
        strokes = list(self.strokes(x, steps))
        mean = torch.cat([stroke.mean for stroke in strokes], 1)
        spreads = [stroke.log_variance for stroke in strokes if stroke.log_variance is not None]
        return {
            "reconstruction": strokes[-1].canvas.sigmoid() * (self.options.peak or 1.0),
            "latent_mean": mean,
            "latent_log_variance": torch.cat(spreads, 1) if spreads else torch.full_like(mean, -LOG_VARIANCE),
            "log_likelihood": -self._negative_log_likelihood(self._scaled(batch), strokes[-1].canvas),
        }

    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Float[Tensor, " event"]]:
        """Return the negative log likelihood at drawn codes, and beta times the penalty of all steps.

        Raises InputError for pixels outside of [0, 1] where no ``peak`` was given.
        """
        if self.options.peak is None:
            _check(self.input, batch.inputs[self.input])
        return self._terms(batch, self.options.beta_at(progress), self.options.free_bits)

    def validate(self, batch: Batch) -> Float[Tensor, " event"]:
        """Return the loss with the final beta, without free bits."""
        return torch.stack([*self._terms(batch, self.options.beta, 0.0).values()]).sum(0)

    def diagnose(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Return how many dimensions of the codes of all steps vary."""
        codes = ((self(batch)["latent_mean"], batch.weight) for batch in batches)
        return activity(codes, prior=self.options.regularization != "none")

    def guards(self) -> Sequence[Guard]:
        """Return the limit of the diagnostics."""
        return GUARDS

    def _terms(self, batch: Batch, beta: float, free_bits: float) -> dict[str, Float[Tensor, " event"]]:
        options, x = self.options, self._pixels(batch)
        noise = torch.randn_like(x.new_empty(len(x), options.steps, options.latent))
        strokes = list(self.strokes(x, noise))
        penalties = [options.penalty(mean, spread, batch.weight, beta, free_bits) for _, mean, spread in strokes]
        terms = {name: torch.stack([step[name] for step in penalties]).sum(0) for name in penalties[0]}
        return {"negative_log_likelihood": self._negative_log_likelihood(x, strokes[-1].canvas), **terms}

    def _scaled(self, batch: Batch) -> Float[Tensor, "event channel row column"]:
        return batch.inputs[self.input] / (self.options.peak or 1.0)

    def _pixels(self, batch: Batch) -> Float[Tensor, "event channel row column"]:
        return self._scaled(batch).clamp(0, 1)

    def _negative_log_likelihood(
        self, x: Float[Tensor, "event channel row column"], canvas: Float[Tensor, "event channel row column"]
    ) -> Float[Tensor, " event"]:
        if self.options.loss == "mse":
            return (x - canvas.sigmoid()).square().flatten(1).sum(1)
        return cross_entropy(canvas, x)


def _check(name: str, image: Float[Tensor, "event channel row column"]) -> None:
    low, high = (float(end) for end in image.aminmax())
    if low < 0 or high > 1:
        raise InputError(
            f"draw: the pixels of {name!r} lie between {low:.3g} and {high:.3g}, but are drawn between 0 and 1; set "
            f"model.peak to the value that counts as 1: {max(high, 1):.3g} keeps all of these apart"
        )


class Whole(nn.Module):
    """Read image and error image as they are; write by a linear layer."""

    def __init__(self, shape: tuple[int, int, int], hidden: int) -> None:
        super().__init__()
        self.shape, self.width = shape, 2 * shape[0] * shape[1] * shape[2]
        self.writes = nn.Linear(hidden, self.width // 2)

    def read(
        self,
        image: Float[Tensor, "event channel row column"],
        error: Float[Tensor, "event channel row column"],
        hidden: Float[Tensor, "event width"],
    ) -> Float[Tensor, "event glimpse"]:
        """Return the pixels of both, side by side."""
        return torch.cat([image.flatten(1), error.flatten(1)], 1)

    def write(self, hidden: Float[Tensor, "event width"]) -> Float[Tensor, "event channel row column"]:
        """Return what is added to the canvas."""
        stroke: Tensor = self.writes(hidden)
        return stroke.view(-1, *self.shape)


class Convolution(nn.Module):
    """Read image and error image by a convolutional encoder; write by a decoder that mirrors it."""

    def __init__(self, entry: Input, options: Draw) -> None:
        super().__init__()
        self.width = options.width
        both = replace(entry, columns=2 * entry.columns, units=2 * entry.units)
        self.reads = options.convolutional().encoder(both, options.width)
        self.writes = options.convolutional().decoder(entry)

    def read(
        self,
        image: Float[Tensor, "event channel row column"],
        error: Float[Tensor, "event channel row column"],
        hidden: Float[Tensor, "event width"],
    ) -> Float[Tensor, "event glimpse"]:
        """Return the features of both."""
        features: Tensor = self.reads(torch.cat([image, error], 1))
        return features

    def write(self, hidden: Float[Tensor, "event width"]) -> Float[Tensor, "event channel row column"]:
        """Return what is added to the canvas."""
        stroke: Tensor = self.writes(hidden)
        return stroke
