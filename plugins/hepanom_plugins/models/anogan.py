"""AnoGAN: a generative adversarial network that is asked, event by event, for the most similar event it can make."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Float64
from pydantic import Field
from torch import Tensor

from hepanom.contracts import Batch, Guard, Model, Network, Outputs, Player
from hepanom.events import Input, Schema
from hepanom_plugins.models.gan import GAN, AdversarialNetwork


@dataclass(frozen=True)
class AnoGAN(GAN, Model):
    """Generative adversarial network whose outputs for an event x come from a search for its code.

    It is trained as ``gan``, with generator g and critic c, whose last hidden layer is f. An event's code is the end of
    ``steps`` steps of Adam on z, whose rate falls linearly to 0, down

        (1 - lambda) sum_i |x_i - g(z)_i| + lambda sum_k |f(x)_k - f(g(z))_k|.

    Of ``starts`` searches the one that ends lowest counts. They start at codes drawn from N(0, 1) when the network is
    built, the same for every event, and stored with it. All events of a batch are searched at once, in double
    precision: what one event finds does not depend on the others. The outputs are the code, the reconstruction g(z),
    the distance sum_k |f(x)_k - f(g(z))_k| and the logit c(x). A search costs ``starts`` x ``steps`` passes through
    both networks, forwards and back; ``bigan`` learns to do it in one.

    References:
        T. Schlegl et al., Unsupervised anomaly detection with generative adversarial networks to guide marker
        discovery, 2017, arXiv:1703.05921, eq. 2 to 6.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"critic", "reconstruction", "latent_mean", "feature_distance"})

    steps: Annotated[int, Field(ge=0, description="steps of the search for an event's code")] = 200
    search_lr: Annotated[float, Field(gt=0, description="learning rate of the search")] = 0.05
    starts: Annotated[int, Field(gt=0, description="searches for each event, from different codes")] = 1
    feature_share: Annotated[float, Field(ge=0, le=1, description="lambda, the share of the feature matching")] = 0.1

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only table or image."""
        name, entry = schema.only()
        return AnoGANNetwork(self, name, entry)


class AnoGANNetwork(Network):
    """A GAN, and the codes at which searches start."""

    stacks = True

    starts: Tensor

    def __init__(self, options: AnoGAN, name: str, entry: Input) -> None:
        super().__init__()
        self.options, self.input = options, name
        self.gan = AdversarialNetwork(options, name, entry)
        self.register_buffer("starts", torch.randn(options.starts, options.latent))

    def players(self) -> dict[str, Player]:
        """Return critic and generator."""
        return self.gan.players()

    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Float[Tensor, " event"]]:
        """Return the loss terms of the GAN."""
        return self.gan.loss(player, batch, progress)

    def validate(self, batch: Batch) -> Float[Tensor, " event"]:
        """Return the energy score of each event under the generator."""
        return self.gan.validate(batch)

    def diagnose(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Return what tells generated events from real ones, which takes no search."""
        return self.gan.diagnose(batches)

    def guards(self) -> Sequence[Guard]:
        """Return the limits of the diagnostics."""
        return self.gan.guards()

    def prior(self, draws: int) -> Float[Tensor, "draw latent"]:
        """Return noise for the generator."""
        return self.gan.prior(draws)

    def decode(self, codes: Float[Tensor, "code latent"], given: Batch | None = None) -> Float[Tensor, "code ..."]:
        """Return the events that the generator makes of noise."""
        return self.gan.decode(codes)

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return what the search finds; there is no noise here."""
        inputs = batch.inputs[self.input]
        with torch.inference_mode(False), torch.enable_grad():  # gradients, whoever calls
            found = self._search(inputs.clone().flatten(1).double())
        return {
            "critic": self.gan.critic(inputs.flatten(1)),
            "latent_mean": found["code"].to(inputs),
            "reconstruction": found["reconstruction"].to(inputs).view_as(inputs),
            "feature_distance": found["feature_distance"].to(inputs),
        }

    def _search(self, x: Float64[Tensor, "event feature"]) -> dict[str, Float64[Tensor, "event ..."]]:
        """Return code, reconstruction and feature distance of each event."""
        options, number = self.options, len(x)
        generator, features = (
            deepcopy(part).double().eval().requires_grad_(False)
            for part in (self.gan.generator, self.gan.critic.features)
        )
        wanted, seen = x.repeat(options.starts, 1), features(x).repeat(options.starts, 1)

        def distances(code: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            made = generator(code)
            residual, matching = (wanted - made).abs().sum(1), (seen - features(made)).abs().sum(1)
            return torch.lerp(residual, matching, options.feature_share), made, matching

        code = self.starts.double().repeat_interleave(number, 0).requires_grad_()
        optimizer = torch.optim.Adam([code], options.search_lr)
        for step in range(options.steps):
            optimizer.param_groups[0]["lr"] = options.search_lr * (1 - step / options.steps)
            (code.grad,) = torch.autograd.grad(distances(code)[0].sum(), code)
            optimizer.step()
        code = code.detach()
        total, made, matching = distances(code)
        best = total.view(options.starts, number).argmin(0) * number + torch.arange(number, device=x.device)
        return {"code": code[best], "reconstruction": made[best], "feature_distance": matching[best]}
