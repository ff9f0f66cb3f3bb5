"""The one training loop: weighted loss, validation on held-out background, look-back stopping."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hepanom import team
from hepanom.contracts import Batch, Epoch, Network, Player
from hepanom.errors import HepanomError, InputError
from hepanom.recipe import Train
from hepanom.source import Source
from hepanom.stream import at_once, batches, select, slices

VALIDATION_SEED = 20_190_725
OPTIMIZERS: Mapping[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
    "adadelta": torch.optim.Adadelta,
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
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
    for optimizer options that contradict each other, TypeError for a parameter of two players.
    """
    moved = {
        name: (player, parameters)
        for name, player in network.players().items()
        if (parameters := [parameter for parameter in player.parameters if parameter.requires_grad])
    }
    owned = [id(parameter) for _, parameters in moved.values() for parameter in parameters]
    if len(set(owned)) < len(owned):
        raise TypeError(f"{type(network).__name__}.players() names a parameter twice; each belongs to one player")
    optimizers = {
        name: _optimizer(
            _flat(parameters),
            {**options.optimizer.model_dump(exclude={"use"}), **player.optimizer},
            options.optimizer.use,
        )
        for name, (player, parameters) in moved.items()
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


def _optimizer(parameters: nn.Parameter, options: Mapping[str, object], use: str) -> torch.optim.Optimizer:
    speed = {"fused" if use in FUSED else "foreach": True}
    try:
        return OPTIMIZERS[use]([parameters], **options, **speed)  # type: ignore[arg-type]
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
        seconds = time.perf_counter() - began
        validation = _validate(network, valid, options.batch)
        if not math.isfinite(validation):
            raise HepanomError(
                f"epoch {epoch + 1}: the validation loss is {validation}; a smaller lr or clip: 1.0 may do"
            )
        best = validation < training.best_loss
        record = Epoch(epoch + 1, losses, validation, best, sum(events) / seconds)
        training.history.append(record)
        if best:
            training.best_loss, training.best = validation, _copy(network)
        waited = record.epoch - training.best_epoch
        training.finished = done or record.epoch == options.epochs or waited == options.patience
        yield record
    network.load_state_dict(training.best)
    network.eval()


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
            _diverged(select(table, pieces[first]), f"epoch {epoch + 1}, batch {step + first + 1} of {steps}", broken)
        sums.update({term: float(values.double().sum()) for term, values in by_batch.items()})
        step, events = step + len(pieces), events + len(table)
    for _ in range(step, steps):  # others have more batches: this process adds nothing to their gradients
        for name, player in _players(training).items():
            for _ in range(player.steps):
                training.optimizers[name].zero_grad(set_to_none=False)
                _update(training, name, 0)
    found = team.gather((sums, events))
    number = sum(events for _, events in found)
    return {term: sum(each[term] for each, _ in found) / number for term in found[0][0]}


def _players(training: Training) -> dict[str, Player]:
    return {name: player for name, player in training.network.players().items() if name in training.optimizers}


def _one_table(
    training: Training, table: Batch, pieces: Sequence[slice], progress: Sequence[float]
) -> dict[str, Float[Tensor, " batch"]]:
    """Update on every batch of a table; return the weighted sum of each loss term by batch."""
    players = _players(training)
    sums: dict[str, list[Tensor]] = {}
    for piece, share in zip(pieces, progress, strict=True):
        batch = select(table, piece)
        for name, player in players.items():
            for _ in range(player.steps):
                training.optimizers[name].zero_grad(set_to_none=False)
                with torch.autocast(batch.weight.device.type, torch.bfloat16, training.options.precision == "bfloat16"):
                    terms = training.network.loss(name, batch, share)
                weighted = {term: torch.dot(value.float(), batch.weight) for term, value in terms.items()}
                loss = reduce(torch.add, weighted.values())
                (loss / len(batch) if team.size() == 1 else loss).backward()  # type: ignore[no-untyped-call]
                _update(training, name, len(batch))
            for term, value in weighted.items():
                sums.setdefault(term if len(players) == 1 else f"{name}/{term}", []).append(value.detach())
    return {term: torch.stack(values) for term, values in sums.items()}


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


def _diverged(batch: Batch, where: str, terms: Sequence[str]) -> None:
    """Raise, naming the inputs that were largest in the batch."""
    extremes = [
        f"{name}[{int(column)}] up to {float(peaks[column]):.3g}"
        for name, values in batch.inputs.items()
        for peaks in [values.flatten(1).abs().amax(0)]
        for column in peaks.topk(min(3, len(peaks))).indices
    ]
    raise HepanomError(
        f"{where}: the loss ({', '.join(terms)}) is not finite; the "
        f"largest inputs there: {', '.join(extremes)}. A smaller lr, clip: 1.0, or the transforms standardize or log "
        "may do"
    )


def _validate(network: Network, valid: Iterable[Batch], size: int) -> float:
    """Return the weighted mean of the network's final loss; the noise is the same at every call."""
    network.eval()
    device = device_of(network)
    losses, weights = [], []
    with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(VALIDATION_SEED)
        for table in valid:
            pieces = batches(table, max(size, at_once(table, 4096)))
            losses += [torch.dot(network.validate(batch), batch.weight) for batch in pieces]
            weights.append(table.weight.double().sum())
    both = torch.stack([torch.stack(losses).double().sum(), torch.stack(weights).sum()])
    loss, weight = team.add(both).tolist()
    return float(loss / weight)


def device_of(network: Network) -> torch.device:
    """Return where the network lies."""
    return next((value.device for value in network.state_dict().values()), torch.device("cpu"))
