"""Made-up searches: what a random search of an autoencoder might have found, and its edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hepanom.evaluate import Number
from hepanom.space import Axis
from hepanom.trials import Objective, Search, Trial

F1 = Objective("valid/f1_proton", "maximize")
SPEED = Objective("seconds_per_event", "minimize")
AXES = (
    Axis("model.layers", "int", 3.0, 6.0),
    *(Axis(f"model.kernels.{layer}", "int", 2.0, 17.0) for layer in range(6)),
    Axis("model.latent", "choice", choices=("3", "10", "20", "50", "100", "150", "200")),
    Axis("model.regularization", "choice", choices=("none", "kld", "mmd")),
    Axis("model.batch_norm", "choice", choices=("true", "false")),
    Axis("model.beta", "float", 1e-5, 0.1, log=True),
    Axis("train.optimizer.beta1", "float", 0.2, 0.95),
    Axis("train.learning_rate", "float", 1e-5, 0.1, log=True),
)


def drawn(rng: np.random.Generator, axes: Sequence[Axis]) -> dict[str, Any]:
    """Return a value for each axis; kernels beyond the number of layers and the beta of no loss are not drawn."""
    found: dict[str, Any] = {}
    for axis in axes:
        if axis.kind == "choice":
            found[axis.path] = str(rng.choice(axis.choices))
        elif axis.kind == "int":
            found[axis.path] = int(rng.integers(int(axis.low or 0), int(axis.high or 0) + 1))
        else:
            share, ends = rng.random(), (float(axis.low or 0), float(axis.high or 0))
            found[axis.path] = float(
                ends[0] * (ends[1] / ends[0]) ** share if axis.log else ends[0] + share * (ends[1] - ends[0])
            )
    layers = found.get("model.layers", 6)
    absent = {f"model.kernels.{layer}" for layer in range(layers, 6)}
    if found.get("model.regularization") == "none":
        absent.add("model.beta")
    return {path: value for path, value in found.items() if path not in absent}


def trial(number: int, seed: int = 0, *, axes: Sequence[Axis] = AXES, objectives: int = 1) -> Trial:
    """Return a complete, pruned or failed trial, whose objective falls with the learning rate and rises by MMD."""
    rng = np.random.default_rng([seed, number])
    values = drawn(rng, axes)
    reward = 0.75 + 0.15 * (values.get("model.regularization") == "mmd") + 0.05 * rng.normal()
    reward = float(np.clip(reward - 0.06 * np.log10(values.get("train.learning_rate", 1e-5) / 1e-5), 0, 0.99))
    steps = {epoch: reward * (1 - 0.7**epoch) + 0.01 * float(rng.normal()) for epoch in range(1, 31)}
    parameters = 100.0 * values.get("model.layers", 3) * values.get("model.kernels.0", 5)
    seconds = float(rng.gamma(9, 2))
    numbers = {"valid/f1_proton": reward, "valid/auc": 0.5 + reward / 2.1, "parameters": parameters}
    numbers |= {"seconds_per_event": 1e-9 * parameters * float(rng.gamma(9, 0.1))}
    again = number - 1 if number % 10 == 8 else None
    if number % 10 == 7:
        why = "out of memory: the network of 12,345,678 parameters does not fit; <b>draw</b> smaller ones"
        return Trial(number, "failed", values, seconds=3.0, reason=why)
    if objectives == 1 and (number % 5 == 3 or number == 20):
        kept = {epoch: value for epoch, value in steps.items() if epoch < 4 + number % 9}
        parts = {"numbers": {"parameters": parameters}, "steps": kept, "seconds": seconds / 4}
        return Trial(number, "pruned", values, retry_of=again, **parts)
    goals = (reward, numbers["seconds_per_event"])[:objectives]
    return Trial(number, "complete", values, goals, numbers, steps, seconds, retry_of=again, run_id=f"{number:032x}")


def dominated(values: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
    """Return whether others has something at least as good in both: more of the first, less of the second."""
    return any(other[0] >= values[0] and other[1] <= values[1] and tuple(other) != tuple(values) for other in others)


def search(
    trials: int = 40, seed: int = 0, *, axes: Sequence[Axis] = AXES, objectives: int = 1, **other: Any
) -> Search:
    """Return a search of some trials; with two objectives the second is the time of scoring."""
    found = [trial(number, seed, axes=axes, objectives=objectives) for number in range(trials)]
    values = {each.number: each.values for each in found if each.state == "complete"}
    best = sorted(values, key=lambda number: -values[number][0])
    if objectives > 1:
        best = [number for number in best if not dominated(values[number], list(values.values()))]
    else:
        best = best[:3]
    shares = np.random.default_rng(seed).dirichlet(np.full(len(axes), 0.6)).tolist()
    tested = {
        number: {
            "f1_proton": Number(values[number][0] - 0.01, values[number][0] - 0.03, values[number][0] + 0.02, 0.004),
            "auc": Number(0.93, 0.92, 0.94, 0.002),
        }
        for number in best[:3]
    }
    content: dict[str, Any] = {
        "name": "attpc-search <script>alert(1)</script>",
        "recipe": "name: attpc-search <script>alert(1)</script>\nsearch:\n  trials: 40\n  sampler: {use: random}\n",
        "sampler": "random",
        "pruner": "median",
        "seed": seed,
        "objectives": (F1, SPEED)[:objectives],
        "axes": tuple(axes),
        "trials": tuple(found),
        "best": tuple(best),
        "importances": {axis.path: share for axis, share in zip(axes, shares, strict=True)} if values else {},
        "tested": tested,
        "provenance": {
            "created": "2026-01-31T12:00:00+00:00",
            "packages": {"hepanom": "0.1.0", "torch": "2.13.0"},
            "git": None,
            "device": "cpu",
        },
    }
    return Search(**{**content, **other})
