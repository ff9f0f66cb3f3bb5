"""The reader for ROOT files: flat branches as a table, jagged ones as points or as leading objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import awkward as ak  # type: ignore[import-untyped]
import numpy as np
from jaxtyping import Bool, Int, Int64
from pydantic import Field

from hepanom.contracts import Part, Reader
from hepanom.errors import BrokenFileError, InputError, did_you_mean
from hepanom.events import Events, Input, Schema
from hepanom_plugins.readers import trees
from hepanom_plugins.readers.expressions import parse
from hepanom_plugins.readers.files import OnBadFile
from hepanom_plugins.readers.objects import cloud, lead, members, per_event
from hepanom_plugins.readers.roles import Roles

CHUNK = 1 << 20  # numbers read at a time, 4 MB of float32
PART = 16 * CHUNK


@dataclass(frozen=True)
class Group:
    """Files of one class, with what their events weigh."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    path: str | tuple[str, ...]
    weight: float | str | None = None


@dataclass(frozen=True)
class Root(Roles, Reader):
    """Reads a TTree or an RNTuple: one entry, one event.

    ``features`` are flat branches, columns of ``derive`` and of ``leading``, as float32; by default all of them that
    hold numbers. ``label``, ``weight``, ``category``, ``id``, ``keep`` and ``targets`` may be expressions, and then
    carry their text as name. Expressions follow the field's own syntax (``hepanom_plugins.readers.expressions``):
    ``abs(eta) < 2.5 & nJet >= 2``, ``hypot(px, py)``, ``Jet_Pt[0]``, ``sum(Jet_Pt)``. Instead of ``path``, ``files``
    lists files by class, each class with a weight where it needs one: ``files: {background: "zjets*.root", signal:
    {path: "higgs.root", weight: "0.0012 * genWeight"}}``. The entry number travels beside as ``entry``; without ``id``
    the event id is the hash of the file's base name and the entry. A file is read in parts of entries.
    """

    path: Annotated[
        str | tuple[str, ...] | None, Field(description="file, glob, folder or address, or several of them")
    ] = None
    files: Annotated[
        dict[str, str | tuple[str, ...] | Group],
        Field(description="instead of path: class name -> its files, or {path, weight}"),
    ] = field(default_factory=dict)
    tree: Annotated[str | None, Field(description="name of the tree; by default the only one there is")] = None
    derive: Annotated[dict[str, str], Field(description="name -> expression of a further column")] = field(
        default_factory=dict
    )
    cut: Annotated[str | None, Field(description="expression that an event must fulfil")] = None
    points: Annotated[
        dict[str, str],
        Field(description="name of a point cloud -> jagged branches, such as jets: Jet_{Px,Py,Pz,E}"),
    ] = field(default_factory=dict)
    leading: Annotated[
        dict[str, Annotated[int, Field(gt=0)]],
        Field(description="jagged branches -> how many objects become columns: Jet_{Px,Py}: 2 gives Jet_Px[0] to [1]"),
    ] = field(default_factory=dict)
    on_bad_file: OnBadFile = "stop"

    @classmethod
    def reads(cls, file: str) -> bool:
        """Say whether this is a ROOT file, by its name."""
        return file.endswith(".root")

    def schema(self) -> Schema:
        """Describe the events from the headers of all files."""
        first, names = "", tuple[str, ...]()
        known: dict[str, trees.Kind] = {}
        for file, _ in self._listed():
            try:
                with trees.opened(file, self.tree) as tree:
                    found = trees.kinds(tree, file)
            except BrokenFileError:
                if self.on_bad_file == "stop":
                    raise
                continue
            if not first:
                first, known, names = file, found, self._names(found, file)
            for branch in self._branches(known, first):
                if found.get(branch) != known[branch]:
                    what = f"is {found[branch]}" if branch in found else "is not there"
                    raise InputError(f"{file}: branch {branch!r} {what}, in {first} it is {known[branch]}")
        if not first:
            raise InputError("none of the files can be read")
        inputs = {}
        if names:
            inputs["features"] = Input("table", names, tuple(self.unit(name) for name in names))
        for name, pattern in self.points.items():
            columns = members(pattern)
            inputs[name] = Input("points", tuple(columns), tuple(self.unit(branch) for branch in columns.values()))
        beside = tuple(dict.fromkeys(["entry", *self.beside()]))
        return Schema(inputs, tuple(self.files or self.classes), self.targets, beside)

    def parts(self) -> Sequence[Part]:
        """List ranges of entries of some 64 MB; a broken file is one part with a problem where they are skipped."""
        found: list[Part] = []
        for file, _ in self._listed():
            try:
                with trees.opened(file, self.tree) as tree:
                    entries = int(tree.num_entries)
                    step = max(1, PART // max(1, len(self._branches(trees.kinds(tree, file), file))))
            except BrokenFileError as error:
                if self.on_bad_file == "stop":
                    raise
                found.append(Part(file, 0, 0, str(error)))
                continue
            edges = [*range(0, entries, step), entries]
            found += [Part(file, start, stop) for start, stop in pairwise(edges)]
        return found

    def read(self, part: Part) -> Iterator[Events]:
        """Yield the part's events in chunks of some 4 MB.

        Raises BrokenFileError for a truncated file, InputError for a branch that is not there or of another kind, a
        label of no class, a weight that is missing.
        """
        group = dict(self._listed())[part.file]
        with trees.opened(part.file, self.tree) as tree:
            if tree.num_entries < part.stop:
                raise InputError(
                    f"{part.file}: has {tree.num_entries} entries now, {part.stop} when its parts were listed"
                )
            known = trees.kinds(tree, part.file)
            names, branches = self._names(known, part.file), self._branches(known, part.file)
            step = max(1, CHUNK // max(1, len(branches)))
            entries = range(part.start, part.stop, step)
            for first, arrays in trees.chunks(tree, part.file, known, branches, entries):
                entry = np.arange(first, min(first + step, part.stop))
                yield self._events(arrays, names, entry, part.file, group)

    def on(self, files: Sequence[str]) -> Root:
        """Return this reader for other files; roles whose branches they lack are left out."""
        file = trees.find_files(files)[0]
        with trees.opened(file, self.tree) as tree:
            known = {*trees.kinds(tree, file), *self.derive}
        absent = {text for role, text in self.roles() if role != "id" and not known.issuperset(parse(text).names)}
        classes: dict[str, tuple[str | int | float, ...]] = self.classes or dict.fromkeys(self.files, ())
        return replace(self.without(absent), path=tuple(files), files={}, classes=classes)

    def originals(self, part: Part, entries: Int[np.ndarray, " event"]) -> tuple[str, dict[str, Any]]:
        """Return the tree's name and the branches of some entries. Raises InputError for one that cannot be copied."""
        with trees.opened(part.file, self.tree) as tree:
            known = trees.kinds(tree, part.file)
            if other := [name for name, kind in known.items() if kind in ("other", "text")]:
                raise InputError(
                    f"{part.file}: a skim can hold numbers and lists of numbers; not branch {', '.join(other[:5])}"
                )
            found = tree.arrays(list(known), entry_start=part.start, entry_stop=part.stop, library="ak")
            kept = found[entries - part.start]
            return tree.name, {
                name: ak.to_numpy(kept[name]) if kind == "number" else kept[name] for name, kind in known.items()
            }

    def _listed(self) -> list[tuple[str, Group]]:
        """List the files with their group. Raises InputError for two that would give the same event ids."""
        if (self.path is None) == (not self.files):
            raise InputError("set one of `path` and `files`")
        groups: list[Group] = [] if self.path is None else [Group(self.path)]
        for entry in self.files.values():
            groups.append(entry if isinstance(entry, Group) else Group(entry))
        found = [(file, group) for group in groups for file in trees.find_files(group.path)]
        names: dict[str, str] = {}
        for file, _ in found:
            twin = names.setdefault(trees.stem(file), file)
            if twin != file and not self.id:
                raise InputError(f"{twin} and {file} would give the same event ids; rename one or set `id`")
        if len(dict(found)) < len(found):
            raise InputError("a file is in two groups of `files`; an event has one class")
        return found

    def _expressions(self) -> list[tuple[str, str]]:
        """List (option, text) of every expression."""
        texts = [*self.roles(), *((f"derive.{name}", text) for name, text in self.derive.items())]
        texts += [
            ("files", g.weight) for g in self.files.values() if isinstance(g, Group) and isinstance(g.weight, str)
        ]
        return [*texts, *([("cut", self.cut)] if self.cut else [])]

    def _names(self, known: Mapping[str, trees.Kind], file: str) -> tuple[str, ...]:
        """Return the feature columns."""
        flat = [name for name, kind in known.items() if kind == "number"]
        objects = [
            f"{branch}[{rank}]"
            for text, n in self.leading.items()
            for branch in members(text).values()
            for rank in range(n)
        ]
        for pattern in self.features:
            if known.get(pattern, "number") != "number":
                raise InputError(
                    f"{file}: branch {pattern!r} holds {known[pattern]}, no feature; numbers go through `points`, "
                    "`leading` or an expression in `derive`, text is for label, id or keep"
                )
        try:
            roles = [text for _, text in self.roles() if text not in flat]
            self.check([*flat, *self.derive, *objects, *roles])
            return self.chosen([*flat, *self.derive, *objects]) if self.features else ()
        except InputError as error:
            raise InputError(f"{file}: {error}") from error

    def _branches(self, known: Mapping[str, trees.Kind], file: str) -> list[str]:
        """Return the branches that are read. Raises InputError for one that an option names and the file lacks."""
        needed = [name for name in self._names(known, file) if name in known]
        for option, text in self._expressions():
            for name in parse(text).names:
                if name not in known and name not in self.derive:
                    raise InputError(
                        f"{file}: {option}: {text!r}: there is no branch {name!r}; "
                        f"{did_you_mean(name, [*known, *self.derive])}"
                    )
                needed += [name] if name in known else []
        for text in (*self.points.values(), *self.leading):
            for branch in members(text).values():
                if known.get(branch) != "numbers":
                    what = f"holds one {known[branch]} per event" if branch in known else "is not there"
                    raise InputError(
                        f"{file}: {text}: branch {branch!r} {what}; a list of numbers is needed; "
                        f"{did_you_mean(branch, [name for name, kind in known.items() if kind == 'numbers'])}"
                    )
                needed.append(branch)
        return list(dict.fromkeys(needed))

    def _events(
        self, columns: dict[str, Any], names: Sequence[str], entry: Int64[np.ndarray, " entry"], file: str, group: Group
    ) -> Events:
        """Turn the branches of one chunk into events."""
        for name, text in self.derive.items():
            columns[name] = per_event(parse(text), columns, len(entry))
        tally: dict[str, int] = {}
        if self.cut:
            keep: Bool[np.ndarray, " entry"] = np.asarray(per_event(parse(self.cut), columns, len(entry)), bool)
            tally["entries removed by the cut"] = int((~keep).sum())
            columns, entry = {name: values[keep] for name, values in columns.items()}, entry[keep]
        for _, text in self.roles():
            columns[text] = per_event(parse(text), columns, len(entry))
        for text, most in self.leading.items():
            tally[f"objects of {text} beyond the leading {most}"] = lead(columns, text, most)
        inputs: dict[str, Any] = {}
        if names:
            inputs["features"] = self.table({name: columns[name] for name in names}, names)
        for name, text in self.points.items():
            inputs[name] = cloud(columns, text, file, entry)
        roles: Roles = self
        if group.weight is not None:
            given = group.weight
            columns["weight"] = (
                np.full(len(entry), given)
                if isinstance(given, float | int)
                else per_event(parse(given), columns, len(entry))
            )
            roles = replace(self, weight="weight")
        flat = {column: columns[column] for _, column in roles.roles()}
        events = roles.events(flat, inputs, entry, file, "entry")
        if self.files:
            index = [g if isinstance(g, Group) else Group(g) for g in self.files.values()].index(group)
            events = replace(events, label=np.full(len(entry), index))
        return replace(events, beside={"entry": entry, **events.beside}, tally={k: v for k, v in tally.items() if v})
