"""Tests of the report and its figures, on a result of two categories, two scorers, three rules and two replicas."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Float, Int

from hepanom.contracts import Epoch
from hepanom.evaluate import METRICS, Number, Scored, evaluate
from hepanom.events import Input, Schema
from hepanom.figures import figures
from hepanom.result import Count, Latent, Result, Sample, Strange
from hepanom.thresholds import Threshold, rule_name, threshold

EVENTS = 5_000
CATEGORIES = ("0", "2<script>alert(1)</script>")
RULES = (("quantile", 0.4), ("median", None), ("background_efficiency", 1e-3))
COLUMNS = ("DER_mass_MMC", "PRI_tau_pt", "DER_deltaeta_jet_jet")
UNITS = ("GeV", "GeV", "")


def draw(
    rng: np.random.Generator, anomaly: Int[np.ndarray, " event"], category: Int[np.ndarray, " event"], replicas: int
) -> dict[str, Float[np.ndarray, "replica event"]]:
    """Return a positive score over decades and one of either sign, which replicas see with some noise."""
    strange = rng.normal(size=len(anomaly)) + 1.1 * (anomaly == 1) + 0.3 * category
    seen = strange + 0.3 * rng.normal(size=(replicas, len(anomaly)))
    other = 0.4 * strange + rng.normal(size=(replicas, len(anomaly)))
    return {"reconstruction": np.exp(1.3 * seen - 2), "elbo": 14 + 5 * other}


def decided(
    held_out: dict[str, Float[np.ndarray, "replica event"]], scores: dict[str, Float[np.ndarray, "replica event"]]
) -> dict[str, Float[np.ndarray, " event"]]:
    """Return the score of one replica, the mean background rank of several."""
    if len(next(iter(scores.values()))) == 1:
        return {scorer: rows[0] for scorer, rows in scores.items()}
    return {
        scorer: np.mean(
            [np.searchsorted(np.sort(known), row) / len(known) for known, row in zip(held_out[scorer], rows, strict=True)],
            axis=0,
        )
        for scorer, rows in scores.items()
    }


def make_result(*, labels: bool = True, replicas: int = 2, events: int = EVENTS) -> Result:
    rng = np.random.default_rng(1)
    category = rng.integers(0, 2, events)
    anomaly = (rng.random(events) < 0.2).astype(np.int64) if labels else np.zeros(events, np.int64)
    weight = np.where(anomaly == 1, 0.02, rng.gamma(4.0, 0.6, events))
    calibration, train_category = rng.integers(0, 2, events), rng.integers(0, 2, 2 * events)
    held_out = draw(rng, np.zeros(events, np.int64), calibration, replicas)
    scores = draw(rng, anomaly, category, replicas)
    train_scores = draw(rng, np.zeros(2 * events, np.int64), train_category, replicas)
    known, found, train = (decided(held_out, seen) for seen in (held_out, scores, train_scores))

    counts, flags = [], {}
    for scorer in scores:
        for rule, setting in RULES:
            flag = np.zeros((replicas, events), np.bool_)
            for index, label in enumerate(CATEGORIES):
                here, fit = category == index, calibration == index
                names = {"scorer": scorer, "category": label, "replica": 0 if replicas == 1 else -1}
                cut = threshold(rule, setting, known[scorer][fit], np.ones(fit.sum()), **names)  # type: ignore[arg-type]
                total = float(weight[here].sum())
                flagged = found[scorer][here] > cut.cut
                expected = [total * share for share in (cut.background_efficiency, cut.low, cut.high)]
                counts.append(
                    Count(cut, int(here.sum()), int(flagged.sum()), float(weight[here][flagged].sum()), *expected)
                )
                for replica in range(replicas):
                    share = np.quantile(held_out[scorer][replica, fit], 1 - cut.background_efficiency)
                    flag[replica, here] = scores[scorer][replica, here] > share
            flags[scorer, rule_name(rule, setting)] = flag
    scored = Scored(scores, flags, category, CATEGORIES, anomaly, weight)
    chosen = rng.permutation(events)[:2000]
    codes = rng.normal(size=(len(chosen), 2)) @ np.array([[1.0, 0.5], [0.0, 0.7]])
    codes[anomaly[chosen] == 1] += (1.5, -1.0)
    return Result(
        name="higgsml-vae <script>alert(1)</script>",
        recipe="name: higgsml-vae <script>alert(1)</script>\nmodel: {use: vae, latent: 2}\n",
        schema=Schema({"table": Input("table", COLUMNS, UNITS)}, ("b", "s")),
        categories=CATEGORIES,
        background=("b",) if labels else (),
        provenance={
            "created": "2026-01-31T12:00:00+00:00",
            "python": "3.11.7",
            "packages": {"hepanom": "0.1.0", "torch": "2.13.0"},
            "plugins": {"hepanom_plugins": "0.1.0"},
            "git": "0123456789abcdef0123456789abcdef01234567-dirty",
            "data": [{"path": "/data/<script>.csv.gz", "bytes": 1234567, "sha256": "ab" * 32}, {"path": "toy"}],
            "device": "cpu",
            "threads": 1,
        },
        counts={
            "train": {"b": (9876, 12345.6), "s": (2345, 47.5)},
            "valid": {"b": (1200, 1500.25), "s": (301, 6.0)},
            "calibrate": {"b": (1234, 1543.2), "s": (310, 6.2)},
            "test": {"b": (4000, 9600.0), "s": (1000, 20.0)},
        },
        unused=4321,
        dropped={CATEGORIES[0]: {"drop": ["PRI_tau_phi"], "missing": ["DER_deltaeta_jet_jet"]}, CATEGORIES[1]: {}},
        histories={
            (label, replica): [
                Epoch(
                    epoch,
                    {"reconstruction": 8 * 0.8**epoch + 2 + 0.1 * rng.random(), "kl": 0.6 + 0.02 * epoch},
                    8 * 0.8**epoch + 2.9 + 0.001 * (epoch - 20) ** 2 + 0.1 * rng.random(),
                    True,
                    2e5,
                )
                for epoch in range(1, 41)
            ]
            for label in CATEGORIES
            for replica in range(replicas)
        },
        numbers=evaluate(scored, METRICS, resamples=20) if labels else {},
        thresholds=counts,
        train=Sample(train, train_category, np.zeros(2 * events, np.int64), np.ones(2 * events)),
        test=Sample(found, category, anomaly, weight),
        scored=scored,
        latent=Latent(codes, ("latent 1", "latent 2"), category[chosen], anomaly[chosen]),
        strangest={
            scorer: [
                Strange(
                    {"EventId": str(100_000 + rank), "file": "<script>alert(1)</script>"},
                    CATEGORIES[rank % 2],
                    "bs"[rank % 2] if labels else "unknown",
                    1.5,
                    float(np.sort(found[scorer])[-rank - 1]),
                    [("DER_mass_MMC", 987.654, "GeV", 0.62), ("PRI_tau_pt", float("nan"), "GeV", 0.21)],
                )
                for rank in range(10)
            ]
            for scorer in scores
        },
    )
