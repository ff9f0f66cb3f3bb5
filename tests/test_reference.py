"""The JSON schema of recipes and the rows of its keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field
from ruamel.yaml import YAML

from hepanom import plugins
from hepanom.packages import first_sentence
from hepanom.plugins import Plugin
from hepanom.recipe import Recipe
from hepanom.reference import PLACES, json_schema, plugin_schema, rows

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema(plugins.registry())


@dataclass(frozen=True)
class Offered:
    """Says what it is. Says more."""

    share: Annotated[float, Field(gt=0, le=1, description="how much")]
    sizes: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(description="how many", min_length=1)] = (3, 4)
    names: dict[str, str] = field(default_factory=lambda: {"a": "b"})


def references(node: Any) -> Iterator[str]:
    """Yield what a schema refers to."""
    if isinstance(node, Mapping):
        yield from [str(text) for key, text in node.items() if key == "$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from references(inner)


def test_the_schema_is_json_and_refers_to_what_is_there(schema: dict[str, Any]) -> None:
    assert json.loads(json.dumps(schema)) == schema
    found = set(references(schema))
    assert found
    assert all(text.removeprefix("#/$defs/") in schema["$defs"] for text in found)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_the_schema_knows_every_key_of_our_recipes(schema: dict[str, Any], recipe: Path) -> None:
    plain = YAML(typ="safe").load(recipe)
    assert set(plain) <= set(schema["properties"])
    for kind, place in PLACES.items():
        uses = plain.get(place, [])
        for use in uses if isinstance(uses, list) else [uses]:
            definition = schema["$defs"][f"{kind}.{use['use']}"]
            assert set(use) <= set(definition["properties"])
            assert set(definition["required"]) <= set(use)


def test_a_key_has_type_bounds_default_and_meaning() -> None:
    definitions = plugin_schema(Plugin("model", "offered", "ours", "1", Offered), {})
    node = definitions["model.offered"]
    assert node["description"] == "Says what it is"
    share, sizes, names = rows(node, {"$defs": definitions})
    assert (share.name, share.type, share.bounds, share.default, share.about) == (
        "share",
        "number",
        "> 0, <= 1",
        "required",
        "how much",
    )
    assert (sizes.type, sizes.bounds, sizes.default) == ("list of integer", "at least 1 of them, >= 2", "[3, 4]")
    assert names.type == "table of text"


def test_tables_in_tables_have_rows_of_their_own() -> None:
    schema = Recipe.model_json_schema()
    found = {row.name: row for row in rows(schema, schema)}
    assert found["thresholds[].rule"].default == "required"
    assert found["train.optimizer"].default == "adam"
    assert found["train.optimizer.momentum (sgd)"].type == "number"
    assert found["evaluate.latent.labelled"].bounds == "> 0, <= 1"


def test_every_key_of_the_recipe_has_a_meaning() -> None:
    schema = Recipe.model_json_schema()
    ours = [row for row in rows(schema, schema) if not row.name.startswith("train.optimizer.")]
    assert [row.name for row in ours if not row.about] == []


def test_a_plugin_whose_library_is_missing_may_have_any_option() -> None:
    found = plugin_schema(Plugin("reader", "gone", "ours", "1", "no_such_module:Gone"), {})["reader.gone"]
    assert found["properties"] == {"use": {"const": "gone"}}
    assert "additionalProperties" not in found
    assert "cannot be loaded" in found["description"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("One. Two.", "One"), ("One\nline.\n\nMore.", "One line"), ("Uses 1.5 of it.", "Uses 1.5 of it"), ("", "")],
)
def test_the_first_sentence_ends_at_its_full_stop(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence
