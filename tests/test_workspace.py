"""A run's folder is its own, waits for it after a failure, and goes when it is done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hepanom.document import Document, parse
from hepanom.errors import HepanomError, InputError
from hepanom.workspace import Workspace, claim

RECIPE = parse("name: story\n", "story.yaml")
HOLD = """
import sys
from pathlib import Path
from hepanom.document import parse
from hepanom.workspace import claim
with claim(Path(sys.argv[1]), parse("name: story", "story.yaml"), resume=sys.argv[2] == "resume") as work:
    work.remember(run_id="held")
    print(work.folder, flush=True)
    sys.stdin.read()
"""


def stopped(state: Path, error: BaseException, document: Document = RECIPE, **note: Any) -> None:
    """Begin a run, remember something of it, and stop."""
    with claim(state, document, resume=False) as work:
        if note:
            work.remember(**note)
        raise error


def interrupted(state: Path, run_id: str, age: float = 0, document: Document = RECIPE) -> Path:
    """Leave the folder of a run that stopped ``age`` seconds ago."""
    before = folders(state)
    with suppress(KeyboardInterrupt):
        stopped(state, KeyboardInterrupt(), document, run_id=run_id)
    (folder,) = folders(state) - before
    time = (folder / "run.json").stat().st_mtime - age
    os.utime(folder / "run.json", (time, time))
    return folder


def folders(state: Path) -> set[Path]:
    """Return the folders of all runs."""
    return {file.parent for file in state.glob("checkpoints/*/*/lock")}


def test_a_fresh_run_gets_a_folder_that_goes_when_it_is_done(tmp_path: Path) -> None:
    with claim(tmp_path, RECIPE, resume=False) as work:
        assert (work.note, work.abandoned) == ({}, ())
        work.remember(run_id="one")
        assert folders(tmp_path) == {work.folder}
        assert work.checkpoints.parent == work.folder
    assert list((tmp_path / "checkpoints").iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, HepanomError, RuntimeError])
def test_a_failed_run_keeps_its_folder(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error, match="stop"):
        stopped(tmp_path, error("stop"), run_id="one")
    assert len(folders(tmp_path)) == 1


def test_a_run_that_remembers_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(HepanomError, match="no server answers"):
        stopped(tmp_path, HepanomError("no server answers"))
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_resume_takes_the_newest_run_and_what_it_remembered(tmp_path: Path) -> None:
    interrupted(tmp_path, "old", age=20)
    newest = interrupted(tmp_path, "new", age=0)
    interrupted(tmp_path, "older", age=30)
    with claim(tmp_path, RECIPE, resume=True) as work:
        assert (work.folder, work.note) == (newest, {"run_id": "new"})
        assert set(work.abandoned) == {"old", "older"}
    assert folders(tmp_path) == set()


def test_what_is_remembered_adds_up(tmp_path: Path) -> None:
    folder = interrupted(tmp_path, "one")
    Workspace(folder, {}, ()).remember(data=[1])
    with claim(tmp_path, RECIPE, resume=True) as work:
        assert work.note == {"run_id": "one", "data": [1]}


def test_a_fresh_run_names_the_runs_that_were_abandoned(tmp_path: Path) -> None:
    left = interrupted(tmp_path, "old")
    with claim(tmp_path, RECIPE, resume=False) as work:
        assert work.abandoned == ("old",)
        assert folders(tmp_path) == {work.folder, left}
    assert folders(tmp_path) == set()


def test_a_run_of_another_recipe_is_left_alone(tmp_path: Path) -> None:
    other = parse("name: other\n", "story.yaml")
    left = interrupted(tmp_path, "other", document=other)
    with claim(tmp_path, RECIPE, resume=False) as work:
        assert work.abandoned == ()
    with pytest.raises(InputError, match=r"story\.yaml: there is no interrupted run of this recipe under"):
        claim(tmp_path, RECIPE, resume=True).__enter__()
    assert folders(tmp_path) == {left}


def test_the_same_values_are_the_same_recipe(tmp_path: Path) -> None:
    left = interrupted(tmp_path, "one")
    with claim(tmp_path, parse("# moved\nname: 'story'\n", "elsewhere.yaml"), resume=True) as work:
        assert work.folder == left


@pytest.mark.parametrize("how", ["fresh", "resume"])
def test_a_run_that_goes_on_elsewhere_is_left_alone(tmp_path: Path, how: str) -> None:
    if how == "resume":
        interrupted(tmp_path, "old")
    command = [sys.executable, "-c", HOLD, str(tmp_path), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        held = Path(other.stdout.readline().strip())
        with pytest.raises(InputError, match=f"{held.name}: this run is still going on in another process"):
            claim(tmp_path, RECIPE, resume=True).__enter__()
        with claim(tmp_path, RECIPE, resume=False) as work:
            assert work.abandoned == ()
        assert folders(tmp_path) == {held}
        other.kill()
    with claim(tmp_path, RECIPE, resume=True) as work:
        assert (work.folder, work.note) == (held, {"run_id": "held"})


def test_a_run_that_is_resumed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    left = interrupted(tmp_path, "old")
    fresh = claim(tmp_path, RECIPE, resume=False)
    assert fresh.__enter__().abandoned == ("old",)
    with claim(tmp_path, RECIPE, resume=True) as resumed:
        resumed_from: Workspace = resumed
        fresh.__exit__(None, None, None)
        assert folders(tmp_path) == {left}
    assert resumed_from.folder == left


def test_a_state_folder_that_cannot_be_made_says_what_would_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HepanomError, match=r"cannot be created: .*; choose another folder with --state"):
        claim(tmp_path / "file", RECIPE, resume=False).__enter__()


def test_a_folder_removed_by_hand_does_no_harm(tmp_path: Path) -> None:
    with claim(tmp_path, RECIPE, resume=False):
        shutil.rmtree(tmp_path)
