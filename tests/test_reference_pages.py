"""The commands on the pages for reference run, where what they speak of is there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import uproot
from click.testing import CliRunner
from distributed import LocalCluster
from pages import PAGES, blocks, commands, elsewhere, execute, untrue
from test_pages import RUN

from hepanom import track
from hepanom.cli import hepanom

NOT_RUN = {
    "data.md": "needs the network; tests/test_catalogue.py and tests/test_fetch.py fetch from this machine",
    "quality.md": "takes an hour",
    "reproduction-oslo.md": "takes hours; tests/test_recipes.py runs its recipes on few events",
    "reproduction-trento.md": "takes hours; tests/test_recipes.py runs its recipe on few events",
    "search-oslo.md": "takes hours; tests/test_recipes.py runs its recipe on few events",
}
COMMANDS = {
    page: [command for block in blocks(page) if block.language == "console" for command in commands(block)]
    for page in PAGES
    if page not in RUN
}
REFERENCE = [page for page, shown in COMMANDS.items() if shown and page.name not in NOT_RUN]
RECIPE = """
name: vae
seed: 5
data:
  use: root
  path: events/*.root
  label: top
  classes: {qcd: [0], signal: [1]}
  features: [met, ht, pt, eta]
background: [qcd]
split: {train: 0.4, valid: 0.2, calibrate: 0.2, test: 0.2}
transforms: [{use: standardize}]
model: {use: vae, hidden: [8], latent: 2}
train: {epochs: 2, batch: 256}
scores: [{use: elbo}]
thresholds: [{rule: background_efficiency, value: 5e-2}]
search: {trials: 2, sampler: random, maximize: valid/auc, space: {model.latent: {int: [1, 3]}}}
"""
OTHERS = ["name=ae", "model={use: autoencoder, hidden: [8], latent: 2}", "scores=[{use: reconstruction}]"]


@pytest.fixture(scope="module")
def desk(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with events, a recipe, and the runs ``vae`` and ``ae``."""
    folder, draws = tmp_path_factory.mktemp("desk"), np.random.default_rng(1)
    for name in ("events/1", "data/2025/1", "run_41", "good", "new"):
        values = {axis: draws.normal(size=3000) for axis in ("met", "ht", "pt", "eta")}
        file = folder / f"{name}.root"
        file.parent.mkdir(parents=True, exist_ok=True)
        with uproot.recreate(file) as content:
            content["events"] = {**values, "top": (values["met"] > 1.5).astype(np.int64)}
    shutil.copytree(migrated, folder / "mlruns")
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    for changes in ([], OTHERS):
        words = [word for change in changes for word in ("--set", change)]
        with chdir(folder):
            done = CliRunner(env={"MLFLOW_EXPERIMENT_NAME": "night"}).invoke(hepanom, ["run", str(recipe), *words])
        assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def stand(desk: Path) -> Iterator[Mapping[str, str]]:
    """Return what stands on the desk for words of the pages: a detector, ids of runs, a cluster's address."""
    store = track.open_store(str(desk / "mlruns"))
    runs = store.client.search_runs([each.experiment_id for each in store.client.search_experiments()])
    vae, ae = (next(run.info for run in runs if run.info.run_name == name) for name in ("vae", "ae"))
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        yield {
            "DETECTOR": "vae",
            "a926fc": vae.run_id[:8],
            "34094a": ae.run_id[:8],
            "deadbe": vae.run_id,
            "~/from-bob/artifacts": vae.artifact_uri.removeprefix("file://"),
            "tcp://scheduler:8786": cluster.scheduler_address,
            "4": "2",  # processes
            "8": "2",
        }


def test_every_page_that_is_not_run_is_there() -> None:
    assert NOT_RUN.keys() <= {page.name for page, shown in COMMANDS.items() if shown}


@pytest.mark.parametrize("page", REFERENCE, ids=lambda page: page.name)
def test_the_commands_of_a_page_run(
    page: Path, desk: Path, stand: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk)
    shutil.rmtree("scores", ignore_errors=True)  # of another page
    for command in COMMANDS[page]:
        if not elsewhere(command.words):
            here = replace(command, words=tuple(stand.get(word, word) for word in command.words))
            code, printed = execute(here)
            assert (code, untrue(command.shown, printed)) == (0, []), f"{here}\n{printed}"
