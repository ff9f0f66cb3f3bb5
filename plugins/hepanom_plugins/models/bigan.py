"""The bidirectional generative adversarial network: an encoder finds the code of an event in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import softplus

from hepanom.contracts import Batch, Guard, Model, Network, Outputs, Player
from hepanom.events import Input, Schema
from hepanom_plugins.models import activity, collapse
from hepanom_plugins.models.gan import DRAWS, Adversarial, energy_score
from hepanom_plugins.models.latent import standard_normal


@dataclass(frozen=True)
class BiGAN(Adversarial, Model):
    """Bidirectional generative adversarial network for a table of features or an image.

    The critic c looks at pairs of event and code: real events x with their code e(x), and noise z ~ N(0, 1) with the
    event g(z) that it makes. With ln(1 + exp(a)) written as s(a),

        critic:                  s(-c(x, e(x))) + s(c(g(z), z)),   terms ``real`` and ``generated``,
        generator and encoder:   s(c(x, e(x))) + s(-c(g(z), z)),   terms ``encoded`` and ``adversarial``.

    Where nobody can tell the pairs apart, g and e undo each other. With ``cycle`` a second critic c' tells (x, x) from
    (x, x'), x' = g(e(x)), and holds them to that sooner; it adds

        critic:                  s(-c'(x, x)) + s(c'(x, x')),      terms ``cycle_real`` and ``cycle_generated``,
        generator and encoder:   s(-c'(x, x')),                    term ``cycle``.

    ALAD also has a third critic, of codes, and spectral normalization. The outputs are the code, the reconstruction x',
    the logit c(x, e(x)), and the distance sum |f - f'| between the last hidden layers of the critic for (x, e(x)) and
    (x', e(x)), with ``cycle`` of the second critic for (x, x) and (x, x'). Look-back stopping watches the energy score
    plus |x - x'|: both are lengths in the space of events, and both are least where the players are in equilibrium.

    References:
        J. Donahue, P. Krahenbuhl, T. Darrell, Adversarial feature learning, 2016, arXiv:1605.09782.
        H. Zenati et al., Efficient GAN-based anomaly detection, 2018, arXiv:1802.06222.
        H. Zenati et al., Adversarially learned anomaly detection, 2018, arXiv:1812.02288.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"critic", "reconstruction", "latent_mean", "feature_distance"})
    loss_options: ClassVar[frozenset[str]] = Model.loss_options | {"cycle"}

    cycle: Annotated[bool, Field(description="a second critic of event and reconstruction, as in ALAD")] = True

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only table or image."""
        name, entry = schema.only()
        return BiGANNetwork(self, name, entry)


class BiGANNetwork(Network):
    """Generator, encoder and critics of the BiGAN."""

    stacks = True

    def __init__(self, options: BiGAN, name: str, entry: Input) -> None:
        super().__init__()
        self.options, self.input, self.shape, features = options, name, entry.extent, entry.width
        self.generator = options.generator(features)
        widths = (features, *options.hidden)
        self.encoder = options.stack(widths).append(options.linear(widths[-1], options.latent))
        self.pair = options.critic(features + options.latent)
        self.cycle = options.critic(2 * features) if options.cycle else None

    def players(self) -> dict[str, Player]:
        """Return the critics together, and generator and encoder together."""
        return self.options.players(*self._sides())

    def _sides(self) -> tuple[nn.ModuleList, nn.ModuleList]:
        critics = [critic for critic in (self.pair, self.cycle) if critic is not None]
        return nn.ModuleList(critics), nn.ModuleList([self.generator, self.encoder])

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return code, reconstruction, logit and distance of features; there is no noise here."""
        inputs = batch.inputs[self.input]
        x = inputs.flatten(1)
        code = self.encoder(x)
        rebuilt = self.generator(code)
        if self.cycle is None:
            seen, found = self.pair.features(_join(x, code)), self.pair.features(_join(rebuilt, code))
        else:
            seen, found = self.cycle.features(_join(x, x)), self.cycle.features(_join(x, rebuilt))
        return {
            "latent_mean": code,
            "reconstruction": rebuilt.view_as(inputs),
            "critic": self.pair(_join(x, code)),
            "feature_distance": (seen - found).abs().sum(1),
        }

    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Float[Tensor, " event"]]:
        """Return the terms of the player and the penalties on its weights."""
        options, x = self.options, batch.inputs[self.input].flatten(1)
        noise, (critics, makers) = options.noise(x), self._sides()
        with torch.set_grad_enabled(player == "generator" and torch.is_grad_enabled()):
            code, generated = self.encoder(x), self.generator(noise)
            rebuilt = x if self.cycle is None else self.generator(code)
        real, fake = self.pair(_join(x, code)), self.pair(_join(generated, noise))
        if player == "critic":
            terms = {"real": softplus(-real), "generated": softplus(fake)}
            if self.cycle is not None:
                terms["cycle_real"] = softplus(-self.cycle(_join(x, x)))
                terms["cycle_generated"] = softplus(self.cycle(_join(x, rebuilt)))
            return {**terms, **options.penalty(critics, batch.weight)}
        terms = {"encoded": softplus(real), "adversarial": softplus(-fake)}
        if self.cycle is not None:
            terms["cycle"] = softplus(-self.cycle(_join(x, rebuilt)))
        return {**terms, **options.penalty(makers, batch.weight)}

    def validate(self, batch: Batch) -> Float[Tensor, " event"]:
        """Return the energy score of each event under the generator, and the length of its reconstruction error."""
        x = batch.inputs[self.input].flatten(1)
        error = torch.linalg.vector_norm(x - self.generator(self.encoder(x)), dim=1)
        total: Tensor = energy_score(x, self.generator(self.prior(DRAWS))) + error
        return total

    def prior(self, draws: int) -> Float[Tensor, "draw latent"]:
        """Return noise for the generator."""
        return standard_normal(self, draws, self.options.latent)

    def decode(self, codes: Float[Tensor, "code latent"], given: Batch | None = None) -> Float[Tensor, "code ..."]:
        """Return the events that the generator makes of codes."""
        generated: Tensor = self.generator(codes)
        return generated.view(-1, *self.shape)

    def diagnose(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Return what tells generated events from real ones, and how many dimensions of the code vary."""
        seen = list(batches)
        codes = ((self.encoder(batch.inputs[self.input].flatten(1)), batch.weight) for batch in seen)
        return {**collapse.diagnose(self, seen), **activity.activity(codes, prior=True)}

    def guards(self) -> Sequence[Guard]:
        """Return the limits of the diagnostics."""
        return (*self.options.guards(), *activity.GUARDS)


def _join(first: Float[Tensor, "event first"], second: Float[Tensor, "event second"]) -> Float[Tensor, "event both"]:
    return torch.cat((first, second), 1)
