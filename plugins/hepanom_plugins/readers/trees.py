"""The trees of ROOT files: found, opened, described and read in bounded pieces."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from hepanom.errors import BrokenFileError, InputError
from hepanom_plugins.readers.files import match_files

try:
    import awkward as ak  # type: ignore[import-untyped]
    import uproot  # type: ignore[import-untyped]
except ImportError as error:
    raise InputError('the reader root needs awkward and uproot: pip install "hepanom[root]"') from error

Kind = Literal["number", "numbers", "text", "other"]  # of one value per event, or a list of them


def find_files(path: str | Sequence[str]) -> list[str]:
    """Return the files that paths, globs, folders and addresses stand for; a folder's are its *.root."""
    found: list[str] = []
    for pattern in [path] if isinstance(path, str) else path:
        if "://" in pattern:
            found.append(pattern)
        elif (folder := Path(pattern).expanduser()).is_dir():
            found += match_files(str(Path(glob.escape(str(folder))) / "*.root"))
        else:
            found += match_files(pattern)
    return list(dict.fromkeys(found))


@contextmanager
def opened(file: str, tree: str | None) -> Iterator[Any]:
    """Open a tree: the one of that name, or the only one there is.

    Raises BrokenFileError for a file that cannot be read, InputError for a file or a tree that is not there.
    """
    with blamed(file):
        directory = uproot.open(file, array_cache=None)  # every entry is read once: nothing is worth keeping
    with directory:
        name = _name(file, directory, tree)
        with blamed(file):
            found = directory[name]
        yield found


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
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BrokenFileError(f"{file}: is truncated, corrupt or no ROOT file: {reason}; copy it again") from error


def _name(file: str, directory: Any, tree: str | None) -> str:
    kinds: dict[str, str] = directory.classnames(cycle=False)
    trees = [name for name, kind in kinds.items() if kind in ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple")]
    if tree is not None and tree.partition(";")[0] in trees:
        return tree
    if tree is None and len(trees) == 1:
        return trees[0]
    known = ", ".join(trees) or f"none, but {', '.join(kinds) or 'nothing'}"
    wanted = f"there is no tree {tree!r}" if tree else "the option `tree` must choose"
    raise InputError(f"{file}: {wanted}; trees are: {known}")


def kinds(tree: Any, file: str) -> dict[str, Kind]:
    """Return what every branch of a TTree or field of an RNTuple holds, by name."""
    with blamed(file):
        if isinstance(tree, uproot.TTree):
            branches = tree.iteritems(recursive=True, full_paths=False)
            return {name: _interpreted(branch.interpretation) for name, branch in branches if not branch.branches}
        form = tree.arrays(entry_stop=0).layout
        return {name: _kind_of(form.content(name)) for name in form.fields if not name.startswith("_")}


def _interpreted(interpretation: Any) -> Kind:
    if isinstance(interpretation, uproot.AsStrings):
        return "text"
    jagged = isinstance(interpretation, uproot.AsJagged)
    inner = interpretation.content if jagged else interpretation
    plain = isinstance(inner, uproot.AsDtype) and inner.to_dtype.shape == () and inner.to_dtype.kind in "biuf"
    return ("numbers" if jagged else "number") if plain else "other"


def _kind_of(layout: Any) -> Kind:
    if layout.is_list and layout.parameter("__array__") == "string":
        return "text"
    inner = layout.content if layout.is_list else layout
    if not inner.is_numpy or inner.purelist_depth != 1:
        return "other"
    return "numbers" if layout.is_list else "number"


def chunks(
    tree: Any, file: str, known: Mapping[str, Kind], branches: Sequence[str], entries: range
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (first entry, arrays by branch) in the range's steps: numpy for one number per event, else awkward."""
    library = "np" if isinstance(tree, uproot.TTree) and all(known[name] == "number" for name in branches) else "ak"
    steps = tree.iterate(
        list(branches), step_size=entries.step, entry_start=entries.start, entry_stop=entries.stop, library=library
    )  # unlike ``arrays`` it does not decompress a basket twice that two steps share
    for first in entries:
        with blamed(file):
            found = next(steps)
        yield (
            first,
            {
                name: found[name] if library == "np" or known[name] != "number" else ak.to_numpy(found[name])
                for name in branches
            },
        )


def stem(file: str) -> str:
    """Return the base name that tells files apart."""
    return Path(file).name
