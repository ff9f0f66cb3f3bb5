"""The estimator keeps scikit-learn's promises, and is a detector like any other."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import hepanom
from hepanom import AnomalyDetector
from hepanom.errors import RecipeError
from hepanom.estimator import _split

WAIVED = {
    "check_sample_weight_equivalence_on_dense_data": "sample_weight is not equivalent to removing/repeating samples."
}
QUICK = {"steps": 20, "device": "cpu"}


def blobs(events: int, strange: int = 0) -> np.ndarray:
    """Return correlated normal events, the last of which are strange."""
    generator = np.random.default_rng(4)
    X = generator.normal(size=(events, 4)) @ generator.normal(size=(4, 4))
    X[events - strange :] += 8.0 * generator.choice([-1, 1], size=(strange, 4))
    return X


@parametrize_with_checks(
    [AnomalyDetector(**QUICK)],  # few steps: the checks are of the interface
    expected_failed_checks=lambda _: WAIVED,
)
def test_scikit_learns_own_checks_pass(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def test_the_threshold_keeps_its_efficiency_on_background_that_was_not_learnt_from() -> None:
    X = blobs(6000)
    found = AnomalyDetector(steps=300, background_efficiency=0.05, device="cpu").fit(X[:3000])
    (cut,) = found.detector_.thresholds
    flagged = (found.predict(X[3000:]) == -1).mean()
    assert cut.background_efficiency == pytest.approx(0.05, abs=1 / 600)
    assert abs(flagged - 0.05) < 5 * np.sqrt(0.05 * 0.95 * (1 / 600 + 1 / 3000))
    assert found.offset_ == -cut.cut


def test_the_last_bits_of_a_score_do_not_depend_on_other_events() -> None:
    X = blobs(300)
    found = AnomalyDetector(steps=20, device="cpu").fit(X)
    scores, order = found.score_samples(X), np.random.default_rng(3).permutation(300)
    np.testing.assert_array_equal(found.score_samples(X[order]), scores[order])
    np.testing.assert_array_equal(found.score_samples(X[:37]), scores[:37])


def test_strange_events_are_found_and_less_normal() -> None:
    X, y = blobs(2000, 100), np.arange(2000) < 1900
    found = AnomalyDetector(steps=500, device="cpu").fit(X[y])
    assert roc_auc_score(y, found.decision_function(X)) > 0.95
    assert found.score_samples(X)[y].mean() > found.score_samples(X)[~y].mean()


def test_weights_move_the_threshold() -> None:
    X = blobs(1500)
    weight = np.where(np.abs(X).max(axis=1) > np.median(np.abs(X).max(axis=1)), 10.0, 0.1)
    plain, weighted = (AnomalyDetector(**QUICK).fit(X, sample_weight=each) for each in (None, weight))
    far = np.linalg.norm(X, axis=1) > np.quantile(np.linalg.norm(X, axis=1), 0.8)
    assert (weighted.predict(X)[far] == -1).mean() < (plain.predict(X)[far] == -1).mean()


def test_a_copy_scores_alike_and_a_second_fit_too() -> None:
    X = blobs(300)
    found = AnomalyDetector(**QUICK).fit(X)
    again = copy.deepcopy(found)
    np.testing.assert_array_equal(again.score_samples(X), found.score_samples(X))
    np.testing.assert_allclose(clone(found).fit(X).score_samples(X), again.score_samples(X))


def test_who_trains_does_not_depend_on_the_order_of_events() -> None:
    X = blobs(300)
    found, reverse = (
        {share: set(events.event_id.tolist()) for share, events in _split(hepanom.from_numpy(each).events, 5).items()}
        for each in (X, X[::-1])
    )
    assert found == reverse
    assert {share: len(ids) for share, ids in found.items()} == {"train": 210, "valid": 30, "calibrate": 60}
    assert len(set.union(*found.values())) == 300


def test_parts_are_those_of_a_recipe_and_mistakes_are_told_as_there() -> None:
    X = blobs(300)
    X[::7, 1] = np.nan
    found = AnomalyDetector(
        {"use": "isolation_forest", "trees": 10},
        transforms=[{"use": "missing", "fill": "median"}, "standardize"],
        scorer="outlyingness",
        **QUICK,
    ).fit(X)
    assert set(found.predict(X)) == {-1, 1}
    with pytest.raises(RecipeError, match=r"AnomalyDetector: model\.use: there is no model 'autoencodr'; did you mean"):
        AnomalyDetector("autoencodr").fit(blobs(50))
    with pytest.raises(RecipeError, match="outlyingness"):
        AnomalyDetector(scorer="outlyingness").fit(blobs(50))
    with pytest.raises(ValueError, match="contains NaN"):
        AnomalyDetector().fit(X)


def test_it_works_in_a_pipeline_and_in_a_grid_search() -> None:
    X, y = blobs(400, 40), np.arange(400) < 360
    pipeline = make_pipeline(StandardScaler(), AnomalyDetector(transforms=(), **QUICK))
    grid = {"anomalydetector__model": ["autoencoder", {"use": "autoencoder", "hidden": [8]}]}
    search = GridSearchCV(
        pipeline, grid, scoring="roc_auc", cv=KFold(2, shuffle=True, random_state=1), error_score="raise"
    ).fit(X, y)
    assert search.best_score_ > 0.5
    assert search.predict(X).shape == (400,)


def test_its_detector_is_saved_loaded_and_scores_files(tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame(blobs(300), columns=["a", "b", "c", "d"])
    found = AnomalyDetector(train={"replicas": 2}, **QUICK).fit(frame)
    assert list(found.feature_names_in_) == ["a", "b", "c", "d"]
    detector = hepanom.load(found.detector_.save(tmp_path / "detector"))
    frame.to_csv(tmp_path / "events.csv", index=False)
    scores = detector.score(tmp_path / "events.csv")
    np.testing.assert_allclose(scores["reconstruction"], -found.score_samples(frame), rtol=1e-5)
    flag = "reconstruction/background_efficiency_0.1"
    np.testing.assert_array_equal(scores.flags[flag], found.predict(frame) == -1)
