"""Point clouds in ROOT: a tree with one entry per event and jagged branches of its hits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped

from hepanom.errors import BrokenFileError, InputError
from hepanom.events import Jagged
from hepanom_plugins.readers.clouds import CHUNK_BYTES, PART_BYTES, Clouds, Header, numbered

try:
    import awkward as ak  # type: ignore[import-untyped]
    import uproot  # type: ignore[import-untyped]
except ImportError as error:
    raise InputError('files of ROOT need the library uproot: pip install "hepanom[root]"') from error

NUMBER = r"(?:std::)?(?:u?int\d+_t|float|double|bool)"


@contextmanager
def opened(file: str) -> Iterator[Any]:
    """Open a file; whatever uproot raises on its bytes becomes a BrokenFileError."""
    try:
        with uproot.open(file) as content:
            yield content
    except InputError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise BrokenFileError(
            f"{file}: the ROOT file is truncated or corrupt ({type(error).__name__}: {reason}); copy it again"
        ) from error


@dataclass(frozen=True)
class Hits:
    """A TTree or RNTuple of which each entry is an event: jagged branches are the columns of its points.

    ``entry`` travels beside.
    """

    file: str
    tree: str | None

    def header(self) -> Header:
        """Return the jagged and the flat branches of the tree."""
        with opened(self.file) as content:
            tree = self._tree(content)
            jagged, flat = _branches(tree)
            step = tree.num_entries_for(f"{PART_BYTES} B", list(jagged))
            edges = [*range(0, tree.num_entries, max(1, step)), tree.num_entries]
        steps = tuple(pairwise(edges))
        return Header(jagged, ("",) * len(jagged), flat, ("entry",), numbered(flat, "entry"), steps)

    def read(self, start: int, stop: int, columns: Sequence[str], beside: Sequence[str]) -> Iterator[Clouds]:
        """Yield entries ``start`` to ``stop``."""
        with opened(self.file) as content:
            tree = self._tree(content)
            wanted = list(dict.fromkeys([*columns, *(name for name in beside if name != "entry")]))
            step = max(1, tree.num_entries_for(f"{CHUNK_BYTES} B", wanted))
            for first in range(start, stop, step):
                last = min(first + step, stop)
                found = tree.arrays(wanted, entry_start=first, entry_stop=last, library="ak", how=dict)
                values, offsets = self._points([found[column] for column in columns], columns, first)
                flat = {name: ak.to_numpy(found[name]) for name in beside if name != "entry"}
                yield Clouds(Jagged(values, offsets), {"entry": np.arange(first, last), **flat}, {})

    def _tree(self, content: Any) -> Any:
        """Return the tree, the only one with jagged branches that matches."""
        trees = sorted(content.keys(cycle=False, filter_classname=["TTree", "ROOT::RNTuple"]))
        chosen = [name for name in dict.fromkeys(trees) if self.tree is None or fnmatchcase(name, self.tree)]
        fit = [name for name in chosen if _branches(content[name])[0]]
        if len(fit) != 1:
            found = f"the trees {', '.join(fit)} have" if fit else "no tree has"
            pattern = f" of those that match {self.tree!r}" if self.tree else ""
            raise InputError(
                f"{self.file}: {found} jagged branches of hits{pattern}; choose one by the option `inside`, the file "
                f"has {', '.join(trees) or 'no tree'}"
            )
        return content[fit[0]]

    def _points(
        self, arrays: Sequence[Any], columns: Sequence[str], first: int
    ) -> tuple[Shaped[np.ndarray, "point column"], Int64[np.ndarray, " offset"]]:
        """Return branches of equal lengths side by side as float32, and their offsets."""
        layouts = [ak.to_packed(array).layout for array in arrays]
        offsets = np.asarray(layouts[0].offsets, np.int64)
        values = np.empty((int(offsets[-1]), len(columns)), np.float32)
        for index, (layout, column) in enumerate(zip(layouts, columns, strict=True)):
            others = np.asarray(layout.offsets, np.int64)
            if (others != offsets).any():
                entry = int(np.flatnonzero(np.diff(others) != np.diff(offsets))[0])
                raise InputError(
                    f"{self.file}: entry {first + entry}: {column!r} has {np.diff(others)[entry]} hits, "
                    f"{columns[0]!r} has {np.diff(offsets)[entry]}; columns of points have one value per hit"
                )
            values[:, index] = np.asarray(layout.content.data)
        return values, offsets


def _branches(tree: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the branches with a list of numbers, and with one number, per entry."""
    types = {name: str(branch.typename) for name, branch in tree.items()}
    jagged = (name for name, kind in types.items() if re.fullmatch(rf"{NUMBER}\[\]|std::vector<{NUMBER}>", kind))
    flat = (name for name, kind in types.items() if re.fullmatch(NUMBER, kind))
    return tuple(jagged), tuple(flat)
