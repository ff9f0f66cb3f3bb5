"""Comparing runs: real small ones, every way to name them, every message, and one path for every number."""

from __future__ import annotations

import csv
import json
import re
import shutil
from contextlib import suppress
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from hepanom import archive, compare, compare_page, document, entrants, page, report, show_compare, track
from hepanom.cli import hepanom
from hepanom.errors import HepanomError
from hepanom.evaluate import Number
from hepanom.run import run
from hepanom.tables import cell

RECIPE = """
name: plain
data: {use: toy, events: 3000, signal_share: 0.3}
background: [background]
transforms: [{use: missing}, {use: standardize}]
model: {use: autoencoder, hidden: [6]}
train: {epochs: 1, device: cpu}
scores: [{use: reconstruction}, {use: latent_mu2}]
thresholds: [{rule: background_efficiency, value: 0.1}]
evaluate: {metrics: [auc, signal_efficiency, max_sic, f1], resamples: 20, pictures: false}
"""
RUNS = {
    "plain": (),
    "wide": ("model.hidden=[12, 8]", "transforms=[{use: missing}, {use: missing, fill: median}, {use: standardize}]"),
    "split": ("train.per=n_jets",),
    "elsewhere": ("data.seed=5",),
    "broken": ("train.optimizer.lr=1e35",),
}


