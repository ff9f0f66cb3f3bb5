"""The detector in MLflow's model format: no pickle, the same scores in a new process, and found by the registry."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from test_served import CATEGORIES, POINTS, detector_and_test, expected
from toys import build, shares

from hepanom import document, registry_model, served, storage, track
from hepanom.detector import Detector
from hepanom.errors import HepanomError
from hepanom.events import Events
from hepanom.fit import fit
from hepanom.run import run
from hepanom.shares import held

SCORER = '''
from dataclasses import dataclass
from hepanom.hookspecs import hookimpl
from hepanom_plugins.scorers.latent import LatentMu2


@dataclass(frozen=True)
class Mine(LatentMu2):
    """Mine."""


@hookimpl
def scorers():
    return {"mine": Mine}
'''
LOADED = """
import sys
import warnings
warnings.simplefilter("ignore")
import numpy as np
import pandas as pd
from mlflow.pyfunc import load_model
model = load_model(sys.argv[1])
given = pd.read_parquet(sys.argv[2]) if sys.argv[2].endswith("parquet") else dict(np.load(sys.argv[2]))
model.predict(given).to_parquet(sys.argv[3])
"""


def saved(detector: Detector, events: Events, folder: Path) -> Path:
    """Write detector and model; return the model's folder."""
    storage.save(detector, folder / "detector")
    registry_model.save(detector, folder / "detector", events, folder / "model")
    return folder / "model"


def predicted(model: str | Path, given: Path, out: Path) -> pd.DataFrame:
    """Return what a model gives in a new process."""
    subprocess.run([sys.executable, "-c", LOADED, str(model), str(given), str(out)], check=True)
    return pd.read_parquet(out)


def test_scores_are_the_same_bits_in_a_new_process(tmp_path: Path) -> None:
    detector, events = detector_and_test(*CATEGORIES)
    model = saved(detector, events, tmp_path)
    frame = pd.DataFrame(served.to_columns(detector, events))
    frame["n_jets"] = frame["n_jets"].astype("int64")  # which a column of decimals refuses
    frame.to_parquet(tmp_path / "given.parquet")
    found = predicted(model, tmp_path / "given.parquet", tmp_path / "found.parquet")
    for label, values in expected(detector, events).items():
        np.testing.assert_array_equal(found[f"score/{label}"], values)
    assert found["flag/reconstruction/mean"].dtype == bool


