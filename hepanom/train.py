"""The one training loop: weighted loss, validation on held-out background, look-back stopping, checkpoints."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hepanom.contracts import Batch, Epoch, Network, Player
from hepanom.errors import HepanomError, InputError
from hepanom.files import written
from hepanom.recipe import Optimizer, Train
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

    Raises InputError for optimizer options that contradict each other.
    """
    optimizers = {
        name: _optimizer(player, options.optimizer)
        for name, player in network.players().items()
        if any(parameter.requires_grad for parameter in player.parameters)
    }
    return Training(network, options, optimizers, torch.Generator().manual_seed(seed), _copy(network))


def _optimizer(player: Player, chosen: Optimizer) -> torch.optim.Optimizer:
    settings = {**chosen.model_dump(exclude={"use"}), **player.optimizer}
    settings["fused" if chosen.use in FUSED else "foreach"] = True
    try:
        return OPTIMIZERS[chosen.use](player.parameters, **settings)
    except (TypeError, ValueError) as error:
        raise InputError(f"train.optimizer: {chosen.use}: {error}") from error


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
                optimizer.zero_grad()
                terms = network.loss(name, batch, progress)
                weighted = {term: torch.dot(value, batch.weight) for term, value in terms.items()}
                (sum(weighted.values(), start=torch.zeros((), device=batch.weight.device)) / len(batch)).backward()  # type: ignore[no-untyped-call]
                if options.clip is not None:
                    torch.nn.utils.clip_grad_norm_(player.parameters, options.clip)
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


def save(training: Training, path: Path) -> None:
    """Write a checkpoint: one file of tensors, without code or pickle, which replaces the last one at once."""
    tensors = {f"network/{name}": value for name, value in training.network.state_dict().items()}
    tensors |= {f"best/{name}": value for name, value in training.best.items()}
    for player, optimizer in training.optimizers.items():
        for index, values in optimizer.state_dict()["state"].items():
            tensors |= {
                f"optimizer/{player}/{index}/{key}": _tensor(value)
                for key, value in values.items()
                if value is not None
            }
    tensors |= {"generator/order": training.order.get_state(), "generator/cpu": torch.get_rng_state()}
    device = _device(training.network)
    if device.type == "cuda":
        tensors["generator/cuda"] = torch.cuda.get_rng_state(device)
    story = {
        "best_loss": training.best_loss,
        "finished": training.finished,
        "device": device.type,
        "terms": list(training.history[0].losses) if training.history else [],
    }
    tensors["history"] = _history(training)
    apart = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
    with written(path) as temporary:
        save_file(apart, temporary, {"story": json.dumps(story)})


def _history(training: Training) -> Float[Tensor, "epoch column"]:
    """Return the records as numbers: as text they would cost more than a short epoch after some hundred of them."""
    rows = [[r.epoch, r.validation, r.best, r.events_per_second, *r.losses.values()] for r in training.history]
    return torch.tensor(rows, dtype=torch.float64).reshape(len(rows), -1 if rows else 4)


def _tensor(value: Tensor | float) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value)


def _device(network: Network) -> torch.device:
    return next((value.device for value in network.state_dict().values()), torch.device("cpu"))


def restore(training: Training, path: Path) -> None:
    """Put a fresh training, and torch's generators, into the state of the checkpoint.

    Raises HepanomError for a checkpoint that is damaged, of another network, or of another kind of device, where the
    training would not go on bit for bit.
    """
    device = _device(training.network)
    try:
        with safe_open(path, framework="pt") as file:
            story = json.loads(file.metadata()["story"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if story["device"] != device.type:
            raise HepanomError(
                f"{path}: the checkpoint was made on {story['device']}, this is {device.type}; resume on the same "
                "device, or start a new run"
            )
        _put(training, tensors, device)
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise HepanomError(f"{path}: cannot go on from this checkpoint ({error!r}); start a new run") from error
    training.best_loss, training.finished = story["best_loss"], story["finished"]
    training.history = [
        Epoch(int(epoch), dict(zip(story["terms"], losses, strict=True)), validation, bool(best), rate)
        for epoch, validation, best, rate, *losses in tensors["history"].tolist()
    ]
    if training.finished:
        training.network.load_state_dict(training.best)
        training.network.eval()


def _put(training: Training, tensors: Mapping[str, Tensor], device: torch.device) -> None:
    """Hand network, optimizers and generators their tensors."""

    def group(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    training.network.load_state_dict(group("network/"))
    training.best = {name: value.to(device) for name, value in group("best/").items()}
    for player, optimizer in training.optimizers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in group(f"optimizer/{player}/").items():
            index, _, key = name.partition("/")
            state.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    training.order.set_state(tensors["generator/order"])
    torch.set_rng_state(tensors["generator/cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(tensors["generator/cuda"], device)
