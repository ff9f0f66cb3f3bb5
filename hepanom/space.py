"""The space of a search: which values of a recipe are drawn, from where, and when."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from hepanom.errors import InputError
from hepanom.options import Section

Finite = Annotated[float, Field(allow_inf_nan=False)]
TRIALS = 40
MOST_POINTS = 10_000  # of a grid, all of which are laid down before the first trial


@dataclass(frozen=True)
class Axis:
    """A value of the recipe that the search draws, by its dotted path.

    Numbers lie in [``low``, ``high``], drawn evenly or, with ``log``, evenly in their logarithm; choices are listed as
    text, JSON where they are no words. A list of the recipe has an axis for each of its items: ``model.kernels.0``.
    """

    path: str
    kind: Literal["int", "float", "choice"]
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[str, ...] = ()


Pick = Callable[[Axis], Any]


class Condition(Section):
    """What another value has to be, so that this one is drawn."""

    equals: Any = Field(default=None, alias="is", description="it is this")
    among: tuple[Any, ...] = Field(default=(), alias="in", description="it is one of these")
    at_least: Finite | None = Field(default=None, description="it is a number not below this")
    at_most: Finite | None = Field(default=None, description="it is a number not above this")

    @model_validator(mode="after")
    def _something(self) -> Condition:
        if not self.model_fields_set:
            raise PydanticCustomError("condition", "a condition says is, in, at_least or at_most")
        return self

    def holds(self, value: Any) -> bool:
        """Return whether a value fulfils the condition."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return (
            ("equals" not in self.model_fields_set or value == self.equals)
            and ("among" not in self.model_fields_set or value in self.among)
            and (self.at_least is None or (number and value >= self.at_least))
            and (self.at_most is None or (number and value <= self.at_most))
        )


