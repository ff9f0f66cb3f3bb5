"""A result says where it comes from."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from hepanom.contracts import Part
from hepanom.provenance import describe, fingerprints, git_commit
from hepanom_plugins.readers.toy import Toy


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, whatever the user's own settings."""
    settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    names = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **settings, **names})
    return done.stdout.strip()


@dataclass(frozen=True)
class Files(Toy):
    """A reader whose parts are two pieces of each file."""

    files: tuple[str, ...] = ()

    def parts(self) -> list[Part]:
        """List two parts of each file."""
        return [Part(file, start, start + 1) for file in self.files for start in (0, 1)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder outside every repository."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_fingerprint_is_that_of_the_bytes(here: Path) -> None:
    (here / "a.csv").write_bytes(b"a,b\n1,2\n")
    digest = hashlib.sha256(b"a,b\n1,2\n").hexdigest()
    assert fingerprints(Files(files=("a.csv",))) == [{"path": str(here / "a.csv"), "bytes": 8, "sha256": digest}]
    (here / "a.csv").write_bytes(b"a,b\n1,3\n")
    assert fingerprints(Files(files=("a.csv",)))[0]["sha256"] != digest


def test_a_simulation_is_told_from_others_by_its_options(here: Path) -> None:
    (here / "toy").mkdir()
    (one,) = fingerprints(Toy(events=300_000))
    assert (one["path"], one["options"]["events"], one["options"]["seed"]) == ("toy", 300_000, 1)
    assert fingerprints(Toy(events=300_000, seed=1)) == [one] == json.loads(json.dumps([one]))
    others = (Toy(events=400), Toy(events=300_000, seed=2), Toy(events=300_000, mass=2500.0))
    assert all(fingerprints(other) != [one] for other in others)


def test_the_commit_is_that_of_the_working_folder(here: Path) -> None:
    assert git_commit() is None
    git(here, "init", "-q")
    assert git_commit() is None
    (here / "recipe.yaml").write_text("a: 1\n", encoding="utf-8")
    git(here, "add", ".")
    git(here, "commit", "-q", "-m", "first")
    git(here, "tag", "-a", "-m", "first", "v1")
    head = git(here, "rev-parse", "HEAD")
    assert git_commit() == head
    (here / "recipe.yaml").write_text("a: 2\n", encoding="utf-8")
    assert git_commit() == f"{head}-dirty"


def test_a_machine_without_git_has_no_commit(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(here))
    assert git_commit() is None


def test_everything_that_made_the_result_is_listed(here: Path) -> None:
    (here / "a.csv").touch()
    found = describe(Files(files=("a.csv", "toy")), {"mine": "1.0"}, "cpu", 2)
    assert [entry["path"] for entry in found["data"]] == [str(here / "a.csv"), "toy"]
    assert found["packages"]["hepanom"] == version("hepanom")
    assert {"torch", "numpy", "polars", "mlflow"} <= set(found["packages"])
    assert (found["plugins"], found["device"], found["threads"]) == ({"mine": "1.0"}, "cpu", 2)
    assert datetime.fromisoformat(found["created"]).tzinfo is not None
    assert found["git"] is None
