"""Scores as ROOT files: a tree aligned with its input entry by entry, or a skim with all that the input holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepanom.contracts import Part, Reader
from hepanom.errors import InputError
from hepanom.files import written

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]

TREE = "hepanom"
Write = Callable[[Part, "pa.Table"], None]


def places(out: Path, reader: Reader, files: Sequence[str], *, skim: bool) -> list[Path]:
    """Return the ROOT file that each input file gets: ``out`` itself, or NAME_scores.root (NAME_skim.root) in it.

    Raises InputError for a reader without entries, and for several input files and one output file.
    """
    if "entry" not in reader.schema().beside:
        raise InputError(f"{out}: only events of a reader with entries, such as root, go to ROOT; choose NAME.parquet")
    end = "skim" if skim else "scores"
    names = [out] if out.suffix == ".root" else [out / f"{Path(file).stem}_{end}.root" for file in files]
    if len(names) != len(files) or len(set(names)) != len(names):
        raise InputError(f"{out}: {len(files)} input files need a folder and names that differ; choose --out FOLDER")
    return names


@contextmanager
def root_files(
    names: Sequence[Path], files: Sequence[str], reader: Reader, parts: Sequence[Part], *, skim: bool
) -> Iterator[Write]:
    """Give a function that writes scored tables into ROOT files, which appear when the block ends well.

    Each of the input ``files`` gets the file of ``names`` at its place. A tree ``hepanom`` has one entry for each entry
    of its input, in the same order, so that it can be its friend: ``event_id``, ``score_SCORER`` and
    ``flag_SCORER_RULE``, with NaN and false for entries that the reader's cut removed. With ``skim`` the file holds
    only the entries that were written, with all the branches of the input, in a tree of its name.
    """
    with ExitStack() as stack:
        temporary = dict(zip(files, [stack.enter_context(written(name)) for name in names], strict=True))
        write = _skim(temporary, reader, stack) if skim else _Aligned(temporary, parts, stack)
        yield write
        if isinstance(write, _Aligned):
            write.finish()


class _Aligned:
    """Writes every part as a block of as many entries as it has, whatever the cut left of them."""

    def __init__(self, files: Mapping[str, Path], parts: Sequence[Part], stack: ExitStack) -> None:
        self.files, self.waiting, self.stack = files, list(parts), stack
        self.tables: dict[Part, list[Any]] = {part: [] for part in parts}
        self.trees: dict[str, Any] = {}
        self.like: Any = None

    def __call__(self, part: Part, table: pa.Table) -> None:
        """Take the next table; the parts before its own are complete."""
        self.like = table if self.like is None else self.like
        while self.waiting[0] != part:
            self._write(self.waiting.pop(0))
        self.tables[part].append(table)

    def finish(self) -> None:
        """Write what is waiting."""
        while self.waiting:
            self._write(self.waiting.pop(0))

    def _write(self, part: Part) -> None:
        tables = self.tables.pop(part)
        columns = [name for name in self.like.column_names if name.startswith(("score/", "flag/"))]
        block = {branch(name): _column(name, tables, part) for name in ["event_id", *columns]}
        if part.file not in self.trees:
            self.trees[part.file] = _tree(self.files[part.file], self.stack, {k: v.dtype for k, v in block.items()})
        self.trees[part.file].extend(block)


def branch(column: str) -> str:
    """Return the branch name of a column: letters, digits and underscores, 0.01 as 0p01, as ROOT's formulas want."""
    return "".join(letter if letter.isalnum() else "p" if letter == "." else "_" for letter in column)


def _column(name: str, tables: Sequence[pa.Table], part: Part) -> np.ndarray:
    """Return a column of all the part's entries."""
    absent = np.uint64(0) if name == "event_id" else np.float64("nan") if name.startswith("score/") else np.bool_(False)
    values = np.full(part.stop - part.start, absent)
    for table in tables:
        values[table["entry"].to_numpy() - part.start] = table[name].to_numpy()
    return values


def _tree(path: Path, stack: ExitStack, types: Mapping[str, Any], name: str = TREE) -> Any:
    import uproot  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return stack.enter_context(uproot.recreate(path)).mktree(name, types)


def _skim(files: Mapping[str, Path], reader: Reader, stack: ExitStack) -> Write:
    """Return a function that writes the chosen entries with everything that the input holds of them."""
    trees: dict[str, Any] = {}

    def write(part: Part, table: pa.Table) -> None:
        name, originals = reader.originals(part, table["entry"].to_numpy())
        scores = [column for column in table.column_names if column.startswith(("score/", "flag/", "event_id"))]
        block = {**originals, **{branch(column): table[column].to_numpy() for column in scores}}
        if part.file not in trees:
            import awkward as ak  # type: ignore[import-not-found,import-untyped,unused-ignore]

            types = {key: getattr(value, "dtype", None) or ak.type(value).content for key, value in block.items()}
            trees[part.file] = _tree(files[part.file], stack, types, name)
        trees[part.file].extend(block)

    return write
