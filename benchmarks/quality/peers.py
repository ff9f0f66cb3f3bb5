"""PyOD's detectors on the same prepared events, each with its default options."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from benchmarks.quality.sample import Sample, prepared


@dataclass(frozen=True)
class Peer:
    """A detector of PyOD: its class as ``module:Class`` below ``pyod.models``, deep or classical."""

    place: str
    kind: Literal["deep", "classical"]

    def build(self, features: int, seed: int) -> Any:
        """Return the detector with default options, the seed where it takes one, and quiet."""
        module, _, name = self.place.partition(":")
        found = getattr(importlib.import_module(f"pyod.models.{module}"), name)
        known = inspect.signature(found).parameters
        wanted = {"random_state": seed, "n_features": features, "verbose": 0}
        return found(**{option: value for option, value in wanted.items() if option in known})


PEERS: Mapping[str, Peer] = {
    "IForest": Peer("iforest:IForest", "classical"),
    "ECOD": Peer("ecod:ECOD", "classical"),
    "COPOD": Peer("copod:COPOD", "classical"),
    "HBOS": Peer("hbos:HBOS", "classical"),
    "KNN": Peer("knn:KNN", "classical"),
    "LOF": Peer("lof:LOF", "classical"),
    "CBLOF": Peer("cblof:CBLOF", "classical"),
    "GMM": Peer("gmm:GMM", "classical"),
    "PCA": Peer("pca:PCA", "classical"),
    "MCD": Peer("mcd:MCD", "classical"),
    "LODA": Peer("loda:LODA", "classical"),
    "KDE": Peer("kde:KDE", "classical"),
    "AutoEncoder": Peer("auto_encoder:AutoEncoder", "deep"),
    "VAE": Peer("vae:VAE", "deep"),
    "DeepSVDD": Peer("deep_svdd:DeepSVDD", "deep"),
    "LUNAR": Peer("lunar:LUNAR", "deep"),
}


def scores(sample: Sample, name: str, seed: int) -> Float[np.ndarray, " event"]:
    """Return the test events' scores by a detector of PyOD, one detector for each category.

    PyOD takes no event weights in training. Its warnings, of divisions by zero and the like, are not shown.
    """
    score = np.full(len(sample.test), np.nan)
    for features in prepared(sample):
        np.random.seed(seed)  # noqa: NPY002 - some detectors draw from numpy's and torch's global generators
        torch.manual_seed(seed)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            detector = PEERS[name].build(features.train.shape[1], seed)
            detector.fit(features.train)
            score[features.where] = detector.decision_function(features.test)
    return score
