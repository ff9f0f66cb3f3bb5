"""Checkpoints: trainings in one file of tensors, from which they go on bit for bit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hepanom.contracts import Epoch
from hepanom.errors import HepanomError
from hepanom.files import written
from hepanom.train import Training, device_of


def save(trainings: Sequence[Training], path: Path) -> None:
    """Write a checkpoint of the trainings that go on together: one file of tensors, without code or pickle.

    It replaces the last one at once, so that all of them stand at the same epoch.
    """
    device = device_of(trainings[0].network)
    tensors = {f"{index}/{name}": value for index, one in enumerate(trainings) for name, value in _tensors(one).items()}
    tensors["generator/cpu"] = torch.get_rng_state()
    if device.type == "cuda":
        tensors["generator/cuda"] = torch.cuda.get_rng_state(device)
    story = {
        "device": device.type,
        "trainings": [
            {
                "best_loss": training.best_loss,
                "finished": training.finished,
                "terms": list(training.history[0].losses) if training.history else [],
                "diagnostics": list(training.history[0].diagnostics) if training.history else [],
            }
            for training in trainings
        ],
    }
    apart = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}
    with written(path) as temporary:
        save_file(apart, temporary, {"story": json.dumps(story)})


def _tensors(training: Training) -> dict[str, Tensor]:
    """Return all that a training consists of."""
    tensors = {f"network/{name}": value for name, value in training.network.state_dict().items()}
    tensors |= {f"best/{name}": value for name, value in training.best.items()}
    for player, optimizer in training.optimizers.items():
        for index, values in optimizer.state_dict()["state"].items():
            tensors |= {
                f"optimizer/{player}/{index}/{key}": _tensor(value)
                for key, value in values.items()
                if value is not None
            }
    return {**tensors, "order": training.order.get_state(), "history": _history(training)}


def _history(training: Training) -> Float[Tensor, "epoch column"]:
    """Return the records as numbers: as text they would cost more than a short epoch after some hundred of them."""
    terms = list(training.history[0].losses) if training.history else []
    rows = [
        [
            *(r.epoch, r.validation, r.best, r.events_per_second),
            *(r.losses.get(term, float("nan")) for term in terms),
            *r.diagnostics.values(),
        ]
        for r in training.history
    ]
    return torch.tensor(rows, dtype=torch.float64).reshape(len(rows), -1 if rows else 4)


def _losses(terms: Sequence[str], row: Sequence[float]) -> dict[str, float]:
    """Return an epoch's losses; one that ended the training at its start has none."""
    return {term: loss for term, loss in zip(terms, row, strict=True) if not math.isnan(loss)}


def _tensor(value: Tensor | float) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value)


def restore(trainings: Sequence[Training], path: Path) -> None:
    """Put fresh trainings, and torch's generators, into the state of the checkpoint.

    Raises HepanomError for a checkpoint that is damaged, of other networks, or of another kind of device, where the
    trainings would not go on bit for bit.
    """
    device = device_of(trainings[0].network)
    try:
        with safe_open(path, framework="pt") as file:
            story = json.loads(file.metadata()["story"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if story["device"] != device.type:
            raise HepanomError(
                f"{path}: the checkpoint was made on {story['device']}, this is {device.type}; resume on the same "
                "device, or start a new run"
            )
        for index, (training, told) in enumerate(zip(trainings, story["trainings"], strict=True)):
            _put(training, told, _group(tensors, f"{index}/"), device)
        torch.set_rng_state(tensors["generator/cpu"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(tensors["generator/cuda"], device)
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise HepanomError(f"{path}: cannot go on from this checkpoint ({error!r}); start a new run") from error


def _group(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _put(training: Training, story: Mapping[str, Any], tensors: Mapping[str, Tensor], device: torch.device) -> None:
    """Hand a training's network, optimizers and order their tensors, and tell it its story."""
    training.network.load_state_dict(_group(tensors, "network/"))
    training.best = {name: value.to(device) for name, value in _group(tensors, "best/").items()}
    for player, optimizer in training.optimizers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _group(tensors, f"optimizer/{player}/").items():
            index, _, key = name.partition("/")
            state.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    training.order.set_state(tensors["order"])
    training.best_loss, training.finished = story["best_loss"], story["finished"]
    terms, names = story["terms"], story["diagnostics"]
    training.history = [
        Epoch(
            *(int(epoch), _losses(terms, found[: len(terms)]), validation, bool(best), rate),
            diagnostics=dict(zip(names, found[len(terms) :], strict=True)),
        )
        for epoch, validation, best, rate, *found in tensors["history"].tolist()
    ]
    if training.finished:
        training.network.load_state_dict(training.best)
        training.network.eval()
