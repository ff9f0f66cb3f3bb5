"""The Python interface: the way of the command line, with events from memory and values that show themselves."""

from __future__ import annotations

import ast
import doctest
import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import hepanom
from hepanom.contracts import Reader
from hepanom.document import read
from hepanom.errors import InputError
from hepanom_plugins.readers.npz import Npz

RECIPE: dict[str, Any] = {
    "name": "from memory",
    "background": ["qcd"],
    "split": {"train": 0.4, "valid": 0.1, "calibrate": 0.2, "test": 0.3},
    "transforms": [{"use": "standardize"}],
    "model": {"use": "autoencoder", "hidden": [6]},
    "train": {"epochs": 2, "device": "cpu"},
    "scores": [{"use": "reconstruction"}],
    "thresholds": [{"rule": "background_efficiency", "value": 0.1}],
    "evaluate": {"metrics": ["auc"], "resamples": 10, "pictures": False},
}
COLUMNS = ["pt", "eta", "mass"]


def made(events: int = 1200) -> hepanom.Sample:
    """Return events of which a tenth are strange, with weights and an event number."""
    generator = np.random.default_rng(3)
    label = np.where(np.arange(events) % 10 == 0, "top", "qcd")
    values = generator.normal(size=(events, 3)) + 3.0 * (label == "top")[:, None]
    number = np.arange(events)
    return hepanom.from_numpy(
        values, COLUMNS, label=label, weight=generator.random(events), id=number, beside={"number": number}
    )


@pytest.fixture(scope="module")
def ran(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[hepanom.Outcome, Path]:
    """Return a run on events in memory, and its state folder."""
    state = shutil.copytree(migrated, tmp_path_factory.mktemp("interface") / "mlruns")
    return hepanom.run(RECIPE, made(), state=state), state


def frame() -> pd.DataFrame:
    """Return the same events as a table in another order of columns, with one that nobody asked for."""
    values = np.asarray(made().events.inputs["features"])
    number = made().events.beside["number"]
    return pd.DataFrame({"mass": values[:, 2], "extra": 1.0, "pt": values[:, 0], "eta": values[:, 1], "number": number})


def test_importing_hepanom_imports_nothing_slow() -> None:
    question = (
        "import sys, hepanom; print(sorted({'torch', 'sklearn', 'numpy', 'polars'} & set(sys.modules)), dir(hepanom))"
    )
    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=False)
    assert answer.stderr == ""
    assert answer.stdout.startswith("[] [")
    assert "'AnomalyDetector'" in answer.stdout


def test_the_import_of_the_module_leaves_run_a_function() -> None:
    module = importlib.import_module("hepanom.run")
    assert hepanom.run.__module__ == "hepanom.interface"
    assert module.run is not hepanom.run


def test_the_examples_of_the_docstrings_are_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    for name in ("notebook", "sample", "from_arrays", "interface", "estimator"):
        module = importlib.import_module(f"hepanom.{name}")
        found = doctest.testmod(module, extraglobs={"hepanom": hepanom})
        assert (found.failed, found.attempted > 0) == (0, True), name


