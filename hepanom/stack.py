"""Replicas that train at once: the parameters of all are the rows of one tensor, and one pass moves every row."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial, reduce

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from hepanom import returned, team
from hepanom.contracts import Batch, Epoch, Network, Player
from hepanom.optimizers import WITHOUT_GRADIENTS
from hepanom.recipe import Train
from hepanom.source import Source, Table
from hepanom.stream import select, slices
from hepanom.train import Training, close, diverged, optimizer_for, players_of


def stacks(network: Network, options: Train, source: Source) -> bool:
    """Return whether replicas of a network can train at once: it says so, by gradients, from events in memory."""
    by_gradients = not isinstance(options.optimizer, WITHOUT_GRADIENTS)
    return network.stacks and by_gradients and isinstance(source, Table) and team.size() == 1


def fit(trainings: Sequence[Training], train: Source, valid: Iterable[Batch]) -> Iterator[dict[int, Epoch]]:
    """Train several networks of one kind as ``train.fit`` does each, yielding their records after each epoch.

    Each has its own order of events, its own noise, clipping and look-back stopping; one that stopped leaves the stack.
    A record's events per second are those of all together. Raises HepanomError when a loss is not finite.
    """
    assert isinstance(train, Table)
    stack: Stack | None = None
    while running := [index for index, training in enumerate(trainings) if not training.finished]:
        began = time.perf_counter()
        if stack is None or len(stack.trainings) > len(running):
            stack = Stack([trainings[index] for index in running])
        losses = stack.epoch(train)
        rate = len(running) * train.events / (time.perf_counter() - began)
        yield {
            index: close(trainings[index], found, valid, rate, done=False)
            for index, found in zip(running, losses, strict=True)
        }


class Stack:
    """Trainings whose parameters, buffers and optimizer states are rows of common tensors.

    The networks stay usable alone: what they hold are views of their rows. The loss is the first network's, mapped over
    the rows by torch's vmap.
    """

    def __init__(self, trainings: Sequence[Training]) -> None:
        self.trainings, self.first = trainings, trainings[0]
        self.loss = Loss(self.first.network)
        named = [dict([*each.network.named_parameters(), *each.network.named_buffers()]) for each in trainings]
        rows = {name: [one[name] for one in named] for name in named[0]}
        names = {id(row): name for name, (row, *_) in rows.items()}
        self.flats: dict[str, nn.Parameter] = {}
        self.gradients: dict[str, dict[str, Tensor]] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.tensors: dict[str, Tensor] = {}
        for player, options in players_of(self.first).items():
            own = {names[id(parameter)] for parameter in options.parameters if parameter.requires_grad}
            self._join(player, {name: rows[name] for name in sorted(own)})
            self.optimizers[player] = self._optimizer(player, options)
        for name in rows.keys() - self.tensors.keys():
            self.tensors[name] = torch.stack([row.detach() for row in rows[name]])
            _view(rows[name], self.tensors[name])

    def _join(self, player: str, rows: Mapping[str, Sequence[Tensor]]) -> None:
        """Lay the flat parameters of a player on top of each other, and the parameters that are parts of them."""
        flats = self._flats(player)
        whole = nn.Parameter(torch.stack([flat.detach() for flat in flats]))
        whole.grad, gradients = torch.zeros_like(whole), {}
        for name, (first, *rest) in rows.items():
            size, stride = (len(flats), *first.shape), (flats[0].numel(), *first.stride())
            start = first.storage_offset() - flats[0].storage_offset()
            self.tensors[name] = whole.detach().as_strided(size, stride, start).requires_grad_()
            gradients[name] = whole.grad.as_strided(size, stride, start)
            _view([first, *rest], self.tensors[name].detach())
        self.flats[player], self.gradients[player] = whole, gradients

    def _flats(self, player: str) -> list[nn.Parameter]:
        return [training.optimizers[player].param_groups[0]["params"][0] for training in self.trainings]

    def _optimizer(self, player: str, options: Player) -> torch.optim.Optimizer:
        """Return what moves all rows of a player's parameters, in the state that the single optimizers have."""
        flats, whole = self._flats(player), self.flats[player]
        optimizer = optimizer_for(whole, options, self.first.options)
        states = [training.optimizers[player].state[flat] for training, flat in zip(self.trainings, flats, strict=True)]
        optimizer.state[whole] = {
            key: torch.stack([state[key] for state in states]) if _fits(value, flats[0]) else value
            for key, value in states[0].items()
        }
        _view(flats, whole.detach())
        return optimizer

    def epoch(self, table: Table) -> list[dict[str, float]]:
        """Update every network on every batch of its own order; return the mean losses of each."""
        options, events = self.first.options, table.batch
        order = torch.stack([torch.randperm(len(events), generator=each.order) for each in self.trainings])
        order = order.to(events.weight.device)
        pieces = slices(len(events), options.batch)
        done, found = len(self.first.history), list[dict[str, Tensor]]()
        for training in self.trainings:
            training.network.train()
        for number, piece in enumerate(pieces):
            progress = (done + number / len(pieces)) / options.epochs
            rows = order[:, piece]
            found.append(self._step({name: values[rows] for name, values in events.tensors().items()}, progress))
        by_batch = {term: torch.stack([losses[term] for losses in found]) for term in found[0]}
        finite = torch.stack(list(by_batch.values())).isfinite().all(0)
        if not finite.all():
            batch, replica = (~finite).nonzero()[0].tolist()
            broken = [term for term, values in by_batch.items() if not values[batch, replica].isfinite()]
            where = f"epoch {done + 1}, batch {batch + 1} of {len(pieces)}, training {replica + 1} of {len(order)}"
            diverged(self.first.network, select(events, order[replica, pieces[batch]]), where, broken)
        for player, optimizer in self.optimizers.items():
            self._hand_back(player, optimizer)
        means = {term: (values.double().sum(0) / len(events)).tolist() for term, values in by_batch.items()}
        return [{term: values[index] for term, values in means.items()} for index in range(len(order))]

    def _step(self, batch: Mapping[str, Tensor], progress: float) -> dict[str, Float[Tensor, " replica"]]:
        """Move every player of every network; return the weighted sum of each loss term.

        The tensors of the batch, as those of the networks, have the replicas as their first axis.
        """
        options, weight = self.first.options, batch["weight"]
        players, sums = players_of(self.first), dict[str, Tensor]()
        for name, player in players.items():
            mapped = torch.vmap(partial(self.loss.of, name, progress), randomness="different")
            for _ in range(player.steps):
                with torch.autocast(weight.device.type, torch.bfloat16, options.precision == "bfloat16"):
                    terms = mapped(self.tensors, batch)
                weighted = {term: (value.float() * weight).sum(1) for term, value in terms.items()}
                loss = reduce(torch.add, weighted.values()).sum() / weight.shape[1]
                self._update(name, loss)
            for term, value in weighted.items():
                sums[term if len(players) == 1 else f"{name}/{term}"] = value.detach()
        return sums

    def _update(self, player: str, loss: Float[Tensor, ""]) -> None:
        """Move every row of a player along its gradient."""
        places, clip, flat = self.gradients[player], self.first.options.clip, self.flats[player]
        leaves = [self.tensors[name] for name in places]
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        torch._foreach_copy_(list(places.values()), gradients)
        if clip is not None:
            assert flat.grad is not None
            norm = torch.linalg.vector_norm(flat.grad, dim=1, keepdim=True)
            flat.grad.mul_((clip / (norm + 1e-6)).clamp(max=1))
        self.optimizers[player].step()

    def _hand_back(self, player: str, optimizer: torch.optim.Optimizer) -> None:
        """Give the single optimizers their rows of the state, so that each training can be written down alone."""
        whole = self.flats[player]
        for index, (training, flat) in enumerate(zip(self.trainings, self._flats(player), strict=True)):
            training.optimizers[player].state[flat] = {
                key: value[index] if _fits(value, whole) else value for key, value in optimizer.state[whole].items()
            }


class Loss(nn.Module):
    """A network's loss as a function of its parameters and buffers."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, player: str, batch: Batch, progress: float) -> dict[str, Float[Tensor, " event"]]:
        """Return the named loss terms per event."""
        return returned.terms(self.network, self.network.loss(player, batch, progress), batch.weight.shape)

    def of(
        self, player: str, progress: float, tensors: Mapping[str, Tensor], batch: Mapping[str, Tensor]
    ) -> dict[str, Float[Tensor, " event"]]:
        """Return the loss terms with other parameters and buffers."""
        replaced = {f"network.{name}": value for name, value in tensors.items()}
        terms: dict[str, Tensor] = functional_call(self, replaced, (player, Batch.of(batch), progress))
        return terms


def _view(rows: Sequence[Tensor], whole: Tensor) -> None:
    """Make each tensor a view of its row of the whole."""
    for row, values in zip(rows, whole, strict=True):
        row.data = values


def _fits(value: object, parameter: Tensor) -> bool:
    """Say whether a value of an optimizer's state has an entry for each number of the parameter."""
    return isinstance(value, Tensor) and value.shape == parameter.shape
