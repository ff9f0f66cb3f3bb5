"""The five hooks: what a plugin module or package may offer, and the contract that it was made for."""

from __future__ import annotations

from collections.abc import Mapping

import pluggy

hookspec = pluggy.HookspecMarker("hepanom")
hookimpl = pluggy.HookimplMarker("hepanom")

Offers = Mapping[str, type | str]

VERSION = 1  # of the contracts; it grows when a plugin that was made for the one before may no longer work
OLDEST = 1  # that this hepanom still reads


@hookspec
def contract() -> int:  # type: ignore[empty-body]
    """Return the version of hepanom's contracts that the plugins were made for, as a plain number: 1."""


@hookspec
def readers() -> Offers:  # type: ignore[empty-body]
    """Return readers by name: a class, or ``"module:Class"``, which is imported when it is used."""


@hookspec
def transforms() -> Offers:  # type: ignore[empty-body]
    """Return transforms by name: a class, or ``"module:Class"``."""


@hookspec
def models() -> Offers:  # type: ignore[empty-body]
    """Return models by name: a class, or ``"module:Class"``."""


@hookspec
def scorers() -> Offers:  # type: ignore[empty-body]
    """Return scorers by name: a class, or ``"module:Class"``."""
