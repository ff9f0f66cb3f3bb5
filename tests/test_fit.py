"""Fitting: who trains, what stays out, where the thresholds come from, and what cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toys import RECIPE, arrays, build, fitted, same, shares

from hepanom.contracts import Epoch
from hepanom.detector import MEAN_RANK, Detector, decision, score, visits
from hepanom.errors import InputError
from hepanom.events import Events
from hepanom.fit import fit
from hepanom.shares import held
from hepanom.stream import with_category
from hepanom.thresholds import cut

THREE = "train.replicas=3"
PER_JETS = "train.per=n_jets"


def background(events: Events) -> Events:
    return events.mask(events.label == 0)


def in_category(detector: Detector, events: Events) -> Events:
    return with_category(events, detector.parts.recipe.train.per, detector.categories, detector.parts.schema)


def reweighted(change: Callable[[np.ndarray], np.ndarray], *overrides: str) -> Detector:
    """Fit with every event's weight changed."""
    parts = build(*overrides)
    changed = {name: replace(events, weight=change(events.weight)) for name, events in shares(parts).items()}
    return fit(held(parts, changed), {})[0]


def test_replicas_differ_in_their_seed_alone_and_the_first_is_the_same_however_many_there_are() -> None:
    one, three = fitted()[0], fitted(THREE)[0]
    found = arrays(three)
    for name, value in arrays(one).items():  # the three train at once, which rounds in another order
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    for name in (name for name in arrays(one) if name.endswith("weight")):
        others = [found[name.replace("/0/", f"/{replica}/", 1)] for replica in range(3)]
        assert not np.array_equal(others[0], others[1])
        assert not np.array_equal(others[1], others[2])


def test_the_test_share_is_not_looked_at() -> None:
    detector, _, events = fitted()
    without = {name: events[name] for name in ("train", "valid", "calibrate")}
    assert same(arrays(fit(held(detector.parts, without), {})[0]), arrays(detector))


def test_anomalies_in_the_training_share_change_nothing() -> None:
    detector, _, events = fitted()
    pure = {name: background(share) for name, share in events.items()}
    again = fit(held(detector.parts, pure), {})[0]
    assert same(arrays(again), arrays(detector))
    assert again.thresholds == detector.thresholds


def test_training_on_everything_takes_the_anomalies_too() -> None:
    everything, _, events = fitted("train.on=all")
    known, _, _ = fitted()
    for detector, share in ((everything, events["train"]), (known, background(events["train"]))):
        mass = share.inputs["features"][:, 0].astype(float)
        assert detector.models["all"].states[1]["mean"][0] == pytest.approx(np.average(mass, weights=share.weight))


@pytest.mark.parametrize("on", ["all", "background"])
def test_scorers_learn_from_the_events_that_train(on: str) -> None:
    detector, _, events = fitted(f"train.on={on}", "scores=[{use: mahalanobis}]")
    share = events["train"] if on == "all" else background(events["train"])
    codes = np.concatenate([visit.outputs["latent_mean"].numpy() for visit in visits(detector, share)])
    mean = detector.models["all"].members[0].scorers["mahalanobis"]["mean"]
    assert mean == pytest.approx(np.average(codes, axis=0, weights=share.weight), rel=1e-4)


def test_thresholds_count_background_alone_where_everything_trains() -> None:
    detector, _, events = fitted("train.on=all")
    held_out = background(events["calibrate"])
    scores = score(detector, held_out)
    for found in detector.thresholds:
        weight = held_out.weight if found.rule == "background_efficiency" else np.ones(len(held_out))
        assert found.cut == cut(found.rule, found.setting, scores[found.scorer][0], weight)


def test_every_category_learns_from_its_own_background() -> None:
    detector, histories, events = fitted(PER_JETS)
    assert detector.categories == ("2", "3", "4")
    assert set(histories) == {("2", 0), ("3", 0), ("4", 0)}
    train = in_category(detector, background(events["train"]))
    for index, model in enumerate(detector.models.values()):
        mass = train.inputs["features"][train.category == index, 0].astype(float)
        mean = np.average(mass, weights=train.weight[train.category == index])
        assert model.states[1]["mean"][0] == pytest.approx(mean)


@pytest.mark.parametrize("overrides", [(), (PER_JETS,), (THREE,), ("split.calibrate=0", "split.test=0.5")])
@pytest.mark.parametrize("on", ["calibrate", "train"])
def test_thresholds_are_cuts_on_the_background_of_their_share_and_category(overrides: tuple[str, ...], on: str) -> None:
    detector, _, events = fitted(*overrides, *(f"thresholds.{index}.on={on}" for index in range(2)))
    share = "valid" if on == "calibrate" and "split.calibrate=0" in overrides else on
    held_out = in_category(detector, background(events[share]))
    scores = score(detector, held_out)
    replicas = [0] if detector.replicas == 1 else [0, 1, 2, MEAN_RANK]
    assert len(detector.thresholds) == 2 * 2 * len(detector.categories) * len(replicas)
    for found in detector.thresholds:
        by_replica = scores if found.replica >= 0 else decision(detector, scores, held_out.category)
        values = by_replica[found.scorer][found.replica] if found.replica >= 0 else by_replica[found.scorer]
        here = held_out.category == detector.categories.index(found.category)
        weight = held_out.weight if found.rule == "background_efficiency" else np.ones(len(held_out))
        assert found.cut == cut(found.rule, found.setting, values[here], weight[here])
        share_above = weight[here][values[here] > found.cut].sum() / weight[here].sum()
        assert found.background_efficiency == pytest.approx(share_above)


