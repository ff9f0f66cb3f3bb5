"""Listing and finding runs: filters, order, prefixes of ids, and what is said where there is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hepanom import archive, entrants, track
from hepanom.archive import Query
from hepanom.cli import hepanom
from hepanom.errors import InputError

AUC = {"night-1": 0.8, "night-2": 0.9, "day": 0.7}


@pytest.fixture(scope="module")
def store(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> track.Store:
    """Return a store with three finished runs, one of which has one below it, a failed one and one that goes on."""
    state = shutil.copytree(migrated, tmp_path_factory.mktemp("listed") / "mlruns")
    store = track.open_store(str(state))
    for name, auc in AUC.items():
        made = begun(store, name, "vae" if name == "day" else "autoencoder")
        store.client.log_metric(made.run_id, "test/auc", auc)
        if name == "day":
            store.client.log_metric(track.child(made, "2-0", {}).run_id, "validation", 0.5)
        for run in (below["run_id"] for below in archive.fetch(store, made.run_id)["children"]):
            store.client.set_terminated(run)
        store.client.set_terminated(made.run_id)
    track.fail(begun(store, "torn", "flow"), "epoch 3: the loss is nan\nand more of it")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
        begun(store, "going", "flow")
    return store


def begun(store: track.Store, name: str, model: str) -> track.Record:
    params = {"model.use": model, "train.optimizer.lr": "0.001"}
    tags = {"model": model, "data": "toy", "device": "cpu"}
    return track.start(store, name, recipe=f"name: {name}\n", params=params, tags=tags)


def names(store: track.Store, **options: Any) -> list[str]:
    return [entry["name"] for entry in archive.search(store, Query(**options))]


def call(store: track.Store, *arguments: str) -> Result:
    return CliRunner().invoke(hepanom, [*arguments, "--tracking", store.uri])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"night-1", "night-2", "day", "torn", "going"}),
        ({"below": True}, {"night-1", "night-2", "day", "2-0", "torn", "going"}),
        ({"status": "finished"}, {"night-1", "night-2", "day"}),
        ({"status": "failed"}, {"torn"}),
        ({"status": "running"}, {"going"}),
        ({"model": "flow"}, {"torn", "going"}),
        ({"model": "it's"}, set()),
        ({"experiment": "other"}, {"going"}),
        ({"where": "metrics.test/auc > 0.75"}, {"night-1", "night-2"}),
        ({"where": "metrics.\"test/auc\" > 0.75 and tags.`model` = 'autoencoder'"}, {"night-1", "night-2"}),
        (
            {"where": "params.train.optimizer.lr = '0.001' and attributes.run_name LIKE 'night%'"},
            {"night-1", "night-2"},
        ),
        ({"where": "tags.note = 'params.x.y'"}, set()),
    ],
)
def test_filters_choose_runs(store: track.Store, options: dict[str, Any], expected: set[str]) -> None:
    assert set(names(store, **options)) == expected


def test_runs_come_newest_first_or_by_a_metric(store: track.Store) -> None:
    starts = [entry["start"] for entry in archive.search(store, Query())]
    assert starts == sorted(starts, reverse=True)
    assert names(store, sort="test/auc", limit=2) == ["night-2", "night-1"]
    assert names(store, sort="test/auc", lowest=True, limit=1) == ["day"]


def test_more_runs_than_a_page_holds_are_all_found(store: track.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "PAGE", 2)
    assert len(names(store)) == 5
    assert len(names(store, limit=3)) == 3


def test_the_list_is_a_table_or_everything_as_json(store: track.Store) -> None:
    text = call(store, "runs").stdout
    assert "night-2" in text
    assert "0.9" in text
    assert "2-0" not in text
    assert "epoch 3: the loss is nan" in text
    assert "and more of it" not in text
    plain = json.loads(call(store, "runs", "--json", "--model", "vae").stdout)
    (run,) = plain["runs"]
    assert (run["metrics"]["test/auc"], run["experiment"], run["status"]) == (0.7, "hepanom", "FINISHED")
    assert run["params"]["train.optimizer.lr"] == "0.001"
    assert "the first 2; --limit N shows more" in call(store, "runs", "--limit", "2").stdout


def test_no_run_is_an_empty_list_and_no_error(store: track.Store) -> None:
    done = call(store, "runs", "--model", "nothing")
    assert (done.exit_code, done.stdout) == (0, done.stdout)
    assert "there is no run like that" in done.stdout
    assert json.loads(call(store, "runs", "--model", "nothing", "--json").stdout)["runs"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--where", "metrics.test/auc"), "filter 'metrics.test/auc': Invalid clause(s)"),
        (("--where", "metrics.test/auc > 'a'"), "write it as metrics.test/auc > 0.8, params.model.use = 'vae'"),
        (("--experiment", "othr"), "there is no experiment 'othr'; did you mean 'other'?"),
        (("--sort", "test/acu"), "--sort test/acu: no run has this metric; did you mean 'test/auc'?"),
        (("--lowest",), "--lowest orders by a metric: add --sort METRIC"),
    ],
)
def test_what_has_no_meaning_is_one_message(store: track.Store, arguments: tuple[str, ...], message: str) -> None:
    done = call(store, "runs", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_the_beginning_of_an_id_stands_for_a_run(store: track.Store) -> None:
    run = archive.fetch(store, "night-1")["run_id"]
    assert archive.fetch(store, run[:6])["run_id"] == run
    assert json.loads(call(store, "show", run[:8], "--json").stdout)["name"] == "night-1"
    with pytest.raises(InputError, match=r"\(the beginning of an id takes 6 characters\)"):
        archive.fetch(store, "a1b2c")


def test_the_beginning_of_several_ids_is_refused(store: track.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = store.client.search_runs([entry.experiment_id for entry in store.client.search_experiments()])
    answers = {"run_id =": [], "run_name =": [], "LIKE": list(runs)}
    monkeypatch.setattr(
        store.client,
        "search_runs",
        lambda _, chosen, **options: next(found for key, found in answers.items() if key in chosen),
    )
    with pytest.raises(InputError, match=r"'abcdef' begins the ids of 6 runs: .*; give more of it"):
        archive.fetch(store, "abcdef")


def test_a_run_that_did_not_finish_says_so_where_a_finished_one_is_wanted(store: track.Store) -> None:
    with pytest.raises(InputError, match=r"run torn \(\w{32}\) is failed, not finished: epoch 3"):
        archive.fetch(store, "torn", finished=True)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (60, "1:00 min"), (187, "3:07 min"), (7500, "2:05 h")]
)
def test_a_duration_is_told_in_words(seconds: float, text: str) -> None:
    assert entrants.duration(1000, int(1000 + 1000 * seconds)) == text
