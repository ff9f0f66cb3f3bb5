"""What monitoring finds: flags, scores and columns of each group of events beside a reference, and what is an alarm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from hepanom.drift import (
    Binned,
    Difference,
    chi_squared,
    holm,
    kolmogorov_smirnov,
    share_interval,
    surprise,
)
from hepanom.efficiency import effective_sizes
from hepanom.reference_sample import Axis, Reference
from hepanom.result import Skipped
from hepanom.thresholds import FIXED, Threshold

Kind = Literal["flagged", "scores", "columns"]
KINDS: tuple[Kind, ...] = ("flagged", "scores", "columns")
USUAL: tuple[Kind, ...] = ("flagged", "scores")
QUANTILES = (0.05, 0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Asked:
    """What is looked for: groups of events, flags, and what is an alarm.

    ``per`` names columns, or the ``file``; ``flagged`` flags as SCORER/RULE or RULE; ``level`` is the probability that
    events like the reference give any alarm in one call, ``effect`` the least distance between distributions that is
    one, ``alarm`` what may give one. A column alone may move for reasons that the detector has learnt, such as a beam
    spot: by default columns give no alarm, but say what is behind those of flags and scores.
    """

    per: tuple[str, ...] = ()
    flagged: tuple[str, ...] = ()
    level: float = 1e-3
    effect: float = 0.1
    alarm: tuple[Kind, ...] = USUAL


@dataclass(frozen=True)
class Flagged:
    """What a cut flags in a group, beside what it flags of held-out background, each with its 68 % interval.

    ``events`` and ``flagged`` are numbers of events, ``share`` is one of weight where the rule is weighted. ``p`` says
    how likely a share as far from the expected one is, ``corrected`` how likely any of all such is.
    """

    scorer: str
    rule: str
    category: str
    events: int
    flagged: int
    share: float
    low: float
    high: float
    expected: float
    expected_low: float
    expected_high: float
    p: float
    corrected: float = 1.0


@dataclass(frozen=True)
class Moved:
    """How a score or column differs from the reference.

    ``effective`` is the effective number of events, ``medians`` are that of the group and that of the reference.
    """

    axis: Axis
    difference: Difference
    effective: float
    medians: tuple[float, float]
    corrected: float = 1.0


@dataclass(frozen=True)
class Group:
    """A run, a lumisection or a file; ``quantiles`` are those of ``QUANTILES`` by scorer and category."""

    name: str
    events: int
    flagged: tuple[Flagged, ...]
    moved: tuple[Moved, ...]
    quantiles: Mapping[tuple[str, str], Sequence[float]]


@dataclass(frozen=True)
class Alarm:
    """Something in a group that events like the reference would rarely show; ``p`` is corrected."""

    kind: Kind
    group: str
    what: str
    p: float


@dataclass(frozen=True)
class Monitored:
    """What was found in all groups.

    ``normal`` are the reference's quantiles by scorer and category, ``about`` says where the reference comes from.
    """

    files: tuple[str, ...]
    asked: Asked
    groups: tuple[Group, ...]
    alarms: tuple[Alarm, ...]
    normal: Mapping[tuple[str, str], Sequence[float]]
    about: Mapping[str, Any]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True)
class Taken:
    """What a flag took of a category's events: numbers of events, sums of weights, and of their squares."""

    events: int
    weight: float
    squares: float
    flagged: int
    flagged_weight: float
    flagged_squares: float


def flagged_share(cut: Threshold, taken: Taken, held_out: float) -> Flagged:
    """Compare a flagged share with the background efficiency of its threshold, itself known from some events alone.

    Those events are told from the efficiency and the effective number above the cut; where none was above, they are
    the ``held_out`` effective events of the reference.
    """
    share, events = 0.0, 0.0
    if taken.weight > 0:
        above = np.array([taken.flagged_weight]), np.array([taken.flagged_squares])
        events = float(effective_sizes(*above, taken.weight, taken.squares)[0])
        share = min(taken.flagged_weight / taken.weight, 1.0)
    known = cut.effective / cut.background_efficiency if cut.background_efficiency > 0 else held_out
    ends = (0.5, 0.5) if cut.rule in FIXED else (1.0, 0.0)
    below = max(known - cut.effective, 0.0) + ends[1]
    p = surprise(share * events, events, (cut.effective + ends[0], max(below, 0.5)))
    names = (cut.scorer, cut.name, cut.category)
    interval = share_interval(share * events, events)
    expected = (cut.background_efficiency, cut.low, cut.high)
    return Flagged(*names, taken.events, taken.flagged, share, *interval, *expected, p)


