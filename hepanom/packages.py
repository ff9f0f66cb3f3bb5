"""The packages and local files that offer plugins: each is opened alone, and one that is broken breaks itself alone."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import re
import sys
from dataclasses import dataclass
from functools import reduce
from importlib.metadata import entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Literal, get_args

import pluggy

from hepanom import blame, hookspecs
from hepanom.errors import InputError, did_you_mean

Kind = Literal["reader", "transform", "model", "scorer"]
HOOKS = ("contract", *(f"{kind}s" for kind in get_args(Kind)))


@dataclass(frozen=True)
class Package:
    """What an entry point says of a package, or a folder of a file; nothing is imported to know it.

    ``hooks`` is the entry point's value, ``module`` or ``module:object``, and the path of a local file, whose version
    is ``local``.
    """

    name: str
    version: str
    hooks: str

    @property
    def local(self) -> bool:
        """Return whether this is a file of a plugins folder."""
        return self.version == "local"

    @property
    def file(self) -> str:
        """Return the file with the hooks; the module's name where there is no such file."""
        return self.hooks if self.local else file_of(self.hooks)

    def __str__(self) -> str:
        return self.name if self.local else f"{self.name} {self.version} ({self.file})"


@dataclass(frozen=True)
class Plugin:
    """One offered name and where it comes from."""

    kind: Kind
    name: str
    package: str
    version: str
    target: type | str

    @property
    def file(self) -> str:
        """Return the file of the class."""
        if isinstance(self.target, str):
            return file_of(self.target)
        return str(getattr(sys.modules.get(self.target.__module__), "__file__", self.target.__module__))

    @property
    def qualified(self) -> str:
        """Return the name that no other package offers: ``package:name``; of a local file its file name."""
        return f"{Path(self.package).name if self.version == 'local' else self.package}:{self.name}"

    def __str__(self) -> str:
        owner = "" if self.version == "local" else f" of {self.package} {self.version}"
        return f"{self.kind} {self.name!r}{owner} ({self.file})"

    @property
    def about(self) -> str:
        """Return the first sentence of the docstring; its module is parsed, not run: some import for seconds."""
        if isinstance(self.target, type):
            return first_sentence(inspect.getdoc(self.target) or "")
        try:
            tree = ast.parse(Path(self.file).read_bytes())
        except (OSError, SyntaxError):
            return ""  # `hepanom plugins NAME` says what is wrong with it
        name = self.target.partition(":")[2]
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
        return first_sentence(next((ast.get_docstring(node) or "" for node in classes), ""))

    def load(self) -> type:
        """Import the class. Raises InputError that names the package where that fails."""
        found: Any = self.target
        if isinstance(self.target, str):
            module, _, attribute = self.target.partition(":")
            try:
                found = getattr(importlib.import_module(module), attribute)
            except (Exception, SystemExit) as error:
                raise InputError(f"{self} cannot be loaded: {blame.spoken(error)}") from error
        if not (isinstance(found, type) and hasattr(found, "__dataclass_fields__")):
            raise InputError(f"{self}: {self.target} is no dataclass")
        blame.claim(found, str(self))
        return found


@dataclass(frozen=True)
class Opened:
    """A package with what it offers, the contract that it states, and why none of it can be used, where that is so."""

    package: Package
    offers: tuple[Plugin, ...] = ()
    contract: int | None = None
    problem: str = ""


def first_sentence(text: str) -> str:
    """Return the first sentence of a docstring, without the full stop."""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"\.(?:\s|$)", paragraph, maxsplit=1)[0]


def file_of(target: str) -> str:
    """Return the file of ``module`` or ``module:attribute``, which is not imported; the module where there is none."""
    module = target.partition(":")[0]
    top, *rest = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return module
    for folder in (spec and spec.submodule_search_locations) or ():
        base = Path(folder, *rest)
        for file in (base / "__init__.py", base.with_suffix(".py")):
            if file.is_file():
                return str(file)
    return str(spec.origin) if spec and spec.origin and not rest else module


