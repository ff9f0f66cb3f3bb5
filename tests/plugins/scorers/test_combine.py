from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hepanom import document, plugins, storage
from hepanom.contracts import Batch, Network
from hepanom.errors import RecipeError
from hepanom.run import run
from hepanom_plugins.scorers.combine import KNOTS, Combine

RECIPE = """
name: combined
data: {use: toy, events: 4000}
background: [background]
transforms: [{use: missing}, {use: standardize}]
model: {use: vae, hidden: [8], latent: 2}
train: {epochs: 1, device: cpu}
scores: [{use: reconstruction}, {use: kl}, {use: combine, scores: [reconstruction, kl], how: HOW}]
thresholds: [{rule: background_efficiency, value: 0.05}]
"""


def events(weight: list[float]) -> Batch:
    return Batch({}, torch.tensor(weight), torch.zeros(len(weight), dtype=torch.int64))


def scores(a: Sequence[float], b: Sequence[float]) -> dict[str, torch.Tensor]:
    return {"score/a": torch.tensor(a, dtype=torch.float64), "score/b": torch.tensor(b, dtype=torch.float64)}


@pytest.mark.parametrize(
    ("how", "expected"),
    [("and", 0.3), ("or", 1 - 0.4 * 0.7), ("mean", 0.45), ("product", 0.18), ("maximum", 0.6)],
)
def test_ranks_of_the_weighted_background_are_combined_as_the_docstring_says(how: str, expected: float) -> None:
    scorer = Combine(("a", "b"), how)  # type: ignore[arg-type]
    background = [(events([1.0, 5.0, 4.0]), scores([3.0, 2.0, 1.0], [10.0, 20.0, 30.0]))]
    state = scorer.fit(background)
    # of a: 0.4 of the weight is at 1, 0.9 up to 2; of b: 0.1 at 10, 0.6 up to 20; three events reach to 3/4
    query = scores([1.0 + (0.6 / 0.75 - 0.4) / 0.5], [10.0 + (0.3 / 0.75 - 0.1) / 0.5 * 10])
    found = scorer.score(events([1.0]), query, state, Network())
    assert found.item() == pytest.approx(expected, rel=1e-6)


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=50, unique=True))
def test_the_order_of_one_score_is_kept_within_and_beyond_the_background(values: list[int]) -> None:
    scorer = Combine(("a", "b"), "mean")
    n = len(values)
    state = scorer.fit([(events([1.0] * n), scores(values, [0.0] * n))])
    span = max(values) - min(values) or 1
    query = sorted([*values, max(values) + span, max(values) + 2 * span])
    found = scorer.score(events([1.0] * len(query)), scores(query, [0.0] * len(query)), state, Network())
    assert (found.diff() > 0).all()
    assert found.min() >= 0
    assert found.max() < 1


def test_many_background_scores_are_kept_as_few_places_within_a_stated_error() -> None:
    generator = np.random.default_rng(1)
    values = torch.from_numpy(generator.exponential(size=100_000))
    scorer = Combine(("a", "b"), "maximum")
    batch = Batch({}, torch.ones(len(values)), torch.zeros(len(values), dtype=torch.int64))
    state = scorer.fit([(batch, {"score/a": values, "score/b": torch.zeros(len(values))})])
    assert len(state["a/knots"]) == KNOTS
    found = scorer.score(batch, {"score/a": values, "score/b": values * 0 - 1}, state, Network())
    exact = torch.argsort(torch.argsort(values)) / len(values)
    assert (found - exact).abs().max() < 1e-3
    top = values > values.sort().values[-2000]
    assert (found[top] - exact[top]).abs().max() < 2e-5


@pytest.mark.parametrize("how", ["and", "maximum"])
def test_a_recipe_combines_scores_and_the_detector_brings_them_back(
    how: str, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hepanom.report.write", lambda result, folder: None)
    (tmp_path / "combined.yaml").write_text(RECIPE.replace("HOW", how))
    outcome = run(document.read(tmp_path / "combined.yaml"), state=state)
    assert outcome is not None
    assert "combine/auc" in outcome.result.numbers
    detector = storage.load(Path(outcome.artifacts) / "detector")
    assert {threshold.scorer for threshold in detector.thresholds} == {"reconstruction", "kl", "combine"}
    found = outcome.result.test.scores
    train = outcome.result.train
    below = [train.scores[name][None] <= found[name][:300, None] for name in ("reconstruction", "kl")]
    ranks = np.stack([each @ train.weight / train.weight.sum() for each in below])
    by_hand = ranks.min(0) if how == "and" else ranks.max(0)
    assert np.abs(found["combine"][:300] - by_hand).max() < 0.12  # the ranks are those of some 380 valid events
    assert np.corrcoef(found["combine"][:300], by_hand)[0, 1] > 0.99


def test_a_score_that_is_not_there_before_it_is_named(tmp_path: Path) -> None:
    text = RECIPE.replace("HOW", "mean").replace("[reconstruction, kl]", "[reconstruction, elbow]")
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RecipeError, match="there is no score 'elbow' before it; known are kl, reconstruction"):
        plugins.build(document.read(tmp_path / "r.yaml"))
