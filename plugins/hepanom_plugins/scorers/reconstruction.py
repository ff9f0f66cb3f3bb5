"""How badly an event is given back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from hepanom.contracts import Batch, Network, Outputs, Scorer, State


@dataclass(frozen=True)
class Reconstruction(Scorer):
    """Mean squared reconstruction error, with each feature's part of it as the explanation.

        score(x) = 1/n sum_i (x_i - x'_i)^2,   part of feature i: (x_i - x'_i)^2 / n

    over the n features, in the units after the transforms. Of an image the features are its pixels, whose parts the
    report draws. For a VAE x' is the decoder's mean at the mean code. The thesis's norm ||x - x'|| orders events in the
    same way.

    References:
        A. Nardelli, bachelor's thesis, Trento 2016, algorithm 2.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"reconstruction"})

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Float[Tensor, " event"]:
        """Return the mean squared error of each event."""
        return _parts(batch, outputs["reconstruction"]).sum(1)

    def explain(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Float[Tensor, "event ..."]:
        """Return each feature's or pixel's part of the score."""
        reconstruction = outputs["reconstruction"]
        return _parts(batch, reconstruction).view_as(reconstruction)


def _parts(batch: Batch, reconstruction: Float[Tensor, "event ..."]) -> Float[Tensor, "event feature"]:
    errors = (_like(batch.inputs, reconstruction) - reconstruction).flatten(1)
    return errors.square() / errors.shape[1]


def _like(inputs: Mapping[str, Tensor], reconstruction: Tensor) -> Tensor:
    """Return the input that the reconstruction is one of."""
    return next(values for values in inputs.values() if values.shape == reconstruction.shape)
