"""A score: how far off the worst reconstructed feature is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from hepanom.contracts import Batch, Network, Outputs, Scorer, State
from jaxtyping import Float
from pydantic import Field
from torch import Tensor


# The fields of the class are the options that recipes set: scores: [{use: my_plugin, power: 2}]. Types and bounds are
# checked with the recipe, and `hepanom plugins my_plugin` shows the docstring and the descriptions.
@dataclass(frozen=True)
class MyPluginScorer(Scorer):
    """The residual of the feature that is reconstructed worst.

        score(x) = max_i |x_i - x'_i|^power

    in the units after the transforms.
    """

    # The outputs that the score reads: a recipe whose model does not give them is refused before anything is read.
    needs: ClassVar[frozenset[str]] = frozenset({"reconstruction"})

    power: Annotated[float, Field(gt=0, description="power of the residuals")] = 1.0

    # A score that has to know the events that train, as a mean and covariance of latent codes, has a method
    # fit(self, batches: Iterable[tuple[Batch, Outputs]]) -> State as well: it goes through the batches with the outputs
    # of the network once, and what it returns, a dict of numpy arrays, comes back as `state`.

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Float[Tensor, " event"]:
        """Return one number per event, higher for stranger ones; the same events give the same numbers."""
        return self._parts(batch, outputs).flatten(1).amax(1)

    def explain(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Float[Tensor, "event ..."]:
        """Return each feature's part, in the shape of the input, for the report; a score may do without."""
        return self._parts(batch, outputs)

    def _parts(self, batch: Batch, outputs: Outputs) -> Float[Tensor, "event ..."]:
        rebuilt = outputs["reconstruction"]
        values = next(values for values in batch.inputs.values() if values.shape == rebuilt.shape)
        return (values - rebuilt).abs() ** self.power
