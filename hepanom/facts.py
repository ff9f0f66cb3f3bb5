"""What a run tells a tracking store, and the store of a run, as names and plain values."""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hepanom.contracts import Epoch
from hepanom.evaluate import Number
from hepanom.probe import Probe
from hepanom.result import Result

REASON = "hepanom.reason"
TRAINING = "hepanom.training"  # how trainings ended that a rule stopped or that collapsed
EVENTS = "hepanom.events"  # whether they were kept in memory
STATUS = "status"  # in words, beside MLflow's own
NOTE = "mlflow.note.content"  # what MLflow's page shows as a run's description
LAST_OF_EPOCH = "events_per_second"  # always finite, and sent behind all else of its epoch
LONGEST_NAME = 250  # this and the next two are MLflow's limits
LONGEST_PARAM = 6000
LONGEST_TAG = 8000
MOST_PATHS = 100
MOST_COLUMNS = 2000


@dataclass(frozen=True)
class Point:
    """One value of a metric, when it was taken in milliseconds since 1970, and at which step."""

    name: str
    value: float
    time: int
    step: int


@dataclass(frozen=True)
class Late:
    """What a run, or the one below it of this name, could not send while it went on."""

    name: str
    tags: Mapping[str, str]
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Dataset:
    """The files of a run: a name for lists, and a digest of all paths, sizes and hashes.

    ``source``, ``schema`` and ``profile`` are JSON as MLflow's page reads it.
    """

    name: str
    digest: str
    source: str
    schema: str
    profile: str


@dataclass(frozen=True)
class Ending:
    """What a run tells its store at its end, beside files: when that was, numbers, tags and its data."""

    time: int
    points: tuple[Point, ...]
    tags: Mapping[str, str]
    dataset: Dataset

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return asdict(self)

    @staticmethod
    def from_json(plain: Mapping[str, Any]) -> Ending:
        """Return what ``to_json`` described."""
        points = tuple(Point(**point) for point in plain["points"])
        return Ending(plain["time"], points, plain["tags"], Dataset(**plain["dataset"]))


def name(path: str) -> str:
    """Return a path of names without what a tracking store refuses: ``=``, ``%``, ``[``, empty steps, undue length."""
    steps = (re.sub(r"[^\w. -]", "_", step, flags=re.ASCII) for step in path.split("/"))
    return "/".join("_" if step.strip(".") == "" else step for step in steps)[:LONGEST_NAME]


def tags(wanted: Mapping[str, str]) -> dict[str, str]:
    """Return tags as a tracking store takes them."""
    return {name(key): value[:LONGEST_TAG] for key, value in wanted.items()}


def points(values: Mapping[str, float], step: int) -> list[Point]:
    """Return named values, taken now, less those that are not finite: a database makes 1.8e308 of an infinity."""
    now = int(time.time() * 1000)
    return [Point(name(key), float(value), now, step) for key, value in values.items() if math.isfinite(value)]


def flatten(plain: Mapping[str, Any]) -> dict[str, str]:
    """Return nested plain values as one level of texts.

    ``{"train": {"epochs": 5}, "scores": [{"use": "elbo"}]}`` gives ``{"train.epochs": "5", "scores.0.use": "elbo"}``.
    """
    flat: dict[str, str] = {}
    for key, value in plain.items():
        tables = isinstance(value, list) and any(isinstance(item, Mapping) for item in value)
        below = {str(index): item for index, item in enumerate(value)} if tables else value
        if isinstance(below, Mapping):
            flat |= {f"{key}.{inner}": text for inner, text in flatten(below).items()}
        else:
            flat[key] = value if isinstance(value, str) else json.dumps(value, default=str)
    return flat


def numbers(result: Result) -> Iterator[tuple[str, float]]:
    """Yield the metrics as ``test/NUMBER``, with ``/low``, ``/high`` and ``/spread``.

    The weighted numbers of all categories of the first scorer stand once more without its name: ``test/auc``.
    """
    first = next(iter(result.scored.scores), "")
    for path, number in named("test", result.numbers, first, result.probes):
        yield path, number.value
        yield f"{path}/low", number.low
        yield f"{path}/high", number.high
        if number.spread is not None:
            yield f"{path}/spread", number.spread


