"""What TAB offers in a shell: plugins, runs, data sets and keys of the recipe on the line."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete, get_completion_class
from click.testing import CliRunner

from hepanom import kept_schema, plugins, reference
from hepanom.cli import hepanom
from hepanom.words import words

RECIPE = """
name: page
data: {use: toy}
transforms: [{use: standardize}, {use: missing}]
model: {use: vae}
scores: [{use: elbo}]
train: {epochs: 3}
"""


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return reference.json_schema(plugins.registry())


@pytest.fixture
def kept(schema: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the file of a schema that is kept, in a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(RECIPE)
    monkeypatch.setattr(kept_schema, "_make", lambda _: None)
    kept_schema.keep(schema, None)
    (found,) = (tmp_path / "cache" / "hepanom").iterdir()
    return found


def offered(*arguments: str) -> list[str]:
    """Return what is offered for the last of the arguments."""
    complete = ShellComplete(hepanom, {}, "hepanom", "_HEPANOM_COMPLETE")
    return [item.value for item in complete.get_completions(list(arguments[:-1]), arguments[-1])]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("plugins", "isol"), ["isolation_forest"]),
        (("inspect", "--use", "hd"), ["hdf5"]),
        (("runs", "--model", "va"), ["vae"]),
        (("fetch", "hi"), ["higgsml"]),
        (("run", "mine.yaml", "--set", "train.ep"), ["train.epochs="]),
        (("run", "mine.yaml", "--set", "mod"), ["model."]),
        (("run", "mine.yaml", "--set", "model.dec"), ["model.decoder="]),
        (("run", "mine.yaml", "--set", "model.decoder="), ["model.decoder=gaussian", "model.decoder=fixed"]),
        (("run", "mine.yaml", "--set", "model.use=wg"), ["model.use=wgan_gp"]),
        (("run", "mine.yaml", "--set", "model.use=wgan_gp", "--set", "model.critic_l"), ["model.critic_lr="]),
        (("run", "mine.yaml", "--set", "model.critic_l"), []),
        (("check", "mine.yaml", "--set", "transforms."), ["transforms.0.", "transforms.1."]),
        (
            ("search", "mine.yaml", "--set", "transforms.1.fill=m"),
            [f"transforms.1.fill={how}" for how in ("mean", "median", "minimum")],
        ),
        (("run", "mine.yaml", "--set", "train.weighted=a"), ["train.weighted=absolute"]),
        (("run", "mine.yaml", "--set", "train.optimizer.am"), ["train.optimizer.amsgrad="]),
        (("run", "mine.yaml", "--set", "train.optimizer.use=rms"), ["train.optimizer.use=rmsprop"]),
        (("run", "mine.yaml", "--set", "nonsense.x"), []),
        (("run", "there is none.yaml", "--set", "split.col"), ["split.column="]),
        (("inspect", "--use", "csv", "--set", "data.sep"), ["data.separator="]),
    ],
)
@pytest.mark.usefixtures("kept")
def test_the_begun_word_goes_on(arguments: tuple[str, ...], expected: list[str]) -> None:
    assert offered(*arguments) == expected


def test_every_key_of_every_plugin_is_reached(schema: dict[str, Any]) -> None:
    for name, entry in schema["$defs"].items():
        if name.startswith("model.") and name.count(".") == 1:
            found = words(schema, {"model": {"use": name.removeprefix("model.")}}, "model.")
            assert [text.strip(".=").removeprefix("model.") for text, _ in found] == list(entry["properties"])
            assert all(about for _, about in found)


@pytest.mark.usefixtures("kept")
def test_names_and_ids_of_runs_are_offered_without_a_server(tmp_path: Path) -> None:
    assert offered("show", "ni") == ["ni"]  # a file, which the shell completes
    (tmp_path / "mlruns").mkdir()
    with closing(sqlite3.connect(tmp_path / "mlruns" / "mlflow.db")) as base:
        base.execute("CREATE TABLE runs (run_uuid, name, status, lifecycle_stage, start_time)")
        rows = [("0a1", "night", "FINISHED", 1), ("0b2", "night", "FAILED", 2), ("0c3", "day", "FINISHED", 3)]
        base.executemany("INSERT INTO runs VALUES (?, ?, ?, 'active', ?)", rows)
        base.commit()
    assert offered("compare", "night", "") == ["day", "night", "0c3", "0b2", "0a1"]
    assert offered("show", "ni") == ["night"]
    assert offered("score", "0b") == ["0b2"]
    assert offered("show", "--tracking", "http://nobody.invalid", "ni") == ["ni"]


def test_the_columns_that_runs_are_read_from_are_mlflows(state: Path) -> None:
    with closing(sqlite3.connect(state / "mlflow.db")) as base:
        columns = {row[1] for row in base.execute("PRAGMA table_info(runs)")}
    assert columns >= {"run_uuid", "name", "status", "lifecycle_stage", "start_time"}


def test_a_plugin_that_changes_makes_the_schema_old(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str | None] = []
    monkeypatch.setattr(kept_schema, "_make", begun.append)
    folder = tmp_path / "plugins"
    folder.mkdir()
    assert kept_schema.kept(str(folder)) is None
    kept_schema.keep({"first": True}, str(folder))
    assert kept_schema.kept(str(folder)) == {"first": True}
    assert begun == [str(folder)]
    (folder / "mine.py").write_text("")
    assert kept_schema.kept(str(folder)) == {"first": True}  # better than nothing, while another is made
    assert kept_schema.kept(str(folder)) == {"first": True}
    assert begun == [str(folder)] * 2  # once for each state
    kept.write_text("broken")
    assert offered("run", "mine.yaml", "--set", "train.") == []


def test_the_schema_is_kept_by_the_command_that_prints_it(
    schema: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(reference, "json_schema", lambda _: schema)
    assert CliRunner().invoke(hepanom, ["schema", "--quiet"]).stdout == ""
    assert kept_schema.kept(None) == json.loads(json.dumps(schema))
    assert CliRunner().invoke(hepanom, ["schema"], env={"XDG_CACHE_HOME": "/dev/null"}).exit_code == 0


@pytest.mark.usefixtures("kept")
def test_nothing_slow_is_imported_between_two_keys(tmp_path: Path) -> None:
    code = (
        "import sys; from hepanom.cli import hepanom\n"
        "from click.shell_completion import ShellComplete\n"
        "line = ['run', 'mine.yaml', '--set']\n"
        "print([each.value for each in ShellComplete(hepanom, {}, 'hepanom', '').get_completions(line, 'train.ep')])\n"
        "print(sorted({'torch', 'mlflow', 'pydantic', 'numpy', 'polars', 'scipy'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (answer.stdout, answer.stderr) == ("['train.epochs=']\n[]\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_a_script(shell: str) -> None:
    made = get_completion_class(shell)
    assert made is not None
    assert "_HEPANOM_COMPLETE" in made(hepanom, {}, "hepanom", "_HEPANOM_COMPLETE").source()


@pytest.mark.usefixtures("kept")
def test_a_real_bash_completes(tmp_path: Path) -> None:
    (tmp_path / "rc").write_text(
        'PS1="> "; bind "set bell-style none"; bind "set enable-bracketed-paste off"\n'
        'eval "$(_HEPANOM_COMPLETE=bash_source hepanom)"\n'
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    typed = ["plugins isol\t", "run mine.yaml --set train.ep\t", "run mine.yaml --set model.use=wg\t", "run mi\t"]
    ours, theirs = pty.openpty()
    bash = subprocess.Popen(
        ["bash", "--noprofile", "--rcfile", "rc", "-i"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "TERM": "dumb", "COLUMNS": "200"},
        start_new_session=True,
    )
    os.close(theirs)

    def until(text: str) -> str:
        seen = ""
        while text not in seen:
            seen += os.read(ours, 4096).decode()
        return seen

    try:
        until("> ")
        shown = []
        for line in typed:
            os.write(ours, f"hepanom {line}#".encode())  # what is typed after TAB comes in any case
            shown.append(until("#"))
            os.write(ours, b"\x15")  # Ctrl-U: an empty line again
    finally:
        bash.kill()
        bash.wait()
        os.close(ours)
    assert "hepanom plugins isolation_forest #" in shown[0]
    assert "--set train.epochs=#" in shown[1]
    assert "--set model.use=wgan_gp #" in shown[2]
    assert "run mine.yaml #" in shown[3]