class Value(Section):
    """Where one value is drawn from: integers, numbers, or a list of choices."""

    whole: tuple[int, int] | None = Field(
        default=None, alias="int", description="integers from the first to the second"
    )
    real: tuple[Finite, Finite] | None = Field(
        default=None, alias="float", description="numbers from the first to the second"
    )
    choice: tuple[Any, ...] | None = Field(default=None, min_length=1, description="one of these values")
    log: bool = Field(default=False, description="numbers are drawn evenly in their logarithm")
    points: int | None = Field(default=None, ge=2, description="values that a grid takes of the numbers")

    @model_validator(mode="after")
    def _drawable(self) -> Value:
        if sum(kind is not None for kind in self._kinds()) != 1:
            raise PydanticCustomError("kind", f"a value is drawn from one of {self._names()}")
        span = self.whole or self.real
        if span is not None and span[0] > span[1]:
            raise PydanticCustomError("span", f"the lowest value {span[0]:g} is above the highest, {span[1]:g}")
        if self.log and (span is None or span[0] <= 0):
            raise PydanticCustomError("log", "only numbers above 0 have a logarithm; leave log out or raise the lowest")
        if len(set(self.labels)) < len(self.labels):
            raise PydanticCustomError("choice", "the same choice is there twice")
        return self

    def _kinds(self) -> tuple[Any, ...]:
        return self.whole, self.real, self.choice

    def _names(self) -> str:
        return "int: [LOW, HIGH], float: [LOW, HIGH], choice: [A, B]"

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the choices as text: of a table its values, of all else but words JSON, which all are if need be."""
        texts = tuple(map(text_of, self.choice or ()))
        return texts if len(set(texts)) == len(texts) else tuple(map(json.dumps, self.choice or ()))

    def label(self, value: Any) -> Any:
        """Return a drawn value as it lies on its axis: a choice as its text."""
        if self.choice is None:
            return value
        return self.labels[[json.dumps(choice) for choice in self.choice].index(json.dumps(value))]

    def axis(self, path: str) -> Axis:
        """Return what is drawn for a path of the recipe."""
        if self.choice is not None:
            return Axis(path, "choice", choices=self.labels)
        span = self.whole or self.real
        assert span is not None
        return Axis(path, "float" if self.real else "int", float(span[0]), float(span[1]), self.log)

    def drawn(self, path: str, pick: Pick) -> Any:
        """Return a value as the recipe holds it."""
        axis = self.axis(path)
        found = pick(axis)
        return found if self.choice is None else self.choice[axis.choices.index(found)]

    def grid(self, path: str) -> list[Any]:
        """Return the values that a grid takes of this one. Raises InputError where that is not said."""
        axis = self.axis(path)
        if axis.choices:
            return list(axis.choices)
        assert axis.low is not None
        assert axis.high is not None
        if self.points is None and axis.kind == "float":
            raise InputError(f"{path}: a grid needs the number of values; give it points: 5")
        spaced = np.geomspace if axis.log else np.linspace
        number = self.points or round(axis.high - axis.low) + 1
        if number > MOST_POINTS:
            raise InputError(f"{path}: {number:,} values are too many for a grid; give it points: 5")
        values = spaced(axis.low, axis.high, number).clip(axis.low, axis.high)
        return values.tolist() if axis.kind == "float" else sorted({round(value) for value in values.tolist()})


class Entry(Value):
    """Where a value of the recipe is drawn from, or each item of a list, and the condition for that."""

    items: Value | None = Field(default=None, alias="list", description="where each item of a list is drawn from")
    length: Annotated[int, Field(ge=0)] | str | None = Field(
        default=None, description="items of the list, or the value or variable that says how many"
    )
    order: Literal["rising", "falling"] | None = Field(default=None, description="sort the items of the list")
    when: dict[str, Condition] = Field(
        default={}, description="what other values have to be; else the recipe's own value stays"
    )

    @model_validator(mode="after")
    def _whole_list(self) -> Entry:
        if (self.items is None) != (self.length is None):
            raise PydanticCustomError("list", "a list has items and a length: list: {int: [2, 9]}, length: 3")
        if self.order is not None and self.items is None:
            raise PydanticCustomError("order", "only a list has an order")
        return self

    def _kinds(self) -> tuple[Any, ...]:
        return (*super()._kinds(), self.items)

    def _names(self) -> str:
        return f"{super()._names()}, list: {{int: [LOW, HIGH]}} with length: N"

    @property
    def wanted(self) -> tuple[str, ...]:
        """Return the values that this one depends on."""
        return (*self.when, *([self.length] if isinstance(self.length, str) else []))

    def reads(self, path: str) -> bool:
        """Return whether this value depends on what is drawn at a path."""
        return any(f"{path}.".startswith(f"{each}.") or f"{each}.".startswith(f"{path}.") for each in self.wanted)


class Limit(Section):
    """What a number of a trial must keep, so that the trial can be the best."""

    at_least: Finite | None = Field(default=None, description="smallest number that will do")
    at_most: Finite | None = Field(default=None, description="largest number that will do")

    @model_validator(mode="after")
    def _something(self) -> Limit:
        if self.at_least is None and self.at_most is None:
            raise PydanticCustomError("limit", "a limit says at_least or at_most")
        return self

    def excess(self, value: float) -> float:
        """Return by how much a value breaks the limit; it keeps it where this is not above 0."""
        above = -np.inf if self.at_most is None else value - self.at_most
        below = -np.inf if self.at_least is None else self.at_least - value
        return float(max(above, below))


class SearchOptions(Section):
    """How the recipe's own values are searched: `hepanom search`."""

    trials: int | None = Field(default=None, ge=1, description=f"recipes that are tried; {TRIALS}, or the whole grid")
    sampler: Literal["random", "grid", "tpe", "gp", "cmaes", "nsga2", "qmc"] = Field(
        default="tpe", description="what draws them; nsga2 is a genetic algorithm, for several objectives too"
    )
    pruner: Literal["none", "median", "hyperband"] = Field(
        default="none", description="what ends a trial early, judged by the objective at each epoch"
    )
    maximize: tuple[str, ...] | str = Field(default=(), description="numbers of which the search wants much")
    minimize: tuple[str, ...] | str = Field(default=(), description="numbers of which the search wants little")
    constraints: dict[str, Limit] = Field(default={}, description="numbers that the best must keep below or above")
    variables: dict[str, Entry] = Field(
        default={}, description="drawn values that others refer to: layers: {int: [2, 4]}"
    )
    space: dict[str, Entry] = Field(min_length=1, description="recipe values that are drawn, by their dotted path")
    storage: str | None = Field(
        default=None, description="a .db file (SQLite), a .journal file or a database's URL; STATE/search.db by default"
    )
    retrain: int = Field(
        default=1, ge=0, description="best trials that are trained again, with all replicas, and tested"
    )
    silence: float = Field(
        default=120.0,
        ge=1,
        description="seconds without a sign of life after which a trial is lost, and done once more",
    )

    @model_validator(mode="after")
    def _one_direction(self) -> SearchOptions:
        if both := sorted(set(_listed(self.maximize)) & set(_listed(self.minimize))):
            raise PydanticCustomError("direction", f"{both[0]} cannot be maximized and minimized; choose one")
        return self

    @property
    def objectives(self) -> dict[str, Literal["maximize", "minimize"]]:
        """Return the direction of each objective."""
        much, little = _listed(self.maximize), _listed(self.minimize)
        return {**dict.fromkeys(much, "maximize"), **dict.fromkeys(little, "minimize")}

    def entries(self) -> dict[str, Entry]:
        """Return variables and values in an order in which each comes after those that it depends on.

        Raises CycleError where there is none.
        """
        entries = {**self.variables, **self.space}
        graph = {
            name: [other for other in entries if other != name and (other in above(name) or entry.reads(other))]
            for name, entry in entries.items()
        }
        return {name: entries[name] for name in TopologicalSorter(graph).static_order()}


def _listed(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def above(path: str) -> Iterator[str]:
    """Yield the places above a path, of which one may be drawn as a whole."""
    steps = path.split(".")
    return (".".join(steps[:end]) for end in range(1, len(steps)))


def text_of(value: Any) -> str:
    """Return a choice in few letters: of a table its values, of all else but words JSON."""
    if isinstance(value, dict):
        return " ".join(map(text_of, value.values()))
    return value if isinstance(value, str) else json.dumps(value)
