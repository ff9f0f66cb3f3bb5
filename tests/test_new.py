"""What `hepanom new plugin` writes is a plugin: listed, conforming, run by its recipe; and nothing is overwritten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner

from hepanom import files, new
from hepanom.cli import hepanom
from hepanom.errors import InputError
from hepanom.offered import registry
from hepanom.packages import Kind
from hepanom.plugins import describe

KINDS = get_args(Kind)
FOUR = {"reader": "hits", "transform": "mean-scale", "model": "hepanom-small", "scorer": "worst"}
NAMES = {"reader": "hits", "transform": "mean_scale", "model": "small", "scorer": "worst"}


def said(*words: str, code: int = 0) -> Any:
    """Return what the command prints as JSON."""
    done = CliRunner().invoke(hepanom, [*words, "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the folders of a package of each kind, as the command writes them."""
    folder = tmp_path_factory.mktemp("new")
    begun = [said("new", "plugin", name, "--kind", kind, "--to", str(folder)) for kind, name in FOUR.items()]
    return [Path(each["path"]) for each in begun]


@pytest.fixture(scope="module")
def site(written: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which the packages are installed."""
    pytest.importorskip("hatchling", reason="packages are built here without the network")
    target = tmp_path_factory.mktemp("site")
    how = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", *how, "--target", target, *written], check=True)
    return target


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(site)


@pytest.mark.usefixtures("installed")
def test_an_installed_package_is_listed_with_its_options() -> None:
    offered = {(each["kind"], each["name"]): each["package"] for each in said("plugins")}
    for kind, name in NAMES.items():
        assert offered[kind, name] == f"hepanom-{name.replace('_', '-')}"
        assert all(option["about"] for option in describe(registry()[kind, name])["options"])


@pytest.mark.usefixtures("installed")
def test_its_recipe_is_right(written: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in written:
        monkeypatch.chdir(folder)
        assert said("check", "recipe.yaml")["status"] == "done"


@pytest.mark.usefixtures("installed")
def test_one_of_each_kind_run_together(written: list[Path], state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(written[0])
    others = ["transforms=[{use: mean_scale}]", "model={use: small}", "scores=[{use: worst}]", "train.epochs=2"]
    found = said("run", "recipe.yaml", *(word for each in others for word in ("--set", each)), "--state", str(state))
    assert found["status"] == "done"


def test_its_own_tests_pass(written: list[Path], site: Path) -> None:
    tests = [folder / "tests" for folder in written]
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(
        command, cwd=site, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_ruff_finds_nothing_in_it(written: list[Path]) -> None:
    pytest.importorskip("ruff")
    for check in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *check, "--no-cache", *written], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_one_file_is_a_plugin_too(kind: Kind, tmp_path: Path) -> None:
    found = said("new", "plugin", "own-one", "--kind", kind, "--local", "--to", str(tmp_path / "plugins"))
    offered = registry(tmp_path / "plugins")[kind, "own_one"]
    assert (found["name"], Path(offered.file)) == ("own_one", tmp_path / "plugins" / "own_one.py")
    assert describe(offered)["about"]
    assert "my_" not in Path(offered.file).read_text(encoding="utf-8").lower()


def test_the_text_says_what_comes_next(tmp_path: Path) -> None:
    one, other = (
        CliRunner().invoke(hepanom, ["new", "plugin", "own", "--kind", "model", "--to", str(tmp_path), *local]).stdout
        for local in ([], ["--local"])
    )
    assert "  src/hepanom_own/model.py\n" in one
    assert one.endswith("  pip install -e '.[test]'\n  pytest\n  hepanom run recipe.yaml\n")
    assert f"  plugins: {tmp_path}" in other
    assert "  model: {use: own}\n" in other


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("My Pulses", "reader", "'My Pulses' cannot be the name of a plugin: .* such as my_pulses"),
        ("1st", "reader", "begins with a letter, such as st"),
        ("a__b", "reader", "single _ or - between them"),
        ("../up", "reader", "cannot be the name"),
        ("x" * 41, "reader", "at most 40"),
        ("knn", "model", r"there is a model 'knn' already: hepanom .* offers it; choose another name"),
        ("plugins", "reader", r"the module hepanom_plugins is installed already \(.*__init__.py\)"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name: str, kind: Kind, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        new.package(name, kind, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("begin", [new.package, new.local])
def test_nothing_is_overwritten(begin: Any, tmp_path: Path) -> None:
    place = begin("pulses", "reader", tmp_path).place
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(InputError, match=f"{place.name}: is there already"):
        begin("pulses", "scorer", tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_a_name_that_another_file_of_the_folder_offers_is_refused(tmp_path: Path) -> None:
    new.local("pulses", "reader", tmp_path).place.rename(tmp_path / "renamed.py")
    with pytest.raises(InputError, match=r"there is a reader 'pulses' already: .*renamed.py offers it"):
        new.local("pulses", "reader", tmp_path)


def test_no_half_of_a_package_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, times = Path.write_text, iter(range(5))

    def full(path: Path, text: str, **how: Any) -> int:
        if next(times) == 4:
            raise OSError(28, "No space left on device")
        return write(path, text, **how)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(files.HepanomError, match="No space left on device"):
        new.package("pulses", "reader", tmp_path)
    assert list(tmp_path.iterdir()) == []
