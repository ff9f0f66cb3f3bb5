"""What `hepanom plugins` prints: tables, and the plain values behind --json."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hepanom.errors import InputError, did_you_mean
from hepanom.offered import Registry, find, left_out
from hepanom.terminal import Plain, text_of


def plugin_list(known: Registry) -> list[Plain]:
    """Return what `plugins --json` prints."""
    return [
        {
            "kind": entry.kind,
            "name": entry.name,
            "package": entry.package,
            "version": entry.version,
            "about": entry.about,
        }
        for entry in known.values()
    ]


def plugin_list_text(plain: list[Plain], known: Registry) -> str:
    """Return the plugins as a table for each kind, those of several packages with the package; then what is broken."""
    packages = sorted({f"{entry['package']} {entry['version']}" for entry in plain})
    pieces: list[Any] = []
    for kind, group in groupby(plain, lambda entry: entry["kind"]):
        table = Table("name", "what it is", title=f"{kind}s", title_justify="left", box=SIMPLE_HEAD)
        table.columns[0].no_wrap = True
        if len(packages) > 1:
            table.add_column("package")
        for entry in group:
            package = (f"{entry['package']} {entry['version']}",) if len(packages) > 1 else ()
            table.add_row(*(escape(text) for text in (entry["name"], entry["about"].replace("``", "`"), *package)))
        pieces.append(table)
    source = f", all of {packages[0]}" if len(packages) == 1 else ""
    pieces.append(f"{len(plain)} plugins{source}; `hepanom plugins NAME` shows options, equations, reference")
    if known.broken:
        pieces.append("\nbroken, so that what they offer cannot be used (`hepanom plugins --check` tells all):")
        pieces += [Text(f"  {lost.package}: {lost.problem}") for lost in known.broken]
    return text_of(*pieces)


def plugin(known: Registry, name: str) -> list[Plain]:
    """Return all about the plugins of that name, which can be of several kinds, and of several packages.

    Raises InputError for one that is not there or broken.
    """
    named = [entry for entry in known.values() if name in (entry.name, entry.qualified, entry.name.rpartition(":")[2])]
    if named:
        from hepanom.plugins import describe

        return [describe(entry) for entry in named]
    for lost in known.broken:
        for kind in {entry.kind for entry in lost.offers if name in (entry.name, entry.qualified)}:
            find(known, kind, name)
    nearest = did_you_mean(name, [offered for _, offered in known])
    raise InputError(f"there is no plugin {name!r}; {nearest}{left_out(known)}")


def plugin_text(plain: list[Plain]) -> str:
    """Return docstring and options of plugins."""
    pieces: list[Any] = []
    for entry in plain:
        pieces.append(Text(f"{entry['kind']} {entry['name']} ({entry['package']} {entry['version']})\n", "bold"))
        pieces.append(Text(entry["about"] + "\n"))
        table = Table("option", "type", "default", "meaning", box=None)
        for option in entry["options"]:
            default = "required" if option["required"] else json.dumps(option["default"])
            table.add_row(*(escape(text) for text in (option["name"], option["type"], default, option["about"])))
        pieces.append(table if entry["options"] else "no options")
    return text_of(*pieces)