def test_events_without_labels_are_all_background(tmp_path: Path) -> None:
    events = shares(build("data.events=600"))
    table = np.concatenate([share.inputs["features"][:, :4] for share in events.values()])
    np.savetxt(tmp_path / "plain.csv", table, delimiter=",", header="a,b,c,d", comments="")
    text = RECIPE.replace("{use: toy, events: 3000}", f"{{use: csv, path: '{tmp_path / 'plain.csv'}'}}")
    parts = build(text=text.replace("background: [background]\n", ""))
    split = shares(parts)
    detector, _ = fit(held(parts, split), {})
    assert sum(map(len, split.values())) == len(table)
    mean = np.float64(split["train"].inputs["features"]).mean(0)
    assert detector.models["all"].states[1]["mean"] == pytest.approx(mean)
    assert {found.scorer for found in detector.thresholds} == {"reconstruction", "latent_mu2"}


def test_negative_weights_are_an_error_with_both_remedies() -> None:
    with pytest.raises(InputError, match=r"\d+ of \d+ weights in the train share are negative.*absolute.*false"):
        reweighted(lambda weight: np.where(np.arange(len(weight)) % 9, weight, -weight))


def test_absolute_takes_the_magnitude_of_negative_weights() -> None:
    mixed = reweighted(lambda weight: np.where(np.arange(len(weight)) % 9, weight, -weight), "train.weighted=absolute")
    assert same(arrays(mixed), arrays(fitted()[0]))
    assert mixed.thresholds == fitted()[0].thresholds


def test_unweighted_training_and_rules_do_not_read_the_weights() -> None:
    unweighted = ("train.weighted=false", "thresholds.0.weighted=false")
    changed = reweighted(lambda weight: -np.exp(weight), *unweighted)
    assert same(arrays(changed), arrays(fitted(*unweighted)[0]))
    assert changed.thresholds == fitted(*unweighted)[0].thresholds
    assert not same(arrays(changed), arrays(fitted()[0]))


def test_a_weighted_rule_on_negative_weights_is_an_error_before_training() -> None:
    with pytest.raises(InputError, match=r"calibrate share are negative.*threshold background_efficiency_0\.1"):
        reweighted(np.negative, "train.weighted=false")


def test_weights_of_zero_are_an_error_that_names_the_category() -> None:
    with pytest.raises(InputError, match=r"category 2: all weights in the train share are zero"):
        reweighted(np.zeros_like, PER_JETS)


@pytest.mark.parametrize("share", ["train", "valid", "calibrate"])
def test_missing_background_is_an_error_that_names_category_and_share(share: str) -> None:
    parts = build(PER_JETS)
    events = shares(parts)
    jets = events[share].inputs["features"][:, 6]
    for left in (0, 1):
        rows = (jets == 4) & (events[share].label == 0)
        keep = ~rows | (np.cumsum(rows) <= left)
        message = rf"where n_jets is 4, {left or 'no'} background \(background\) is left in the {share} share"
        with pytest.raises(InputError, match=message):
            fit(held(parts, {**events, share: events[share].mask(keep)}), {})
    if share == "calibrate":
        with pytest.raises(InputError, match=message):
            fit(held(build(PER_JETS, "train.on=all"), {**events, share: events[share].mask(keep)}), {})
    empty = events[share].mask(events[share].label == 1)
    with pytest.raises(InputError, match=rf"^no background \(background\) is left in the {share} share"):
        fit(held(parts, {**events, share: empty}), {})


def test_an_interrupted_fit_goes_on_where_it_stopped(tmp_path: Path) -> None:
    chosen = (PER_JETS, "train.replicas=2", "model={use: vae, hidden: [6], dropout: 0.1}")
    detector, histories, events = fitted(*chosen)

    def stop(category: str, replica: int, record: Epoch) -> None:
        if (category, replica, record.epoch) == ("3", 1, 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(held(detector.parts, events), {}, stop, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"2-stack.safetensors", "3-stack.safetensors"}
    heard: list[tuple[str, int, int]] = []
    resumed, again = fit(
        held(detector.parts, events), {}, lambda *who: heard.append((who[0], who[1], who[2].epoch)), tmp_path
    )
    assert same(arrays(resumed), arrays(detector))
    assert resumed.thresholds == detector.thresholds
    assert sorted(heard) == [(label, replica, epoch) for label in "234" for replica in (0, 1) for epoch in (1, 2)]
    assert {key: [r.validation for r in records] for key, records in again.items()} == {
        key: [r.validation for r in records] for key, records in histories.items()
    }
