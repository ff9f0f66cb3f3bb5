"""What is told of trainings that a rule stopped or that collapsed: in report, terminal, MLflow and the detector."""

from __future__ import annotations

from pathlib import Path

import pytest
import toys

from hepanom import archive, canvas, facts, report, show, show_runs, track
from hepanom.assess import assess
from hepanom.detector import Detector
from hepanom.losses import loss_figure
from hepanom.result import Result
from hepanom.run import Outcome
from hepanom.series import Series
from hepanom.shares import held
from hepanom.storage import load, save

HUGE = (
    "model={use: vae, hidden: [6], beta: 1e6}",
    "train={epochs: 12, batch: 64, per: n_jets, replicas: 2, device: cpu, optimizer: {lr: 0.05}}",
    "train.stop=[{when: active_units, below: 1, epochs: 2, after: 1}]",
)


@pytest.fixture(scope="module")
def ended() -> tuple[Detector, Result]:
    """Return the detector and the result of several trainings that all collapse."""
    detector, histories, events = toys.fitted(*HUGE)
    assert all(2 < len(history) < 12 for history in histories.values())
    return detector, assess(detector, histories, held(detector.parts, events))


def test_every_category_and_replica_is_stopped_and_told_of_alone(ended: tuple[Detector, Result]) -> None:
    detector, result = ended
    names = {f"{label}-{replica}" for label in detector.categories for replica in range(2)}
    assert len(names) > 2
    assert result.endings.keys() == names
    for (label, replica), records in result.histories.items():
        text = result.endings[f"{label}-{replica}"]
        assert text.startswith(f"stopped after epoch {len(records)} by train.stop, as active_units is 0, below 1 for 2")
        assert "the latent code has collapsed" in text


def test_a_detector_remembers_how_its_trainings_ended(ended: tuple[Detector, Result], tmp_path: Path) -> None:
    save(ended[0], tmp_path / "detector")
    assert load(tmp_path / "detector").provenance["training"] == ended[1].endings
    plain = show.anything(str(tmp_path / "detector"), None)
    assert "the latent code has collapsed" in " ".join(show.detector_text(plain).split())


def test_the_report_says_how_trainings_ended(
    ended: tuple[Detector, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "figures", lambda _: {})
    page = report.write(ended[1], tmp_path).read_text(encoding="utf-8")
    for name, text in ended[1].endings.items():
        assert f'<p class="warn">Training {name}: {text}.</p>' in page


def test_diagnostics_are_drawn_below_the_losses_with_their_limits(ended: tuple[Detector, Result]) -> None:
    detector, result = ended
    with canvas.style():
        figure = loss_figure(result, detector.categories[0])
    top, units, spread = figure.axes
    assert [axes.get_ylabel() for axes in (top, units, spread)] == ["loss per event", "active\nunits", "latent\nspread"]
    curves = [list(line.get_ydata()) for line in units.get_lines()]
    for replica in range(2):
        records = result.histories[detector.categories[0], replica]
        assert [record.diagnostics["active_units"] for record in records] in curves
    assert [1.0, 1.0] in curves


def test_the_terminal_and_the_tracking_store_say_how_trainings_ended(
    ended: tuple[Detector, Result], tmp_path: Path
) -> None:
    result = ended[1]
    printed = show.outcome_text(show.outcome(Outcome("id", "folder", result)))
    assert all(f"training {name}: {text}" in printed for name, text in result.endings.items())
    store = track.open_store(str(tmp_path / "mlruns"))
    record = track.start(store, "toys", recipe="name: toys", params={}, tags={})
    first, records = next(iter(result.histories.items()))
    with Series(record) as series:
        for epoch in records:
            series.add(epoch)
    track.finish(record, facts.ending(result), tmp_path / "nothing")
    found = store.client.get_metric_history(record.run_id, "diagnostics/active_units")
    assert [metric.value for metric in found] == [epoch.diagnostics["active_units"] for epoch in records]
    told = show_runs.run_text(archive.fetch(store, record.run_id))
    assert f"{first[0]}-{first[1]}: stopped after epoch {len(records)}" in " ".join(told.split())


def test_a_run_that_ended_well_says_nothing() -> None:
    detector, histories, events = toys.fitted()
    result = assess(detector, histories, held(detector.parts, events))
    assert result.endings == facts.endings(result) == {}
    assert "training" not in detector.provenance
