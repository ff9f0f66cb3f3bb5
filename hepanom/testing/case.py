"""One plugin with the options, and the kind of events, that its promises are tried with."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, get_args

import torch

from hepanom.contracts import Network
from hepanom.document import Document
from hepanom.errors import InputError, RecipeError, did_you_mean
from hepanom.events import Schema
from hepanom.offered import Registry, find, registry
from hepanom.packages import Kind, Plugin
from hepanom.plugins import build_one
from hepanom.testing.made_up import SCHEMAS, some_batch

PLACES = {"reader": ("data",), "transform": ("transforms", 0), "model": ("model",), "scorer": ("scores", 0)}


@dataclass(frozen=True)
class Case:
    """A plugin by kind and name, and what to try it with.

    ``options`` are the recipe's. A function among them, ``folder -> path or glob``, writes the small files that a
    reader reads. ``on`` is the kind of made-up events that a transform, a model or a scorer gets: ``table`` (features
    with targets, of which a transform finds some missing), ``points``, ``image`` or ``padded`` (a table of points with
    their mask). ``plugins`` is the folder of a plugin that is not installed. ``models`` are what a scorer is tried
    with; without any, they are up to three installed ones that give what it needs. Raises InputError for a kind of
    plugins or of events that there is not.
    """

    kind: Kind
    name: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    on: str = "table"
    plugins: str | Path | None = None
    models: tuple[Case, ...] = ()

    def __post_init__(self) -> None:
        for word, known, what in ((self.kind, get_args(Kind), "plugin"), (self.on, SCHEMAS, "made-up events")):
            if word not in known:
                raise InputError(f"there is no kind of {what} {word!r}; {did_you_mean(word, known)}")

    @cached_property
    def plugin(self) -> Plugin:
        """Return what is offered by this name. Raises InputError where nothing is."""
        return find(offered(self.plugins), self.kind, self.name)

    @property
    def file(self) -> str:
        """Return the file that defines the plugin; nothing where there is no such plugin."""
        try:
            return self.plugin.file
        except InputError:
            return ""

    @property
    def owner(self) -> str:
        """Return the plugin as messages call it: kind, name, package, version and file."""
        try:
            return f"the {self.plugin}"
        except InputError:
            return f"the {self.kind} {self.name!r}"

    @cached_property
    def filled(self) -> dict[str, Any]:
        """Return the options with paths in place of the functions that write files."""
        return {key: _filled(value) for key, value in self.options.items()}

    @property
    def schema(self) -> Schema:
        """Return the schema of the made-up events."""
        return SCHEMAS[self.on]

    def build(self, options: Mapping[str, Any] | None = None) -> Any:
        """Return the plugin as a recipe with these options, or the case's own, gives it.

        Raises RecipeError with every mistake in them.
        """
        node = {"use": self.name, **(self.filled if options is None else options)}
        document = Document("its case", {}, {}, {})
        built, _, mistakes = build_one(offered(self.plugins), self.kind, PLACES[self.kind], node, document)
        if mistakes:
            raise RecipeError(mistakes)
        return built

    def network(self, device: str = "cpu") -> Network:
        """Return a fresh network, prepared with 50 made-up events."""
        torch.manual_seed(1)
        network: Network = self.build().build(self.schema).to(device)
        network.prepare([some_batch(50, self.on, device)], 0)
        return network


@cache
def offered(folder: str | Path | None) -> Registry:
    """Return every offered plugin, those of a local folder too; looked up once, as files do not change in a test."""
    return registry(folder)


@cache
def settled(case: Case, device: str) -> Network:
    """Return a model's network in evaluation, made once: nobody may train it."""
    return case.network(device).eval()


def takes(case: Case) -> bool:
    """Say whether a plugin can be built with the options of its case, and for its events."""
    try:
        built = case.build()
        if case.kind == "transform":
            built.schema(case.schema, {})
        if case.kind == "model":
            built.build(case.schema)
    except Exception:  # whatever it is, a promise tells it
        return False
    return True


def _filled(option: Any) -> Any:
    if isinstance(option, Mapping):
        return {key: _filled(value) for key, value in option.items()}
    if isinstance(option, (list, tuple)):
        return [_filled(value) for value in option]
    if isinstance(option, Path):
        return str(option)
    return _written(option) if callable(option) else option


@cache
def _written(write: Callable[[Path], str | Path]) -> str:
    """Let a function write its files into a folder that is there until the process ends; return what it returns."""
    folder = Path(tempfile.mkdtemp(prefix="hepanom-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(write(folder))
