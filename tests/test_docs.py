"""What the pages show: every recipe in them, whole or in part, has options that exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hepanom import document, plugins
from hepanom.errors import RecipeError

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)
REST = {
    "name": "page",
    "data": {"use": "toy"},
    "model": {"use": "autoencoder"},
    "scores": [{"use": "reconstruction"}],
}
BLOCKS = [
    pytest.param(found[1], id=f"{page.name}-{number}")
    for page in PAGES
    for number, found in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")), 1)
]


def mistakes(shown: dict[str, Any]) -> list[str]:
    """Return what is wrong with a recipe, but for the files, which are the reader's own."""
    try:
        plugins.build(document.parse(yaml.safe_dump({**REST, **shown}), "page.yaml"))
    except RecipeError as error:
        return [problem for problem in error.problems if "no file matches" not in problem]
    return []


@pytest.mark.parametrize("text", BLOCKS)
def test_every_recipe_on_a_page_is_one(text: str) -> None:
    assert mistakes(yaml.safe_load(text)) == []


def test_a_wrong_recipe_on_a_page_would_be_found() -> None:
    assert len(BLOCKS) > 5
    (found,) = mistakes({"data": {"use": "root", "path": "a.root", "tre": "Events"}})
    assert "tre" in found


def test_the_page_of_all_keys_is_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("recipe_page", ROOT / "docs" / "recipe.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = module.PAGE.read_text(encoding="utf-8")
    assert written == module.page(), "an option changed: write the page again by python docs/recipe.py"
