"""What the command line prints: tables, and the plain values behind --json."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hepanom import address
from hepanom.errors import InputError

if TYPE_CHECKING:
    from hepanom.plugins import Parts
    from hepanom.run import Outcome

AT_ONCE = 40  # rows of thresholds that a terminal shows
WIDTH = 160  # of tables that go into a file
UNKNOWN = "n/a"  # a number that the events cannot give
Plain = dict[str, Any]


def text_of(*pieces: Any) -> str:
    """Return tables and lines as text, as wide as the terminal."""
    people, written = sys.stdout.isatty(), StringIO()
    console = Console(file=written, force_terminal=people, width=None if people else WIDTH)
    for piece in pieces:
        console.print(piece, soft_wrap=isinstance(piece, Text))
    return written.getvalue().rstrip()


def outcome(found: Outcome) -> Plain:
    """Return what `run --json` prints."""
    return {
        "status": "done",
        "run_id": found.run_id,
        "detector": f"{found.artifacts}/detector",
        "report": f"{found.artifacts}/report.html",
        "metrics": {name: asdict(number) for name, number in found.result.numbers.items()},
        "latent": {
            label: {name: None if number is None else asdict(number) for name, number in probe.numbers.items()}
            for label, probe in found.result.probes.items()
        },
        "thresholds": [
            {
                "scorer": count.threshold.scorer,
                "category": count.threshold.category,
                "rule": count.threshold.name,
                "value": count.threshold.cut,
                "background_efficiency": count.threshold.background_efficiency,
                "low": count.threshold.low,
                "high": count.threshold.high,
                "undetermined": count.threshold.undetermined,
                "events": count.events,
                "flagged": count.flagged,
                "seen": count.seen,
                "expected": count.expected,
            }
            for count in found.result.thresholds
        ],
        "training": dict(found.result.endings),
        "tally": dict(found.result.tally),
        "skipped": [asdict(entry) for entry in found.result.skipped],
    }


def outcome_text(plain: Plain) -> str:
    """Return the numbers and thresholds of a run as tables, and where everything is."""
    return text_of(
        *_numbers(plain["metrics"]),
        *_latent(plain["latent"]),
        _thresholds(plain["thresholds"]),
        *([facts_table(done)] if (done := _done(plain)) else []),
        *(Text(f"training {name}: {ending}") for name, ending in plain["training"].items()),
        facts_table({key: str(plain[key]) for key in ("detector", "report", "run_id")}),
    )


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


def _thresholds(thresholds: list[Plain]) -> Table:
    table = Table(title="thresholds on held-out background", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("scorer", "category", "rule"):
        table.add_column(heading)
    for heading in ("cut", "background efficiency", "flagged", "weight seen", "expected"):
        table.add_column(heading, justify="right")
    for entry in thresholds[:AT_ONCE]:
        efficiency = f"{entry['background_efficiency']:.3g} ({entry['low']:.3g} to {entry['high']:.3g})"
        table.add_row(
            entry["scorer"],
            entry["category"],
            entry["rule"],
            f"{entry['value']:.4g}",
            efficiency + (" undetermined" if entry["undetermined"] else ""),
            f"{entry['flagged']:,} of {entry['events']:,}",
            f"{entry['seen']:,.4g}",
            f"{entry['expected']:,.4g}",
        )
    table.caption = "flagged counts events; seen and expected sum weights, expected is background alone"
    if len(thresholds) > AT_ONCE:
        table.caption += f"; {len(thresholds) - AT_ONCE} more in the report"
    return table


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
        "doubts": list(parts.doubts),
    }


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
    from hepanom import track

    if (Path(what) / "schema.json").is_file():
        return {"kind": "detector", **_detector(Path(what))}
    try:
        return {"kind": "run", **track.fetch(track.open_store(address.existing(tracking)), what)}
    except InputError as error:
        if not Path(what).is_dir():
            raise
        raise InputError(
            f"{what}: is a folder, but no detector (it has no schema.json), and no run: {error}"
        ) from error


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
        "thresholds": [
            {**entry.to_json(), "rule": entry.name}
            for entry in detector.thresholds
            if entry.replica == detector.decides
        ],
        "provenance": dict(detector.provenance),
    }


def anything_text(plain: Plain) -> str:
    """Return a run or a detector as tables."""
    if plain["kind"] == "run":
        facts = {
            key: str(plain[key])
            for key in ("name", "run_id", "status", "reason", "training", "events", "artifacts")
            if plain[key]
        }
        table = Table("metric", "value", box=None)
        table.columns[1].justify = "right"
        for name, value in sorted(plain["metrics"].items()):
            if not name.endswith(("/low", "/high")):
                table.add_row(escape(name), f"{value:.5g}")
        return text_of(facts_table(facts), table)
    facts = {
        **{key: str(plain[key]) for key in ("folder", "name", "model", "replicas")},
        "scores": ", ".join(plain["scores"]),
    }
    facts |= {
        f"category {label}": f"{len(columns)} columns: {', '.join(columns)}"
        for label, columns in plain["categories"].items()
    }
    facts |= {key: json.dumps(value) for key, value in plain["provenance"].items()}
    table = Table("scorer", "category", "rule", "cut", "background efficiency", box=None)
    for entry in plain["thresholds"]:
        efficiency = f"{entry['background_efficiency']:.3g} ({entry['low']:.3g} to {entry['high']:.3g})"
        table.add_row(entry["scorer"], entry["category"], entry["rule"], f"{entry['cut']:.4g}", efficiency)
    return text_of(facts_table(facts), table)
