"""Checkpoints: a training in one file of tensors, from which it goes on bit for bit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hepanom.contracts import Epoch
from hepanom.errors import HepanomError
from hepanom.files import written
from hepanom.train import Training, device_of


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
    device = device_of(training.network)
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
    terms = list(training.history[0].losses) if training.history else []
    rows = [
        [r.epoch, r.validation, r.best, r.events_per_second, *(r.losses.get(term, float("nan")) for term in terms)]
        for r in training.history
    ]
    return torch.tensor(rows, dtype=torch.float64).reshape(len(rows), -1 if rows else 4)


def _losses(terms: Sequence[str], row: Sequence[float]) -> dict[str, float]:
    """Return an epoch's losses; one that ended the training at its start has none."""
    return {term: loss for term, loss in zip(terms, row, strict=True) if not math.isnan(loss)}


def _tensor(value: Tensor | float) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value)


def restore(training: Training, path: Path) -> None:
    """Put a fresh training, and torch's generators, into the state of the checkpoint.

    Raises HepanomError for a checkpoint that is damaged, of another network, or of another kind of device, where the
    training would not go on bit for bit.
    """
    device = device_of(training.network)
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
        Epoch(int(epoch), _losses(story["terms"], losses), validation, bool(best), rate)
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
