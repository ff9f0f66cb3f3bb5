"""The toy: simulated dijet events with a resonance hidden in them, for the quickstart and for tests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field

from hepanom.contracts import Reader
from hepanom.events import Events, Input, Schema, hash64
from hepanom_plugins.readers.simulation import Simulation

BLOCK = 8192  # events that share one random stream; part of the definition of the events, like the formulas
BLOCKS_PER_PART = 16
SQRT_S = 13000.0
SLICES = np.array([1500.0, 1800.0, 2300.0, 3000.0, 7000.0])
SIGNAL_WEIGHT = 0.01
UNITS = {
    "m_jj": "GeV",
    "delta_eta": "",
    "m_j1": "GeV",
    "m_j2": "GeV",
    "tau21_1": "",
    "tau21_2": "",
    "n_jets": "",
    "pt_j3": "GeV",
    "m_sv1": "GeV",
}


@dataclass(frozen=True)
class Toy(Simulation, Reader):
    """Simulated dijet events: a falling background of quark and gluon jets, and a resonance as the anomaly.

    u stands for uniform numbers in [0, 1), g for standard normal ones, all independent. Masses and momenta are in GeV.

        class        resonance where u < signal_share, else background
        m_jj         background: dN/dm ~ (1 - x)^9 / x^(5 + 0.1 ln x), x = m / 13000, with equally many events in each
                     of the slices 1500-1800-2300-3000-7000, as generators make them; the weight of a slice is its
                     share of the density over 1/4, so that weights average 1 and undo the slicing.
                     resonance: dN/dm ~ 1 / ((m - mass)^2 + (width / 2)^2) in 1500-7000; weight 0.01
        delta_eta    absolute difference of pseudorapidity: background exp(delta_eta) uniform in [1, exp(1.3)], as for
                     t-channel exchange; resonance tanh(delta_eta / 2) uniform in [0, tanh(0.65)], as for a scalar
        pt           m_jj / (2 cosh(delta_eta / 2)), of both leading jets; not a column
        m_j1, m_j2   jet masses, the heavier first: background ln m = ln(0.12 pt) + 0.4 g; resonance, which decays to
                     objects of 300 and 150 GeV, ln m = ln 300 + 0.08 g and ln 150 + 0.08 g
        tau21_1, _2  1 / (1 + exp(-z)), small for two prongs: background z = 0.5 - ln(m / (0.12 pt)) + 0.5 g, which
                     falls with the jet's mass; resonance z = -0.8 + 0.5 g
        n_jets       2, 3 or 4 with probabilities 0.5, 0.35 and 0.15
        pt_j3        largest of n_jets - 2 values from dN/dpt ~ 1/pt^2 in 30 to pt; missing where n_jets = 2
        m_sv1        mass of the secondary vertex in jet 1: ln m = ln 1.5 + 0.4 g, resonance ln 2.5 + 0.4 g; missing in
                     a random fifth of all events, where no vertex was found

    Event i belongs to block i // 8192, and block b is drawn from the counter-based generator Philox with key (seed, b):
    a longer toy begins with the events of a shorter one, whatever the chunks and parts. The event id is the hash of
    (i, seed). Another machine or numpy may differ in the last bits.

    References:
        G. Kasieczka et al., The LHC Olympics 2020, 2021, arXiv:2101.08320: the task, and m_j and tau21 as features.
        CMS Collaboration, Search for high mass dijet resonances at 13 TeV, 2019, arXiv:1911.03947: the density of m_jj.
        J. Thaler, K. Van Tilburg, Identifying boosted objects with N-subjettiness, 2010, arXiv:1011.2268: tau21.
        J. Dolen et al., Thinking outside the ROCs, 2016, arXiv:1603.00027: how tau21 of the background falls with mass.
    """

    block_size: ClassVar[int] = BLOCK
    blocks_per_part: ClassVar[int] = BLOCKS_PER_PART
    name: ClassVar[str] = "toy"

    events: Annotated[int, Field(ge=1, description="number of events")] = 20000
    signal_share: Annotated[float, Field(ge=0, le=1, description="probability that an event is of the resonance")] = (
        0.05
    )
    mass: Annotated[float, Field(ge=1500, le=7000, description="mass of the resonance in GeV")] = 2000.0
    width: Annotated[float, Field(gt=0, le=1000, description="its full width at half height in GeV")] = 100.0
    chunk: Annotated[int, Field(ge=1, description="most events that are handed over at once")] = 65536

    def schema(self) -> Schema:
        """Describe the events."""
        table = Input("table", tuple(UNITS), tuple(UNITS.values()))
        return Schema({"features": table}, classes=("background", "resonance"), beside=("event",))

    def at_once(self) -> int:
        """Return the most events of a chunk."""
        return self.chunk

    def block(self, number: int) -> Events:
        """Draw the events of one block."""
        generator = self.generator(number)
        u_class, u_mass, u_angle, u_jets, u_pt, u_vertex = generator.random((6, BLOCK))
        g = generator.standard_normal((5, BLOCK))
        signal = u_class < self.signal_share

        m_jj, weight = self._mass(signal, u_mass)
        delta_eta = np.log1p(u_angle * np.expm1(1.3))
        delta_eta[signal] = 2 * np.arctanh(u_angle[signal] * np.tanh(0.65))
        pt = m_jj / (2 * np.cosh(delta_eta / 2))

        typical = np.log(0.12 * pt)
        log_mass = np.where(signal, np.log([[300.0], [150.0]]), typical) + np.where(signal, 0.08, 0.4) * g[:2]
        tau21 = 1 / (1 + np.exp(-np.where(signal, -0.8, 0.5 - (log_mass - typical)) - 0.5 * g[2:4]))
        swap = log_mass[1] > log_mass[0]
        mass, tau21 = (np.where(swap, pair[::-1], pair) for pair in (np.exp(log_mass), tau21))

        n_jets = 2.0 + (u_jets >= 0.5) + (u_jets >= 0.85)
        pt_j3 = 1 / (1 / 30 - np.where(n_jets == 4, np.sqrt(u_pt), u_pt) * (1 / 30 - 1 / pt))
        pt_j3[n_jets == 2] = np.nan
        m_sv1 = np.exp(np.where(signal, np.log(2.5), np.log(1.5)) + 0.4 * g[4])
        m_sv1[u_vertex < 0.2] = np.nan

        features = np.empty((BLOCK, len(UNITS)), np.float32)
        for index, column in enumerate((m_jj, delta_eta, *mass, *tau21, n_jets, pt_j3, m_sv1)):
            features[:, index] = column
        event = np.arange(number * BLOCK, (number + 1) * BLOCK, dtype=np.int64)
        return Events(
            event_id=hash64([event, np.full(BLOCK, self.seed, np.int64)]),
            inputs={"features": features},
            weight=weight,
            label=signal.astype(np.int64),
            category=np.zeros(BLOCK, np.int64),
            beside={"event": event},
        )

    def _mass(
        self, signal: Bool[np.ndarray, " event"], u: Float[np.ndarray, " event"]
    ) -> tuple[Float[np.ndarray, " event"], Float[np.ndarray, " event"]]:
        """Turn uniform numbers into dijet masses in GeV and event weights."""
        grid, cumulative, edges = _spectrum()
        slices = len(edges) - 1
        index = (u * slices).astype(np.int64)
        share = np.diff(edges)[index]
        m_jj = np.interp(edges[index] + (u * slices - index) * share, cumulative, grid)
        weight = share * slices
        low, high = np.arctan(2 * (SLICES[[0, -1]] - self.mass) / self.width)
        m_jj[signal] = self.mass + self.width / 2 * np.tan(low + u[signal] * (high - low))
        weight[signal] = SIGNAL_WEIGHT
        return m_jj, weight


@cache
def _spectrum() -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"], Float[np.ndarray, " edge"]]:
    """Return masses in GeV, the background's cumulative probability there, and at the edges of the slices."""
    grid = np.geomspace(SLICES[0], SLICES[-1], 4097)
    x = grid / SQRT_S
    density = (1 - x) ** 9 / x ** (5 + 0.1 * np.log(x))
    cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(grid))])
    cumulative /= cumulative[-1]
    return grid, cumulative, np.interp(SLICES, grid, cumulative)
