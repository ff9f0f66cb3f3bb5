"""Scores as ROOT files: aligned with the input entry by entry, or a skim with all its branches."""

from __future__ import annotations

import shutil
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from toys import build

from hepanom import output
from hepanom.detector import Detector
from hepanom.errors import InputError
from hepanom.fit import fit
from hepanom.shares import read

RECIPE = """
name: friends
seed: 7
data: {{use: root, path: "{path}", features: [met, ht], derive: {{ht: "sum(jet_pt)"}}, cut: "met > 5", keep: [event]}}
split: {{train: 0.4, valid: 0.1, calibrate: 0.2, test: 0.3}}
transforms: [{{use: standardize}}]
model: {{use: autoencoder, hidden: [6], latent: 1}}
train: {{epochs: 1, batch: 256, device: cpu}}
scores: [{{use: reconstruction}}]
thresholds: [{{rule: background_efficiency, value: 0.1}}]
"""
FLAG = "flag_reconstruction_background_efficiency_0p1"


def write(path: Path, seed: int, events: int = 800) -> str:
    generator = np.random.default_rng(seed)
    counts = generator.integers(0, 4, events)
    pt = ak.unflatten(generator.exponential(30, counts.sum()).astype(np.float32), counts)
    with uproot.recreate(path) as file:
        file.mktree("events", {"event": "int64", "met": "float64", "jet_pt": ak.type(pt).content})
        file["events"].extend({"event": np.arange(events), "met": generator.exponential(20, events), "jet_pt": pt})
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("files")
    return [write(folder / f"{name}.root", seed) for seed, name in enumerate("ab")]


@pytest.fixture(scope="module")
def detector(files: list[str]) -> Detector:
    return fit(read(build(text=RECIPE.format(path=files[0])), 10**9), {})[0]


def test_a_friend_has_an_entry_for_each_of_its_input(detector: Detector, files: list[str], tmp_path: Path) -> None:
    done = output.score_files(detector, files, tmp_path / "scores")
    table = output.score_files(detector, files, tmp_path / "scores.parquet")
    assert done == table
    assert {path.name for path in (tmp_path / "scores").iterdir()} == {"a_scores.root", "b_scores.root"}
    import pyarrow.parquet as pq

    rows, first = pq.read_table(tmp_path / "scores.parquet"), 0
    for file in files:
        with uproot.open(file) as source, uproot.open(tmp_path / "scores" / f"{Path(file).stem}_scores.root") as friend:
            kept = source["events"]["met"].array(library="np") > 5
            found = friend["hepanom"].arrays(library="np")
        assert len(found["event_id"]) == len(kept)
        assert not 0 < kept.mean() - 0.5 < 0.01
        assert np.isnan(found["score_reconstruction"][~kept]).all()
        assert not found[FLAG][~kept].any()
        here = rows.slice(first, int(kept.sum()))
        first += int(kept.sum())
        np.testing.assert_array_equal(here["score/reconstruction"], found["score_reconstruction"][kept])
        np.testing.assert_array_equal(here["event_id"], found["event_id"][kept])
        np.testing.assert_array_equal(here["flag/reconstruction/background_efficiency_0.1"], found[FLAG][kept])


@pytest.mark.parametrize("name", ["background_efficiency_0.1", "reconstruction/background_efficiency_0.1", FLAG])
def test_a_skim_holds_the_flagged_events_with_all_their_branches(
    detector: Detector, files: list[str], tmp_path: Path, name: str
) -> None:
    done = output.score_files(detector, files[1:], tmp_path / "skim.root", where=name)
    assert done["written"] == done["flagged"]["reconstruction/background_efficiency_0.1"] < done["events"]
    with uproot.open(files[1]) as source, uproot.open(tmp_path / "skim.root") as skim:
        before, after = source["events"].arrays(), skim["events"].arrays()
    assert len(after) == done["written"]
    assert ak.all(after[FLAG])
    chosen = before[ak.to_numpy(after["event"])]
    for branch in ("event", "met", "jet_pt"):
        assert ak.array_equal(chosen[branch], after[branch])


def test_a_skim_as_parquet_holds_the_flagged_rows(detector: Detector, files: list[str], tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    done = output.score_files(detector, files, tmp_path / "skim.parquet", where="background_efficiency_0.1")
    table = pq.read_table(tmp_path / "skim.parquet")
    assert len(table) == done["written"]
    assert all(table["flag/reconstruction/background_efficiency_0.1"].to_pylist())


@pytest.mark.parametrize(
    ("out", "where", "message"),
    [
        ("one.root", None, r"2 input files need a folder and names that differ; choose --out FOLDER"),
        (
            "folder",
            "background_efficiency_0.2",
            r"'background_efficiency_0.2' is no flag of this detector; did",
        ),
    ],
)
def test_what_cannot_be_written_is_refused_and_leaves_nothing(
    detector: Detector, files: list[str], tmp_path: Path, out: str, where: str | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        output.score_files(detector, files, tmp_path / out, where=where)
    assert list(tmp_path.iterdir()) == []


def test_events_without_entries_go_to_parquet_alone(tmp_path: Path) -> None:
    detector = fit(read(build("data.events=3000"), 10**9), {})[0]
    with pytest.raises(InputError, match=r"only events of a reader with entries, such as root, go to ROOT"):
        output.score_files(detector, ["toy:5:100"], tmp_path / "scores.root")


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("where", [None, "background_efficiency_0.1"])
def test_an_input_is_never_written_over(
    detector: Detector, files: list[str], tmp_path: Path, where: str | None, link: bool
) -> None:
    copy = tmp_path / "in.root"
    shutil.copy(files[0], copy)
    before, out = copy.read_bytes(), copy
    if link:
        out = tmp_path / "link.root"
        out.symlink_to(copy)
    with pytest.raises(InputError, match="is one of the files that are scored"):
        output.score_files(detector, [str(copy)], out, where=where)
    assert copy.read_bytes() == before
    (tmp_path / "folder").mkdir()
    twin = tmp_path / "folder" / f"in_{'skim' if where else 'scores'}.root"
    shutil.copy(files[0], twin)
    with pytest.raises(InputError, match="is one of the files that are scored"):
        output.score_files(detector, [str(copy), str(twin)], tmp_path / "folder", where=where)
    assert twin.read_bytes() == before


def test_a_file_of_another_kind_is_refused_not_taken_for_a_folder(
    detector: Detector, files: list[str], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"s\.csv: scores go to NAME\.parquet, NAME\.root or a folder, not to \.csv"):
        output.score_files(detector, files, tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()
