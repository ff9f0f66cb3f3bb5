"""What `hepanom plugins` prints: tables, and the plain values behind --json."""

from __future__ import annotations

import json
from typing import Any

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hepanom.errors import InputError, did_you_mean
from hepanom.plugins import Registry, describe
from hepanom.show import Plain, text_of


def plugin_list(known: Registry) -> list[Plain]:
    """Return what `plugins --json` prints."""
    return [
        {"kind": entry.kind, "name": entry.name, "package": entry.package, "version": entry.version}
        for entry in known.values()
    ]


def plugin_list_text(plain: list[Plain]) -> str:
    """Return the plugins as a table."""
    table = Table("kind", "name", "package", "version", box=None)
    for entry in plain:
        table.add_row(*(escape(str(entry[key])) for key in ("kind", "name", "package", "version")))
    return text_of(table, "`hepanom plugins NAME` shows one with its options, equations and reference")


def plugin(known: Registry, name: str) -> list[Plain]:
    """Return all about the plugins of that name, which can be of several kinds."""
    found = [describe(entry) for (_, offered), entry in known.items() if offered == name]
    if not found:
        raise InputError(f"there is no plugin {name!r}; {did_you_mean(name, [offered for _, offered in known])}")
    return found


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
