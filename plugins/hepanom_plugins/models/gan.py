"""The generative adversarial network for tables and images, and what all adversarial models share."""

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
from hepanom_plugins.models import collapse
from hepanom_plugins.models.latent import standard_normal
from hepanom_plugins.models.layers import Activation, Dense

DRAWS = 512  # generated events that each validation event is compared with


@dataclass(frozen=True)
class Adversarial(Dense):
    """Options of two networks that play against each other: a generator of events from noise, and their critic.

    The critic's hidden layers are ``hidden``, the generator's are mirrored; the generator's noise is z ~ N(0, 1) of
    width ``latent``. All ``critic_steps`` in a row see the same batch, with fresh noise. Learning rates and betas are
    those of the recipe's optimizer unless they are given here. Papers take betas of (0.5, 0.999) or (0, 0.9): where the
    gradient turns with every move of the other player, momentum makes the two circle each other.
    """

    hidden: Annotated[
        tuple[Annotated[int, Field(gt=0)], ...],
        Field(description="widths of the critic's layers; the generator's are mirrored"),
    ] = (50, 25)
    latent: Annotated[int, Field(gt=0, description="width of the generator's noise")] = 8
    activation: Annotated[Activation, Field(description="activation of the hidden layers")] = "leaky_relu"
    critic_steps: Annotated[int, Field(gt=0, description="updates of the critic for each of the generator")] = 1
    critic_lr: Annotated[float | None, Field(gt=0, description="the critic's learning rate")] = None
    generator_lr: Annotated[float | None, Field(gt=0, description="the generator's learning rate")] = None
    betas: Annotated[
        tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] | None,
        Field(description="both players' betas of Adam; those of the recipe's optimizer by default"),
    ] = None

    def generator(self, features: int) -> nn.Sequential:
        """Return a generator of events, whose output layer is linear."""
        widths = (self.latent, *self.hidden[::-1])
        return self.stack(widths).append(self.linear(widths[-1], features))

    def critic(self, features: int) -> Critic:
        """Return a critic of events."""
        widths = (features, *self.hidden)
        return Critic(self.stack(widths), self.linear(widths[-1], 1))

    def noise(self, like: Float[Tensor, "event feature"]) -> Float[Tensor, "event latent"]:
        """Return a drawn noise vector for every event."""
        return torch.randn_like(like.new_empty(len(like), self.latent))

    def players(self, critic: nn.Module, generator: nn.Module) -> dict[str, Player]:
        """Return the critic, who moves first, and the generator."""
        critic_options, generator_options = (
            {name: value for name, value in {"lr": lr, "betas": self.betas}.items() if value is not None}
            for lr in (self.critic_lr, self.generator_lr)
        )
        return {
            "critic": Player(list(critic.parameters()), self.critic_steps, critic_options),
            "generator": Player(list(generator.parameters()), 1, generator_options),
        }

    def guards(self) -> Sequence[Guard]:
        """Return the limits of the diagnostics; the critic's value is taken for a logit."""
        return (*collapse.GUARDS, collapse.LOGIT_GUARD)

    def critic_terms(
        self, critic: Critic, real: Float[Tensor, "event feature"], generated: Float[Tensor, "event feature"]
    ) -> dict[str, Float[Tensor, " event"]]:
        """Return the critic's loss terms."""
        raise TypeError(f"{type(self).__name__} does not define critic_terms")

    def generator_term(self, value: Float[Tensor, " event"]) -> Float[Tensor, " event"]:
        """Return the generator's loss, given the critic's value of each generated event."""
        raise TypeError(f"{type(self).__name__} does not define generator_term")


class Critic(nn.Module):
    """A critic: hidden layers, whose last are its features, and one linear node."""

    def __init__(self, features: nn.Module, node: nn.Module) -> None:
        super().__init__()
        self.features, self.node = features, node

    def forward(self, x: Float[Tensor, "event feature"]) -> Float[Tensor, " event"]:
        """Return the critic's value of each event; higher is more real."""
        value: Tensor = self.node(self.features(x)).squeeze(1)
        return value


