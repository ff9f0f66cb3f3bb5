"""The scores of adversarial models: against their formulas, different for different events, and high far away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from adversaries import MODELS, batch, outliers, table, trained
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from hepanom.contracts import Network, Outputs, Scorer
from hepanom_plugins.scorers.critic import CriticScore, weighted_median
from hepanom_plugins.scorers.query import Query

CRITICS = [("gan", "half"), ("gan", "median"), ("wgan_gp", "median"), ("bigan", "half")]
SCORERS: list[tuple[str, Scorer]] = [
    *((name, CriticScore(distance)) for name, distance in CRITICS),
    *((name, Query()) for name in ("anogan", "bigan")),
]


@pytest.mark.parametrize(("name", "scorer"), SCORERS, ids=str)
def test_scores_differ_between_events_and_are_high_far_away(name: str, scorer: Scorer) -> None:
    network, _ = trained(name)
    events, far = batch(800, 5), outliers(200)
    with torch.inference_mode():
        state = scorer.fit([(events, network(events))])
        inside, outside = (scorer.score(each, network(each), state, network) for each in (events, far))
    assert inside.unique().numel() > 700
    truth = np.repeat([0, 1], [800, 200])
    assert roc_auc_score(truth, torch.cat([inside, outside])) > 0.8
    assert float(outside.median()) > float(inside.quantile(0.9))


def scored(distance: str, values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the scores of events of which only the critic's value and the weight count."""
    scorer, outputs = CriticScore(distance), {"critic": values}
    events = replace(table(torch.zeros(len(values), 1)), weight=weight)
    return scorer.score(events, outputs, scorer.fit([(events, outputs)]), Network())


def test_half_is_the_distance_of_the_probability_from_one_half() -> None:
    logits = torch.linspace(-9, 9, 40)
    expected = 2 * (logits.double().sigmoid() - 0.5).abs()
    torch.testing.assert_close(scored("half", logits, torch.ones(40)), expected)
    certain = scored("half", torch.tensor([-20.0, -25.0]), torch.ones(2))
    assert certain[0] < certain[1] < 1, "single precision would call both 1"


def test_median_and_low_are_taken_from_the_weighted_median_of_the_background() -> None:
    values, weight = torch.tensor([5.0, -1.0, 2.0]), torch.tensor([1.0, 1.0, 3.0])
    assert scored("median", values, weight).tolist() == [3, 3, 0]
    assert scored("low", values, weight).tolist() == [-3, 3, 0]


@given(pairs=st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 5)), min_size=1))
def test_weighted_median_is_that_of_events_that_stand_there_as_often_as_they_weigh(
    pairs: list[tuple[int, int]],
) -> None:
    values, counts = np.array(pairs).T
    repeated = np.repeat(values, counts)
    expected = np.quantile(repeated, 0.5, method="inverted_cdf")
    assert weighted_median(values.astype(float), counts.astype(float)) == expected


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_query_is_the_residual_plus_the_feature_matching(share: float) -> None:
    network, _ = trained("bigan")
    events = batch(50)
    with torch.no_grad():
        found: Outputs = network(events)
        score = Query(share).score(events, found, {}, network)
        parts = Query(share).explain(events, found, {}, network)
    residual = (events.inputs["features"] - found["reconstruction"]).abs()
    torch.testing.assert_close(score, (1 - share) * residual.sum(1) + share * found["feature_distance"])
    torch.testing.assert_close(parts, (1 - share) * residual)


def test_models_whose_scores_are_tried_are_all_there_are() -> None:
    assert {name for name, _ in SCORERS} == set(MODELS)
