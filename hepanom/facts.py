"""What a run tells a tracking store, and the store of a run, as names and plain values."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hepanom.contracts import Epoch
from hepanom.result import Result

REASON = "hepanom.reason"
TRAINING = "hepanom.training"  # how trainings ended that a rule stopped or that collapsed
EVENTS = "hepanom.events"  # whether they were kept in memory
LONGEST_NAME = 250  # this and the next two are MLflow's limits
LONGEST_PARAM = 6000
LONGEST_TAG = 8000
MOST_PATHS = 100


@dataclass(frozen=True)
class Dataset:
    """The files of a run: a name for lists, and a digest of all paths, sizes and hashes."""

    name: str
    digest: str
    paths: tuple[str, ...]


def name(path: str) -> str:
    """Return a path of names without what a tracking store refuses: ``=``, ``%``, ``[``, empty steps, undue length."""
    steps = (re.sub(r"[^\w. -]", "_", step, flags=re.ASCII) for step in path.split("/"))
    return "/".join("_" if step.strip(".") == "" else step for step in steps)[:LONGEST_NAME]


def tags(wanted: Mapping[str, str]) -> dict[str, str]:
    """Return tags as a tracking store takes them."""
    return {name(key): value[:LONGEST_TAG] for key, value in wanted.items()}


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
    for path, number in result.numbers.items():
        scorer, _, rest = path.partition("/")
        short = [rest] if scorer == first and not rest.startswith(("unweighted/", "category_")) else []
        for shown in (path, *short):
            yield f"test/{shown}", number.value
            yield f"test/{shown}/low", number.low
            yield f"test/{shown}/high", number.high
            if number.spread is not None:
                yield f"test/{shown}/spread", number.spread
    for category, found in result.probes.items():
        for path, number in ((path, number) for path, number in found.numbers.items() if number is not None):
            place = f"latent/{path}" if len(result.probes) == 1 else f"latent/category_{category}/{path}"
            yield f"test/{place}", number.value
            yield f"test/{place}/low", number.low
            yield f"test/{place}/high", number.high
            if number.spread is not None:
                yield f"test/{place}/spread", number.spread


def losses(epoch: Epoch) -> dict[str, float]:
    """Return what is recorded of an epoch: its losses, its diagnostics, its validation loss and its speed."""
    found = {f"train/{term}": loss for term, loss in epoch.losses.items()}
    found |= {f"diagnostics/{name}": value for name, value in epoch.diagnostics.items()}
    return found | {"events_per_second": epoch.events_per_second, "validation": epoch.validation}


def endings(result: Result) -> dict[str, str]:
    """Return the tags that are known at the end: which trainings a rule stopped, or collapsed, and where events were.

    The first is not there where no training ended so.
    """
    text = "; ".join(f"{name}: {ending}" for name, ending in result.endings.items())
    found = {TRAINING: text[:LONGEST_TAG], EVENTS: str(result.provenance.get("events", ""))}
    return {key: text for key, text in found.items() if text}


def thresholds(result: Result) -> Iterator[tuple[str, float]]:
    """Yield ``threshold/SCORER/RULE/CATEGORY/`` with ``value`` (the cut) and how many events are flagged."""
    for count in result.thresholds:
        cut = count.threshold
        path = "/".join(("threshold", cut.scorer, cut.name, cut.category.replace("/", "_")))
        yield f"{path}/value", cut.cut
        yield f"{path}/background_efficiency", cut.background_efficiency
        yield f"{path}/background_efficiency/low", cut.low
        yield f"{path}/background_efficiency/high", cut.high
        yield f"{path}/flagged", float(count.flagged)
        yield f"{path}/seen", count.seen
        yield f"{path}/expected", count.expected


def dataset(result: Result) -> Dataset:
    """Return the data that the provenance lists: the first file names them all."""
    data = result.provenance.get("data")
    files = [entry for entry in data if isinstance(entry, Mapping)] if isinstance(data, list | tuple) else []
    paths = [str(entry.get("path")) for entry in files]
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    digest = hashlib.sha256(json.dumps(data, default=str, sort_keys=True).encode()).hexdigest()[:16]
    return Dataset((Path(paths[0]).name if paths else "events") + more, digest, tuple(paths[:MOST_PATHS]))


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
