"""A trial says what it was judged by, and fails alone where that is not known or not what others were judged by."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_search import searched

from hepanom.errors import HepanomError

TIGHT = "thresholds=[{rule: background_efficiency, value: 1.0e-5, name: tight}]"
SCARCE = "split={train: 0.5, valid: 0.002, calibrate: 0.2, test: 0.298}"  # without a signal event in valid


@pytest.mark.parametrize(
    ("changes", "lacking"),
    [
        ([SCARCE], "valid/auc"),
        ([SCARCE, "search.pruner=median"], "valid/auc"),
        ([TIGHT, "search.constraints={valid/tight/precision: {at_least: 0.1}}"], "valid/tight/precision"),
    ],
)
def test_a_number_that_is_not_known_fails_a_trial_with_that_reason(
    tmp_path: Path, changes: list[str], lacking: str
) -> None:
    with pytest.raises(HepanomError, match=f"4 x the valid share does not give {lacking}"):
        searched(tmp_path, *changes)


def test_trials_on_other_events_do_not_compare(tmp_path: Path) -> None:
    result = searched(
        tmp_path, "search.space={data.seed: {choice: [1, 2]}}", "search.sampler=grid", "search.trials=2"
    ).result
    assert [trial.state for trial in result.trials] == ["complete", "failed"]
    assert "other events" in result.trials[1].reason


def test_a_space_may_touch_what_is_read_of_the_same_events(tmp_path: Path) -> None:
    space = "search.space={data.chunk: {choice: [500, 1000]}}"
    result = searched(tmp_path, space, "search.sampler=grid", "search.trials=2", "search.retrain=0").result
    assert [trial.state for trial in result.trials] == ["complete", "complete"]


def test_a_training_that_came_to_its_last_epoch_is_not_pruned(tmp_path: Path) -> None:
    result = searched(tmp_path, "search.pruner=hyperband", "train.epochs=1", "search.retrain=0").result
    assert [trial.state for trial in result.trials] == ["complete"] * 4
    assert all(trial.values == (trial.steps[1],) for trial in result.trials)
