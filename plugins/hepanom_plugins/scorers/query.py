"""How badly a generator can make an event, in the space of events and in the eyes of its critic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hepanom.contracts import Batch, Network, Outputs, Scorer, State


@dataclass(frozen=True)
class Query(Scorer):
    """Residual plus feature matching, between an event and the most similar one that a generator makes.

        score(x) = (1 - lambda) sum_i |x_i - x'_i| + lambda sum_k |f_k - f'_k|

    over the features i of the event, in the units after the transforms, and the nodes k of the critic's last hidden
    layer. The model finds x' = g(z): ``anogan`` by a search for z, ``bigan`` in one pass, each with its own f and f'. A
    feature's part of the score is (1 - lambda) |x_i - x'_i|; the feature matching has no such parts.

    References:
        T. Schlegl et al., Unsupervised anomaly detection with generative adversarial networks to guide marker
        discovery, 2017, arXiv:1703.05921, eq. 7.
        H. Zenati et al., Efficient GAN-based anomaly detection, 2018, arXiv:1802.06222.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"reconstruction", "feature_distance"})

    feature_share: Annotated[float, Field(ge=0, le=1, description="lambda, the share of the feature matching")] = 0.1

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Float[Tensor, " event"]:
        """Return residual plus feature matching of each event."""
        residual = self._residual(batch, outputs["reconstruction"]).sum(1)
        return residual + self.feature_share * outputs["feature_distance"]

    def explain(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Float[Tensor, "event ..."]:
        """Return each feature's or pixel's part of the residual."""
        reconstruction = outputs["reconstruction"]
        return self._residual(batch, reconstruction).view_as(reconstruction)

    def _residual(self, batch: Batch, reconstruction: Float[Tensor, "event ..."]) -> Float[Tensor, "event feature"]:
        like = next(values for values in batch.inputs.values() if values.shape == reconstruction.shape)
        return (1 - self.feature_share) * (like - reconstruction).abs().flatten(1)
