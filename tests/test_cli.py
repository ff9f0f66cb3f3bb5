"""The command line: what it prints, its exit codes, and one clear message for everything that goes wrong."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from hepanom.cli import hepanom

RECIPE = """
name: small
data: {use: toy, events: 4000}
background: [background]
transforms: [{use: missing}, {use: standardize}]
model: {use: autoencoder, hidden: [8]}
train: {epochs: 2}
scores: [{use: reconstruction}]
thresholds: [{rule: background_efficiency, value: 0.1}]
"""
HIGGS = """
name: higgs
data: {use: higgsml, path: "FILE"}
background: [b]
transforms: [{use: missing}, {use: standardize}]
model: {use: autoencoder, hidden: [8]}
train: {epochs: 1}
scores: [{use: reconstruction}]
"""


def call(*arguments: object) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(hepanom, [str(argument) for argument in arguments])


def plain(result: Result) -> Any:
    """Return the JSON that is all that stands on stdout."""
    return json.loads(result.stdout)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(RECIPE, encoding="utf-8")
    return file


@pytest.fixture
def higgs(data: Path, tmp_path: Path) -> Path:
    """Return a recipe on a cut-out of the HiggsML file, which lies beside it as higgs.csv.gz."""
    with gzip.open(next((data / "higgsml").glob("*.csv.gz")), "rb") as source:
        lines = source.read().splitlines(keepends=True)[:2001]
    (tmp_path / "higgs.csv.gz").write_bytes(gzip.compress(b"".join(lines)))
    file = tmp_path / "higgs.yaml"
    file.write_text(HIGGS.replace("FILE", str(tmp_path / "higgs.csv.gz")), encoding="utf-8")
    return file


def test_run_score_and_show_agree(recipe: Path, state: Path, tmp_path: Path) -> None:
    found = plain(call("run", recipe, "--json", "--state", state))
    assert set(found) == {
        "status",
        "run_id",
        "detector",
        "report",
        "metrics",
        "latent",
        "thresholds",
        "training",
        "tally",
        "skipped",
    }
    assert {"value", "low", "high"} <= set(found["metrics"]["reconstruction/auc"])
    assert {"rule", "value", "low", "high", "background_efficiency", "flagged"} <= set(found["thresholds"][0])

    out = tmp_path / "scores.parquet"
    scored = plain(call("score", found["detector"], "toy:9:1000", "--out", out, "--json"))
    by_run = plain(
        call("score", found["run_id"], "toy:9:1000", "--out", tmp_path / "b.parquet", "--json", "--tracking", state)
    )
    assert scored["events"] == by_run["events"] == 1000
    table = pq.read_table(out)
    assert table.equals(pq.read_table(tmp_path / "b.parquet"))
    flags = table["flag/reconstruction/background_efficiency_0.1"].to_numpy()
    assert np.array_equal(flags, table["score/reconstruction"].to_numpy() > found["thresholds"][0]["value"])
    assert scored["flagged"] == {"reconstruction/background_efficiency_0.1": int(flags.sum())}

    detector = plain(call("show", found["detector"], "--json"))
    assert detector["thresholds"][0]["cut"] == found["thresholds"][0]["value"]
    shown = plain(call("show", found["run_id"], "--json", "--tracking", state))
    assert shown["status"] == "FINISHED"
    assert shown["metrics"]["test/auc"] == pytest.approx(found["metrics"]["reconstruction/auc"]["value"])


def test_tables_are_printed_for_people(recipe: Path, state: Path) -> None:
    done = call("run", recipe, "--state", state)
    assert done.exit_code == 0
    assert "background_efficiency_0.1" in done.stdout
    assert "training" in done.stderr
    assert call("run", recipe, "--state", state, "-q").output == ""
    assert "no mistake found" in call("check", recipe).stdout
    assert "SplitMix" not in call("plugins").stdout
    assert "arXiv:1312.6114" in call("plugins", "vae").stdout


def test_plugins_lists_kind_name_package_and_version() -> None:
    found = plain(call("plugins", "--json"))
    vae = {"kind": "model", "name": "vae", "package": "hepanom", "version": found[0]["version"]}
    assert [vae] == [{key: entry[key] for key in vae} for entry in found if entry["name"] == "vae"]
    assert all(entry["about"] for entry in found)
    assert "Variational autoencoder for a table of features or an image" in call("plugins").stdout
    assert "did you mean 'vae'" in call("plugins", "vaee").stderr


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epocs=5", "did you mean 'epochs'"),
        ("train.epochs=many", "expected a valid integer"),
        ("model.use=autoencodr", "there is no model 'autoencodr'; did you mean 'autoencoder'"),
        ("model.latnt=3", "model.latnt: unknown option; did you mean 'latent'?"),
        ("background=[bkg]", "there is no class 'bkg'"),
        ("train.per=njets", "there is no column 'njets'; did you mean 'n_jets'?"),
        ("scores=[{use: kl}]", "kl needs latent_log_variance"),
        ("transforms.0={use: drop, columns: [phi]}", "column 'phi' is not there"),
        ("split.column=set", "split.train: with a column this is a list"),
        ("split.train=0.9", "sum to 1.4; expected 1"),
    ],
)
def test_bad_recipe_is_one_message_and_exit_code_2(recipe: Path, state: Path, override: str, message: str) -> None:
    before = sorted(state.rglob("*"))
    done = call("run", recipe, "--state", state, "--set", override)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.output
    assert sorted(state.rglob("*")) == before
    as_json = call("check", recipe, "--json", "--set", override)
    assert as_json.exit_code == 2
    assert message in plain(as_json)["error"]


def test_scores_are_overwritten_on_demand_alone(
    recipe: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = plain(call("run", recipe, "--json", "--state", state))
    out = tmp_path / "scores.parquet"
    (tmp_path / "small").mkdir()
    monkeypatch.chdir(tmp_path)  # a folder of the run's name that is no detector does not hide the run
    score = ("score", "small", "toy:9:200", "--out", out, "--tracking", state)
    assert call(*score).exit_code == 0
    assert f"detector of run small ({run['run_id']}) of " in caplog.text
    assert "the newest that finished under this name" in caplog.text
    before = out.read_bytes()
    again = call("score", run["detector"], "toy:9:300", "--out", out)
    assert again.exit_code == 2
    assert "scores.parquet: exists and is not overwritten; choose another --out, or say --force" in again.stderr
    assert out.read_bytes() == before
    (tmp_path / "smaller").mkdir()
    none = call("score", "smaller", "toy:9:200", "--out", out, "--tracking", state)
    assert "smaller: is a folder, but no detector (it has no schema.json), and no run: " in none.stderr
    assert "did you mean 'small'" in none.stderr
    assert call("score", run["detector"], "toy:9:300", "--out", out, "--force").exit_code == 0
    assert pq.read_table(out).num_rows == 300


@pytest.mark.parametrize(("memory", "told"), [("2 GB", "kept in memory"), ("1 MB", "read anew each time")])
def test_report_and_show_say_where_events_were(recipe: Path, state: Path, memory: str, told: str) -> None:
    run = plain(call("run", recipe, "--json", "--state", state, "--set", f"memory={memory}"))
    assert told in Path(run["report"]).read_text(encoding="utf-8")
    assert told in call("show", run["run_id"], "--tracking", state).stdout
    assert told in call("show", run["detector"]).stdout


@pytest.mark.parametrize("command", [("show", "small"), ("score", "small", "toy:9:200", "--out", "s.parquet")])
def test_asking_in_the_wrong_folder_says_so_and_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call(*command)
    assert done.exit_code == 2
    assert "mlruns: nothing was recorded there; go to the folder from which hepanom ran" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_under_stdout_is_one_message() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run([sys.executable, "-m", "hepanom", "plugins"], stdout=full, stderr=PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == ["error: stdout: cannot be written: No space left on device"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nmodel:\n\tuse: vae\n", "r.yaml:3:1: not valid YAML: there is a tab where YAML takes spaces alone"),
        ("name: a\nseed: 1\nname: b\n", "r.yaml:3:1: not valid YAML: the key 'name' is there twice; keep one"),
        ("", "r.yaml: a recipe is a table of keys (name, data, model, ...), found nothing"),
    ],
)
def test_what_is_no_recipe_is_told_in_plain_words(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    assert message in call("check", tmp_path / "r.yaml").stderr


def test_the_schema_is_printed_for_editors() -> None:
    found = plain(call("schema"))
    assert found["$defs"]["model.vae"]["properties"]["latent"]["description"]
    assert found == plain(call("schema", "--json"))


def test_all_mistakes_come_at_once(recipe: Path) -> None:
    done = call("check", recipe, "--set", "train.epocs=1", "--set", "model.latnt=1", "--set", "scores.0.use=reco")
    assert len(done.stderr.splitlines()) == 3


def _truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-2000])


def _no_csv(file: Path) -> None:
    file.write_bytes(gzip.compress(os.urandom(5000)))


def _empty(file: Path) -> None:
    file.write_bytes(gzip.compress(b""))


def _wrong_label(file: Path) -> None:
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    lines[7] = lines[7].replace(b",s,t,", b",x,t,").replace(b",b,t,", b",x,t,")
    file.write_bytes(gzip.compress(b"".join(lines)))


def _no_column(file: Path) -> None:
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()).replace(b"PRI_met_sumet", b"PRI_met_sum", 1)))


def _no_background(file: Path) -> None:
    header, *lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    file.write_bytes(gzip.compress(b"".join([header, *(line for line in lines if b",s,t," in line)])))


@pytest.mark.parametrize(
    ("damage", "messages"),
    [
        (_truncated, ["higgs.csv.gz"]),
        (_no_csv, ["higgs.csv.gz"]),
        (_empty, ["higgs.csv.gz", "empty"]),
        (_wrong_label, ["higgs.csv.gz:8", "Label", "'x'"]),
        (_no_column, ["PRI_met_sumet", "did you mean"]),
        (_no_background, ["no background (b) is left"]),
        (Path.unlink, ["higgs.csv.gz"]),
    ],
)
def test_bad_data_is_one_message_and_no_result(higgs: Path, state: Path, damage: Any, messages: list[str]) -> None:
    damage(higgs.with_name("higgs.csv.gz"))
    done = call("run", higgs, "--state", state, "--json")
    assert done.exit_code == 2
    found = plain(done)
    assert found["status"] == "failed"
    assert all(message in found["error"] for message in messages), found["error"]
    assert not list(state.rglob("*.safetensors"))
    assert not list(state.rglob("report.html"))


def test_a_failed_run_is_recorded_with_its_reason(recipe: Path, state: Path) -> None:
    done = call("run", recipe, "--state", state, "--json", "--set", "train.optimizer.lr=1e35")
    assert done.exit_code == 1
    assert "epoch 1, batch" in plain(done)["error"]
    shown = plain(call("show", "small", "--json", "--tracking", state))
    assert shown["status"] == "FAILED"
    assert shown["reason"] == plain(done)["error"]


def test_full_disk_leaves_no_half_written_file(recipe: Path, state: Path, tmp_path: Path) -> None:
    found = plain(call("run", recipe, "--json", "--state", state))
    out = Path("/dev/full/scores.parquet")
    done = call("score", found["detector"], "toy:9:1000", "--out", out)
    assert done.exit_code == 1
    assert "cannot be written" in done.stderr
    assert not list(tmp_path.rglob("*.part"))
