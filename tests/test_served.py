"""A detector as a function of columns: its scores are those of the events that the columns came from."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from toys import build, fitted, shares

from hepanom import served
from hepanom.detector import Detector, decision, score
from hepanom.errors import InputError
from hepanom.events import Events, Jagged
from hepanom.fit import fit
from hepanom.shares import held
from hepanom.stream import with_category

POINTS = (
    "data={use: attpc_simulation, events: 400}",
    "background=[proton]",
    "transforms=[{use: image, axes: [x, y], size: [12, 12]}]",
    "train.epochs=1",
)
IMAGES = ("data={use: occupancy_simulation, events: 600}", "background=[good]", "transforms=[]", "train.epochs=1")
TARGETS = (
    "data={use: recoil_simulation, events: 2000}",
    "background=[ordinary]",
    "transforms=[{use: standardize}]",
    "model={use: dnn, hidden: [8]}",
    "scores=[{use: residual_pull}]",
    "train.epochs=1",
)
CATEGORIES = ("train.per=n_jets", "train.replicas=2")


def detector_and_test(*overrides: str) -> tuple[Detector, Events]:
    detector, _, events = fitted(*overrides)
    return detector, events["test"]


def expected(detector: Detector, events: Events) -> dict[str, np.ndarray]:
    known = with_category(events, detector.parts.recipe.train.per, detector.categories, detector.parts.schema)
    return decision(detector, score(detector, known), known.category)


@pytest.mark.parametrize("overrides", [(), CATEGORIES, POINTS, IMAGES, TARGETS], ids=lambda chosen: chosen[:1])
def test_scores_of_columns_are_those_of_their_events_bit_for_bit(overrides: tuple[str, ...]) -> None:
    detector, events = detector_and_test(*overrides)
    found = served.scores(detector, served.to_columns(detector, events))
    for label, values in expected(detector, events).items():
        np.testing.assert_array_equal(found[f"score/{label}"], values)
    rules = {f"flag/{entry.scorer}/{entry.name}" for entry in detector.thresholds}
    assert set(found) == rules | {f"score/{label}" for label in detector.parts.scorers}
    assert all(found[rule].dtype == bool for rule in rules)


def test_a_table_may_hold_integers_decimals_and_missing_values_in_any_order() -> None:
    detector, events = detector_and_test()
    columns = served.to_columns(detector, events)
    frame = pd.DataFrame(columns)
    frame["n_jets"] = frame["n_jets"].astype("int64")
    frame["m_jj"] = frame["m_jj"].astype("float64")
    frame["unknown"] = "text"
    shuffled = frame[sorted(frame.columns, reverse=True)].set_index(pd.Index(range(7, 7 + len(frame))))
    assert np.isnan(columns["pt_j3"]).any()
    for name, values in served.scores(detector, columns).items():
        np.testing.assert_array_equal(served.scores(detector, dict(shuffled))[name], values)


def test_a_category_beside_the_features_is_a_column_of_its_own(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).normal(size=(600, 2))
    frame = pd.DataFrame(numbers, columns=["x", "y"]).assign(region=np.where(np.arange(600) % 2, "end cap", "barrel"))
    frame.to_csv(tmp_path / "events.csv", index=False)
    parts = build(
        f"data={{use: csv, path: {json.dumps(str(tmp_path / 'events.csv'))}, category: region}}",
        "background=[]",
        "train={per: region, epochs: 1, device: cpu}",
    )
    events = shares(parts)
    detector, _ = fit(held(parts, events), {})
    columns = served.to_columns(detector, events["test"])
    assert list(columns) == ["x", "y", "region"]
    assert set(columns["region"]) == {"barrel", "end cap"}
    for label, values in expected(detector, events["test"]).items():
        np.testing.assert_array_equal(served.scores(detector, columns)[f"score/{label}"], values)
    with pytest.raises(InputError, match="columns are missing: region"):
        served.scores(detector, {"x": [0.0], "y": [0.0]})


def test_a_column_that_a_cut_depends_on_travels_beside_the_features(tmp_path: Path) -> None:
    x, mass = np.random.default_rng(1).normal(size=(2, 600))
    frame = pd.DataFrame({"x": x, "y": x * mass, "mass": mass})
    frame.to_csv(tmp_path / "events.csv", index=False)
    parts = build(
        f"data={{use: csv, path: {json.dumps(str(tmp_path / 'events.csv'))}, features: [x, y], keep: [mass]}}",
        "background=[]",
        "thresholds=[{rule: quantile, value: 0.8, per: {column: mass, bins: 3}, name: flat}]",
    )
    events = shares(parts)
    detector, _ = fit(held(parts, events), {})
    columns = served.to_columns(detector, events["test"])
    assert list(columns) == ["x", "y", "mass"]
    (cut, *_) = detector.thresholds
    wanted = cut.flag(expected(detector, events["test"])[cut.scorer], {"mass": columns["mass"]})
    np.testing.assert_array_equal(served.scores(detector, columns)[f"flag/{cut.scorer}/flat"], wanted)
    with pytest.raises(InputError, match="columns are missing: mass; the model takes x, y, mass"):
        served.scores(detector, {"x": [0.0], "y": [0.0]})


def test_points_come_back_from_their_padding() -> None:
    detector, events = detector_and_test(*POINTS)
    ((name, clouds),) = events.inputs.items()
    assert isinstance(clouds, Jagged)
    columns = served.to_columns(detector, events)
    assert columns[name].shape == (len(events), int(np.diff(clouds.offsets).max()), clouds.values.shape[1])
    again = served.to_events(detector, columns).inputs[name]
    assert isinstance(again, Jagged)
    np.testing.assert_array_equal(again.values, clouds.mask(np.ones(len(events), bool)).values)
    np.testing.assert_array_equal(np.diff(again.offsets), np.diff(clouds.offsets))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"m_jj": None, "m_j1": None}, r"columns are missing: m_jj, m_j1; the model takes m_jj, delta_eta"),
        ({"m_jj": "heavy"}, r"column 'm_jj' holds something else than numbers.*heavy"),
        ({"n_jets": 9}, r"n_jets is 9 in some events; there are models for 2, 3, 4"),
        ({"tau21_1": math.inf}, r"missing or infinite values reach the model, in columns \(events\): tau21_1"),
    ],
)
def test_columns_that_cannot_be_used_are_named(change: dict[str, Any], message: str) -> None:
    detector, events = detector_and_test(*CATEGORIES)
    columns: dict[str, Any] = {**served.to_columns(detector, events), **change}
    given = {
        name: [values] * len(events) if isinstance(values, str | int | float) else values
        for name, values in columns.items()
        if values is not None
    }
    with pytest.raises(InputError, match=message):
        served.scores(detector, given)


def test_a_detector_of_a_gpu_is_read_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hepanom import storage

    parts = build("train.epochs=1")
    detector, _ = fit(held(parts, shares(parts)), {})
    storage.save(detector, tmp_path / "detector")
    recipe = tmp_path / "detector" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("device: cpu", "device: cuda"))
    with pytest.raises(InputError, match="cuda"):
        storage.load(tmp_path / "detector")
    assert served.load(tmp_path / "detector").parts.recipe.train.device == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(InputError, match="cuda"):
        served.load(tmp_path / "detector")
    assert served.load(tmp_path / "detector", device="cpu").parts.recipe.train.device == "cpu"
