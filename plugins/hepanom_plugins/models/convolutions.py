"""Convolutional networks: the options and layers of encoders, and of decoders that mirror them exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from hepanom.errors import InputError
from hepanom.events import Input
from hepanom_plugins.models.layers import ACTIVATIONS, Dense

FEW = 8  # output channels below which a transposed convolution is slow
Size = Annotated[int, Field(gt=0)]


@dataclass(frozen=True)
class Layer:
    """A convolution from maps of ``channels`` x ``shape`` to maps of ``filters`` x ``after``, (row, column) each."""

    channels: int
    filters: int
    kernel: int
    stride: int
    shape: tuple[int, ...]

    @property
    def padding(self) -> int:
        """Return the rows and columns of zeros at each side: half the kernel, less than half where it is even."""
        return (self.kernel - 1) // 2

    @property
    def after(self) -> tuple[int, ...]:
        """Return floor((n + 2 p - k) / s) + 1 for n rows or columns, padding p, kernel k and stride s."""
        return tuple((size + 2 * self.padding - self.kernel) // self.stride + 1 for size in self.shape)

    @property
    def remainder(self) -> tuple[int, ...]:
        """Return (n + 2 p - k) mod s, the rows or columns that the stride skips and the mirrored layer must add."""
        return tuple((size + 2 * self.padding - self.kernel) % self.stride for size in self.shape)


@dataclass(frozen=True)
class Convolutional:
    """Options that convolutional autoencoders share.

    Layer l convolves with ``filters[l]`` kernels of ``kernels[l]`` x ``kernels[l]`` pixels in steps of ``strides[l]``,
    then come batch normalization, where it is asked for, and the activation. An odd kernel k is padded with (k - 1) / 2
    zeros at each side, so that n pixels become ceil(n / s). The maps are laid side by side, dense layers ``hidden`` may
    follow, and a linear layer gives the code. The decoder is the same in the opposite order, with transposed
    convolutions that give back every size exactly, odd ones too; its last layer is linear. Weights start from the
    uniform distribution of Glorot, biases at zero.

    References:
        V. Dumoulin, F. Visin, A guide to convolution arithmetic for deep learning, 2016, arXiv:1603.07285.
        R. Solli, master's thesis, Oslo 2019, table 4.3: the defaults.
    """

    kernels: Annotated[tuple[Size, ...], Field(min_length=1, description="kernel size of each layer, in pixels")] = (
        11,
        5,
        3,
    )
    strides: Annotated[Size | tuple[Size, ...], Field(description="steps of the kernels, one or one per layer")] = 2
    filters: Annotated[tuple[Size, ...], Field(min_length=1, description="number of filters of each layer")] = (
        16,
        16,
        8,
    )
    activation: Annotated[Literal["relu", "leaky_relu"], Field(description="activation of the layers")] = "relu"
    batch_norm: Annotated[bool, Field(description="batch normalization of every layer but code and output")] = False
    hidden: Annotated[tuple[Size, ...], Field(description="widths of dense layers between the maps and the code")] = ()
    latent: Annotated[int, Field(gt=0, description="width of the latent code")] = 3

    def __post_init__(self) -> None:
        """Check that every layer has a kernel, a stride and a number of filters."""
        strides = len(self.kernels) if isinstance(self.strides, int) else len(self.strides)
        if not len(self.kernels) == len(self.filters) == strides:
            raise ValueError(
                f"kernels has {len(self.kernels)} layers, filters {len(self.filters)}, strides {strides}; "
                "give each layer one of them"
            )

    def layers(self, image: Input) -> list[Layer]:
        """Return the encoder's convolutions of an image. Raises InputError where nothing of it would remain."""
        strides = (self.strides,) * len(self.kernels) if isinstance(self.strides, int) else self.strides
        layers: list[Layer] = []
        channels, shape = len(image.columns), image.shape
        for kernel, stride, filters in zip(self.kernels, strides, self.filters, strict=True):
            layer = Layer(channels, filters, kernel, stride, shape)
            if min(layer.after) < 1:
                raise InputError(
                    f"kernels: layer {len(layers) + 1} finds {shape[0]} x {shape[1]} pixels, of which its kernel of "
                    f"{kernel} leaves none; fewer layers, smaller strides or an odd kernel would do"
                )
            layers.append(layer)
            channels, shape = filters, layer.after
        return layers

    def encoder(self, image: Input, outputs: int) -> nn.Sequential:
        """Return the network from (event, channel, row, column) to (event, outputs)."""
        layers, dense = self.layers(image), self._dense()
        modules: list[nn.Module] = [ChannelsLast()]
        for layer in layers:
            bias = not self.batch_norm  # which would take it away again
            modules.append(
                nn.Conv2d(layer.channels, layer.filters, layer.kernel, layer.stride, layer.padding, bias=bias)
            )
            modules += self._activated(layer.filters)
        widths = (_width(layers[-1]), *self.hidden)
        modules += [nn.Flatten(), *dense.stack(widths), dense.linear(widths[-1], outputs)]
        return _started(nn.Sequential(*modules))

    def decoder(self, image: Input) -> nn.Sequential:
        """Return the network from (event, latent) to (event, channel, row, column), without an output activation."""
        layers = self.layers(image)
        widths = (self.latent, *self.hidden[::-1], _width(layers[-1]))
        modules: list[nn.Module] = [*self._dense().stack(widths)]
        modules += [nn.Unflatten(1, (layers[-1].filters, *layers[-1].after)), ChannelsLast()]
        for layer in reversed(layers):
            last = layer is layers[0]
            modules.append(
                (Phases if layer.channels < FEW else nn.ConvTranspose2d)(
                    layer.filters,
                    layer.channels,
                    layer.kernel,
                    layer.stride,
                    layer.padding,
                    layer.remainder,  # type: ignore[arg-type]
                    bias=last or not self.batch_norm,
                )
            )
            modules += [] if last else self._activated(layer.channels)
        return _started(nn.Sequential(*modules))

    def _dense(self) -> Dense:
        return Dense(activation=self.activation, batch_norm=self.batch_norm)

    def _activated(self, channels: int) -> Iterator[nn.Module]:
        if self.batch_norm:
            yield nn.BatchNorm2d(channels)
        yield ACTIVATIONS[self.activation]()


