"""The likelihood: a density in the units that were read, whatever the transforms made of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import Beta, Normal
from toys import build, shares

from hepanom.contracts import Batch, Network
from hepanom.detector import Detector, score
from hepanom.events import Events
from hepanom.fit import fit
from hepanom.shares import held
from hepanom_plugins.scorers.likelihood import Likelihood

RECIPE = """
name: density
seed: 7
data: {use: csv, path: PATH, features: [mass, ratio]}
split: {train: 0.6, valid: 0.1, calibrate: 0.1, test: 0.2}
model: {use: flow, transforms: 2, hidden: [16]}
train: {epochs: 10, batch: 64, device: cpu, optimizer: {use: adam, lr: 5e-3}}
scores: [{use: likelihood}]
thresholds: [{rule: background_efficiency, value: 0.1}]
"""
STANDARDIZE = "transforms=[{use: standardize}]"
LOGIT = "transforms=[{use: logit, columns: [ratio], margin: 1e-3}, {use: standardize}]"
ALL = "transforms=[{use: log, columns: [mass]}, {use: logit}, {use: standardize}]"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write masses around 90 GeV with a ratio in 0 to 1 that follows them."""
    generator = np.random.default_rng(3)
    mass = generator.normal(90, 10, 1500)
    ratio = generator.beta(2 + (mass > 90), 2)
    path = tmp_path_factory.mktemp("density") / "events.csv"
    np.savetxt(path, np.stack([mass, ratio], 1), delimiter=",", header="mass,ratio", comments="")
    return path


@cache
def fitted(path: Path, *overrides: str) -> tuple[Detector, Events]:
    parts = build(*overrides, text=RECIPE.replace("PATH", str(path)))
    events = shares(parts)
    detector, _ = fit(held(parts, events), {"created": "in a test"})
    return detector, events["train"]


def at(points: np.ndarray, like: Events) -> Events:
    """Return events with these features under the name that they have in ``like``."""
    zeros = np.zeros(len(points), np.int64)
    (name,) = like.inputs
    inputs = {name: points.astype(np.float32)}
    return Events(zeros.astype(np.uint64), inputs, np.ones(len(points)), label=zeros, category=zeros)


@pytest.mark.parametrize("transforms", [STANDARDIZE, LOGIT, ALL])
def test_the_density_integrates_to_one_in_the_units_that_were_read(measured: Path, transforms: str) -> None:
    detector, events = fitted(measured, transforms)
    features = next(iter(events.inputs.values()))
    low, high = features.min(0), features.max(0)  # beyond them logit cuts, and there is no density
    if transforms != ALL:
        low[0], high[0] = 30, 150
    if transforms == STANDARDIZE:
        low[1], high[1] = -2, 3
    widths = (high - low) / 100
    axes = [start + width * (np.arange(100) + 0.5) for start, width in zip(low, widths, strict=True)]
    points = np.stack(np.meshgrid(*axes), -1).reshape(-1, 2)
    found = score(detector, at(points, events))["likelihood"][0]
    assert np.exp(-found).sum() * widths.prod() == pytest.approx(1, abs=0.01)


CURVED = "transforms=[{use: logit, columns: [ratio], margin: 1e-3}, {use: quantile, columns: [mass], knots: 20}]"
DROPPED = "transforms=[{use: logit, columns: [ratio], margin: 1e-3}, {use: standardize}, {use: drop, columns: [ratio]}]"


@pytest.mark.parametrize("given", ["mass", "ratio"])
def test_a_conditional_density_integrates_to_one_over_the_features_alone(measured: Path, given: str) -> None:
    detector, events = fitted(measured, CURVED, f"model.condition=[{given}]")
    features = next(iter(events.inputs.values()))
    column = ["mass", "ratio"].index(given)
    low, high = features.min(0), features.max(0)
    low[0], high[0] = 20, 160  # quantile goes on beyond what was seen
    axis = np.linspace(low[1 - column], high[1 - column], 2001)
    for condition in np.quantile(features[:, column], [0.02, 0.4, 0.97]):
        points = np.empty((len(axis), 2))
        points[:, column], points[:, 1 - column] = condition, axis
        found = score(detector, at(points, events))["likelihood"][0]
        assert np.trapezoid(np.exp(-found), axis) == pytest.approx(1, abs=0.01)


def test_a_column_that_has_left_the_table_is_not_in_the_density(measured: Path) -> None:
    detector, events = fitted(measured, DROPPED)
    for ratio in (0.05, 0.5):
        mass = np.linspace(30, 150, 1001)
        found = score(detector, at(np.stack([mass, np.full(1001, ratio)], 1), events))["likelihood"][0]
        assert np.trapezoid(np.exp(-found), mass) == pytest.approx(1, abs=0.01)


def test_scores_behind_different_transforms_compare(measured: Path) -> None:
    scores = []
    for transforms in (STANDARDIZE, LOGIT, ALL):
        detector, events = fitted(measured, transforms)
        scores.append(score(detector, events)["likelihood"][0].mean())
    mass, ratio = Normal(0, 10).entropy(), Beta(2, 2).entropy()
    assert scores == pytest.approx([float(mass + ratio)] * 3, abs=0.15)  # nats; the units alone are ln 10 of them


def test_without_a_jacobian_it_is_the_models_own_density() -> None:
    plain = Batch({}, torch.ones(3), torch.zeros(3, dtype=torch.int64))
    outputs = {"log_density": torch.tensor([0.0, -2.0, 3.0])}
    assert Likelihood().score(plain, outputs, {}, Network()).tolist() == [0, 2, -3]
    moved = replace(plain, log_jacobian=torch.tensor([1.0, -1.0, 0.5]))
    assert Likelihood().score(moved, outputs, {}, Network()).tolist() == [-1, 3, -3.5]
