"""Checkpoints: a training that was killed goes on bit for bit, from a file without code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from trainings import NOISY, OPTIMIZERS, Scripted, begin, finish, options, same, source, table, weights

from hepanom import checkpoint, train
from hepanom.contracts import Batch
from hepanom.errors import HepanomError

CASES: dict[str, dict[str, Any]] = {
    name: {"optimizer": {"use": name, **chosen}, "epochs": 6} for name, chosen in OPTIMIZERS.items()
}


def train_and_die(folder: Path, name: str) -> None:
    """Train with a checkpoint after each epoch, and be killed in the middle of the fourth."""
    training = begin(NOISY, **CASES[name])
    loss, steps = training.network.loss, iter(range(1000))

    def mortal(player: str, batch: Batch, progress: float) -> dict[str, Tensor]:
        if next(steps) == 3 * 4 + 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss(player, batch, progress)

    training.network.loss = mortal  # type: ignore[method-assign]
    for _ in train.fit(training, source(table()), [table(30, 2)]):
        checkpoint.save([training], folder / name)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the checkpoints of trainings, one per optimizer, that were killed half way in processes of their own."""
    folder = tmp_path_factory.mktemp("killed")
    subprocess.run([sys.executable, __file__, str(folder)], check=True)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_a_killed_training_goes_on_to_the_same_bits_in_a_new_process(killed: Path, name: str) -> None:
    whole = begin(NOISY, **CASES[name])
    records = finish(whole)
    resumed = begin(NOISY, seed=99, **CASES[name])
    checkpoint.restore([resumed], killed / name)
    assert len(resumed.history) == 3
    assert [record.epoch for record in finish(resumed)] == [4, 5, 6]
    assert same(weights(whole.network), weights(resumed.network))
    assert [(r.losses, r.validation) for r in resumed.history] == [(r.losses, r.validation) for r in records]


def test_a_finished_checkpoint_holds_the_best_weights(tmp_path: Path) -> None:
    training = train.start(Scripted([1.0, 0.5, 2.0]), options(epochs=3), 1)
    for _ in train.fit(training, source(table()), [table()]):
        checkpoint.save([training], tmp_path / "last")
    again = train.start(Scripted([1.0, 0.5, 2.0]), options(epochs=3), 1)
    checkpoint.restore([again], tmp_path / "last")
    assert finish(again) == []
    assert int(again.network.epoch) == again.best_epoch == 2


def test_a_checkpoint_is_tensors_and_json_alone(tmp_path: Path) -> None:
    training = begin(NOISY)
    next(train.fit(training, source(table()), [table(30, 2)]))
    checkpoint.save([training], tmp_path / "checkpoint")
    content = (tmp_path / "checkpoint").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    story = json.loads(header.pop("__metadata__")["story"])
    assert set(story) == {"device", "trainings"}
    assert {entry["dtype"] for entry in header.values()} <= {"F32", "F64", "I64", "U8"}
    assert max(entry["data_offsets"][1] for entry in header.values()) == len(content) - 8 - length


def test_weights_that_share_memory_can_be_kept(tmp_path: Path) -> None:
    class Tied(Scripted):
        copies: ClassVar[list[float]] = [1.0] * 4

        def __init__(self) -> None:
            super().__init__(self.copies)
            self.twin = self.slope

    training = train.start(Tied(), options(), 1)
    next(train.fit(training, source(table()), [table()]))
    checkpoint.save([training], tmp_path / "tied")
    again = train.start(Tied(), options(), 1)
    checkpoint.restore([again], tmp_path / "tied")
    assert float(again.network.twin.detach()) == float(training.network.slope.detach()) != 0


@pytest.mark.parametrize("damage", ["cut", "other", "device", "lost"])
def test_a_checkpoint_that_cannot_be_used_is_a_message(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "checkpoint"
    checkpoint.save([begin(NOISY)], path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "device":
        path.write_bytes(path.read_bytes().replace(rb"\"cpu\"", rb"\"tpu\""))
    elif damage == "lost":
        path.unlink()
    model = replace(NOISY, latent=5) if damage == "other" else NOISY
    with pytest.raises(HepanomError, match="made on tpu" if damage == "device" else "cannot go on from this") as caught:
        checkpoint.restore([begin(model)], path)
    assert str(path) in str(caught.value)


if __name__ == "__main__":
    torch.set_num_threads(1)
    finish(begin(epochs=1))  # what torch imports with its first step is shared by the processes below
    for case in CASES:
        if (child := os.fork()) == 0:
            train_and_die(Path(sys.argv[1]), case)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