@pytest.fixture(scope="module")
def runs(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Return a state folder with a few runs, one of which failed, and their ids."""
    state = shutil.copytree(migrated, tmp_path_factory.mktemp("compared") / "mlruns")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "write", lambda *_: None)  # the page of a run takes longer than the run
        for name, changes in RUNS.items():
            recipe = document.parse(RECIPE, "r.yaml", [f"name={name}", *changes])
            with suppress(HepanomError):  # of the one that is broken
                run(recipe, state=state)
    found = archive.search(track.open_store(str(state)), archive.Query())
    return state, {entry["name"]: entry["run_id"] for entry in found}


@pytest.fixture(scope="module")
def found(runs: tuple[Path, dict[str, str]]) -> compare.Comparison:
    wanted = ["plain", "wide", "split", "elsewhere"]
    return compare.compare(entrants.entrants(wanted, str(runs[0])), resamples=40)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(hepanom, [str(argument) for argument in arguments])


def artifacts(runs: tuple[Path, dict[str, str]], name: str) -> Path:
    return runs[0] / "artifacts" / runs[1][name] / "artifacts"


def test_numbers_are_those_that_the_runs_recorded(runs: tuple[Path, dict[str, str]], found: compare.Comparison) -> None:
    recorded = archive.fetch(track.open_store(str(runs[0])), "wide")["metrics"]
    auc = compare.numbers(found.runs[1].metrics, "reconstruction")["auc"]
    assert auc == Number(*(recorded[f"test/auc{side}"] for side in ("", "/low", "/high")), None)
    (cut,) = compare.cuts(found.runs[1].metrics, "reconstruction")
    assert cut.value == recorded["threshold/reconstruction/background_efficiency_0.1/all/value"]
    assert cut.low < cut.background_efficiency < cut.high


def test_on_all_events_the_paired_numbers_are_the_recorded_ones(found: compare.Comparison) -> None:
    for place, entrant in enumerate(found.runs[1:3], 1):
        pairing = found.pairs[0, place]
        assert found.runs[0].sample is not None
        assert pairing.shared == len(found.runs[0].sample)
        own = [compare.numbers(each.metrics, each.scorer) for each in (found.runs[0], entrant)]
        for entry in pairing.differences:
            assert entry.reference == pytest.approx(own[0][entry.metric].value, rel=1e-9)
            assert entry.other == pytest.approx(own[1][entry.metric].value, rel=1e-9)


def test_show_prints_a_run_with_the_intervals_of_its_numbers(runs: tuple[Path, dict[str, str]]) -> None:
    recorded = archive.fetch(track.open_store(str(runs[0])), "split")
    shown = call("show", "split", "--tracking", runs[0]).stdout
    for scorer in ("reconstruction", "latent_mu2"):
        for name in ("auc", "background_efficiency_0.1/f1"):
            number = compare.numbers(recorded["metrics"], scorer)[name]
            assert show_compare.interval({"value": number.value, "low": number.low, "high": number.high}) in shown
        for cut in compare.cuts(recorded["metrics"], scorer):
            assert f"{cut.value:.4g}" in shown
    assert "runs below" in shown


def test_every_pair_is_in_the_matrix(found: compare.Comparison) -> None:
    plain = compare.plain(found)
    assert len(plain["pairs"]) == 6
    assert {pair["other"] for pair in plain["pairs"] if pair["why"]} == {"elsewhere"}
    assert json.loads(json.dumps(plain, allow_nan=False)) == json.loads(json.dumps(plain))


def test_only_what_differs_in_the_recipes_is_told_and_lists_are_whole(found: compare.Comparison) -> None:
    assert compare.differing(found.runs) == {
        "data.seed": ("", "", "", "5"),
        "model.hidden": ("[6]", "[12, 8]", "[6]", "[6]"),
        "train.per": ("", "", "n_jets", ""),
        "transforms": (
            "missing; standardize",
            "missing; missing fill=median; standardize",
            "missing; standardize",
            "missing; standardize",
        ),
    }
    assert not compare.same_data(found.runs)
    assert compare.same_data(found.runs[:3])


def test_a_run_is_the_same_by_id_prefix_name_and_folder(runs: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    ways = [runs[1]["wide"], runs[1]["wide"][:8], "wide"]
    assert len(entrants.entrants(ways, str(runs[0]))) == 1
    moved = shutil.copytree(artifacts(runs, "wide"), tmp_path / "moved")
    for folder in (moved, moved / "detector"):
        (copied,) = entrants.entrants([str(folder)])
        (recorded,) = entrants.entrants(["wide"], str(runs[0]))
        for read in (compare.numbers, compare.cuts):
            assert read(copied.metrics, copied.scorer) == read(recorded.metrics, recorded.scorer)
        for same in ("name", "params", "scorers", "scorer"):
            assert getattr(copied, same) == getattr(recorded, same), same
        for same in ("data", "fingerprint", "model", "git", "versions"):
            assert copied.facts.get(same) == recorded.facts.get(same), same
    pair = compare.compare([recorded, copied], resamples=20)
    assert {entry.p for entry in pair.pairs[0, 1].differences} == {1.0}
    assert [run.name for run in pair.runs] == [f"wide {runs[1]['wide'][:6]}", "wide moved"]


def test_experiments_and_filters_stand_for_their_finished_runs_the_oldest_first(
    runs: tuple[Path, dict[str, str]],
) -> None:
    state = str(runs[0])
    everything = entrants.entrants(["experiment:hepanom"], state)
    assert [entry.name for entry in everything] == ["plain", "wide", "split", "elsewhere"]
    chosen = entrants.entrants(["filter:params.data.seed = '5'", "plain"], state)
    assert [entry.name for entry in chosen] == ["elsewhere", "plain"]


def test_runs_are_compared_by_the_score_that_is_wanted(runs: tuple[Path, dict[str, str]]) -> None:
    options = {"tracking": str(runs[0]), "resamples": 20, "score": "latent_mu2"}
    plain, _ = compare_page.compared(["plain", "wide"], **options)
    assert {entry["scorer"] for entry in plain["runs"]} == {"latent_mu2"}
    recorded = archive.fetch(track.open_store(str(runs[0])), "plain")["metrics"]
    assert plain["runs"][0]["numbers"]["auc"]["value"] == recorded["test/latent_mu2/auc"]


def test_a_run_without_scores_is_compared_by_its_numbers(runs: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    bare = shutil.copytree(artifacts(runs, "wide"), tmp_path / "bare")
    (bare / "scores.parquet").unlink()
    found = compare.compare(entrants.entrants(["plain", str(bare)], str(runs[0])), resamples=20)
    assert "the scores of its test events are not there" in found.pairs[0, 1].why
    plain = compare.plain(found)
    assert plain["runs"][1]["numbers"] == compare.plain(found)["runs"][1]["numbers"] != {}
    assert "wide: numbers without significance, because wide: the scores" in show_compare.text(plain)


def test_terminal_csv_json_and_page_say_the_same(
    runs: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "png", lambda _: b"blank")
    files = {"csv": tmp_path / "c.csv", "html": tmp_path / "c.html"}
    options = ("--tracking", runs[0], "--resamples", 30, "--csv", files["csv"], "--html", files["html"])
    done = call("compare", "plain", "wide", "split", *options, "--json")
    assert done.exit_code == 0, done.output
    plain = json.loads(done.stdout)
    rows = list(csv.DictReader(files["csv"].read_text(encoding="utf-8").splitlines()))
    shown = show_compare.text(plain)
    text = files["html"].read_text(encoding="utf-8")
    for entry in plain["runs"]:
        own = {row["name"]: row for row in rows if row["run"] == entry["name"] and row["kind"] == "number"}
        assert {name: float(row["value"]) for name, row in own.items()} == {
            name: number["value"] for name, number in entry["numbers"].items()
        }
        for name in ("auc", "max_sic"):
            assert show_compare.interval(entry["numbers"][name]) in shown
            assert f">{cell(Number(**entry['numbers'][name])).value}<" in text
    for pair in plain["pairs"]:
        for difference in pair["differences"]:
            (row,) = (
                row
                for row in rows
                if (row["reference"], row["run"], row["name"])
                == (pair["reference"], pair["other"], difference["metric"])
            )
            assert float(row["value"]) == difference["difference"]
            assert float(row["p"]) == difference["p"]
    (sums,) = show_compare.rates(plain).values()
    assert sums["split"]["flagged"] == sum(cut["flagged"] for cut in plain["runs"][2]["thresholds"])


class Page(HTMLParser):
    """The addresses, images and headings of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.addresses += [str(known[key]) for key in ("src", "href") if key in known]
        self.ids |= {str(known["id"])} if "id" in known else set()


def test_the_page_needs_nothing_beside_it_and_shows_the_curves(found: compare.Comparison, tmp_path: Path) -> None:
    compare_page.write(found, compare.plain(found), tmp_path / "c.html")
    text = (tmp_path / "c.html").read_text(encoding="utf-8")
    read = Page(text)
    assert sum(address.startswith("data:image/png;base64,") for address in read.addresses) == 2
    assert all(address.startswith("data:") or address[1:] in read.ids for address in read.addresses)
    assert len(text) < 5_000_000
    assert not re.search(r"https?://", text)
    assert [path.name for path in tmp_path.iterdir()] == ["c.html"]


def test_names_of_users_are_escaped(found: compare.Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "png", lambda _: b"blank")
    plain = compare.plain(found)
    evil = json.loads(json.dumps(plain).replace('"wide"', '"<script>[red]$x_1$"'))
    compare_page.write(found, evil, tmp_path / "c.html")
    assert "<script>" not in (tmp_path / "c.html").read_text(encoding="utf-8")
    assert "<script>[red]$x_1$" in show_compare.text(evil)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plain"], "a comparison takes two runs or more, found plain alone"),
        (["plain", "wde"], "there is no run 'wde'; did you mean 'wide'?"),
        (["plain", "broken"], "is failed, not finished: epoch 1"),
        (["plain", "experiment:hepanon"], "there is no experiment 'hepanon'; did you mean 'hepanom'?"),
        (["filter:metrics.test/auc > 2"], "filter:metrics.test/auc > 2: there is no finished run like that"),
        (["filter:metrics.test/auc >"], "filter 'metrics.test/auc >': Invalid clause(s) in filter string"),
        (["plain", "elsewhere", "--paired"], "--paired: plain and elsewhere: they have no event in common"),
        (["plain", "wide", "--score", "elbow"], "--score 'elbow' is no score of run plain; known are latent_mu2"),
        (["plain", "."], ".: is no folder of a run's artifacts (recipe.yaml, scores.parquet, detector/)"),
    ],
)
def test_what_cannot_be_compared_is_one_message(
    runs: tuple[Path, dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("compare", *arguments, "--tracking", runs[0])
    assert done.exit_code == 2
    assert message in done.stderr


def test_a_server_that_is_not_there_is_one_message() -> None:
    done = call("compare", "a", "b", "--tracking", "http://127.0.0.1:9")
    assert done.exit_code == 1
    assert "127.0.0.1:9: the tracking store failed" in done.stderr


def test_scores_that_are_no_scores_are_named(runs: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    for damage in ("torn", "column"):
        broken = shutil.copytree(artifacts(runs, "wide"), tmp_path / damage)
        scores = broken / "scores.parquet"
        if damage == "torn":
            scores.write_bytes(scores.read_bytes()[:-100])
        else:
            pq.write_table(pq.read_table(scores).drop_columns(["event_id"]), scores)
        done = call("compare", broken, "plain", "--tracking", runs[0])
        assert done.exit_code == 2
        expected = "is no sound Parquet file" if damage == "torn" else "has no column 'event_id'"
        assert f"scores.parquet: {expected}" in done.stderr


def test_other_backgrounds_are_refused_in_the_paired_part(found: compare.Comparison) -> None:
    one, two = found.runs[:2]
    assert two.sample is not None
    other = replace(two, sample=replace(two.sample, background=("signal",)))
    told: Any = compare.compare([one, other], resamples=20).pairs[0, 1].why
    assert "is background in the reference and an anomaly in the other" in told
