"""The events of a recipe by share: kept in memory where they fit, else read anew each time they are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
from jaxtyping import Int

from hepanom import returned, team
from hepanom.blame import blame
from hepanom.contracts import Part
from hepanom.errors import InputError
from hepanom.events import Events, size
from hepanom.plugins import Parts
from hepanom.recipe import Recipe
from hepanom.result import Skipped
from hepanom.stream import MISSING, MOST_CATEGORIES, SHARES, category_values, membership, read_parts

KEPT = 0.2  # of the memory; what becomes of the events on their way to a network takes some four times as much


@dataclass(frozen=True)
class Cell:
    """Events of one share, class and category: their number, summed weight, summed magnitude, negative weights."""

    events: int = 0
    weight: float = 0.0
    magnitude: float = 0.0
    negative: int = 0

    def __add__(self, other: Cell) -> Cell:
        """Return both together."""
        return Cell(
            self.events + other.events,
            self.weight + other.weight,
            self.magnitude + other.magnitude,
            self.negative + other.negative,
        )


Cells = Mapping[tuple[str, int, str], Cell]


@dataclass(frozen=True)
class Shares:
    """The events of a recipe by share, which can be gone through any number of times.

    ``cells`` counts them by (share, class index, category label), ``order`` gives the categories' values by label,
    ``kept`` holds them where they fit into memory, ``sound`` lists the parts that this process reads and could read,
    ``everywhere`` those of the whole team; ``unused`` counts the events of no share, ``tally`` what the reader did to
    events, ``skipped`` what it had to leave out. All counts are those of the team.
    """

    parts: Parts
    cells: Cells
    order: Mapping[str, Any]
    kept: Mapping[str, Sequence[Events]] | None
    sound: Sequence[Part] = ()
    everywhere: Sequence[Part] = ()
    unused: int = 0
    tally: Mapping[str, int] = field(default_factory=dict)
    skipped: Sequence[Skipped] = ()

    def whole(self) -> Shares:
        """Return the events of the whole team, for the process that scores them."""
        return self if team.size() == 1 else replace(self, kept=None, sound=self.everywhere)

    def chunks(self, share: str) -> Iterator[Events]:
        """Yield the events of a share, in the order of the data."""
        if self.kept is not None:
            yield from self.kept[share]
            return
        for part in self.sound:
            yield from self.chunks_of(share, part)

    def chunks_of(self, share: str, part: Part) -> Iterator[Events]:
        """Yield the events of a share from one part, read anew."""

        def of_share(found: tuple[Part, Events]) -> Events:
            return found[1].mask(membership(found[1], self.parts.recipe.split) == SHARES.index(share))

        # A map holds no chunk while it waits, as a loop's variable would.
        return filter(len, map(of_share, read_parts(self.parts.reader, [part])))

    def total(self, share: str, classes: Collection[int] | None = None, category: str | None = None) -> Cell:
        """Return the counts of a share, of some of its classes, of one of its categories."""
        chosen = [
            cell
            for (name, index, label), cell in self.cells.items()
            if name == share and (classes is None or index in classes) and category in (None, label)
        ]
        return sum(chosen, Cell())

    def background(self) -> set[int]:
        """Return the class indices that are background; -1 stands for events without a label."""
        recipe, classes = self.parts.recipe, self.parts.schema.classes
        if not recipe.background:
            return {-1, *range(len(classes))}
        return {classes.index(name) for name in recipe.background}

    def trained(self) -> set[int] | None:
        """Return the class indices that may train, None for all."""
        return None if self.parts.recipe.train.on == "all" else self.background()

    def categories(self, shares: Collection[str], classes: Collection[int] | None) -> tuple[str, ...]:
        """Return the category labels in these shares and classes, in the order of their values.

        Raises InputError for a category that is missing.
        """
        found = {
            label for share, index, label in self.cells if share in shares and (classes is None or index in classes)
        }
        per = self.parts.recipe.train.per
        if not MISSING.isdisjoint(found):
            raise InputError(f"train.per: column {per!r} is missing in some events; a category needs a value in each")
        return tuple(label for label in self.order if label in found)


def memory_bytes(recipe: Recipe) -> int:
    """Return the memory that the events may take in this process, in bytes; processes of one machine share it."""
    if recipe.memory is None:
        return int(psutil.virtual_memory().total // 4 // team.neighbours())
    number, unit = recipe.memory[:-2], recipe.memory[-2:]
    return int(float(number) * {"MB": 10**6, "GB": 10**9}[unit] / team.neighbours())


@blame()
def read(parts: Parts, memory: int, watch: Callable[[int], None] = lambda events: None) -> Shares:
    """Read everything once: count it, and keep it where it fits into its part of ``memory`` bytes.

    In a team each process reads its own parts, and all know the counts of all. ``watch`` is told how many events were
    read so far. Raises InputError for weights that are not finite, and where there are no events.
    """
    listed = parts.reader.parts()
    if len(listed) < team.size():
        raise InputError(f"the data have {len(listed)} parts, too few for {team.size()} processes; start fewer")
    kept: dict[str, list[Events]] | None = {share: [] for share in SHARES}
    counted = _Counted()
    held = 0
    for part, chunk in read_parts(parts.reader, listed[team.rank() :: team.size()], counted.skipped):
        returned.read(parts.reader, chunk, parts.schema)
        if not np.isfinite(chunk.weight).all():
            raise InputError(f"{part.file}: a weight is missing or infinite; give each event a finite weight")
        share = membership(chunk, parts.recipe.split)
        counted.add(part, chunk, share, parts)
        held += size(chunk)
        kept = None if held > KEPT * memory else kept
        for index, name in enumerate(SHARES):
            if kept is not None and (share == index).any():
                kept[name].append(chunk.mask(share == index))
        watch(counted.read)
    found = team.gather(counted)
    whole = reduce(_Counted.merged, found)
    if whole.read == 0:
        raise InputError("there are no events in the data" + _why(whole.tally, whole.skipped))
    order = sorted(whole.values, key=lambda label: (whole.values[label] != whole.values[label], whole.values[label]))
    return Shares(
        parts,
        whole.cells,
        {label: whole.values[label] for label in order},
        kept,
        tuple(counted.sound),
        tuple(part for part in listed if part in whole.sound),
        whole.unused,
        dict(whole.tally),
        tuple(whole.skipped),
    )


@dataclass
class _Counted:
    """What a process counts while it reads."""

    cells: dict[tuple[str, int, str], Cell] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    tally: Counter[str] = field(default_factory=Counter)
    skipped: list[Skipped] = field(default_factory=list)
    sound: dict[Part, None] = field(default_factory=dict)
    read: int = 0
    unused: int = 0

    def add(self, part: Part, chunk: Events, share: Int[np.ndarray, " event"], parts: Parts) -> None:
        """Count a chunk."""
        for key, cell in _cells(chunk, share, parts, self.values):
            self.cells[key] = self.cells.get(key, Cell()) + cell
        self.sound[part] = None
        self.tally.update(chunk.tally)
        self.read, self.unused = self.read + len(chunk), self.unused + int((share < 0).sum())

    def merged(self, other: _Counted) -> _Counted:
        """Return the counts of both."""
        keys = {**self.cells, **other.cells}
        return _Counted(
            {key: self.cells.get(key, Cell()) + other.cells.get(key, Cell()) for key in keys},
            {**self.values, **other.values},
            self.tally + other.tally,
            [*self.skipped, *other.skipped],
            {**self.sound, **other.sound},
            self.read + other.read,
            self.unused + other.unused,
        )


def held(parts: Parts, events: Mapping[str, Events], unused: int = 0) -> Shares:
    """Return events that are in memory already, by share."""
    values: dict[str, Any] = {}
    cells: dict[tuple[str, int, str], Cell] = {}
    for name, chunk in events.items():
        cells |= _cells(chunk, np.full(len(chunk), SHARES.index(name)), parts, values)
    kept = {share: [events[share]] if share in events and len(events[share]) else [] for share in SHARES}
    return Shares(parts, cells, dict(sorted(values.items(), key=lambda entry: entry[1])), kept, unused=unused)


def _why(tally: Mapping[str, int], skipped: Sequence[Skipped]) -> str:
    told = [f"{count} {what}" for what, count in tally.items()] + [f"{entry.file} was skipped" for entry in skipped]
    return f" ({'; '.join(told)})" if told else ""


def _cells(
    events: Events, share: np.ndarray, parts: Parts, values: dict[str, Any]
) -> Iterator[tuple[tuple[str, int, str], Cell]]:
    """Yield the counts of a chunk; ``values`` collects the categories' values by label."""
    labels, index, found = category_values(events, parts.recipe.train.per, parts.schema)
    values |= dict(zip(labels, found, strict=True))
    if len(values) > MOST_CATEGORIES:
        per = parts.recipe.train.per
        raise InputError(
            f"train.per: column {per!r} has {len(values)} values and more; {MOST_CATEGORIES} categories are the most"
        )
    classes = len(parts.schema.classes) + 1
    code = (share * classes + events.label + 1) * len(labels) + index
    code, weight = code[share >= 0], events.weight[share >= 0]
    counts = np.bincount(code)
    for each in np.flatnonzero(counts).tolist():
        here = weight[code == each]
        rest, category = divmod(each, len(labels))
        name, label = divmod(rest, classes)
        cell = Cell(len(here), float(here.sum()), float(np.abs(here).sum()), int((here < 0).sum()))
        yield (SHARES[name], label - 1, labels[category]), cell


def counts(shares: Shares) -> dict[str, dict[str, tuple[int, float]]]:
    """Return events and their summed weight by share and class; unlabelled events count as ``unlabelled``."""
    named = [*enumerate(shares.parts.schema.classes), (-1, "unlabelled")]
    return {
        share: {
            name: (cell.events, cell.weight)
            for label, name in named
            for cell in [shares.total(share, {label})]
            if cell.events or label >= 0
        }
        for share in SHARES
    }