@dataclass(frozen=True)
class GAN(Adversarial, Model):
    """Generative adversarial network for a table of features or an image, whose pixels are the features.

    The critic's probability that an event x is real is d(x) = 1 / (1 + exp(-c(x))), the generator makes events g(z) of
    noise z ~ N(0, 1). With the non-saturating loss of the generator,

        critic:     -ln d(x) - ln(1 - d(g(z))),   terms ``real`` and ``generated``,
        generator:  -ln d(g(z)),                  term ``adversarial``.

    The output ``critic`` is the logit c = ln(d / (1 - d)): of a strange event d is soon 0 or 1 to the last digit, and c
    is not. Look-back stopping watches the energy score, see there, not the losses, which measure the players against
    each other. ``collapse.diagnostics`` are recorded after each epoch.

    References:
        I. Goodfellow et al., Generative adversarial nets, 2014, arXiv:1406.2661.
        A. Nardelli, bachelor's thesis, Trento 2016, section 3.3, eq. 3.21 and 3.22.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"critic"})

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only table or image."""
        name, entry = schema.only()
        return AdversarialNetwork(self, name, entry)

    def critic_terms(
        self, critic: Critic, real: Float[Tensor, "event feature"], generated: Float[Tensor, "event feature"]
    ) -> dict[str, Float[Tensor, " event"]]:
        """Return the cross entropies of real and of generated events."""
        return {"real": softplus(-critic(real)), "generated": softplus(critic(generated))}

    def generator_term(self, value: Float[Tensor, " event"]) -> Float[Tensor, " event"]:
        """Return the cross entropy of generated events that are called real."""
        return softplus(-value)


class AdversarialNetwork(Network):
    """Generator and critic of an adversarial model."""

    stacks = True

    def __init__(self, options: Adversarial, name: str, entry: Input) -> None:
        super().__init__()
        self.options, self.input, self.shape = options, name, entry.extent
        self.generator = options.generator(entry.width)
        self.critic = options.critic(entry.width)

    def players(self) -> dict[str, Player]:
        """Return critic and generator."""
        return self.options.players(self.critic, self.generator)

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return the critic's value; there is no noise here."""
        return {"critic": self.critic(batch.inputs[self.input].flatten(1))}

    def prior(self, draws: int) -> Float[Tensor, "draw latent"]:
        """Return noise for the generator."""
        return standard_normal(self, draws, self.options.latent)

    def decode(self, codes: Float[Tensor, "code latent"], given: Batch | None = None) -> Float[Tensor, "code ..."]:
        """Return the events that the generator makes of noise."""
        generated: Tensor = self.generator(codes)
        return generated.view(-1, *self.shape)

    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Float[Tensor, " event"]]:
        """Return the terms of the player and the penalties on its weights."""
        options, x = self.options, batch.inputs[self.input].flatten(1)
        if player == "critic":
            with torch.no_grad():
                generated = self.generator(options.noise(x))
            terms = options.critic_terms(self.critic, x, generated)
            return {**terms, **options.penalty(self.critic, batch.weight)}
        generated = self.generator(options.noise(x))
        return {
            "adversarial": options.generator_term(self.critic(generated)),
            **options.penalty(self.generator, batch.weight),
        }

    def validate(self, batch: Batch) -> Float[Tensor, " event"]:
        """Return the energy score of each event under the generator."""
        return energy_score(batch.inputs[self.input].flatten(1), self.decode(self.prior(DRAWS)).flatten(1))

    def diagnose(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Return what tells generated events from real ones."""
        return collapse.diagnose(self, batches)

    def guards(self) -> Sequence[Guard]:
        """Return those of the model."""
        return self.options.guards()


def energy_score(
    x: Float[Tensor, "event feature"], generated: Float[Tensor, "draw feature"]
) -> Float[Tensor, " event"]:
    """Return the energy score of each event x under the generator that made the events y_j.

        score(x) = mean_j |x - y_j| - 1/2 mean_{j != k} |y_j - y_k|

    It is strictly proper: no generator has a lower mean than the one with the distribution of x. That mean is, up to a
    constant of the data, half the energy distance between the two distributions.

    References:
        T. Gneiting, A. Raftery, Strictly proper scoring rules, prediction, and estimation, Journal of the American
        Statistical Association 102 (2007) 359, eq. 22, doi:10.1198/016214506000001437.
        G. Szekely, M. Rizzo, Energy statistics: a class of statistics based on distances, Journal of Statistical
        Planning and Inference 143 (2013) 1249, doi:10.1016/j.jspi.2013.03.018.
    """
    draws = len(generated)
    spread = torch.cdist(generated, generated).sum() / (draws * (draws - 1))
    return torch.cdist(x, generated).mean(1) - spread / 2
