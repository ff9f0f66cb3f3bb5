"""Cases that nobody wrote down: each plugin that a package offers, with its default options."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

from hepanom.errors import InputError
from hepanom.offered import find
from hepanom.packages import Kind, Plugin
from hepanom.testing import under_pytest
from hepanom.testing.case import Case, offered, takes
from hepanom.testing.made_up import SCHEMAS
from hepanom.testing.promises import Promise, promises

BUILT = "methods"  # where the page says that a plugin can be built


def named(text: str) -> Case:
    """Return the case of ``kind:name``. Raises InputError where there is no such plugin."""
    kind, colon, name = text.partition(":")
    known = {each: each for each in get_args(Kind)}
    if not colon or kind not in known:
        raise InputError(f"--hepanom-plugin {text}: expected KIND:NAME, where KIND is {', '.join(known)}")
    return case_of(find(offered(None), known[kind], name))


def tests(cases: Sequence[Case]) -> list[tuple[str, Promise]]:
    """Return the promises of the cases with a name each; of a plugin that wants options, the one that says so."""
    built = tuple(case for case in cases if takes(case))
    wanting = [promise for case in cases if case not in built for promise in promises(case) if promise.anchor == BUILT]
    return under_pytest.tests(built) + [(str(promise), promise) for promise in wanting]


def offered_by(folder: Path, tested: Iterable[Case] = ()) -> list[Case]:
    """Return a case for every plugin of the package whose pyproject.toml lies in the folder, but for the tested ones.

    Raises InputError where there is no such file or the package is not installed.
    """
    package = package_in(folder)
    for lost in offered(None).broken:
        if normal(lost.package.name) == normal(package):
            raise InputError(f"{lost.package}: {lost.problem}")
    own = [plugin for plugin in offered(None).values() if normal(plugin.package) == normal(package)]
    if not own:
        raise InputError(f"--hepanom: {package} offers no plugins; is it installed here (pip install -e .)?")
    known = {(case.kind, case.name) for case in tested}
    return [case_of(plugin) for plugin in own if (plugin.kind, plugin.name) not in known]


def package_in(folder: Path) -> str:
    """Return the name of the package that is written in a folder. Raises InputError where none is."""
    file = folder / "pyproject.toml"
    try:
        return str(tomllib.loads(file.read_text(encoding="utf-8"))["project"]["name"])
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        remedy = "run pytest in the package's folder, or name plugins: --hepanom-plugin reader:pulses"
        raise InputError(f"--hepanom: {file} does not name a package ({error!r}); {remedy}") from error


def normal(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def case_of(plugin: Plugin) -> Case:
    """Return a case with default options and the first kind of made-up events that the plugin takes."""
    cases = [Case(plugin.kind, plugin.name, on=on) for on in SCHEMAS]
    return next((case for case in cases if takes(case)), cases[0])
