"""What a run tells of cuts that depend on a column: efficiencies on the test share, figures, page and metrics."""

from __future__ import annotations

import html
import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from toys import fitted

from hepanom import facts, page, report, show_thresholds
from hepanom.assess import assess
from hepanom.flatness import Flatness
from hepanom.result import Result
from hepanom.shares import held

RULES = (
    "thresholds=[{rule: background_rate, value: 2000, input_rate: 2e4},"
    "{rule: background_efficiency, value: 0.1, per: {column: n_jets}},"
    "{rule: background_efficiency, value: 0.1, per: {column: m_jj, method: quantile_regression, bins: 4}, name: line}]"
)


@cache
def told(*overrides: str) -> Result:
    detector, histories, events = fitted(RULES, "train.per=n_jets", "evaluate.pictures=false", *overrides)
    return assess(detector, histories, held(detector.parts, events))


def test_there_is_one_figure_for_each_rule_and_score_and_bins_on_the_page(tmp_path: Path) -> None:
    result = told()
    written = report.write(result, tmp_path).read_text(encoding="utf-8")
    names = {path.stem for path in (tmp_path / "figures").glob("conditional_*")}
    rules = ("background_efficiency_0.1_per_n_jets", "line")
    assert names == {f"conditional_{scorer}_{rule}" for scorer in ("reconstruction", "latent_mu2") for rule in rules}
    words = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", written)).split())
    assert "Efficiency by column" in words
    assert "background rate [Hz]" in words
    assert "background rate 2000 Hz" in words
    assert "background efficiency 0.1 per n_jets" in words
    for count in result.thresholds:
        for each in count.threshold.along.bins if count.threshold.along else ():
            assert f"{count.threshold.along.column} {each.label} {each.cut:.5g}" in words  # type: ignore[union-attr]


def test_efficiencies_are_those_of_test_background_in_its_bins() -> None:
    result = told()
    assert [(each.scorer, each.rule) for each in result.flatness][:2] == [
        ("reconstruction", "background_efficiency_0.1_per_n_jets"),
        ("latent_mu2", "background_efficiency_0.1_per_n_jets"),
    ]
    for each in result.flatness:
        assert each.known
        assert each.wanted == 0.1
        for points in (each.before, each.after):
            assert (points[:, 1] <= points[:, 0]).all()
            assert (points[:, 0] <= points[:, 2]).all()
    jets = result.flatness[0]
    assert jets.labels == ["2", "3", "4"]
    assert np.array_equal(jets.before, jets.after)  # a category holds one number of jets: both cuts are one


def test_without_labels_all_events_are_shown_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "png", lambda _: b"blank")
    labelled = told()
    (first, *_) = labelled.flatness
    unknown = [Flatness(**{**vars(each), "known": False}) for each in labelled.flatness]
    assert first.known
    written = report.write(Result(**{**vars(labelled), "flatness": unknown}), tmp_path).read_text(encoding="utf-8")
    assert "share of all test events, as none is known to be background" in written


def test_metrics_hold_rates_and_bins_under_names_that_a_store_takes() -> None:
    result = told()
    found = dict(facts.thresholds(result))
    path = "threshold/latent_mu2/background_rate_2000/3/background_rate"
    assert found[f"{path}/low"] < found[path] < found[f"{path}/high"]
    rates = [value for name, value in found.items() if re.fullmatch(r"threshold/latent_mu2/.*/background_rate", name)]
    assert sum(rates) == pytest.approx(2000, rel=0.05)  # the categories share the budget
    bins = [name for name in found if re.fullmatch(r"threshold/latent_mu2/line/3/bin_\d/background_efficiency", name)]
    assert len(bins) == 4
    assert all(facts.name(name) == name for name in found)


def test_plain_values_are_json_with_rate_and_bins() -> None:
    plain = [show_thresholds.counted(count) for count in told().thresholds]
    again = json.loads(json.dumps(plain, allow_nan=False))
    assert {bool(entry["rate"]) for entry in again if entry["rule"] == "background_rate_2000"} == {True}
    assert all(entry["per"]["column"] == "m_jj" for entry in again if entry["rule"] == "line")
    tables = show_thresholds.tables("thresholds", plain)
    assert [table.title for table in tables] == ["thresholds", "by bin"]
