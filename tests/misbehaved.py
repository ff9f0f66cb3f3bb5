"""A plugin of each kind that breaks one promise, which the option ``how`` names; the tests load it from a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from hepanom.contracts import Batch, Model, Network, Part, Reader, Scorer, Transform
from hepanom.events import Events, Input, Schema, hash64
from hepanom.hookspecs import Offers, hookimpl

How = Annotated[str, Field(description="what goes wrong")]
SCHEMA = Schema({"x": Input("table", ("a", "b"), ("", ""))}, classes=("usual",), beside=("run",))


def fail() -> Any:
    return {}["lost"]


@dataclass(frozen=True)
class Reads(Reader):
    """Some rows of two columns."""

    how: How = ""

    def schema(self) -> Schema:
        return None if self.how == "no schema" else SCHEMA

    def parts(self) -> Sequence[Part]:
        return [Part("nowhere", 0, 200)]

    def read(self, part: Part) -> Iterator[Events]:
        number = np.arange(200)
        x = np.sin(np.outer(number, [1.0, 3.0])).astype(np.float32)
        whole = {"weight": np.ones(200), "category": np.zeros(200, np.int64), "beside": {"run": number}}
        found = Events(hash64([number]), {"x": x}, label=np.zeros(200, np.int64), **whole)
        changes: dict[str, dict[str, Any]] = {
            "inputs": {"inputs": {"y": x}},
            "columns": {"inputs": {"x": x[:, :1]}},
            "text": {"inputs": {"x": x.astype(str)}},
            "labels": {"label": np.ones(200, np.int64)},
            "beside": {"beside": {}},
            "target": {"target": np.ones((200, 1))},
        }
        yield {} if self.how == "no events" else replace(found, **changes.get(self.how, {}))
        if self.how == "raises":
            fail()


@dataclass(frozen=True)
class Changes(Transform):
    """Nothing is changed."""

    how: How = ""

    def finish(self, sketch: Any) -> Any:
        return {"kept": [1]} if self.how == "state" else {}

    def apply(self, events: Events, schema: Schema, state: Any) -> Any:
        x = events.inputs["x"]
        made = {
            "nothing": lambda: None,
            "names": lambda: replace(events, inputs={"other": x}),
            "columns": lambda: replace(events, inputs={"x": x[:, :1]}),
            "lengths": lambda: replace(events, inputs={"x": x[1:]}),
            "fewer": lambda: events.mask(np.arange(len(events)) > 0),
            "nan": lambda: replace(events, inputs={"x": np.where(x > 0.9, np.nan, x)}),
            "raises": fail,
        }
        return made.get(self.how, lambda: events)()


class Net(Network):
    """One layer."""

    def __init__(self, width: int, how: str) -> None:
        super().__init__()
        self.how, self.layer = how, nn.Linear(width, width)

    def forward(self, batch: Batch, noise: Tensor | None = None) -> Any:
        out = self.layer(batch.inputs["x"])
        made = {
            "no dict": lambda: out,
            "no output": lambda: {"other": out},
            "rows": lambda: {"reconstruction": out[:1]},
            "column short": lambda: {"reconstruction": out[:, :1]},
            "nan": lambda: {"reconstruction": out / 0 * 0},
            "raises": fail,
        }
        return made.get(self.how, lambda: {"reconstruction": out})()

    def loss(self, player: str, batch: Batch, progress: float) -> Any:
        term = (self.layer(batch.inputs["x"]) - batch.inputs["x"]).square()
        made = {
            "mean": lambda: {"square": term.mean()},
            "column": lambda: {"square": term.mean(1, keepdim=True)},
            "list": lambda: [term.mean(1)],
            "nan loss": lambda: {"square": term.mean(1) * float("nan")},
            "loss raises": fail,
        }
        return made.get(self.how, lambda: {"square": term.mean(1)})()

    def validate(self, batch: Batch) -> Tensor:
        return torch.zeros(3) if self.how == "validate" else super().validate(batch)


class Stacked(Net):
    """One layer, whose replicas train at once."""

    stacks = True


@dataclass(frozen=True)
class Builds(Model):
    """One layer."""

    gives: ClassVar[frozenset[str]] = frozenset({"reconstruction"})
    how: How = ""
    stacked: Annotated[bool, Field(description="whether replicas train at once")] = False

    def build(self, schema: Schema) -> Any:
        made = {"no network": lambda: nn.Linear(1, 1), "build raises": fail}
        return made.get(self.how, lambda: (Stacked if self.stacked else Net)(2, self.how))()


@dataclass(frozen=True)
class Scores(Scorer):
    """Squared residuals."""

    needs: ClassVar[frozenset[str]] = frozenset({"reconstruction"})
    how: How = ""

    def fit(self, batches: Any) -> Any:
        return {"list": lambda: [1], "fit raises": fail}.get(self.how, dict)()

    def score(self, batch: Batch, outputs: Any, state: Any, network: Network) -> Any:
        squares = (outputs["reconstruction"] - batch.inputs["x"]).square().mean(1)
        made = {
            "column": lambda: squares[:, None],
            "numpy": squares.numpy,
            "nan": lambda: squares.where(batch.inputs["x"][:, 0] < 0.9, float("nan")),
            "raises": fail,
        }
        return made.get(self.how, lambda: squares)()


@hookimpl
def readers() -> Offers:
    return {"reads": Reads}


@hookimpl
def transforms() -> Offers:
    return {"changes": Changes}


@hookimpl
def models() -> Offers:
    return {"builds": Builds}


@hookimpl
def scorers() -> Offers:
    return {"scores": Scores}
