"""The three data sets, and hepanom's models on each: a recipe, and what ``--set`` changes in it.

Settings that are no defaults were chosen on other events than the reported ones: of LHC Olympics on the file
``signal_region_valid.h5``, of the other two data sets on splits of the seeds 101 to 104.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

OUTLYINGNESS = "scores=[{use: outlyingness}]"
LIKELIHOOD = "scores=[{use: likelihood}]"
RECONSTRUCTION = "scores=[{use: reconstruction}]"
DISTANCES = "scores=[{use: reconstruction}, {use: knn}]"
ELBO = "scores=[{use: elbo}]"
CODE = "scores=[{use: latent_mu2}]"


@dataclass(frozen=True)
class Ours:
    """A model of hepanom: deep or classical, and the ``--set`` values that choose model, training and scores."""

    kind: Literal["deep", "classical"]
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """A data set: the recipe that reads, splits and prepares it, what is changed in that, and our models on it."""

    title: str
    recipe: str
    overrides: tuple[str, ...]
    models: Mapping[str, Ours]


def _classical(model: str, scores: str = OUTLYINGNESS) -> Ours:
    return Ours("classical", (f"model={{{model}}}", scores))


TRAIN = ("train.epochs=100", "train.batch=128", "train.patience=15", "train.optimizer={use: adam, lr: 1e-3}")


def _deep(model: str, scores: str) -> Ours:
    return Ours("deep", (f"model={{{model}}}", scores, *TRAIN))


BASELINES = {
    "hbos": _classical("use: hbos"),
    "isolation_forest": _classical("use: isolation_forest"),
    "knn": _classical("use: knn"),
    "gmm": _classical("use: gmm"),
    "mahalanobis": _classical("use: mahalanobis"),
}

CASES: Mapping[str, Case] = {
    "lhco": Case(
        "LHC Olympics 2020 R&D, signal region, trained without labels on everything",
        "lhco",
        (),
        BASELINES
        | {
            "hbos, 40 bins": _classical("use: hbos, bins: 40"),
            "knn, k = 200": _classical("use: knn, k: 200"),
            "pca, 1 component": _classical("use: pca, latent: 1, whiten: true", CODE),
            "autoencoder": _deep("use: autoencoder, hidden: [32, 16], latent: 2", DISTANCES),
            "vae": _deep("use: vae, hidden: [32, 16], latent: 2", ELBO),
            "vae, fixed variance": _deep(
                "use: vae, hidden: [32, 16], latent: 1, decoder: fixed", "scores=[{use: elbo}, {use: kl}]"
            ),
            "flow given m_jj": _deep("use: flow, transforms: 3, hidden: [32, 32], condition: [m_jj]", LIKELIHOOD),
            "deep_svdd": _deep("use: deep_svdd", OUTLYINGNESS),
        },
    ),
    "detector": Case(
        "Detector anomalies, trained on good events",
        "detector_anomalies",
        (),
        BASELINES
        | {
            "hbos, floor 0.01": _classical("use: hbos, bins: 40, floor: 0.01"),
            "pca, 8 components": _classical("use: pca, latent: 8", RECONSTRUCTION),
            "autoencoder": _deep("use: autoencoder, hidden: [32, 16], latent: 8", DISTANCES),
            "vae": _deep("use: vae, hidden: [32, 16], latent: 8", ELBO),
            "flow": _deep("use: flow, transforms: 3, hidden: [32, 32]", LIKELIHOOD),
            "deep_svdd": _deep("use: deep_svdd", OUTLYINGNESS),
        },
    ),
    "higgsml": Case(
        "HiggsML, trained on background, a model per number of jets",
        "higgsml_baselines",
        ("transforms.2={use: standardize}",),
        BASELINES
        | {
            "hbos, unweighted": Ours("classical", ("model={use: hbos}", OUTLYINGNESS, "train.weighted=false")),
            "pca, 5 components": _classical("use: pca, latent: 5, whiten: true", CODE),
            "autoencoder": _deep("use: autoencoder, hidden: [32, 16], latent: 8", DISTANCES),
            "vae": _deep("use: vae, hidden: [32, 16], latent: 8", ELBO),
            "vae, fixed variance": _deep(
                "use: vae, hidden: [32, 16], latent: 8, decoder: fixed", "scores=[{use: elbo}, {use: reconstruction}]"
            ),
            "flow": _deep("use: flow, transforms: 3, hidden: [32, 32]", LIKELIHOOD),
            "deep_svdd": _deep("use: deep_svdd", OUTLYINGNESS),
        },
    ),
}
