"""What `hepanom plugins --check` prints: a row for each package, then what must be mended and what had better be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hepanom.health import Health
from hepanom.terminal import Plain, text_of


def plain(found: Sequence[Health]) -> Plain:
    """Return what `plugins --check --json` prints."""
    return {
        "status": "unhealthy" if any(health.problems for health in found) else "healthy",
        "packages": [
            {
                "package": health.package.name,
                "version": health.package.version,
                "file": health.package.file,
                "contract": health.contract,
                "seconds": health.seconds,
                "offers": [asdict(offer) for offer in health.offers],
                "problems": health.problems,
                "advice": health.advice,
            }
            for health in found
        ],
    }


def text(found: Plain, *, detailed: bool) -> str:
    """Return the health of packages for a reader; ``detailed`` with a table of what each offers."""
    packages = found["packages"]
    table = Table("package", "version", "contract", "offers", "import", "slowest class", "health", box=SIMPLE_HEAD)
    for column in table.columns[2:5]:
        column.justify = "right"
    for entry in packages:
        contract = "-" if entry["contract"] is None else str(entry["contract"])
        slowest = max(entry["offers"], key=lambda offer: offer["seconds"], default=None)
        told = f"{slowest['kind']} {slowest['name']}, {_time(slowest['seconds'])}" if slowest else ""
        broken = f"{len(entry['problems'])} to mend" if entry["problems"] else "good"
        cells = (entry["package"], entry["version"], contract, str(len(entry["offers"])), _time(entry["seconds"]), told)
        table.add_row(*map(escape, cells), Text(broken, "red" if entry["problems"] else "green"))
    pieces: list[Any] = [table, *(_offers(entry) for entry in packages if detailed)]
    for entry in packages:
        who = entry["package"] if entry["version"] == "local" else f"{entry['package']} {entry['version']}"
        for key, word, style in (("problems", "mend", "red"), ("advice", "advice", "yellow")):
            place = "" if entry["version"] == "local" else f" ({entry['file']})"
            pieces += [Text.assemble((word, style), f" {who}{place}: {line}") for line in entry[key]]
    sick = sum(bool(entry["problems"]) for entry in packages)
    number = f"{len(packages)} package{'s' * (len(packages) != 1)} with plugins"
    return text_of(*pieces, f"{number}, {sick or 'none'} with something to mend")


def _offers(entry: Plain) -> Table:
    table = Table("kind", "name", "import", "health", box=SIMPLE_HEAD)
    table.columns[2].justify = "right"
    for offer in entry["offers"]:
        health = f"{len(offer['problems'])} to mend" if offer["problems"] else "good"
        table.add_row(offer["kind"], escape(offer["name"]), _time(offer["seconds"]), health)
    return table


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s"
