"""Detectors as folders: what is read back is what was written, holds no code, and says when it is damaged."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from toys import arrays, build, fitted, same, shares

from hepanom import storage
from hepanom.detector import decision, score
from hepanom.errors import HepanomError, InputError
from hepanom.events import Events
from hepanom.fit import fit
from hepanom.shares import held
from hepanom.stream import with_category

CHOSEN = (
    "train.per=n_jets",
    "train.replicas=2",
    "model={use: vae, hidden: [6], batch_norm: true}",
    "scores=[{use: elbo, samples: 3, name: bound}, {use: reconstruction}]",
)
IN_A_NEW_PROCESS = """
import sys
import numpy as np
from hepanom import storage
from hepanom.detector import score
from hepanom.events import Events
from hepanom.shares import read
from hepanom.stream import with_category
detector = storage.load(sys.argv[1])
recipe, schema = detector.parts.recipe, detector.parts.schema
events = Events.concat(list(read(detector.parts, 10**9).chunks("test")))
events = with_category(events, recipe.train.per, detector.categories, schema)
np.savez(sys.argv[2], **score(detector, events))
"""


def unseen() -> Events:
    detector, _, events = fitted(*CHOSEN)
    return with_category(events["test"], "n_jets", detector.categories, detector.parts.schema)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    storage.save(fitted(*CHOSEN)[0], tmp_path / "detector")
    return tmp_path / "detector"


def test_a_detector_is_read_back_as_it_was_written(folder: Path) -> None:
    detector, again, events = fitted(*CHOSEN)[0], storage.load(folder), unseen()
    assert same(arrays(again), arrays(detector))
    assert again.thresholds == detector.thresholds
    assert again.provenance == detector.provenance
    assert again.parts.recipe == detector.parts.recipe
    assert again.parts.schema == detector.parts.schema
    assert [model.schema for model in again.models.values()] == [model.schema for model in detector.models.values()]
    scores = score(detector, events)
    assert same(score(again, events), scores)
    assert same(decision(again, scores, events.category), decision(detector, scores, events.category))


def test_scores_are_the_same_bits_in_a_new_process(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", IN_A_NEW_PROCESS, str(folder), str(tmp_path / "scores.npz")]
    subprocess.run(command, check=True)
    assert same(dict(np.load(tmp_path / "scores.npz")), score(fitted(*CHOSEN)[0], unseen()))


def test_the_folder_holds_text_and_tensors_alone(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    members = {f"{label}-{replica}.safetensors" for label in "234" for replica in (0, 1)}
    assert names == {"recipe.yaml", "schema.json", "thresholds.json", "provenance.json"} | members
    for name in members:
        content = (folder / name).read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        assert max(entry["data_offsets"][1] for entry in header.values()) == len(content) - 8 - length


def test_an_older_detector_there_is_replaced(folder: Path) -> None:
    (folder / "left-over.safetensors").write_bytes(b"old")
    other, _, _ = fitted()
    storage.save(other, folder)
    assert storage.load(folder).categories == ("all",)
    assert not (folder / "left-over.safetensors").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["detector"]


def test_a_detector_that_cannot_be_written_leaves_the_older_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "save_file", full)
    with pytest.raises(HepanomError, match="No space left on device"):
        storage.save(fitted()[0], folder)
    assert storage.load(folder).categories == ("2", "3", "4")
    assert [path.name for path in folder.parent.iterdir()] == ["detector"]


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-50])


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _json(change: Callable[[object], object]) -> Callable[[Path], None]:
    return lambda file: file.write_text(json.dumps(change(json.loads(file.read_text()))))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("3-1.safetensors", _cut),
        ("3-1.safetensors", _empty),
        ("3-1.safetensors", Path.unlink),
        ("schema.json", _cut),
        ("schema.json", _json(lambda _: [])),
        ("schema.json", _json(lambda plain: {**plain, "categories": {"5": plain["categories"]["2"]}})),
        ("schema.json", _json(lambda plain: {**plain, "categories": {"2": plain["events"]}})),
        ("thresholds.json", _cut),
        ("thresholds.json", Path.unlink),
        ("thresholds.json", _json(lambda plain: [{"cut": 1.0}])),
        ("provenance.json", Path.unlink),
    ],
)
def test_a_damaged_detector_names_its_folder(folder: Path, file: str, damage: Callable[[Path], None]) -> None:
    damage(folder / file)
    with pytest.raises(HepanomError, match=r"the detector is damaged.*restore the folder") as caught:
        storage.load(folder)
    assert str(folder) in str(caught.value)
    assert not isinstance(caught.value, InputError)


def test_a_folder_that_is_no_detector_or_of_another_format_is_bad_input(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no detector"):
        storage.load(tmp_path)
    _json(lambda plain: {**plain, "format": 99})(folder / "schema.json")
    with pytest.raises(InputError, match="has format 99, this hepanom reads 1 and 2"):
        storage.load(folder)


@pytest.mark.parametrize(
    "damage", [Path.unlink, _empty, lambda file: file.write_text(file.read_text().replace("vae", "vea"))]
)
def test_a_damaged_recipe_is_bad_input_that_names_the_file(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / "recipe.yaml")
    with pytest.raises(InputError, match=r"recipe\.yaml"):
        storage.load(folder)


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


def test_a_detector_finds_its_plugin_folder_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "scorer.py").write_text(SCORER)
    monkeypatch.chdir(tmp_path)
    parts = build("plugins=mine", "scores=[{use: mine}]", "train.epochs=1")
    detector, _ = fit(held(parts, shares(parts)), {})
    storage.save(detector, tmp_path / "elsewhere" / "detector")
    monkeypatch.chdir(tmp_path.parent)
    assert type(storage.load(tmp_path / "elsewhere" / "detector").parts.scorers["mine"]).__name__ == "Mine"
