"""The one training loop: weighted loss, validation on held-out background, look-back stopping."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hepanom import evolution, returned, stop, team
from hepanom.blame import whose
from hepanom.contracts import Batch, Epoch, Network, Player
from hepanom.errors import HepanomError, InputError
from hepanom.evolution import CMAES, Evolution, Genetic
from hepanom.optimizers import WITHOUT_GRADIENTS
from hepanom.recipe import Train
from hepanom.source import Source
from hepanom.stream import at_once, batches, select, slices

VALIDATION_SEED = 20_190_725
DIAGNOSED = 512  # validation events from which a network is diagnosed
OPTIMIZERS: Mapping[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
    "adadelta": torch.optim.Adadelta,
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
    "cmaes": CMAES,
    "genetic": Genetic,
}
FUSED = {"adam", "sgd"}


@dataclass
class Training:
    """A network on its way: everything that a training needs to go on bit for bit where it stopped."""

    network: Network
    options: Train
    optimizers: dict[str, torch.optim.Optimizer]
    order: torch.Generator
    best: dict[str, Tensor]
    best_loss: float = float("inf")
    history: list[Epoch] = field(default_factory=list)
    finished: bool = False

    @property
    def best_epoch(self) -> int:
        """Return the epoch, counted from 1, whose weights are kept."""
        return max((record.epoch for record in self.history if record.best), default=0)


def resolve_device(name: str) -> torch.device:
    """Return the device; ``auto`` is the GPU where there is one. Raises InputError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"train.device: {name} is not there; `auto` takes a GPU where there is one")
    return device


def start(network: Network, options: Train, seed: int) -> Training:
    """Return a training at epoch 0 of a network that lies on its device.

    The parameters of a player become views of one flat tensor, which its optimizer moves as a whole. Raises InputError
    for an optimizer that does not suit itself or the network, TypeError for a parameter of two players.
    """
    moved = {
        name: (player, parameters)
        for name, player in network.players().items()
        if (parameters := [parameter for parameter in player.parameters if parameter.requires_grad])
    }
    owned = [id(parameter) for _, parameters in moved.values() for parameter in parameters]
    if len(set(owned)) < len(owned):
        raise TypeError(f"{type(network).__name__}.players() names a parameter twice; each belongs to one player")
    if isinstance(options.optimizer, WITHOUT_GRADIENTS):
        evolution.check(options.optimizer.use, tuple(moved))
    optimizers = {
        name: optimizer_for(_flat(parameters), player, options) for name, (player, parameters) in moved.items()
    }
    return Training(network, options, optimizers, torch.Generator().manual_seed(seed), _copy(network))


def _flat(parameters: Sequence[nn.Parameter]) -> nn.Parameter:
    """Return one parameter that holds all of these, and their gradients, which become views of it."""
    flat = nn.Parameter(torch.cat([parameter.detach().flatten() for parameter in parameters]))
    flat.grad = torch.zeros_like(flat)
    start = 0
    for parameter in parameters:
        size, stride = parameter.shape, parameter.stride()
        view, gradient = (whole.detach().as_strided(size, stride, start) for whole in (flat, flat.grad))
        parameter.data, parameter.grad = view.copy_(parameter.detach()), gradient
        start += parameter.numel()
    return flat


def optimizer_for(flat: nn.Parameter, player: Player, options: Train) -> torch.optim.Optimizer:
    """Return what moves a player's parameters, which are all in ``flat``.

    Raises InputError for options that contradict each other, or that the model sets and the optimizer does not have.
    """
    use, known = options.optimizer.use, options.optimizer.model_dump(exclude={"use"})
    if unknown := sorted(player.optimizer.keys() - known.keys()):
        raise InputError(
            f"train.optimizer: {use}: the model sets {', '.join(unknown)}, which {use} does not have (it has "
            f"{', '.join(known)}); take another optimizer, or leave that option of the model out"
        )
    chosen = {**known, **player.optimizer}
    speed = {} if issubclass(OPTIMIZERS[use], Evolution) else {"fused" if use in FUSED else "foreach": True}
    try:
        return OPTIMIZERS[use]([flat], **chosen, **speed)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise InputError(f"train.optimizer: {use}: {error}") from error


