"""Meet the test share: scores, flags, numbers and the strangest events of a fitted detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from hepanom.contracts import Epoch
from hepanom.detector import Detector, decision, dropped, explain, flags, latent, score
from hepanom.errors import InputError
from hepanom.evaluate import Scored, apply_expected, evaluate
from hepanom.events import Events
from hepanom.plugins import Parts
from hepanom.result import Count, Latent, Result, Sample, Strange
from hepanom.stream import category_labels, counts, is_background, rule_weight, with_category, with_weight

STRANGEST = 10
LATENT_EVENTS = 5_000


def refuse_test(parts: Parts, shares: Mapping[str, Events]) -> None:
    """Raise InputError, before any training, for a test share that could not be evaluated after it."""
    recipe, test = parts.recipe, shares["test"]
    if len(test) == 0:
        which = f"{recipe.split.column} in {recipe.split.test}" if recipe.split.column else "a place in the test share"
        raise InputError(
            f"no event has {which}, so there is nothing to test on; files without such events are split by shares: "
            "--set 'split={train: 0.5, valid: 0.1, calibrate: 0, test: 0.4}'"
        )
    train = shares["train"]
    if recipe.train.on == "background":
        train = train.mask(is_background(train, parts.schema.classes, recipe.background))
    if recipe.train.per is not None and len(train) > 0:
        labels = category_labels(train, recipe.train.per, parts.schema)
        with_category(test, recipe.train.per, labels, parts.schema)
    apply_expected(test.weight, test.label, parts.schema.classes, recipe.evaluate.expected)


def assess(
    detector: Detector,
    histories: Mapping[tuple[str, int], Sequence[Epoch]],
    shares: Mapping[str, Events],
    unused: int,
) -> tuple[Result, Events, Mapping[str, Float[np.ndarray, " event"]]]:
    """Score and evaluate the test share; return the result, the test events and their decision scores."""
    parts, recipe = detector.parts, detector.parts.recipe
    test = with_category(shares["test"], recipe.train.per, detector.categories, parts.schema)
    scores = score(detector, test)
    decided = decision(detector, scores, test.category)
    weight = apply_expected(test.weight, test.label, parts.schema.classes, recipe.evaluate.expected)
    anomaly = _anomaly(detector, test)
    scored = Scored(
        scores, _flags(detector, scores, test.category), test.category, detector.categories, anomaly, weight
    )
    numbers = evaluate(
        scored,
        recipe.evaluate.metrics,
        b_reg=recipe.evaluate.b_reg,
        resamples=recipe.evaluate.resamples,
        seed=recipe.seed,
    )
    result = Result(
        name=recipe.name,
        recipe=parts.document.text(),
        schema=parts.schema,
        categories=detector.categories,
        background=recipe.background,
        provenance=detector.provenance,
        counts=counts(shares, parts.schema.classes),
        unused=unused,
        dropped=dropped(detector),
        histories=histories,
        numbers=numbers,
        thresholds=_counts(detector, test, decided),
        train=_train_sample(detector, shares["train"]),
        test=Sample(decided, test.category, anomaly, test.weight),
        scored=scored,
        latent=_latent(detector, test, anomaly, decided),
        strangest={label: _strangest(detector, test, label, values) for label, values in decided.items()},
    )
    return result, test, decided


def _anomaly(detector: Detector, events: Events) -> Int[np.ndarray, " event"]:
    """Return 1 for an anomaly, 0 for background, -1 where the label is not known."""
    parts = detector.parts
    background = is_background(events, parts.schema.classes, parts.recipe.background)
    return np.where(events.label < 0, -1, ~background).astype(np.int64)


def _flags(
    detector: Detector, scores: Mapping[str, Float[np.ndarray, "replica event"]], category: Int[np.ndarray, " event"]
) -> dict[tuple[str, str], Bool[np.ndarray, "replica event"]]:
    return {
        (scorer, rule.label): np.stack(
            [flags(detector, row, category, scorer, rule.label, replica) for replica, row in enumerate(rows)]
        )
        for scorer, rows in scores.items()
        for rule in detector.parts.recipe.thresholds
    }


def _counts(detector: Detector, test: Events, decided: Mapping[str, Float[np.ndarray, " event"]]) -> list[Count]:
    recipe = detector.parts.recipe
    weighted = {rule.label: rule_weight(recipe, rule) for rule in recipe.thresholds}
    found = []
    for entry in detector.thresholds:
        if entry.replica == detector.decides:
            here = test.category == detector.categories.index(entry.category)
            weight = with_weight(test, weighted[entry.name]).weight[here]
            flagged = decided[entry.scorer][here] > entry.cut
            expected = [float(weight.sum() * share) for share in (entry.background_efficiency, entry.low, entry.high)]
            found.append(Count(entry, len(weight), int(flagged.sum()), float(weight[flagged].sum()), *expected))
    return found


def _train_sample(detector: Detector, events: Events) -> Sample:
    parts = detector.parts
    background = events.mask(is_background(events, parts.schema.classes, parts.recipe.background))
    background = with_category(background, parts.recipe.train.per, detector.categories, parts.schema)
    decided = decision(detector, score(detector, background), background.category)
    return Sample(decided, background.category, np.zeros(len(background), np.int64), background.weight)


def _latent(
    detector: Detector,
    test: Events,
    anomaly: Int[np.ndarray, " event"],
    decided: Mapping[str, Float[np.ndarray, " event"]],
) -> Latent | None:
    """Return the plane of the latent code: the code itself, its principal components, or one code and the score."""
    chosen = np.zeros(len(test), bool)
    generator = np.random.default_rng(detector.parts.recipe.seed)
    chosen[generator.permutation(len(test))[:LATENT_EVENTS]] = True
    codes = latent(detector, test.mask(chosen))
    if codes is None:
        return None
    axes = ("latent 1", "latent 2")
    if codes.shape[1] == 1:
        scorer, values = next(iter(decided.items()))
        codes, axes = np.column_stack([codes[:, 0], values[chosen]]), ("latent 1", f"{scorer} score")
    elif codes.shape[1] > 2:
        axes = ("component 1", "component 2")
        plane = np.zeros((len(codes), 2))
        for category in np.unique(test.category[chosen]):  # every category's network has a latent space of its own
            here = test.category[chosen] == category
            plane[here] = _components(codes[here])
        codes = plane
    return Latent(codes, axes, test.category[chosen], anomaly[chosen])


def _components(codes: Float[np.ndarray, "event latent"]) -> Float[np.ndarray, "event 2"]:
    """Return the first two principal components."""
    centred = codes - codes.mean(0)
    directions = np.linalg.eigh(centred.T @ centred)[1][:, :-3:-1]
    return np.asarray(centred @ directions)


def _strangest(detector: Detector, test: Events, scorer: str, values: Float[np.ndarray, " event"]) -> list[Strange]:
    """Return the test events with the highest scores and the features that made them so, in the file's units."""
    top = np.argsort(-values, kind="stable")[:STRANGEST]
    chosen = np.zeros(len(test), bool)
    chosen[top] = True
    events = test.mask(chosen)
    order = np.argsort(-values[chosen], kind="stable")
    explainer, parts = _explanation(detector, events, scorer)
    name, table = detector.parts.schema.table()
    found = []
    for row in order.tolist():
        raw = dict(zip(table.columns, np.asarray(events.inputs[name])[row].tolist(), strict=True))
        units = dict(zip(table.columns, table.units, strict=True))
        ranked = sorted(parts[row].items(), key=lambda part: -part[1])[:5]
        label = int(events.label[row])
        found.append(
            Strange(
                identity={key: str(column[row]) for key, column in events.beside.items()}
                or {"event_id": f"{events.event_id[row]:016x}"},
                category=detector.categories[events.category[row]],
                truth=detector.parts.schema.classes[label] if label >= 0 else "unknown",
                weight=float(events.weight[row]),
                score=float(values[chosen][row]),
                explained_by=explainer,
                features=[
                    (column, raw.get(column, float("nan")), units.get(column, ""), part) for column, part in ranked
                ],
            )
        )
    return found


def _explanation(detector: Detector, events: Events, scorer: str) -> tuple[str, list[dict[str, float]]]:
    """Return the features' shares of a score that has such parts, the wanted one where it can, and its name."""
    for label in dict.fromkeys((scorer, *detector.parts.scorers)):
        parts = explain(detector, events, label)
        if any(parts):
            return label, parts
    return "", [{} for _ in range(len(events))]
