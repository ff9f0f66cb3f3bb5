"""Meet the test share: scores, flags, numbers and the strangest events of a fitted detector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from hepanom.contracts import Epoch
from hepanom.detector import Detector, decision, flags, score
from hepanom.errors import InputError
from hepanom.evaluate import Scored, apply_expected, evaluate, expected_factors
from hepanom.events import Events
from hepanom.fit import background_scores
from hepanom.insight import dropped, explain, latent, reconstructions
from hepanom.probe import Probe, probe
from hepanom.result import Count, Latent, Picture, Result, Sample, Strange
from hepanom.shares import Shares, counts
from hepanom.stream import refuse_unknown, rule_weight, weighed, with_category

STRANGEST = 10
LATENT_EVENTS = 5_000
PICTURES = 5


def refuse_test(shares: Shares) -> None:
    """Raise InputError, before any training, for a test share that could not be evaluated after it."""
    recipe = shares.parts.recipe
    if shares.total("test").events == 0:
        which = f"{recipe.split.column} in {recipe.split.test}" if recipe.split.column else "a place in the test share"
        raise InputError(
            f"no event has {which}, so there is nothing to test on; files without such events are split by shares: "
            "--set 'split={train: 0.5, valid: 0.1, calibrate: 0, test: 0.4}'"
        )
    known = shares.categories({"train"}, shares.trained())
    if known:
        refuse_unknown(recipe.train.per, shares.categories({"test"}, None), known)
    expected_factors(counts(shares)["test"], recipe.evaluate.expected)


@dataclass(frozen=True)
class _Met:
    """What is kept of a chunk of test events: scores by scorer, the detector's decision scores, what they count for."""

    scores: Mapping[str, Float[np.ndarray, "replica event"]]
    decided: Mapping[str, Float[np.ndarray, " event"]]
    category: Int[np.ndarray, " event"]
    label: Int[np.ndarray, " event"]
    weight: Float[np.ndarray, " event"]


def assess(
    detector: Detector,
    histories: Mapping[tuple[str, int], Sequence[Epoch]],
    shares: Shares,
    write: Callable[[Events, Mapping[str, Float[np.ndarray, " event"]]], None] = lambda events, decided: None,
) -> Result:
    """Score and evaluate the test share; ``write`` is given its events, chunk by chunk, with their decision scores."""
    parts, recipe = detector.parts, detector.parts.recipe
    met: list[_Met] = []
    codes: dict[int, list[Float[np.ndarray, "replica _ latent"]]] = {}
    looked_at = recipe.evaluate.latent.events if recipe.evaluate.latent else LATENT_EVENTS
    strangest: dict[str, tuple[Events, Float[np.ndarray, " event"]]] = {}
    sampled = np.zeros(shares.total("test").events, bool)
    sampled[np.random.default_rng(recipe.seed).permutation(len(sampled))[:looked_at]] = True
    position, first = 0, None
    for chunk in shares.chunks("test"):
        events = with_category(chunk, recipe.train.per, detector.categories, parts.schema)
        scores = score(detector, events)
        decided = decision(detector, scores, events.category)
        write(events, decided)
        met.append(_Met(scores, decided, events.category, events.label, events.weight))
        found = latent(detector, events.mask(sampled[position : position + len(events)]))
        for category, pieces in found.items():
            codes.setdefault(category, []).append(pieces)
        position += len(events)
        first = events.mask(np.arange(len(events)) < PICTURES) if first is None else first
        strangest = {label: _top(strangest.get(label), events, values) for label, values in decided.items()}
    test = _joined(met)
    joined = {category: np.concatenate(pieces, axis=1) for category, pieces in codes.items()}
    weight = apply_expected(test.weight, test.label, parts.schema.classes, recipe.evaluate.expected)
    anomaly = _anomaly(detector, test.label)
    scored = Scored(
        test.scores, _flags(detector, test.scores, test.category), test.category, detector.categories, anomaly, weight
    )
    numbers = evaluate(
        scored,
        recipe.evaluate.metrics,
        b_reg=recipe.evaluate.b_reg,
        resamples=recipe.evaluate.resamples,
        seed=recipe.seed,
    )
    return Result(
        name=recipe.name,
        recipe=parts.document.text(),
        schema=parts.schema,
        categories=detector.categories,
        background=recipe.background,
        provenance=detector.provenance,
        counts=counts(shares),
        unused=shares.unused,
        dropped=dropped(detector),
        tally=_tally(detector, shares),
        skipped=shares.skipped,
        histories=histories,
        numbers=numbers,
        thresholds=_counts(detector, test),
        train=_train_sample(detector, shares),
        test=Sample(test.decided, test.category, anomaly, test.weight),
        scored=scored,
        latent=_latent(joined, test, anomaly, sampled),
        probes=_probes(detector, joined, test, sampled),
        strangest={label: _strangest(detector, label, *found) for label, found in strangest.items()},
        pictures=[
            *_pictures(detector, "first of the test share", first),
            *_strange_pictures(detector, strangest),
        ],
    )


