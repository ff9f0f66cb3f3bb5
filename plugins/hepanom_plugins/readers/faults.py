"""Faults: what happens to points and events that are no physics, and how many there were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool
from pydantic import Field

from hepanom.errors import InputError, did_you_mean
from hepanom.events import Jagged

Interval = Annotated[tuple[float, float], Field(description="lowest and highest value")]


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Options for what detectors write down besides tracks; all that is done is counted.

    First points outside of ``within`` are left out, then the charges are looked at, then the events: one whose points
    were all left out is empty, too. A charge that is missing counts as one that is not above 0.
    """

    within: Annotated[
        dict[str, Interval],
        Field(description="column -> [low, high]; points outside, or where it is missing, are left out"),
    ] = field(default_factory=dict)
    charge: Annotated[
        Literal["keep", "drop", "clip"],
        Field(description="points whose charge is not above 0: keep them, leave them out, or set the charge to 0"),
    ] = "keep"
    empty: Annotated[
        Literal["keep", "drop"], Field(description="events without points: keep them or leave them out")
    ] = "keep"

    def concerned(self) -> tuple[str, ...]:
        """Return the columns that have to be looked at."""
        return (*self.within, *(() if self.charge == "keep" else ("charge",)))

    def check_columns(self, columns: Sequence[str]) -> None:
        """Raise InputError for a column that the points do not have, and for a range that is upside down."""
        for column, (low, high) in self.within.items():
            if not low < high:
                raise InputError(f"within: {column} from {low:g} to {high:g} holds no point; give the lower end first")
        for column in self.concerned():
            if column not in columns:
                option = "within" if column in self.within else "charge"
                raise InputError(f"{option}: the points have no column {column!r}; {did_you_mean(column, columns)}")

    def mended(
        self, points: Jagged, columns: Sequence[str]
    ) -> tuple[Jagged, Bool[np.ndarray, " event"], Mapping[str, int]]:
        """Return the points without faults, which events stay, and what was done; ``columns`` name the values'."""
        values, offsets = points.values, points.offsets
        tally: dict[str, int] = {}
        stays = np.ones(len(values), bool)
        for column, (low, high) in self.within.items():
            inside = (values[:, columns.index(column)] >= low) & (values[:, columns.index(column)] <= high)
            tally[f"points with {column} outside of {low:g} to {high:g} left out"] = int((stays & ~inside).sum())
            stays &= inside
        if self.charge != "keep":
            bad = stays & ~(values[:, columns.index("charge")] > 0)
            if self.charge == "drop":
                tally["points with charge not above 0 left out"] = int(bad.sum())
                stays &= ~bad
            else:
                tally["charges not above 0 set to 0"] = int(bad.sum())
                values = values.copy()
                values[bad, columns.index("charge")] = 0
        if not stays.all():
            before = np.concatenate([[0], np.cumsum(stays)])
            values, offsets = values[stays], before[offsets]
        full = np.diff(offsets) > 0
        tally[f"events without points {'kept' if self.empty == 'keep' else 'left out'}"] = int((~full).sum())
        events = full if self.empty == "drop" else np.ones(len(full), bool)
        if not events.all():
            offsets = np.concatenate([offsets[:1], offsets[1:][events]])
        return Jagged(values, offsets), events, {what: count for what, count in tally.items() if count}