def _copy(network: Network) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def fit(training: Training, train: Source, valid: Iterable[Batch]) -> Iterator[Epoch]:
    """Train, yielding a record after each epoch; at the end the network holds the weights of the best one.

    With w the event weights and W their mean over all training events, the loss of a batch of B events is
    sum(w * loss) / (B * W). Look-back stopping trains until ``patience`` epochs brought no better validation loss,
    sum(w * validate) / sum(w), and returns to the best. The tables of both lie on the network's device.
    Raises HepanomError when a loss is not finite.

    References:
        J. Rojo, Machine Learning for Physics and Astronomy, lecture 2 (2020), for look-back stopping.
    """
    network, options = training.network, training.options
    size = -(-options.batch // team.size())
    events = team.gather(train.events)
    steps = max(len(slices(number, size)) for number in events)
    if team.size() > 1 and type(network).prepare is not Network.prepare:
        raise InputError(
            f"{type(network).__name__} learns from all events at once, which several processes do not have together; "
            "run it in one process"
        )
    while not training.finished:
        began = time.perf_counter()
        epoch = len(training.history)
        tables = train.epoch(training.order, size)
        network.train()
        done = network.prepare(chain.from_iterable(batches(table, size) for table in tables), epoch)
        losses = _one_epoch(training, tables, size, steps, epoch) if training.optimizers and not done else {}
        rate = sum(events) / (time.perf_counter() - began)
        yield close(training, losses, valid, rate, done=done)


def close(training: Training, losses: Mapping[str, float], valid: Iterable[Batch], rate: float, *, done: bool) -> Epoch:
    """Validate after an epoch, keep the weights if they are the best so far, and say whether the training goes on.

    A network that is finished, by ``done``, ``epochs``, ``patience`` or a rule of ``stop``, gets its best weights back.
    Raises InputError for a rule that watches what there is not.
    """
    network, options = training.network, training.options
    epoch = len(training.history) + 1
    validation, diagnostics = _validate(network, valid, options.batch)
    if not math.isfinite(validation):
        loss = f"the validation loss is {validation}, that of {whose(network)}"
        raise HepanomError(f"epoch {epoch}: {loss}; a smaller lr (or sigma) or clip may do")
    best = validation < training.best_loss
    record = Epoch(epoch, losses, validation, best, rate, diagnostics)
    if epoch == 1:
        stop.check(options.stop, record)
    training.history.append(record)
    if best:
        training.best_loss, training.best = validation, _copy(network)
    training.finished = done or epoch == options.epochs or epoch - training.best_epoch == options.patience
    training.finished |= stop.stopped_by(options.stop, training.history) is not None
    if training.finished:
        network.load_state_dict(training.best)
        network.eval()
    return record


def _one_epoch(training: Training, tables: Iterable[Batch], size: int, steps: int, epoch: int) -> dict[str, float]:
    """Update on every batch; nothing is brought back from the device before a table ends."""
    step, events, sums = 0, 0, Counter[str]()
    for table in tables:
        pieces = slices(len(table), size)
        progress = [(epoch + (step + number) / steps) / training.options.epochs for number in range(len(pieces))]
        by_batch = _one_table(training, table, pieces, progress)
        finite = torch.stack(list(by_batch.values())).isfinite().all(0)
        if not finite.all():
            broken = [term for term, values in by_batch.items() if not values.isfinite().all()]
            first = int((~finite).nonzero()[0])
            where = f"epoch {epoch + 1}, batch {step + first + 1} of {steps}"
            diverged(training.network, select(table, pieces[first]), where, broken)
        sums.update({term: float(values.double().sum()) for term, values in by_batch.items()})
        step, events = step + len(pieces), events + len(table)
    for _ in range(step, steps):  # others have more batches: this process adds nothing to their gradients
        for name, player in players_of(training).items():
            for _ in range(player.steps):
                training.optimizers[name].zero_grad(set_to_none=False)
                _update(training, name, 0)
    found = team.gather((sums, events))
    number = sum(events for _, events in found)
    return {term: sum(each[term] for each, _ in found) / number for term in found[0][0]}


def players_of(training: Training) -> dict[str, Player]:
    """Return the players that have something to train."""
    return {name: player for name, player in training.network.players().items() if name in training.optimizers}


def _one_table(
    training: Training, table: Batch, pieces: Sequence[slice], progress: Sequence[float]
) -> dict[str, Float[Tensor, " batch"]]:
    """Update on every batch of a table; return the weighted sum of each loss term by batch."""
    moved = players_of(training)
    sums: dict[str, list[Tensor]] = {}
    for piece, share in zip(pieces, progress, strict=True):
        batch = select(table, piece)
        for name, player in moved.items():
            for _ in range(player.steps):
                optimizer, losses = training.optimizers[name], partial(_weighted, training, name, batch, share)
                if isinstance(optimizer, Evolution):
                    weighted = evolution.generation(optimizer, training.network, losses)
                    continue
                optimizer.zero_grad(set_to_none=False)
                weighted = losses()
                loss = reduce(torch.add, weighted.values())
                (loss / len(batch) if team.size() == 1 else loss).backward()  # type: ignore[no-untyped-call]
                _update(training, name, len(batch))
            for term, value in weighted.items():
                sums.setdefault(term if len(moved) == 1 else f"{name}/{term}", []).append(value.detach())
    return {term: torch.stack(values) for term, values in sums.items()}


def _weighted(training: Training, player: str, batch: Batch, progress: float) -> dict[str, Float[Tensor, ""]]:
    """Return the weighted sum of each loss term."""
    with torch.autocast(batch.weight.device.type, torch.bfloat16, training.options.precision == "bfloat16"):
        terms = returned.terms(training.network, training.network.loss(player, batch, progress), batch.weight.shape)
    return {term: torch.dot(value.float(), batch.weight) for term, value in terms.items()}


def _update(training: Training, player: str, events: int) -> None:
    """Move a player along its gradient: in a team the sum over all processes' events, divided by their number."""
    optimizer = training.optimizers[player]
    (flat,) = optimizer.param_groups[0]["params"]
    if team.size() > 1:
        whole = team.add(torch.cat([flat.grad, flat.grad.new_tensor([events])]))
        torch.div(whole[:-1], whole[-1], out=flat.grad)
    if training.options.clip is not None:
        torch.nn.utils.clip_grad_norm_(flat, training.options.clip)
    optimizer.step()


def diverged(network: Network, batch: Batch, where: str, terms: Sequence[str]) -> None:
    """Raise, naming the inputs that were largest in the batch."""
    extremes = [
        f"{name}[{int(column)}] up to {float(peaks[column]):.3g}"
        for name, values in batch.inputs.items()
        for peaks in [values.flatten(1).abs().amax(0)]
        for column in peaks.topk(min(3, len(peaks))).indices
    ]
    raise HepanomError(
        f"{where}: the loss ({', '.join(terms)}) of {whose(network)} is not finite; the largest inputs there: "
        f"{', '.join(extremes)}. A smaller lr (or sigma), clip: 1.0, or the transforms standardize or log may do"
    )


def _validate(network: Network, valid: Iterable[Batch], size: int) -> tuple[float, dict[str, float]]:
    """Return the weighted mean of the network's final loss, and what it says of itself from some of the events.

    The noise of both is the same at every call.
    """
    network.eval()
    device = device_of(network)
    losses, weights = [], []
    some: list[Batch] = []
    with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(VALIDATION_SEED)
        for table in valid:
            pieces = batches(table, max(size, at_once(table, 4096)))
            losses += [torch.dot(returned.validated(network, batch), batch.weight) for batch in pieces]
            weights.append(table.weight.double().sum())
            if (left := DIAGNOSED - sum(map(len, some))) > 0:
                spread = torch.arange(0, len(table), max(1, len(table) // left), device=device)
                some.append(select(table, spread[:left]))  # a copy, so that the table does not wait
        torch.manual_seed(VALIDATION_SEED)
        diagnostics = network.diagnose(batch for table in some for batch in batches(table, at_once(table, DIAGNOSED)))
    both = torch.stack([torch.stack(losses).double().sum(), torch.stack(weights).sum()])
    loss, weight = team.add(both).tolist()
    return float(loss / weight), team.gather(diagnostics)[0]


def device_of(network: Network) -> torch.device:
    """Return where the network lies."""
    return next((value.device for value in network.state_dict().values()), torch.device("cpu"))
