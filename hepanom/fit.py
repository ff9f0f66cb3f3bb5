"""Fit a detector: transforms, networks and thresholds, from every share but the test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch

from hepanom import checkpoint, cutting, returned, stack, stop, team, train
from hepanom.blame import blame
from hepanom.contracts import Batch, Epoch, Network, Outputs, State
from hepanom.detector import (
    CategoryModel,
    Detector,
    Member,
    Scores,
    outputs,
    rank_table,
    score_chunks,
    scores_of,
    threads,
    with_scores,
)
from hepanom.errors import InputError
from hepanom.events import Schema, hash64
from hepanom.plugins import Parts
from hepanom.preparation import Measure, all_tables, chosen, fit_transforms, refuse_idle, train_source, valid_tables
from hepanom.shares import Shares
from hepanom.source import Source
from hepanom.stream import weighed, with_category

Watch = Callable[[str, int, Epoch], None]
Histories = dict[tuple[str, int], list[Epoch]]


@dataclass(frozen=True)
class Ready:
    """One category's events as its network sees them, and the transforms that made them so.

    ``source`` trains, ``valid`` judges the epochs, ``whole`` holds the training events of all processes, from which the
    scorers learn; ``tally`` counts what the transforms did.
    """

    label: str
    states: tuple[State, ...]
    schema: Schema
    source: Source
    valid: Iterable[Batch]
    whole: Iterable[Batch]
    tally: Mapping[str, int]


Look = Callable[[Ready, Network], None]


@blame()
def fit(
    shares: Shares,
    provenance: Mapping[str, Any],
    watch: Watch = lambda category, replica, record: None,
    checkpoints: Path | None = None,
    measure: Measure | None = None,
    *,
    prepared: Iterable[Ready] | None = None,
    look: Look | None = None,
) -> tuple[Detector, Histories]:
    """Train on the training share and set thresholds on held-out background; the test share is not looked at.

    ``watch`` is called after each epoch, ``look`` after each that is the best so far, with the network. With a
    ``checkpoints`` folder every epoch is written there, and a training that it holds goes on where it stopped, bit for
    bit. ``measure`` measures for the transforms elsewhere; ``prepared`` is what ``prepare_all`` gave before.
    Returns the detector and the epochs by (category, replica). Raises InputError where a category has no background to
    train, stop or set thresholds on.
    """
    prepared = prepare_all(shares, measure) if prepared is None else prepared
    models, histories = train_models(shares, watch, checkpoints, prepared, look)
    guards = next(iter(models.values())).members[0].network.guards()
    if ended := stop.endings(shares.parts.recipe.train.stop, guards, histories):
        provenance = {**provenance, "training": ended}
    return with_thresholds(Detector(shares.parts, models, (), provenance), shares.whole()), histories


def prepare_all(shares: Shares, measure: Measure | None = None) -> Iterator[Ready]:
    """Yield every category's events as its network sees them; this is what all processes of a team do together."""
    parts, recipe = shares.parts, shares.parts.recipe
    labels = _categories(shares)
    _refuse_weights(shares, labels)
    cutting.refuse_text(shares)
    device = train.resolve_device(recipe.train.device)
    for index, label in enumerate(labels):
        with threads(recipe.train.threads):
            background, held_out = (chosen(shares, share, labels, index) for share in ("train", "valid"))
            for events in (background, held_out):
                refuse_idle(events)
            states, schema = fit_transforms(parts, background, measure)
            source, tally = train_source(background, states, schema, device)
            valid = valid_tables(held_out, states, schema, device)
            whole = source if team.size() == 1 else all_tables(background, states, schema, device)
        yield Ready(label, states, schema, source, valid, whole, tally)


