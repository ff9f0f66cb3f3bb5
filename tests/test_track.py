"""Tests of the record in MLflow: a real SQLite store, made by two processes at once."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepanom import address, archive, facts, track
from hepanom.errors import HepanomError
from hepanom.evaluate import Number, Scored
from hepanom.events import Input, Schema
from hepanom.result import Count, Result, Sample
from hepanom.thresholds import Threshold

START = """
import sys
from hepanom import track
store = track.open_store(sys.argv[1])
print(track.start(store, sys.argv[2], recipe="name: x", params={}, tags={}).run_id)
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, str, str]]]:
    """Return a state folder that two processes made at once, and how it went: exit status, stdout, stderr."""
    folder = tmp_path_factory.mktemp("state with a space") / "mlruns"
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", START, str(folder), f"process {number}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    ended = [process.communicate() for process in starts]
    return folder, [(process.returncode, *texts) for process, texts in zip(starts, ended, strict=True)]


@pytest.fixture(scope="module")
def store(two: tuple[Path, object]) -> track.Store:
    return track.open_store(str(two[0]))


@pytest.fixture
def record(store: track.Store, request: pytest.FixtureRequest) -> track.Record:
    return track.start(store, request.node.name, recipe="name: toy\n", params={}, tags={})


@pytest.fixture
def result() -> Result:
    sample = Sample({"elbo": np.zeros(2)}, np.zeros(2, np.int64), np.zeros(2, np.int64), np.ones(2))
    cut = Threshold("elbo", "quantile", 0.4, "jets=2", 0, 1.25, 0.6, 0.5, 0.7, 40.0, False)
    return Result(
        name="toy",
        recipe="name: toy\n",
        schema=Schema({"table": Input("table", ("x",), ("GeV",))}),
        categories=("jets=2",),
        background=("b",),
        provenance={"data": [{"path": "/data/a.csv", "bytes": 7, "sha256": "00"}, {"path": "/data/b.csv"}]},
        counts={"test": {"b": (2, 2.0)}},
        unused=0,
        dropped={},
        tally={},
        skipped=[],
        histories={},
        numbers={
            "elbo/auc": Number(0.8, 0.7, 0.9, 0.05),
            "elbo/quantile_0.4/f1": Number(0.5, 0.4, 0.6, None),
            "elbo/unweighted/auc": Number(0.75, 0.7, 0.8, None),
            "elbo/category_2/auc": Number(0.65, 0.6, 0.7, None),
            "kl/auc": Number(0.6, 0.5, 0.7, None),
        },
        thresholds=[Count(cut, 100, 62, 62.5, 60.0, 50.0, 70.0)],
        train=sample,
        test=sample,
        scored=Scored(
            {"elbo": np.zeros((1, 2)), "kl": np.zeros((1, 2))},
            {},
            np.zeros(2, np.int64),
            ("jets=2",),
            np.zeros(2, np.int64),
            np.ones(2),
        ),
        latent=None,
        strangest={},
    )


def test_importing_the_module_does_not_import_mlflow() -> None:
    question = "import sys, hepanom.track; print('mlflow' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_two_processes_may_start_at_once_on_a_new_store(two: tuple[Path, list[tuple[int, str, str]]]) -> None:
    folder, ended = two
    assert [status for status, _, _ in ended] == [0, 0]
    assert len({out for _, out, _ in ended}) == 2
    assert (folder / "mlflow.db").exists()


def test_mlflow_says_nothing_on_stdout_or_stderr(two: tuple[Path, list[tuple[int, str, str]]]) -> None:
    for _, out, err in two[1]:
        assert len(out.split()) == 1
        assert err == ""


def test_opening_a_store_leaves_the_root_logger_alone(two: tuple[Path, object]) -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    track.open_store(str(two[0]))
    assert (list(root.handlers), root.level) == before


def test_a_run_begins_with_its_recipe_params_and_tags(store: track.Store) -> None:
    params = {f"transforms.{index}.use": "log" for index in range(150)}
    params |= {"data.columns[a=b]": "x" * 7000, "note": "50 % = half [of it]; λ"}
    record = track.start(store, "whole", recipe="name: whole\n", params=params, tags={"device": "cpu"})
    known = archive.fetch(store, record.run_id)
    assert (known["name"], known["status"], known["tags"]) == (
        "whole",
        "RUNNING",
        {"device": "cpu", "status": "running"},
    )
    assert len(known["params"]) == 152
    assert len(known["params"]["data.columns_a_b_"]) == 6000
    assert known["params"]["note"] == params["note"]
    assert archive.local_artifacts(store, record.run_id, "recipe.yaml").read_text() == "name: whole\n"


