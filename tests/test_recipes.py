"""Every recipe in recipes/ runs, small, on the data that it names."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hepanom.cli import hepanom

RECIPES = Path(__file__).parents[1] / "recipes"
BY_HASH = "split={train: 0.5, valid: 0.1, calibrate: 0, test: 0.4}"
SMALL = {
    "zmumu": ["train.epochs=2"],
    "hzz": ["train.epochs=2"],
    "lhco": ["train.epochs=1", "model.hidden=[8]"],
    "lhco_flow": ["train.epochs=1", "model.hidden=[8]", "model.transforms=2"],
    "attpc_muons": ["train.epochs=1"],
    "attpc_simulated": ["data.events=1200", "train.epochs=2"],
    "attpc_classification": [
        "data.events=600",
        "train.epochs=2",
        "transforms.0.size=[33, 32]",
        "transforms.0.scale=1e6",
    ],
    "attpc_voxels": ["train.epochs=2"],
    "attpc_draw": ["data.events=600", "train.epochs=2", "model.steps=3"],
    "attpc_points": ["data.events=1200", "train.epochs=2"],
    "occupancy": ["data.events=1200", "train.epochs=2"],
    "quickstart": ["data.events=6000", "train.epochs=2"],
    "recoil_dnn": ["data.events=6000", "train.epochs=2"],
    "higgsml_ae": [BY_HASH, "train.epochs=2"],
    "higgsml_vae": [BY_HASH, "train.epochs=2"],
    "higgsml_gan": [BY_HASH, "train.epochs=2"],
    "higgsml_baselines": ["model.trees=20"],
    "detector_anomalies": ["train.epochs=1"],
}
TINY = "train.epochs=1", "search.trials=2"
SEARCHED = {
    "attpc_search": [
        "data.events=400",
        "transforms.0.size=[32, 32]",
        "transforms.0.scale=1e6",
        "search.retrain=0",
        *TINY,
    ],
    "higgsml_search": ["split={train: 0.5, valid: 0.1, calibrate: 0.1, test: 0.3}", *TINY],
}
UNLABELLED = {"attpc_muons", "zmumu", "hzz"}  # there is nothing to compare the flags with
LONG = {"higgsml_vae", "higgsml_gan", "higgsml_search"}  # have reports like that of higgsml_ae, four categories long
THESIS = {"ams", "accuracy", "precision", "recall", "f1", "mcc"}


@pytest.fixture
def unwritten(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the report of a recipe where that takes longer than all else."""
    if request.node.callspec.params["name"] in LONG or "experiments" in request.node.name:
        monkeypatch.setattr("hepanom.report.write", lambda result, folder: (folder / "report.html").touch())


def run(recipe: Path, overrides: list[str], state: Path, command: str = "run") -> dict[str, Any]:
    """Run a recipe by the command line and return what it prints as JSON."""
    arguments = [command, str(recipe), "--json", "--state", str(state)]
    done = CliRunner().invoke(hepanom, [*arguments, *(word for value in overrides for word in ("--set", value))])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_recipe_is_tested() -> None:
    assert {path.stem for path in RECIPES.glob("*.yaml")} == {*SMALL, *SEARCHED}


@pytest.mark.parametrize("name", SEARCHED)
@pytest.mark.usefixtures("data", "unwritten")
def test_recipe_is_searched(name: str, state: Path) -> None:
    found = run(RECIPES / f"{name}.yaml", SEARCHED[name], state, "search")
    assert [(trial["state"], trial["reason"]) for trial in found["trials"]] == [("complete", "")] * 2
    assert bool(found["tested"]) == (name == "higgsml_search")


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.usefixtures("data", "unwritten")
def test_recipe_runs(name: str, state: Path) -> None:
    found = run(RECIPES / f"{name}.yaml", SMALL[name], state)
    assert found["status"] == "done"
    report = Path(str(found["report"])).read_text(encoding="utf-8")
    assert report.startswith("<!DOCTYPE html>") or name in LONG
    assert bool(found["metrics"]) == (name not in UNLABELLED)
    assert found["thresholds"]


@pytest.mark.parametrize("name", ["higgsml_ae", "higgsml_vae"])
@pytest.mark.usefixtures("unwritten")
def test_higgsml_experiments_select_sets_by_the_files_own_column(
    name: str, data: Path, tmp_path: Path, state: Path
) -> None:
    with gzip.open(next((data / "higgsml").glob("*.csv.gz")), "rt", encoding="utf-8") as source:
        header, *lines = source.read().splitlines()
    sets = {"t": lines[:6000], "b": lines[6000:9000], "v": lines[9000:12000], "u": lines[12000:12100]}
    rows = [row.replace(",t,", f",{letter},") for letter, part in sets.items() for row in part]
    file = tmp_path / "higgs.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    overrides = [f"data.path={file}", "train.epochs=1"]
    first = run(RECIPES / f"{name}.yaml", overrides, state)
    second = run(RECIPES / f"{name}.yaml", [*overrides, "split.train=[t, v]"], state)
    for found in (first, second):
        thresholds = found["thresholds"]
        assert isinstance(thresholds, list)
        of_one_rule = [entry for entry in thresholds if entry["rule"] == "median" and entry["scorer"] != "kl"]
        assert sum(entry["events"] for entry in of_one_rule) % 3000 == 0  # set b, whole, whatever trained
        metrics = found["metrics"]
        assert isinstance(metrics, dict)
        scorer = "reconstruction" if name == "higgsml_ae" else "elbo"
        assert {f"{scorer}/quantile_0.4/{metric}" for metric in THESIS} <= set(metrics)
    assert first["metrics"] != second["metrics"]
