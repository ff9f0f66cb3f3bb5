"""The detector: scores that repeat, ranks that keep the order, flags, explanations and what was dropped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys import fitted

from hepanom.contracts import Batch
from hepanom.detector import (
    MEAN_RANK,
    Detector,
    decision,
    flags,
    rank_table,
    ranks,
    score,
    threads,
)
from hepanom.events import Events
from hepanom.insight import dropped, explain, latent
from hepanom.prepared import prepare
from hepanom.stream import with_category

PER_JETS = ("train.per=n_jets",)
REPLICAS = ("train.replicas=2", "train.per=n_jets")
VAE = ("model={use: vae, hidden: [6], dropout: 0.3, batch_norm: true}", "scores=[{use: elbo, samples: 4}, {use: kl}]")
values = st.floats(-1e6, 1e6, width=32)
backgrounds = st.lists(st.tuples(values, st.floats(0.01, 10)), min_size=1, max_size=40)


def ready(*overrides: str) -> tuple[Detector, Events]:
    """Return a detector and the test events with their category."""
    detector, _, events = fitted(*overrides)
    return detector, with_category(
        events["test"], detector.parts.recipe.train.per, detector.categories, detector.parts.schema
    )


@pytest.mark.parametrize("overrides", [(), REPLICAS, VAE])
def test_scoring_twice_gives_the_same_bits(overrides: tuple[str, ...]) -> None:
    detector, events = ready(*overrides)
    first = score(detector, events)
    torch.rand(3)
    second = score(detector, events)
    assert first.keys() == second.keys() == detector.parts.scorers.keys()
    for label, found in first.items():
        assert found.shape == (detector.replicas, len(events))
        assert np.isfinite(found).all()
        assert np.array_equal(found, second[label])


@pytest.mark.parametrize("overrides", [REPLICAS, VAE])
def test_the_score_of_an_event_does_not_depend_on_the_others(overrides: tuple[str, ...]) -> None:
    detector, events = ready(*overrides)
    keep = np.random.default_rng(1).random(len(events)) < 0.1
    few, all_of_them = score(detector, events.mask(keep)), score(detector, events)
    for label, found in all_of_them.items():
        assert few[label] == pytest.approx(found[:, keep], rel=1e-4, abs=1e-5)


def test_scores_stay_with_their_events_from_batch_to_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    detector, events = ready(*REPLICAS)
    whole, codes = score(detector, events), latent(detector, events)
    explained = explain(detector, events, "reconstruction")
    monkeypatch.setattr("hepanom.detector.SCORE_BATCH", 64)
    for label, found in score(detector, events).items():
        assert found == pytest.approx(whole[label], rel=1e-4, abs=1e-5)
    for category, found in latent(detector, events).items():
        assert found == pytest.approx(codes[category], rel=1e-4, abs=1e-5)
    for few, many in zip(explain(detector, events, "reconstruction"), explained, strict=True):
        assert few == pytest.approx(many, rel=1e-3, abs=1e-4)


def test_every_event_meets_the_model_of_its_category() -> None:
    detector, events = ready(*REPLICAS)
    found = score(detector, events)["latent_mu2"]
    for index, model in enumerate(detector.models.values()):
        here = events.category == index
        features = prepare(detector.parts, model.states, events.mask(here)).inputs["features"]
        batch = Batch(
            {"features": torch.from_numpy(features)}, torch.ones(len(features)), torch.zeros(len(features)).int()
        )
        for replica, member in enumerate(model.members):
            with torch.no_grad():
                expected = member.network(batch)["latent_mean"].square().sum(1).numpy()
            assert found[replica, here] == pytest.approx(expected, rel=1e-4, abs=1e-6)


@given(background=backgrounds)
def test_the_rank_of_a_background_score_is_the_weight_at_or_below_it(background: list[tuple[float, float]]) -> None:
    scores, weight = np.array(background).T
    table = rank_table(scores, weight)
    expected = np.array([weight[scores <= value].sum() for value in scores]) / weight.sum()
    assert ranks(table, scores) == pytest.approx(expected)


@given(background=backgrounds, found=st.lists(values, min_size=2, max_size=20))
def test_ranks_keep_the_order_of_scores(background: list[tuple[float, float]], found: list[float]) -> None:
    scores, weight = np.array(background).T
    ordered = ranks(rank_table(scores, weight), np.sort(found))
    assert (np.diff(ordered) >= -1e-12).all()


@given(background=backgrounds.filter(lambda rows: len({score for score, _ in rows}) > 1), step=st.floats(0.01, 10))
def test_ranks_go_on_beyond_the_last_background_score(background: list[tuple[float, float]], step: float) -> None:
    scores, weight = np.array(background).T
    span = scores.max() - scores.min()
    beyond = ranks(rank_table(scores, weight), scores.max() + step * span * np.arange(5))
    assert beyond[0] == pytest.approx(1)
    assert (np.diff(beyond) > 0).all()
    assert beyond[-1] < 1 + 1 / len(np.unique(scores))


def test_one_replica_decides_by_its_score_and_several_by_their_mean_rank() -> None:
    detector, events = ready()
    scores = score(detector, events)
    assert detector.decides == 0
    assert all(np.array_equal(v, scores[label][0]) for label, v in decision(detector, scores, events.category).items())
    detector, events = ready(*REPLICAS)
    scores = score(detector, events)
    assert detector.decides == MEAN_RANK
    found = decision(detector, scores, events.category)["reconstruction"]
    for index, model in enumerate(detector.models.values()):
        here = events.category == index
        by_replica = [
            ranks(member.ranks["reconstruction"], scores["reconstruction"][replica, here])
            for replica, member in enumerate(model.members)
        ]
        assert found[here] == pytest.approx(np.mean(by_replica, axis=0))


@pytest.mark.parametrize("overrides", [PER_JETS, REPLICAS])
def test_an_event_is_flagged_above_the_cut_of_its_category(overrides: tuple[str, ...]) -> None:
    detector, events = ready(*overrides)
    found = decision(detector, score(detector, events), events.category)
    rule = "background_efficiency_0.1"
    flagged = flags(detector, found["reconstruction"], events.category, {}, "reconstruction", rule, detector.decides)
    cuts = {
        t.category: t.cut
        for t in detector.thresholds
        if t.replica == detector.decides and t.name == rule and t.scorer == "reconstruction"
    }
    labels = [detector.categories[index] for index in events.category]
    assert flagged.tolist() == [v > cuts[label] for v, label in zip(found["reconstruction"], labels, strict=True)]
    background = flagged[events.label == 0]
    assert np.average(background, weights=events.weight[events.label == 0]) == pytest.approx(0.1, abs=0.05)


def test_an_event_at_the_cut_is_not_flagged() -> None:
    detector, events = ready()
    one = events.mask(np.arange(len(events)) < 3)
    at = detector.cuts("reconstruction", "mean", 0)["all"].cut
    near = np.array([np.nextafter(at, 0), at, np.nextafter(at, np.inf)])
    assert flags(detector, near, one.category, {}, "reconstruction", "mean", 0).tolist() == [False, False, True]


@pytest.mark.parametrize("overrides", [(), REPLICAS])
def test_explanations_are_shares_of_the_score_by_column(overrides: tuple[str, ...]) -> None:
    detector, events = ready(*overrides)
    few = events.mask(np.arange(len(events)) < 50)
    for parts, category in zip(explain(detector, few, "reconstruction"), few.category, strict=True):
        model = detector.models[detector.categories[category]]
        assert tuple(parts) == model.schema.inputs["features"].columns
        assert sum(parts.values()) == pytest.approx(1, rel=1e-5)
        assert min(parts.values()) >= 0
    assert explain(detector, few, "latent_mu2") == [{}] * 50


def test_an_event_that_is_given_back_exactly_has_shares_of_zero() -> None:
    detector, events = ready()
    model = detector.models["all"]
    network = detector.parts.model.build(model.schema).eval()
    network.load_state_dict({name: torch.zeros_like(value) for name, value in network.state_dict().items()})
    filled, scaled = model.states
    middle = scaled["mean"].astype(np.float32)
    perfect = replace(
        model,
        states=(filled, {**scaled, "mean": middle.astype(np.float64)}),
        members=(replace(model.members[0], network=network),),
    )
    features = np.zeros((1, len(filled["keep"])), np.float32)
    features[0, filled["keep"]] = middle
    one = replace(events.mask(np.arange(len(events)) < 1), inputs={"features": features})
    (parts,) = explain(replace(detector, models={"all": perfect}), one, "reconstruction")
    assert set(parts.values()) == {0.0}


def test_latent_codes_are_those_of_each_replica() -> None:
    detector, events = ready(*REPLICAS)
    codes = latent(detector, events)
    expected = score(detector, events)["latent_mu2"]
    for category, found in codes.items():
        wanted = expected[:, events.category == category]
        assert np.square(found).sum(2) == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def test_dropped_names_transform_and_column_by_category() -> None:
    found = dropped(ready(*PER_JETS)[0])
    assert found["2"] == {"0-missing": ["n_jets", "pt_j3"]}
    assert found["3"] == found["4"] == {"0-missing": ["n_jets"]}


def test_threads_are_given_back_even_after_an_error() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        with threads(before + 1):
            assert torch.get_num_threads() == before + 1
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.get_num_threads() == before