def named(
    share: str, found: Mapping[str, Number], first: str, probes: Mapping[str, Probe]
) -> Iterator[tuple[str, Number]]:
    """Yield the numbers of a share and of the codes there as ``SHARE/NUMBER``.

    The weighted ones of all categories of the ``first`` scorer stand once more without its name.
    """
    for path, number in found.items():
        scorer, _, rest = path.partition("/")
        yield f"{share}/{path}", number
        if scorer == first and not rest.startswith(("unweighted/", "category_")):
            yield f"{share}/{rest}", number
    for category, probe in probes.items():
        place = f"{share}/latent" if len(probes) == 1 else f"{share}/latent/category_{category}"
        yield from ((f"{place}/{path}", number) for path, number in probe.numbers.items() if number is not None)


def losses(epoch: Epoch) -> dict[str, float]:
    """Return what is recorded of an epoch: its losses, its diagnostics, its validation loss and its speed."""
    found = {f"train/{term}": loss for term, loss in epoch.losses.items()}
    found |= {f"diagnostics/{name}": value for name, value in epoch.diagnostics.items()}
    return found | {"validation": epoch.validation, LAST_OF_EPOCH: epoch.events_per_second}


def ending(result: Result) -> Ending:
    """Return what a run tells its store at its end: ``numbers``, ``thresholds``, ``endings``, ``note``, ``dataset``."""
    now = int(time.time() * 1000)
    return Ending(now, tuple(points(metrics(result), 0)), {**endings(result), NOTE: note(result)}, dataset(result))


def endings(result: Result) -> dict[str, str]:
    """Return the tags that are known at the end: which trainings a rule stopped, or collapsed, and where events were.

    The first is not there where no training ended so.
    """
    text = "; ".join(f"{name}: {ending}" for name, ending in result.endings.items())
    found = {TRAINING: text, EVENTS: str(result.provenance.get("events", ""))}
    return {key: text[:LONGEST_TAG] for key, text in found.items() if text}


def note(result: Result) -> str:
    """Return the headline numbers of a run in Markdown: weighted curves by score, then the first score's cuts."""
    scorers = list(result.scored.scores)
    curves: dict[str, dict[str, str]] = {}
    for path, number in result.numbers.items():
        scorer, _, rest = path.partition("/")
        if "/" not in rest:
            interval = "" if number.low == number.high else f" ({number.low:.3g} to {number.high:.3g})"
            curves.setdefault(rest, {})[scorer] = f"{number.value:.3g}{interval}"
    rows = [[metric, *(row.get(scorer, "") for scorer in scorers)] for metric, row in curves.items()]
    cuts = [
        [
            f"{count.threshold.name}{f' ({count.threshold.category})' if len(result.categories) > 1 else ''}",
            f"{count.threshold.cut:.4g}",
            f"{count.threshold.background_efficiency:.3g} ({count.threshold.low:.3g} to {count.threshold.high:.3g})",
            f"{count.flagged:,} of {count.events:,}",
        ]
        for count in result.thresholds
        if count.threshold.scorer == scorers[0]
    ]
    said = [f"Training {name}: {ending}." for name, ending in result.endings.items()]
    said += [f"Skipped {entry.file}: {entry.why}." for entry in result.skipped]
    pieces = [
        *said,
        _markdown(["test share, weighted", *scorers], rows),
        _markdown([f"cut on {scorers[0]}", "value", "background efficiency", "flagged"], cuts) if scorers else "",
        "Figures and event displays are in the artifact `report.html`.",
    ]
    return "\n\n".join(filter(None, pieces))[:LONGEST_TAG]


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows] if rows else []
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def thresholds(result: Result) -> Iterator[tuple[str, float]]:
    """Yield ``threshold/SCORER/RULE/CATEGORY/`` with ``value`` (the cut) and how many events are flagged.

    Of a cut that depends on a column ``value`` is what it would be without, and each bin has its own below ``bin_0``.
    """
    for count in result.thresholds:
        cut = count.threshold
        path = "/".join(("threshold", cut.scorer, cut.name, cut.category.replace("/", "_")))
        yield f"{path}/value", cut.cut
        yield f"{path}/background_efficiency", cut.background_efficiency
        yield f"{path}/background_efficiency/low", cut.low
        yield f"{path}/background_efficiency/high", cut.high
        for end, rate in zip(("", "/low", "/high"), cut.rate or (), strict=False):
            yield f"{path}/background_rate{end}", rate
        for number, each in enumerate(cut.along.bins if cut.along else ()):
            yield f"{path}/bin_{number}/value", each.cut
            yield f"{path}/bin_{number}/background_efficiency", each.background_efficiency
            yield f"{path}/bin_{number}/background_efficiency/low", each.low
            yield f"{path}/bin_{number}/background_efficiency/high", each.high
        yield f"{path}/flagged", float(count.flagged)
        yield f"{path}/seen", count.seen
        yield f"{path}/expected", count.expected


