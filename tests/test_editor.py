"""What an editor makes of the JSON schema of recipes: right ones pass, mistakes are marked, every key is explained."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hepanom import document, plugins
from hepanom.reference import json_schema

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)
BLOCKS = [
    pytest.param(found[1], id=f"{page.stem}-{number}")
    for page in PAGES
    for number, found in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")), 1)
]
RECIPE = {
    "name": "page",
    "data": {"use": "toy"},
    "model": {"use": "vae"},
    "scores": [{"use": "elbo"}],
    "thresholds": [{"rule": "background_efficiency", "value": 1e-2}],
}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema(plugins.registry())


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variable that recipes use; to an editor it is text."""
    monkeypatch.setenv("HEPANOM_DATA", "data")


def mistakes(schema: Mapping[str, Any], plain: Mapping[str, Any]) -> list[str]:
    """Return where an editor would mark something, and the most telling of what it would say there."""
    found = Draft202012Validator(schema).iter_errors(plain)
    return [".".join(map(str, error.absolute_path)) + f": {error.message}" for error in found]


def test_the_schema_is_one(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_right_in_an_editor(schema: dict[str, Any], recipe: Path) -> None:
    assert mistakes(schema, document.read(recipe).plain) == []


@pytest.mark.parametrize("text", BLOCKS)
def test_every_recipe_on_a_page_is_right_in_an_editor(schema: dict[str, Any], text: str) -> None:
    assert mistakes(schema, {**RECIPE, **document.parse(text, "page").plain}) == []


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"modle": {}}, ": Additional properties are not allowed ('modle' was unexpected)"),
        ({"name": ""}, "name: '' should be non-empty"),
        ({"seed": "seven"}, "seed: 'seven' is not of type 'integer'"),
        ({"data": {"use": "hdf6", "path": "a"}}, "data: "),
        ({"data": {"use": "hdf5"}}, "data: "),
        ({"model": {"use": "vae", "latnt": 2}}, "model: "),
        ({"model": {"use": "vae", "beta": -1}}, "model: "),
        ({"model": {"use": "vae", "decoder": "gaussan"}}, "model: "),
        ({"model": {}}, "model: "),
        ({"train": {"epochs": 0}}, "train.epochs: 0 is less than the minimum of 1"),
        ({"train": {"epoch": 5}}, "train: Additional properties are not allowed ('epoch' was unexpected)"),
        ({"train": {"optimizer": {"use": "adm"}}}, "train.optimizer: "),
        ({"scores": []}, "scores: [] should be non-empty"),
        ({"scores": {"use": "elbo"}}, "scores: {'use': 'elbo'} is not of type 'array'"),
        ({"thresholds": [{"rule": "quantil", "value": 0.4}]}, "thresholds.0.rule: 'quantil' is not one of"),
        ({"evaluate": {"metrics": ["auc", "acu"]}}, "evaluate.metrics.1: 'acu' is not one of"),
    ],
)
def test_a_mistake_is_marked(schema: dict[str, Any], change: dict[str, Any], place: str) -> None:
    assert mistakes(schema, RECIPE) == []
    (found,) = mistakes(schema, {**RECIPE, **change})
    assert found.startswith(place)


def properties(node: Any, place: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every key that a schema knows, with what it says of it."""
    for key, inner in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if key == "properties":
            yield from ((f"{place}/{name}", entry) for name, entry in inner.items())
        yield from properties(inner, f"{place}/{key}")


def test_every_key_says_what_it_is(schema: dict[str, Any]) -> None:
    known = dict(properties(schema))
    assert len(known) > 400
    assert [place for place, entry in known.items() if not entry.get("description")] == []
    assert known["/$defs/Adam/use"]["description"].startswith("Adam (D. Kingma")
