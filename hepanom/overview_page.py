"""What `hepanom inspect` prints: an overview of events as tables, and the plain values behind --json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import numpy as np
from jaxtyping import Int64
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from hepanom.contracts import Unread
from hepanom.histograms import is_logarithmic
from hepanom.overview import DIFFERENT, Column, Overview
from hepanom.show import facts_table
from hepanom.terminal import text_of

AT_ONCE = 60  # columns that a terminal shows
BARS = " ▁▂▃▄▅▆▇█"
WIDTH = 15  # characters of a histogram
Plain = dict[str, Any]


def plain(found: Overview, reader: str) -> Plain:
    """Return what `inspect --json` prints: counts of events and values, weight sums by class."""
    return {
        "status": "done",
        "reader": reader,
        "files": list(found.files),
        "events": found.events,
        "stopped": found.stopped,
        "labels": {name: entry.events for name, entry in found.classes.items()},
        "weight_sums": {name: entry.total for name, entry in found.classes.items()},
        "negative_weights": {name: entry.negative for name, entry in found.classes.items()},
        "columns": [_column(column) for column in found.columns],
        "points": {name: asdict(entry) for name, entry in found.points.items()},
        "unread": [asdict(entry) for entry in found.unread],
        "tally": dict(found.tally),
        "skipped": [asdict(entry) for entry in found.skipped],
    }


def _column(column: Column) -> Plain:
    told = {key: getattr(column, key) for key in ("name", "place", "kind", "type", "unit")}
    if (summary := column.summary) is None:
        texts = dict(column.texts) if len(column.texts) <= DIFFERENT else None
        return told | dict.fromkeys(("values", "missing", "infinite", "low", "high", "mean", "std")) | {"texts": texts}
    told |= {"values": summary.values, "missing": summary.missing, "infinite": summary.infinite}
    numbers = {key: getattr(summary, key) if summary.finite else None for key in ("low", "high", "mean", "std")}
    return told | numbers | {"placeholder": summary.placeholder}


def text(found: Overview, reader: str, new: Mapping[str, str]) -> str:
    """Return the same for a person, with small histograms, and the ``new`` files that were written."""
    files = f"{len(found.files)} files" if len(found.files) != 1 else found.files[0]
    stopped = f"the first {found.events:,} events" if found.stopped else f"{found.events:,} events"
    pieces: list[Any] = [f"{escape(files)}, read by {escape(reader)}: {stopped}", _classes(found)]
    shown = found.columns[:AT_ONCE]
    pieces += [_columns(found, place, list(group)) for place, group in groupby(shown, lambda column: column.place)]
    if len(found.columns) > AT_ONCE:
        pieces.append(
            f"{len(found.columns) - AT_ONCE} more columns; --json has them all, --set 'data.features=[...]' "
            "chooses, where the reader has that option"
        )
    if found.unread:
        pieces += [_unread(found.unread), f"`hepanom plugins {escape(reader)}` lists the options that read them"]
    if infinite := [column for column in found.columns if column.summary and column.summary.infinite]:
        counts = ", ".join(f"{column.name} ({column.summary.infinite:,})" for column in infinite if column.summary)
        pieces.append(f"infinite values, which no model takes: {escape(counts)}")
    if held := found.placeholders:
        told = ", ".join(f"{name}: {value:g} ({share:.1%})" for name, value, share in held)
        pieces.append(f"values that may mean missing, if the reader's option `missing` says so: {escape(told)}")
    done = {what: f"{count:,}" for what, count in found.tally.items()}
    done |= {f"skipped {entry.file}": entry.why for entry in found.skipped}
    done |= {f"{key} written": path for key, path in new.items()}
    return text_of(*pieces, *([facts_table(done)] if done else []))


def _classes(found: Overview) -> Table:
    headings = ("events", "weight sum", "effective events", "negative", "lowest weight", "highest")
    table = _table("events by class; effective events are (sum w)^2 / sum w^2", "class", headings)
    for name, entry in found.classes.items():
        if not entry.events:
            table.add_row(escape(name), "0")
            continue
        effective = entry.total**2 / entry.squares if entry.squares else 0.0
        row = (f"{entry.events:,}", f"{entry.total:,.6g}", f"{effective:,.0f}", f"{entry.negative:,}")
        table.add_row(escape(name), *row, f"{entry.low:.4g}", f"{entry.high:.4g}")
    return table


def _columns(found: Overview, place: str, columns: list[Column]) -> Table:
    table = _table(escape(_title(found, place)), "column", ("type", "unit", "missing", "low", "mean", "high"))
    drawn = columns[0].kind != "beside"  # numbers of events and runs have no distribution to look at
    if drawn:
        table.add_column("histogram", no_wrap=True)
    for column in columns:
        row = [escape(column.name), column.type, escape(column.unit)]
        if (summary := column.summary) is not None:
            ends = ".0f" if "int" in column.type else ".5g"  # an event's number is said in full
            numbers = (f"{summary.low:{ends}}", f"{summary.mean:.5g}", f"{summary.high:{ends}}")
            row += [_share(summary.missing, summary.values), *(numbers if summary.finite else ("", "", ""))]
            row += [histogram(column)] if drawn and summary.finite else []
        table.add_row(*row)
    return table


def _unread(unread: Sequence[Unread]) -> Table:
    """Tabulate what else there is."""
    table = _table("not read: what else lies in the files", "name", ("holds", "type", "values in an event"))
    for entry in unread[:AT_ONCE]:
        ends = dict.fromkeys(f"{number:,}" for number in (entry.fewest, entry.most) if number is not None)
        table.add_row(escape(entry.name), escape(entry.holds), escape(entry.type), " to ".join(ends))
    if len(unread) > AT_ONCE:
        table.caption = f"{len(unread) - AT_ONCE} more; --json has them all"
    return table


def _title(found: Overview, place: str) -> str:
    """Say what stands in a place of the events."""
    if place not in found.schema.inputs:
        return {"target": "target of a regression", "beside": "beside: travels with the events, is no feature"}[place]
    entry = found.schema.inputs[place]
    title = f"{place}: {entry.kind}"
    if entry.shape:
        title += f", {' x '.join(map(str, entry.shape))} pixels in each channel"
    if place in found.points:
        points = found.points[place]
        mean = points.total / max(points.events, 1)
        title += f", {mean:,.1f} in an event on average, {points.most:,} at most; {points.empty:,} events have none"
    return title


def _table(title: str, first: str, headings: tuple[str, ...]) -> Table:
    table = Table(first, title=title, title_justify="left", box=SIMPLE_HEAD)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("holds", "type", "unit") else "right")
    return table


def _share(part: int, whole: int) -> str:
    """Return a percentage that is 0 only for nothing, and 100 only for all."""
    if part in (0, whole):
        return f"{100 * (part > 0)} %"
    percent = 100 * part / whole
    return "< 0.1 %" if percent < 0.1 else "> 99.9 %" if percent > 99.9 else f"{percent:.1f} %"


def histogram(column: Column) -> str:
    """Return the values of a column as bars, with what to know to read them: a logarithmic axis, values outside."""
    assert column.summary is not None
    assert column.edges is not None
    counts = column.summary.counts.sum(0)
    outside = int(counts[0] + counts[-1])
    log = " log" if is_logarithmic(column.edges) else ""
    note = f" {_share(outside, column.summary.finite)} outside" if 100 * outside >= column.summary.finite else ""
    return bars(counts[1:-1]) + log + note


def bars(counts: Int64[np.ndarray, " bin"]) -> str:
    """Return counts as a line of at most fifteen bars; only an empty bin is blank."""
    group = -(-len(counts) // WIDTH)
    grouped = np.add.reduceat(counts, np.arange(0, len(counts), group))
    heights = np.ceil(grouped * (len(BARS) - 1) / max(int(grouped.max()), 1)).astype(int)
    return "".join(BARS[height] for height in heights)
