"""One split of a data set: the events that both sides train on, and those that both are tested on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from hepanom import metrics, plugins, shares
from hepanom.document import Document, read
from hepanom.evaluate import FLOOR
from hepanom.events import Events
from hepanom.preparation import chosen, fit_transforms
from hepanom.prepared import prepare
from hepanom.stream import SHARES, category_values, with_category

RECIPES = Path(__file__).parents[2] / "recipes"
BACKGROUND_EFFICIENCIES = (0.1, 0.01, 0.001)


@dataclass(frozen=True)
class Sample:
    """The events of a recipe by share.

    ``categories`` are the labels of the models that the recipe wants; test events carry theirs, and ``anomaly`` says
    which of them are anomalies.
    """

    document: Document
    events: Mapping[str, Events]
    categories: tuple[str, ...]
    anomaly: Bool[np.ndarray, " event"]

    @property
    def test(self) -> Events:
        """Return the test events."""
        return self.events["test"]


def draw(recipe: str, overrides: Sequence[str], seed: int, most: int | None = None) -> Sample:
    """Return the split of a recipe that a seed makes, with at most so many events to train on.

    The seed is that of the training too. Which training events stay depends on their ids and the seed alone: some of
    the background where the recipe trains on background, else some of all.
    """
    document = read(RECIPES / f"{recipe}.yaml", [f"seed={seed}", f"split.seed={seed}", *overrides])
    parts = plugins.build(document)
    whole = shares.read(parts, shares.memory_bytes(parts.recipe))
    events = {name: Events.concat(found) for name in SHARES if (found := list(whole.chunks(name)))}
    trained, train = whole.trained(), events["train"]
    events["train"] = _fewer(train if trained is None else train.mask(np.isin(train.label, list(trained))), most)
    labels, _, _ = category_values(events["train"], parts.recipe.train.per, parts.schema)
    events["test"] = with_category(events["test"], parts.recipe.train.per, labels, parts.schema)
    anomaly = ~np.isin(events["test"].label, list(whole.background()))
    return Sample(document, events, labels, anomaly)


def _fewer(events: Events, most: int | None) -> Events:
    if most is None or len(events) <= most:
        return events
    keep = np.zeros(len(events), np.bool_)
    keep[np.argsort(events.event_id, kind="stable")[:most]] = True
    return events.mask(keep)


@dataclass(frozen=True)
class Prepared:
    """One category's features after the recipe's transforms, as its model sees them.

    ``where`` says which of the sample's test events stand in the rows of ``test``.
    """

    train: Float32[np.ndarray, "event feature"]
    test: Float32[np.ndarray, "other feature"]
    where: Int[np.ndarray, " other"]


def prepared(sample: Sample) -> Iterator[Prepared]:
    """Yield the features of each category."""
    parts = plugins.build(sample.document)
    held = shares.held(parts, sample.events)
    for index in range(len(sample.categories)):
        source = chosen(held, "train", sample.categories, index)
        states, schema = fit_transforms(parts, source)
        name, _ = schema.table()
        here = sample.test.category == index
        train = Events.concat([prepare(parts, states, chunk) for chunk in source])
        test = prepare(parts, states, sample.test.mask(here))
        features = [np.asarray(events.inputs[name], np.float32) for events in (train, test)]
        yield Prepared(features[0], features[1], np.flatnonzero(here))


def numbers(sample: Sample, score: Float[np.ndarray, " event"]) -> dict[str, float]:
    """Return AUC, signal efficiencies and largest SIC of a score on the test events, with their weights.

    Several categories' cuts stand at equal background efficiency in each of them, as in every report
    (``metrics.pooled_rank``). A number that the events cannot give is NaN.
    """
    test = sample.test
    if len(sample.categories) > 1:
        score = metrics.pooled_rank(score, test.category, sample.anomaly, test.weight)
    curve = metrics.roc(score, sample.anomaly, test.weight)
    efficiencies = {
        f"signal_efficiency_{wanted:g}": metrics.signal_efficiency(curve, wanted) for wanted in BACKGROUND_EFFICIENCIES
    }
    return {"auc": metrics.auc(curve), **efficiencies, "max_sic": metrics.max_sic(curve, FLOOR)}
