"""Thresholds as plain values for --json, and as tables on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from hepanom.detector import Detector
from hepanom.result import Count
from hepanom.thresholds import Threshold

AT_ONCE = 40  # rows that a terminal shows
Plain = dict[str, Any]


def plain(threshold: Threshold) -> Plain:
    """Return a threshold with its name as ``rule``, its rate in Hz (None where it has none), and what it depends on."""
    rates = None if threshold.rate is None else dict(zip(("value", "low", "high"), threshold.rate, strict=True))
    return {
        "scorer": threshold.scorer,
        "category": threshold.category,
        "rule": threshold.name,
        "value": threshold.cut,
        "background_efficiency": threshold.background_efficiency,
        "low": threshold.low,
        "high": threshold.high,
        "effective": threshold.effective,
        "undetermined": threshold.undetermined,
        "rate": rates,
        "per": None if threshold.along is None else threshold.along.to_json(),
    }


def counted(count: Count) -> Plain:
    """Return the same with what the threshold flagged of the test share."""
    met = {"events": count.events, "flagged": count.flagged, "seen": count.seen, "expected": count.expected}
    return plain(count.threshold) | met


def of_detector(detector: Detector) -> list[Plain]:
    """Return the thresholds that decide, those of the training first, each with when it was set and on what."""
    first = {"created": detector.provenance.get("created"), "background": "held-out background of the training"}
    found = []
    for entry in detector.thresholds:
        if entry.replica == detector.decides:
            known = detector.origins.get(entry.name)
            later = {} if known is None else {"created": known.created, "background": known.background}
            met = {} if known is None else {"events": known.events, "effective": known.effective, "data": known.data}
            found.append({**plain(entry), "cut": entry.cut, "set": {**first, **later, **met}})
    return found


def tables(title: str, thresholds: Sequence[Plain]) -> list[Table]:
    """Tabulate thresholds, below them the bins of those that depend on a column, and who was set after the training."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for heading in ("scorer", "category", "rule"):
        table.add_column(heading, overflow="fold")
    rates = any(entry["rate"] for entry in thresholds)
    met = any("flagged" in entry for entry in thresholds)
    for heading in ("cut", "background efficiency", *["rate"] * rates, *["flagged", "weight seen", "expected"] * met):
        table.add_column(heading, justify="right")
    for entry in thresholds[:AT_ONCE]:
        cells = [entry["scorer"], entry["category"], entry["rule"], _cut(entry), _efficiency(entry)]
        cells += [_rate(entry["rate"])] * rates
        if met:
            cells += [f"{entry['flagged']:,} of {entry['events']:,}", f"{entry['seen']:,.4g}"]
            cells.append(f"{entry['expected']:,.4g}")
        table.add_row(*map(escape, cells))
    notes = ["flagged counts events; seen and expected sum weights, expected is background alone"] * met
    notes += [f"{len(thresholds) - AT_ONCE} more in --json"] * (len(thresholds) > AT_ONCE)
    table.caption = "; ".join(notes) or None
    return [table, *_bins(thresholds), *_origins(thresholds)]


def recut_tables(found: Mapping[str, Any]) -> list[Any]:
    """Return what ``hepanom threshold`` prints."""
    events = f"{found['events']:,} events ({found['effective']:,.1f} effective)"
    told = f"{found['name']}: set on {events}: {found['background']}"
    return [escape(told), *tables(f"kept in {found['file']}", found["thresholds"])]


def _cut(entry: Plain) -> str:
    if entry["per"] is None:
        return f"{entry['value']:.4g}"
    cuts = [each["cut"] for each in entry["per"]["bins"]]
    return f"{min(cuts):.4g} to {max(cuts):.4g} by {entry['per']['column']}"


def _efficiency(entry: Plain) -> str:
    interval = f"{entry['background_efficiency']:.3g} ({entry['low']:.3g} to {entry['high']:.3g})"
    return interval + (" undetermined" if entry["undetermined"] else "")


def _rate(rate: Mapping[str, float] | None) -> str:
    return "" if rate is None else f"{rate['value']:.4g} Hz ({rate['low']:.4g} to {rate['high']:.4g})"


def _bins(thresholds: Sequence[Plain]) -> list[Table]:
    """Tabulate the bins of the thresholds that depend on a column; that of missing values where there were some."""
    table = Table("scorer", "category", "rule", "bin", box=SIMPLE_HEAD, title="by bin", title_justify="left")
    for heading in ("cut", "background efficiency"):
        table.add_column(heading, justify="right")
    rows = [
        (entry, entry["per"]["column"], each)
        for entry in thresholds
        if entry["per"] is not None
        for each in (
            *entry["per"]["bins"],
            *([entry["per"]["missing"]] if entry["per"]["missing"]["effective"] else ()),
        )
    ]
    for entry, column, each in rows[:AT_ONCE]:
        cells = (entry["scorer"], entry["category"], entry["rule"], f"{column} {each['label']}", f"{each['cut']:.4g}")
        table.add_row(*map(escape, (*cells, _efficiency(each))))
    table.caption = f"{len(rows) - AT_ONCE} more in --json" if len(rows) > AT_ONCE else None
    return [table] if rows else []


def _origins(thresholds: Sequence[Plain]) -> list[Table]:
    """Tabulate when thresholds were set and on what, where that was not all at the training."""
    sets = {entry["rule"]: entry["set"] for entry in thresholds if "set" in entry}
    if not any("data" in entry for entry in sets.values()):
        return []
    table = Table(
        "rule", "set", "events", "on", "data", box=SIMPLE_HEAD, title="when and on what", title_justify="left"
    )
    for name, entry in sets.items():
        files = [f"{Path(str(file['path'])).name} {str(file.get('sha256', ''))[:12]}" for file in entry.get("data", ())]
        more = [f"and {len(files) - 2} more"] * (len(files) > 3)
        named = ", ".join((files[:2] if more else files) + more)
        events = f"{entry['events']:,}" if "events" in entry else ""
        table.add_row(*map(escape, (name, str(entry["created"] or ""), events, entry["background"], named)))
    return [table]