def moved(axis: Axis, here: Binned, there: Binned) -> Moved:
    """Compare a score or column with the reference: by chi2 where it has few values, else by Kolmogorov-Smirnov."""
    difference = chi_squared(here, there) if axis.few else kolmogorov_smirnov(here, there)
    medians = axis.quantiles(here, [0.5])[0], axis.quantiles(there, [0.5])[0]
    return Moved(axis, difference, here.effective, medians)


def compared(
    name: str, events: int, held: Mapping[tuple[str, str, str], Binned], reference: Reference, flags: Sequence[Flagged]
) -> Group:
    """Return a group beside the reference; ``held`` are its histograms by the axes' keys, empty ones left out."""
    pairs = [(axis, held[axis.key], there) for axis, there in reference.items()]
    quantiles = {(a.name, a.category): a.quantiles(here, QUANTILES) for a, here, _ in pairs if a.kind == "score"}
    return Group(name, events, tuple(flags), tuple(moved(*pair) for pair in pairs if pair[1].effective > 0), quantiles)


def judged(groups: Sequence[Group], asked: Asked) -> tuple[tuple[Group, ...], tuple[Alarm, ...]]:
    """Return the groups with corrected p-values, and the alarms: the smallest p first.

    The p-values of a kind are corrected over all groups, flags and columns by Holm's method, and by the number of kinds
    that may give an alarm.
    """
    flags = [each for group in groups for each in group.flagged]
    all_moved = [each for group in groups for each in group.moved]
    by_kind = {
        "flagged": np.array([each.p for each in flags]),
        "scores": np.array([each.difference.p for each in all_moved if each.axis.kind == "score"]),
        "columns": np.array([each.difference.p for each in all_moved if each.axis.kind == "column"]),
    }
    corrected = {kind: iter(_corrected(p, len(asked.alarm))) for kind, p in by_kind.items()}
    found, alarms = list[Group](), list[Alarm]()
    for group in groups:
        flagged = tuple(replace(each, corrected=next(corrected["flagged"])) for each in group.flagged)
        moving = tuple(
            replace(each, corrected=next(corrected["scores" if each.axis.kind == "score" else "columns"]))
            for each in group.moved
        )
        found.append(replace(group, flagged=flagged, moved=moving))
        alarms += [alarm for alarm in _alarms(found[-1], asked) if alarm.kind in asked.alarm]
    return tuple(found), tuple(sorted(alarms, key=lambda alarm: alarm.p))


def _corrected(p: Float[np.ndarray, " test"], kinds: int) -> list[float]:
    return list(map(float, np.minimum(holm(p) * max(kinds, 1), 1.0)))


def _alarms(group: Group, asked: Asked) -> list[Alarm]:
    """Return everything in a group that is significant and, of a distribution, has moved far enough."""
    found = [
        Alarm("flagged", group.name, f"{each.scorer}/{each.rule}{_of(each.category)}: {_shares(each)}", each.corrected)
        for each in group.flagged
        if each.corrected < asked.level
    ]
    for each in group.moved:
        if each.corrected < asked.level and each.difference.distance >= asked.effect:
            kind: Kind = "scores" if each.axis.kind == "score" else "columns"
            what = f"{each.axis.name}{_of(each.axis.category)}: {_distance(each)}"
            found.append(Alarm(kind, group.name, what, each.corrected))
    return found


def _of(category: str) -> str:
    return "" if category in ("", "all") else f" in category {category}"


def _shares(found: Flagged) -> str:
    return f"{found.share:.3g} flagged, {found.expected:.3g} ({found.expected_low:.3g} to {found.expected_high:.3g})"


def _distance(found: Moved) -> str:
    if found.axis.few:
        return f"distance {found.difference.distance:.2g}"
    here, there = found.medians
    unit = f" {found.axis.unit}" if found.axis.unit else ""
    return f"distance {found.difference.distance:.2g}, median {here:.4g}{unit}, {there:.4g} in the reference"
