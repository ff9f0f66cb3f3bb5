"""Meet the test share: scores, flags, numbers and the strangest events of a fitted detector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

from hepanom.blame import blame
from hepanom.contracts import Epoch
from hepanom.decisions import Met, counts_of, flags_of, flatness_of
from hepanom.detector import Detector, columns_of, decision, score
from hepanom.displays import displays
from hepanom.errors import InputError
from hepanom.evaluate import Scored, apply_expected, evaluate, expected_factors
from hepanom.events import Events
from hepanom.fit import background_scores
from hepanom.gallery import PICTURES, gallery
from hepanom.insight import dropped, latent, strange
from hepanom.learnt import Learnt
from hepanom.plane import Scatter, components, scatter
from hepanom.probe import Probe, probe
from hepanom.result import Latent, Result, Sample
from hepanom.sampling import learnt, most_events
from hepanom.sculpting import Variables, sculpting, variables
from hepanom.shares import Shares, counts
from hepanom.stop import limit
from hepanom.stream import refuse_unknown, with_category

STRANGEST = 10
LATENT_EVENTS = 5_000


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


@blame()
def assess(
    detector: Detector,
    histories: Mapping[tuple[str, int], Sequence[Epoch]],
    shares: Shares,
    write: Callable[[Events, Mapping[str, Float[np.ndarray, " event"]]], None] = lambda events, decided: None,
) -> Result:
    """Score and evaluate the test share; ``write`` is given its events, chunk by chunk, with their decision scores."""
    parts, recipe = detector.parts, detector.parts.recipe
    met: list[Met] = []
    ids: list[UInt64[np.ndarray, " _"]] = []
    beside: list[Variables] = []
    codes: dict[int, list[Float[np.ndarray, "replica _ latent"]]] = {}
    looked_at = recipe.evaluate.latent.events if recipe.evaluate.latent else LATENT_EVENTS
    strangest: dict[str, tuple[Events, Float[np.ndarray, " event"]]] = {}
    sampled = _drawn(shares.total("test").events, looked_at, recipe.seed)
    usual, first = list[Events](), None
    drawn = _drawn(shares.total("test", shares.background() | {-1}).events, most_events(detector), recipe.seed)
    position = passed = 0
    for chunk in shares.chunks("test"):
        events = with_category(chunk, recipe.train.per, detector.categories, parts.schema)
        scores = score(detector, events)
        decided = decision(detector, scores, events.category)
        write(events, decided)
        columns = columns_of(detector, events)
        ids.append(events.event_id)
        met.append(Met(scores, decided, events.category, events.label, events.weight, columns))
        beside.append(variables(detector, events))
        found = latent(detector, events.mask(sampled[position : position + len(events)]))
        for category, pieces in found.items():
            codes.setdefault(category, []).append(pieces)
        position += len(events)
        first = events.mask(np.arange(len(events)) < PICTURES) if first is None else first
        keep = anomaly_of(detector, events.label) < 1
        keep[keep] = drawn[passed : (passed := passed + int(keep.sum()))]
        usual.append(events.mask(keep))
        strangest = {label: _top(strangest.get(label), events, values) for label, values in decided.items()}
    test = _joined(met)
    joined = {category: np.concatenate(pieces, axis=1) for category, pieces in codes.items()}
    weight = apply_expected(test.weight, test.label, parts.schema.classes, recipe.evaluate.expected)
    anomaly = anomaly_of(detector, test.label)
    scored = Scored(
        test.scores,
        flags_of(detector, test.scores, test.category, test.columns),
        test.category,
        detector.categories,
        anomaly,
        weight,
    )
    network = next(iter(detector.models.values())).members[0].network
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
        tally={**_tally(detector, shares), **_repeated(ids)},
        skipped=shares.skipped,
        histories=histories,
        numbers=numbers,
        thresholds=counts_of(detector, test),
        flatness=flatness_of(detector, test, anomaly),
        train=_train_sample(detector, shares),
        test=Sample(test.decided, test.category, anomaly, test.weight),
        scored=scored,
        latent=_latent(joined, test, anomaly, sampled),
        probes=_probes(detector, joined, test, sampled),
        strangest={label: strange(detector, label, *found) for label, found in strangest.items()},
        endings=detector.provenance.get("training", {}),
        guards=(*network.guards(), *map(limit, recipe.train.stop)),
        scatters=_scatters(detector, joined, test, sampled),
        pictures=gallery(detector, first, strangest),
        learnt=_learnt(detector, usual, joined, test, sampled),
        displays=displays(detector, next((events for events in usual if len(events)), None), strangest),
        against=sculpting(detector, test, _together(beside), anomaly),
    )


def _together(beside: Sequence[Variables]) -> Variables:
    return {name: np.concatenate([each[name] for each in beside]) for name in beside[0]}


def _joined(met: Sequence[Met]) -> Met:
    first = met[0]
    return Met(
        {label: np.concatenate([each.scores[label] for each in met], axis=1) for label in first.scores},
        {label: np.concatenate([each.decided[label] for each in met]) for label in first.decided},
        np.concatenate([each.category for each in met]),
        np.concatenate([each.label for each in met]),
        np.concatenate([each.weight for each in met]),
        {name: np.concatenate([each.columns[name] for each in met]) for name in first.columns},
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
    told = {**shares.tally, **{f"{what} (training events)": count for what, count in done.items()}}
    held = ("train", "valid", "calibrate")
    if detector.parts.recipe.train.weighted == "absolute" and (
        negative := sum(shares.total(name, shares.trained()).negative for name in held)
    ):
        told["negative background weights, whose magnitude counts in training and thresholds"] = negative
    return told


def _repeated(ids: Sequence[UInt64[np.ndarray, " _"]]) -> dict[str, int]:
    """Return how many entries are one more of an event: every interval is narrower than their number supports."""
    entries = np.concatenate(ids)
    more = len(entries) - len(np.unique(entries))
    return {"test entries with the id of another (intervals take each for an event of its own)": more} if more else {}


def anomaly_of(detector: Detector, label: Int[np.ndarray, " event"]) -> Int[np.ndarray, " event"]:
    """Return 1 for an anomaly, 0 for background, -1 where the label is not known."""
    recipe, classes = detector.parts.recipe, detector.parts.schema.classes
    anomalous = ~np.isin(label, [classes.index(name) for name in recipe.background]) & bool(recipe.background)
    return np.where(label < 0, -1, anomalous).astype(np.int64)


def _train_sample(detector: Detector, shares: Shares) -> Sample:
    found = background_scores(detector, shares, "train")
    decided = decision(detector, found.scores, found.category)
    return Sample(decided, found.category, np.zeros(len(found.weight), np.int64), found.weight)


def _drawn(number: int, most: int, seed: int) -> Bool[np.ndarray, " event"]:
    """Return which of so many events are in a random sample of at most ``most``."""
    found = np.zeros(number, bool)
    found[np.random.default_rng(seed).permutation(number)[:most]] = True
    return found


Codes = Mapping[int, Float[np.ndarray, "replica _ latent"]]


def _probes(detector: Detector, codes: Codes, test: Met, sampled: Bool[np.ndarray, " event"]) -> dict[str, Probe]:
    """Return what the codes of each category know of the classes, where the recipe asks for that."""
    recipe, classes = detector.parts.recipe, detector.parts.schema.classes
    category, label, options = test.category[sampled], test.label[sampled], recipe.evaluate.latent
    return {
        detector.categories[index]: probe(codes[index], label[category == index], classes, options, recipe.seed)
        for index in sorted(codes)
        if options is not None
    }


def _scatters(detector: Detector, codes: Codes, test: Met, sampled: Bool[np.ndarray, " event"]) -> dict[str, Scatter]:
    """Return the codes of each category's first network in two dimensions, where the recipe asks for that."""
    recipe, classes = detector.parts.recipe, detector.parts.schema.classes
    category, label, options = test.category[sampled], test.label[sampled], recipe.evaluate.latent
    if options is None or options.picture == "none":
        return {}
    planes = {
        detector.categories[index]: scatter(first, label[category == index], classes, options.picture, recipe.seed)
        for index, (first, *_) in sorted(codes.items())
    }
    return {category: plane for category, plane in planes.items() if plane is not None}


def _learnt(
    detector: Detector, usual: Sequence[Events], codes: Codes, test: Met, sampled: Bool[np.ndarray, " event"]
) -> dict[str, Learnt]:
    """Return what networks can show of what they have learnt, beside test events that are not known as anomalies."""
    if not detector.parts.recipe.evaluate.pictures:
        return {}
    category, keep = test.category[sampled], anomaly_of(detector, test.label[sampled]) < 1
    around = {index: first[keep[category == index]] for index, (first, *_) in codes.items()}
    return learnt(detector, Events.concat(usual), around)


def _latent(
    codes: Codes, test: Met, anomaly: Int[np.ndarray, " event"], sampled: Bool[np.ndarray, " event"]
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
            plane[here] = padded if width == 2 else components(padded)
    return Latent(plane, axes, category, anomaly[sampled])
