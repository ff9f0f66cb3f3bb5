"""What does not fit an option is refused with its place and a remedy, and all of it at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import pytest
from pydantic import Field

from hepanom.document import parse
from hepanom.options import check_options


@dataclass(frozen=True)
class Layer:
    """Options inside options."""

    width: Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Options:
    """Options of every kind."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    path: str
    cut: float = 0.5
    flag: bool = False
    layers: tuple[Layer, ...] = ()
    seed: int | str = 0
    units: dict[str, str] = field(default_factory=dict)


def test_sound_options_are_built() -> None:
    document = parse("path: a\ncut: 1\nlayers: [{width: 3}]\nunits: {m: GeV}\n", "r.yaml")
    value, problems = check_options(Options, document.plain, (), document)
    assert problems == []
    assert value == Options("a", 1.0, layers=(Layer(3),), units={"m": "GeV"})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("path: 1", "r.yaml:1:1: path: found 1; expected a valid string"),
        ("path: a\ncut: '0.5'", 'r.yaml:2:1: cut: found "0.5"; expected a valid number'),
        ("path: a\ncut: true", "r.yaml:2:1: cut: found true; expected a valid number"),
        ("path: a\nflag: 1", "r.yaml:2:1: flag: found 1; expected a valid boolean"),
        ("path: a\nseed: 1.5", "r.yaml:2:1: seed: found 1.5; expected a valid integer or a valid string"),
        (
            "path: a\nlayers: [{width: 2}, {width: 0}]",
            "r.yaml:2:23: layers.1.width: found 0; expected greater than or equal to 1",
        ),
        ("path: a\nlayers: [{}]", "r.yaml:2:10: layers.0.width: is missing"),
        ("path: a\nlayers: [3]", "r.yaml:2:10: layers.0: found 3; "),
        ("path: a\nunits: {m: 3}", "r.yaml:2:9: units.m: found 3; expected a valid string"),
        ("cut: 0.1", "r.yaml:1:1: path: is missing"),
        ("path: a\ncuts: 1", "r.yaml:2:1: cuts: unknown option; did you mean 'cut' or 'units'?"),
        ("path: a\nwhat: 1", "r.yaml:2:1: what: unknown option; known are cut, flag, layers, path, seed, units"),
    ],
)
def test_a_mistake_comes_with_its_place_and_a_remedy(text: str, problem: str) -> None:
    document = parse(text, "r.yaml")
    value, problems = check_options(Options, document.plain, (), document)
    assert value is None
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_mistakes_come_all_at_once() -> None:
    document = parse("cut: x\nflag: 3\nlayers: [{width: a}, {width: 0}]\nunitz: {}\n", "r.yaml")
    assert len(check_options(Options, document.plain, (), document)[1]) == 6