def _width(layer: Layer) -> int:
    """Return how many numbers the layer's maps hold."""
    rows, columns = layer.after
    return layer.filters * rows * columns


def _started(network: nn.Sequential) -> nn.Sequential:
    """Return the network with initialized convolutions."""
    for module in network:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


class ChannelsLast(nn.Module):
    """The same maps with their channels last in memory, on which convolutions are faster; they keep that order."""

    def forward(self, maps: Float[Tensor, "event channel row column"]) -> Float[Tensor, "event channel row column"]:
        """Return a copy; of one channel, too, where torch's own conversion sees nothing to do."""
        return torch.empty_like(maps, memory_format=torch.channels_last).copy_(maps)


class Phases(nn.ConvTranspose2d):
    """The transposed convolution, by an ordinary one: several times faster on a CPU for few output channels.

    With stride s, padding p and weights w of a kernel of k, the output's pixel s q + b - p in phase b = 0 ... s - 1 is

        y[s q + b - p] = sum_a x[q - a] w[s a + b],   a = 0 ... ceil(k / s) - 1,

    along rows and along columns, with w = 0 beyond the kernel: each phase is an ordinary convolution with every s-th
    weight. All phases are channels of one convolution, and then interleaved.

    References:
        W. Shi et al., Is the deconvolution layer the same as a convolutional layer?, 2016, arXiv:1609.07009.
    """

    def forward(
        self, input: Float[Tensor, "event channel row column"], output_size: list[int] | None = None
    ) -> Float[Tensor, "event filter height width"]:
        """Return the same as nn.ConvTranspose2d; ``output_size`` is that of ``output_padding``."""
        kernel, stride, padding = self.kernel_size[0], self.stride[0], int(self.padding[0])
        taps = -(-kernel // stride)
        fill = stride * taps - kernel
        weight = functional.pad(self.weight, (0, fill, 0, fill))
        weight = weight.reshape(*weight.shape[:2], taps, stride, taps, stride).flip(2, 4)
        weight = weight.permute(1, 3, 5, 0, 2, 4).flatten(0, 2).contiguous(memory_format=torch.channels_last)
        reach = [
            max(taps - 1 - padding // stride, (kernel - 1 - padding + more) // stride) for more in self.output_padding
        ]
        phases = functional.conv2d(input, weight, padding=reach)
        pixels = functional.pixel_shuffle(phases, stride)
        crop: list[int] = []
        for axis in (1, 0):  # functional.pad begins with the last axis
            first = padding - stride * (taps - 1 - reach[axis])
            size = stride * (input.shape[2 + axis] - 1) - 2 * padding + kernel + self.output_padding[axis]
            crop += [-first, first + size - pixels.shape[2 + axis]]
        pixels = functional.pad(pixels, crop)
        return pixels if self.bias is None else pixels + self.bias[:, None, None]
