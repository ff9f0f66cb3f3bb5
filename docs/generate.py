"""Writes the pages that come from the code: every recipe key, every plugin, every command. python docs/generate.py."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from textwrap import dedent

import click

from hepanom import reference
from hepanom.cli import hepanom
from hepanom.offered import registry
from hepanom.packages import Plugin, first_sentence
from hepanom.recipe import Recipe
from hepanom.reference import PLACES, Row

DOCS = Path(__file__).parent
ORIGIN = "This page is written from the code by `python docs/generate.py`; do not edit it."
KEYS = f"""# Every key of a recipe

{ORIGIN}

`list[].key` is a key of each table in a list, `table.NAME.key` one of each table under a name of your own, and
`key (adam)` one that is there with `use: adam` alone. The options of plugins stand on their own pages:
[readers](reference/readers.md) in `data`, [transforms](reference/transforms.md), [models](reference/models.md) and
[scorers](reference/scorers.md) in `scores`.

An editor with a YAML language server completes and checks recipes, plugins of your own included:

```console
$ hepanom schema > recipe.schema.json
```

with `# yaml-language-server: $schema=recipe.schema.json` as the first line of the recipe.
"""
ABOUT = {
    "reader": "A recipe names one in `data`. Which one reads what: [readers](../readers.md).",
    "transform": "A recipe lists them in `transforms`; they are fitted on the events that train, in this order.",
    "model": "A recipe names one in `model`. Which one for what: [choosing](../how-to/choosing.md); what they show: "
    "[models and scores](../models.md).",
    "scorer": "A recipe lists them in `scores`; the first counts most. `name` gives one another name. What they mean: "
    "[choosing](../how-to/choosing.md).",
}
COMMANDS = f"""# Every command

{ORIGIN}

Every command takes `--json` (print one JSON object on stdout and nothing else), `-q` (show errors alone), `-v`
(show what happens inside) and `-h`. The exit code is 0 when done, 1 for a failed run, 2 for a recipe or input that
cannot be used, 3 for an alarm of `monitor`, 4 for a run that is kept because its server was away.
"""
# A reference begins where authors follow a full stop.
NEXT = re.compile(r"(?<=[.)])\n(?=(?:[A-Z]\.[- ]?)+ ?[A-Z]|[A-Z]\w+ (?:C|c)ollaboration)")
EVERYWHERE = {"as_json", "quiet", "verbose", "help"}


def pages() -> dict[Path, str]:
    """Return the text of each page by its file."""
    known = [entry for entry in registry().values() if entry.package == "hepanom"]
    found = {DOCS / "recipe.md": _keys(), DOCS / "commands.md": _commands()}
    found |= {
        DOCS / "reference" / f"{kind}s.md": _kind(kind, [entry for entry in known if entry.kind == kind])
        for kind in PLACES
    }
    return {path: "\n".join(lines) + "\n" for path, lines in found.items()}


def _keys() -> Iterator[str]:
    schema = Recipe.model_json_schema()
    keys = list(reference.rows(schema, schema))
    yield KEYS
    yield from _table(row for row in keys if row.name in schema["properties"])
    for key, entry in schema["properties"].items():
        below = [row for row in keys if row.name.startswith((f"{key}.", f"{key}[]."))]
        if below and key not in PLACES.values():
            yield f"\n## {key}: {entry['description']}\n"
            yield from _table(below)


def _kind(kind: str, offered: Iterable[Plugin]) -> Iterator[str]:
    yield f"# The {kind}s\n\n{ORIGIN}\n\n{ABOUT[kind]}\n"
    docstrings = {entry: inspect.getdoc(entry.load()) or "" for entry in offered}
    yield "| name | what it is |"
    yield "|---|---|"
    for entry, text in docstrings.items():
        yield f"| [`{entry.name}`](#{entry.name}) | {_cell(first_sentence(text))} |"
    for entry, text in docstrings.items():
        yield f"\n## {entry.name}\n"
        yield from _docstring(text)
        definitions = reference.plugin_schema(entry, {})
        rows = list(reference.rows(definitions[f"{kind}.{entry.name}"], {"$defs": definitions}))
        yield from _table(rows, "option") if rows else ["No options."]


def _docstring(text: str) -> Iterator[str]:
    """Yield a docstring as Markdown: equations as they stand, references as a list."""
    body, _, references = text.partition("\nReferences:\n")
    for equations, blocks in groupby(body.strip().split("\n\n"), lambda block: block.startswith("    ")):
        joined = "\n\n".join(blocks)
        yield f"```text\n{dedent(joined).replace('``', '')}\n```\n" if equations else f"{_plain(joined)}\n"
    if references:
        items = NEXT.split(dedent(references).strip())
        yield "References:\n\n" + "\n".join(f"- {_plain(' '.join(item.split()))}" for item in items) + "\n"


def _commands() -> Iterator[str]:
    yield COMMANDS
    for context in _each(click.Context(hepanom, info_name="hepanom")):
        command = context.command
        yield f"## {context.command_path}\n"
        yield f"```text\n{' '.join(command.get_usage(context).split()).removeprefix('Usage: ')}\n```\n"
        for block in inspect.cleandoc(command.help or "").split("\n\n"):
            kept = block.startswith("\b\n")
            yield f"```text\n{dedent(block[2:])}\n```\n" if kept else f"{_plain(block)}\n"
        options = [each for each in command.params if isinstance(each, click.Option) and each.name not in EVERYWHERE]
        records = [record for option in options if (record := option.get_help_record(context))]
        if records:
            yield "| option | what it does |"
            yield "|---|---|"
            yield from (f"| `{_bar(names)}` | {_cell(' '.join(about.split()))} |" for names, about in records)
            yield ""


def _each(above: click.Context) -> Iterator[click.Context]:
    """Yield the context of every command, of those in groups, too."""
    assert isinstance(above.command, click.Group)
    for name in above.command.list_commands(above):
        context = click.Context(above.command.commands[name], info_name=name, parent=above)
        yield from _each(context) if isinstance(context.command, click.Group) else (context,)


def _table(rows: Iterable[Row], first: str = "key") -> Iterator[str]:
    yield f"| {first} | type | bounds | default | meaning |"
    yield "|---|---|---|---|---|"
    for row in rows:
        default = row.default if row.default in ("", "required") else f"`{_bar(row.default)}`"
        cells = (f"`{_bar(row.name)}`", _cell(row.type), _cell(row.bounds), default, _cell(row.about))
        yield f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return _bar(_plain(text))


def _bar(text: str) -> str:
    return text.replace("|", r"\|")


def _plain(text: str) -> str:
    """Return text in which Markdown sees no signs of its own but backticks and the points of a list."""
    pieces = text.replace("``", "`").split("`")
    pieces[::2] = [piece.replace("*", r"\*").replace("<", "&lt;").replace("[", r"\[") for piece in pieces[::2]]
    return "`".join(pieces)


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
