"""Thresholds that are set after the training: beside those that are there, once for each name, on background alone."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from test_output import COLUMNS, HEADER, write
from toys import RECIPE, build, shares

from hepanom import origin, recut, storage
from hepanom.cli import hepanom
from hepanom.detector import MEAN_RANK, Detector, decision, score
from hepanom.errors import HepanomError, InputError
from hepanom.events import Events
from hepanom.fit import fit
from hepanom.provenance import fingerprints
from hepanom.shares import held
from hepanom.stream import with_category
from hepanom.thresholds import Rule, cut

RULE = Rule(rule="background_efficiency", value=0.05)
UNLABELLED = "number,a,b,c,n,w"


def made(folder: Path, *overrides: str) -> Path:
    """Write a detector for a table with two categories."""
    write(folder / "train.csv", 1500)
    text = RECIPE.replace("{use: toy, events: 3000}", f"{{use: csv, path: '{folder / 'train.csv'}', {COLUMNS}}}")
    parts = build("background=[bkg]", "train.per=n", *overrides, text=text)
    storage.save(fit(held(parts, shares(parts)), {"created": "2026-01-31T12:00:00+00:00"})[0], folder / "detector")
    return folder / "detector"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("training"), "train.replicas=2")


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """Return a detector of the test's own."""
    storage.save(storage.load(trained), tmp_path / "detector")
    return tmp_path / "detector"


@pytest.fixture
def new(tmp_path: Path) -> str:
    """Return a file of new events with labels."""
    write(tmp_path / "new.csv", 800, seed=5)
    return str(tmp_path / "new.csv")


def met(detector: Detector, files: Sequence[str]) -> tuple[Events, dict[str, np.ndarray]]:
    """Return the events of files and the numbers that decide."""
    reader = detector.parts.reader.on(files)
    events = Events.concat([events for part in reader.parts() for events in reader.read(part)])
    events = with_category(events, "n", detector.categories, detector.parts.schema)
    return events, decision(detector, score(detector, events), events.category)


def called(name: str, **changes: Any) -> Rule:
    """Return the rule under a name."""
    return RULE.model_copy(update={"name": name, **changes})


def cli(*arguments: object) -> Any:
    return CliRunner().invoke(hepanom, [str(each) for each in arguments])


def test_the_cut_is_the_rule_s_on_the_background_of_the_files_for_what_decides(folder: Path, new: str) -> None:
    before, network = storage.load(folder), (folder / "1-0.safetensors").read_bytes()
    done = recut.recut(folder, called("winter"), [new])
    after = storage.load(folder)
    assert after.thresholds[: len(before.thresholds)] == before.thresholds
    added = after.thresholds[len(before.thresholds) :]
    assert {(entry.scorer, entry.category) for entry in added} == {
        (scorer, label) for scorer in before.parts.scorers for label in before.categories
    }
    events, decided = met(before, [new])
    for entry in added:
        assert (entry.name, entry.replica, entry.rule) == ("winter", MEAN_RANK, "background_efficiency")
        here = (events.label == 0) & (events.category == before.categories.index(entry.category))
        assert entry.cut == cut("background_efficiency", 0.05, decided[entry.scorer][here], events.weight[here])
    assert done["events"] == (events.label == 0).sum()
    assert (folder / "1-0.safetensors").read_bytes() == network  # the tables of ranks are those of the training


def test_what_is_kept_says_when_and_on_what_it_was_set(folder: Path, new: str) -> None:
    recut.recut(folder, RULE, [new])
    ((name, known, _),) = origin.read(folder)
    events, _ = met(storage.load(folder), [new])
    weight = events.weight[events.label == 0]
    assert name == "background_efficiency_0.05"
    assert datetime.fromisoformat(known.created).tzinfo is not None
    assert known.data == tuple(fingerprints(storage.load(folder).parts.reader.on([new])))
    assert known.effective == pytest.approx(weight.sum() ** 2 / np.square(weight).sum())
    assert known.background == f"events of class bkg, without {(events.label == 1).sum()} of other classes"
    assert storage.load(folder).origins == {name: known}


@pytest.mark.parametrize("weighted", [True, False])
def test_files_without_labels_are_background_as_a_whole_and_it_is_said(
    folder: Path, tmp_path: Path, weighted: bool
) -> None:
    table = write(tmp_path / "plain.csv", 600, UNLABELLED, seed=6)
    done = recut.recut(folder, RULE.model_copy(update={"weighted": weighted}), [str(tmp_path / "plain.csv")])
    assert done["background"].startswith("all events, as none has a label: anomalies among them are background too")
    assert done["events"] == 600
    weight = table[:, 5] if weighted else np.ones(600)
    assert done["effective"] == pytest.approx(weight.sum() ** 2 / np.square(weight).sum())


