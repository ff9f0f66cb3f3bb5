"""The reader for Parquet files: flat columns as a table, lists as points or as leading objects."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

from hepanom_plugins.readers import row_groups
from hepanom_plugins.readers.columnar import Columnar, Columns


@dataclass(frozen=True)
class Parquet(Columnar):
    """Reads Parquet files: one row, one event.

    A column holds a number, a text or a list of numbers; a member of a record is a column of its own, ``met.phi``, and
    so is one of a list of records, ``Jet.pt`` (what Awkward writes: ``points: {jets: "Jet.{pt,eta,phi}"}``). A null is
    a missing value, a list that is null an empty one. ``features`` are flat columns, those of ``derive`` and of
    ``leading``, as float32; by default all of them that hold numbers. ``label``, ``weight``, ``category``, ``id``,
    ``keep`` and ``targets`` may be expressions, and then carry their text as name. Expressions follow the field's own
    syntax (``hepanom_plugins.readers.expressions``): ``abs(eta) < 2.5 & nJet >= 2``, ``Jet.pt[0]``, ``sum(Jet.pt)``.
    Sentinels such as -25 are named by ``missing``. Instead of ``path``, ``files`` lists files by class, each class with
    a weight where it needs one. The row number travels beside as ``row``; without ``id`` the event id is the hash of
    the file's base name and the row. A file is read in parts of whole row groups.

    References:
        Apache Parquet, file format, https://parquet.apache.org/docs/file-format.
    """

    suffix: ClassVar = ".parquet"

    def opened(self, file: str) -> AbstractContextManager[Columns]:
        """Open the file. Raises BrokenFileError for a broken one, InputError for one that is not there."""
        return row_groups.opened(file)