def installed() -> list[Package]:
    """Return every installed package with plugins, in the order of the entry points' names."""
    entries = sorted(entry_points(group="hepanom"), key=lambda entry: entry.name)
    return [
        Package(entry.dist.name or entry.value, entry.dist.version or "unknown", entry.value)
        if entry.dist
        else Package(entry.value, "unknown", entry.value)
        for entry in entries
    ]


def local(folder: str | Path | None) -> list[Package]:
    """Return the files of a plugins folder. Raises InputError for one that is not there."""
    if folder is None:
        return []
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: the plugins folder is not there")
    return [Package(str(file), "local", str(file)) for file in sorted(Path(folder).resolve().glob("*.py"))]


def opened(package: Package) -> Opened:
    """Import the hooks of a package and ask them; what goes wrong becomes its problem, with the offers known so far."""
    manager = pluggy.PluginManager("hepanom")
    manager.add_hookspecs(hookspecs)
    problems: list[str] = []
    try:
        manager.register(_imported(package), name=package.hooks)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        problems.append(_misfit(error))
    except (Exception, SystemExit) as error:
        return Opened(package, problem=f"its import fails: {blame.spoken(error)}")
    contract, offers = None, list[Plugin]()
    for hook in HOOKS:
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            try:
                found = implementation.function()
                if hook == "contract":
                    contract = _version(found)
                else:
                    kind: Any = hook.removesuffix("s")
                    offers += [_offer(kind, name, target, package) for name, target in dict(found).items()]
            except InputError as error:
                problems.append(str(error))
            except (Exception, SystemExit) as error:
                problems.append(f"its hook {hook} fails: {blame.spoken(error)}")
    problems += _outdated(contract)
    return Opened(package, tuple(offers), contract, "; ".join(problems))


def _imported(package: Package) -> Any:
    if not package.local:
        module, _, attribute = package.hooks.partition(":")
        return reduce(getattr, filter(None, attribute.split(".")), importlib.import_module(module))
    file = Path(package.hooks)
    unique = hashlib.sha256(package.hooks.encode()).hexdigest()[:12]
    spec = spec_from_file_location(f"hepanom_local_{file.stem}_{unique}", file)
    assert spec is not None
    assert spec.loader is not None
    made = module_from_spec(spec)
    sys.modules[made.__name__] = made  # dataclasses and pydantic look up annotations there
    spec.loader.exec_module(made)
    return made


def _misfit(error: pluggy.PluginValidationError) -> str:
    """Say what pluggy has against the hooks: a name that it does not know, or other arguments."""
    text = str(error)
    if misspelt := re.search(r"unknown hook '(\w+)'", text):
        return f"{misspelt[0]}; {did_you_mean(misspelt[1], HOOKS)}"
    definition = re.search(r"hookimpl definition: (.*)", text)
    return f"its hook {definition[1]} does not fit; hooks take no arguments" if definition else " ".join(text.split())


def _offer(kind: Kind, name: object, target: object, package: Package) -> Plugin:
    if not isinstance(name, str) or not isinstance(target, str | type):
        raise InputError(f"its {kind} {name!r} is {target!r}; expected a name with a class, or with 'module:Class'")
    return Plugin(kind, name, package.name, package.version, target)


def _version(found: object) -> int:
    if not isinstance(found, int) or isinstance(found, bool):
        raise InputError(f"its hook contract gave {found!r}; expected a whole number such as {hookspecs.VERSION}")
    return found


def _outdated(contract: int | None) -> list[str]:
    """Say why a package that was made for another contract is left alone; one that does not say is read as 1."""
    made, oldest, newest = 1 if contract is None else contract, hookspecs.OLDEST, hookspecs.VERSION
    if oldest <= made <= newest:
        return []
    reads = f"version {newest}" if oldest == newest else f"versions {oldest} to {newest}"
    remedy = "upgrade hepanom" if made > newest else "upgrade this package"
    return [f"it was made for version {made} of the plugin contract, this hepanom reads {reads}; {remedy}"]
