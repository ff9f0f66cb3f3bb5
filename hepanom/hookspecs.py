"""The four hooks: what a plugin module or package may offer."""

from __future__ import annotations

from collections.abc import Mapping

import pluggy

hookspec = pluggy.HookspecMarker("hepanom")
hookimpl = pluggy.HookimplMarker("hepanom")

Offers = Mapping[str, type | str]


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
