"""The reader for ROOT files: flat branches as a table, jagged ones as points or as leading objects."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from jaxtyping import Int
from pydantic import Field

from hepanom.contracts import Part
from hepanom_plugins.readers import trees
from hepanom_plugins.readers.columnar import Columnar, Columns


@dataclass(frozen=True)
class Root(Columnar):
    """Reads a TTree or an RNTuple: one entry, one event.

    ``features`` are flat branches, columns of ``derive`` and of ``leading``, as float32; by default all of them that
    hold numbers. ``label``, ``weight``, ``category``, ``id``, ``keep`` and ``targets`` may be expressions, and then
    carry their text as name. Expressions follow the field's own syntax (``hepanom_plugins.readers.expressions``):
    ``abs(eta) < 2.5 & nJet >= 2``, ``hypot(px, py)``, ``Jet_Pt[0]``, ``sum(Jet_Pt)``. Instead of ``path``, ``files``
    lists files by class, each class with a weight where it needs one: ``files: {background: "zjets*.root", signal:
    {path: "higgs.root", weight: "0.0012 * genWeight"}}``. The entry number travels beside as ``entry``; without ``id``
    the event id is the hash of the file's base name and the entry. A file is read in parts of entries.
    """

    tree: Annotated[str | None, Field(description="name of the tree; by default the only one there is")] = None

    suffix: ClassVar = ".root"
    counter: ClassVar = "entry"
    called: ClassVar = "branch"

    def opened(self, file: str) -> AbstractContextManager[Columns]:
        """Open the tree. Raises BrokenFileError for a broken file, InputError for a tree that is not there."""
        return trees.opened(file, self.tree)

    def originals(self, part: Part, entries: Int[np.ndarray, " event"]) -> tuple[str, dict[str, Any]]:
        """Return the tree's name and the branches of some entries. Raises InputError for one that cannot be copied."""
        with trees.opened(part.file, self.tree) as tree:
            return tree.content.name, tree.originals(range(part.start, part.stop), entries)
