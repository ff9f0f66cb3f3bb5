"""The packages in examples/ build, install beside hepanom, are offered, and pass their own tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hepanom.cli import hepanom

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").iterdir())
OFFERED = {("reader", "pulses"), ("model", "dte"), ("scorer", "diffusion_time")}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which wheels of the packages are installed."""
    pytest.importorskip("hatchling", reason="wheels are built here without the network")
    target = tmp_path_factory.mktemp("site")
    how = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", *how, "--target", target, *EXAMPLES], check=True)
    return target


def test_they_are_offered(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(site)
    offered = json.loads(CliRunner().invoke(hepanom, ["plugins", "--json"]).stdout)
    found = {(each["kind"], each["name"]): each["package"] for each in offered}
    assert {found[key] for key in OFFERED} == {folder.name for folder in EXAMPLES}


def test_their_recipes_are_right(site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-m", "hepanom_pulses.simulate", "samples"]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(site)}, check=True)
    for folder in EXAMPLES:
        done = CliRunner().invoke(hepanom, ["check", str(folder / "recipe.yaml")])
        assert done.exit_code == 0, done.output


def test_their_tests_pass(site: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["--jaxtyping-packages=hepanom_pulses,hepanom_dte,beartype.beartype"]
    command += [f"--config-file={EXAMPLES[0] / 'pyproject.toml'}", *(str(folder / "tests") for folder in EXAMPLES)]
    done = subprocess.run(
        command, cwd=site, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