def test_parent_and_children_are_linked_and_end_together(record: track.Record) -> None:
    children = [track.child(record, f"category {label}", {"category": label}) for label in ("0", "1")]
    assert track.child(record, "category 0", {}).run_id == children[0].run_id
    track.fail(record, "interrupted", "KILLED")
    known = archive.fetch(record.store, record.run_id)
    assert {entry["run_id"] for entry in known["children"]} == {child.run_id for child in children}
    assert {entry["status"] for entry in known["children"]} == {"KILLED"}
    assert archive.fetch(record.store, children[0].run_id)["tags"] == {"category": "0", "status": "interrupted"}


def test_a_failed_run_is_marked_with_its_reason_until_it_is_resumed(record: track.Record) -> None:
    track.fail(record, "epoch 3: the loss is nan")
    known = archive.fetch(record.store, record.run_id)
    assert (known["status"], known["reason"]) == ("FAILED", "epoch 3: the loss is nan")
    assert known["end"] is not None
    track.resume(record.store, record.run_id)
    known = archive.fetch(record.store, record.run_id)
    assert (known["status"], known["reason"]) == ("RUNNING", None)


def test_an_abandoned_run_is_marked_and_an_ended_one_stays(record: track.Record) -> None:
    track.abandon(record.store, record.run_id)
    assert archive.fetch(record.store, record.run_id)["status"] == "KILLED"
    track.fail(record, "the real reason")
    track.abandon(record.store, record.run_id)
    assert archive.fetch(record.store, record.run_id)["reason"] == "the real reason"
    track.abandon(record.store, "0123456789abcdef0123456789abcdef")


