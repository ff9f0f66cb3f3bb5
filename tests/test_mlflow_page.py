"""MLflow's own page in a real browser: two runs side by side, by name, model, device and number."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from servers import Server, serving

from hepanom import facts, track
from hepanom.contracts import Epoch
from hepanom.facts import Dataset, Ending
from hepanom.series import Series, metered

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TRAINING = "workflowType=machine_learning"  # without it the page begins with chat programs
MADE_UP = {
    "dijets-autoencoder": ("autoencoder", "reconstruction", "cpu: 2 threads", 0.812),
    "dijets-vae": ("vae", "elbo", "cuda: NVIDIA H200", 0.938),
}

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")


def record(store: track.Store, name: str, folder: Path) -> track.Record:
    """Record a made-up run as a real one is."""
    model, scorer, device, auc = MADE_UP[name]
    tags = {"model": model, "data": "csv", "scorer": scorer, "device": device}
    made = track.start(store, name, recipe=f"name: {name}\n", params={"model.use": model}, tags=tags)
    with metered(made), Series(made) as losses:
        for epoch in range(1, 5):
            losses.add(Epoch(epoch, {"reconstruction": 1 / epoch}, 1.1 / epoch, True, 1e5))
    numbers = {"test/auc": auc, f"test/{scorer}/auc": auc, f"threshold/{scorer}/median/all/value": 1.5}
    said = {facts.NOTE: f"| test share, weighted | {scorer} |\n| --- | --- |\n| auc | {auc} |"}
    columns = json.dumps({"mlflow_colspec": [{"name": "m_jj", "type": "table, float32"}]})
    data = Dataset("dijets.csv", "0123456789abcdef", json.dumps({"uri": "/data/dijets.csv"}), columns, "{}")
    track.finish(made, Ending(made.began + 60_000, tuple(facts.points(numbers, 0)), said, data), folder)
    return made


@pytest.fixture(scope="module")
def pages(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, list[track.Record]]]:
    """Return a server on a store that holds the runs."""
    state = shutil.copytree(migrated, tmp_path_factory.mktemp("pages") / "mlruns")
    (state / "files").mkdir()
    (state / "files" / "report.html").write_text("<p>page</p>")
    with serving(state) as server:
        store = track.open_store(server.uri)
        yield server, [record(store, name, state / "files") for name in MADE_UP]


def missing(server: Server, page: str, wanted: Iterable[str]) -> list[str]:
    """Return what a page does not show, after ever more time: on a busy machine its parts come late."""
    lacking = list(wanted)
    for budget in (20_000, 60_000, 200_000, 200_000, 200_000):
        command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1600,3000"]
        command += [f"--virtual-time-budget={budget}", "--dump-dom", f"{server.uri}/#/{page}"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "Agent versions" not in shown  # the view for chat programs
        lacking = [told for told in lacking if told not in shown]
        if not lacking:
            break
    return lacking


def test_two_runs_are_compared_side_by_side(pages: tuple[Server, list[track.Record]]) -> None:
    server, runs = pages
    chosen = quote(json.dumps([run.run_id for run in runs]))
    address = f"compare-runs?runs={chosen}&experiments={quote(json.dumps([runs[0].experiment_id]))}&{TRAINING}"
    wanted = ["Comparing 2 Runs from 1 Experiment", "test/auc", "train/reconstruction", "status"]
    wanted += ["system/cpu_utilization_percentage", *MADE_UP]
    for model, scorer, device, auc in MADE_UP.values():
        wanted += [model, scorer, device, str(auc), f"test/{scorer}/auc"]
    assert missing(server, address, wanted) == []


def test_the_list_of_runs_shows_names_and_data(pages: tuple[Server, list[track.Record]]) -> None:
    server, runs = pages
    wanted = (*MADE_UP, "dijets.csv (0123456789abcdef)", "Model training")
    assert missing(server, f"experiments/{runs[0].experiment_id}/runs?{TRAINING}", wanted) == []


@pytest.mark.parametrize(
    ("tab", "wanted"),
    [
        ("", ("dijets-vae", "cuda: NVIDIA H200", "test share, weighted", "0.938", "dijets.csv")),
        ("/system-metrics", ("cpu_utilization_percentage", "process_memory_megabytes")),
    ],
)
def test_a_run_shows_numbers_tags_and_how_busy_the_machine_was(
    tab: str, wanted: tuple[str, ...], pages: tuple[Server, list[track.Record]]
) -> None:
    server, (_, run) = pages
    assert missing(server, f"experiments/{run.experiment_id}/runs/{run.run_id}{tab}?{TRAINING}", wanted) == []
