"""The one training loop: weighted loss, validation on held-out background, look-back stopping."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import torch
from torch import Tensor, nn

from hepanom.contracts import Batch, Epoch, Network
from hepanom.errors import HepanomError, InputError
from hepanom.recipe import Train
from hepanom.stream import batches, select, slices

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


def fit(training: Training, train: Batch, valid: Batch) -> Iterator[Epoch]:
    """Train, yielding a record after each epoch; at the end the network holds the weights of the best one.

    With w the event weights and W their mean over all training events, the loss of a batch of B events is
    sum(w * loss) / (B * W). Look-back stopping trains until ``patience`` epochs brought no better validation loss,
    sum(w * validate) / sum(w), and returns to the best. Both batches lie on the network's device and stay there.
    Raises HepanomError when a loss is not finite.

    References:
        J. Rojo, Machine Learning for Physics and Astronomy, lecture 2 (2020), for look-back stopping.
    """
    network, options = training.network, training.options
    weight = train.weight / train.weight.mean()
    train = Batch(train.inputs, weight, train.label, train.target)
    shuffled = select(train, torch.arange(len(train), device=weight.device))
    while not training.finished:
        began = time.perf_counter()
        _shuffle(train, shuffled, torch.randperm(len(train), generator=training.order).to(weight.device))
        network.train()
        epoch = len(training.history)
        done = network.prepare(batches(shuffled, options.batch), epoch)
        losses = _one_epoch(training, shuffled, epoch) if training.optimizers and not done else {}
        seconds = time.perf_counter() - began
        validation = _validate(network, valid, options.batch)
        if not math.isfinite(validation):
            raise HepanomError(
                f"epoch {epoch + 1}: the validation loss is {validation}; a smaller lr or clip: 1.0 may do"
            )
        best = validation < training.best_loss
        record = Epoch(epoch + 1, losses, validation, best, len(train) / seconds)
        training.history.append(record)
        if best:
            training.best_loss, training.best = validation, _copy(network)
        waited = record.epoch - training.best_epoch
        training.finished = done or record.epoch == options.epochs or waited == options.patience
        yield record
    network.load_state_dict(training.best)
    network.eval()


def _shuffle(table: Batch, into: Batch, order: Tensor) -> None:
    pairs = [(table.inputs[name], into.inputs[name]) for name in table.inputs]
    pairs += [(table.weight, into.weight), (table.label, into.label)]
    if table.target is not None and into.target is not None:
        pairs.append((table.target, into.target))
    for source, destination in pairs:
        torch.index_select(source, 0, order, out=destination)


def _one_epoch(training: Training, table: Batch, epoch: int) -> dict[str, float]:
    """Update on every batch; nothing is brought back from the device before the last one."""
    network, options = training.network, training.options
    players = {name: player for name, player in network.players().items() if name in training.optimizers}
    pieces = slices(len(table), options.batch)
    sums: dict[str, list[Tensor]] = {}
    for step, piece in enumerate(pieces):
        batch = select(table, piece)
        progress = (epoch + step / len(pieces)) / options.epochs
        for name, player in players.items():
            optimizer = training.optimizers[name]
            for _ in range(player.steps):
                optimizer.zero_grad(set_to_none=False)
                terms = network.loss(name, batch, progress)
                weighted = {term: torch.dot(value, batch.weight) for term, value in terms.items()}
                (reduce(torch.add, weighted.values()) / len(batch)).backward()  # type: ignore[no-untyped-call]
                if options.clip is not None:
                    torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], options.clip)
                optimizer.step()
            for term, value in weighted.items():
                sums.setdefault(term if len(players) == 1 else f"{name}/{term}", []).append(value.detach())
    by_batch = {term: torch.stack(values) for term, values in sums.items()}
    finite = torch.stack(list(by_batch.values())).isfinite().all(0)
    if not finite.all():
        broken = [term for term, values in by_batch.items() if not values.isfinite().all()]
        _diverged(table, pieces, int((~finite).nonzero()[0]), epoch, broken)
    return {term: float(values.double().sum()) / len(table) for term, values in by_batch.items()}


def _diverged(table: Batch, pieces: list[slice], first: int, epoch: int, terms: list[str]) -> None:
    """Raise, naming the batch and the inputs that were largest in it."""
    batch = select(table, pieces[first])
    extremes = [
        f"{name}[{int(column)}] up to {float(peaks[column]):.3g}"
        for name, values in batch.inputs.items()
        for peaks in [values.flatten(1).abs().amax(0)]
        for column in peaks.topk(min(3, len(peaks))).indices
    ]
    raise HepanomError(
        f"epoch {epoch + 1}, batch {first + 1} of {len(pieces)}: the loss ({', '.join(terms)}) is not finite; the "
        f"largest inputs there: {', '.join(extremes)}. A smaller lr, clip: 1.0, or the transforms standardize or log "
        "may do"
    )


def _validate(network: Network, valid: Batch, size: int) -> float:
    """Return the weighted mean of the network's final loss; the noise is the same at every call."""
    network.eval()
    devices = [valid.weight.device] if valid.weight.is_cuda else []
    with torch.no_grad(), torch.random.fork_rng(devices):
        torch.manual_seed(VALIDATION_SEED)
        sums = [torch.dot(network.validate(batch), batch.weight) for batch in batches(valid, max(size, 4096))]
    return float(torch.stack(sums).double().sum() / valid.weight.double().sum())
