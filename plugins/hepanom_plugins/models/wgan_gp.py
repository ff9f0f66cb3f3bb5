"""The Wasserstein generative adversarial network with gradient penalty, for tables and images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hepanom.contracts import Guard, Model, Network
from hepanom.events import Schema
from hepanom_plugins.models import collapse
from hepanom_plugins.models.gan import Adversarial, AdversarialNetwork, Critic


@dataclass(frozen=True)
class WGANGP(Adversarial, Model):
    """Wasserstein generative adversarial network with gradient penalty, for a table of features or an image.

    The critic c approximates the Wasserstein distance between generated events g(z), z ~ N(0, 1), and real events x; a
    penalty holds the length of its gradient near 1 on the lines between them:

        critic:     -c(x) + c(g(z)) + lambda (|grad c(u)| - 1)^2,   u = t x + (1 - t) g(z),   t ~ U(0, 1),
        generator:  -c(g(z)),

    with the terms ``real``, ``generated``, ``gradient_penalty`` and ``adversarial``. The distance is minus the sum of
    ``real`` and ``generated``. With ``batch_norm`` the generator alone has it: the penalty is one of each event, and
    would not be if the critic mixed the events of a batch. The paper takes a new batch for each of the critic's steps,
    and Adam with ``lr: 1e-4`` and the option ``betas: [0, 0.9]``. Look-back stopping watches the energy score, as for
    ``gan``.

    References:
        M. Arjovsky, S. Chintala, L. Bottou, Wasserstein GAN, 2017, arXiv:1701.07875.
        I. Gulrajani et al., Improved training of Wasserstein GANs, 2017, arXiv:1704.00028, algorithm 1.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"critic"})
    loss_options: ClassVar[frozenset[str]] = Model.loss_options | {"gradient_penalty"}

    critic_steps: Annotated[int, Field(gt=0, description="updates of the critic for each of the generator")] = 5
    gradient_penalty: Annotated[float, Field(ge=0, description="lambda, the factor of the gradient penalty")] = 10.0

    def build(self, schema: Schema) -> Network:
        """Return the network for the schema's only table or image."""
        name, entry = schema.only()
        network = AdversarialNetwork(self, name, entry)
        network.stacks = False  # vmap has no autograd.grad, and torch.func.grad takes 1.5 times as long
        return network

    def critic(self, features: int) -> Critic:
        """Return a critic without batch normalization."""
        return Adversarial.critic(replace(self, batch_norm=False), features)

    def critic_terms(
        self, critic: Critic, real: Float[Tensor, "event feature"], generated: Float[Tensor, "event feature"]
    ) -> dict[str, Float[Tensor, " event"]]:
        """Return the critic's values and the gradient penalty."""
        penalty = self.gradient_penalty * gradient_penalty(critic, real, generated)
        return {"real": -critic(real), "generated": critic(generated), "gradient_penalty": penalty}

    def generator_term(self, value: Float[Tensor, " event"]) -> Float[Tensor, " event"]:
        """Return minus the critic's value of each generated event."""
        return -value

    def guards(self) -> Sequence[Guard]:
        """Return the limits of the diagnostics; the critic's value is a length, which has none."""
        return collapse.GUARDS


@torch.enable_grad()
def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    real: Float[Tensor, "event feature"],
    generated: Float[Tensor, "event feature"],
) -> Float[Tensor, " event"]:
    """Return (|grad c(u)| - 1)^2 at a point u, drawn for each event on the line from the generated to the real one."""
    share = torch.special.ndtr(torch.randn_like(real[:, :1]))  # U(0, 1), from the same draws as all other noise
    between = torch.lerp(generated.to(real.dtype), real, share).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    length: Tensor = torch.linalg.vector_norm(gradient, dim=1)
    return (length - 1).square()
