"""A first recipe for events that nobody has written one for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hepanom.errors import InputError
from hepanom.overview import UNLABELLED, Overview

BOOKKEEPING = re.compile(  # names, less case and all but letters, that say what an event is and not what was measured
    "(event|run)(id|number|)|row|entry|index|id|ls|lumi(nosity)?(block|)|(event|gen|mc|)weight|"
    "label|class|target|truth|(is|)(signal|background)"
)
SPREAD = 5  # times the mean number of points that the table of points has room for, at most


def starter(found: Overview, data: Mapping[str, Any] | None, name: str, plugins: Path | None = None) -> str:
    """Return a recipe for the events: an autoencoder, and what it needs to run on them; comments say what to edit.

    Raises InputError for events that it knows no model for, and for a reader that a recipe cannot name (``data`` None).
    """
    if data is None:
        raise InputError("--recipe: the reader turns these files into another reader's; give them as --set data.OPTION")
    lines = [
        f"# A first recipe, written by `hepanom inspect` from {found.events:,} events. To be edited: what background",
        "# is, the features, the model. `hepanom plugins` lists what there is, `hepanom plugins NAME` its options.",
        f"name: {json.dumps(name)}",
        "seed: 1",
        *([f"plugins: {json.dumps(str(plugins))}"] if plugins else []),
        f"data:  # what else the reader can be told, such as features, label and weight: hepanom plugins {data['use']}",
        *(f"  {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in data.items()),
        *_background(found),
        "split: {train: 0.5, valid: 0.1, calibrate: 0.2, test: 0.2}",
        *_transforms(found),
        "model: {use: autoencoder, hidden: [50, 25], latent: 2}",
        *_train(found),
        "scores:",
        "  - {use: reconstruction}",
        "thresholds:  # on held-out background that was not trained on",
        "  - {rule: background_efficiency, value: 1e-2}",
    ]
    return "\n".join(lines) + "\n"


def _background(found: Overview) -> Iterator[str]:
    filled = [name for name in found.schema.classes if found.classes[name].events]
    if filled:
        others = ", ".join(name for name in found.classes if name != filled[0]) or "none"
        yield f"background: [{json.dumps(filled[0])}]  # the first class; the others are anomalies: {others}"
    elif found.schema.classes:
        raise InputError(
            f"--recipe: none of the classes {', '.join(found.schema.classes)} has an event; check the reader's options"
        )
    else:
        yield "# no labels: every event counts as background; a reader's `label` and `classes` say more"


def _transforms(found: Overview) -> Iterator[str]:
    tables, points, images = (
        [name for name, entry in found.schema.inputs.items() if entry.kind == kind]
        for kind in ("table", "points", "image")
    )
    if len(found.schema.inputs) != 1:
        held = ", ".join(f"{name} ({entry.kind})" for name, entry in found.schema.inputs.items()) or "none"
        raise InputError(f"--recipe: a first recipe needs events with one input, these have {held}")
    if images:
        yield "transforms: []  # pixels as they are; a scale of about 1 trains best"
        return
    yield "transforms:"
    for name in points:
        spread = found.points[name]
        room = max(1, min(spread.most, round(SPREAD * spread.total / max(spread.events, 1)), 64))
        yield f"  - {{use: pad, points: {room}, by: first}}  # or an image: {{use: image, axes: [...], ...}}"
    if tables:
        yield from _left_out(found, found.schema.inputs[tables[0]].columns)
    features = [column.summary for column in found.columns if column.place in (*tables, *points)]
    if any(summary and summary.missing for summary in features):
        yield "  - {use: missing, fill: median}  # indicator: true tells the model where a value was missing"
    if any(summary and summary.infinite for summary in features):
        yield "  # some values are infinite, which no model takes: {use: drop, columns: [...]} or {use: clip, ...}"
    yield "  - {use: standardize}"


def _left_out(found: Overview, features: Sequence[str]) -> Iterator[str]:
    """Yield the transforms that leave columns of the table out, unless none would be left."""
    odd = [name for name in features if BOOKKEEPING.fullmatch(re.sub("[^a-z]", "", name.lower()))]
    infinite = [column.name for column in found.columns if column.summary and column.summary.infinite]
    infinite = [name for name in features if name in infinite and name not in odd]
    for names, why in (
        (odd, "by their names nothing measured: `label`, `id`, `weight` or `keep` of the reader take them"),
        (infinite, "some values are infinite, which no model takes; or clip them"),
    ):
        if names and len(odd) + len(infinite) < len(features):
            yield f"  - {{use: drop, columns: {json.dumps(names, ensure_ascii=False)}}}  # {why}"


def _train(found: Overview) -> Iterator[str]:
    weighted = ""
    if any(entry.negative for name, entry in found.classes.items() if name != UNLABELLED or len(found.classes) == 1):
        yield "# some weights are negative, which a loss cannot have: their magnitude trains"
        weighted = ", weighted: absolute"
    yield f"train: {{epochs: 50, batch: 256, patience: 10{weighted}}}"


def named_after(file: str) -> str:
    """Return a name for a recipe from that of a file."""
    stem = Path(file).name.split(".")[0]
    return re.sub(r"[^\w-]+", "-", stem, flags=re.ASCII).strip("-") or "first"
