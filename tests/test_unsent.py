"""What a run leaves where its store is away: everything, once, and sent when the store is back."""

from __future__ import annotations

import fcntl
import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hepanom import archive, cli, document, facts, track, unsent
from hepanom.errors import HepanomError
from hepanom.facts import Ending, Late
from hepanom.run import run

RECIPE = """
name: story
data: {use: toy, events: 2000}
background: [background]
transforms: [{use: missing}, {use: standardize}]
model: {use: autoencoder, hidden: [4]}
train: {epochs: 3, per: n_jets}
scores: [{use: reconstruction}]
thresholds: [{rule: median}]
evaluate: {pictures: false}
"""
CALLS = (
    "log_inputs",
    "log_artifact",
    "create_logged_model",
    "log_outputs",
    "log_model_artifacts",
    "finalize_logged_model",
    "log_batch",
    *("set_tag", "set_terminated"),
)


class Failing:
    """MLflow's client, which fails at the n-th call of a method: before it does anything, or after."""

    def __init__(self, client: Any) -> None:
        self.client, self.fails, self.when, self.after = client, "", 0, False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        if name != self.fails:
            return method

        def call(*args: Any, **options: Any) -> Any:
            self.when -= 1
            if self.when > 0:
                return method(*args, **options)
            if self.after:
                method(*args, **options)
            raise OSError("connection reset by peer")

        return call


