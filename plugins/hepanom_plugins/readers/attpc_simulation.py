"""The AT-TPC, simulated: protons, carbon nuclei and noise in an active-target time projection chamber."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field

from hepanom.contracts import Reader
from hepanom.events import Events, Input, Schema, hash64
from hepanom_plugins.readers.attpc_detector import LENGTH, RADIUS, W_VALUE, Chamber, Clouds
from hepanom_plugins.readers.attpc_physics import (
    ARGON46,
    CARBON,
    PROTON,
    Ion,
    Slowing,
    elastic_recoil,
    isobutane,
    slowing,
    transport,
)
from hepanom_plugins.readers.simulation import Simulation

BLOCK = 512  # events that share one random stream; part of the definition of the events, like the formulas
BLOCKS_PER_PART = 4  # half a second of simulation
CLASSES = ("proton", "carbon", "noise")
ANGLES = {PROTON: (20.0, 160.0), CARBON: (10.0, 45.0)}  # of scattering in the centre of mass, in degrees
IONS = (PROTON, CARBON)  # the classes that are tracks
SLOWEST_BEAM = 0.5  # MeV per nucleon
BEAM_SPOT = 3.0  # mm
NOISE_CHARGE = 60.0  # mean electrons of a noise hit
COLUMNS = {"x": "mm", "y": "mm", "z": "mm", "charge": "ADC"}


@dataclass(frozen=True)
class ATTPCSimulation(Simulation, Reader):
    """Simulated point clouds of 46Ar(p, p') in the AT-TPC: protons, carbon nuclei, and triggers on noise alone.

    The chamber is a cylinder of isobutane, 1 m long and 275 mm in radius, that is target and detector in one. z is the
    distance from the pads, along which electrons drift; the magnetic field and the beam axis lie in the y-z plane,
    ``tilt`` degrees from z. u and g are uniform and standard normal numbers.

        class        carbon where u < carbon_share, then noise with noise_share, else proton
        beam         46Ar enters at x = y = 0, z = 1000 mm against the field, with beam_energy per nucleon, and slows
                     down in the gas
        vertex       uniform on the beam axis, as far as the beam has 0.5 MeV per nucleon; x and y spread by 3 mm g
        kinematics   elastic scattering of 46Ar on p or 12C; angle in the centre of mass uniform in 20 to 160 degrees
                     on p, 10 to 45 on 12C, where larger angles lead to absorption; azimuth uniform
        track        p or 12C with Bethe's energy loss on a helix that tightens, until it stops or leaves the chamber;
                     steps of 1 mm, each with its energy loss over 23 eV electrons; the beam's own track and 46Ar after
                     the scattering, near pads of low gain, are left out
        detector     diffusion, pads, time buckets, gain, electronic noise, threshold
        noise hits   a Poisson number with mean ``noise_hits`` in every event, uniform in the chamber, with an
                     exponential number of electrons, 60 on average
        noise event  exp(3.5 + 2.5 u) further such hits; each hit of these events is with probability 1/2 in one of two
                     bursts of pads that fire together: around a point uniform in the chamber, by 40 mm g in x and y
                     and 5 mm g in z

    The formulas stand with ``elastic_recoil``, ``stopping_power`` and ``transport`` in attpc_physics.py, and with
    ``Chamber`` in attpc_detector.py. Points are (x, y, z, charge); the charge is in ADC channels, 4096 for 120 fC
    behind the gas gain. Events without any point are possible.

    Event i belongs to block i // 512, and block b is drawn from the counter-based generator Philox with key (seed, b):
    a longer run begins with the events of a shorter one, whatever the chunks and parts. The event id is the hash of
    (i, seed). Another machine or numpy may differ in the last bits.

    References:
        J. Bradt et al., Commissioning of the Active-Target Time Projection Chamber, Nucl. Instrum. Meth. A 875 (2017)
        65, doi:10.1016/j.nima.2017.09.013: the chamber and its settings.
        J. Bradt, Measurement of isobaric analogue resonances of 47Ar with the AT-TPC, PhD thesis, Michigan State
        University 2017: the experiment.
        M. Kuchera et al., Machine learning methods for track classification in the AT-TPC, Nucl. Instrum. Meth. A 940
        (2019) 156, arXiv:1810.10350: proton, carbon and noise as classes.
    """

    block_size: ClassVar[int] = BLOCK
    blocks_per_part: ClassVar[int] = BLOCKS_PER_PART
    name: ClassVar[str] = "attpc"

    events: Annotated[int, Field(ge=1, description="number of events")] = 4000
    carbon_share: Annotated[float, Field(ge=0, le=1, description="probability that an event is carbon")] = 0.2
    noise_share: Annotated[float, Field(ge=0, le=1, description="probability that an event is noise alone")] = 0.2
    beam_energy: Annotated[float, Field(ge=1, le=10, description="energy per nucleon of 46Ar at the entrance, MeV")] = (
        4.17
    )
    pressure: Annotated[float, Field(gt=0, le=760, description="pressure of isobutane at 293 K in torr")] = 19.2
    field: Annotated[float, Field(ge=0, le=5, description="magnetic field in tesla")] = 1.68
    tilt: Annotated[float, Field(ge=0, le=15, description="angle between chamber and beam axis in degrees")] = 6.2
    drift_velocity: Annotated[float, Field(ge=10, le=200, description="of electrons in mm/us")] = 52.0
    pad: Annotated[float, Field(ge=1, le=50, description="side of a pad in mm")] = 5.0
    gain: Annotated[float, Field(gt=0, description="electrons in the avalanche of one electron")] = 500.0
    threshold: Annotated[float, Field(ge=0, description="least charge of a point in ADC channels")] = 30.0
    electronic_noise: Annotated[float, Field(ge=0, description="its standard deviation in ADC channels")] = 6.0
    noise_hits: Annotated[float, Field(ge=0, le=1000, description="mean number of noise hits in every event")] = 5.0
    chunk: Annotated[int, Field(ge=1, description="most events that are handed over at once")] = 2048

    def __post_init__(self) -> None:
        """Check that there is room for protons."""
        if self.carbon_share + self.noise_share > 1:
            raise ValueError(
                f"carbon_share and noise_share add up to {self.carbon_share + self.noise_share:g}; "
                "make them 1 at most, protons are the rest"
            )

    def schema(self) -> Schema:
        """Describe the events."""
        cloud = Input("points", tuple(COLUMNS), tuple(COLUMNS.values()))
        return Schema({"points": cloud}, classes=CLASSES, beside=("event",))

    def at_once(self) -> int:
        """Return the most events of a chunk."""
        return self.chunk

    def block(self, number: int) -> Events:
        """Draw the events of one block."""
        generator = self.generator(number)
        u = generator.random(BLOCK)
        label = np.where(u < self.carbon_share, 1, np.where(u < self.carbon_share + self.noise_share, 2, 0))
        chamber = Chamber(
            drift_velocity=self.drift_velocity,
            pad=self.pad,
            gain=self.gain,
            noise=self.electronic_noise,
            threshold=self.threshold,
            field=self.field,
        )
        tracks = [self._tracks(ion, np.flatnonzero(label == index), generator) for index, ion in enumerate(IONS)]
        clouds = [*(chamber.drift(track, generator) for track in tracks), self._noise(label == 2, generator)]
        joined = Clouds(*(np.concatenate(column, axis=-1) for column in zip(*clouds, strict=True)))
        event = np.arange(number * BLOCK, (number + 1) * BLOCK, dtype=np.int64)
        return Events(
            event_id=hash64([event, np.full(BLOCK, self.seed, np.int64)]),
            inputs={"points": chamber.points(joined, BLOCK, generator)},
            weight=np.ones(BLOCK),
            label=label,
            category=np.zeros(BLOCK, np.int64),
            beside={"event": event},
        )

    def _tracks(self, ion: Ion, event: Int[np.ndarray, " event"], generator: np.random.Generator) -> Clouds:
        """Return the electrons along the tracks of nuclei that the beam scattered on, one in each of the events."""
        gas = isobutane(self.pressure)
        axis = np.array([0.0, np.sin(np.radians(self.tilt)), np.cos(np.radians(self.tilt))])
        start, energy = self._vertices(axis, slowing(ARGON46, gas), len(event), generator)
        u_angle, u_azimuth = generator.random((2, len(event)))
        low, high = np.radians(ANGLES[ion])
        along, across = elastic_recoil(energy, ARGON46, ion, low + u_angle * (high - low))
        momentum = np.hypot(along, across)
        azimuth = 2 * np.pi * u_azimuth
        x, y = np.array([1.0, 0.0, 0.0]), np.cross(axis, [1.0, 0.0, 0.0])
        sideways = x[:, None] * np.cos(azimuth) + y[:, None] * np.sin(azimuth)
        direction = (across * sideways - along * axis[:, None]) / momentum

        # Inside the chamber a helix moves no further than 2 RADIUS across its axis: longer ones have left by the end.
        longest = (start[2] + 2 * RADIUS * axis[1]) / (axis[2] * along / momentum)
        kinetic = np.sqrt(momentum**2 + ion.mass**2) - ion.mass
        track, place, loss = transport(start, direction, kinetic, slowing(ion, gas), self.field * axis, longest)
        outside = (np.hypot(place[0], place[1]) > RADIUS) | (place[2] < 0) | (place[2] > LENGTH)
        left = np.cumsum(outside)
        first = np.searchsorted(track, np.arange(len(event)))
        inside = left == (left[first] - outside[first])[track]  # what has left does not come back
        return Clouds(event[track[inside]], place[:, inside], loss[inside] / W_VALUE)

    def _vertices(
        self, axis: Float[np.ndarray, " coordinate"], beam: Slowing, number: int, generator: np.random.Generator
    ) -> tuple[Float[np.ndarray, "coordinate event"], Float[np.ndarray, " event"]]:
        """Return places in mm where the beam is scattered, and its kinetic energies there in MeV."""
        reach, slow = beam.range(np.array([self.beam_energy, SLOWEST_BEAM]) * 46)
        way = generator.random(number) * min(reach - slow, LENGTH / axis[2])
        start = np.array([[0.0], [0.0], [LENGTH]]) - axis[:, None] * way
        start[:2] += BEAM_SPOT * generator.standard_normal((2, number))
        return start, beam.left(reach - way)

    def _noise(self, alone: Bool[np.ndarray, " event"], generator: np.random.Generator) -> Clouds:
        """Return the noise hits of one block, with many more in the events that are noise alone."""
        more = np.exp(3.5 + 2.5 * generator.random(BLOCK)).astype(np.int64)
        count = generator.poisson(self.noise_hits, BLOCK) + np.where(alone, more, 0)
        event = np.repeat(np.arange(BLOCK), count)
        position = _somewhere(len(event), generator)
        burst = generator.integers(0, 4, len(event))  # 0 and 1 are the bursts, 2 and 3 no burst
        within = np.flatnonzero(alone[event] & (burst < 2))
        centres = _somewhere(2 * BLOCK, generator)
        spread = np.array([[40.0], [40.0], [5.0]]) * generator.standard_normal((3, len(within)))
        position[:, within] = centres[:, 2 * event[within] + burst[within]] + spread
        return Clouds(event, position, generator.exponential(NOISE_CHARGE, len(event)))


def _somewhere(number: int, generator: np.random.Generator) -> Float[np.ndarray, "coordinate point"]:
    """Return points that are uniform in the chamber."""
    u_radius, u_azimuth, u_depth = generator.random((3, number))
    radius, azimuth = RADIUS * np.sqrt(u_radius), 2 * np.pi * u_azimuth
    return np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), LENGTH * u_depth])
