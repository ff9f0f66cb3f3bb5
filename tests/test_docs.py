"""What the pages show: every recipe has options that exist, and what comes from the code is what the code says."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from hepanom import document, plugins
from hepanom.errors import RecipeError
from hepanom.offered import registry
from hepanom.packages import HOOKS
from hepanom.reference import PLACES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r'^```yaml(?: title="[^"]+")?\n(.*?)^```', re.DOTALL | re.MULTILINE)
REST = {
    "name": "page",
    "data": {"use": "toy"},
    "model": {"use": "autoencoder"},
    "scores": [{"use": "reconstruction"}],
}
STANDS_FOR_ONE = {"host", "localhost", "127.0.0.1"}
BLOCKS = [
    pytest.param(found[1], id=f"{page.relative_to(ROOT)}-{number}")
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


@pytest.fixture(scope="module")
def generated() -> Mapping[Path, str]:
    """Return what docs/generate.py would write."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.pages())


def test_pages_that_come_from_the_code_are_what_it_says(generated: Mapping[Path, str]) -> None:
    stale = [path.name for path, text in generated.items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], (
        "an option, a docstring or a help text changed: write the pages again by python docs/generate.py"
    )


def test_everything_that_can_be_set_is_documented(generated: Mapping[Path, str]) -> None:
    rows = [row for text in generated.values() for row in text.splitlines() if row.startswith("| `")]
    assert len(rows) > 500
    assert [row for row in rows if row.endswith("|  |")] == []


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook: str) -> None:
    texts = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("plugins.md", "contracts.md")]
    assert any(f"`{hook}" in text or f"def {hook}(" in text for text in texts)


@pytest.mark.parametrize("kind", PLACES)
def test_every_plugin_has_a_section_and_a_sentence(kind: str, generated: Mapping[Path, str]) -> None:
    page = generated[ROOT / "docs" / "reference" / f"{kind}s.md"]
    offered = [name for (of, name), entry in registry().items() if of == kind and entry.package == "hepanom"]
    assert offered
    assert [name for name in offered if not re.search(rf"^## {name}\n\n\w", page, re.MULTILINE)] == []


def test_every_module_in_the_design_is_there() -> None:
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    table = design[design.index("| layer |") : design.index("Plugins see")]
    named = set(re.findall(r"`(\w+)`", table))
    assert len(named) > 30
    assert named <= {path.stem for path in (ROOT / "hepanom").glob("*.py")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_address_is_one(page: Path) -> None:
    for address in re.findall(r"https?://[^\s)>\"'`|]*", page.read_text(encoding="utf-8")):
        host = urlsplit(address).hostname or ""
        assert host in STANDS_FOR_ONE or re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", host), address
