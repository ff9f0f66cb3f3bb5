"""What simulations share: events drawn block by block, so that any part can be made alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, TypeVar

import numpy as np
from pydantic import Field

from hepanom.contracts import Part
from hepanom.errors import InputError
from hepanom.events import Events

S = TypeVar("S", bound="Simulation")


@dataclass(frozen=True)
class Simulation:
    """Options and parts of a simulation, whose subclass draws one block.

    Event i belongs to block i // block_size, which has a random stream of its own: the counter-based generator Philox
    with key (seed, block). The size of a block is part of the definition of the events, like the formulas. ``name`` is
    what stands for the simulation's files.
    """

    block_size: ClassVar[int]
    blocks_per_part: ClassVar[int]
    name: ClassVar[str]

    events: Annotated[int, Field(ge=1, description="number of events")]
    seed: Annotated[int, Field(ge=0, lt=2**63, description="other seeds give other events")] = 1

    def at_once(self) -> int:
        """Return the most events of a chunk."""
        raise TypeError(f"{type(self).__name__} does not define at_once")

    def block(self, number: int) -> Events:
        """Draw the events of one block."""
        raise TypeError(f"{type(self).__name__} does not define block")

    def generator(self, block: int) -> np.random.Generator:
        """Return the random numbers of a block."""
        return np.random.Generator(np.random.Philox(key=np.array([self.seed, block], np.uint64)))

    def parts(self) -> Sequence[Part]:
        """List pieces of some blocks, in order."""
        step = self.blocks_per_part * self.block_size
        return [Part(self.name, start, min(start + step, self.events)) for start in range(0, self.events, step)]

    def read(self, part: Part) -> Iterator[Events]:
        """Yield events ``part.start`` to ``part.stop``, some at once."""
        most = self.at_once()
        stride = max(1, most // self.block_size)
        for first in range(part.start // self.block_size, -(-part.stop // self.block_size), stride):
            last = min(first + stride, -(-part.stop // self.block_size))
            blocks = Events.concat([self.block(number) for number in range(first, last)])
            number = np.arange(first * self.block_size, last * self.block_size)
            for begin in range(max(part.start, first * self.block_size), min(part.stop, last * self.block_size), most):
                yield blocks.mask((number >= begin) & (number < min(begin + most, part.stop)))

    def on(self: S, files: Sequence[str]) -> S:
        """Return the simulation with another seed and size: ``NAME:SEED`` or ``NAME:SEED:EVENTS``.

        Raises InputError otherwise.
        """
        pattern = rf"{self.name}:(\d{{1,18}})(?::([1-9]\d{{0,17}}))?"
        found = re.fullmatch(pattern, files[0], re.ASCII) if len(files) == 1 else None
        if found is None:
            raise InputError(
                f"the simulation {self.name} reads one '{self.name}:SEED' or '{self.name}:SEED:EVENTS', such as "
                f"{self.name}:7:1000, not {', '.join(files)!r}"
            )
        return replace(self, seed=int(found[1]), events=int(found[2] or self.events))
