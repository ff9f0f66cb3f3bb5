"""What every model promises of its loss: terms per event, gradients for all, weights that count, mixed precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest import mock

import torch
from torch import Tensor, nn

from hepanom.contracts import Batch, Network
from hepanom.testing.broken import expect, gap
from hepanom.testing.case import Case, settled
from hepanom.testing.made_up import rows, some_batch

REMEDY = "draw noise by torch.randn_like or torch.rand_like, so that it can be silenced and the weights tried"
NOISY = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)


def in_training(case: Case, device: str) -> Network:
    """Return a fresh network to train; one that nobody trains is the one in evaluation."""
    finished = settled(case, device)
    return case.network(device).train() if finished.players() else finished


def a_loss_is_per_event(case: Case, device: str) -> None:
    """A loss is one finite number per event and term."""
    network, events = in_training(case, device), some_batch(33, case.on, device)
    for player in network.players():
        for progress in (0.0, 0.7):
            for name, term in network.loss(player, events, progress).items():
                expect(term.shape == (33,), f"the term {name!r} has the shape {tuple(term.shape)} for 33 events")
                expect(term.isfinite().all(), f"the term {name!r} is NaN or infinite at progress {progress}")
    several = tuple(network.validate(events).shape)
    expect(several == (33,), f"validate has the shape {several} for 33 events")
    alone = tuple(network.eval().validate(rows(events, [3])).shape)
    expect(alone == (1,), f"validate has the shape {alone} for one event")


def it_moves_every_parameter(case: Case, device: str) -> None:
    """A gradient reaches every parameter, by one player each."""
    network, events = in_training(case, device), some_batch(33, case.on, device)
    names, moved = {id(parameter): name for name, parameter in network.named_parameters()}, list[int]()
    for player, who in network.players().items():
        network.zero_grad()
        torch.autograd.backward(_total(network, player, events, 0.7).sum())
        for parameter in who.parameters:
            expect(id(parameter) in names, f"the player {player!r} has a parameter that is not the network's")
            name, gradient = names[id(parameter)], parameter.grad
            expect(gradient is not None, f"none reaches {name} of the player {player!r}")
            expect(gradient is None or gradient.isfinite().all(), f"that of {name} is NaN or infinite")
            moved.append(id(parameter))
    left = [names[id(each)] for each in network.parameters() if each.requires_grad and id(each) not in moved]
    expect(not left, f"no player moves {', '.join(left)}")
    twice = sorted({names[each] for each in moved if moved.count(each) > 1})
    expect(not twice, f"two players move {', '.join(twice)}")


def it_learns_in_mixed_precision(case: Case, device: str) -> None:
    """It learns in mixed precision."""
    network, events = in_training(case, device), some_batch(33, case.on, device)
    for player, who in network.players().items():
        network.zero_grad()
        with torch.autocast(device, torch.bfloat16):
            total = _total(network, player, events, 0.7)
        expect(total.isfinite().all(), f"the loss of {player!r} is NaN or infinite in bfloat16")
        torch.autograd.backward(total.sum())
        finite = all(each.grad is None or each.grad.isfinite().all() for each in who.parameters)
        expect(finite, f"a gradient of {player!r} is NaN or infinite in bfloat16")


def weight_two_is_the_event_twice(case: Case, device: str) -> None:
    """An event of weight two counts as the event twice."""
    network = in_training(case, device)
    for module in network.modules():
        if isinstance(module, NOISY):
            module.eval()
    count = torch.tensor([1, 2, 3] * 10, device=device)
    once = replace(some_batch(30, case.on, device), weight=count.float())
    copies = rows(once, torch.arange(30, device=device).repeat_interleave(count))
    twice = replace(copies, weight=torch.ones_like(copies.weight))
    with silence():
        for player in network.players():
            expected, found = (_gradients(network, player, events) for events in (once, twice))
            again = _gradients(network, player, once)
            for name, gradient in found.items():
                noisy = not torch.allclose(again[name], expected[name], 1e-4, 1e-6)
                expect(not noisy, f"two equal losses move {name} by {gap(again[name], expected[name])}: {REMEDY}")
                close = torch.allclose(gradient, expected[name], 1e-4, 1e-6)
                expect(close, f"the gradient of {name} differs by {gap(gradient, expected[name])}")


@contextmanager
def silence() -> Iterator[None]:
    """Let torch's noise be its mean for the block: events that are one event twice draw the same."""
    means: dict[str, Callable[..., Tensor]] = {
        "randn_like": torch.zeros_like,
        "rand_like": lambda like, **how: torch.full_like(like, 0.5, **how),
        "randn": lambda *size, generator=None, **how: torch.zeros(*size, **how),  # noqa: PLW0108
        "rand": lambda *size, generator=None, **how: torch.zeros(*size, **how) + 0.5,
    }
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(nn.functional, "dropout", lambda values, *_, **__: values))
        for name, mean in means.items():
            stack.enter_context(mock.patch.object(torch, name, mean))
        yield


def _gradients(network: Network, player: str, events: Batch) -> dict[str, Tensor]:
    """Return the gradient of the weighted mean loss for each parameter of a player."""
    network.zero_grad()
    torch.autograd.backward(_total(network, player, events, 0.7) @ events.weight / events.weight.sum())
    own = {id(parameter) for parameter in network.players()[player].parameters}
    return {
        name: torch.zeros_like(each) if each.grad is None else each.grad.clone()
        for name, each in network.named_parameters()
        if id(each) in own
    }


def _total(network: Network, player: str, events: Batch, progress: float) -> Tensor:
    """Return the sum of a player's loss terms, one number per event."""
    return torch.stack([term.float() for term in network.loss(player, events, progress).values()]).sum(0)
