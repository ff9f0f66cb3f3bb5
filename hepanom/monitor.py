"""Are new events what the detector was trained on? Every run, lumisection or file against the detector's reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from hepanom import returned
from hepanom.blame import blame
from hepanom.contracts import Part
from hepanom.detector import Detector, columns_of, decision, flags, score
from hepanom.drift import Binned
from hepanom.errors import InputError
from hepanom.events import Events
from hepanom.monitored import QUANTILES, Asked, Flagged, Group, Monitored, Taken, compared, flagged_share, judged
from hepanom.other_files import reader_of
from hepanom.output import flag_of
from hepanom.reference_sample import Axis, Met, Reference, columns, matrix, measure, refuse_negative, watched
from hepanom.result import Skipped
from hepanom.shares import Shares
from hepanom.stream import label_of, named_column, read_parts, rule_weight, weighed, with_category

SECTIONS = ("luminosityBlock", "lumisection", "lumiBlock", "ls")  # numbers that begin anew in every run
NUMBERS = 2**22  # at once
MOST_BYTES = 10**9  # of the histograms of all groups
MISSING = float("nan")  # one object, so that events without a value are one group

Name = tuple[Any, ...]


@dataclass
class _Sums:
    """What is summed up of a group: its histograms, one after the other, and what each flag took of each category.

    ``taken`` holds events, their weight and its squares, then the same of the flagged ones.
    """

    events: int
    weight: Float[np.ndarray, " bin"]
    squares: Float[np.ndarray, " bin"]
    taken: Float[np.ndarray, "flag category sum"]


@dataclass(frozen=True)
class _Known:
    """What is known before any event is read: flags as (scorer, rule), and each axis with where its bins begin."""

    detector: Detector
    reference: Reference
    per: tuple[str, ...]
    flags: tuple[tuple[str, str], ...]
    listed: Sequence[tuple[str, str]]
    axes: Mapping[tuple[str, str, str], tuple[Axis, int]]
    bins: int


@blame()
def monitor(
    detector: Detector, files: Sequence[str], asked: Asked, watch: Callable[[int], None] = lambda _: None
) -> Monitored:
    """Compare every group of events of the files with the detector's reference, chunk by chunk.

    A group's flagged share is compared with the background efficiency of the cut (``drift.surprise``), its scores, by
    category, and its columns with the reference by a weighted Kolmogorov-Smirnov test, or by chi2 where a column has
    few values. All p-values are corrected for their number, so that events like the reference give an alarm with a
    probability of at most ``asked.level``. Raises InputError for a detector without reference, for files that it cannot
    read, an unknown flag or column, and no events.
    """
    known = _known(detector, asked)
    found: dict[Name, _Sums] = {}
    skipped: list[Skipped] = []
    seen = 0
    for part, met in _scored(detector, files, skipped):
        for name, here in _groups(known.per, met.events, part, detector):
            if name not in found:
                found[name] = _empty(known, len(found))
            _add(known, found[name], met, here)
        watch(seen := seen + len(met.weight))
    if not found:
        raise InputError(f"{', '.join(files)}: there are no events in these files")
    groups, alarms = judged([_group(known, name, found[name]) for name in sorted(found, key=_order)], asked)
    held = [(axis, each) for axis, each in known.reference.items() if axis.kind == "score"]
    normal = {(axis.name, axis.category): axis.quantiles(each, QUANTILES) for axis, each in held}
    told = replace(asked, per=known.per, flagged=tuple("/".join(each) for each in known.flags))
    return Monitored(tuple(files), told, groups, alarms, normal, known.reference.about, tuple(skipped))


def with_reference(detector: Detector, shares: Shares) -> Detector:
    """Return the detector with its held-out background as reference, which is what its thresholds were set on."""
    share = "valid" if shares.parts.recipe.split.calibrate == 0 else "calibrate"
    about = {"share": share, "created": detector.provenance.get("created", "")}
    return replace(detector, reference=_reference(detector, shares.chunks(share), about))


def reference_from(detector: Detector, files: Sequence[str]) -> Reference:
    """Return a reference made of other events: of the background, where they have labels."""
    reader = reader_of(detector, files)
    chunks = (chunk for _, chunk in read_parts(reader, reader.parts()))
    about = {"files": list(files), "created": datetime.now(UTC).isoformat(timespec="seconds")}
    return _reference(detector, chunks, about)


def _reference(detector: Detector, chunks: Iterator[Events], about: Mapping[str, Any]) -> Reference:
    recipe, schema = detector.parts.recipe, detector.parts.schema
    background = [-1, *(schema.classes.index(name) for name in recipe.background)]
    kept = (chunk.mask(np.isin(chunk.label, background)) if recipe.background else chunk for chunk in chunks)
    met = (_met(detector, chunk) for chunk in kept if len(chunk))
    return measure(met, schema, detector.categories, about, recipe.seed)


def _met(detector: Detector, chunk: Events) -> Met:
    recipe = detector.parts.recipe
    events = with_category(chunk, recipe.train.per, detector.categories, detector.parts.schema)
    decided = decision(detector, score(detector, events), events.category)
    return Met(events, decided, weighed(events.weight, recipe.train.weighted or True))


def _scored(detector: Detector, files: Sequence[str], skipped: list[Skipped]) -> Iterator[tuple[Part, Met]]:
    reader = reader_of(detector, files)
    for part, chunk in read_parts(reader, reader.parts(), skipped):
        returned.read(reader, chunk, replace(detector.parts.schema, beside=()))
        if len(chunk):
            met = _met(detector, chunk)
            refuse_negative(met.weight, part.file)
            yield part, met


def _known(detector: Detector, asked: Asked) -> _Known:
    reference = detector.reference
    if reference is None:
        raise InputError(
            "the detector has no reference to compare with, it was trained before there were any; --reference FILE "
            "makes one of good events, and with --keep it stays with the detector"
        )
    schema, per = detector.parts.schema, asked.per
    if not per:
        per = ("run",) if "run" in schema.beside else ("file",)
    elif any(name in SECTIONS for name in per) and "run" in schema.beside and "run" not in per:
        per = ("run", *per)
    chosen = [flag_of(detector, name, "--flagged") for name in asked.flagged]
    if not chosen and detector.thresholds:
        chosen = [f"{detector.thresholds[0].scorer}/{detector.thresholds[0].name}"]
    pairs = [(scorer, rule) for scorer, _, rule in (name.partition("/") for name in dict.fromkeys(chosen))]
    cuts = tuple(entry for entry in detector.thresholds if (entry.scorer, entry.name) in pairs)
    detector = replace(detector, thresholds=cuts)  # what other cuts depend on is not asked for
    starts = np.cumsum([0, *(axis.bins for axis in reference.axes)]).tolist()
    where = {axis.key: (axis, start) for axis, start in zip(reference.axes, starts, strict=False)}
    return _Known(detector, reference, per, tuple(pairs), columns(schema), where, starts[-1])


def _empty(known: _Known, groups: int) -> _Sums:
    if (groups + 1) * 16 * known.bins > MOST_BYTES:
        raise InputError(
            f"--per {' --per '.join(known.per)} gives more than {groups} groups, whose histograms need more than 1 GB; "
            "choose larger groups, such as --per run, or fewer files at a time"
        )
    taken = np.zeros((len(known.flags), len(known.detector.categories), 6))
    return _Sums(0, np.zeros(known.bins), np.zeros(known.bins), taken)


def _groups(
    per: Sequence[str], events: Events, part: Part, detector: Detector
) -> Iterator[tuple[Name, Bool[np.ndarray, " event"]]]:
    """Yield the groups of a chunk, each with the events that belong to it."""
    names = [np.full(len(events), part.file) if each == "file" else _column(events, each, detector) for each in per]
    values, codes = zip(*(np.unique(column, return_inverse=True) for column in names), strict=True)
    sizes = tuple(map(len, values))
    code = np.ravel_multi_index(codes, sizes)
    for each in np.unique(code).tolist():
        index = np.unravel_index(each, sizes)
        yield tuple(_value(column[place]) for column, place in zip(values, index, strict=True)), code == each


def _value(found: Any) -> Any:
    value = found.item()
    return MISSING if isinstance(value, float) and math.isnan(value) else value


def _order(name: Name) -> list[tuple[bool, Any]]:
    """Return what sorts groups: by their values, missing ones last."""
    return [(value is MISSING, value) for value in name]


def _column(events: Events, name: str, detector: Detector) -> np.ndarray:
    try:
        return named_column(events, name, detector.parts.schema)
    except InputError as error:
        known = ", ".join(["file", *events.beside])
        raise InputError(f"--per {name}: {error}; these events can be grouped by {known}, or by a feature") from error


def _add(known: _Known, sums: _Sums, met: Met, here: Bool[np.ndarray, " event"]) -> None:
    """Add the events of a chunk that belong to a group."""
    at_once = max(1, NUMBERS // (len(known.listed) + 1))
    chosen = np.flatnonzero(here)
    sums.events += len(chosen)
    for start in range(0, len(chosen), at_once):
        rows = np.zeros(len(here), bool)
        rows[chosen[start : start + at_once]] = True
        decided = {scorer: values[rows] for scorer, values in met.decided.items()}
        some = Met(met.events.mask(rows), decided, met.weight[rows])
        _add_values(known, sums, some)
        _add_flags(known, sums, some)


def _add_values(known: _Known, sums: _Sums, met: Met) -> None:
    values, categories = matrix(met.events, known.detector.parts.schema), known.detector.categories
    for bare, whose, column in watched(known.listed, categories, met.events.category, values, met.decided):
        if bare.key in known.axes:  # a category that the reference lacks has no scores to compare with
            axis, first = known.axes[bare.key]
            place, weight = axis.place(column[whose]), met.weight[whose]
            sums.weight[first : first + axis.bins] += np.bincount(place, weight, axis.bins)
            sums.squares[first : first + axis.bins] += np.bincount(place, weight**2, axis.bins)


def _add_flags(known: _Known, sums: _Sums, met: Met) -> None:
    detector, category = known.detector, met.events.category
    cut_by = columns_of(detector, met.events) if known.flags else {}
    for (scorer, rule), taken in zip(known.flags, sums.taken, strict=True):
        flag = flags(detector, met.decided[scorer], category, cut_by, scorer, rule, detector.decides)
        weight = _rule_weight(detector, met.events, rule)
        for start, rows in ((0, np.ones(len(flag), bool)), (3, flag)):
            for place, each in enumerate((np.ones(len(flag)), weight, weight**2)):
                taken[:, start + place] += np.bincount(category[rows], each[rows], len(taken))


def _rule_weight(detector: Detector, events: Events, rule: str) -> Float[np.ndarray, " event"]:
    """Return the weights that a threshold counts with: as its rule in the recipe says, or as it was set later."""
    recipe = detector.parts.recipe
    known = {each.label: rule_weight(recipe, each) for each in recipe.thresholds}
    known |= {name: found.weighted for name, found in detector.origins.items()}
    return weighed(events.weight, known[rule])


def _group(known: _Known, name: Name, sums: _Sums) -> Group:
    held = {}
    for key, (axis, first) in known.axes.items():
        bins = slice(first, first + axis.bins)
        held[key] = Binned(sums.weight[bins], sums.squares[bins])
    called = ", ".join(
        value if each == "file" else f"{each} {'missing' if value is MISSING else label_of(value)}"
        for each, value in zip(known.per, name, strict=True)
    )
    return compared(called, sums.events, held, known.reference, list(_flagged(known, sums)))


def _flagged(known: _Known, sums: _Sums) -> Iterator[Flagged]:
    detector = known.detector
    there = {axis.key: held.effective for axis, held in known.reference.items()}
    for (scorer, rule), taken in zip(known.flags, sums.taken, strict=True):
        for label, each in zip(detector.categories, taken.tolist(), strict=True):
            if each[0]:
                cut = detector.cuts(scorer, rule, detector.decides)[label]
                found = Taken(int(each[0]), each[1], each[2], int(each[3]), each[4], each[5])
                yield flagged_share(cut, found, there.get(("score", scorer, label), 0.0))
