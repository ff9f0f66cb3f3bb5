"""Fit a detector: transforms, networks and thresholds, from every share but the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from jaxtyping import Bool

from hepanom import checkpoint, train
from hepanom.contracts import Batch, Epoch, State
from hepanom.detector import (
    CategoryModel,
    Detector,
    Member,
    decision,
    outputs,
    prepare,
    rank_table,
    score,
    threads,
)
from hepanom.errors import InputError
from hepanom.events import Events, Schema, hash64
from hepanom.plugins import Parts
from hepanom.recipe import Recipe, Rule
from hepanom.stream import category_labels, is_background, rule_weight, to_batch, with_category, with_weight
from hepanom.thresholds import Threshold, threshold

Watch = Callable[[str, int, Epoch], None]
Histories = dict[tuple[str, int], list[Epoch]]


def fit(
    parts: Parts,
    shares: Mapping[str, Events],
    provenance: Mapping[str, Any],
    watch: Watch = lambda category, replica, record: None,
    checkpoints: Path | None = None,
) -> tuple[Detector, Histories]:
    """Train on the training share and set thresholds on held-out background; the test share is not looked at.

    ``watch`` is called after each epoch. With a ``checkpoints`` folder every epoch is written there, and a training
    that it holds goes on where it stopped, bit for bit. Returns the detector and the epochs by (category, replica).
    Raises InputError where a category has no background to train, stop or set thresholds on.
    """
    recipe = parts.recipe
    chosen = {name: _chosen(shares[name], parts) for name in ("train", "valid", "calibrate")}
    if recipe.split.calibrate == 0:
        chosen["calibrate"] = chosen["valid"]
    chosen, labels = _by_category(chosen, parts)
    _refuse_weights(chosen, recipe, labels)
    models: dict[str, CategoryModel] = {}
    histories: Histories = {}
    with threads(recipe.train.threads):
        for index, label in enumerate(labels):
            background = {
                name: with_weight(events.mask(events.category == index), recipe.train.weighted)
                for name, events in chosen.items()
            }
            states, schema, table = _fit_transforms(parts, background["train"])
            device = train.resolve_device(recipe.train.device)
            tables = (
                to_batch(table, schema, device),
                to_batch(prepare(parts, states, background["valid"]), schema, device),
            )
            members = []
            for replica in range(recipe.train.replicas):
                training = _train(parts, schema, tables, (label, replica), checkpoints, watch)
                histories[label, replica] = training.history
                members.append(_member(parts, training.network.eval(), tables[0]))
            models[label] = CategoryModel(states, schema, tuple(members))
    background = {name: events.mask(_is_background(events, parts)) for name, events in chosen.items()}
    return _with_thresholds(Detector(parts, models, (), provenance), background), histories


def _chosen(events: Events, parts: Parts) -> Events:
    """Return the events that may train: background, or everything."""
    if parts.recipe.train.on == "all":
        return events
    return events.mask(_is_background(events, parts))


def _is_background(events: Events, parts: Parts) -> Bool[np.ndarray, " event"]:
    return is_background(events, parts.schema.classes, parts.recipe.background)


def _by_category(chosen: Mapping[str, Events], parts: Parts) -> tuple[dict[str, Events], tuple[str, ...]]:
    """Return the events with their categories, and the categories' labels.

    Raises InputError, naming share and category, where fewer than two events are left to train on, or fewer than two
    of background to set thresholds on.
    """
    recipe, per = parts.recipe, parts.recipe.train.per
    cutting = {"calibrate", *(rule.on for rule in recipe.thresholds)}
    background = f"background ({', '.join(recipe.background) or 'all'})"
    whats = {name: "event" if recipe.train.on == "all" and name not in cutting else background for name in chosen}
    for name, events in chosen.items():
        if len(events) == 0:
            raise InputError(f"no {whats[name]} is left in the {name} share; give split.{name} more events")
    labels = category_labels(Events.concat(list(chosen.values())), per, parts.schema)
    found = {name: with_category(events, per, labels, parts.schema) for name, events in chosen.items()}
    for name, events in found.items():
        what = whats[name]
        counted = events.category if what == "event" else events.category[_is_background(events, parts)]
        for label, count in zip(labels, np.bincount(counted, minlength=len(labels)), strict=True):
            if count < 2:
                which, remedy = (f"where {per} is {label}, ", ", or leave train.per out") if per else ("", "")
                raise InputError(
                    f"{which}{count or 'no'} {what} is left in the {name} share, two are needed at least; give "
                    f"split.{name} more events{remedy}"
                )
    return found, labels


def _refuse_weights(chosen: Mapping[str, Events], recipe: Recipe, labels: Sequence[str]) -> None:
    """Raise InputError for weights with which nothing can be learnt or cut."""
    trained = recipe.train.weighted
    for name, events in chosen.items():
        for index, label in enumerate(labels):
            if trained and not events.weight[events.category == index].any():
                raise InputError(
                    f"category {label}: all weights in the {name} share are zero; choose another weight column, or "
                    "train: {weighted: false}"
                )
        found = f"{np.count_nonzero(events.weight < 0)} of {len(events)} weights in the {name} share are negative"
        if trained == "absolute" or (events.weight >= 0).all():
            continue
        if trained:
            raise InputError(
                f"{found}, and a network cannot learn from them; choose train: {{weighted: absolute}} or "
                "train: {weighted: false}"
            )
        for rule in recipe.thresholds:
            if rule.weighted and rule.on == name:
                raise InputError(
                    f"{found}, and have no quantiles; set weighted: false for the threshold {rule.label} too, or "
                    "choose train: {weighted: absolute}"
                )


def _fit_transforms(parts: Parts, events: Events) -> tuple[tuple[State, ...], Schema, Events]:
    """Fit each transform on what the ones before it give; return states, final schema and the events after all."""
    states, schema = [], parts.schema
    for transform in parts.transforms.values():
        state = transform.finish(transform.measure(events, schema))
        events = transform.apply(events, schema, state)
        schema = transform.schema(schema, state)
        states.append(state)
    return tuple(states), schema, events


def _train(
    parts: Parts,
    schema: Schema,
    tables: tuple[Batch, Batch],
    who: tuple[str, int],
    checkpoints: Path | None,
    watch: Watch,
) -> train.Training:
    """Train one replica of one category, or what is left to train of it."""
    label, replica = who
    seed = int(hash64([np.array([label]), np.array([replica])], parts.recipe.seed)[0] >> np.uint64(1))
    torch.manual_seed(seed)
    training = train.start(parts.model.build(schema).to(tables[0].weight.device), parts.recipe.train, seed)
    path = checkpoints / file_name(label, replica) if checkpoints else None
    if path and path.exists():
        checkpoint.restore(training, path)
        for record in training.history:
            watch(label, replica, record)
    for record in train.fit(training, *tables):
        if path:
            checkpoint.save(training, path)
        watch(label, replica, record)
    return training


def file_name(label: str, replica: int) -> str:
    """Return the name of the file that holds one replica of one category."""
    return f"{quote(label, safe='')}-{replica}.safetensors"


def _member(parts: Parts, network: Any, table: Batch) -> Member:
    with torch.inference_mode():
        return Member(
            network, {label: scorer.fit(outputs(network, table)) for label, scorer in parts.scorers.items()}, {}
        )


def _with_thresholds(detector: Detector, chosen: Mapping[str, Events]) -> Detector:
    """Return the detector with background ranks (for several replicas) and a threshold for every rule."""
    recipe = detector.parts.recipe
    scores = {name: score(detector, chosen[name]) for name in {"calibrate", *(rule.on for rule in recipe.thresholds)}}
    if detector.replicas > 1:
        detector = _with_ranks(detector, scores["calibrate"], chosen["calibrate"])
    members = {
        name: {
            **{
                replica: {label: rows[replica] for label, rows in found.items()} for replica in range(detector.replicas)
            },
            detector.decides: decision(detector, found, chosen[name].category),
        }
        for name, found in scores.items()
    }
    return replace(detector, thresholds=tuple(_thresholds(detector, recipe.thresholds, members, chosen)))


def _thresholds(
    detector: Detector,
    rules: Sequence[Rule],
    members: Mapping[Any, Mapping[int, Mapping[str, Any]]],
    chosen: Mapping[str, Events],
) -> Iterator[Threshold]:
    for rule in rules:
        events = with_weight(chosen[rule.on], rule_weight(detector.parts.recipe, rule))
        for replica, by_scorer in members[rule.on].items():
            for scorer, values in by_scorer.items():
                for index, label in enumerate(detector.categories):
                    here = events.category == index
                    yield threshold(
                        rule.rule,
                        rule.value,
                        values[here],
                        events.weight[here],
                        scorer=scorer,
                        category=label,
                        replica=replica,
                    )


def _with_ranks(detector: Detector, scores: Mapping[str, Any], background: Events) -> Detector:
    weight = with_weight(background, detector.parts.recipe.train.weighted).weight
    models = {}
    for index, (label, model) in enumerate(detector.models.items()):
        here = background.category == index
        members = tuple(
            replace(
                member, ranks={name: rank_table(rows[replica, here], weight[here]) for name, rows in scores.items()}
            )
            for replica, member in enumerate(model.members)
        )
        models[label] = replace(model, members=members)
    return replace(detector, models=models)
