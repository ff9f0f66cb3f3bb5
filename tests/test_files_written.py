"""A file or a folder is there whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from hepanom.errors import HepanomError, InputError
from hepanom.files import written


def put(path: Path, text: str, *, folder: bool) -> None:
    """Write a file, or a folder that holds one."""
    if folder:
        path.mkdir()
    (path / "inside" if folder else path).write_text(text, encoding="utf-8")


def got(path: Path) -> str:
    """Return what ``put`` wrote."""
    return (path / "inside" if path.is_dir() else path).read_text(encoding="utf-8")


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("was_folder", [None, False, True])
def test_what_is_written_replaces_what_was_there(tmp_path: Path, folder: bool, was_folder: bool | None) -> None:
    path = tmp_path / "a.json"
    if was_folder is not None:
        put(path, "old", folder=was_folder)
    if was_folder:
        (path / "left over").touch()
    with written(path) as temporary:
        put(temporary, "new", folder=folder)
        assert not path.exists() or got(path) == "old"
    assert got(path) == "new"
    assert [entry.name for entry in tmp_path.rglob("*")] == (["a.json", "inside"] if folder else ["a.json"])


def test_a_block_that_writes_nothing_replaces_nothing(tmp_path: Path) -> None:
    put(tmp_path / "a", "old", folder=True)
    with pytest.raises(HepanomError, match="a: cannot be written: No such file"), written(tmp_path / "a"):
        pass
    assert [entry.name for entry in tmp_path.rglob("*")] == ["a", "inside"]


def test_folders_above_are_made(tmp_path: Path) -> None:
    with written(tmp_path / "new" / "deep" / "a") as temporary:
        temporary.touch()
    assert (tmp_path / "new" / "deep" / "a").is_file()


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), HepanomError, "a.json: cannot be written: No space left on"),
        (SafetensorError("I/O error: no space"), HepanomError, "a.json: cannot be written: I/O error"),
        (InputError("the data are broken"), InputError, "the data are broken"),
        (ValueError("a bug"), ValueError, "a bug"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
    ],
)
def test_an_error_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, error: BaseException, raised: type[BaseException], message: str, folder: bool
) -> None:
    path = tmp_path / "a.json"
    put(path, "old", folder=folder)
    before = sorted(tmp_path.rglob("*"))

    def interrupted() -> None:
        with written(path) as temporary:
            put(temporary, "half", folder=folder)
            raise error

    with pytest.raises(raised, match=message):
        interrupted()
    assert got(path) == "old"
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["file/below.json", "n" * 300])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HepanomError, match=f"{name}: cannot be written: "), written(tmp_path / name) as temporary:
        temporary.touch()
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(HepanomError, match="it is neither a file nor a folder"), written(pipe) as temporary:
        temporary.touch()
    assert pipe.is_fifo()
