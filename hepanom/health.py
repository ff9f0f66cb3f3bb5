"""The health of all packages with plugins: what they import and offer, each looked at in an interpreter of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import requires
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

from hepanom import hookspecs, packages
from hepanom.errors import HepanomError, InputError, did_you_mean
from hepanom.packages import Package, Plugin
from hepanom.plugins import describe

SLOW = 0.5  # seconds that an import may take, beside that of torch
HANGS = 120  # seconds after which an import is given up
WARM = ("torch", "numpy", "hepanom.contracts", "hepanom.health")  # imported before anything is measured


@dataclass(frozen=True)
class Offer:
    """A class that a package offers: the seconds of its import after that of the hooks, and what is wrong with it.

    ``lacks`` is the library of an extra of its package that is not installed, without which it cannot be used.
    """

    kind: str
    name: str
    file: str
    seconds: float = 0.0
    problems: Sequence[str] = ()
    lacks: str = ""


@dataclass(frozen=True)
class Health:
    """A package: the contract that it states, the seconds that its hooks take to import, its offers, its problem."""

    package: Package
    contract: int | None = None
    seconds: float = 0.0
    offers: Sequence[Offer] = ()
    problem: str = ""

    @property
    def problems(self) -> list[str]:
        """Return all that must be mended."""
        offered = [
            f"{offer.kind} {offer.name!r} ({offer.file}): {text}" for offer in self.offers for text in offer.problems
        ]
        return [*([self.problem] if self.problem else []), *offered]

    @property
    def advice(self) -> list[str]:
        """Return what had better be mended: imports that take long, extras to install, no word of the contract."""
        named = [("its hooks module", self.seconds)]
        named += [(f"{offer.kind} {offer.name!r}", offer.seconds) for offer in self.offers]
        slow = [f"{name} is slow to import: {seconds:.1f} s" for name, seconds in named if seconds > SLOW]
        extra = "of an extra that is not installed"
        slow += [f"{each.kind} {each.name!r} needs {each.lacks}, {extra}" for each in self.offers if each.lacks]
        if self.contract is None and not self.problem:
            hook = f"a hook contract() that returns {hookspecs.VERSION}"
            return [*slow, f"it does not say for which contract it was made, and is read as version 1; give it {hook}"]
        return slow


def check(only: str | None = None, folder: str | Path | None = None) -> tuple[Health, ...]:
    """Look at all packages with plugins and the files of a folder, or at the package ``only``.

    Nothing of them is imported here: every hooks module and every offered class is imported in a process of its own,
    a fork of an interpreter in which torch, numpy and hepanom are there already. Raises InputError for a package that
    is not there.
    """
    known = [*packages.installed(), *packages.local(folder)]
    names = {package.name for package in known}
    if only is not None and not any(_same(only, name) for name in names):
        raise InputError(f"there is no package {only!r} with plugins; {did_you_mean(only, names)}")
    with _interpreter() as ask:
        answers = [(package, ask(package)) for package in known]
        opened = [
            Health(package, problem=found)
            if isinstance(found, str)
            else Health(**{**found, "package": package, "offers": tuple(Offer(**offer) for offer in found["offers"])})
            for package, found in answers
        ]
        chosen = [health for health in opened if only is None or _same(only, health.package.name)]
        return tuple(_examined(ask, health, opened) for health in chosen)


def _same(asked: str, name: str) -> bool:
    """Say whether this is the package's name as pip compares names, or the name of the file."""
    return asked.lower().replace("_", "-") in (name.lower().replace("_", "-"), Path(name).name)


def _examined(ask: Callable[..., Any], health: Health, everything: Sequence[Health]) -> Health:
    """Return a package with each of its offers looked at."""
    offers = []
    for place, offer in enumerate(health.offers):
        told = asdict(offer) if health.problem else ask(health.package, place)
        found = replace(offer, problems=(told,)) if isinstance(told, str) else Offer(**told)
        owners = [
            other.package
            for other in everything
            for each in other.offers
            if other is not health and not other.problem and (each.kind, each.name) == (offer.kind, offer.name)
        ]
        taken = [f"the name is taken: {owner} offers it too" for owner in owners]
        offers.append(replace(found, problems=(*found.problems, *taken)))
    return replace(health, offers=tuple(offers))


