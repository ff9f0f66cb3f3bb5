"""A promise that is not kept: whose, which, where it is written down, and what was found instead."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from hepanom.errors import InputError, PluginError

PAGE = "docs/contracts.md"
LONGEST = 300  # characters of what somebody else's error says


class BrokenPromise(AssertionError):
    """A plugin does not keep what its contract promises.

    ``owner`` is the plugin with its package, version and file, ``promise`` a clause such as ``parts are readable
    alone``, ``where`` the page and anchor that explain it, ``found`` what was seen instead.
    """

    def __init__(self, owner: str, promise: str, where: str, found: str) -> None:
        self.owner, self.promise, self.where, self.found = owner, promise, where, found
        super().__init__(f"{owner}: promised that {promise} ({where}); found: {found}")

    def __reduce__(self) -> tuple[type[BrokenPromise], tuple[str, str, str, str]]:
        """Return what pickle, between processes, makes the same error of."""
        return BrokenPromise, (self.owner, self.promise, self.where, self.found)


class Unkept(AssertionError):
    """What a check found, before it is known whose promise that breaks."""


def expect(kept: object, found: str) -> None:
    """Raise Unkept with what was found unless the promise is kept."""
    if not kept:
        raise Unkept(found)


def told(error: Exception, file: str) -> str:
    """Say what an error means for whoever wrote ``file``: a finding as it is, all else with the last line there."""
    if isinstance(error, Unkept):
        return str(error)
    if isinstance(error, PluginError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # the owner is named anyway
    if isinstance(error, InputError):
        return f"it is refused: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == file] or frames
    text = str(error).strip().partition("\n")[0][:LONGEST]
    place = f"line {own[-1].lineno} of {Path(own[-1].filename).name}, in {own[-1].name}"
    return f"{type(error).__name__}{': ' if text else ''}{text} ({place})"


def gap(a: Tensor, b: Tensor) -> str:
    """Say by how much two tensors differ where they differ most."""
    if a.shape != b.shape:
        return f"shapes {tuple(a.shape)} and {tuple(b.shape)}"
    wide = (a.detach().double().cpu() - b.detach().double().cpu()).abs()
    return f"{wide.max():.2g}" if wide.numel() and wide.isfinite().all() else "NaN or infinity"


def distance(a: Any, b: Any) -> str:
    """Say by how much two arrays, or what should be some, differ where they differ most."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return f"shapes {a.shape} and {b.shape}"
    if a.dtype.kind not in "fiub" or b.dtype.kind not in "fiub":
        return f"{np.sum(a != b)} of {a.size} values"
    with np.errstate(invalid="ignore"):
        wide = np.abs(a.astype(np.float64) - b.astype(np.float64))
    return f"{np.nanmax(wide):.2g}" if wide.size and np.isfinite(wide).any() else "NaN"


def not_arrays(state: Mapping[str, object]) -> list[str]:
    """Return the names of what is no array in a state."""
    return [name for name, value in state.items() if not isinstance(value, np.ndarray)]