def test_a_failure_is_told_even_where_the_store_is_gone(
    record: track.Record, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(record.store.client, "set_tag", lambda *_: (_ for _ in ()).throw(OSError("gone")))
    track.fail(record, "the real reason")
    assert "gone" in caplog.text


def test_a_finished_run_holds_numbers_thresholds_and_files(
    record: track.Record, result: Result, tmp_path: Path
) -> None:
    (tmp_path / "detector").mkdir()
    (tmp_path / "detector" / "schema.json").write_text("{}")
    (tmp_path / "report.html").write_text("<p>page</p>")
    (tmp_path / ".part").write_text("half")
    below = track.child(record, "replica 0", {})
    track.finish(record, facts.ending(result), tmp_path)

    known = archive.fetch(record.store, record.run_id)
    assert (known["status"], known["reason"], known["children"][0]["status"]) == ("FINISHED", None, "FINISHED")
    assert known["children"][0]["run_id"] == below.run_id
    metrics = known["metrics"]
    assert metrics["test/elbo/auc"] == metrics["test/auc"] == 0.8
    assert (metrics["test/auc/low"], metrics["test/auc/high"], metrics["test/auc/spread"]) == (0.7, 0.9, 0.05)
    assert metrics["test/quantile_0.4/f1"] == 0.5
    assert metrics["test/elbo/unweighted/auc"] == 0.75
    assert metrics["test/elbo/category_2/auc"] == 0.65
    assert metrics["threshold/elbo/quantile_0.4/jets_2/value"] == 1.25
    assert metrics["threshold/elbo/quantile_0.4/jets_2/background_efficiency"] == 0.6
    assert metrics["threshold/elbo/quantile_0.4/jets_2/flagged"] == 62.0
    assert metrics["threshold/elbo/quantile_0.4/jets_2/seen"] == 62.5
    assert metrics["threshold/elbo/quantile_0.4/jets_2/expected"] == 60.0
    assert "test/unweighted/auc" not in metrics
    assert "test/category_2/auc" not in metrics
    assert archive.local_artifacts(record.store, record.run_id, "detector/schema.json").read_text() == "{}"
    assert archive.local_artifacts(record.store, record.run_id, "report.html").exists()
    found = archive.detector_folder(known["name"], record.store.uri)
    assert found == archive.local_artifacts(record.store, record.run_id, "detector")
    assert found == archive.detector_folder(str(found))
    with pytest.raises(HepanomError, match="no such artifact"):
        archive.local_artifacts(record.store, record.run_id, ".part")
    (listed,) = record.store.client.get_run(record.run_id).inputs.dataset_inputs
    assert listed.dataset.name == "a.csv and 1 more"
    assert json.loads(listed.dataset.source)["paths"] == ["/data/a.csv", "/data/b.csv"]
    assert json.loads(listed.dataset.schema) == {"mlflow_colspec": [{"name": "x", "type": "table, float32"}]}
    assert json.loads(listed.dataset.profile)["num_rows"] == 2
    assert [(tag.key, tag.value) for tag in listed.tags] == [("mlflow.data.context", "training")]
    assert known["tags"]["status"] == "finished"
    assert (
        "| auc | 0.8 (0.7 to 0.9) | 0.6 (0.5 to 0.7) |"
        in record.store.client.get_run(record.run_id).data.tags[facts.NOTE]
    )


def test_numbers_that_are_infinite_are_left_out_of_a_finished_run(
    record: track.Record, result: Result, tmp_path: Path
) -> None:
    endless = replace(result, numbers={"elbo/rejection_0.5": Number(100.0, 50.0, float("inf"), None)})
    track.finish(record, facts.ending(endless), tmp_path)
    found = {name for name in archive.fetch(record.store, record.run_id)["metrics"] if "rejection" in name}
    assert "test/elbo/rejection_0.5/low" in found
    assert "test/elbo/rejection_0.5/high" not in found


def test_files_that_lie_where_the_artifacts_go_are_not_copied_onto_themselves(
    record: track.Record, result: Result
) -> None:
    place = address.local_folder(record.artifact_uri)
    assert place is not None
    track.finish(record, facts.ending(result), place)
    assert (place / "recipe.yaml").read_text() == "name: toy\n"


def test_a_run_begins_in_the_experiment_that_mlflows_variable_names(
    store: track.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name in ("", "night"):
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
        record = track.start(store, "either", recipe="", params={}, tags={})
        found.append(store.client.get_experiment(record.experiment_id).name)
    assert found == ["hepanom", "night"]


def test_a_run_is_found_by_id_and_the_newest_by_name(store: track.Store) -> None:
    first, second = (track.start(store, "it's twice", recipe="", params={}, tags={}) for _ in range(2))
    assert archive.fetch(store, first.run_id)["run_id"] == first.run_id
    assert archive.fetch(store, "it's twice")["run_id"] == second.run_id


def test_an_unknown_run_names_similar_ones(record: track.Record) -> None:
    with pytest.raises(HepanomError, match="did you mean 'test_an_unknown_run_names_similar_ones'"):
        archive.fetch(record.store, "test_an_unknown_run_names_similar_one")


@pytest.mark.parametrize("lost", [archive.fetch, track.resume, archive.local_artifacts])
def test_a_run_that_is_not_there_is_one_message(store: track.Store, lost: object) -> None:
    assert callable(lost)
    with pytest.raises(HepanomError, match=r"mlflow\.db: "):
        lost(store, "0123456789abcdef0123456789abcdef")


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(HepanomError, match="tracking") as error:
        track.open_store(f"http://me:secret@127.0.0.1:{port}")
    assert f"127.0.0.1:{port}" in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "no-such-scheme://somewhere", "sqlite:////proc/none/mlflow.db"])
def test_an_address_that_cannot_be_used_is_named(uri: str) -> None:
    with pytest.raises(HepanomError, match=uri):
        track.open_store(uri)


def test_the_default_store_lies_in_the_state_folder(tmp_path: Path) -> None:
    assert track.default_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    assert address.resolved(str(tmp_path)) == track.default_uri(tmp_path)
    assert address.resolved(None) == track.default_uri(Path("mlruns"))


@given(st.text(max_size=300))
def test_every_name_is_one_that_mlflow_takes(text: str) -> None:
    from mlflow.utils.validation import _validate_metric_name, _validate_param_name

    name = facts.name(f"test/{text}")
    _validate_metric_name(name)
    _validate_param_name(name)
    assert len(name) <= 250


def test_flattening_keeps_every_value_under_its_path() -> None:
    plain = {"train": {"lr": 0.001, "per": None}, "scores": [{"use": "elbo"}], "background": ["b"], "empty": []}
    assert facts.flatten(plain) == {
        "train.lr": "0.001",
        "train.per": "null",
        "scores.0.use": "elbo",
        "background": '["b"]',
        "empty": "[]",
    }
