"""Plugins: found through entry points and a local folder, checked together with the recipe, built into Parts."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, get_args

import pluggy
from pydantic import TypeAdapter

from hepanom import hookspecs, recipe
from hepanom.document import Document, Place, check_options
from hepanom.errors import InputError, RecipeError, did_you_mean
from hepanom.recipe import Recipe

if TYPE_CHECKING:
    from hepanom.contracts import Model, Reader, Scorer, Transform
    from hepanom.events import Schema

Kind = Literal["reader", "transform", "model", "scorer"]


@dataclass(frozen=True)
class Plugin:
    """One offered name and where it comes from."""

    kind: Kind
    name: str
    package: str
    version: str
    target: type | str

    def load(self) -> type:
        """Import the class. Raises InputError that names the package where that fails."""
        if isinstance(self.target, type):
            return self.target
        module, _, attribute = self.target.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise InputError(
                f"{self.kind} {self.name!r} of {self.package} {self.version} cannot be loaded: {error}"
            ) from error
        if not (isinstance(found, type) and is_dataclass(found)):
            raise InputError(
                f"{self.kind} {self.name!r} of {self.package} {self.version}: {self.target} is no dataclass"
            )
        return found


Registry = Mapping[tuple[Kind, str], Plugin]


@dataclass(frozen=True)
class Parts:
    """A recipe with its plugins built, everything checked, and nothing but headers read."""

    recipe: Recipe
    document: Document
    reader: Reader
    schema: Schema
    transforms: Mapping[str, Transform]
    model: Model
    scorers: Mapping[str, Scorer]
    versions: Mapping[str, str]


def registry(folder: str | Path | None = None) -> Registry:
    """Return every offered plugin by kind and name, from entry points and from the files of a local folder.

    Raises InputError for a file that fails to import, a misspelt hook, and a name that is offered twice.
    """
    manager = pluggy.PluginManager("hepanom")
    manager.add_hookspecs(hookspecs)
    owners: dict[str, tuple[str, str]] = {}
    for module, package, version in [*_installed(), *_local(folder)]:
        manager.register(module, name=module.__name__)
        owners[module.__name__] = (package, version)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        name = str(error).rpartition("unknown hook ")[2].split("'")[1] if "unknown hook" in str(error) else str(error)
        hooks = [f"{kind}s" for kind in get_args(Kind)]
        raise InputError(
            f"{owners[manager.get_name(error.plugin) or ''][0]}: unknown hook {name!r}; {did_you_mean(name, hooks)}"
        ) from error
    found: dict[tuple[Kind, str], Plugin] = {}
    for kind in get_args(Kind):
        for hook in getattr(manager.hook, f"{kind}s").get_hookimpls():
            package, version = owners[hook.plugin_name]
            for name, target in hook.function().items():
                if other := found.get((kind, name)):
                    raise InputError(f"{kind} {name!r} is offered twice: by {other.package} and by {package}")
                found[kind, name] = Plugin(kind, name, package, version, target)
    return found


def _installed() -> Iterator[tuple[ModuleType, str, str]]:
    for entry in sorted(entry_points(group="hepanom"), key=lambda entry: entry.name):
        package, version = (entry.dist.name, entry.dist.version) if entry.dist else (entry.value, "unknown")
        try:
            module = entry.load()
        except Exception as error:
            raise InputError(
                f"plugin package {package} {version} fails to import: {error!r}; mend or uninstall it"
            ) from error
        yield module, package, version


def _local(folder: str | Path | None) -> Iterator[tuple[ModuleType, str, str]]:
    if folder is None:
        return
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: the plugins folder is not there")
    for file in sorted(Path(folder).glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"hepanom_local_{file.stem}", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise InputError(f"{file}: the plugin fails to import: {error!r}") from error
        yield module, str(file), "local"


def find(plugins: Registry, kind: Kind, name: str) -> Plugin:
    """Return one plugin. Raises InputError with the nearest names for one that is not there."""
    if (kind, name) not in plugins:
        names = [known for other, known in plugins if other == kind]
        raise InputError(f"there is no {kind} {name!r}; {did_you_mean(name, names)}")
    return plugins[kind, name]


def build(document: Document, schema: Schema | None = None) -> Parts:
    """Check a whole recipe and build its plugins; no event is read, headers are (unless the schema is known).

    Raises RecipeError with every mistake at once: file, line, what was found, what would do.
    """
    checked, problems = recipe.check(document)
    plugins = registry(local_folder(document))
    built: dict[Place, Any] = {}
    used: dict[str, str] = {}
    for kind, place, node in _uses(document.plain):
        try:
            plugin = find(plugins, kind, node["use"])
            options = {
                key: value for key, value in node.items() if key not in ("use", *(["name"] * (kind == "scorer")))
            }
            used[plugin.package] = plugin.version
            built[place], mistakes = check_options(_strict(plugin.load()), options, place, document)
            problems += mistakes
        except InputError as error:
            problems.append(f"{document.where((*place, 'use'))}: {error}")
    if problems or checked is None:
        raise RecipeError(sorted(problems, key=_line))
    reader = built["data",]
    try:
        schema = schema or reader.schema()
    except InputError as error:
        raise RecipeError([f"{document.where(('data',))}: {error}"]) from error
    parts = Parts(
        checked,
        document,
        reader,
        schema,
        {f"{index}-{use.use}": built["transforms", index] for index, use in enumerate(checked.transforms)},
        built["model",],
        {score.label: built["scores", index] for index, score in enumerate(checked.scores)},
        used,
    )
    if mismatches := list(_mismatches(parts)):
        raise RecipeError(mismatches)
    return parts


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


def _strict(options: type) -> type:
    """Make pydantic refuse options that the plugin does not have; for a bare dataclass it would ignore them."""
    options.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
    return options


def _mismatches(parts: Parts) -> Iterator[str]:
    """Say where recipe, plugins and the data's headers do not fit together."""
    where, checked, schema = parts.document.where, parts.recipe, parts.schema
    for index, (label, scorer) in enumerate(parts.scorers.items()):
        if lacking := sorted(scorer.needs - parts.model.gives):
            yield (
                f"{where(('scores', index))}: {label} needs {', '.join(lacking)}; "
                f"the model {checked.model.use} gives {', '.join(sorted(parts.model.gives))}"
            )
    for index, name in enumerate(checked.background):
        if name not in schema.classes:
            remedy = did_you_mean(name, schema.classes) if schema.classes else "these data have no labels: leave it out"
            yield f"{where(('background', index))}: there is no class {name!r}; {remedy}"
    if schema.classes and not checked.background:
        yield f"{where(())}: background: is missing; say which of the classes {', '.join(schema.classes)} are background"
    for name in checked.evaluate.expected:
        if name not in schema.classes:
            yield f"{where(('evaluate', 'expected', name))}: there is no such class; {did_you_mean(name, schema.classes)}"
    tables = [column for entry in schema.inputs.values() if entry.kind == "table" for column in entry.columns]
    for place, column in ((("split", "column"), checked.split.column), (("train", "per"), checked.train.per)):
        if column is not None and column not in (*schema.beside, *tables):
            yield f"{where(place)}: there is no column {column!r}; {did_you_mean(column, (*schema.beside, *tables))}"
    for index, transform in enumerate(parts.transforms.values()):
        try:
            schema = transform.schema(schema, {})
        except InputError as error:
            yield f"{where(('transforms', index))}: {error}"


def describe(plugin: Plugin) -> dict[str, Any]:
    """Return what a person wants to know of a plugin: its docstring and its options with type, default and meaning."""
    options = _strict(plugin.load())
    schema = TypeAdapter(options).json_schema()
    signature = inspect.signature(options)
    return {
        "kind": plugin.kind,
        "name": plugin.name,
        "package": plugin.package,
        "version": plugin.version,
        "about": inspect.getdoc(options) or "",
        "options": [
            {
                "name": name,
                "type": _type(entry),
                "default": None if parameter.default is inspect.Parameter.empty else parameter.default,
                "required": parameter.default is inspect.Parameter.empty,
                "about": entry.get("description", ""),
            }
            for name, entry in schema.get("properties", {}).items()
            for parameter in [signature.parameters[name]]
        ],
    }


def _type(entry: Mapping[str, Any]) -> str:
    if "enum" in entry or "const" in entry:
        return " | ".join(str(value) for value in entry.get("enum", [entry.get("const")]))
    if "anyOf" in entry:
        return " | ".join(_type(choice) for choice in entry["anyOf"])
    if entry.get("type") == "array":
        return f"list of {_type(entry['items'])}" if entry.get("items") else "list"
    return str(entry.get("type", "any"))