def test_a_name_that_exists_is_an_error_and_changes_nothing(folder: Path, new: str) -> None:
    with pytest.raises(InputError, match=r"has a threshold 'background_efficiency_0.1' already; old ones stay"):
        recut.recut(folder, Rule(rule="background_efficiency", value=0.1), [new])
    recut.recut(folder, RULE, [new])
    content = (folder / "thresholds" / "background_efficiency_0.05.json").read_bytes()
    with pytest.raises(InputError, match="choose another --name"):
        recut.recut(folder, RULE, [new])
    assert (folder / "thresholds" / "background_efficiency_0.05.json").read_bytes() == content


def test_background_that_cannot_be_cut_is_an_error_that_names_file_and_reason(folder: Path, tmp_path: Path) -> None:
    for most, weight, why in ((1, 1, "no background where n is 2, so"), (2, -1, "20 .* negative.*--unweighted")):
        rows = "".join(f"{row},0.1,0.2,{row / 9},{1 + row % most},{weight},0\n" for row in range(20))
        (tmp_path / "few.csv").write_text(HEADER + "\n" + rows)
        with pytest.raises(InputError, match=rf"few\.csv: {why}"):
            recut.recut(folder, RULE, [str(tmp_path / "few.csv")])
    assert not list(origin.read(folder))


def test_a_rule_per_column_is_set_and_used_by_name(folder: Path, new: str, tmp_path: Path) -> None:
    done = cli("threshold", folder, "--rule", "median", "--per", "a", "--bins", "-0.5,0,0.5", "--on", new, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["name"] == "median_per_a"
    out = tmp_path / "s.parquet"
    found = cli("score", folder, new, "--out", out, "--threshold", "median_per_a", "--json")
    assert found.exit_code == 0, found.output
    table = pq.read_table(out)
    flags = [name for name in table.column_names if name.startswith("flag/")]
    assert flags == ["flag/reconstruction/median_per_a", "flag/latent_mu2/median_per_a"]
    events, _ = met(storage.load(folder), [new])
    flagged, known, a = table[flags[0]].to_numpy(), events.label == 0, events.inputs["features"][:, 0]
    for low, high in ((-9, 0), (0, 9)):
        here = known & (a >= low) & (a < high)
        assert np.average(flagged[here], weights=events.weight[here]) == pytest.approx(0.5, abs=0.03)


def test_score_flags_by_all_thresholds_and_keeps_what_a_new_one_flags(folder: Path, new: str, tmp_path: Path) -> None:
    recut.recut(folder, called("winter"), [new])
    done = cli("score", folder, new, "--out", tmp_path / "all.parquet", "--json")
    names = [
        name for name in pq.read_table(tmp_path / "all.parquet").column_names if name.startswith("flag/latent_mu2/")
    ]
    assert [name.rpartition("/")[2] for name in names] == ["background_efficiency_0.1", "mean", "winter"]
    where = cli("score", folder, new, "--out", tmp_path / "w.parquet", "--where", "latent_mu2/winter", "--json")
    assert json.loads(where.output)["written"] == json.loads(done.output)["flagged"]["latent_mu2/winter"] > 0
    wrong = cli("score", folder, new, "--out", tmp_path / "no.parquet", "--threshold", "winer")
    assert wrong.exit_code == 2
    assert "there is no threshold 'winer'; did you mean 'winter'?" in wrong.output


def test_show_lists_every_threshold_with_date_and_data(folder: Path, new: str) -> None:
    recut.recut(folder, called("winter", input_rate=1e5), [new])
    plain = json.loads(cli("show", folder, "--json").output)
    rules = {entry["rule"]: entry for entry in plain["thresholds"]}
    assert list(rules) == ["background_efficiency_0.1", "mean", "winter"]
    assert rules["mean"]["set"]["created"] == "2026-01-31T12:00:00+00:00"
    assert rules["winter"]["set"]["data"] == fingerprints(storage.load(folder).parts.reader.on([new]))
    rate = rules["winter"]["rate"]
    assert rate["low"] < rate["value"] < rate["high"]
    both = [entry["rate"]["value"] for entry in plain["thresholds"] if entry["rule"] == "winter"]
    assert sum(both) / 2 == pytest.approx(5000, rel=0.1)  # two scorers, each with the rates of both categories
    text = cli("show", folder).output
    assert "new.csv" in text
    assert "2026-01-31" in text


def test_an_older_detector_takes_a_new_threshold(folder: Path, new: str) -> None:
    story = json.loads((folder / "schema.json").read_text())
    (folder / "schema.json").write_text(json.dumps({**story, "format": 1}))
    plain = json.loads((folder / "thresholds.json").read_text())
    older = [
        {key: value for key, value in each.items() if key not in ("input_rate", "along", "title")} for each in plain
    ]
    (folder / "thresholds.json").write_text(json.dumps(older))
    before = storage.load(folder).thresholds
    recut.recut(folder, RULE, [new])
    assert storage.load(folder).thresholds[: len(before)] == before
    assert json.loads((folder / "thresholds.json").read_text()) == older


def test_a_detector_is_saved_with_all_of_its_thresholds(folder: Path, new: str, tmp_path: Path) -> None:
    recut.recut(folder, called("winter"), [new])
    storage.save(storage.load(folder), tmp_path / "copy")
    assert storage.load(tmp_path / "copy").thresholds == storage.load(folder).thresholds
    assert storage.load(tmp_path / "copy").origins == storage.load(folder).origins


def _keep(folder: Path, name: str, number: int) -> None:
    try:
        known = origin.Origin(f"2026-01-{number + 1:02}", (), number, 1.0, f"writer {number}", weighted=True)
        origin.keep(name, known, [], folder)
    except InputError:
        os._exit(3)


def test_of_writers_of_one_name_one_succeeds_and_those_of_others_all_do(tmp_path: Path) -> None:
    names = ["same"] * 4 + [f"own_{number}" for number in range(4)]
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=_keep, args=(tmp_path, name, number)) for number, name in enumerate(names)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(writer.exitcode or 0 for writer in writers[:4]) == [0, 3, 3, 3]
    assert [writer.exitcode for writer in writers[4:]] == [0] * 4
    kept = {name: known for name, known, _ in origin.read(tmp_path)}
    assert set(kept) == set(names)
    winner = next(number for number, writer in enumerate(writers[:4]) if writer.exitcode == 0)
    assert kept["same"].background == f"writer {winner}"


