"""What the shell completes: plugins, runs, data sets, and the keys of a recipe after --set.

Names and keys come from the JSON schema of recipes, as it is kept in the cache: nothing here imports a plugin.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, split_arg_string

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
Words = Iterable[tuple[str, str]]
BREAKS = "=:"  # where bash cuts a word in two
BASH = r"""
%(complete_func)s() {
    local kind value
    while IFS=, read -r kind value; do
        [[ $value ]] && COMPREPLY+=("$value")
        [[ $value == *[.=:/] ]] && compopt -o nospace
    done < <(COMP_WORDS="${COMP_LINE:0:COMP_POINT}" %(complete_var)s=bash_complete "$1")
}
complete -o nosort -o bashdefault -o default -F %(complete_func)s %(prog_name)s
"""


@add_completion_class
class Bash(BashComplete):
    """Completion for bash that knows of the words which bash cuts at ``=`` and ``:``, and else completes files."""

    source_template = BASH
    incomplete = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the cursor and the begun one, from the line as it was typed."""
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)[1:]
        self.incomplete = words.pop() if words and not line[-1].isspace() else ""
        return words, self.incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """Return a completion without what stands before the last cut; that of a file is left to bash."""
        cut = max(self.incomplete.rfind(sign) for sign in BREAKS) + 1
        return f"{item.type},{item.value[cut:]}"

    def complete(self) -> str:
        """Return what bash shall offer."""
        return "\n".join(
            self.format_completion(item)
            for item in self.get_completions(*self.get_completion_args())
            if item.type == "plain"
        )


def plugin(kind: str = "") -> Complete:
    """Return what completes the name of a plugin, of one kind or of any."""

    def known(context: click.Context) -> Words:
        from hepanom.kept_schema import kept
        from hepanom.words import names

        schema = kept(context.params.get("folder"))
        return names(schema, kind) if schema else []

    return _one_of(known)


def data_set() -> Complete:
    """Return what completes the name of a public data set."""

    def known(_: click.Context) -> Words:
        from hepanom.catalogue import DATA_SETS

        return [(entry.name, entry.about) for entry in DATA_SETS]

    return _one_of(known)


def run_or_file() -> Complete:
    """Return what completes the name or the id of a run, the newest first, or a folder."""
    return _one_of(lambda context: _runs(context.params.get("tracking")))


def override(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete PATH=VALUE by the schema of recipes and, where it is on the line, by the recipe itself."""
    from hepanom.kept_schema import kept
    from hepanom.words import words

    # an option without its value, which is being typed, ends click's parsing: the recipe is still among the rest
    recipe = context.params.get("recipe") or next(iter(context.args), "")
    plain = _recipe(recipe, context.params)
    folder = context.params.get("folder")
    if folder is None and isinstance(plain.get("plugins"), str):
        folder = str((Path(recipe).parent / plain["plugins"]).resolve())
    schema = kept(folder)
    return [CompletionItem(text, help=about) for text, about in words(schema, plain, incomplete)] if schema else []


def _one_of(known: Callable[[click.Context], Words]) -> Complete:
    """Return what completes one of several words; where none fits, the shell completes a file."""

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        fitting = [(name, about) for name, about in known(context) if name.startswith(incomplete)]
        return [CompletionItem(name, help=about) for name, about in fitting] or [
            CompletionItem(incomplete, type="file")
        ]

    return complete


def _recipe(recipe: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the plain values of the recipe, as it is changed before the cursor; nothing where it cannot be read."""
    from hepanom import document
    from hepanom.errors import HepanomError

    if "use" in options:  # inspect, which knows a reader alone
        return {"data": {"use": options["use"]}}
    try:
        return document.read(recipe, options.get("overrides") or ()).plain
    except HepanomError:
        return {}


def _runs(tracking: str | None) -> list[tuple[str, str]]:
    """Return names and ids of runs in a database on this machine; a server, which may take long, is not asked."""
    import sqlite3
    from contextlib import closing

    file = (tracking or "sqlite:///mlruns/mlflow.db").removeprefix("sqlite:///")
    question = (
        "SELECT name, run_uuid, lower(status) FROM runs WHERE lifecycle_stage = 'active' ORDER BY start_time DESC"
    )
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=0.2)) as base:
            rows = base.execute(f"{question} LIMIT 300").fetchall()
    except sqlite3.Error:
        return []
    found: dict[str, str] = {}
    for name, identity, status in rows:
        found.setdefault(name, f"{status}, {identity}")
    return [*found.items(), *((identity, f"{name}, {status}") for name, identity, status in rows)]
