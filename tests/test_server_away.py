"""A real tracking server that is killed in the middle of a run, comes back, and is killed again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from servers import Server, serving

from hepanom import archive, document, recorded, series, track, unsent
from hepanom.contracts import Epoch
from hepanom.run import Watcher, run
from hepanom.series import Series

RECIPE = """
name: story
data: {use: toy, events: 2000}
background: [background]
transforms: [{use: missing}, {use: standardize}]
model: {use: autoencoder, hidden: [4]}
train: {epochs: 400}
scores: [{use: reconstruction}]
thresholds: [{rule: median}]
evaluate: {pictures: false}
"""
KILLED, BACK, CHECKED, KILLED_AGAIN = 10, 20, 390, 395


class Saboteur(Watcher):
    """Kills the server and starts it again, while the training goes on; looks into its store in between."""

    def __init__(self, server: Server, look: Callable[[], set[int]]) -> None:
        self.server, self.look = server, look
        self.seen: set[int] = set()

    def epoch(self, category: str, replica: int, record: Epoch) -> None:
        """Do what the epoch asks for."""
        if record.epoch in (KILLED, KILLED_AGAIN):
            self.server.kill()
        elif record.epoch == BACK:
            self.server.start()
        elif record.epoch == CHECKED:
            self.seen = self.look()


def test_a_server_that_goes_and_comes_gets_every_epoch_once(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recorded, "Series", partial(Series, every=0.0))
    monkeypatch.setattr(series, "SHARE", 0.0)  # a run of seconds has no time to wait
    store = track.open_store(str(state))  # what the server writes into, read without it

    def steps(run_id: str) -> list[int]:
        return sorted(point.step for point in store.client.get_metric_history(run_id, "validation"))

    with serving(state) as server:
        saboteur = Saboteur(server, lambda: set(steps(archive.fetch(store, "story")["run_id"])))
        outcome = run(document.parse(RECIPE, "story.yaml"), tracking=server.uri, state=tmp_path, watcher=saboteur)
        assert outcome is not None
        assert set(range(1, CHECKED - 20)) <= saboteur.seen  # what it had missed was sent when it was back
        assert caplog.text.count("the run goes on") >= 2
        assert "answers again" in caplog.text
        assert outcome.unsent is not None
        assert archive.fetch(store, outcome.run_id)["status"] == "RUNNING"

        (still_away,) = unsent.upload(tmp_path)
        assert "Connection refused" in still_away.reason
        server.start()
        assert [each.reason for each in unsent.upload(tmp_path)] == [""]

        assert steps(outcome.run_id) == list(range(1, 401))
        known = archive.fetch(store, outcome.run_id)
        assert (known["status"], known["tags"]["status"]) == ("FINISHED", "finished")
        for name, number in outcome.result.numbers.items():
            assert known["metrics"][f"test/{name}"] == pytest.approx(number.value)
        through = track.open_store(server.uri)
        assert archive.local_artifacts(through, outcome.run_id, "report.html").stat().st_size > 10_000
        assert (archive.detector_folder(outcome.run_id, server.uri) / "schema.json").is_file()
        (model,) = store.client.get_run(outcome.run_id).outputs.model_outputs
        assert store.client.get_logged_model(model.model_id).status == "READY"
    assert not list((tmp_path / "unsent").iterdir())
