"""What every plugin promises, whatever its kind: it explains itself, and mistakes in its options are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from hepanom import contracts, plugins
from hepanom.errors import InputError, RecipeError
from hepanom.testing.broken import Unkept, expect
from hepanom.testing.case import PLACES, Case


def it_explains_itself_and_its_options(case: Case) -> None:
    """Its options are documented."""
    options: Any = case.plugin.load()
    about = plugins.describe(case.plugin)
    text, told = about["about"], {option["name"]: option["about"] for option in about["options"]}
    expect(options.__dataclass_params__.frozen, f"{options.__name__} is a dataclass that is not frozen")
    expect(not text.startswith((f"{options.__name__}(", " ")), f"{options.__name__} has no docstring")
    first = text.partition("\n")[0]
    expect(first.endswith("."), f"its docstring does not begin with a sentence on a line of its own: {first!r}")
    unknown = {field.name for field in fields(options)} ^ told.keys()
    expect(not unknown, f"recipes cannot set {', '.join(sorted(unknown))}")
    mute = [name for name, sentence in told.items() if not sentence]
    expect(not mute, f'no description of {", ".join(mute)}: write Annotated[type, Field(description="...")]')


def it_has_what_its_contract_asks_for(case: Case) -> None:
    """It has the methods of its contract, and is built from its options."""
    contract = getattr(contracts, case.kind.capitalize())
    try:
        built = case.build()
    except InputError as error:
        raise Unkept(f"{error}; give its Case the options that it wants") from error
    members = sorted(name for name in {*vars(contract), *contract.__annotations__} if not name.startswith("_"))
    lacking = [name for name in members if not hasattr(built, name)]
    expect(
        not lacking, f"it has no {', '.join(lacking)}; let the class inherit from hepanom.contracts.{contract.__name__}"
    )
    expect(isinstance(built, contract), f"it is no {contract.__name__}")


def a_misspelt_option_is_told(case: Case) -> None:
    """A misspelt option is told with its place and what would do."""
    names = [field.name for field in fields(case.plugin.load())]
    wrong = f"{names[0]}x" if names else "anything"
    remedy = f"did you mean '{names[0]}'" if names else "there are none"
    place = ".".join(map(str, (*PLACES[case.kind], wrong)))
    told = mistakes(case, {wrong: 1})
    expect(told, f"{wrong}: 1 is taken in silence")
    right = len(told) == 1 and f": {place}: unknown option; {remedy}" in told[0]
    expect(right, f"for {wrong}: 1 it is said {told[0]!r}")


def a_wrong_value_is_told(case: Case) -> None:
    """A value of the wrong type is told with its option, not by a crash."""
    wrong = {field.name: {"no such key": [None]} for field in fields(case.plugin.load())}
    told = mistakes(case, wrong)
    for mistake in told:
        expect(any(f".{name}" in mistake for name in wrong), f"it is said {mistake!r}, which names no option")
    for name, value in wrong.items():
        if not any(f".{name}" in mistake for mistake in told):  # of any type; then it is not to crash
            mistakes(case, {name: value})


def mistakes(case: Case, wrong: Mapping[str, object]) -> list[str]:
    """Return what is said of the case's options with some of them wrong; nothing where they are taken."""
    try:
        case.build({**case.filled, **wrong})
    except RecipeError as error:
        return list(error.problems)
    return []
