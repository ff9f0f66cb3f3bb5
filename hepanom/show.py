"""What the command line prints: tables, and the plain values behind --json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hepanom import show_thresholds
from hepanom.space import TRIALS, SearchOptions
from hepanom.terminal import Plain, text_of

if TYPE_CHECKING:
    from hepanom.plugins import Parts
    from hepanom.run import Outcome

UNKNOWN = "n/a"  # a number that the events cannot give


def outcome(found: Outcome) -> Plain:
    """Return what `run --json` prints."""
    return {
        "status": "unsent" if found.unsent else "done",
        "run_id": found.run_id,
        "detector": f"{found.artifacts}/detector",
        "report": f"{found.artifacts}/report.html",
        "metrics": {name: asdict(number) for name, number in found.result.numbers.items()},
        "latent": {
            label: {name: None if number is None else asdict(number) for name, number in probe.numbers.items()}
            for label, probe in found.result.probes.items()
        },
        "thresholds": [show_thresholds.counted(count) for count in found.result.thresholds],
        "training": dict(found.result.endings),
        "tally": dict(found.result.tally),
        "skipped": [asdict(entry) for entry in found.result.skipped],
    }


def outcome_text(plain: Plain) -> str:
    """Return the numbers and thresholds of a run as tables, and where everything is."""
    return text_of(*outcome_tables(plain))


def outcome_tables(plain: Plain) -> list[Table | Text]:
    """Return the tables and lines of ``outcome_text``."""
    return [
        *_numbers(plain["metrics"]),
        *_latent(plain["latent"]),
        *show_thresholds.tables("thresholds on held-out background", plain["thresholds"]),
        *([facts_table(done)] if (done := _done(plain)) else []),
        *(Text(f"training {name}: {ending}") for name, ending in plain["training"].items()),
        facts_table({key: str(plain[key]) for key in ("detector", "report", "run_id")}),
    ]


def _done(plain: Plain) -> dict[str, str]:
    """Say what was done to events on the way, and which broken files were left out."""
    done = {what: f"{count:,}" for what, count in plain.get("tally", {}).items()}
    return done | {f"skipped {entry['file']}": entry["why"] for entry in plain.get("skipped", [])}


def _numbers(metrics: Mapping[str, Mapping[str, float | None]]) -> list[Table]:
    """Tabulate the weighted numbers of all categories: curves by scorer, then what every threshold gives."""
    curves: dict[str, dict[str, str]] = {}
    cuts: dict[tuple[str, str], dict[str, str]] = {}
    for name, number in metrics.items():
        scorer, *path, metric = name.split("/")
        if not path:
            curves.setdefault(metric, {})[scorer] = _interval(number)
        elif len(path) == 1 and path[0] != "unweighted" and not path[0].startswith("category_"):
            cuts.setdefault((scorer, path[0]), {})[metric] = f"{number['value']:.3g}"
    tables = [
        _pivot("test share, weighted", ("number",), {(metric,): row for metric, row in curves.items()}),
        _pivot("at the thresholds, weighted", ("scorer", "rule"), {(*key,): row for key, row in cuts.items()}),
    ]
    return [table for table in tables if table.rows]


def _latent(probes: Mapping[str, Plain]) -> list[Table]:
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for label, numbers in probes.items():
        for name, number in numbers.items():
            rows.setdefault((name,), {})[f"category {label}" if len(probes) > 1 else "value"] = _interval(number)
    return [_pivot("classifier and clusters on latent codes", ("number",), rows)] if rows else []


def _interval(number: Mapping[str, float | None] | None) -> str:
    if number is None:
        return UNKNOWN
    spread = "" if number["spread"] is None else f" spread {number['spread']:.2g}"
    interval = "" if number["low"] == number["high"] else f" ({number['low']:.3g} to {number['high']:.3g})"
    return f"{number['value']:.3g}{interval}{spread}"


def _pivot(title: str, keys: tuple[str, ...], rows: Mapping[tuple[str, ...], Mapping[str, str]]) -> Table:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    table = Table(*keys, *columns, title=title, title_justify="left", box=SIMPLE_HEAD)
    for key, row in rows.items():
        table.add_row(*map(escape, key), *(row.get(column, UNKNOWN) for column in columns))
    return table


def uploaded_text(plain: Plain) -> str:
    """Return which of the kept runs were sent, and why others were not."""
    if not plain["runs"]:
        return f"{plain['state']}: no run is waiting there"
    lines = [f"run {run['run_id']}: {run['reason'] or 'uploaded to ' + run['store']}" for run in plain["runs"]]
    return text_of(*map(Text, lines))


def checked(parts: Parts) -> Plain:
    """Return what `check --json` prints: what the recipe resolves to."""
    recipe = parts.recipe
    return {
        "status": "done",
        "name": recipe.name,
        "data": recipe.data.use,
        "files": [part.file for part in parts.reader.parts()],
        "classes": list(parts.schema.classes),
        "background": list(recipe.background),
        "inputs": {
            name: {"kind": entry.kind, "columns": list(entry.columns)} for name, entry in parts.schema.inputs.items()
        },
        "beside": list(parts.schema.beside),
        "transforms": [use.use for use in recipe.transforms],
        "model": recipe.model.use,
        "scores": list(parts.scorers),
        "thresholds": [rule.label for rule in recipe.thresholds],
        "search": None if recipe.search is None else _search(recipe.search),
        "doubts": list(parts.doubts),
    }


def _search(options: SearchOptions) -> str:
    """Say what a search would do."""
    goals = ", ".join(f"{direction} {name}" for name, direction in options.objectives.items())
    trials = "the grid" if options.sampler == "grid" else f"{options.trials or TRIALS} trials by {options.sampler}"
    return f"{goals}; {trials} over {', '.join(options.space)}; recipes drawn all over the space have no mistake"


def checked_text(plain: Plain) -> str:
    """Return the same for a reader."""
    columns = {name: ", ".join(entry["columns"]) for name, entry in plain["inputs"].items()}
    rows = {
        "data": f"{plain['data']} ({len(set(plain['files']))} file{'s' * (len(set(plain['files'])) != 1)})",
        **{f"input {name}": text for name, text in columns.items()},
        "carried along": ", ".join(plain["beside"]),
        "classes": ", ".join(name + " (background)" * (name in plain["background"]) for name in plain["classes"]),
        "transforms": ", ".join(plain["transforms"]),
        "model": plain["model"],
        "scores": ", ".join(plain["scores"]),
        "thresholds": ", ".join(plain["thresholds"]),
        "search": plain["search"] or "",
    }
    found = "no mistake found; the values in the data were not looked at"
    return text_of(facts_table(rows), *map(Text, plain["doubts"]), f"{escape(plain['name'])}: {found}")


def facts_table(rows: Mapping[str, str]) -> Table:
    """Tabulate names and texts, less the empty ones."""
    table = Table(show_header=False, box=None)
    for name, text in rows.items():
        if text:
            table.add_row(escape(name), escape(text))
    return table


def scored_text(plain: Plain) -> str:
    """Return how many events were scored and flagged."""
    flagged = {name: f"{count:,} flagged" for name, count in plain["flagged"].items()}
    flagged["detector"] = plain["detector"]
    only = f", {plain['written']:,} of them written" if plain["written"] < plain["events"] else ""
    return text_of(
        f"{plain['events']:,} events scored{only} into {escape(plain['out'])}", facts_table(flagged | _done(plain))
    )


def anything(what: str, tracking: str | None) -> Plain:
    """Return what is known of a detector folder or of a run, by id or name."""
    from hepanom import archive

    if archive.holds_detector(what):
        return {"kind": "detector", **_detector(Path(what))}
    return {"kind": "run", **archive.recorded(what, tracking)[1]}


def _detector(folder: Path) -> Plain:
    from hepanom.storage import load

    detector = load(folder)
    return {
        "folder": str(folder),
        "name": detector.parts.recipe.name,
        "model": detector.parts.recipe.model.use,
        "scores": list(detector.parts.scorers),
        "categories": {
            label: [column for entry in model.schema.inputs.values() for column in entry.columns]
            for label, model in detector.models.items()
        },
        "replicas": detector.replicas,
        "thresholds": show_thresholds.of_detector(detector),
        "provenance": dict(detector.provenance),
    }


def detector_text(plain: Plain) -> str:
    """Return a detector as tables."""
    facts = {
        **{key: str(plain[key]) for key in ("folder", "name", "model", "replicas")},
        "scores": ", ".join(plain["scores"]),
    }
    facts |= {
        f"category {label}": f"{len(columns)} columns: {', '.join(columns)}"
        for label, columns in plain["categories"].items()
    }
    facts |= {key: json.dumps(value) for key, value in plain["provenance"].items()}
    return text_of(facts_table(facts), *show_thresholds.tables("thresholds", plain["thresholds"]))
