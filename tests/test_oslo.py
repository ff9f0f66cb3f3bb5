"""The script behind docs/reproduction-oslo.md: every row builds, the table says what it measured and what collapsed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hepanom import document, plugins
from hepanom.probe import probe
from hepanom.recipe import LatentCodes

ROOT = Path(__file__).parents[1]
FOLDER, PAGE = ROOT / "benchmarks" / "reproductions", ROOT / "docs" / "reproduction-oslo.md"
TINY = ["--events", "600", "--epochs", "1", "--set", "transforms.0.size=[33, 32]", "--set", "transforms.0.scale=1e6"]
LABEL = np.arange(400) % 2

Table = Callable[..., dict[str, list[str]]]


@pytest.fixture(scope="module")
def oslo() -> ModuleType:
    """Return the script as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        return importlib.import_module("oslo")


@pytest.fixture
def table(oslo: ModuleType, capsys: pytest.CaptureFixture[str]) -> Table:
    """Return a function that runs the script and gives the cells of each row of what it prints."""

    def run(*arguments: str) -> dict[str, list[str]]:
        oslo.main(arguments)
        lines = [line.strip("|").split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
        return {name.strip(): [cell.strip() for cell in cells] for name, *cells in lines}

    return run


@pytest.mark.parametrize("where", ["simulation", "voxels"])
@pytest.mark.usefixtures("data")
def test_every_row_is_a_recipe_that_can_be_run_and_stands_on_the_page(oslo: ModuleType, where: str) -> None:
    recipe = document.read(oslo.RECIPES / f"{oslo.RECIPE[where]}.yaml")
    names = [row.name for row in oslo.ROWS[where]]
    assert len(set(names)) == len(names)
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in names if f"`{name}`" not in page] == []
    for row in oslo.ROWS[where]:
        plugins.build(document.changed(recipe, row.changes))


def test_a_table_holds_what_was_asked_for_in_the_same_columns(table: Table) -> None:
    rows = table("--replicas", "2", *TINY, "--only", "program", "draw", "forest", "pixels")
    assert rows[""] == ["F1 proton", "F1 carbon", "best training", "collapsed"]
    assert set(rows) == {"", "-" * 3, "program", "draw", "forest", "pixels"}
    for name in ("program", "draw", "forest"):
        proton, carbon, best, collapsed = rows[name]
        assert all(0 <= float(number) <= 1 for cell in (proton, carbon) for number in cell.split(" ± "))
        assert 0 <= float(best) <= 1
        assert collapsed in (["-"] if name == "forest" else ["0 of 2", "1 of 2", "2 of 2"])
    assert " to " in rows["pixels"][0]


def test_trainings_that_were_kept_give_the_same_table_again(table: Table, tmp_path: Path) -> None:
    arguments = ("--replicas", "1", *TINY, "--only", "search", "--checkpoints", str(tmp_path))
    first = table(*arguments)
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")}
    assert len(kept) == 1
    assert table(*arguments) == first
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")} == kept


def test_a_row_that_is_not_there_is_refused(oslo: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        oslo.main(["--only", "serach"])
    assert "there is no row serach; there are printed, search, program" in capsys.readouterr().err


def test_collapse_is_a_constant_code_or_one_class_for_all(oslo: ModuleType) -> None:
    noise = np.random.default_rng(1).normal(size=(len(LABEL), 3))
    telling, one_class = 0.001 * (noise + 5 * LABEL[:, None]), np.where(np.arange(len(LABEL)) == 0, 1e6, 0.0)
    codes = np.stack([telling, 5 + 1e-6 * noise, np.zeros_like(noise), noise, one_class[:, None] * noise])
    found = probe(codes, LABEL, ("proton", "carbon"), LatentCodes(labelled=1), 1)
    assert oslo.collapsed(codes, found).tolist() == [False, True, True, False, True]
