"""Anomaly detection for people who live in notebooks: a recipe as an estimator of scikit-learn."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Bool, Float64, Int64
from sklearn.base import BaseEstimator, OutlierMixin  # type: ignore[import-untyped]
from sklearn.utils import check_random_state  # type: ignore[import-untyped]
from sklearn.utils.validation import (  # type: ignore[import-untyped]
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from hepanom import plugins, provenance
from hepanom.detector import decision, score
from hepanom.document import Document
from hepanom.events import Events, hash64
from hepanom.fit import fit
from hepanom.from_arrays import from_numpy
from hepanom.interface import Detector, whole
from hepanom.sample import Sample
from hepanom.shares import held
from hepanom.train import resolve_device

Part = str | Mapping[str, Any]  # of a recipe: a plugin's name, or its name as ``use`` beside its options
log = logging.getLogger(__name__)

FEWEST = 6  # events: two that train, two that judge the training, two that set the threshold
FEWEST_EPOCHS = 5
ROWS = 64  # events are scored in multiples of it: a product with fewer rows takes another way, and rounds otherwise
COPIES = 4  # float32 in 16 bytes: so far apart, rows of any width lie alike in memory, and are rounded alike
FEW = 10_000  # events, up to which the last bits of a score do not depend on the others; beyond it takes too long
SHARES = {"valid": 0.1, "calibrate": 0.2}  # what is left trains


class AnomalyDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """A network that learns what is usual, and a threshold on events that it has not learnt from.

    ``model``, ``transforms`` and ``scorer`` are parts of a recipe: the name of a plugin, or a table of its options with
    its name as ``use``: ``{"use": "vae", "hidden": [50, 25], "latent": 2}``. ``hepanom plugins`` lists them. ``fit``
    takes 70 % of the events to train, 10 % to choose the best epoch, and 20 % to set the threshold, by a hash of what
    the events hold, so that their order does not matter. With the anomaly score s (larger is stranger), its cut c from
    these 20 %, and the sign of scikit-learn, where larger is more normal:

        score_samples(x) = -s(x),   offset_ = -c,   decision_function(x) = c - s(x),   predict(x) = -1 where s(x) > c

    Events whose weights are given count by them, in training and in the threshold. They are background: what ``fit`` is
    given sets the threshold, whatever ``y`` says. Scores are those of float32.

    Parameters
    ----------
    model, transforms, scorer
        The parts; a scorer reads what the model gives (``isolation_forest`` gives ``outlyingness``).
    background_efficiency
        The share of background, by weight, that is flagged.
    epochs, steps
        Times that all events are seen; without it as many as make ``steps`` steps of the optimizer, five at least.
    batch, learning_rate, patience
        Events of a step, by default a tenth of those that train, 256 at most; that of Adam; epochs without a better
        validation loss before the training stops.
    train
        Further keys of a recipe's ``train``, such as ``{"replicas": 5}`` or another ``optimizer``.
    random_state
        Of the first weights, the order of events, and the split.
    device
        ``auto``, ``cpu`` or ``cuda``.

    Attributes
    ----------
    detector_
        The detector, which ``hepanom.load`` can read where ``detector_.save`` has written it.
    offset_
        The threshold on ``score_samples``.
    history_
        A record of each epoch.
    n_features_in_, feature_names_in_
        The number of features, and their names where ``X`` has them.

    >>> import numpy as np, hepanom
    >>> X = np.random.default_rng(1).normal(size=(500, 4))
    >>> found = hepanom.AnomalyDetector(steps=200, device="cpu").fit(X)
    >>> found.predict([[0, 0, 0, 0], [9, -9, 9, -9]])
    array([ 1, -1])
    """

    model: Part
    transforms: Sequence[Part]
    scorer: Part
    background_efficiency: float
    epochs: int | None
    steps: int
    batch: int | None
    learning_rate: float
    patience: int | None
    train: Mapping[str, Any] | None
    random_state: Any
    device: str

    @no_type_check  # scikit-learn wants a constructor that takes anything: what is wrong is told by fit
    def __init__(
        self,
        model: Part = "autoencoder",
        *,
        transforms: Sequence[Part] = ("standardize",),
        scorer: Part = "reconstruction",
        background_efficiency: float = 0.1,
        epochs: int | None = None,
        steps: int = 1000,
        batch: int | None = None,
        learning_rate: float = 1e-3,
        patience: int | None = None,
        train: Mapping[str, Any] | None = None,
        random_state: Any = 0,
        device: str = "auto",
    ) -> None:
        self.model = model
        self.transforms = transforms
        self.scorer = scorer
        self.background_efficiency = background_efficiency
        self.epochs = epochs
        self.steps = steps
        self.batch = batch
        self.learning_rate = learning_rate
        self.patience = patience
        self.train = train
        self.random_state = random_state
        self.device = device

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> AnomalyDetector:
        """Train on background, and set the threshold on what of it was held out; return the estimator.

        ``y`` is not looked at. Raises ValueError for data that scikit-learn refuses, RecipeError for parameters that
        make no recipe, InputError for weights that nothing can be learnt from, HepanomError for a training that fails.
        """
        X = validate_data(
            self, X, dtype=np.float32, ensure_all_finite=self._finite(), ensure_min_samples=FEWEST, reset=True
        )
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        names = getattr(self, "feature_names_in_", [f"x{index}" for index in range(X.shape[1])])
        sample = from_numpy(X, list(map(str, names)), weight=weight)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        parts = plugins.build(self.recipe(sample, seed), sample.schema)
        found, histories = fit(held(parts, _split(sample.events, seed)), _origin(parts, sample))
        self.detector_ = Detector(**whole(found))
        (threshold,) = (entry for entry in found.thresholds if entry.replica == found.decides)
        if threshold.undetermined:
            log.warning("the threshold is undetermined: %.3g events lie above it", threshold.effective)
        self.offset_ = -threshold.cut
        self.history_ = histories["all", 0]
        return self

    def recipe(self, sample: Sample, seed: int) -> Document:
        """Return the recipe that the parameters stand for."""
        model, scorer = _part(self.model), _part(self.scorer)
        training = int(len(sample) * (1 - sum(SHARES.values())))
        batch = self.batch or max(2, min(256, training // 10))
        train = {
            "epochs": self.epochs or max(FEWEST_EPOCHS, -(-self.steps * batch // max(1, training))),
            "batch": batch,
            "optimizer": {"use": "adam", "lr": self.learning_rate},
            "patience": self.patience,
            "device": self.device,
            **(self.train or {}),
        }
        (entry,) = sample.schema.inputs.values()
        plain = {
            "name": type(self).__name__,
            "seed": seed,
            "data": {"use": "npz", "path": "events in memory", "features": list(entry.columns), "keep": []},
            "transforms": [_part(each) for each in self.transforms],
            "model": model,
            "train": train,
            "scores": [scorer],
            "thresholds": [{"rule": "background_efficiency", "value": self.background_efficiency}],
        }
        return Document(type(self).__name__, plain, {}, {})

    def score_samples(self, X: Any) -> Float64[np.ndarray, " event"]:
        """Return how normal each event is: minus its score."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, ensure_all_finite=self._finite(), reset=False)
        (name,) = self.detector_.parts.schema.inputs
        copies = COPIES if len(X) <= FEW else 1
        places = np.arange(len(X) * copies + -len(X) * copies % ROWS) // copies
        rows = X[np.minimum(places, len(X) - 1)]
        events = len(rows)
        unknown = Events(
            np.zeros(events, np.uint64), {name: rows}, np.ones(events), np.full(events, -1), np.zeros(events, np.int64)
        )
        (found,) = decision(self.detector_, score(self.detector_, unknown), unknown.category).values()
        return -found[::copies][: len(X)]

    def decision_function(self, X: Any) -> Float64[np.ndarray, " event"]:
        """Return how far below the threshold each event is; those that are flagged are negative."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> Int64[np.ndarray, " event"]:
        """Return -1 for each event that is flagged as an anomaly, 1 for the others."""
        flagged: Bool[np.ndarray, " event"] = self.decision_function(X) < 0
        return np.where(flagged, -1, 1)

    def _finite(self) -> bool | str:
        """Say what scikit-learn lets through: missing values where a transform takes care of them."""
        return "allow-nan" if any(_part(each).get("use") == "missing" for each in self.transforms) else True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._finite() == "allow-nan"
        return tags


def _part(given: Part) -> dict[str, Any]:
    return {"use": given} if isinstance(given, str) else dict(given)


def _split(events: Events, seed: int) -> dict[str, Events]:
    """Return the events by share: in the order of a hash of id and seed, each share with two events at least."""
    rank = np.argsort(np.argsort(hash64([events.event_id], seed), kind="stable"), kind="stable")
    found, start = {}, 0
    for share, size in SHARES.items():
        stop = start + max(2, round(size * len(events)))
        found[share] = events.mask((rank >= start) & (rank < stop))
        start = stop
    return {"train": events.mask(rank >= start), **found}


def _origin(parts: plugins.Parts, sample: Sample) -> dict[str, Any]:
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "packages": {name: version(name) for name in provenance.PACKAGES},
        "plugins": dict(parts.versions),
        "data": [{"path": "events in memory", "events": len(sample), "hash": sample.fingerprint()}],
        "device": str(resolve_device(parts.recipe.train.device)),
        "threads": parts.recipe.train.threads,
    }
