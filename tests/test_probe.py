from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, precision_score, recall_score

from hepanom import document, facts, plugins, report, show, tables
from hepanom.errors import RecipeError
from hepanom.probe import Probe, probe
from hepanom.recipe import LatentCodes
from hepanom.run import Outcome, run

CLASSES = ("proton", "carbon", "noise")
RECIPE = """
name: probed
data: {use: toy, events: 6000}
background: [background]
transforms: [{use: missing}, {use: standardize}]
model: {use: autoencoder, hidden: [8], latent: 3}
train: {epochs: 2, device: cpu, replicas: 2}
scores: [{use: reconstruction}]
evaluate: {latent: {labelled: 0.5}}
"""


def codes_of(label: np.ndarray, distance: float, replicas: int = 2, seed: int = 1) -> np.ndarray:
    """Return codes whose classes lie ``distance`` standard deviations apart."""
    generator = np.random.default_rng(seed)
    centres = distance * np.eye(3)[label]
    return np.stack([centres + generator.normal(size=(len(label), 3)) for _ in range(replicas)])


def test_codes_that_tell_the_classes_apart_are_classified_and_clustered_without_a_mistake() -> None:
    label = np.arange(600) % 3
    found = probe(codes_of(label, 30), label, CLASSES, LatentCodes(), 1)
    assert found.classes == CLASSES
    assert (found.trained, found.tested) == (63, 27)
    for name, number in found.numbers.items():
        assert (number.value, number.low, number.high) == pytest.approx((1, 1, 1)), name
    assert found.curve[:, -1] == pytest.approx(1)
    assert found.sizes[0] == 10
    assert found.sizes[-1] == 63


def test_codes_that_know_nothing_do_not_look_as_if_they_did() -> None:
    label = np.arange(3000) % 3
    found = probe(codes_of(label, 0), label, CLASSES, LatentCodes(labelled=1), 1)
    macro = found.numbers["f1_macro"]
    assert macro.value == pytest.approx(1 / 3, abs=0.05)
    assert macro.low < macro.value < macro.high
    assert abs(found.numbers["adjusted_rand"].value) < 0.02
    assert abs(found.numbers["mutual_information"].value) < 0.02


def test_numbers_are_those_of_scikit_learn_on_the_events_that_were_tested() -> None:
    label = np.random.default_rng(2).integers(0, 3, 900)
    label[:50] = -1
    codes = codes_of(label, 1.5)
    found = probe(codes, label, CLASSES, LatentCodes(labelled=0.8, test=0.25), 3)
    generator = np.random.default_rng(3)
    drawn = [generator.permutation(np.flatnonzero(label == index)) for index in range(3)]
    drawn = [rows[: round(0.8 * len(rows))] for rows in drawn]
    tested = np.concatenate([rows[: round(0.25 * len(rows))] for rows in drawn])
    seen = np.concatenate([rows[round(0.25 * len(rows)) :] for rows in drawn])
    assert (found.trained, found.tested) == (len(seen), len(tested))
    wanted = {"precision": precision_score, "recall": recall_score, "f1": f1_score}
    for rate, measure in wanted.items():
        by_replica = []
        for rows in codes:
            mean, std = rows[seen].mean(0), rows[seen].std(0)
            classifier = LogisticRegression().fit((rows[seen] - mean) / std, label[seen])
            guess = classifier.predict((rows[tested] - mean) / std)
            by_replica.append(measure(label[tested], guess, average=None))
        for name, values in zip(CLASSES, np.transpose(by_replica), strict=True):
            number = found.numbers[f"{rate}/{name}"]
            assert number.value == pytest.approx(values.mean(), abs=0.01)
            assert number.spread == pytest.approx(values.std(ddof=1), abs=0.01)


def test_more_labelled_events_make_a_better_classifier() -> None:
    label = np.arange(6000) % 3
    found = probe(codes_of(label, 2, replicas=4), label, CLASSES, LatentCodes(labelled=1), 5)
    assert found.curve[:, -1].mean() > found.curve[:, 0].mean() + 0.03


def test_a_rare_class_is_left_out_and_named() -> None:
    label = np.repeat([0, 1, 2], [2000, 2000, 20])
    found = probe(codes_of(label, 30), label, CLASSES, LatentCodes(), 1)
    assert (found.classes, found.left_out) == (("proton", "carbon"), ("noise",))
    assert found.numbers["f1_macro"].value == pytest.approx(1)
    assert found.numbers["adjusted_rand"].value == pytest.approx(1)


