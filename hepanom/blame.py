"""Who is to blame: an exception in a plugin's own code becomes one message that names the plugin."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

from hepanom.errors import HepanomError, PluginError

SHARED = {f"hepanom.{name}" for name in ("contracts", "errors", "events", "hookspecs")}  # what a plugin runs, too
_OWNERS: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def claim(thing: Any, owner: str) -> None:
    """Remember whose a plugin's class, or the network that a model built, is."""
    _OWNERS[thing] = owner


def whose(thing: Any) -> str:
    """Return the kind, name, package, version and file of a plugin's object; its class where nobody claimed it."""
    kind = thing if isinstance(thing, type) else type(thing)
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return _claimed(thing) or f"{kind.__qualname__} ({file or kind.__module__})"


def _claimed(thing: Any) -> str | None:
    for key in (thing, type(thing)):
        try:
            if (found := _OWNERS.get(key)) is not None:
                return found
        except TypeError:  # neither hashed nor referred to weakly: no class and no network
            continue
    return None


@contextmanager
def blame(owner: str = "", doing: str = "") -> Iterator[None]:
    """Raise PluginError, from the original, for what a plugin's own code raises inside the block.

    Whose it is tells the innermost method of a plugin's object that was running; with ``owner`` everything inside is
    that plugin's, and ``doing`` says what it was about. A HepanomError is a message already and passes.
    """
    try:
        yield
    except (HepanomError, MemoryError):
        raise
    except Exception as error:
        told = f"{owner}: {doing} fails: {spoken(error)}" if owner else _running(error)
        if not told:
            raise
        raise PluginError(told) from error


def _running(error: Exception) -> str:
    """Return which plugin failed, where in it and how; nothing where the core did."""
    for frame, line in reversed(list(walk_tb(error.__traceback__))):
        names, file = frame.f_locals, frame.f_code.co_filename
        thing = names.get("self", names.get("cls"))
        if thing is not None and (owner := _claimed(thing)):
            place = f"line {line}" if f"({file})" in owner else f"{file}, line {line}"
            return f"{owner}: {frame.f_code.co_name} fails in {place}: {_named(error)}"
        if _is_core(frame):
            break
    return ""


def _is_core(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return module.startswith("hepanom.") and module not in SHARED


def spoken(error: BaseException) -> str:
    """Return an exception's type and message, with the file and line where a plugin's code raised it."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    raised = [
        (frame.f_code.co_filename, line)
        for frame, line in walk_tb(error.__traceback__)
        if not (
            _is_core(frame)
            or frame.f_code.co_filename.startswith("<frozen")
            or "importlib" in frame.f_globals.get("__name__", "")
        )
    ]
    return _named(error) + (f" ({raised[-1][0]}, line {raised[-1][1]})" if raised else "")


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")
