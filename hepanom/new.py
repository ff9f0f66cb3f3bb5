"""A plugin to begin with: a package that works, or one file for a local folder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from hepanom import packages
from hepanom.errors import InputError
from hepanom.files import written
from hepanom.packages import Kind

TEMPLATES = Path(__file__).parent / "templates"
NAME = re.compile(r"(?=.{1,40}$)[a-z][a-z0-9]*([_-][a-z0-9]+)*")
IMPORT = "from hepanom.hookspecs import Offers, hookimpl\n"


@dataclass(frozen=True)
class Begun:
    """A plugin that was written: ``place`` is the package's folder or the file, ``files`` what lies in the folder."""

    kind: Kind
    name: str
    place: Path
    files: tuple[str, ...] = ()


def package(name: str, kind: Kind, folder: Path) -> Begun:
    """Write the package ``hepanom-NAME`` into a folder of that name in ``folder``.

    Raises InputError for a name that cannot be one or that an installed package has taken, and where something is in
    the way; then nothing is written.
    """
    name = _checked(name)
    _refuse_taken(kind, name, None)
    if found := find_spec(f"hepanom_{name}"):
        raise InputError(
            f"{name}: the module hepanom_{name} is installed already ({found.origin}); choose another name"
        )
    place = folder / f"hepanom-{name.replace('_', '-')}"
    _refuse_there(place)
    words = _words(name, kind)
    texts = {
        _filled(str(file.relative_to(tree)), words): _filled(file.read_text(encoding="utf-8"), words)
        for tree in (TEMPLATES / "package", TEMPLATES / kind)
        for file in sorted(tree.rglob("*"))
        if file.is_file() and file.suffix != ".pyc"
    }
    with written(place) as temporary:
        for path, text in texts.items():
            file = temporary / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    return Begun(kind, name, place, tuple(sorted(texts)))


def local(name: str, kind: Kind, folder: Path) -> Begun:
    """Write one file, class and hooks together, into a folder that recipes name by ``plugins:``.

    Raises InputError for a name that cannot be one or that is taken, there or by an installed package.
    """
    name = _checked(name)
    place = folder / f"{name}.py"
    _refuse_there(place)
    _refuse_taken(kind, name, folder if folder.is_dir() else None)
    plugin, hooks = (
        (TEMPLATES / tree / "src" / "hepanom_my_plugin" / file).read_text(encoding="utf-8")
        for tree, file in ((kind, f"{kind}.py"), ("package", "hooks.py"))
    )
    above, last, below = re.split(r"(from hepanom\..*\n)(?!from hepanom)", plugin, maxsplit=1)
    offers = re.sub(r'"hepanom_my_plugin\.my_kind:(\w+)"', r"\1", hooks.partition(IMPORT)[2])
    with written(place) as temporary:
        temporary.write_text(_filled(above + last + IMPORT + below + offers, _words(name, kind)), encoding="utf-8")
    return Begun(kind, name, place)


def _checked(name: str) -> str:
    """Return the name that recipes use: without the ``hepanom-`` of packages, with _ for -."""
    if not NAME.fullmatch(name):
        near = re.sub("[^a-z0-9]+", "_", name.lower()).strip("_0123456789")
        raise InputError(
            f"{name!r} cannot be the name of a plugin: it has at most 40 small letters and digits, with single _ or - "
            f"between them, and begins with a letter{f', such as {near[:40]}' if NAME.fullmatch(near[:40]) else ''}"
        )
    return name.replace("-", "_").removeprefix("hepanom_")


def _refuse_taken(kind: Kind, name: str, folder: Path | None) -> None:
    for each in [*packages.installed(), *packages.local(folder)]:
        for plugin in packages.opened(each).offers:
            if (plugin.kind, plugin.name) == (kind, name):
                raise InputError(f"there is a {kind} {name!r} already: {each} offers it; choose another name")


def _refuse_there(place: Path) -> None:
    if os.path.lexists(place):
        raise InputError(
            f"{place}: is there already, and nothing is overwritten; choose another name, or --to a folder"
        )


def _words(name: str, kind: Kind) -> dict[str, str]:
    """Return what stands in the templates, which are valid Python as they are, and what becomes of it."""
    return {
        "my_plugin": name,
        "my-plugin": name.replace("_", "-"),
        "MyPlugin": "".join(map(str.capitalize, name.split("_"))),
        "my_kind": kind,
        "my_pyproject": "pyproject",  # by its own name ruff would take it for the templates' settings
        "MyKind": kind.capitalize(),
        "hepanom>=0.0.0": f"hepanom>={version('hepanom').partition('+')[0]}",
    }


def _filled(text: str, words: Mapping[str, str]) -> str:
    return re.sub("|".join(map(re.escape, words)), lambda found: words[found[0]], text)
