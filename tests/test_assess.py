"""The test share: what it is weighted by, what is counted, and who the strangest events are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA
from toys import build, fitted

from hepanom.assess import STRANGEST, assess, refuse_test
from hepanom.contracts import Epoch
from hepanom.detector import Detector, decision, score
from hepanom.errors import InputError
from hepanom.events import Events
from hepanom.insight import explain, latent
from hepanom.result import Result
from hepanom.shares import held
from hepanom.stream import with_category

PER_JETS = ("train.per=n_jets",)
REPLICAS = ("train.replicas=2", "train.per=n_jets")
FEW = ("evaluate={metrics: [auc, f1, ams], resamples: 10}",)


def assessed(*overrides: str) -> tuple[Result, Events, Mapping[str, np.ndarray]]:
    """Return result, test events and decision scores."""
    detector, histories, shares = fitted(*FEW, *overrides)
    return whole(detector, histories, shares, 12)


def whole(
    detector: Detector, histories: Mapping[tuple[str, int], list[Epoch]], shares: Mapping[str, Events], unused: int
) -> tuple[Result, Events, Mapping[str, np.ndarray]]:
    """Return result, test events and decision scores of events in memory."""
    seen: list[tuple[Events, Mapping[str, np.ndarray]]] = []
    result = assess(detector, histories, held(detector.parts, shares, unused), lambda *found: seen.append(found))
    ((test, decided),) = seen
    return result, test, decided


def test_decisions_are_those_of_the_detector_on_the_whole_test_share() -> None:
    detector, _, shares = fitted(*FEW, *REPLICAS)
    result, test, decided = assessed(*REPLICAS)
    expected = with_category(shares["test"], "n_jets", detector.categories, detector.parts.schema)
    assert np.array_equal(test.event_id, shares["test"].event_id)
    scores = score(detector, expected)
    for scorer, values in decision(detector, scores, expected.category).items():
        assert np.array_equal(decided[scorer], values)
        assert np.array_equal(result.test.scores[scorer], values)
        assert np.array_equal(result.scored.scores[scorer], scores[scorer])
    assert result.test.anomaly.tolist() == shares["test"].label.tolist()
    assert result.unused == 12
    assert result.counts["test"]["resonance"][0] == (shares["test"].label == 1).sum()


def test_expected_yields_scale_each_class_of_the_whole_test_share() -> None:
    expected = "evaluate.expected={background: 410999.85, resonance: 691.99}"
    result, test, _ = assessed(expected, *PER_JETS)
    anomaly = test.label == 1
    assert result.scored.weight[anomaly].sum() == pytest.approx(691.99)
    assert result.scored.weight[~anomaly].sum() == pytest.approx(410999.85)
    ratio = result.scored.weight[~anomaly] / test.weight[~anomaly]
    assert ratio == pytest.approx(np.full(len(ratio), ratio[0]))
    assert np.array_equal(result.test.weight, test.weight)
    plain = assessed(*PER_JETS)[0]
    assert np.array_equal(plain.scored.weight, test.weight)
    assert result.numbers["reconstruction/auc"].value == pytest.approx(plain.numbers["reconstruction/auc"].value)
    assert result.numbers["reconstruction/mean/ams"].value != plain.numbers["reconstruction/mean/ams"].value


@pytest.mark.parametrize("overrides", [(), PER_JETS, REPLICAS])
def test_every_threshold_counts_its_category_of_the_test_share(overrides: tuple[str, ...]) -> None:
    detector, _, _ = fitted(*FEW, *overrides)
    result, test, decided = assessed(*overrides)
    deciding = [t for t in detector.thresholds if t.replica == detector.decides]
    assert [count.threshold for count in result.thresholds] == deciding
    for count in result.thresholds:
        here = test.category == result.categories.index(count.threshold.category)
        above = here & (decided[count.threshold.scorer] > count.threshold.cut)
        weight = test.weight if count.threshold.rule == "background_efficiency" else np.ones(len(test))
        assert (count.events, count.flagged) == (here.sum(), above.sum())
        assert count.seen == pytest.approx(weight[above].sum())
        assert count.expected == pytest.approx(weight[here].sum() * count.threshold.background_efficiency)
        assert count.low <= count.expected <= count.high


@pytest.mark.parametrize("overrides", [(), REPLICAS])
def test_flags_of_each_replica_use_its_own_cut(overrides: tuple[str, ...]) -> None:
    detector, _, _ = fitted(*FEW, *overrides)
    scored = assessed(*overrides)[0].scored
    assert set(scored.flags) == {(s, r) for s in scored.scores for r in ("background_efficiency_0.1", "mean")}
    for (scorer, rule), rows in scored.flags.items():
        for replica, row in enumerate(rows):
            known = detector.cuts(scorer, rule, replica)
            cuts = np.array([known[label].cut for label in detector.categories])[scored.category]
            assert np.array_equal(row, scored.scores[scorer][replica] > cuts)


def test_the_training_sample_is_background_alone() -> None:
    detector, _, shares = fitted(*FEW)
    sample = assessed()[0].train
    background = shares["train"].mask(shares["train"].label == 0)
    assert np.array_equal(sample.weight, background.weight)
    assert np.array_equal(sample.scores["latent_mu2"], score(detector, background)["latent_mu2"][0])
    assert not sample.anomaly.any()


@pytest.mark.parametrize("overrides", [(), REPLICAS])
def test_the_strangest_events_lead_with_what_made_them_so_in_the_units_of_the_file(overrides: tuple[str, ...]) -> None:
    detector, _, _ = fitted(*FEW, *overrides)
    result, test, decided = assessed(*overrides)
    columns = detector.parts.schema.inputs["features"].columns
    for scorer, strangest in result.strangest.items():
        order = np.argsort(-decided[scorer], kind="stable")[:STRANGEST]
        assert [int(found.identity["event"]) for found in strangest] == test.beside["event"][order].tolist()
        assert [found.score for found in strangest] == decided[scorer][order].tolist()
        for found, row in zip(strangest, order, strict=True):
            assert found.truth == ("background", "resonance")[test.label[row]]
            assert found.weight == test.weight[row]
            assert found.category == result.categories[test.category[row]]
            shares = [share for *_, share in found.features]
            assert shares == sorted(shares, reverse=True)
            for column, value, unit, _ in found.features:
                assert value == pytest.approx(test.inputs["features"][row, columns.index(column)], nan_ok=True)
                assert unit == ("GeV" if column.startswith(("m_", "pt_")) else "")
    strangest = test.mask(np.arange(len(test)) == np.argmax(decided["reconstruction"]))
    (parts,) = explain(detector, strangest, "reconstruction")
    shown = {column: share for column, *_, share in result.strangest["reconstruction"][0].features}
    assert list(shown) == sorted(parts, key=lambda name: -parts[name])[:5]
    assert shown == pytest.approx({name: parts[name] for name in shown}, rel=1e-4)
    for scorer, found in result.strangest.items():
        assert {entry.explained_by for entry in found} == {"reconstruction"}, f"{scorer} has no parts of its own"


def test_scores_without_parts_leave_the_strangest_events_unexplained() -> None:
    result, _, _ = assessed("scores=[{use: latent_mu2}]")
    assert {(found.explained_by, len(found.features)) for found in result.strangest["latent_mu2"]} == {("", 0)}


@pytest.mark.parametrize(
    ("width", "axes"),
    [(1, ("latent 1", "reconstruction score")), (2, ("latent 1", "latent 2")), (4, ("component 1", "component 2"))],
)
def test_the_latent_plane_has_two_axes_whatever_the_code(width: int, axes: tuple[str, str]) -> None:
    result, test, decided = assessed(f"model.latent={width}")
    found = result.latent
    assert found is not None
    assert found.axes == axes
    assert found.codes.shape == (len(test), 2)
    assert found.anomaly.tolist() == test.label.tolist()
    if width == 1:
        assert np.array_equal(found.codes[:, 1], decided["reconstruction"])


def test_principal_components_are_those_of_each_category() -> None:
    detector, _, _ = fitted(*FEW, *PER_JETS, "model.latent=4")
    result, test, _ = assessed(*PER_JETS, "model.latent=4")
    codes = latent(detector, test)
    assert result.latent is not None
    for index in range(3):
        here = test.category == index
        expected = PCA(2).fit_transform(codes[index][0])
        assert np.abs(result.latent.codes[here]) == pytest.approx(np.abs(expected), rel=1e-3, abs=1e-5)


def test_events_of_unknown_label_have_no_numbers_but_scores_and_strangest_events() -> None:
    detector, histories, shares = fitted(*FEW)
    unknown = replace(shares["test"], label=np.full(len(shares["test"]), -1))
    result, _, decided = whole(detector, histories, {**shares, "test": unknown}, 0)
    assert result.numbers == {}
    assert set(result.test.anomaly) == {-1}
    assert np.array_equal(decided["reconstruction"], assessed()[2]["reconstruction"])
    assert {found.truth for found in result.strangest["reconstruction"]} == {"unknown"}
    assert result.thresholds == assessed()[0].thresholds


def test_a_test_share_that_could_not_be_evaluated_is_refused() -> None:
    detector, _, shares = fitted(*FEW, *PER_JETS)
    parts, test = detector.parts, shares["test"]
    refuse_test(held(parts, shares))
    with pytest.raises(InputError, match="nothing to test on"):
        refuse_test(held(parts, {**shares, "test": test.mask(np.zeros(len(test), bool))}))
    train = shares["train"]
    four = train.mask((train.inputs["features"][:, 6] != 4) | (train.label == 1))
    with pytest.raises(InputError, match="n_jets is 4 in some events; there are models for 2, 3"):
        refuse_test(held(parts, {**shares, "train": four}))
    expecting = build("evaluate.expected={resonance: 5}")
    with pytest.raises(InputError, match=r"0 test events of class 'resonance'"):
        refuse_test(held(expecting, {**shares, "test": test.mask(test.label == 0)}))


def test_entries_that_share_an_id_are_counted() -> None:
    detector, histories, shares = fitted(*FEW)
    assert not any("id of another" in what for what in assessed()[0].tally)
    test = shares["test"]
    again = {**shares, "test": Events.concat([test, test.mask(np.arange(len(test)) < 40)])}
    result, _, _ = whole(detector, histories, again, 12)
    assert [count for what, count in result.tally.items() if "id of another" in what] == [40]


def test_weights_that_count_by_their_magnitude_are_counted() -> None:
    detector, histories, shares = fitted(*FEW, "train.weighted=absolute")
    held_out = shares["calibrate"]
    signed = {**shares, "calibrate": replace(held_out, weight=-held_out.weight)}
    result, _, _ = whole(detector, histories, signed, 12)
    (count,) = (count for what, count in result.tally.items() if "whose magnitude counts" in what)
    assert count == (held_out.label == 0).sum()
    assert not any("magnitude" in what for what in whole(detector, histories, shares, 12)[0].tally)
