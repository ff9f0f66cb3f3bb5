"""Writes the page of all recipe keys, recipe.md, from the code: python docs/recipe.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from hepanom import plugins, reference
from hepanom.recipe import Recipe
from hepanom.reference import PLACES, Row

PAGE = Path(__file__).with_suffix(".md")
HEAD = """# Every key of a recipe

This page is written from the code by `python docs/recipe.py`; do not edit it. `hepanom plugins NAME` says more of a
plugin: equations, references, what it raises. `list[].key` is a key of each table in a list, `table.NAME.key` one of
each table under a name of your own, and `key (adam)` one that is there with `use: adam` alone.

An editor with a YAML language server completes and checks recipes, plugins of your own included:

```console
$ hepanom schema > recipe.schema.json
```

with `# yaml-language-server: $schema=recipe.schema.json` as the first line of the recipe.
"""


def page() -> str:
    """Return the page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    known = [entry for entry in plugins.registry().values() if entry.package == "hepanom"]
    schema = Recipe.model_json_schema()
    keys = list(reference.rows(schema, schema))
    yield HEAD
    yield from _table(row for row in keys if row.name in schema["properties"])
    for key, entry in schema["properties"].items():
        below = [row for row in keys if row.name.startswith((f"{key}.", f"{key}[]."))]
        if below and key not in PLACES.values():
            yield f"\n## {key}: {entry['description']}\n"
            yield from _table(below)
    for kind, place in PLACES.items():
        yield f"\n## {place}: the {kind}s"
        for plugin in known:
            if plugin.kind == kind:
                yield from _plugin(plugin)


def _plugin(plugin: plugins.Plugin) -> Iterator[str]:
    definitions = reference.plugin_schema(plugin, {})
    node = definitions[f"{plugin.kind}.{plugin.name}"]
    yield f"\n### {plugin.name}\n"
    yield f"{_plain(node['description'])}.\n"
    rows = list(reference.rows(node, {"$defs": definitions}))
    yield from _table(rows) if rows else ["No options."]


def _table(rows: Iterable[Row]) -> Iterator[str]:
    yield "| key | type | bounds | default | meaning |"
    yield "|---|---|---|---|---|"
    for row in rows:
        default = row.default if row.default in ("", "required") else f"`{row.default}`"
        cells = (f"`{row.name}`", _plain(row.type), _plain(row.bounds), default, _plain(row.about))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _plain(text: str) -> str:
    """Return text in which Markdown sees no signs of its own but backticks."""
    pieces = text.replace("``", "`").split("`")
    pieces[::2] = [piece.replace("*", r"\*").replace("<", "&lt;").replace("[", r"\[") for piece in pieces[::2]]
    return "`".join(pieces)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
