"""The generative adversarial network for tables and images, and what all adversarial models share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import softplus

from hepanom.contracts import Batch, Model, Network, Outputs, Player
from hepanom.events import Schema
from hepanom_plugins.models.layers import Activation, Dense

DRAWS = 512  # generated events that each validation event is compared with


@dataclass(frozen=True)
class Adversarial(Dense):
    """Options of two networks that play against each other: a generator of events from noise, and their critic.

    The critic's hidden layers are ``hidden``, the generator's are mirrored; the generator's noise is z ~ N(0, 1) of
    width ``latent``. All ``critic_steps`` in a row see the same batch, with fresh noise. Each player's learning rate is
    the recipe's unless it is given here.
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

    def generate(self, generator: nn.Sequential, draws: int) -> Float[Tensor, "draw feature"]:
        """Return generated events, flat, from torch's global generator."""
        device = next(generator.parameters()).device
        generated: Tensor = generator(torch.randn(draws, self.latent, device=device))
        return generated

    def players(self, critic: nn.Module, generator: nn.Module) -> dict[str, Player]:
        """Return the critic, who moves first, and the generator."""
        lr = {"critic": self.critic_lr, "generator": self.generator_lr}
        own = {name: {} if rate is None else {"lr": rate} for name, rate in lr.items()}
        return {
            "critic": Player(list(critic.parameters()), self.critic_steps, own["critic"]),
            "generator": Player(list(generator.parameters()), 1, own["generator"]),
        }

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
    is not. The record of the generator also holds ``variance_ratio``, see there, which has no gradient. Look-back
    stopping watches the energy score, see there, not the losses, which measure the players against each other.

    References:
        I. Goodfellow et al., Generative adversarial nets, 2014, arXiv:1406.2661.
        A. Nardelli, bachelor's thesis, Trento 2016, section 3.3, eq. 3.21 and 3.22.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"critic"})

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only table or image."""
        name, entry = schema.only()
        return AdversarialNetwork(self, name, entry.width)

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

    def __init__(self, options: Adversarial, name: str, features: int) -> None:
        super().__init__()
        self.options, self.input = options, name
        self.generator = options.generator(features)
        self.critic = options.critic(features)

    def players(self) -> dict[str, Player]:
        """Return critic and generator."""
        return self.options.players(self.critic, self.generator)

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return the critic's value; there is no noise here."""
        return {"critic": self.critic(batch.inputs[self.input].flatten(1))}

    def generate(self, draws: int) -> Float[Tensor, "draw feature"]:
        """Return generated events, flat, from torch's global generator."""
        return self.options.generate(self.generator, draws)

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
            "variance_ratio": variance_ratio(generated, x, batch.weight),
            **options.penalty(self.generator, batch.weight),
        }

    def validate(self, batch: Batch) -> Float[Tensor, " event"]:
        """Return the energy score of each event under the generator."""
        return energy_score(batch.inputs[self.input].flatten(1), self.generate(DRAWS))


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


@torch.no_grad()
def variance_ratio(
    generated: Float[Tensor, "event feature"], real: Float[Tensor, "event feature"], weight: Float[Tensor, " event"]
) -> Float[Tensor, " event"]:
    """Return the variance of generated over that of real events, both weighted and summed over the features.

    It is the same for every event and has no gradient: a guard that falls towards 0 when the generator collapses.
    """
    share = weight / weight.sum().clamp(min=1e-30)  # a batch without weight counts for nothing
    generated_variance, real_variance = (
        share @ (values - share @ values).square().sum(1) for values in (generated, real)
    )
    return (generated_variance / real_variance.clamp(min=1e-12)).expand_as(weight)
