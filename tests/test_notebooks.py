"""The notebooks and the page on Python: every cell and every block runs, and what is stored is what comes out."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"-?\d+\.\d+")
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


def runner() -> ModuleType:
    """Return docs/notebooks.py as a module."""
    spec = importlib.util.spec_from_file_location("run_notebooks", DOCS / "notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texts(cell: dict[str, Any]) -> list[str]:
    """Return what a cell printed and what its last line is worth, as plain text."""
    outputs = cell.get("outputs", [])
    found = [output.get("text") or output.get("data", {}).get("text/plain") for output in outputs]
    return ["".join(lines) for lines in found if lines]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_gives_the_outputs_that_it_holds(path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(state.parent)
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert path.stat().st_size < 500_000
    assert [cell["execution_count"] for cell in stored["cells"] if cell["cell_type"] == "code"][-1] > 1
    for cell, again in zip(stored["cells"], runner().run(stored)["cells"], strict=True):
        here, there = "\n".join(texts(cell)), "\n".join(texts(again))
        assert len(cell.get("outputs", [])) == len(again.get("outputs", []))
        if "varies" not in cell["metadata"].get("tags", []):
            assert here == there
            continue
        assert NUMBER.sub("#", here) == NUMBER.sub("#", there)
        for one, other in zip(NUMBER.findall(here), NUMBER.findall(there), strict=True):
            # another processor rounds otherwise, and a training carries that on
            assert float(other) == pytest.approx(float(one), rel=0.3, abs=0.02)


def test_the_notebooks_are_pages_with_their_outputs() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["estimator", "threshold"]
    for path in NOTEBOOKS:
        page = runner().page(json.loads(path.read_text(encoding="utf-8")))
        assert page.startswith("# ")
        assert "<table>" in page
        assert "data:image/png;base64," in page


def test_an_output_is_that_of_a_cell_as_jupyter_has_it() -> None:
    names: dict[str, Any] = {}
    (printed, worth) = runner()._outputs("print('a')\nx = 1\nx + 1", names, 4)
    assert printed["text"] == ["a\n"]
    assert (worth["data"]["text/plain"], worth["execution_count"], names["x"]) == (["2"], 4, 1)
    assert runner()._outputs("y = 1", names, 5) == []


def test_every_block_of_the_page_on_python_runs_after_those_before(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(state.parent)
    names: dict[str, Any] = {}
    blocks = BLOCK.findall((DOCS / "python.md").read_text(encoding="utf-8"))
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"python.md block {number}", "exec"), names)
    assert len(blocks) == 6
    assert len(capsys.readouterr().out.split()) == 3
    assert (state.parent / "detector" / "schema.json").is_file()