@contextmanager
def _interpreter() -> Iterator[Callable[..., Any]]:
    """Start an interpreter with all that is warm, and give a function that asks it about a package, or about an offer.

    That returns plain values of a Health or an Offer, or in words why there are none.
    """
    start = (
        f"import json, sys; sys.path[:] = json.loads(sys.stdin.readline()); import {', '.join(WARM)}; "
        "hepanom.health.answer()"
    )
    process = subprocess.Popen([sys.executable, "-c", start], stdin=PIPE, stdout=PIPE, stderr=DEVNULL, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    questions, answers = process.stdin, process.stdout

    def ask(package: Package, place: int | None = None) -> Any:
        questions.write(json.dumps([asdict(package), place]) + "\n")
        questions.flush()
        found = json.loads(answers.readline())
        if not isinstance(found, int):
            answers.readline()
            return found
        slow = f"its import does not end within {HANGS} s"
        return slow if found == -signal.SIGALRM else f"its import ends the interpreter, with exit code {found}"

    try:
        questions.write(json.dumps(sys.path) + "\n")
        yield ask
    finally:
        process.communicate()


def answer() -> None:
    """Answer every line of standard input by a fork of this interpreter: its findings, if any, then its exit code.

    What a plugin prints goes nowhere.
    """
    answers, silence = os.fdopen(os.dup(1), "w", encoding="utf-8"), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    for line in sys.stdin:
        package, place = json.loads(line)
        if (child := os.fork()) == 0:
            signal.alarm(HANGS)
            found: Any = _opened(Package(**package)) if place is None else _loaded(Package(**package), place)
            answers.write(json.dumps(asdict(found)) + "\n")
            answers.flush()
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        answers.write(f"{code}\n")
        answers.flush()


def _opened(package: Package) -> Health:
    began = time.perf_counter()
    found = packages.opened(package)
    seconds = time.perf_counter() - began
    offers = tuple(Offer(plugin.kind, plugin.name, plugin.file) for plugin in found.offers)
    return Health(package, found.contract, seconds, offers, found.problem)


def _loaded(package: Package, place: int) -> Offer:
    plugin = packages.opened(package).offers[place]
    began = time.perf_counter()
    try:
        plugin.load()
    except InputError as error:
        if extra := _extra(package, error.__cause__):
            return Offer(plugin.kind, plugin.name, plugin.file, lacks=extra)
        return Offer(plugin.kind, plugin.name, plugin.file, problems=(_without(plugin, error),))
    seconds = time.perf_counter() - began
    return Offer(plugin.kind, plugin.name, plugin.file, seconds, _flaws(plugin))


def _extra(package: Package, cause: BaseException | None) -> str:
    """Return the library that an import lacked, where the package names it as one of an extra; else nothing."""
    while isinstance(cause, InputError):  # a plugin may say in its own words what to install
        cause = cause.__cause__
    if package.local or not isinstance(cause, ModuleNotFoundError) or not cause.name:
        return ""
    library = cause.name.partition(".")[0]
    named = (re.match(r"[\w.-]+", each) for each in requires(package.name) or () if "extra ==" in each)
    return library if library in {each[0].replace("-", "_") for each in named if each} else ""


def _flaws(plugin: Plugin) -> list[str]:
    """Return what is wrong with a class that was imported."""
    found: Any = plugin.load()
    flaws = [] if found.__dataclass_params__.frozen else ["is no frozen dataclass"]
    try:
        bare = [option["name"] for option in describe(plugin)["options"] if not option["about"]]
    except HepanomError as error:
        return [*flaws, _without(plugin, error)]
    return [*flaws, *([f"options without a description: {', '.join(bare)}"] if bare else [])]


def _without(plugin: Plugin, error: HepanomError) -> str:
    """Return a message without the plugin's name, which stands before it."""
    return str(error).removeprefix(str(plugin)).lstrip(": ")
