"""The plugins that docs/plugins.md shows keep their contracts, and its recipe is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import ROOT, blocks

from hepanom import document, plugins
from hepanom.testing import Case, check

BLOCKS = list(blocks(ROOT / "docs" / "plugins.md"))
SHOWN = {block.title: block.text for block in BLOCKS if block.title}
KINDS = {"records": "reader", "largest": "transform", "linear": "model", "residual_norm": "scorer"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of plugins with all that the page shows."""
    home = tmp_path_factory.mktemp("page")
    for title, text in SHOWN.items():
        (home / title).parent.mkdir(exist_ok=True)
        (home / title).write_text(text, encoding="utf-8")
    return home / "plugins"


def write(file: Path) -> str:
    """Write thirty records."""
    values = np.random.default_rng(1).normal(size=(30, 2))
    np.save(file, np.rec.fromarrays(values.T, names="energy,time"))
    return str(file)


@pytest.mark.parametrize("name", KINDS)
def test_a_plugin_on_the_page_keeps_its_contract(name: str, folder: Path) -> None:
    kind: Any = KINDS[name]
    units = {"energy": "keV", "time": "ns"}
    options: dict[str, Any] = {}
    if kind == "reader":
        files = [lambda place: write(place / "run1.npy"), lambda place: write(place / "run2.npy")]
        options = {"files": files, "units": units}
    models = (Case("model", "linear", plugins=folder),) if kind == "scorer" else ()
    check(Case(kind, name, options, plugins=folder, models=models))


def test_the_recipe_on_the_page_is_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    for name in ("run1.npy", "run2.npy"):
        write(folder.parent / name)
    parts = plugins.build(document.read(folder.parent / "recipe.yaml", []))
    assert [type(each).__name__ for each in (parts.reader, parts.model)] == ["Records", "Linear"]


def test_all_plugins_on_the_page_are_tried() -> None:
    assert {title for title in SHOWN if title.startswith("plugins/")} == {f"plugins/{name}.py" for name in KINDS}
