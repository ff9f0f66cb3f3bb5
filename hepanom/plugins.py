"""Plugins: the healthy ones by name, checked together with the recipe, built into Parts."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from hepanom import consistency, goals, recipe
from hepanom.blame import blame
from hepanom.document import Document, Place
from hepanom.errors import InputError, OptionError, RecipeError
from hepanom.offered import Registry, find, registry
from hepanom.options import check_options
from hepanom.packages import Kind, Plugin
from hepanom.recipe import Recipe

if TYPE_CHECKING:
    from hepanom.contracts import Model, Reader, Scorer, Transform
    from hepanom.events import Schema


@dataclass(frozen=True)
class Parts:
    """A recipe with its plugins built, everything checked, and nothing but headers read.

    ``doubts`` are what may turn out to be a mistake once the transforms are fitted.
    """

    recipe: Recipe
    document: Document
    reader: Reader
    schema: Schema
    transforms: Mapping[str, Transform]
    model: Model
    scorers: Mapping[str, Scorer]
    versions: Mapping[str, str]
    doubts: tuple[str, ...] = ()


@blame()
def build(document: Document, schema: Schema | None = None) -> Parts:
    """Check a whole recipe and build its plugins; no event is read, headers are (unless the schema is known).

    Where headers are read, the network is built once, too, for the events that the transforms leave. Raises RecipeError
    with every mistake at once: file, line, what was found, what would do.
    """
    from hepanom import returned  # which imports torch

    known = registry(local_folder(document))
    checked, built, used, problems = _options(document, known)
    reader, anew, doubts = built.get(("data",)), schema is None, list[str]()
    if schema is None and reader is not None:
        try:
            schema = returned.schema(reader, reader.schema())
        except OptionError as error:
            problems += [f"{document.where(('data', *place))}: {error.file}{told}" for place, told in error.mistakes]
        except InputError as error:
            problems.append(f"{document.where(('data',))}: {error}")
    problems += consistency.lacking_codes(built, schema, document)
    if schema is not None:
        problems += consistency.failing_transforms(built, schema, document)
        problems += consistency.unknown_names(checked, schema, document) if checked else []
        if anew and checked:
            refused, doubts = consistency.failing_model(built, checked, schema, document)
            problems += refused
            problems += goals.mistakes(built, checked, schema, document)
    if anew and checked and schema is not None and not problems:
        problems += goals.undrawable(checked, schema, document, lambda made: _options(made, known))
    if problems or checked is None or schema is None:
        raise RecipeError(sorted(problems, key=_line))
    return Parts(
        checked,
        document,
        built["data",],
        schema,
        {f"{index}-{use.use}": built["transforms", index] for index, use in enumerate(checked.transforms)},
        built["model",],
        {score.label: built["scores", index] for index, score in enumerate(checked.scores)},
        used,
        tuple(doubts),
    )


def _options(
    document: Document, plugins: Registry
) -> tuple[Recipe | None, dict[Place, Any], dict[str, str], list[str]]:
    """Return the checked recipe, its plugins by place, the version of each package used, and every mistake."""
    checked, problems = recipe.check(document)
    built: dict[Place, Any] = {}
    used: dict[str, str] = {}
    for kind, place, node in _uses(document.plain):
        value, version, mistakes = build_one(plugins, kind, place, node, document)
        used |= version
        built |= {} if mistakes else {place: value}
        problems += mistakes
    problems += [*consistency.lacking_outputs(built, document), *consistency.lacking_scores(built, document)]
    return checked, built, used, problems


def build_one(
    plugins: Registry, kind: Kind, place: Place, node: Mapping[str, Any], document: Document
) -> tuple[Any, dict[str, str], list[str]]:
    """Return the plugin at a place of the document (None if its options are wrong), its version, every mistake."""
    ours = {"use", "name"} if kind == "scorer" else {"use"}
    try:
        plugin = find(plugins, kind, node["use"])
        options = {key: value for key, value in node.items() if key not in ours}
        with blame(str(plugin), "a check of its options"):
            value, mistakes = check_options(strict(plugin.load()), options, place, document)
    except InputError as error:
        return None, {}, [f"{document.where((*place, 'use'))}: {error}"]
    return value, {plugin.package: plugin.version}, mistakes


def _line(problem: str) -> tuple[int, ...]:
    place = re.match(r".*?:(\d+):(\d+): ", problem)
    return tuple(int(number) for number in place.groups()) if place else ()


def local_folder(document: Document) -> Path | None:
    """Return the recipe's own plugin folder, which is relative to the recipe."""
    folder = document.plain.get("plugins")
    return (Path(document.source).parent / folder).resolve() if isinstance(folder, str) else None


def _uses(plain: Mapping[str, Any]) -> Iterator[tuple[Kind, Place, dict[str, Any]]]:
    """List the plugin nodes of a recipe that are well formed; the others are reported by the recipe's own check."""
    nodes: list[tuple[Kind, Place, Any]] = [
        ("reader", ("data",), plain.get("data")),
        ("model", ("model",), plain.get("model")),
    ]
    lists: tuple[tuple[Kind, str], ...] = (("transform", "transforms"), ("scorer", "scores"))
    for kind, key in lists:
        items = plain.get(key)
        nodes += [(kind, (key, index), item) for index, item in enumerate(items if isinstance(items, list) else ())]
    for kind, place, node in nodes:
        if isinstance(node, dict) and isinstance(node.get("use"), str):
            yield kind, place, node


def strict(options: type) -> type:
    """Make pydantic refuse options that the plugin does not have; for a bare dataclass it would ignore them."""
    options.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
    return options


def describe(plugin: Plugin) -> dict[str, Any]:
    """Return what a person wants to know of a plugin: its docstring and its options with type, default and meaning."""
    options = strict(plugin.load())
    with blame(str(plugin), "a description of its options"):
        schema = TypeAdapter(options).json_schema()
        defaults = {entry.name: _default(entry) for entry in fields(options)}
    return {
        "kind": plugin.kind,
        "name": plugin.name,
        "package": plugin.package,
        "version": plugin.version,
        "file": plugin.file,
        "about": inspect.getdoc(options) or "",
        "options": [
            {
                "name": name,
                "type": _type(entry),
                "default": None if defaults[name] is MISSING else defaults[name],
                "required": defaults[name] is MISSING,
                "about": entry.get("description", ""),
            }
            for name, entry in schema.get("properties", {}).items()
        ],
    }


def _default(option: Field[Any]) -> Any:
    return option.default if option.default_factory is MISSING else option.default_factory()


def _type(entry: Mapping[str, Any]) -> str:
    if "enum" in entry or "const" in entry:
        return " | ".join(str(value) for value in entry.get("enum", [entry.get("const")]))
    if "anyOf" in entry:
        return " | ".join(_type(choice) for choice in entry["anyOf"])
    if entry.get("type") == "array":
        return f"list of {_type(entry['items'])}" if entry.get("items") else "list"
    return str(entry.get("type", "any"))
