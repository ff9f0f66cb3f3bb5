"""Plugins: found through entry points and a local folder, checked together with the recipe, built into Parts."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, get_args

import pluggy
from pydantic import TypeAdapter

from hepanom import consistency, goals, hookspecs, recipe
from hepanom.document import Document, Place
from hepanom.errors import InputError, OptionError, RecipeError, did_you_mean
from hepanom.options import check_options
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
        found: Any = self.target
        who = f"{self.kind} {self.name!r} of {self.package} {self.version}"
        if isinstance(self.target, str):
            module, _, attribute = self.target.partition(":")
            try:
                found = getattr(importlib.import_module(module), attribute)
            except Exception as error:
                raise InputError(f"{who} cannot be loaded: {error}") from error
        if not (isinstance(found, type) and is_dataclass(found)):
            raise InputError(f"{who}: {self.target} is no dataclass")
        return found


Registry = Mapping[tuple[Kind, str], Plugin]


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


def registry(folder: str | Path | None = None) -> Registry:
    """Return every offered plugin by kind and name, from entry points and from the files of a local folder.

    Raises InputError for a file that fails to import, a misspelt hook, and a name that is offered twice.
    """
    manager = pluggy.PluginManager("hepanom")
    manager.add_hookspecs(hookspecs)
    owners: dict[str, tuple[str, str]] = {}
    found: dict[tuple[Kind, str], Plugin] = {}
    for module, package, version in [*_installed(), *_local(folder)]:
        with _blamed(package):
            manager.register(module, name=module.__name__)
            owners[module.__name__] = (package, version)
            manager.check_pending()
    for kind in get_args(Kind):
        for hook in getattr(manager.hook, f"{kind}s").get_hookimpls():
            package, version = owners[hook.plugin_name]
            with _blamed(package):
                offers = dict(hook.function())
            for name, target in offers.items():
                if other := found.get((kind, name)):
                    raise InputError(f"{kind} {name!r} is offered twice: by {other.package} and by {package}")
                found[kind, name] = Plugin(kind, name, package, version, target)
    return found


@contextmanager
def _blamed(package: str) -> Iterator[None]:
    """Turn what a plugin's own code raises into a message that names its owner."""
    try:
        yield
    except pluggy.PluginValidationError as error:
        misspelt = re.search(r"unknown hook '(\w+)'", str(error))
        remedy = did_you_mean(misspelt[1], [f"{kind}s" for kind in get_args(Kind)]) if misspelt else error
        raise InputError(f"{package}: {misspelt[0] if misspelt else 'a hook does not fit'}; {remedy}") from error
    except Exception as error:
        raise InputError(f"{package}: the plugin fails: {error!r}; mend it or leave it out") from error


def _installed() -> Iterator[tuple[ModuleType, str, str]]:
    for entry in sorted(entry_points(group="hepanom"), key=lambda entry: entry.name):
        package, version = (entry.dist.name, entry.dist.version) if entry.dist else (entry.value, "unknown")
        with _blamed(f"{package} {version}"):
            module = entry.load()
        yield module, package, version


def _local(folder: str | Path | None) -> Iterator[tuple[ModuleType, str, str]]:
    if folder is None:
        return
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: the plugins folder is not there")
    for file in sorted(Path(folder).resolve().glob("*.py")):
        unique = hashlib.sha256(str(file).encode()).hexdigest()[:12]
        spec = importlib.util.spec_from_file_location(f"hepanom_local_{file.stem}_{unique}", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module.__name__] = module  # dataclasses and pydantic look up annotations there
        with _blamed(str(file)):
            spec.loader.exec_module(module)
        yield module, str(file), "local"


def find(plugins: Registry, kind: Kind, name: str) -> Plugin:
    """Return one plugin. Raises InputError with the nearest names for one that is not there."""
    if (kind, name) not in plugins:
        names = [known for other, known in plugins if other == kind]
        raise InputError(f"there is no {kind} {name!r}; {did_you_mean(name, names)}")
    return plugins[kind, name]


def build(document: Document, schema: Schema | None = None) -> Parts:
    """Check a whole recipe and build its plugins; no event is read, headers are (unless the schema is known).

    Where headers are read, the network is built once, too, for the events that the transforms leave. Raises RecipeError
    with every mistake at once: file, line, what was found, what would do.
    """
    known = registry(local_folder(document))
    checked, built, used, problems = _options(document, known)
    reader, anew, doubts = built.get(("data",)), schema is None, list[str]()
    if schema is None and reader is not None:
        try:
            schema = reader.schema()
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
    schema = TypeAdapter(options).json_schema()
    defaults = {entry.name: _default(entry) for entry in fields(options)}
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
