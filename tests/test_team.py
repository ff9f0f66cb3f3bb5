"""Training over processes: torchrun's two processes do what one does with the same global batches."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toys import RECIPE
from trainings import PLAIN, SCHEMA, begin, table, weights

from hepanom import train
from hepanom.contracts import Batch
from hepanom.source import Table, joined
from hepanom.stream import batches, select

EVENTS, BATCH, EDGES = 90, 20, (0, 56, 90)  # processes with unequal numbers of events and of batches
WORKER = """
import sys, weakref
from safetensors.torch import save_file
from torch import distributed
import test_team
from hepanom import team
with team.joined("cpu"):
    group = weakref.ref(distributed.group.WORLD)
    records, network = test_team.one_epoch(test_team.local(team.rank()))
    if team.rank() == 1:
        save_file({**network, "losses": records}, sys.argv[1])
assert group() is None  # gloo's threads would outlive the interpreter and sometimes abort the process
"""
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def whole() -> Batch:
    return table(EVENTS, 4)


def mean_weight() -> float:
    return float(whole().weight.double().mean())


def local(rank: int) -> Table:
    """Return what one process trains with."""
    return Table(select(whole(), slice(EDGES[rank], EDGES[rank + 1])), mean_weight())


def one_epoch(source: Table) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Train an epoch in a process of the team; return its losses and weights."""
    from hepanom import team

    training = begin(PLAIN, epochs=1, batch=BATCH, optimizer={"use": "adam", "lr": 0.02}, clip=0.5)
    training.order.manual_seed(team.rank())
    valid = [select(table(31, 5), slice(team.rank() * 13, 13 + team.rank() * 18))]
    (record,) = train.fit(training, source, valid)
    return torch.tensor([record.losses["reconstruction"], record.validation]), weights(training.network)


class Together(Table):
    """One process's source of the global batches: those of both processes' batches with the same number together."""

    def __init__(self) -> None:
        super().__init__(whole(), mean_weight())

    def epoch(self, order: torch.Generator, size: int) -> Iterable[Batch]:
        """Return each global batch as a table of its own."""
        orders = [torch.Generator().manual_seed(rank) for rank in (0, 1)]
        mine = [list(batches(table, BATCH // 2)) for rank in (0, 1) for table in local(rank).epoch(orders[rank], 10)]
        steps = range(max(map(len, mine)))
        return [joined([each[step] for each in mine if step < len(each)]) for step in steps]


def launch(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [*TORCHRUN, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_two_processes_are_one_with_the_same_global_batches(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER, encoding="utf-8")
    done = launch(["worker.py", str(tmp_path / "together.safetensors")], tmp_path)
    assert done.returncode == 0, done.stderr
    found = load_file(tmp_path / "together.safetensors")
    alone = begin(PLAIN, epochs=1, batch=BATCH, optimizer={"use": "adam", "lr": 0.02}, clip=0.5)
    (record,) = train.fit(alone, Together(), [table(31, 5)])
    losses = torch.tensor([record.losses["reconstruction"], record.validation])
    torch.testing.assert_close(found.pop("losses"), losses, rtol=1e-5, atol=0)
    for name, value in weights(alone.network).items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-7, msg=name)
    assert SCHEMA.table()[1].columns == tuple("abcd")


LARGE = RECIPE.replace("{use: toy, events: 3000}", "{use: toy, events: 300000, chunk: 20000, signal_share: 0.02}")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "large.yaml"
    path.write_text(LARGE.replace("epochs: 2", "epochs: 1"), encoding="utf-8")
    return path


def test_a_recipe_runs_on_two_processes_and_one_of_them_records(recipe: Path, state: Path, tmp_path: Path) -> None:
    arguments = ["-m", "hepanom", "run", str(recipe), "--state", str(state), "--json"]
    done = launch(arguments, tmp_path)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    together = json.loads(line)
    alone = json.loads(subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True).stdout)
    assert together["metrics"].keys() == alone["metrics"].keys()
    (a, b) = (entry["metrics"]["reconstruction/auc"]["value"] for entry in (together, alone))
    assert a == pytest.approx(b, abs=0.05)
    states = [load_file(Path(entry["detector"]) / "all-0.safetensors") for entry in (together, alone)]
    for name in ("transforms/0/fill", "transforms/1/mean", "transforms/1/std"):
        np.testing.assert_allclose(states[0][name], states[1][name], rtol=1e-9, err_msg=name)


def test_a_process_that_dies_ends_the_run_as_failed(recipe: Path, state: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    text = recipe.read_text(encoding="utf-8").replace("name: toys", "name: toys\nplugins: plugins")
    recipe.write_text(text.replace("use: autoencoder", "use: mortal"), encoding="utf-8")
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "mortal.py").write_text(MORTAL, encoding="utf-8")
    done = launch(["-m", "hepanom", "run", str(recipe), "--state", str(state)], tmp_path)
    assert done.returncode != 0
    client = MlflowClient(f"sqlite:///{state / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'hepanom'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
    assert "another process of the training" in run.data.tags["hepanom.reason"]


MORTAL = f"""
import os
from dataclasses import dataclass
from hepanom.hookspecs import hookimpl
from hepanom_plugins.models.autoencoder import Autoencoder, AutoencoderNetwork

@dataclass(frozen=True)
class Mortal(Autoencoder):
    '''An autoencoder whose second process dies.'''
    def build(self, schema):
        name, table = schema.table()
        return MortalNetwork(self, name, table)

class MortalNetwork(AutoencoderNetwork):
    def loss(self, player, batch, progress):
        if os.environ["RANK"] == "1" and progress > 0.3:
            os.kill(os.getpid(), {int(signal.SIGKILL)})
        return super().loss(player, batch, progress)

@hookimpl
def models():
    return {{"mortal": Mortal}}
"""