def test_the_device_can_be_chosen_where_a_model_is_loaded(tmp_path: Path) -> None:
    detector, events = detector_and_test()
    model = saved(detector, events, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc

        chosen = mlflow.pyfunc.load_model(str(model), model_config={"device": "auto"}).unwrap_python_model()
        with pytest.raises(HepanomError, match=r"train\.device"):
            mlflow.pyfunc.load_model(str(model), model_config={"device": "abacus"})
    assert chosen.detector.parts.recipe.train.device == "auto"


def test_points_go_in_as_an_array(tmp_path: Path) -> None:
    detector, events = detector_and_test(*POINTS)
    model = saved(detector, events, tmp_path)
    np.savez(tmp_path / "given.npz", **served.to_columns(detector, events))
    found = predicted(model, tmp_path / "given.npz", tmp_path / "found.parquet")
    for label, values in expected(detector, events).items():
        np.testing.assert_array_equal(found[f"score/{label}"], values)


def test_mlflow_models_predict_takes_a_table_and_the_example(tmp_path: Path) -> None:
    detector, events = detector_and_test()
    model = saved(detector, events, tmp_path)
    frame = pd.DataFrame(served.to_columns(detector, events))
    frame.astype({"n_jets": int}).to_csv(tmp_path / "events.csv", index=False)
    for kind, given in (("csv", tmp_path / "events.csv"), ("json", model / "serving_input_example.json")):
        command = [Path(sys.executable).with_name("mlflow"), "models", "predict", "-m", model, "-t", kind, "-i", given]
        subprocess.run([*command, "-o", tmp_path / kind, "--env-manager", "local"], check=True, capture_output=True)
        found = pd.DataFrame(json.loads((tmp_path / kind).read_text())["predictions"])
        for label, values in expected(detector, events).items():
            np.testing.assert_allclose(found[f"score/{label}"], values[: len(found)], rtol=1e-6)
    assert len(found) == registry_model.SHOWN


def test_the_folder_holds_no_pickle_and_says_what_goes_in_and_out(tmp_path: Path) -> None:
    detector, events = detector_and_test()
    model = saved(detector, events, tmp_path)
    assert not list(model.rglob("*.pkl"))
    assert (model / "pyfunc.py").read_text() == registry_model.CODE.read_text()
    plain = yaml.safe_load((model / "MLmodel").read_text())
    inputs = {entry["name"]: entry["type"] for entry in json.loads(plain["signature"]["inputs"])}
    assert inputs["m_jj"] == "double"
    assert inputs["n_jets"] == "any"
    outputs = {entry["name"]: entry["type"] for entry in json.loads(plain["signature"]["outputs"])}
    assert outputs["score/reconstruction"] == "double"
    assert outputs["flag/latent_mu2/mean"] == "boolean"
    wanted = (model / "requirements.txt").read_text().split()
    assert {line.partition("==")[0] for line in wanted} == {"mlflow", "hepanom", "torch"}
    assert yaml.safe_load((model / "conda.yaml").read_text())["dependencies"][-1] == {"pip": wanted}
    assert "+" not in "".join(wanted)


def test_packages_of_plugins_are_required_and_local_files_are_not() -> None:
    assert registry_model.requirements({"hepanom": "9", "mine": "1.2", "/there/a.py": "local"})[1:] == [
        "hepanom==9",
        registry_model.requirements({})[2],
        "mine==1.2",
    ]


def test_a_plugin_folder_travels_with_the_model(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "scorer.py").write_text(SCORER)
    parts = build(f"plugins={json.dumps(str(tmp_path / 'mine'))}", "scores=[{use: mine}]", "train.epochs=1")
    events = shares(parts)
    detector, _ = fit(held(parts, events), {})
    model = saved(detector, events["test"], tmp_path)
    values = expected(detector, events["test"])["mine"]
    (tmp_path / "mine" / "scorer.py").unlink()
    pd.DataFrame(served.to_columns(detector, events["test"])).to_parquet(tmp_path / "given.parquet")
    found = predicted(model, tmp_path / "given.parquet", tmp_path / "found.parquet")
    np.testing.assert_array_equal(found["score/mine"], values)


def test_a_run_logs_its_detector_which_can_be_registered(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "story.yaml"
    recipe.write_text(
        "name: 'a: story'\ndata: {use: toy, events: 2000}\nbackground: [background]\n"
        "transforms: [{use: missing}, {use: standardize}]\nmodel: {use: autoencoder, hidden: [4]}\n"
        "train: {epochs: 2}\nscores: [{use: reconstruction}]\nthresholds: [{rule: median}]\n"
        "evaluate: {pictures: false}\n"
    )
    outcome = run(document.read(recipe), state=state)
    assert outcome is not None
    client = (store := track.open_store(str(state))).client
    (output,) = client.get_run(outcome.run_id).outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert (model.name, model.status, model.source_run_id) == ("a_ story", "READY", outcome.run_id)
    assert {"model": "autoencoder", "data": "toy", "scorer": "reconstruction"}.items() <= model.tags.items()
    assert {metric.key for metric in model.metrics} >= {"test/auc", "threshold/reconstruction/median/all/value"}
    assert {metric.dataset_name for metric in model.metrics} == {"toy"}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)  # MLflow's registry asks the global address
    client.create_registered_model("detectors")
    version = client.create_model_version("detectors", f"models:/{output.model_id}", model_id=output.model_id)
    detector = storage.load(Path(outcome.artifacts) / "detector")
    events = shares(build(text=recipe.read_text()))["test"]
    pd.DataFrame(served.to_columns(detector, events)).to_parquet(tmp_path / "given.parquet")
    found = predicted(f"models:/detectors/{version.version}", tmp_path / "given.parquet", tmp_path / "found.parquet")
    np.testing.assert_array_equal(found["score/reconstruction"], expected(detector, events)["reconstruction"])


def test_a_model_that_cannot_be_made_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    detector, events = detector_and_test()
    monkeypatch.setattr(registry_model, "CODE", tmp_path / "nowhere.py")
    storage.save(detector, tmp_path / "detector")
    made = registry_model.made(
        detector, tmp_path / "detector", held(detector.parts, {"train": events}), tmp_path / "model"
    )
    assert made is None
    assert "not logged as a model" in caplog.text
