"""What `hepanom plugins` prints: tables, and the plain values behind --json."""

from __future__ import annotations

import ast
import inspect
import json
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hepanom.errors import InputError, did_you_mean
from hepanom.plugins import Registry, describe
from hepanom.reference import first_sentence
from hepanom.show import Plain, text_of


def plugin_list(known: Registry) -> list[Plain]:
    """Return what `plugins --json` prints."""
    return [
        {
            "kind": entry.kind,
            "name": entry.name,
            "package": entry.package,
            "version": entry.version,
            "about": first_sentence(_docstring(entry.target)),
        }
        for entry in known.values()
    ]


def plugin_list_text(plain: list[Plain]) -> str:
    """Return the plugins as a table for each kind; those of several packages with the package."""
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
    return text_of(*pieces, f"{len(plain)} plugins{source}; `hepanom plugins NAME` shows options, equations, reference")


def _docstring(target: type | str) -> str:
    """Return the docstring of a plugin's class; its module is parsed, not run: some import libraries for seconds."""
    if isinstance(target, type):
        return inspect.getdoc(target) or ""
    module, _, name = target.partition(":")
    try:
        found = find_spec(module)
        tree = ast.parse(Path(str(found and found.origin)).read_bytes())
    except (ImportError, ValueError, OSError, SyntaxError):
        return ""  # `hepanom plugins NAME` says what is wrong with it
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    return next((ast.get_docstring(node) or "" for node in classes), "")


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
