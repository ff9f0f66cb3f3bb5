"""The whole story: what a run records, and how it goes on after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from hepanom import archive, document, track
from hepanom.errors import InputError
from hepanom.run import run

RECIPE = """
name: story
data: {use: toy, events: 4000}
background: [background]
transforms: [{use: missing}, {use: standardize}]
model: {use: vae, hidden: [8], dropout: 0.1}
train: {epochs: 40, per: n_jets, replicas: 2}
scores: [{use: elbo}, {use: kl}]
thresholds: [{rule: median}]
"""


def weights(artifacts: str) -> dict[str, dict[str, np.ndarray]]:
    """Return every array of a detector."""
    return {path.name: load_file(path) for path in sorted(Path(artifacts, "detector").glob("*.safetensors"))}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "story.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_a_killed_run_resumes_to_the_same_bits(recipe: Path, state: Path, tmp_path: Path) -> None:
    whole = run(document.read(recipe), state=state)
    other = tmp_path / "other"
    command = [sys.executable, "-m", "hepanom", "run", str(recipe), "--state", str(other), "-q"]
    process = subprocess.Popen(command)
    while len(list(other.glob("checkpoints/*/*/trainings/3-stack.safetensors"))) == 0:
        assert process.poll() is None, "the run ended before it was killed"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    store = track.open_store(str(other))
    killed = archive.fetch(store, "story")
    assert killed["status"] == "RUNNING"

    resumed = run(document.read(recipe), state=other, resume=True)
    assert resumed.run_id == killed["run_id"]
    expected, found = weights(whole.artifacts), weights(resumed.artifacts)
    assert expected.keys() == found.keys()
    for file, arrays in expected.items():
        for name, values in arrays.items():
            np.testing.assert_array_equal(found[file][name], values, err_msg=name)  # a fill may be NaN
    assert resumed.result.numbers == whole.result.numbers
    assert not list(other.glob("checkpoints/*"))
    after = archive.fetch(store, "story")
    assert after["status"] == "FINISHED"
    assert {child["status"] for child in after["children"]} == {"FINISHED"}
    assert {child["name"] for child in after["children"]} == {
        f"story n_jets={jets} replica {replica}" for jets in (2, 3, 4) for replica in (1, 2)
    }


def test_resume_without_an_interrupted_run_says_so(recipe: Path, state: Path) -> None:
    with pytest.raises(InputError, match="no interrupted run of this recipe"):
        run(document.read(recipe), state=state, resume=True)


def test_a_run_records_recipe_epochs_numbers_and_files(recipe: Path, state: Path) -> None:
    outcome = run(document.read(recipe, ["train.epochs=3", "train.replicas=1", "train.per=null"]), state=state)
    store = track.open_store(str(state))
    found = archive.fetch(store, outcome.run_id)
    assert found["params"]["train.epochs"] == "3"
    assert {"model", "data", "scorers", "device", "git", "version.hepanom", "version.torch"} <= set(found["tags"])
    assert (found["tags"]["device"], found["tags"]["scorer"]) == ("cpu: 1 thread", "elbo")
    assert found["tags"]["set"] == "train.epochs=3, train.replicas=1, train.per=null"
    for name, number in outcome.result.numbers.items():
        assert found["metrics"][f"test/{name}"] == pytest.approx(number.value)
    history = store.client.get_metric_history(outcome.run_id, "validation")
    assert [metric.value for metric in history] == [e.validation for e in outcome.result.histories["all", 0]]
    files = {path.name for path in Path(outcome.artifacts).iterdir()}
    assert {"detector", "scores.parquet", "figures", "report.html", "recipe.yaml"} <= files
    assert not list(state.glob("checkpoints/*"))
