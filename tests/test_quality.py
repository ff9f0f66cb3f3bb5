"""The quality benchmark: both sides on the same events, the numbers of scikit-learn, nothing computed twice."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from benchmarks.quality import __main__ as quality
from benchmarks.quality import tables
from benchmarks.quality.cases import CASES
from benchmarks.quality.sample import draw, numbers, prepared
from benchmarks.quality.tables import Entry
from hepanom import plugins
from hepanom.document import changed


@pytest.fixture(scope="module")
def pyod() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("pyod.models.knn", reason="PyOD is not installed: pip install 'hepanom[bench]'")


def tiny(output: Path, *more: str) -> list[str]:
    return ["--data", "lhco", "--seeds", "4", "--events", "400", "--output", str(output), *more]


@pytest.mark.usefixtures("pyod", "data")
def test_both_sides_have_the_numbers_of_scikit_learn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quality.main(tiny(tmp_path / "quality.json", "--models", "knn", "KNN"))
    sample = draw("lhco", [], 4, 400)
    (features,) = prepared(sample)
    assert len(features.train) == 400
    neighbours = NearestNeighbors(n_neighbors=5).fit(features.train)
    score = neighbours.kneighbors(features.test)[0][:, -1]
    background = np.sort(score[~sample.anomaly])
    cut = background[-math.floor(0.1 * len(background)) - 1]
    expected = {
        "auc": roc_auc_score(sample.anomaly, score),
        "signal_efficiency_0.1": (score[sample.anomaly] > cut).mean(),
    }
    entries = json.loads((tmp_path / "quality.json").read_text())["entries"]
    assert [entry["side"] for entry in entries] == ["hepanom", "PyOD"]
    for entry in entries:
        assert {name: entry["numbers"][name] for name in expected} == pytest.approx(expected, abs=2e-6)
    printed = capsys.readouterr().out
    assert f"| **knn** | hepanom | {expected['auc']:.3f} |" in printed
    assert f"| **KNN** | PyOD | {expected['auc']:.3f} |" in printed
    assert "hepanom knn less PyOD KNN: AUC +0.000" in printed


@pytest.mark.usefixtures("data")
def test_categories_count_at_equal_background_efficiency_and_by_weight() -> None:
    sample = draw("higgsml_baselines", [], 5, 300)
    score = np.random.default_rng(0).normal(0, 1, len(sample.test)) + 0.5 * sample.anomaly + 10.0 * sample.test.category
    weight, total, expected = sample.test.weight, 0.0, 0.0
    for index in range(len(sample.categories)):
        here = sample.test.category == index
        signal = weight[here & sample.anomaly].sum()
        expected += signal * roc_auc_score(sample.anomaly[here], score[here], sample_weight=weight[here])
        total += signal
    assert len(sample.categories) == 4
    assert numbers(sample, score)["auc"] == pytest.approx(expected / total, abs=1e-4)  # steps interleave


@pytest.mark.usefixtures("data")
def test_a_capped_training_share_is_part_of_the_whole_one_and_the_test_share_stays() -> None:
    few, more, other = (draw("detector_anomalies", [], seed, most) for seed, most in ((1, 50), (1, 500), (2, 500)))
    assert len(few.events["train"]) == 50
    assert set(few.events["train"].event_id) < set(more.events["train"].event_id)
    assert (few.test.event_id == more.test.event_id).all()
    assert set(few.events["train"].event_id).isdisjoint(few.test.event_id)
    assert set(few.events["train"].label) == {0}  # the good ones
    assert set(few.test.event_id) != set(other.test.event_id)


@pytest.mark.usefixtures("data")
def test_what_the_output_holds_is_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "quality.json"
    quality.main(tiny(output, "--models", "hbos"))
    before = output.read_text()

    def refuse(*_: object) -> Sequence[Entry]:
        raise AssertionError("computed again")

    monkeypatch.setattr(quality, "compute", refuse)
    quality.main(tiny(output, "--models", "hbos"))
    assert output.read_text() == before
    with pytest.raises(AssertionError, match="computed again"):
        quality.main([*tiny(output, "--models", "hbos"), "--seeds", "5"])


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_every_model_of_the_benchmark_is_a_sound_recipe(case: Any) -> None:
    sample = draw(case.recipe, case.overrides, 1, 10)
    for model in case.models.values():
        plugins.build(changed(sample.document, model.overrides))


def entry(side: str, model: str, seed: int, auc: float) -> Entry:
    found = dict.fromkeys(tables.COLUMNS, 0.5) | {"auc": auc}
    return Entry("lhco", seed, 100, side, "deep", model, "", found, "", 1.0)


def test_the_best_of_each_side_are_compared_seed_by_seed() -> None:
    entries = [
        *(entry("hepanom", "vae", seed, auc) for seed, auc in ((1, 0.6), (2, 0.8))),
        *(entry("hepanom", "gan", seed, auc) for seed, auc in ((1, 0.9), (2, 0.3))),
        *(entry("PyOD", "VAE", seed, auc) for seed, auc in ((2, 0.7), (1, 0.55))),
    ]
    assert tables.best(entries, "hepanom") == "vae"
    assert tables.difference(entries) == pytest.approx((0.075, 0.025 * math.sqrt(2)))
    lines = list(tables.table(entries))
    assert lines[2].startswith("| **vae** | hepanom | 0.700 ± 0.141 | 0.500 ± 0.000 |")
    assert "- deep: hepanom vae less PyOD VAE: AUC +0.075 ± 0.035" in lines


def test_a_model_that_failed_for_a_seed_is_named_and_not_ranked() -> None:
    entries = [entry("PyOD", "LOF", 1, 0.6), entry("PyOD", "CBLOF", 1, 0.9), entry("PyOD", "LOF", 2, 0.6)]
    entries.append(replace(entry("PyOD", "CBLOF", 2, 0.9), numbers={}, failed="ValueError: no clusters"))
    assert tables.best(entries, "PyOD") == "LOF"
    lines = list(tables.table(entries))
    assert "- PyOD CBLOF failed: ValueError: no clusters" in lines
    assert not any("**CBLOF**" in line for line in lines)


def test_results_survive_their_file(tmp_path: Path) -> None:
    kept = [replace(entry("PyOD", "LOF", 1, 0.25), numbers={"auc": 0.25, "max_sic": math.nan})]
    quality.save(tmp_path / "new" / "quality.json", kept)
    (found,) = quality.load(tmp_path / "new" / "quality.json")
    assert math.isnan(found.numbers["max_sic"])
    assert replace(found, numbers={}) == replace(kept[0], numbers={})
    assert found.numbers["auc"] == 0.25
