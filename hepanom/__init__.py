"""hepanom: anomaly detection for high-energy and nuclear physics.

The public names come from the modules that define them when they are first used, so that ``import hepanom`` is quick.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hepanom.document import Document as Document
    from hepanom.errors import HepanomError as HepanomError
    from hepanom.errors import InputError as InputError
    from hepanom.estimator import AnomalyDetector as AnomalyDetector
    from hepanom.events import Events as Events
    from hepanom.events import Input as Input
    from hepanom.events import Jagged as Jagged
    from hepanom.events import Schema as Schema
    from hepanom.from_arrays import from_awkward as from_awkward
    from hepanom.from_arrays import from_columns as from_columns
    from hepanom.from_arrays import from_hist as from_hist
    from hepanom.from_arrays import from_numpy as from_numpy
    from hepanom.from_arrays import from_pandas as from_pandas
    from hepanom.from_arrays import from_polars as from_polars
    from hepanom.interface import Detector as Detector
    from hepanom.interface import Outcome as Outcome
    from hepanom.interface import Scores as Scores
    from hepanom.interface import load as load
    from hepanom.interface import read_recipe as read_recipe
    from hepanom.interface import run as run
    from hepanom.sample import Sample as Sample

_NAMES = {
    "document": ["Document"],
    "errors": ["HepanomError", "InputError"],
    "estimator": ["AnomalyDetector"],
    "events": ["Events", "Input", "Jagged", "Schema"],
    "from_arrays": ["from_awkward", "from_columns", "from_hist", "from_numpy", "from_pandas", "from_polars"],
    "interface": ["Detector", "Outcome", "Scores", "load", "read_recipe", "run"],
    "sample": ["Sample"],
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}
__all__ = sorted(_HOME)  # noqa: PLE0605  # a test compares it with what type checkers see


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hepanom' has no attribute {name!r}")
    return getattr(import_module(f"hepanom.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]


class _Package(ModuleType):
    """Keeps ``hepanom.run`` the function, where the import of the module ``hepanom.run`` would put the module."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _HOME or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
