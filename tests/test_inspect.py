"""The command inspect: the reader that it chooses, what it prints, the figure and the first recipe it writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from offered import write_clouds, write_hdf5, write_row_groups, write_tables, write_trees

from hepanom import document
from hepanom.cli import hepanom
from hepanom.overview import survey
from hepanom.recognize import recognize
from hepanom.starter import starter

PICKY = """
from dataclasses import dataclass
from hepanom_plugins.readers.csv import Csv
from hepanom.hookspecs import hookimpl

@dataclass(frozen=True)
class Picky(Csv):
    before = BEFORE

    @classmethod
    def reads(cls, file):
        return file.endswith("part0.csv")

@hookimpl
def readers():
    return {"picky": Picky}
"""


def call(*arguments: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(hepanom, ["inspect", *map(str, arguments)])


def seen(*arguments: object) -> Any:
    """Return what --json prints."""
    return json.loads(call(*arguments, "--json").stdout)


def write_plain(file: Path, rows: int = 300, sign: float = 1.0) -> Path:
    """Write a table with a column that is missing here and there, a label and a weight."""
    generator = np.random.default_rng(2)
    lines = ["mass,pt,kind,w"]
    for row, (mass, pt) in enumerate(generator.normal(50, 9, (rows, 2)).round(3)):
        lines.append(f"{'' if row % 5 == 0 else mass},{pt},{'sb'[row % 4 > 0]},{sign if row % 7 == 0 else 1.0}")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_the_most_specific_reader_is_chosen(tmp_path: Path) -> None:
    tables = write_tables(tmp_path)
    assert seen(tables)["reader"] == "higgsml"
    numbers = ("--set", "data.features=[DER_*]")
    assert seen(tables, "--use", "csv", *numbers)["reader"] == "csv"
    (tmp_path / "plain.csv").write_text("mass,pt\n1,2\n", encoding="utf-8")
    assert seen(tmp_path / "plain.csv")["reader"] == "csv"
    assert seen(write_clouds(tmp_path))["reader"] == "attpc"
    for written, reader in ((write_hdf5, "hdf5"), (write_trees, "root"), (write_row_groups, "parquet")):
        (tmp_path / reader).mkdir()
        assert seen(written(tmp_path / reader))["reader"] == reader


@pytest.mark.parametrize(("before", "expected"), [("('higgsml', 'csv')", "picky"), ("()", "higgsml, picky")])
def test_readers_of_others_take_part(tmp_path: Path, before: str, expected: str) -> None:
    write_tables(tmp_path)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "picky.py").write_text(PICKY.replace("BEFORE", before), encoding="utf-8")
    numbers = ("--set", "data.features=[DER_*]") if expected == "picky" else ()
    done = call(tmp_path / "part0.csv", "--plugins", tmp_path / "plugins", *numbers, "--json")
    found = json.loads(done.stdout)
    if expected == "picky":
        assert found["reader"] == "picky"
    else:
        assert done.exit_code == 2
        assert f"the readers {expected} read such files; choose one by --use NAME" in found["error"]


def test_json_has_columns_missing_values_labels_and_weights(tmp_path: Path) -> None:
    options = ["--set", "data.label=kind", "--set", "data.classes={b: [b], s: [s]}", "--set", "data.weight=w"]
    found = seen(write_plain(tmp_path / "plain.csv"), *options, "--set", "data.units={mass: GeV}")
    assert (found["events"], found["labels"], found["stopped"]) == (300, {"b": 225, "s": 75}, False)
    assert found["weight_sums"] == {"b": 225.0, "s": 75.0}
    mass = found["columns"][0]
    assert (mass["name"], mass["type"], mass["unit"]) == ("mass", "float32", "GeV")
    assert (mass["values"], mass["missing"]) == (300, 60)
    assert mass["low"] < mass["mean"] < mass["high"]


def test_a_person_sees_tables_and_histograms() -> None:
    done = call("--use", "toy", "--events", 1000)
    assert done.exit_code == 0
    assert "the first 1,000 events" in done.stdout
    assert "m_jj" in done.stdout
    assert "█" in done.stdout
    assert call("--use", "toy", "--events", 1000, "-q").output == ""


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_the_figure_is_written(tmp_path: Path, ending: str) -> None:
    figure = tmp_path / f"look.{ending}"
    assert seen("--use", "toy", "--events", 1000, "--figure", figure)["figure"] == str(figure)
    head = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    assert figure.read_bytes().startswith(head[ending])
    assert sorted(tmp_path.iterdir()) == [figure]


def test_the_first_recipe_is_accepted_and_runs(tmp_path: Path, state: Path) -> None:
    file, recipe = write_plain(tmp_path / "plain.csv", rows=600, sign=-0.5), tmp_path / "first.yaml"
    options = ["--set", "data.label=kind", "--set", "data.classes={b: [b], s: [s]}", "--set", "data.weight=w"]
    assert call(file, *options, "--recipe", recipe).exit_code == 0
    written = recipe.read_text(encoding="utf-8")
    assert "use: missing" in written
    assert 'background: ["b"]' in written
    assert "weighted: absolute" in written
    run = CliRunner().invoke(hepanom, ["run", str(recipe), "--state", str(state), "--json", "--set", "train.epochs=1"])
    assert json.loads(run.stdout)["status"] == "done"


@pytest.mark.parametrize("arguments", [("--use", "toy"), ("toy:5:1500", "--use", "toy"), ("CLOUDS",)])
def test_the_recipe_reads_the_same_events(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    recipe = tmp_path / "first.yaml"
    clouds = write_clouds(tmp_path)
    found = seen(*(clouds if text == "CLOUDS" else text for text in arguments), "--recipe", recipe)
    checked = CliRunner().invoke(hepanom, ["check", str(recipe), "--json"])
    plain = json.loads(checked.stdout)
    assert (plain["status"], plain["data"]) == ("done", found["reader"])
    assert plain["files"] == found["files"]
    assert ("missing" in plain["transforms"]) == any(column["missing"] for column in found["columns"])


def test_the_first_recipe_leaves_out_what_is_no_measurement_by_its_name(tmp_path: Path) -> None:
    rows = [f"{row},{row % 2},1.5,{row / 7},{row}" for row in range(30)]
    recipe = first_recipe(tmp_path, "eventNumber,isSignal,gen_weight,run_time,pt", rows)
    written = recipe.read_text(encoding="utf-8")
    assert "#   by their names nothing measured (`label`, `id`, `weight` or `keep` take them): eventNumber" in written
    assert selected(recipe) == ["run_time", "pt"]


def first_recipe(folder: Path, header: str, rows: list[str]) -> Path:
    """Return the recipe that inspect writes for a CSV file."""
    file, recipe = folder / "plain.csv", folder / "first.yaml"
    file.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    assert call(file, "--recipe", recipe).exit_code == 0
    return recipe


def selected(recipe: Path) -> list[str]:
    """Return the features that a recipe names."""
    found: list[str] = document.read(recipe).plain["data"]["features"]
    return found


def test_the_first_recipe_leaves_out_what_cannot_vary_or_is_not_finite(tmp_path: Path) -> None:
    rows = [f"7,,{row},{'inf' if row == 3 else row},{row if row % 2 else ''}" for row in range(30)]
    recipe = first_recipe(tmp_path, "same,gone,a b,wild,half", rows)
    written = recipe.read_text(encoding="utf-8")
    for line in ("constant in these events: same", "missing in all these events: gone", "(or clip them): wild"):
        assert line in written
    assert selected(recipe) == ["a b", "half"]
    assert "use: missing" in written


def test_values_that_may_mean_missing_are_told_and_missing_in_the_first_recipe(tmp_path: Path) -> None:
    rows = [f"{-999 if row < 3 else row},{-99 if row == 2 else row},{row}" for row in range(30)]
    recipe = first_recipe(tmp_path, "tau,once,pt", rows)
    told = call(tmp_path / "plain.csv").stdout
    assert "values that may mean missing, if the reader's option `missing` says so: tau: -999 (10.0%)\n" in told
    written = recipe.read_text(encoding="utf-8")
    assert "  # seen in tau\n  missing: [-999.0]\n" in written
    assert "use: missing" in written
    assert document.read(recipe).plain["data"]["missing"] == [-999.0]


def test_columns_that_the_first_recipe_left_out_are_not_needed_to_score(tmp_path: Path, state: Path) -> None:
    recipe, new = tmp_path / "first.yaml", tmp_path / "new.csv"
    rows = [(row % 7, (3 * row) % 11) for row in range(300)]
    file = tmp_path / "plain.csv"
    file.write_text("same,a,b\n" + "".join(f"7,{a},{b}\n" for a, b in rows), encoding="utf-8")
    assert call(file, "--recipe", recipe).exit_code == 0
    run = CliRunner().invoke(hepanom, ["run", str(recipe), "--state", str(state), "--json", "--set", "train.epochs=1"])
    new.write_text("a,other,b\n" + "".join(f"{a},1,{b}\n" for a, b in rows), encoding="utf-8")
    out = str(tmp_path / "scores.parquet")
    scored = CliRunner().invoke(hepanom, ["score", json.loads(run.stdout)["detector"], str(new), "--out", out])
    assert "300 events scored" in scored.stdout


def test_a_reader_that_cannot_select_has_columns_dropped() -> None:
    reader = recognize([], use="toy", overrides=["data.events=200"]).reader
    written = starter(survey(reader), {"use": "toy"}, "toy")
    assert "features: [" not in written
    found = survey(reader)
    odd = replace(found.columns[0], name="event_id")
    written = starter(replace(found, columns=(odd, *found.columns[1:])), {"use": "toy"}, "toy")
    assert '- {use: drop, columns: ["event_id"]}  # by their names nothing measured' in written


def test_what_the_reader_leaves_in_the_files_is_listed(tmp_path: Path) -> None:
    found = seen(write_trees(tmp_path))["unread"]
    assert found == [{"name": "jet_pt", "holds": "list of numbers", "type": "float64", "fewest": 0, "most": 3}]
    shown = call(write_trees(tmp_path)).stdout
    assert "not read: what else lies in the files" in shown
    assert "0 to 3" in shown
    assert [entry["name"] for entry in seen(write_clouds(tmp_path))["unread"]] == ["energy", "kind"]
    (tmp_path / "text.csv").write_text("a,kind\n1,x\n2,y\n", encoding="utf-8")
    assert [entry["name"] for entry in seen(tmp_path / "text.csv")["unread"]] == ["kind"]


def test_a_recipe_is_never_overwritten(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("mine", encoding="utf-8")
    done = call("--use", "toy", "--recipe", recipe)
    assert done.exit_code == 2
    assert "is not overwritten" in done.stderr
    assert recipe.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.csv"], "no file matches 'nowhere.csv'"),
        (["nowhere.xyz"], "nowhere.xyz: there is no such file"),
        (["."], ".: is a folder; name the files in it"),
        (["odd.xyz"], "odd.xyz: no reader says that it reads such files; choose one by --use NAME: "),
        (["empty.csv"], "empty.csv: no rows below the header"),
        (["cut.csv.gz"], "cut.csv.gz"),
        (["plain.csv", "other.root"], "inspect one kind at a time"),
        (["plain.csv", "--use", "cvs"], "there is no reader 'cvs'; did you mean 'csv'?"),
        (["plain.csv", "--set", "data.wieght=w"], "data.wieght: unknown option; did you mean 'weight'?"),
        (["plain.csv", "--set", "seed=1"], "--set seed=1: inspect knows the options of the reader alone"),
        (["plain.csv", "--set", "data.path=b.csv"], "the files are given twice"),
        (["plain.csv", "--figure", "a.jpg"], "expected a name that ends in .png, .pdf, .svg"),
        ([], "there is nothing to inspect"),
    ],
)
def test_bad_input_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_plain(tmp_path / "plain.csv")
    for name, content in {"odd.xyz": b"1", "empty.csv": b"a,b\n", "cut.csv.gz": b"\x1f\x8b\x08\x00"}.items():
        (tmp_path / name).write_bytes(content)
    done = call(*arguments, "-q")
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
