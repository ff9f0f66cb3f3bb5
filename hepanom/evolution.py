"""Training without gradients: CMA-ES and a genetic algorithm, each an optimizer of one flat parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
from cmaes import CMA, SepCMA  # type: ignore[import-untyped]
from jaxtyping import Float, Int
from torch import Tensor, nn

from hepanom import team
from hepanom.contracts import Network
from hepanom.errors import HepanomError, InputError

Loss = Callable[[], Float[Tensor, ""]]
Terms = Callable[[], Mapping[str, Float[Tensor, ""]]]
LARGEST = 1000  # parameters with a full covariance, whose eigenvectors cost the third power of their number
FARTHEST = 1e30  # of a value of a candidate; the library gives up at 1e32, without a message
MOVING = ("_mean", "_sigma", "_C", "_p_sigma", "_pc", "_g")  # what a generation changes in the library's strategies


def check(use: str, players: Sequence[str]) -> None:
    """Raise InputError for a training that needs gradients, or in which several processes share the batches."""
    gradient = "take an optimizer that follows the gradient, such as use: adam"
    if len(players) > 1:
        raise InputError(
            f"train.optimizer: {use} lowers the loss of one player, and here {' and '.join(players)} play against each "
            f"other; {gradient}"
        )
    if team.size() > 1:
        raise InputError(
            f"train.optimizer: {use} ranks its candidates in one process; run it without torchrun, or {gradient}"
        )


@torch.no_grad()
def generation(optimizer: Evolution, network: Network, terms: Terms) -> Mapping[str, Float[Tensor, ""]]:
    """Move a network by one generation and return the loss terms before it, whose pass alone changes the buffers.

    ``terms`` returns the weighted loss terms of a batch at the network's present parameters.
    """
    before = terms()
    kept = [(buffer, buffer.clone()) for buffer in network.buffers()]

    def loss() -> Float[Tensor, ""]:
        summed = reduce(torch.add, terms().values())
        for buffer, value in kept:
            buffer.copy_(value)
        return summed

    optimizer.step(loss)  # type: ignore[arg-type]
    return before


class Evolution(torch.optim.Optimizer):
    """What both algorithms share: candidates are compared on one batch with the same noise, by their rank alone.

    A step is a function of ``state_dict()["state"]``, the batch and torch's global generator, which it leaves as it
    was. Its own draws come from a generator that the global one seeds at the start. Values that a network's ``prepare``
    sets between two steps are taken over.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], **options: Any) -> None:
        super().__init__(parameters, options)
        (self._flat,) = self.param_groups[0]["params"]
        seed = int(torch.randint(2**63 - 1, ()))
        self.state[self._flat] = {"generator": torch.Generator().manual_seed(seed).get_state()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take a stored state over as it is; torch's own would round it to the parameter's float32."""
        super().load_state_dict({**state_dict, "state": {}})
        self.state[self._flat] = dict(state_dict["state"][0])

    def _generator(self) -> torch.Generator:
        return torch.Generator().set_state(self.state[self._flat]["generator"])

    def _losses(self, loss: Loss, candidates: Float[Tensor, "candidate parameter"]) -> Float[Tensor, " candidate"]:
        """Return the loss of each candidate; one that is not finite is worse than every other."""
        flat, found = self._flat, []
        for candidate in candidates:
            flat.copy_(candidate)
            with torch.random.fork_rng([flat.device] if flat.is_cuda else []):
                found.append(loss())
        losses = torch.stack(found).double().cpu()
        return losses.where(losses.isfinite(), torch.inf)


class CMAES(Evolution):
    r"""Covariance matrix adaptation evolution strategy, updated by the library cmaes.

    In generation t, M candidates are drawn around the search centre, \theta_k ~ N(m_t, \sigma_t^2 C_t). The new centre
    is the weighted mean of the better half, m_{t+1} = m_t + \sum_k w_k (\theta_k - m_t); the step size \sigma and the
    covariance C, full or diagonal, follow the path of the centre and the spread of the better half. The first centre is
    the network's initial weights. After a step the parameter holds the centre, which owes less to the luck of one batch
    than its best candidate. M is 4 + 3 ln n for n parameters where ``population`` does not say otherwise.

    Raises InputError for a network too large for a full covariance, or a population too large for a diagonal one, and
    HepanomError where the search runs away.

    References:
        J. Rojo, Machine Learning for Physics and Astronomy, lecture 2 (2020).
        N. Hansen, The CMA evolution strategy: a tutorial (2016), arXiv:1604.00772.
        R. Ros, N. Hansen, A simple modification in CMA-ES achieving linear time and space complexity (2008),
        doi:10.1007/978-3-540-87700-4_30, for the diagonal covariance.
        M. Nomura, M. Shibata, cmaes: a simple yet practical Python library for CMA-ES (2024), arXiv:2402.01373.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, sigma: float, population: int | None, covariance: str):
        super().__init__(parameters, sigma=sigma, population=population, covariance=covariance)
        size = self._flat.numel()
        if covariance == "full" and size > LARGEST:
            raise InputError(
                f"train.optimizer: cmaes keeps the full covariance of up to {LARGEST:,} parameters, and this network "
                f"has {size:,}; covariance: diagonal would do, or use: genetic, a smaller network, or use: adam"
            )
        strategy = self._strategy()
        if strategy._c1 + strategy._cmu > 1:  # the library's separable strategy forgets more of C than there is
            raise InputError(
                f"train.optimizer: cmaes: a population of {population} is too large for a diagonal covariance of "
                f"{size} parameters; a smaller one would do, or covariance: full"
            )
        self._keep(strategy)

    def _strategy(self) -> CMA | SepCMA:
        """Return the library's strategy as the last generation left it."""
        group, state = self.param_groups[0], self.state[self._flat]
        centre = self._flat.detach().cpu().double().numpy()
        kind = SepCMA if group["covariance"] == "diagonal" and len(centre) > 1 else CMA
        strategy = kind(centre.copy(), group["sigma"], population_size=group["population"])
        stored = {name: state[name.strip("_")] for name in MOVING if name.strip("_") in state}
        values = {name: value.numpy().copy() if value.ndim else value.item() for name, value in stored.items()}
        vars(strategy).update(values)
        return strategy

    def _keep(self, strategy: CMA | SepCMA) -> None:
        moved = {name.strip("_"): torch.from_numpy(np.array(vars(strategy)[name])) for name in MOVING}
        self.state[self._flat] |= moved

    @torch.no_grad()
    def step(self, closure: Loss) -> None:  # type: ignore[override]
        """Draw candidates around the centre and move it; ``closure`` returns the loss at the parameter's values."""
        state, flat, generator = self.state[self._flat], self._flat, self._generator()
        now = flat.detach().cpu().double()
        state["mean"] = now.where(now != state["mean"].to(flat.dtype), state["mean"])
        strategy = self._strategy()
        draws = torch.randn(strategy.population_size, len(now), generator=generator, dtype=torch.float64)
        candidates = state["mean"] + state["sigma"] * _stretched(draws, state["C"])
        if not candidates.abs().max() < FARTHEST:
            raise HepanomError(
                f"train.optimizer: cmaes searches beyond {FARTHEST:g} by now, as where a loss falls without end; fewer "
                "epochs may do, or a loss with a minimum"
            )
        losses = self._losses(closure, candidates)
        strategy.tell(list(zip(candidates.numpy(), losses.tolist(), strict=True)))
        self._keep(strategy)
        state["generator"] = generator.get_state()
        flat.copy_(state["mean"])