def _die(folder: Path) -> None:
    def killed(self: Path, *_: object, **__: object) -> None:
        with self.open("w") as stream:
            stream.write('{"name": "ha')
        os.kill(os.getpid(), signal.SIGKILL)

    Path.write_text = killed  # type: ignore[method-assign,assignment]
    origin.keep("half", origin.Origin("2026", (), 1, 1.0, "", weighted=True), [], folder)


def test_a_kill_in_the_middle_leaves_no_half_and_no_lock(folder: Path, new: str) -> None:
    before = storage.load(folder).thresholds
    writer = multiprocessing.get_context("fork").Process(target=_die, args=(folder,))
    writer.start()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    assert storage.load(folder).thresholds == before
    recut.recut(folder, called("half"), [new])
    assert "half" in {entry.name for entry in storage.load(folder).thresholds}


def test_a_full_disk_leaves_what_was_there(folder: Path, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(origin, "written", full)
    with pytest.raises(HepanomError, match=r"cannot be written: No space left on device"):
        recut.recut(folder, RULE, [new])
    assert not list(origin.read(folder))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rule", "quantil=0.4"], "--rule quantil=0.4: there is no rule 'quantil'; did you mean 'quantile'?"),
        (["--rule", "quantile"], "--rule quantile: the rule quantile needs a value"),
        (["--rule", "quantile=x"], "--rule quantile=x: 'x' is no number; write it as --rule quantile=0.01"),
        (["--rule", "median=1"], "--rule median=1: the rule median takes no value"),
        (["--rule", "background_rate=10"], "such as input_rate: 1e5"),
        (["--rule", "background_rate=10", "--input-rate", "5"], "it lies between 0 and the input_rate of 5 Hz"),
        (["--rule", "median", "--bins", "4"], "--bins: is for a cut that depends on a column; name it by --per"),
        (["--rule", "median", "--per", "a", "--bins", "4,x"], "--bins 4,x: expected their number, or edges such as"),
        (["--rule", "median", "--per", "a", "--bins", "4,3"], "edges of bins rise"),
        (["--rule", "median", "--per", "aa"], "--per aa: there is no such column"),
        (["--rule", "median", "--name", "a b"], "letters, digits and the signs _ . -"),
        (["--rule", "value=3"], "--rule value: cuts the score of one training"),
    ],
)
def test_a_mistake_on_the_command_line_names_the_option(
    trained: Path, options: list[str], message: str, tmp_path: Path
) -> None:
    write(tmp_path / "new.csv", 50, seed=5)
    done = cli("threshold", trained, *options, "--on", tmp_path / "new.csv")
    assert done.exit_code == 2
    assert message in done.output
    assert not (trained / "thresholds").exists()


def test_a_detector_on_a_server_is_not_changed_but_what_to_do_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    run = {"run_id": "12ab", "name": "night", "start": 0, "artifacts": "mlflow-artifacts:/1/12ab/artifacts"}
    monkeypatch.setattr(recut.archive, "recorded", lambda *_, **__: (None, run))
    with pytest.raises(
        InputError, match=r"on a server.*mlflow artifacts download --run-id 12ab --artifact-path detector"
    ):
        recut.folder_of("night", "http://localhost:1")
