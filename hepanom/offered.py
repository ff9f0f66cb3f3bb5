"""Every plugin that can be used, by kind and name; what is broken or offered twice fails only who uses it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from hepanom import packages
from hepanom.errors import InputError, did_you_mean
from hepanom.packages import Kind, Opened, Plugin

TOLD = 3  # broken packages in a message


@dataclass(frozen=True)
class Registry(Mapping[tuple[Kind, str], Plugin]):
    """Every plugin that can be used, by kind and name, and the packages that are ``broken``.

    A name that several packages offer is there as ``package:name`` of each.
    """

    offers: Mapping[tuple[Kind, str], Plugin]
    broken: tuple[Opened, ...] = ()

    def __getitem__(self, key: tuple[Kind, str]) -> Plugin:
        return self.offers[key]

    def __iter__(self) -> Iterator[tuple[Kind, str]]:
        return iter(self.offers)

    def __len__(self) -> int:
        return len(self.offers)


def registry(folder: str | Path | None = None) -> Registry:
    """Return every offered plugin by kind and name, from entry points and from the files of a local folder.

    A broken package is set aside with its problem. Raises InputError for a file of the folder that is broken.
    """
    found = [packages.opened(package) for package in packages.installed()]
    for own in map(packages.opened, packages.local(folder)):
        if own.problem:
            raise InputError(f"{own.package}: {own.problem}; mend it or leave it out")
        found.append(own)
    healthy = [plugin for each in found if not each.problem for plugin in each.offers]
    times = Counter((plugin.kind, plugin.name) for plugin in healthy)
    several = {key for key, number in times.items() if number > 1}
    named = [
        replace(plugin, name=plugin.qualified) if (plugin.kind, plugin.name) in several else plugin
        for plugin in sorted(healthy, key=lambda plugin: get_args(Kind).index(plugin.kind))
    ]
    broken = tuple(each for each in found if each.problem)
    return Registry({(plugin.kind, plugin.name): plugin for plugin in named}, broken)


def find(plugins: Registry, kind: Kind, name: str) -> Plugin:
    """Return one plugin, by its name or as ``package:name``.

    Raises InputError with the nearest names for one that is not there, with both owners for a name offered twice, and
    with what is wrong with its package for one that is broken.
    """
    found = plugins.get((kind, name)) or plugins.get((kind, name.rpartition(":")[2]))
    if found is not None and name in (found.name, found.qualified):
        return found
    same = [plugin for plugin in plugins.values() if plugin.kind == kind]
    if twice := [plugin for plugin in same if plugin.name.endswith(f":{name}")]:
        owners = " and by ".join(f"{plugin.package} {plugin.version}".removesuffix(" local") for plugin in twice)
        full = " or ".join(f"use: {plugin.name}" for plugin in twice)
        raise InputError(f"{kind} {name!r} is offered twice: by {owners}; say which: {full}")
    for lost in plugins.broken:
        for plugin in lost.offers:
            if plugin.kind == kind and name in (plugin.name, plugin.qualified):
                raise InputError(f"{kind} {name!r} cannot be used; {lost.package}: {lost.problem}")
    known = did_you_mean(name, [plugin.name for plugin in same])
    raise InputError(f"there is no {kind} {name!r}; {known}{left_out(plugins)}")


def left_out(plugins: Registry) -> str:
    """Return the tail of a message about a name that is not there: the packages that may offer it, but are broken."""
    told = [f"{lost.package}: {lost.problem}" for lost in plugins.broken[:TOLD]]
    told += ["`hepanom plugins --check` tells of the others"] if len(plugins.broken) > TOLD else []
    return f" (a broken package may offer it: {'; '.join(told)})" if told else ""