def _stretched(
    draws: Float[Tensor, "candidate parameter"], covariance: Float[Tensor, ...]
) -> Float[Tensor, "candidate parameter"]:
    """Return standard normal draws as draws from N(0, C), with C decomposed once: the library does it for each."""
    if covariance.ndim == 1:
        return draws * covariance.sqrt()
    variance, axes = torch.linalg.eigh(covariance)
    stretched: Tensor = (draws * variance.clamp_min(0).sqrt()) @ axes.T
    return stretched


class Genetic(Evolution):
    r"""Genetic algorithm: the better individuals survive, their children are mixed and mutate.

    Of M individuals \theta_i, the ``elite`` best survive a generation unchanged. The parents of all others are drawn
    from these (``selection: elite``), or each is the best of ``tournament`` individuals drawn from all. Two parents are
    crossed with probability ``crossover``: from a random parameter on, their children have swapped the rest. Each
    parameter of a child mutates with probability ``mutation``, \theta_{ij} -> \theta_{ij} + \eta_t N(0, 1), at a rate
    that falls with the generation t, \eta_t = \sigma / (1 + t)^decay. (The lecture multiplies by 1 + \eta, by which a
    bias that starts at zero would never move.) The first generation is the network's initial weights and M - 1 mutants
    of them. After a step the parameter holds the best individual.

    References:
        J. Rojo, Machine Learning for Physics and Astronomy, lecture 2 (2020).
        R. D. Ball et al. (NNPDF), Parton distributions for the LHC run II (2014), arXiv:1410.8849, for the rate.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], **options: Any) -> None:
        super().__init__(parameters, **options)
        generator = self._generator()
        first = self._flat.detach().cpu().expand(options["population"], -1).clone()
        first[1:] = mutated(first[1:], options["sigma"], 1.0, generator)
        self.state[self._flat] = {
            "population": first,
            "generation": torch.tensor(0),
            "generator": generator.get_state(),
        }

    @torch.no_grad()
    def step(self, closure: Loss) -> None:  # type: ignore[override]
        """Rank a generation and raise the next; ``closure`` returns the loss at the parameter's values."""
        state, options, generator = self.state[self._flat], self.param_groups[0], self._generator()
        population, now = state["population"], self._flat.detach().cpu()
        population = population.where(now == population[0], now)
        ranked = population[self._losses(closure, population).argsort(stable=True)]
        children = len(ranked) - options["elite"]
        mothers, fathers = parents(options, -(-children // 2), generator)
        born = crossed(ranked[mothers], ranked[fathers], options["crossover"], generator)[:children]
        rate = options["sigma"] / (1 + int(state["generation"])) ** options["decay"]
        born = mutated(born, rate, options["mutation"], generator)
        state["population"] = torch.cat([ranked[: options["elite"]], born])
        state["generation"] = state["generation"] + 1
        state["generator"] = generator.get_state()
        self._flat.copy_(ranked[0])


def parents(
    options: Mapping[str, Any], pairs: int, generator: torch.Generator
) -> tuple[Int[Tensor, " pair"], Int[Tensor, " pair"]]:
    """Draw the ranks of the two parents of each pair; 0 is the best individual."""
    if options["selection"] == "elite":
        drawn = torch.randint(options["elite"], (2, pairs), generator=generator)
    else:
        drawn = torch.randint(options["population"], (2, pairs, options["tournament"]), generator=generator).amin(2)
    return drawn[0], drawn[1]


def crossed(
    mothers: Float[Tensor, "pair parameter"],
    fathers: Float[Tensor, "pair parameter"],
    probability: float,
    generator: torch.Generator,
) -> Float[Tensor, "child parameter"]:
    """Return two children of each pair: with the probability they swap all parameters from a random place on.

    The first children of all pairs, which begin like their mothers, come before the second ones.
    """
    pairs, size = mothers.shape
    place = torch.randint(1, max(2, size), (pairs, 1), generator=generator)
    apart = torch.rand(pairs, 1, generator=generator) >= probability
    own = apart | (torch.arange(size) < place)
    return torch.cat([mothers.where(own, fathers), fathers.where(own, mothers)])


def mutated(
    children: Float[Tensor, "child parameter"], rate: float, probability: float, generator: torch.Generator
) -> Float[Tensor, "child parameter"]:
    """Return the children with each parameter moved, with the probability, by a Gaussian of width ``rate``."""
    hit = torch.rand(children.shape, generator=generator) < probability
    return children + hit * rate * torch.randn(children.shape, generator=generator, dtype=children.dtype)