def train_models(
    shares: Shares,
    watch: Watch,
    checkpoints: Path | None,
    prepared: Iterable[Ready],
    look: Look | None = None,
) -> tuple[dict[str, CategoryModel], Histories]:
    """Train the models of all categories; this is what all processes of a team do together.

    Only process 0 fits the scorers, on the events of all.
    """
    models: dict[str, CategoryModel] = {}
    histories: Histories = {}
    with threads(shares.parts.recipe.train.threads):
        for ready in prepared:
            networks = []
            for replica, training in enumerate(_trained(shares.parts, ready, checkpoints, watch, look)):
                histories[ready.label, replica] = training.history
                networks.append(training.network)
            models[ready.label] = category_model(shares.parts, ready, networks)
    return models, histories


def category_model(parts: Parts, ready: Ready, networks: Sequence[Network]) -> CategoryModel:
    """Return the model of a category, its scorers fitted; only process 0 of a team has the events for that."""
    shown = (ready.whole, ready.valid) if team.rank() == 0 else ((), ())
    members = tuple(_member(parts, network.eval(), *shown) for network in networks)
    return CategoryModel(ready.states, ready.schema, members, ready.tally)


def _held_out(shares: Shares) -> dict[str, str]:
    """Return the share behind each of the names that a recipe uses; without a calibrate share it is valid."""
    calibrate = "valid" if shares.parts.recipe.split.calibrate == 0 else "calibrate"
    return {"train": "train", "valid": "valid", "calibrate": calibrate}


def _categories(shares: Shares) -> tuple[str, ...]:
    """Return the categories' labels.

    Raises InputError, naming share and category, where fewer than two events are left to train on, or fewer than two
    of background to set thresholds on.
    """
    recipe, per = shares.parts.recipe, shares.parts.recipe.train.per
    cutting = {"calibrate", *(rule.on for rule in recipe.thresholds)}
    background = f"background ({', '.join(recipe.background) or 'all'})"
    behind = _held_out(shares)
    whats = {name: "event" if recipe.train.on == "all" and name not in cutting else background for name in behind}
    for name, share in behind.items():
        if shares.total(share, shares.trained()).events == 0:
            raise InputError(f"no {whats[name]} is left in the {name} share; give split.{name} more events")
    labels = shares.categories(set(behind.values()), shares.trained())
    for name, share in behind.items():
        classes = None if whats[name] == "event" else shares.background()
        for label in labels:
            count = shares.total(share, classes, label).events
            if count < 2:
                which, remedy = (f"where {per} is {label}, ", ", or leave train.per out") if per else ("", "")
                raise InputError(
                    f"{which}{count or 'no'} {whats[name]} is left in the {name} share, two are needed at least; give "
                    f"split.{name} more events{remedy}"
                )
    return labels


def _refuse_weights(shares: Shares, labels: Sequence[str]) -> None:
    """Raise InputError for weights with which nothing can be learnt or cut."""
    recipe, trained = shares.parts.recipe, shares.parts.recipe.train.weighted
    for name, share in _held_out(shares).items():
        for label in labels:
            if trained and not shares.total(share, shares.trained(), label).magnitude:
                raise InputError(
                    f"category {label}: all weights in the {name} share are zero; choose another weight column, or "
                    "train: {weighted: false}"
                )
        whole = shares.total(share, shares.trained())
        found = f"{whole.negative} of {whole.events} weights in the {name} share are negative"
        if trained == "absolute" or not whole.negative:
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


def _trained(
    parts: Parts, ready: Ready, checkpoints: Path | None, watch: Watch, look: Look | None
) -> Iterator[train.Training]:
    """Yield the replicas of one category, trained: all at once where network and source allow it."""
    label, schema, source, valid = ready.label, ready.schema, ready.source, ready.valid
    device = train.resolve_device(parts.recipe.train.device)
    replicas = range(parts.recipe.train.replicas)
    together = len(replicas) > 1 and stack.stacks(returned.network(parts.model, schema), parts.recipe.train, source)
    for group in [replicas] if together else [range(replica, replica + 1) for replica in replicas]:
        trainings = [_start(parts, schema, device, label, replica) for replica in group]
        name = file_name(label, "stack" if together else group[0])
        path = checkpoints / (f"{name}.{team.rank()}" if team.rank() else name) if checkpoints else None
        if path and path.exists():
            checkpoint.restore(trainings, path)
            for replica, training in zip(group, trainings, strict=True):
                for record in training.history:
                    watch(label, replica, record)
        alone = ({0: record} for record in train.fit(trainings[0], source, valid))
        for records in stack.fit(trainings, source, valid) if together else alone:
            if path:
                checkpoint.save(trainings, path)
            for index, record in records.items():
                if look is not None and record.best:
                    look(ready, trainings[index].network)
                watch(label, group[index], record)
        yield from trainings