def test_some_events_are_left_to_learn_from_however_many_test() -> None:
    label = np.arange(200) % 2
    found = probe(codes_of(label, 30), label, CLASSES, LatentCodes(test=0.99), 1)
    assert (found.trained, found.tested) == (2, 28)


@pytest.mark.parametrize(
    ("label", "counts"),
    [(np.zeros(500, int), "proton 75"), (np.full(500, -1), "none"), (np.arange(30) % 2, "proton 2, carbon 2")],
)
def test_too_few_labelled_events_are_said_not_guessed_from(label: np.ndarray, counts: str) -> None:
    found = probe(codes_of(label, 1), label, CLASSES, LatentCodes(), 1)
    assert found.numbers == {}
    assert f"({counts}); 10 of each of two classes are needed" in found.problem


def test_a_latent_code_that_collapsed_is_no_error() -> None:
    label = np.arange(400) % 2
    found = probe(np.zeros((1, 400, 2)), label, CLASSES, LatentCodes(labelled=0.5), 1)
    assert found.numbers["adjusted_rand"].value == 0
    assert found.numbers["f1_macro"].value < 0.5


def hidden_class(replicas: int = 1) -> Probe:
    """Return what is known of a rare class that no classifier names: its codes are those of protons."""
    label = np.repeat([0, 1, 2], [2000, 2000, 40])
    codes = codes_of(np.where(label == 2, 0, label), 30, replicas)
    return probe(codes, label, CLASSES, LatentCodes(labelled=0.5), 1)


def test_a_class_that_is_never_named_has_no_precision_and_an_f1_of_zero() -> None:
    found = hidden_class()
    assert found.numbers["precision/noise"] is None
    assert (found.numbers["recall/noise"].value, found.numbers["f1/noise"].value) == (0, 0)
    assert found.numbers["f1_macro"].value == pytest.approx(2 / 3, abs=0.01)
    assert found.numbers["precision/proton"].value < 1, "which the hidden class is named"
    assert hidden_class(replicas=3).numbers["precision/noise"] is None


def test_every_class_is_tested_by_two_events_at_least() -> None:
    label = np.arange(200) % 2
    assert probe(codes_of(label, 1), label, CLASSES, LatentCodes(test=0.01), 1).tested == 4


@pytest.fixture(scope="module")
def ran(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("probed")
    (folder / "r.yaml").write_text(RECIPE)
    found = run(document.read(folder / "r.yaml"), state=shutil.copytree(migrated, folder / "mlruns"))
    assert found is not None
    return found


def test_a_number_that_is_not_known_is_shown_as_such_and_not_recorded(ran: Outcome, tmp_path: Path) -> None:
    found = ran.result.probes["all"]
    name = found.classes[-1]
    unknown = replace(found, numbers={**found.numbers, f"precision/{name}": None})
    result = replace(ran.result, probes={"all": unknown})
    (row,) = (row for row in tables.probe_table(unknown).rows if row.names == (name,))
    assert row.cells[0] is None
    assert row.cells[1] is not None
    report.write(result, tmp_path)
    assert '<span class="none">n/a</span>' in (tmp_path / "report.html").read_text()
    plain = show.outcome(replace(ran, result=result))
    assert plain["latent"]["all"][f"precision/{name}"] is None
    assert re.search(rf"precision/{name} +n/a", show.outcome_text(plain))
    recorded = dict(facts.numbers(result))
    assert f"test/latent/recall/{name}" in recorded
    assert not [path for path in recorded if path.startswith(f"test/latent/precision/{name}")]


def test_a_run_evaluates_the_codes_and_shows_what_it_found(ran: Outcome) -> None:
    found = ran
    numbers = found.result.probes["all"].numbers
    assert numbers["f1/background"].spread is not None
    page = (Path(found.artifacts) / "report.html").read_text()
    assert "What the codes know of the classes" in page
    assert (Path(found.artifacts) / "figures" / "probe_all.png").is_file()
    plain = show.outcome(found)
    assert plain["latent"]["all"]["f1_macro"]["value"] == numbers["f1_macro"].value
    assert "classifier and clusters on latent codes" in show.outcome_text(plain)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "use: autoencoder, hidden: [8], latent: 3",
            "use: hbos",
            "evaluate.latent: the model hbos has no latent",
        ),
        ("labelled: 0.5", "labelled: 2", "evaluate.latent.labelled: "),
    ],
)
def test_codes_that_cannot_be_evaluated_are_refused_before_anything_is_read(
    before: str, after: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE.replace(before, after))
    with pytest.raises(RecipeError, match=message):
        plugins.build(document.read(tmp_path / "r.yaml"))