@pytest.fixture(scope="module")
def base(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(migrated, tmp_path_factory.mktemp("kept") / "mlruns")


@pytest.fixture
def store(base: Path, monkeypatch: pytest.MonkeyPatch) -> track.Store:
    """Return a store whose client can fail; every store that is opened is this one."""
    found = track.open_store(str(base))
    failing = track.Store(found.uri, Failing(found.client), found.artifacts)  # type: ignore[arg-type]
    monkeypatch.setattr(track, "open_store", lambda uri=None: failing)
    return failing


@pytest.fixture
def record(store: track.Store, request: pytest.FixtureRequest) -> track.Record:
    return track.start(store, request.node.name[:60], recipe="name: toy\n", params={}, tags={"model": "vae"})


def fail(store: track.Store, name: str, when: int = 1, *, after: bool = False) -> None:
    store.client.fails, store.client.when, store.client.after = name, when, after  # type: ignore[attr-defined]


def left(folder: Path) -> tuple[Ending, Path, Path, list[Late]]:
    """Return what a made-up run has to tell: its ending, files, model, and late losses of a run below."""
    (folder / "files" / "detector").mkdir(parents=True)
    (folder / "files" / "detector" / "schema.json").write_text("{}")
    (folder / "files" / "report.html").write_text("<p>page</p>")
    (folder / "model").mkdir()
    (folder / "model" / "MLmodel").write_text("flavors: {}\n")
    data = facts.Dataset("a.csv", "0123", "{}", "{}", "{}")
    ending = Ending(1_900_000_000_000, tuple(facts.points({"test/auc": 0.8, "test/f1": 0.5}, 0)), {"a": "b"}, data)
    late = [Late("below", {"category": "2"}, tuple(facts.points({"validation": 0.5}, 7)))]
    return ending, folder / "files", folder / "model", late


def refuse_loss_or_repeat(record: track.Record) -> None:
    """Raise AssertionError where anything of ``left`` is missing, or there twice."""
    client = record.store.client
    known = archive.fetch(record.store, record.run_id)
    assert (known["status"], known["end"], known["tags"]["status"]) == ("FINISHED", 1_900_000_000_000, "finished")
    assert [point.value for point in client.get_metric_history(record.run_id, "test/auc")] == [0.8]
    (below,) = known["children"]
    assert (below["name"], below["status"]) == ("below", "FINISHED")
    assert [point.step for point in client.get_metric_history(below["run_id"], "validation")] == [7]
    assert archive.local_artifacts(record.store, record.run_id, "detector/schema.json").read_text() == "{}"
    found = client.get_run(record.run_id)
    assert len(found.inputs.dataset_inputs) == 1
    (output,) = found.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert (model.status, len(model.metrics)) == ("READY", 2)
    assert len(client.search_logged_models([record.experiment_id], f"source_run_id = '{record.run_id}'")) == 1


def test_a_store_that_answers_leaves_nothing_behind(record: track.Record, tmp_path: Path) -> None:
    assert unsent.deliver(record, *left(tmp_path), tmp_path / "state") is None
    refuse_loss_or_repeat(record)
    assert not (tmp_path / "state").exists()


def test_a_server_that_is_too_old_for_models_gets_all_else(
    store: track.Store, record: track.Record, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND

    def absent(*_: object, **__: object) -> None:
        raise MlflowException("no such endpoint", error_code=ENDPOINT_NOT_FOUND)

    store.client.search_logged_models = absent  # type: ignore[method-assign]
    assert unsent.deliver(record, *left(tmp_path), tmp_path / "state") is None
    assert archive.fetch(store, record.run_id)["status"] == "FINISHED"
    assert "knows no logged models" in caplog.text


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_a_store_that_breaks_off_anywhere_gets_everything_once_when_it_is_back(
    call: str, after: bool, store: track.Store, record: track.Record, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fail(store, call, after=after)
    folder = unsent.deliver(record, *left(tmp_path), tmp_path / "state")
    assert folder == tmp_path / "state" / "unsent" / record.run_id
    assert (folder / "files" / "detector" / "schema.json").read_text() == "{}"
    assert stat.S_IMODE((folder / "unsent.json").stat().st_mode) == 0o600
    assert "connection reset by peer" in caplog.text
    assert f"hepanom upload {tmp_path / 'state'}" in caplog.text

    fail(store, call, after=after)  # it breaks off once more, in the upload
    (again,) = unsent.upload(tmp_path / "state")
    if again.reason:
        assert "connection reset by peer" in again.reason
        assert folder.is_dir()
        fail(store, "")
        (again,) = unsent.upload(tmp_path / "state")
    assert (again.run_id, again.reason) == (record.run_id, "")
    refuse_loss_or_repeat(record)
    assert not folder.exists()
    assert list(unsent.upload(tmp_path / "state")) == []


def test_an_upload_that_was_killed_at_its_very_end_can_be_done_again(
    record: track.Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsent.keep(record, *left(tmp_path), tmp_path / "state")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        list(unsent.upload(tmp_path / "state"))
    monkeypatch.undo()
    monkeypatch.setattr(track, "open_store", lambda uri=None: record.store)
    assert [each.reason for each in unsent.upload(tmp_path / "state")] == [""]
    refuse_loss_or_repeat(record)


def test_one_run_that_cannot_be_sent_does_not_stop_the_others(
    store: track.Store, record: track.Record, tmp_path: Path
) -> None:
    unsent.keep(record, *left(tmp_path), tmp_path / "state")
    unknown = track.Record(store, "0123456789abcdef0123456789abcdef", record.experiment_id, "", 0, {})
    unsent.keep(unknown, *left(tmp_path / "unknown"), tmp_path / "state")
    damaged = tmp_path / "state" / "unsent" / "damaged"
    damaged.mkdir()
    (damaged / "unsent.json").write_text("{")
    held = tmp_path / "state" / "unsent" / "held"
    shutil.copytree(tmp_path / "state" / "unsent" / record.run_id, held)
    with (held / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = {each.run_id: each.reason for each in unsent.upload(tmp_path / "state")}
    assert found[record.run_id] == ""
    assert "0123456789abcdef0123456789abcdef" in found[unknown.run_id]
    assert "the note is damaged" in found["damaged"]
    assert found["held"] == "another process is uploading it"
    assert {path.name for path in (tmp_path / "state" / "unsent").iterdir()} == {unknown.run_id, "damaged", "held"}


def test_a_password_in_the_address_is_not_shown(
    store: track.Store, record: track.Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = track.Record(track.Store("http://me:secret@there:1", store.client, None), record.run_id, "1", "", 0, {})
    unsent.keep(secret, *left(tmp_path), tmp_path / "state")
    monkeypatch.setattr(track, "known", lambda *_: (_ for _ in ()).throw(HepanomError("gone")))
    (found,) = unsent.upload(tmp_path / "state")
    assert "secret" not in str(found)


def test_what_cannot_be_kept_either_is_an_error(
    store: track.Store, record: track.Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    fail(store, "log_inputs")
    monkeypatch.setattr(shutil, "move", full)
    with pytest.raises(HepanomError, match="No space left on device"):
        unsent.deliver(record, *left(tmp_path), tmp_path / "state")


def went_away(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Take the store away as soon as a run has begun; return what gives it back."""
    patch = pytest.MonkeyPatch()
    start = track.start

    def started(*args: Any, **options: Any) -> track.Record:
        record = start(*args, **options)
        for name in ("send", "child", "known_steps", "_log_model"):
            patch.setattr(track, name, lambda *_: (_ for _ in ()).throw(HepanomError("the server is gone")))
        return record

    monkeypatch.setattr(track, "start", started)
    return patch.undo


def test_a_run_whose_store_goes_away_ends_well_and_is_uploaded_later(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = tmp_path / "story.yaml"
    recipe.write_text(RECIPE)
    back = went_away(monkeypatch)
    state = tmp_path / "state"
    try:
        command = ["run", str(recipe), "--tracking", str(base), "--state", str(state)]
        found = CliRunner().invoke(cli.hepanom, command)
    finally:
        back()
    assert found.exit_code == 4, found.output
    (folder,) = (state / "unsent").iterdir()
    assert "the server is gone" in caplog.text
    assert f"hepanom upload {state}" in caplog.text
    assert str(folder / "files" / "report.html") in found.stdout.replace("\n", "")
    assert not list(state.glob("checkpoints/*"))
    store = track.open_store(str(base))
    assert archive.fetch(store, folder.name)["status"] == "RUNNING"
    assert len(json.loads((folder / "unsent.json").read_text())["late"]) == 4  # three trainings, and the meters

    sent = CliRunner().invoke(cli.hepanom, ["upload", str(state)])
    assert (sent.exit_code, sent.stdout.split()[:2]) == (0, ["run", f"{folder.name}:"])
    known = archive.fetch(store, folder.name)
    assert (known["status"], len(known["children"])) == ("FINISHED", 3)
    for child in known["children"]:
        assert child["status"] == "FINISHED"
        steps = [point.step for point in store.client.get_metric_history(child["run_id"], "validation")]
        assert sorted(steps) == [1, 2, 3]
    assert {"test/auc", "system/cpu_utilization_percentage"} <= set(known["metrics"])
    assert archive.local_artifacts(store, folder.name, "report.html").is_file()
    again = CliRunner().invoke(cli.hepanom, ["upload", str(state)])
    assert (again.exit_code, again.stdout.strip()) == (0, f"{state}: no run is waiting there")


def test_a_run_from_python_gives_its_result_all_the_same(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = went_away(monkeypatch)
    try:
        parsed = document.parse(RECIPE, "story.yaml", ["train.per=null"])
        outcome = run(parsed, tracking=str(base), state=tmp_path / "state")
    finally:
        back()
    assert outcome is not None
    assert outcome.unsent == tmp_path / "state" / "unsent" / outcome.run_id
    assert Path(outcome.artifacts, "detector", "schema.json").is_file()
    assert outcome.result.numbers


def test_upload_says_by_its_exit_code_that_runs_are_left(
    store: track.Store, record: track.Record, tmp_path: Path
) -> None:
    unsent.keep(record, *left(tmp_path), tmp_path / "state")
    fail(store, "log_inputs")
    found = CliRunner().invoke(cli.hepanom, ["upload", str(tmp_path / "state"), "--json"])
    assert found.exit_code == 4
    assert json.loads(found.stdout)["runs"][0]["folder"] == str(tmp_path / "state" / "unsent" / record.run_id)