def _joined(met: Sequence[_Met]) -> _Met:
    first = met[0]
    return _Met(
        {label: np.concatenate([each.scores[label] for each in met], axis=1) for label in first.scores},
        {label: np.concatenate([each.decided[label] for each in met]) for label in first.decided},
        np.concatenate([each.category for each in met]),
        np.concatenate([each.label for each in met]),
        np.concatenate([each.weight for each in met]),
    )


def _top(
    so_far: tuple[Events, Float[np.ndarray, " top"]] | None, events: Events, values: Float[np.ndarray, " event"]
) -> tuple[Events, Float[np.ndarray, " best"]]:
    """Return the events with the highest scores of those so far and of a chunk, in the order of the data."""
    if so_far is not None:
        events, values = Events.concat([so_far[0], events]), np.concatenate([so_far[1], values])
    keep = np.zeros(len(values), bool)
    keep[np.argsort(-values, kind="stable")[:STRANGEST]] = True
    return events.mask(keep), values[keep]


def _tally(detector: Detector, shares: Shares) -> dict[str, int]:
    """Return what the reader did to all events, and the transforms to those that train."""
    done = Counter[str]()
    for model in detector.models.values():
        done.update(model.tally)
    return {**shares.tally, **{f"{what} (training events)": count for what, count in done.items()}}


def _anomaly(detector: Detector, label: Int[np.ndarray, " event"]) -> Int[np.ndarray, " event"]:
    """Return 1 for an anomaly, 0 for background, -1 where the label is not known."""
    recipe, classes = detector.parts.recipe, detector.parts.schema.classes
    anomalous = ~np.isin(label, [classes.index(name) for name in recipe.background]) & bool(recipe.background)
    return np.where(label < 0, -1, anomalous).astype(np.int64)


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


def _counts(detector: Detector, test: _Met) -> list[Count]:
    recipe = detector.parts.recipe
    weighted = {rule.label: rule_weight(recipe, rule) for rule in recipe.thresholds}
    found = []
    for entry in detector.thresholds:
        if entry.replica == detector.decides:
            here = test.category == detector.categories.index(entry.category)
            weight = weighed(test.weight, weighted[entry.name])[here]
            flagged = test.decided[entry.scorer][here] > entry.cut
            expected = [float(weight.sum() * share) for share in (entry.background_efficiency, entry.low, entry.high)]
            found.append(Count(entry, len(weight), int(flagged.sum()), float(weight[flagged].sum()), *expected))
    return found


def _train_sample(detector: Detector, shares: Shares) -> Sample:
    found = background_scores(detector, shares, "train")
    decided = decision(detector, found.scores, found.category)
    return Sample(decided, found.category, np.zeros(len(found.weight), np.int64), found.weight)


def _strange_pictures(
    detector: Detector, strangest: Mapping[str, tuple[Events, Float[np.ndarray, " event"]]]
) -> list[Picture]:
    """Return the images of the highest scores of the first scorer, the highest first."""
    scorer, (events, values) = next(iter(strangest.items()))
    found = _pictures(detector, f"strangest by {scorer}", events)
    return [found[position] for position in np.argsort(-values, kind="stable")[:PICTURES].tolist()] if found else []


