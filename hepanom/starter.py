"""A first recipe for events that nobody has written one for."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from hepanom.errors import InputError
from hepanom.overview import UNLABELLED, Column, Overview

BOOKKEEPING = re.compile(  # names, less case and all but letters, that say what an event is and not what was measured
    "(event|run)(id|number|)|row|entry|index|id|ls|lumi(nosity)?(block|)|(event|gen|mc|)weight|"
    "label|class|target|truth|(is|)(signal|background)"
)
WIDTH = 118  # characters of a line
SPREAD = 5  # times the mean number of points that the table of points has room for, at most


def starter(
    found: Overview, data: Mapping[str, Any] | None, name: str, plugins: Path | None = None, takes: Collection[str] = ()
) -> str:
    """Return a recipe for the events: an autoencoder, and what it needs to run on them; comments say what to edit.

    ``takes`` says which of the options ``features`` and ``missing`` the reader has: the first names the columns that
    the model sees, else a transform drops the others, which then have to be there when new files are scored. Raises
    InputError for events that it knows no model for, and for a reader that a recipe cannot name (``data`` None).
    """
    if data is None:
        raise InputError("--recipe: the reader turns these files into another reader's; give them as --set data.OPTION")
    left, selects = _left_out(found), "features" in takes
    absent = sorted({value for _, value, _ in found.placeholders}) if "missing" in takes else []
    stated = {key: value for key, value in data.items() if not (selects and left and key == "features")}
    lines = [
        f"# A first recipe, written by `hepanom inspect` from {found.events:,} events. To be edited: what background",
        "# is, the features, the model. `hepanom plugins` lists what there is, `hepanom plugins NAME` its options.",
        f"name: {json.dumps(name)}",
        "seed: 1",
        *([f"plugins: {json.dumps(str(plugins))}"] if plugins else []),
        f"data:  # what else the reader can be told, such as label and weight: hepanom plugins {data['use']}",
        *(f"  {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in stated.items()),
        *(_missing(found, absent) if absent else ()),
        *(_features(found, left) if selects else ()),
        *_background(found),
        "split: {train: 0.5, valid: 0.1, calibrate: 0.2, test: 0.2}",
        *_transforms(found, left, selects=selects, blanks=bool(absent)),
        "model: {use: autoencoder, hidden: [50, 25], latent: 2}",
        *_train(found),
        "scores:",
        "  - {use: reconstruction}",
        "thresholds:  # on held-out background that was not trained on",
        "  - {rule: background_efficiency, value: 1e-2}",
    ]
    return "\n".join(lines) + "\n"


def _left_out(found: Overview) -> dict[str, list[str]]:
    """Return the columns of the table that are no use to a model, by the reason; none where no other would be left."""
    tables = [name for name, entry in found.schema.inputs.items() if entry.kind == "table"]
    columns = [column for column in found.columns if column.place in tables]
    left: dict[str, list[str]] = {}
    for column in columns:
        if why := _useless(column):
            left.setdefault(why, []).append(column.name)
    return left if sum(map(len, left.values())) < len(columns) else {}


def _useless(column: Column) -> str:
    """Say why a column is no use to a model, "" where it may be."""
    summary = column.summary
    if BOOKKEEPING.fullmatch(re.sub("[^a-z]", "", column.name.lower())):
        return "by their names nothing measured (`label`, `id`, `weight` or `keep` take them)"
    if summary is None or summary.missing == summary.values:
        return "missing in all these events"
    if summary.infinite:
        return "some values are infinite, which no model takes (or clip them)"
    return "constant in these events" if summary.low == summary.high and not summary.missing else ""


def _missing(found: Overview, absent: Sequence[float]) -> Iterator[str]:
    """Yield the reader's option that says which values mean missing, and where they were seen."""
    yield from _wrapped(f"seen in {', '.join(name for name, _, _ in found.placeholders)}", "  # ")
    yield f"  missing: {json.dumps(absent)}"


def _features(found: Overview, left: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the reader's option that chooses the columns of the table, and why others are not among them."""
    if left:
        gone = {name for names in left.values() for name in names}
        kept = [name for name in found.schema.table()[1].columns if name not in gone]
        yield "  # what is not listed is not read, and new files need not have it to be scored; left out are"
        for why, names in left.items():
            yield from _wrapped(f"{why}: {', '.join(names)}", "  #   ")
        yield "  features: ["
        yield from _wrapped(", ".join(json.dumps(name, ensure_ascii=False) for name in kept), "    ")
        yield "  ]"


def _wrapped(text: str, indent: str) -> list[str]:
    return wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


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


def _transforms(found: Overview, left: Mapping[str, Sequence[str]], *, selects: bool, blanks: bool) -> Iterator[str]:
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
    for why, names in () if selects else left.items():
        yield f"  - {{use: drop, columns: {json.dumps(names, ensure_ascii=False)}}}  # {why}"
    gone = {name for names in left.values() for name in names}
    kept = [column for column in found.columns if column.place in (*tables, *points) and column.name not in gone]
    features = [column.summary for column in kept]
    if blanks or any(summary and summary.missing for summary in features):
        yield "  - {use: missing, fill: median}  # indicator: true tells the model where a value was missing"
    if any(summary and summary.infinite for summary in features):
        yield "  # some values are infinite, which no model takes: {use: drop, columns: [...]} or {use: clip, ...}"
    yield "  - {use: standardize}"


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
