"""What `hepanom monitor` says: an exit code for a cron job, tables, the plain values behind --json, and a page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hepanom import page, storage
from hepanom.canvas import style
from hepanom.evaluate import Number
from hepanom.files import written
from hepanom.monitor import monitor, reference_from
from hepanom.monitor_figures import columns_of, figures
from hepanom.monitored import QUANTILES, USUAL, Asked, Flagged, Group, Monitored, Moved
from hepanom.run import Watcher
from hepanom.tables import cell
from hepanom.terminal import text_of

ALARM = 3  # exit code
AT_ONCE = 60  # groups and alarms that a terminal shows
MOST = 50  # columns of a group that --json has, those that moved most
SECTIONS = {"flagged": "flagged", "score": "scores", "columns": "columns", "map": "columns"}
Plain = dict[str, Any]


def watch(
    place: Path,
    files: Sequence[str],
    *,
    overrides: Sequence[str] = (),
    reference: Sequence[str] = (),
    keep: bool = False,
    html: Path | None = None,
    alarm: Sequence[str] = (),
    watcher: Watcher | None = None,
    **asked: Any,
) -> tuple[Plain, Callable[[Any], str]]:
    """Monitor files with the detector of a folder; return what ``--json`` prints, and the text for a person.

    ``reference`` are files of good events that take the place of the detector's own reference, for good with ``keep``.
    ``html`` is where a page goes. ``asked`` are the other fields of ``Asked``.
    """
    watcher = watcher or Watcher()
    detector = storage.load(place, overrides)
    if reference:
        watcher.stage("making a reference")
        detector = replace(detector, reference=reference_from(detector, reference))
        if keep and detector.reference is not None:
            storage.keep_reference(detector.reference, place)
    watcher.stage("scoring")
    kinds = tuple(dict.fromkeys(alarm)) or USUAL
    found = monitor(detector, files, Asked(alarm=kinds, **asked), watcher.events)  # type: ignore[arg-type]
    new = {}
    if html is not None:
        watcher.stage("drawing")
        write(found, html, str(place))
        new["page"] = str(html)
    return plain(found) | {"detector": str(place)} | new, lambda _: text(found, new)


def plain(found: Monitored) -> Plain:
    """Return what `monitor --json` prints: of the columns those that moved, at most fifty in a group."""
    return {
        "status": "alarm" if found.alarms else "fine",
        "alarms": [asdict(alarm) for alarm in found.alarms],
        "asked": asdict(found.asked),
        "reference": dict(found.about),
        "groups": [_group(group, found) for group in found.groups],
        "skipped": [asdict(entry) for entry in found.skipped],
    }


def _group(group: Group, found: Monitored) -> Plain:
    moved = has_moved(group, found.asked)
    scores = [each for each in group.moved if each.axis.kind == "score"]
    return {
        "name": group.name,
        "events": group.events,
        "flagged": [asdict(each) for each in group.flagged],
        "scores": [
            {"scorer": each.axis.name, "category": each.axis.category}
            | {"quantiles": dict(zip(QUANTILES, group.quantiles[each.axis.name, each.axis.category], strict=True))}
            | _moved(each)
            for each in scores
        ],
        "moved": len(moved),
        "columns": [{"column": each.axis.name, "unit": each.axis.unit} | _moved(each) for each in moved[:MOST]],
    }


def _moved(found: Moved) -> Plain:
    here, there = (None if math.isnan(median) else median for median in found.medians)
    told: Plain = {"test": "chi2" if found.axis.few else "kolmogorov_smirnov", "distance": found.difference.distance}
    told |= {"p": found.difference.p, "corrected": found.corrected, "effective": found.effective}
    return told | {"median": here, "reference_median": there}


def has_moved(group: Group, asked: Asked) -> list[Moved]:
    """Return the columns whose distribution differs significantly, and far enough; the farthest first."""
    found = columns_of(group)
    return [each for each in found if each.corrected < asked.level and each.difference.distance >= asked.effect]


def text(found: Monitored, new: Mapping[str, str]) -> str:
    """Return the same for a person, and the ``new`` files that were written."""
    table = Table("group", title="beside the reference", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("events", "flagged", "expected", "p", "score's median", "distance", "p", "columns that moved"):
        table.add_column(heading, justify="left" if heading.startswith("columns") else "right")
    alarmed = {alarm.group for alarm in found.alarms}
    for group in found.groups[:AT_ONCE]:
        name = escape(group.name)
        table.add_row(f"[red]{name}[/red]" if group.name in alarmed else name, *map(escape, _row(group, found)))
    pieces: list[Any] = [table]
    if len(found.groups) > AT_ONCE:
        pieces.append(f"{len(found.groups) - AT_ONCE} more groups; --json has them all")
    for alarm in found.alarms[:AT_ONCE]:
        pieces.append(Text(f"ALARM {alarm.group}: {alarm.what} (corrected p {_small(alarm.p)})", "red"))
    kinds = " and ".join(found.asked.alarm)
    total = len(found.alarms)
    told = f"{total} alarm{'s' * (total > 1)}" if total else f"no alarm from {kinds} at level {found.asked.level:g}"
    if "flagged" in found.asked.alarm and not any(group.flagged for group in found.groups):
        told += "; the detector has no threshold, so that no flags were compared"
    if "columns" not in found.asked.alarm and any(has_moved(group, found.asked) for group in found.groups):
        told += "; columns that moved are an alarm with --alarm columns alone"
    pieces.append(Text(told))
    pieces += [Text(f"skipped {entry.file}: {entry.why}") for entry in found.skipped]
    pieces += [Text(f"{key} written: {path}") for key, path in new.items()]
    return text_of(*pieces)


def _row(group: Group, found: Monitored) -> list[str]:
    """Return a line of the table: of several flags and scores the one with the smallest p."""
    row = [f"{group.events:,}", "", "", "", "", "", ""]
    if flags := sorted(group.flagged, key=lambda each: each.p):
        row[1], row[2], row[3] = _interval(flags[0]), f"{flags[0].expected:.3g}", _small(flags[0].corrected)
    if scores := sorted((m for m in group.moved if m.axis.kind == "score"), key=lambda each: each.difference.p):
        first = scores[0]
        row[4:] = [f"{first.medians[0]:.4g}", f"{first.difference.distance:.2g}", _small(first.corrected)]
    moved = has_moved(group, found.asked)
    names = ", ".join(f"{each.axis.name} (distance {each.difference.distance:.2g})" for each in moved[:3])
    return [*row, names + (f" and {len(moved) - 3} more" if len(moved) > 3 else "")]


def _small(p: float) -> str:
    return f"{p:.2g}" if p else "< 1e-300"


def _interval(found: Flagged) -> str:
    return f"{found.share:.3g} ({found.low:.2g} to {found.high:.2g})"


def write(found: Monitored, path: Path, detector: str) -> None:
    """Write the page as one file, with its figures inside. Raises HepanomError where it cannot be written."""
    with style():
        images = {name: page.png(figure) for name, figure in figures(found).items()}
    content = {
        "found": found,
        "detector": detector,
        "pictures": page.pictures(images, SECTIONS),
        "moved": {group.name: has_moved(group, found.asked) for group in found.groups},
        "alarmed": {alarm.group for alarm in found.alarms},
        "about": list(page.facts(found.about)),
        "interval": lambda value, low, high: cell(Number(value, low, high, None)),
        "quantiles": QUANTILES,
    }
    text = page.render("monitor.html.j2", content)
    with written(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
