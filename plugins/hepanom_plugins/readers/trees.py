"""The trees of ROOT files: found, opened, described and read in bounded pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from hepanom.errors import BrokenFileError, InputError
from hepanom_plugins.readers.columnar import Kind

try:
    import awkward as ak  # type: ignore[import-untyped]
    import uproot  # type: ignore[import-untyped]
except ImportError as error:
    raise InputError('the reader root needs awkward and uproot: pip install "hepanom[root]"') from error


@dataclass(frozen=True)
class Tree:
    """An open TTree or RNTuple, the kind of every branch and the number of entries."""

    file: str
    content: Any
    kinds: Mapping[str, Kind]
    rows: int

    def edges(self, names: Sequence[str], size: int) -> list[int]:
        """Return 0, the entries where parts of some ``size`` bytes of these branches begin, and their number."""
        return [*range(0, self.rows, self._step(names, size)), self.rows]

    def chunks(self, names: Sequence[str], rows: range, size: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (entries, arrays) of some ``size`` bytes: numpy for a number per event, else awkward.

        Raises BrokenFileError where the file cannot be read, InputError where it has fewer entries by now.
        """
        if self.rows < rows.stop:
            raise InputError(f"{self.file}: has {self.rows} entries now, {rows.stop} when its parts were listed")
        flat = [name for name in names if self.kinds[name] == "number"]
        library = "np" if isinstance(self.content, uproot.TTree) and len(flat) == len(names) else "ak"
        step = self._step(names, size)
        whole = step if isinstance(self.content, uproot.TTree) else max(step, self._cluster(names))
        # Unlike ``arrays``, ``iterate`` does not decompress a TTree's basket twice that two steps share.
        reading = self.content.iterate(
            list(names), step_size=whole, entry_start=rows.start, entry_stop=rows.stop, library=library
        )
        for start in range(rows.start, rows.stop, whole):
            with blamed(self.file):
                found = next(reading)
            arrays = {name: found[self._place(name)] for name in names}
            if library == "ak":
                arrays |= {name: ak.to_numpy(arrays[name]) for name in flat}
            count = min(whole, rows.stop - start)
            for first in range(0, count, step):
                piece = slice(first, min(first + step, count))
                yield piece.stop - first, {name: array[piece] for name, array in arrays.items()}

    def _step(self, names: Sequence[str], size: int) -> int:
        """Return how many entries take some ``size`` bytes: whole clusters, or equal shares of a larger one."""
        if isinstance(self.content, uproot.TTree):
            held = sum(self.content[name].uncompressed_bytes for name in names)
            wanted = int(size * self.rows // max(1, held))
        else:
            wanted = int(self.content.num_entries_for(size, filter_name=list(names)) or size)
        cluster = self._cluster(names)
        return max(
            1, wanted // cluster * cluster if wanted >= cluster else -(-cluster // -(-cluster // max(1, wanted)))
        )

    def _cluster(self, names: Sequence[str]) -> int:
        """Return the entries of the first cluster, after which no branch's basket or page goes on."""
        if isinstance(self.content, uproot.TTree):
            edges = self.content.common_entry_offsets(filter_name=list(names))
            return int(edges[1]) if len(edges) > 1 else max(1, self.rows)
        return max([1, *(int(cluster.num_entries) for cluster in self.content.cluster_summaries[:1])])

    def originals(self, rows: range, entries: Int[np.ndarray, " event"]) -> dict[str, Any]:
        """Return all branches of some entries of a range. Raises InputError for a branch that cannot be copied."""
        if other := [name for name, kind in self.kinds.items() if kind in ("other", "text")]:
            raise InputError(
                f"{self.file}: a skim can hold numbers and lists of numbers; not branch {', '.join(other[:5])}"
            )
        with blamed(self.file):
            found = self.content.arrays(list(self.kinds), entry_start=rows.start, entry_stop=rows.stop, library="ak")
        kept = found[entries - rows.start]
        columns = ((name, kind, kept[self._place(name)]) for name, kind in self.kinds.items())
        return {name: ak.to_numpy(column) if kind == "number" else column for name, kind, column in columns}

    def _place(self, name: str) -> str | tuple[str, ...]:
        """Return where an array lies in what uproot returns: members of an RNTuple's record lie in the record."""
        return name if isinstance(self.content, uproot.TTree) else tuple(name.split("."))


@contextmanager
def opened(file: str, tree: str | None) -> Iterator[Tree]:
    """Open a tree: the one of that name, or the only one there is.

    Raises BrokenFileError for a file that cannot be read, InputError for a file or a tree that is not there.
    """
    with blamed(file):
        directory = uproot.open(file, array_cache=None)  # every entry is read once: nothing is worth keeping
    with directory:
        name = _name(file, directory, tree)
        with blamed(file):
            found = directory[name]
            known, entries = kinds(found), int(found.num_entries)
        yield Tree(file, found, known, entries)


@contextmanager
def blamed(file: str) -> Iterator[None]:
    """Turn what uproot raises in the block into a message that names the file."""
    try:
        yield
    except ImportError as error:
        extra = "xrootd" if file.startswith("root://") else "root"
        raise InputError(f'{file}: needs another library: pip install "hepanom[{extra}]" ({error})') from error
    except FileNotFoundError as error:
        raise InputError(f"{file}: is not there") from error
    except Exception as error:  # uproot raises whatever the bytes lead it to
        reason = (str(error).strip().splitlines() or [""])[0].rstrip(",;:. ") or type(error).__name__
        raise BrokenFileError(f"{file}: is truncated, corrupt or no ROOT file: {reason}; copy it again") from error


def _name(file: str, directory: Any, tree: str | None) -> str:
    kinds: dict[str, str] = directory.classnames(cycle=False)
    trees = [name for name, kind in kinds.items() if kind in ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple")]
    if tree is not None and tree in (directory.keys() if ";" in tree else trees):
        return tree
    if tree is None and len(trees) == 1:
        return trees[0]
    if not trees:
        raise InputError(f"{file}: holds no tree, but {', '.join(sorted(kinds)) or 'nothing at all'}")
    wanted = f"there is no tree {tree!r}" if tree else "the option `tree` must choose"
    raise InputError(f"{file}: {wanted}; trees are: {', '.join(trees)}")


def kinds(tree: Any) -> dict[str, Kind]:
    """Return what every branch of a TTree or field of an RNTuple holds, by name: ``jet.pt`` is a record's member."""
    if isinstance(tree, uproot.TTree):
        branches = tree.iteritems(recursive=True, full_paths=False)
        return {name: _interpreted(branch.interpretation) for name, branch in branches if not branch.branches}
    return dict(_fields(tree.arrays(entry_stop=0).layout))


def _fields(form: Any) -> Iterator[tuple[str, Kind]]:
    """Yield the name and the kind of every field of an RNTuple, those of records by their members."""
    for name in form.fields:
        field = form.content(name)
        record = field.content if field.is_list else field
        if name.startswith("_"):
            continue
        if record.is_record:
            members = ((member, record.content(member)) for member in record.fields)
            yield from ((f"{name}.{member}", _kind_of(inner, lists=field.is_list)) for member, inner in members)
        else:
            yield name, _kind_of(record, lists=field.is_list)


def _interpreted(interpretation: Any) -> Kind:
    if isinstance(interpretation, uproot.AsStrings):
        return "text"
    jagged = isinstance(interpretation, uproot.AsJagged)
    inner = interpretation.content if jagged else interpretation
    plain = isinstance(inner, uproot.AsDtype) and inner.to_dtype.shape == () and inner.to_dtype.kind in "biuf"
    return ("numbers" if jagged else "number") if plain else "other"


def _kind_of(layout: Any, *, lists: bool) -> Kind:
    if layout.parameter("__array__") in ("string", "char"):
        return "other" if lists and layout.is_list else "text"
    if not layout.is_numpy or layout.purelist_depth != 1:
        return "other"
    return "numbers" if lists else "number"
