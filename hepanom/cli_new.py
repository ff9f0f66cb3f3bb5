"""The command that writes what one begins with."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from hepanom.command import common

KINDS = ["reader", "transform", "model", "scorer"]
USES = {
    "reader": 'data: {{use: {}, path: "runs/*.dat"}}',
    "transform": "transforms: [{{use: {}}}]",
    "model": "model: {{use: {}}}",
    "scorer": "scores: [{{use: {}}}]",
}


@click.group(short_help="Write a plugin to begin with.")
def new() -> None:
    """Write what one begins with; nothing is overwritten."""


@new.command(short_help="Write a plugin to begin with.")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What the plugin is.")
@click.option("--local", is_flag=True, help="One file for a folder of plugins, in place of a package.")
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where it goes; this folder by default, plugins/ with --local.",
)
@common
def plugin(name: str, kind: Any, local: bool, to: Path | None, quiet: bool) -> Any:
    """Write a plugin that works, with a test, a recipe and comments that explain it, to be made your own.

    NAME is what recipes say, as in {use: NAME}; the package is called hepanom-NAME.

    \b
        hepanom new plugin pulses --kind reader          a package in hepanom-pulses/
        hepanom new plugin pulses --kind reader --local  one file, plugins/pulses.py
    """
    from hepanom import new as begin

    if local:
        begun = begin.local(name, kind, to or Path("plugins"))
        folder = shlex.quote(str(begun.place.parent))
        steps = [f"hepanom plugins {begun.name} --plugins {folder}", "hepanom check RECIPE"]
    else:
        begun = begin.package(name, kind, to or Path())
        steps = [f"cd {shlex.quote(str(begun.place))}", "pip install -e '.[test]'", "pytest", "hepanom run recipe.yaml"]
    plain = {"status": "done", "kind": kind, "name": begun.name, "path": str(begun.place), "files": begun.files}
    return {**plain, "next": steps, "recipe": USES[kind].format(begun.name)}, _text


def _text(plain: dict[str, Any]) -> str:
    lines = [f"wrote {plain['path']}, a {plain['kind']} that works:" if plain["files"] else f"wrote {plain['path']}"]
    lines += [f"  {file}" for file in plain["files"]]
    if not plain["files"]:
        lines += ["a recipe uses it by", f"  plugins: {Path(plain['path']).parent}  # from the recipe's folder"]
        lines += [f"  {plain['recipe']}"]
    return "\n".join([*lines, "next:", *(f"  {step}" for step in plain["next"])])
