"""Small recipes on simulated events, for the tests of what happens between reading and reporting."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from hepanom import document, plugins
from hepanom.contracts import Epoch
from hepanom.detector import Detector
from hepanom.events import Events
from hepanom.fit import fit
from hepanom.plugins import Parts
from hepanom.shares import held, read
from hepanom.stream import SHARES

RECIPE = """
name: toys
seed: 7
data: {use: toy, events: 3000}
background: [background]
split: {train: 0.4, valid: 0.1, calibrate: 0.2, test: 0.3}
transforms: [{use: missing}, {use: standardize}]
model: {use: autoencoder, hidden: [6]}
train: {epochs: 2, batch: 256, device: cpu}
scores: [{use: reconstruction}, {use: latent_mu2}]
thresholds: [{rule: background_efficiency, value: 0.1}, {rule: mean, weighted: false}]
"""


def build(*overrides: str, text: str = RECIPE) -> Parts:
    """Return the recipe with values changed, its plugins built."""
    return plugins.build(document.parse(text, "toys.yaml", overrides))


def shares(parts: Parts) -> dict[str, Events]:
    """Return the events by share."""
    found = read(parts, 10**9)
    return {name: Events.concat(list(found.chunks(name))) for name in SHARES if found.total(name).events}


@cache
def fitted(*overrides: str) -> tuple[Detector, dict[tuple[str, int], list[Epoch]], dict[str, Events]]:
    """Return detector, epochs and events of the recipe with values changed; nobody may change them."""
    parts = build(*overrides)
    events = shares(parts)
    detector, histories = fit(held(parts, events), {"created": "in a test"})
    return detector, histories, events


def arrays(detector: Detector) -> dict[str, np.ndarray]:
    """Return every weight of a detector by category, replica and name."""
    return {
        f"{label}/{replica}/{name}": value.numpy()
        for label, model in detector.models.items()
        for replica, member in enumerate(model.members)
        for name, value in member.network.state_dict().items()
    }


def same(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> bool:
    """Say whether both hold the same bits."""
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