def _pictures(detector: Detector, why: str, events: Events | None) -> list[Picture]:
    """Return the images of these events, in their order; none where the network sees no images."""
    if events is None:
        return []
    classes, found = detector.parts.schema.classes, {}
    for position, pair in reconstructions(detector, events):
        category, label = int(events.category[position]), int(events.label[position])
        schema = detector.models[detector.categories[category]].schema
        channels = next(entry.columns for entry in schema.inputs.values() if entry.kind == "image")
        found[position] = Picture(category, classes[label] if label >= 0 else "unknown", why, channels, pair)
    return [found[position] for position in sorted(found)]


Codes = Mapping[int, Float[np.ndarray, "replica _ latent"]]


def _probes(detector: Detector, codes: Codes, test: _Met, sampled: Bool[np.ndarray, " event"]) -> dict[str, Probe]:
    """Return what the codes of each category know of the classes, where the recipe asks for that."""
    recipe, classes = detector.parts.recipe, detector.parts.schema.classes
    category, label, options = test.category[sampled], test.label[sampled], recipe.evaluate.latent
    return {
        detector.categories[index]: probe(codes[index], label[category == index], classes, options, recipe.seed)
        for index in sorted(codes)
        if options is not None
    }


def _latent(
    codes: Codes, test: _Met, anomaly: Int[np.ndarray, " event"], sampled: Bool[np.ndarray, " event"]
) -> Latent | None:
    """Return the plane of the first replica's code: the code itself, its principal components, or code and score."""
    if not codes:
        return None
    category, width = test.category[sampled], max(found.shape[2] for found in codes.values())
    scorer, values = next(iter(test.decided.items()))
    axes = {1: ("latent 1", f"{scorer} score"), 2: ("latent 1", "latent 2")}.get(width, ("component 1", "component 2"))
    plane = np.zeros((len(category), 2))
    for index, (first, *_) in codes.items():  # every category's network has a latent space of its own
        here = category == index
        if width == 1:
            plane[here] = np.column_stack([first[:, 0], values[sampled][here]])
        else:
            padded = np.pad(first, ((0, 0), (0, width - first.shape[1])))
            plane[here] = padded if width == 2 else _components(padded)
    return Latent(plane, axes, category, anomaly[sampled])


def _components(codes: Float[np.ndarray, "event latent"]) -> Float[np.ndarray, "event 2"]:
    """Return the first two principal components."""
    centred = codes - codes.mean(0)
    directions = np.linalg.eigh(centred.T @ centred)[1][:, :-3:-1]
    return np.asarray(centred @ directions)


def _strangest(detector: Detector, scorer: str, events: Events, values: Float[np.ndarray, " event"]) -> list[Strange]:
    """Return the highest scores first, with the features of the tables that made them so, in the file's units."""
    order = np.argsort(-values, kind="stable")
    explainer, parts = _explanation(detector, events, scorer)
    tables = {name: entry for name, entry in detector.parts.schema.inputs.items() if entry.kind == "table"}
    units = {column: unit for entry in tables.values() for column, unit in zip(entry.columns, entry.units, strict=True)}
    found = []
    for row in order.tolist():
        raw = {
            column: value
            for name, entry in tables.items()
            for column, value in zip(entry.columns, np.asarray(events.inputs[name])[row].tolist(), strict=True)
        }
        ranked = sorted(parts[row].items(), key=lambda part: -part[1])[:5]
        label = int(events.label[row])
        found.append(
            Strange(
                identity={key: str(column[row]) for key, column in events.beside.items()}
                or {"event_id": f"{events.event_id[row]:016x}"},
                category=detector.categories[events.category[row]],
                truth=detector.parts.schema.classes[label] if label >= 0 else "unknown",
                weight=float(events.weight[row]),
                score=float(values[row]),
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