def metrics(result: Result) -> dict[str, float]:
    """Return the numbers and thresholds that are finite, under the names that a tracking store takes."""
    found = dict(numbers(result)) | dict(thresholds(result))
    return {name(path): value for path, value in found.items() if math.isfinite(value)}


def digest(data: object) -> str:
    """Return what tells the files of a provenance from others: a hash of all that stands there."""
    return hashlib.sha256(json.dumps(data, default=str, sort_keys=True).encode()).hexdigest()[:16]


def dataset(result: Result) -> Dataset:
    """Return the data that the provenance lists: the first file names them all."""
    data = result.provenance.get("data")
    files = [entry for entry in data if isinstance(entry, Mapping)] if isinstance(data, list | tuple) else []
    paths = [str(entry.get("path")) for entry in files]
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    inputs = result.schema.inputs.values()
    columns = [{"name": column, "type": f"{entry.kind}, float32"} for entry in inputs for column in entry.columns]
    events = sum(found[0] for row in result.counts.values() for found in row.values())
    profile = {"num_rows": events, "num_elements": events * sum(entry.width for entry in inputs)}
    return Dataset(
        (Path(paths[0]).name if paths else "events") + more,
        digest(data),
        json.dumps({"uri": paths[0] if paths else "", "paths": paths[:MOST_PATHS]}),
        json.dumps({"mlflow_colspec": columns[:MOST_COLUMNS]}),
        json.dumps(profile),
    )


def called(run: Mapping[str, Any], asked: str) -> str:
    """Say which run was found where somebody asked for a name or an id: ``run NAME (ID) of 2026-01-31 12:00``."""
    when = datetime.fromtimestamp(run["start"] / 1000).astimezone()
    newest = ", the newest that finished under this name" if asked != run["run_id"] else ""
    return f"run {run['name']} ({run['run_id']}) of {when:%Y-%m-%d %H:%M}{newest}"


def told_of(run: Any, children: Sequence[Any]) -> dict[str, Any]:
    """Return an MLflow run and those below it as plain values; times are milliseconds since 1970."""
    return {
        "run_id": run.info.run_id,
        "name": run.info.run_name,
        "status": run.info.status,
        "reason": run.data.tags.get(REASON),
        "training": run.data.tags.get(TRAINING),
        "events": run.data.tags.get(EVENTS),
        "start": run.info.start_time,
        "end": run.info.end_time,
        "artifacts": run.info.artifact_uri,
        "tags": {key: text for key, text in run.data.tags.items() if not key.startswith("mlflow.")},
        "params": dict(run.data.params),
        "metrics": dict(run.data.metrics),
        "children": [
            {"run_id": child.info.run_id, "name": child.info.run_name, "status": child.info.status}
            for child in children
        ],
    }
