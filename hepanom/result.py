"""What a run found out: the values that the report draws, the tracker records and the command line prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from hepanom import notebook
from hepanom.against import Against
from hepanom.contracts import Epoch, Guard
from hepanom.evaluate import Number, Scored
from hepanom.events import Schema
from hepanom.flatness import Flatness
from hepanom.learnt import Learnt
from hepanom.plane import Scatter
from hepanom.probe import Probe
from hepanom.thresholds import Threshold


@dataclass(frozen=True)
class Count:
    """A threshold met the test share of its category: what it flagged, and what background alone would have given.

    ``flagged`` of ``events`` are numbers of events; ``seen`` is the weight of the flagged ones and ``expected`` that of
    all times the background efficiency, with its interval (numbers of events where the rule is unweighted).
    """

    threshold: Threshold
    events: int
    flagged: int
    seen: float
    expected: float
    low: float
    high: float


@dataclass(frozen=True)
class Sample:
    """Scores of one share for drawing: the detector's decision score by scorer, one entry per event."""

    scores: Mapping[str, Float[np.ndarray, " event"]]
    category: Int[np.ndarray, " event"]
    anomaly: Int[np.ndarray, " event"]
    weight: Float[np.ndarray, " event"]


@dataclass(frozen=True)
class Strange:
    """One of the most anomalous events: who it is and which features made it so.

    ``features`` lists (name, value in the file's units, unit, share of the score), largest share first; the score is
    that of ``explained_by``, another one where the event's own has no parts. ``typical`` says of some of them what
    held-out background has: its median, and the share of it that lies below the value.
    """

    identity: Mapping[str, str]
    category: str
    truth: str
    weight: float
    score: float
    explained_by: str
    features: Sequence[tuple[str, float, str, float]]
    typical: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Latent:
    """Latent codes of some test events, in two dimensions (the code itself, or its two principal components)."""

    codes: Float[np.ndarray, "event 2"]
    axes: tuple[str, str]
    category: Int[np.ndarray, " event"]
    anomaly: Int[np.ndarray, " event"]


@dataclass(frozen=True)
class Shown:
    """An event that is shown: its category and class, and why, such as ``strangest by reconstruction``.

    ``scorer`` is the score that has a share for every pixel or point; empty, and the shares 0, where none has.
    """

    category: int
    truth: str
    why: str
    scorer: str


@dataclass(frozen=True)
class Picture(Shown):
    """An image as the network saw it and as it gave it back, in the units after the transforms, with its shares."""

    channels: tuple[str, ...]
    pair: Float[np.ndarray, "pair channel row column"]
    share: Float[np.ndarray, "channel row column"]


@dataclass(frozen=True)
class Cloud(Shown):
    """The points of an event as the network saw them, with their shares, and those that it gave back.

    All are in the units after the transforms.
    """

    columns: tuple[str, ...]
    points: Float[np.ndarray, "point column"]
    share: Float[np.ndarray, " point"]
    given: Float[np.ndarray, "other column"]


@dataclass(frozen=True)
class Objects(Shown):
    """Jets, leptons or constituents of an event: transverse momentum, pseudorapidity, azimuth; ``scorer`` is empty."""

    names: tuple[str, ...]
    momenta: Float[np.ndarray, "object 3"]
    unit: str


@dataclass(frozen=True)
class Skipped:
    """A part of the data that was left out because its file is broken; ``events`` were read before the break."""

    file: str
    start: int
    stop: int
    events: int
    why: str


@dataclass(frozen=True, repr=False)
class Result:
    """Everything that one run found out.

    ``counts`` holds (events, summed weight) by share and class, ``unused`` the events that the split leaves out,
    ``dropped`` the columns that each transform took away by category, ``tally`` what reader and transforms did to
    events on the way, ``skipped`` the broken files, ``histories`` the epochs by (category, replica), ``probes`` what
    the latent codes of each category know of the classes, where the recipe asks for that, and ``scatters`` these codes
    in two dimensions; ``pictures`` show some events, ``displays`` some as they stand in the files, ``learnt`` what the
    first network of each category has learnt, ``against`` what scores have to do with other variables.
    ``flatness`` is the efficiency by column of every cut that depends on one.
    ``endings`` says by CATEGORY-REPLICA which trainings a rule stopped or a guard calls collapsed, and ``guards`` are
    the limits of both.
    """

    name: str
    recipe: str
    schema: Schema
    categories: tuple[str, ...]
    background: tuple[str, ...]
    provenance: Mapping[str, object]
    counts: Mapping[str, Mapping[str, tuple[int, float]]]
    unused: int
    dropped: Mapping[str, Mapping[str, Sequence[str]]]
    tally: Mapping[str, int]
    skipped: Sequence[Skipped]
    histories: Mapping[tuple[str, int], Sequence[Epoch]]
    numbers: Mapping[str, Number]
    thresholds: Sequence[Count]
    train: Sample
    test: Sample
    scored: Scored
    latent: Latent | None
    strangest: Mapping[str, Sequence[Strange]]
    probes: Mapping[str, Probe] = field(default_factory=dict)
    scatters: Mapping[str, Scatter] = field(default_factory=dict)
    pictures: Sequence[Picture | Cloud] = ()
    learnt: Mapping[str, Learnt] = field(default_factory=dict)
    flatness: Sequence[Flatness] = ()
    endings: Mapping[str, str] = field(default_factory=dict)
    guards: Sequence[Guard] = ()
    displays: Sequence[Cloud | Objects] = ()
    against: Sequence[Against] = ()

    def __repr__(self) -> str:
        cuts = len(self.thresholds)
        return f"Result {self.name}: {len(self.numbers)} numbers, {cuts} threshold{'s' * (cuts != 1)}"

    def _repr_html_(self) -> str:
        """Return the numbers of the test share with their intervals as a table."""
        rows = [[name, *(f"{x:.4g}" for x in (each.value, each.low, each.high))] for name, each in self.numbers.items()]
        return notebook.table(f"{self.name}: test share", ["number", "value", "low", "high"], rows)