def test_type_checkers_see_every_public_name_where_it_comes_from() -> None:
    tree = ast.parse(Path(str(hepanom.__file__)).read_text(encoding="utf-8"))
    seen = {
        alias.asname: node.module
        for branch in tree.body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(str(name) for name in seen) == hepanom.__all__
    assert all(getattr(hepanom, str(name)).__module__ == module for name, module in seen.items())
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = hepanom.lod


def test_a_recipe_is_a_value_that_changes() -> None:
    recipe = hepanom.read_recipe(RECIPE, "train.epochs=7")
    assert (recipe.plain["train"]["epochs"], RECIPE["train"]["epochs"]) == (7, 2)
    assert recipe.changed("seed=3").plain == {**recipe.plain, "seed": 3}
    assert repr(recipe) == "Recipe from memory: autoencoder on no data, scores reconstruction (recipe)"
    assert "{use: autoencoder, hidden: [6]}" in recipe._repr_html_()
    assert hepanom.read_recipe(recipe) == recipe
    with pytest.raises(InputError, match="a recipe holds texts"):
        hepanom.read_recipe({"name": np.eye(2)})


def test_a_run_on_events_in_memory_records_what_they_held(ran: tuple[hepanom.Outcome, Path]) -> None:
    outcome, state = ran
    (data,) = outcome.detector.provenance["data"]
    stored = Path(data["path"])
    assert stored == (state / "events" / f"{made().fingerprint()}.npz").resolve()
    recipe = read(Path(outcome.artifacts) / "recipe.yaml").plain
    assert recipe["data"] == {"use": "npz", "path": str(stored), "features": COLUMNS, "keep": ["number"]}
    counts = outcome.result.counts
    assert sum(counts[share]["top"][0] for share in counts) == 120
    assert outcome.numbers["reconstruction/auc"].value > 0.9


def test_its_detector_scores_samples_and_files_alike_wherever_they_are(
    ran: tuple[hepanom.Outcome, Path], tmp_path: Path
) -> None:
    detector = hepanom.load(ran[0].detector.save(tmp_path / "detector"))
    expected = detector.score(made())
    frame().to_csv(tmp_path / "table.csv", index=False)
    frame().to_parquet(tmp_path / "table.parquet")
    moved = made().save(tmp_path / "moved.npz")
    sample = hepanom.from_pandas(frame(), keep=["number"])
    for events in (sample, tmp_path / "table.csv", [tmp_path / "table.parquet"], str(moved), made().events):
        found = detector.score(events)
        np.testing.assert_array_equal(found["reconstruction"], expected["reconstruction"])
        np.testing.assert_array_equal(found.to_pandas()["number"], np.arange(1200))
    table = expected.to_polars()
    flag = "reconstruction/background_efficiency_0.1"
    (cut,) = detector.thresholds
    np.testing.assert_array_equal(expected.flags[flag], expected["reconstruction"] > cut.cut)
    assert table["label"].to_list()[:2] == ["top", "qcd"]
    assert table.columns[-2:] == ["score/reconstruction", f"flag/{flag}"]


def test_a_detector_is_loaded_by_the_name_of_its_run(
    ran: tuple[hepanom.Outcome, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ran[1].parent)
    by_name, by_id = hepanom.load("from memory"), hepanom.load(ran[0].run_id, "train.threads=2")
    assert by_name.thresholds == by_id.thresholds
    assert by_id.parts.recipe.train.threads == 2


def test_what_a_detector_cannot_score_is_said(ran: tuple[hepanom.Outcome, Path], tmp_path: Path) -> None:
    detector = ran[0].detector
    with pytest.raises(InputError, match="lack the columns mass; the detector learnt from pt, eta, mass"):
        detector.score(hepanom.from_pandas(frame().drop(columns="mass")))
    with pytest.raises(InputError, match="'eta' is in mm; the detector learnt from it in 1"):
        hepanom.from_pandas(frame(), units={"eta": "mm"}).fitted(
            hepanom.Schema({"features": hepanom.Input("table", ("eta",), ("1",))})
        )
    with pytest.raises(InputError, match="have no table"):
        detector.score(hepanom.from_numpy(np.zeros((2, 4, 4))))
    (tmp_path / "hits.dat").touch()
    with pytest.raises(InputError, match=r"hits\.dat: scored are \.npz files, or tables in csv, parquet"):
        detector.score(tmp_path / "hits.dat")
    with pytest.raises(InputError, match="there is no scorer 'reconstuction'; did you mean 'reconstruction'"):
        detector.score(made(20))["reconstuction"]


def test_results_show_themselves_in_a_line_and_as_tables(ran: tuple[hepanom.Outcome, Path]) -> None:
    outcome = ran[0]
    detector = outcome.detector
    scores = detector.score(made(30))
    for value in (outcome, outcome.result, detector, scores):
        assert "\n" not in repr(value)
        assert len(repr(value)) < 120, repr(value)
        assert "<table>" in value._repr_html_()
    assert "background_efficiency_0.1" in detector._repr_html_()
    assert repr(scores) == "Scores: 30 events, reconstruction, 1 threshold"
    assert "test share, weighted" in outcome._repr_html_()


def test_events_that_are_no_npz_of_ours_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "foreign.npz", x=np.eye(2))
    (tmp_path / "torn.npz").write_bytes(made(5).save(tmp_path / "whole.npz").read_bytes()[:-40])
    for name, told in (("foreign", "holds arrays, but not what they are"), ("torn", "is no .npz file, or damaged")):
        reader: Reader = Npz(str(tmp_path / f"{name}.npz"))
        with pytest.raises(InputError, match=told):
            reader.schema()
    other = hepanom.from_numpy(np.eye(3), label=["a", "b", "a"]).save(tmp_path / "other.npz")
    with pytest.raises(InputError, match="other columns or classes"):
        Npz((str(tmp_path / "whole.npz"), str(other))).schema()
    assert json.loads(str(np.load(other)["hepanom"]))["schema"]["classes"] == ["a", "b"]
