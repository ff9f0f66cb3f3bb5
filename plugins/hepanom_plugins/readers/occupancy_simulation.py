"""Detector occupancy, simulated: maps of counts by lumisection, with dead, hot and shifted channels among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from hepanom.contracts import Reader
from hepanom.events import Events, Input, Schema, hash64
from hepanom_plugins.readers.counts import Normalize, normalized
from hepanom_plugins.readers.simulation import Simulation

BLOCK = 64  # lumisections that share one random stream; part of the definition of the events, like the formulas
BLOCKS_PER_PART = 16
CHUNK_BYTES = 16_000_000
DETECTOR_STREAM = 2**64 - 1  # no block of events has this number
CLASSES = ("good", "dead", "hot", "shifted")
DEAD, HOT, SHIFTED = 1, 2, 3
OUTER = 3.0  # radius of the disk's rim, in units of that of its hole
EDGE = 1.5  # width of the channels at both ends of a module
SPREAD_OF_LUMINOSITY = 0.05
HOT_FACTORS = (1.5, 30.0)
GAIN_CHANGES = (0.03, 0.5)  # absolute logarithms

Shape = tuple[Annotated[int, Field(ge=1, le=512)], Annotated[int, Field(ge=1, le=512)]]


@dataclass(frozen=True)
class OccupancySimulation(Simulation, Reader):
    """Simulated occupancy of a disk of pixel modules or muon chambers, one image per lumisection.

    Rows are rings of radius r = 1 to 3, columns are azimuths phi, in modules of ``module`` channels. u and g are
    uniform and standard normal numbers, i counts the lumisections.

        luminosity   L = exp(-t / fill) / (1 - 1/e) exp(0.05 g), t = i mod fill: it falls to 1/e within a fill, which
                     is a run, and averages 1
        beam spot    at b = beam_offset sin(2 pi i / period) along phi = 0; particles fall off with the distance d from
                     it as 1 / d^2, d^2 = r^2 + b^2 - 2 r b cos phi
        channels     first and last column of a module are 1.5 wide, the others 1; gain exp(gain_spread g), fixed;
                     efficiency of a module 1 + drift sin(2 pi (i / period + u)), u fixed
        counts       Poisson with mean counts L(i) s(i) / <s>, s the product of falloff, width, gain and efficiency,
                     <s> its mean over the channels without drift and beam offset

    The class is dead, hot or shifted with the probabilities ``dead_share``, ``hot_share``, ``shifted_share``. Sizes
    are spread evenly on a logarithmic scale, so that some anomalies are plain and some hardly there:

        dead      a rectangle of 1 to 2 modules' rows and as many columns counts nothing
        hot       one channel, or a row of a module, equally likely, counts 1.5 to 30 times as much
        shifted   the map turned in phi by 1 to a quarter of the columns, to either side, as by a wrong table of
                  channels; or, equally likely, the gain of a sector, of one module to half of the columns, changed by a
                  factor exp(a) or exp(-a), a from 0.03 to 0.5

    ``run`` and ``lumisection`` travel beside, with how many channels are ``affected``, by what ``factor``, and the
    ``shift`` in columns: 0, 1 and 0 for a good one. The mean of a lumisection's channels is made 1 by ``normalize``.

    Lumisection i belongs to block i // 64, and block b is drawn from the counter-based generator Philox with key
    (seed, b): a longer run begins with the events of a shorter one, whatever the chunks and parts. Gains and phases
    come from key (detector, 2^64 - 1): another seed is other data of the same detector. The event id is the hash of
    (i, seed). Another machine or numpy may differ in the last bits.

    References:
        A. A. Pol et al., Detector monitoring with artificial neural networks at the CMS experiment at the CERN Large
        Hadron Collider, 2019, arXiv:1808.00911: occupancy of muon chambers as images.
    """

    block_size: ClassVar[int] = BLOCK
    blocks_per_part: ClassVar[int] = BLOCKS_PER_PART
    name: ClassVar[str] = "occupancy"

    events: Annotated[int, Field(ge=1, description="number of lumisections")] = 4000
    dead_share: Annotated[float, Field(ge=0, le=1, description="probability of dead channels")] = 0.05
    hot_share: Annotated[float, Field(ge=0, le=1, description="probability of hot channels")] = 0.05
    shifted_share: Annotated[float, Field(ge=0, le=1, description="probability of a turned map or changed gain")] = 0.05
    detector: Annotated[int, Field(ge=0, lt=2**63, description="other numbers give detectors with other gains")] = 1
    shape: Annotated[Shape, Field(description="rows (radius) and columns (azimuth) of the map")] = (24, 48)
    module: Annotated[Shape, Field(description="rows and columns of a module; they divide those of the map")] = (8, 8)
    counts: Annotated[float, Field(gt=0, le=1e9, description="mean counts of a channel in a lumisection")] = 100.0
    gain_spread: Annotated[float, Field(ge=0, le=1, description="standard deviation of the channels' log gains")] = 0.1
    beam_offset: Annotated[float, Field(ge=0, le=0.5, description="swing of the beam spot, the hole's radius is 1")] = (
        0.05
    )
    drift: Annotated[float, Field(ge=0, lt=1, description="swing of the modules' efficiencies")] = 0.03
    period: Annotated[float, Field(gt=0, description="period of the drifts in lumisections")] = 2000.0
    fill: Annotated[int, Field(ge=1, description="lumisections of a run")] = 500
    normalize: Normalize = "total"

    def __post_init__(self) -> None:
        """Check that there is room for good lumisections, and that modules fill the map."""
        if sum(self._shares()) > 1:
            raise ValueError(
                f"dead_share, hot_share and shifted_share add up to {sum(self._shares()):g}; make them 1 at most, good "
                "ones are the rest"
            )
        if self.shape[0] % self.module[0] or self.shape[1] % self.module[1]:
            rows, columns = self.shape
            raise ValueError(
                f"modules of {self.module[0]} x {self.module[1]} channels do not fill a map of {rows} x {columns}; "
                "choose divisors"
            )

    def schema(self) -> Schema:
        """Describe the events."""
        image = Input("image", ("occupancy",), ("",), self.shape)
        return Schema({"image": image}, CLASSES, beside=("run", "lumisection", "affected", "factor", "shift"))

    def at_once(self) -> int:
        """Return the lumisections of some 16 MB, whole blocks."""
        return BLOCK * max(1, CHUNK_BYTES // (4 * BLOCK * self.shape[0] * self.shape[1]))

    def _shares(self) -> tuple[float, float, float]:
        return self.dead_share, self.hot_share, self.shifted_share

    def block(self, number: int) -> Events:
        """Draw the events of one block."""
        generator = self.generator(number)
        event = np.arange(number * BLOCK, (number + 1) * BLOCK, dtype=np.int64)
        u_class, *u = generator.random((7, BLOCK))
        label = (np.searchsorted(np.cumsum(self._shares()), u_class, side="right") + 1) % len(CLASSES)
        luminosity = np.exp(-(event % self.fill) / self.fill) / (1 - np.exp(-1))
        luminosity *= np.exp(SPREAD_OF_LUMINOSITY * generator.standard_normal(BLOCK))

        factor, height, width, shift = self._anomalies(label, np.stack(u))
        row, column = (np.floor(generator.random(BLOCK) * side).astype(np.int64) for side in self.shape)
        row = np.minimum(row, self.shape[0] - height)
        rows, columns = (np.arange(side) for side in self.shape)
        high = (rows >= row[:, None]) & (rows < (row + height)[:, None])
        wide = (columns - column[:, None]) % self.shape[1] < width[:, None]
        mean = self.counts * luminosity[:, None, None] * self._map(event)
        mean *= np.where(high[:, :, None] & wide[:, None, :], factor[:, None, None], 1.0)
        turned = (columns - shift[:, None]) % self.shape[1]
        counts = generator.poisson(np.take_along_axis(mean, turned[:, None], axis=2)).astype(np.float32)
        return Events(
            event_id=hash64([event, np.full(BLOCK, self.seed, np.int64)]),
            inputs={"image": normalized(counts[:, None], self.normalize)},
            weight=np.ones(BLOCK),
            label=label,
            category=np.zeros(BLOCK, np.int64),
            beside={
                "run": event // self.fill + 1,
                "lumisection": event % self.fill + 1,
                "affected": np.where(shift != 0, rows.size * columns.size, height * width),
                "factor": factor,
                "shift": shift,
            },
        )

    def _anomalies(
        self, label: Int[np.ndarray, " event"], u: Float[np.ndarray, "number event"]
    ) -> tuple[
        Float[np.ndarray, " event"], Int[np.ndarray, " event"], Int[np.ndarray, " event"], Int[np.ndarray, " event"]
    ]:
        """Return a factor on the mean counts, height and width of the rectangle that has it, and the turn in columns.

        ``u`` are six uniform numbers per event: what kind, sign, factor, height, width, turn.
        """
        rows, columns = self.shape
        most = (min(2 * self.module[0], rows), min(2 * self.module[1], columns))
        one, positive = u[0] < 0.5, u[1] < 0.5
        strip = np.where(one, 1, self.module[1])
        turn = (label == SHIFTED) & one
        sector = (label == SHIFTED) & ~one
        change = _between(*GAIN_CHANGES, u[2])
        kinds = [label == DEAD, label == HOT, sector]
        factor = np.select(
            kinds, [np.zeros(BLOCK), _between(*HOT_FACTORS, u[2]), np.exp(np.where(positive, change, -change))], 1.0
        )
        height = np.select(kinds, [_whole(1, most[0], u[3]), np.ones(BLOCK, int), np.full(BLOCK, rows)], 0)
        half = max(self.module[1], columns // 2)
        width = np.select(kinds, [_whole(1, most[1], u[4]), strip, _whole(self.module[1], half, u[4])], 0)
        shift = np.where(turn, np.where(positive, 1, -1) * _whole(1, max(1, columns // 4), u[5]), 0)
        return factor, height, width, shift

    def _map(self, number: Int[np.ndarray, " event"]) -> Float[np.ndarray, "event row column"]:
        """Return the expected occupancy of good lumisections at luminosity 1, in units of the mean channel's."""
        rows, columns = self.shape
        generator = np.random.Generator(np.random.Philox(key=np.array([self.detector, DETECTOR_STREAM], np.uint64)))
        modules = (rows // self.module[0], columns // self.module[1])
        gain = np.exp(self.gain_spread * generator.standard_normal(self.shape))
        phase = generator.random(modules)
        radius = (1 + (OUTER - 1) * (np.arange(rows) + 0.5) / rows)[:, None]
        azimuth = 2 * np.pi * (np.arange(columns) + 0.5) / columns
        place = np.arange(columns) % self.module[1]
        fixed = np.where((place == 0) | (place == self.module[1] - 1), EDGE, 1.0) * gain
        time = number[:, None, None] / self.period
        beam = self.beam_offset * np.sin(2 * np.pi * time)
        distance2 = radius**2 + beam**2 - 2 * radius * beam * np.cos(azimuth)
        efficiency = 1 + self.drift * np.sin(2 * np.pi * (time + phase))
        efficiency = efficiency.repeat(self.module[0], axis=1).repeat(self.module[1], axis=2)
        expected: Float[np.ndarray, "event row column"] = fixed / distance2 * efficiency / (fixed / radius**2).mean()
        return expected


def _between(low: float, high: float, u: Float[np.ndarray, " event"]) -> Float[np.ndarray, " event"]:
    """Turn uniform numbers into ones whose logarithms are uniform between two ends."""
    return np.asarray(low * np.exp(u * np.log(high / low)))


def _whole(low: int, high: int, u: Float[np.ndarray, " event"]) -> Int[np.ndarray, " event"]:
    """Turn uniform numbers into whole ones from ``low`` to ``high``, roughly even on a logarithmic scale."""
    return np.asarray(np.minimum(np.floor(_between(float(low), high + 1.0, u)).astype(np.int64), high))
