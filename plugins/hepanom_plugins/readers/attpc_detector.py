"""What a time projection chamber makes of ionization: drift, diffusion, pads, time buckets, noise and threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Int64

from hepanom.events import Jagged

RADIUS = 275.0  # of the pad plane, in mm
LENGTH = 1000.0  # of the gas volume along the drift, in mm
W_VALUE = 23e-6  # energy in MeV for one electron and ion in isobutane
SPREAD = 0.8  # relative variance of one electron's avalanche (0.5) and the Fano factor (0.3)
DRIFT_FIELD = 9500.0  # V/m
CHARACTERISTIC_ENERGY = 0.1  # of drifting electrons, in eV
CHANNELS_PER_ELECTRON = 4096 * 1.602176634e-19 / 120e-15  # full scale is 4096 channels for 120 fC
SATURATION = 4095.0


class Clouds(NamedTuple):
    """Electrons that stay together: index of the event, place in mm, and their number."""

    event: Int[np.ndarray, " cloud"]
    place: Float[np.ndarray, "coordinate cloud"]
    electrons: Float[np.ndarray, " cloud"]


@dataclass(frozen=True)
class Chamber:
    """The chamber: drift velocity in mm/us, sampling time in ns, side of a pad in mm, electronics in ADC channels.

    Electrons drift along z to the pads at z = 0. On a way z they spread normally with

        sigma_z^2 = 2 epsilon z / (e E),   sigma_x^2 = sigma_y^2 = sigma_z^2 / (1 + (omega tau)^2),
        omega tau = v B / E,

    where epsilon = 0.1 eV is their characteristic energy, E = 9.5 kV/m the field and v the drift velocity: over 1 m
    4.6 mm along and, at 1.68 T, 0.5 mm across. Their shift by E x B is taken as corrected for. Pads are squares, in
    place of 10,240 triangles with the mean area of a square of 4.8 mm. The charge on one pad in one time bucket is one
    point; n electrons give

        q = a n + sqrt(a^2 (F + f) n + noise^2) g,   a = gain e 4096 / 120 fC,

    with the Fano factor F, the relative variance f of one electron's avalanche and a normal number g. What is below the
    threshold is lost, above channel 4095 the converter saturates. The shaping time of the electronics is neglected.

    References:
        W. Blum, W. Riegler, L. Rolandi, Particle Detection with Drift Chambers, Springer 2008, chapters 1 and 2.
        J. Bradt et al., Commissioning of the Active-Target Time Projection Chamber, Nucl. Instrum. Meth. A 875 (2017)
        65, doi:10.1016/j.nima.2017.09.013.
    """

    drift_velocity: float = 52.0
    sampling: float = 80.0
    pad: float = 5.0
    gain: float = 500.0
    noise: float = 6.0
    threshold: float = 30.0
    field: float = 1.68

    @property
    def bucket(self) -> float:
        """The way in mm that electrons drift in one time bucket."""
        return self.drift_velocity * self.sampling * 1e-3

    def drift(self, clouds: Clouds, generator: np.random.Generator) -> Clouds:
        """Return where clouds of electrons seem to come from after diffusion, in which each cloud moves as a whole."""
        sigma_z = np.sqrt(2 * CHARACTERISTIC_ENERGY * 1000 / DRIFT_FIELD * clouds.place[2])
        sigma_x = sigma_z / np.hypot(1, self.drift_velocity * 1000 * self.field / DRIFT_FIELD)
        kick = generator.standard_normal(clouds.place.shape, dtype=np.float32)
        return clouds._replace(place=clouds.place + kick * np.stack([sigma_x, sigma_x, sigma_z]))

    def points(self, clouds: Clouds, events: int, generator: np.random.Generator) -> Jagged:
        """Return the points (x, y, z, charge) that drifted clouds give in each of the events.

        x and y are the middle of the pad, z is the way of drift in whole time buckets, all in mm.
        """
        wide, deep = int(np.ceil(2 * RADIUS / self.pad)), int(LENGTH / self.bucket) + 1
        grid = (events, wide, wide, deep)
        cell = np.stack(
            [
                clouds.event,
                *np.floor((clouds.place[:2] + RADIUS) / self.pad).astype(np.int64),
                np.rint(clouds.place[2] / self.bucket).astype(np.int64),
            ]
        )
        inside = (cell >= 0).all(0) & (cell < np.array(grid)[:, None]).all(0)
        hit, electrons = _sums(np.ravel_multi_index(tuple(cell[:, inside]), grid), clouds.electrons[inside])
        event, column, row, bucket = np.unravel_index(hit, grid)

        per_electron = self.gain * CHANNELS_PER_ELECTRON
        sigma = np.sqrt(per_electron**2 * SPREAD * electrons + self.noise**2)
        charge = per_electron * electrons + sigma * generator.standard_normal(len(electrons))
        x, y = ((index + 0.5) * self.pad - RADIUS for index in (column, row))
        seen = (charge > self.threshold) & (np.hypot(x, y) < RADIUS)
        points = np.stack([x, y, bucket * self.bucket, np.minimum(charge, SATURATION)], axis=1, dtype=np.float32)
        return Jagged(points[seen], np.searchsorted(event[seen], np.arange(events + 1)).astype(np.int64))


def _sums(
    cell: Int64[np.ndarray, " cloud"], electrons: Float[np.ndarray, " cloud"]
) -> tuple[Int64[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """Return the cells that were hit, in order, and the electrons in each."""
    order = np.argsort(cell)
    first = np.flatnonzero(np.diff(cell[order], prepend=-1))
    if not len(first):
        return cell, electrons
    return cell[order[first]], np.add.reduceat(electrons[order], first)
