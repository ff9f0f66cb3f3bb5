"""A reader that keeps what it promises, and others like it that break one promise each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as lenient

from hepanom.contracts import Part, Reader
from hepanom.events import Events, Input, Schema, hash64
from hepanom.hookspecs import Offers, hookimpl

READ: list[Part] = []  # by Forgetful, which minds what was read before


@dataclass(frozen=True)
class Pulses(Reader):
    """Charge and time of made-up pulses."""

    events: Annotated[int, Field(ge=2, description="number of events")] = 20

    def schema(self) -> Schema:
        return Schema({"pulses": Input("table", ("charge", "time"), ("", "ns"))}, ("noise", "pulse"), beside=("entry",))

    def parts(self) -> Sequence[Part]:
        half = self.events // 2
        return [Part("made up", 0, half), Part("made up", half, self.events)]

    def read(self, part: Part) -> Iterator[Events]:
        entry = np.arange(part.start, part.stop)
        yield Events(
            event_id=hash64([entry]),
            inputs={"pulses": np.stack([entry, entry**2], 1).astype(np.float32)},
            weight=np.ones(len(entry)),
            label=entry % 2,
            category=np.zeros(len(entry), np.int64),
            beside={"entry": entry},
        )

    def on(self, files: Sequence[str]) -> Reader:
        return self


@dataclass(frozen=True)
class Mute(Pulses):
    """Charge and time of made-up pulses."""

    silent: int = 1


@dataclass(frozen=True)
class Undocumented(Pulses):
    events: Annotated[int, Field(description="number of events")] = 20


@dataclass(frozen=True)
class Stateless:
    """Charge and time of made-up pulses, by a class that inherits nothing."""

    events: Annotated[int, Field(description="number of events")] = 20
    schema, parts, read = Pulses.schema, Pulses.parts, Pulses.read


@lenient(frozen=True)
class Lenient(Pulses):
    """Charge and time of made-up pulses, whatever else a recipe says."""


@dataclass(frozen=True)
class Crashing(Pulses):
    """Charge and time of made-up pulses, within limits that nobody checks."""

    limits: Annotated[Any, Field(description="lowest and highest charge")] = (0, 1)

    def __post_init__(self) -> None:
        assert self.limits[0] < self.limits[1]


@dataclass(frozen=True, kw_only=True)
class Wanting(Pulses):
    """Charge and time of pulses in a file."""

    path: Annotated[str, Field(description="the file")]


class Labelled(Pulses):
    """Charge and time of made-up pulses, with more labels than classes."""

    def read(self, part: Part) -> Iterator[Events]:
        for events in super().read(part):
            yield replace(events, label=events.label + 2)


class Forgetful(Pulses):
    """Charge and time of made-up pulses, which go on where the last ones ended."""

    def read(self, part: Part) -> Iterator[Events]:
        READ.append(part)
        for events in super().read(part):
            yield replace(events, inputs={"pulses": events.inputs["pulses"] + np.float32(len(READ))})


class Single(Pulses):
    """Charge and time of made-up pulses, all in one part."""

    def parts(self) -> Sequence[Part]:
        return [Part("made up", 0, self.events)]


class Repeating(Pulses):
    """Charge and time of made-up pulses, counted from 0 in each part."""

    def read(self, part: Part) -> Iterator[Events]:
        for events in super().read(part):
            yield replace(events, event_id=hash64([np.arange(len(events))]))


@hookimpl
def readers() -> Offers:
    return {
        "pulses": Pulses,
        "mute": Mute,
        "undocumented": Undocumented,
        "stateless": Stateless,
        "lenient": Lenient,
        "crashing": Crashing,
        "wanting": Wanting,
        "labelled": Labelled,
        "forgetful": Forgetful,
        "single": Single,
        "repeating": Repeating,
    }
