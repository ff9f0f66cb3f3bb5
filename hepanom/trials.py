"""What a search found out: its space, its trials and the best of them, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hepanom.evaluate import Number
from hepanom.space import Axis


@dataclass(frozen=True)
class Objective:
    """A number of a trial, and whether the search wants much or little of it."""

    name: str
    direction: Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Trial:
    """One trained recipe of a search.

    ``drawn`` holds the value of each axis that was drawn (a choice as its text), ``recipe`` these values as the recipe
    has them, by path, ``values`` the objectives, in their
    order, where the trial came so far; ``numbers`` what else is known: metrics on the valid share (``valid/auc``), the
    number of ``parameters``, ``seconds_per_event`` of scoring; ``steps`` the objective by epoch. ``reason`` says why a
    trial failed, ``retry_of`` which lost trial it does again, ``feasible`` whether it keeps the constraints, ``began``
    when it did, in seconds since 1970.
    """

    number: int
    state: Literal["complete", "pruned", "failed", "running"]
    drawn: Mapping[str, Any]
    values: tuple[float, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    steps: Mapping[int, float] = field(default_factory=dict)
    seconds: float = 0.0
    reason: str = ""
    retry_of: int | None = None
    feasible: bool = True
    began: float = 0.0
    recipe: Mapping[str, Any] = field(default_factory=dict)
    run_id: str = ""


@dataclass(frozen=True)
class Search:
    """Everything that a search found out.

    ``best`` lists the numbers of the best trials, best first: with several objectives the Pareto front.
    ``importances`` share out, for the first objective, the variance over the space among the axes. ``tested`` holds
    the numbers on the test share of the best trials that were trained again, by trial number.
    """

    name: str
    recipe: str
    sampler: str
    pruner: str
    seed: int
    objectives: tuple[Objective, ...]
    axes: tuple[Axis, ...]
    trials: Sequence[Trial]
    best: tuple[int, ...]
    importances: Mapping[str, float] = field(default_factory=dict)
    tested: Mapping[int, Mapping[str, Number]] = field(default_factory=dict)
    constraints: tuple[str, ...] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)


def run_name(search: str, number: int) -> str:
    """Return the name of the run that trains a trial of a search again; its detector goes by it."""
    return f"{search}-trial-{number}"


def best(trials: Sequence[Trial], objectives: Sequence[Objective]) -> tuple[int, ...]:
    """Return the numbers of the best trials, best first by the first objective; of several objectives the Pareto front.

    Only complete trials that keep the constraints count. A trial is on the front where no other is at least as good in
    every objective and better in one.
    """
    signs = [-1.0 if objective.direction == "maximize" else 1.0 for objective in objectives]
    costs = {
        trial.number: tuple(sign * value for sign, value in zip(signs, trial.values, strict=True))
        for trial in trials
        if trial.state == "complete" and trial.feasible
    }
    ranked = sorted(costs, key=lambda number: (costs[number], number))
    if len(objectives) == 1:
        return tuple(ranked)
    return tuple(
        number
        for number in ranked
        if not any(
            all(mine >= theirs for mine, theirs in zip(costs[number], other, strict=True)) and other != costs[number]
            for other in costs.values()
        )
    )