def _start(parts: Parts, schema: Schema, device: torch.device, label: str, replica: int) -> train.Training:
    """Return the training of a replica at epoch 0, with its own weights, order and noise."""
    seed = int(hash64([np.array([label]), np.array([replica])], parts.recipe.seed)[0] >> np.uint64(1))
    torch.manual_seed(seed)
    network = returned.network(parts.model, schema).to(device)
    seed += team.rank()  # the same weights everywhere, but other orders and other noise
    if team.rank():
        torch.manual_seed(seed)
    return train.start(network, parts.recipe.train, seed)


def file_name(label: str, replica: int | str) -> str:
    """Return the name of the file that holds one replica of one category."""
    return f"{quote(label, safe='')}-{replica}.safetensors"


def _member(parts: Parts, network: Network, source: Iterable[Batch], held_out: Iterable[Batch]) -> Member:
    """Fit the scorers on the training events; those that combine others on events that none of these has seen."""
    found: dict[str, State] = {}
    with torch.inference_mode():
        for label, scorer in parts.scorers.items():
            tables = held_out if scorer.combines() else source
            passed: Iterable[tuple[Batch, Outputs]] = chain.from_iterable(
                outputs(network, table, parts.model.gives) for table in tables
            )
            if scorer.combines():
                states = dict(found)
                passed = (
                    (batch, with_scores(given, scorer, scores_of(parts, states, batch, given, network)))
                    for batch, given in passed
                )
            found[label] = returned.state(scorer, "fit", scorer.fit(passed))
    return Member(network, found, {})


def with_thresholds(detector: Detector, shares: Shares) -> Detector:
    """Return the detector with background ranks (for several replicas) and a threshold for every rule."""
    recipe = detector.parts.recipe
    behind = _held_out(shares)
    names: set[str] = {"calibrate", *(rule.on for rule in recipe.thresholds)}
    columns = cutting.columns(recipe)
    found = {name: background_scores(detector, shares, behind[name], columns) for name in names}
    if detector.replicas > 1:
        detector = _with_ranks(detector, found["calibrate"])
    replicas = list(dict.fromkeys([*range(detector.replicas), detector.decides]))
    cuts = (cutting.thresholds(detector, rule, found[rule.on], replicas) for rule in recipe.thresholds)
    return replace(detector, thresholds=tuple(chain.from_iterable(cuts)))


def background_scores(detector: Detector, shares: Shares, share: str, columns: Sequence[str] = ()) -> Scores:
    """Return the scores of the background of a share, and these columns of it."""
    parts = detector.parts
    background = list(shares.background())
    chunks = (events.mask(np.isin(events.label, background)) for events in shares.chunks(share))
    per = parts.recipe.train.per
    known = (with_category(events, per, detector.categories, parts.schema) for events in chunks if len(events))
    return score_chunks(detector, known, columns)


def _with_ranks(detector: Detector, found: Scores) -> Detector:
    weight = weighed(found.weight, detector.parts.recipe.train.weighted)
    models = {}
    for index, (label, model) in enumerate(detector.models.items()):
        here = found.category == index
        members = tuple(
            replace(
                member,
                ranks={name: rank_table(rows[replica, here], weight[here]) for name, rows in found.scores.items()},
            )
            for replica, member in enumerate(model.members)
        )
        models[label] = replace(model, members=members)
    return replace(detector, models=models)
