"""Hadronic recoil, simulated: Z to mu mu with jets, soft activity, pile-up and a calorimeter that sees too little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from hepanom.contracts import Reader
from hepanom.events import Events, Input, Schema, hash64
from hepanom_plugins.readers.simulation import Simulation

BLOCK = 4096  # events that share one random stream; part of the definition of the events, like the formulas
BLOCKS_PER_PART = 8
CLASSES = ("ordinary", "invisible")
VECTORS = ("u_pf", "u_track", "u_neutral", "u_pileup", "u_jets", "jet_1", "jet_2")
SUMS = ("sum_et_pf", "sum_et_track", "sum_et_neutral")
COUNTS = ("n_jets", "n_vertices")
COLUMNS = {
    **{f"{name}_{axis}": "GeV" for name in VECTORS for axis in "xy"},
    **dict.fromkeys(SUMS, "GeV"),
    **dict.fromkeys(COUNTS, ""),
}
HIGHEST = 500.0  # GeV, transverse momentum of the boson
EMISSIONS = 6
TRACKER = 2.5  # absolute pseudorapidity
NOISE = 0.7  # sqrt(GeV): a vertex's imbalance is that times the root of its scalar sum


@dataclass(frozen=True)
class RecoilSimulation(Simulation, Reader):
    """Simulated Z to mu mu events, to regress the hadronic recoil: the target is what the muons say that it is.

    This stands in for data where there are none: it has the effects that a regression can correct, each as one formula,
    and is no simulation of a detector or of QCD; its numbers are round ones of the right size for the LHC. All vectors
    are transverse, in GeV. g stands for standard normal numbers, one for each component of a vector.

        class        invisible with probability ``invisible_share``, else ordinary
        boson        q: dN/dq ~ q / (1 + (q / median_pt)^2)^2 below 500 GeV, azimuth uniform
        invisible    m: a momentum that nothing measures, exponential with mean ``missing_pt``, azimuth uniform; only
                     in that class
        hadrons      h = -(q + m), in 6 emissions p_i = w_i h + 4 (g_i - <g>): momentum is conserved. The shares w
                     follow a Dirichlet distribution with all parameters 0.4; each has a pseudorapidity 2 g
        tracks       t_i = c_i p_i (1 + 0.02 g), with the charged share c_i from Beta(3, 2); c_i = 0 beyond 2.5 in
                     pseudorapidity, where there is no tracker
        calorimeter  n_i = (p_i - c_i p_i) max(0, R(e) (1 + s g)), e = |p_i - c_i p_i|, with the response of Gabriel and
                     Groom R(e) = 1 - 0.45 (1 + e)^-0.18, 0.55 for slow hadrons and 0.80 at 100 GeV, and the resolution
                     s = 0.8 / sqrt(1 + e) and 0.05 in quadrature
        jets         j_i = t_i + n_i / 0.75, a constant calibration, where that is above ``jet_threshold``
        pile-up      N further vertices, Poisson with mean ``pileup``. Their scalar sums are S_c of charged and S_n of
                     neutral particles, the sums of N exponential numbers with means 12 and 8; their vectors C = 0.7
                     sqrt(S_c) g and -0.4 C + 0.7 sqrt(S_n) g, because a vertex is balanced as a whole
        underlying   the same for two vertices, whose tracks belong to the boson's
        muons        q' = q + (0.7 and 0.01 q in quadrature) g

    Columns: the recoil as the sum of tracks of the boson's vertex (u_track), of everything in the calorimeter without
    tracks (u_neutral), of tracks from pile-up (u_pileup), of all three (u_pf, the plain estimate), of jets (u_jets);
    the two leading jets, 0 where there are none; scalar sums sum_et_track, sum_et_neutral and sum_et_pf; n_jets; and
    n_vertices, 1 and a binomial number of N with probability 0.7. Targets recoil_x and recoil_y are -q'; boson_x,
    boson_y and boson_pt of q' and the true missing_pt = |m| travel beside the events.

    Event i belongs to block i // 4096, and block b is drawn from the counter-based generator Philox with key (seed, b):
    a longer run begins with the events of a shorter one, whatever the chunks and parts. The event id is the hash of
    (i, seed). Another machine or numpy may differ in the last bits.

    References:
        CMS Collaboration, Performance of the CMS missing transverse momentum reconstruction in pp data at 8 TeV, JINST
        10 (2015) P02006, arXiv:1411.0511: recoil from tracks, neutrals, pile-up and jets, and its regression.
        CMS Collaboration, Differential Z boson production cross sections at 13 TeV, JHEP 12 (2019) 061,
        arXiv:1909.04133: what the spectrum of q stands for.
        T. Gabriel, D. Groom et al., Energy dependence of hadronic activity, Nucl. Instrum. Meth. A 338 (1994) 336,
        doi:10.1016/0168-9002(94)91317-X: the calorimeter's response.
    """

    block_size: ClassVar[int] = BLOCK
    blocks_per_part: ClassVar[int] = BLOCKS_PER_PART
    name: ClassVar[str] = "recoil"

    events: Annotated[int, Field(ge=1, description="number of events")] = 60000
    invisible_share: Annotated[float, Field(ge=0, le=1, description="probability of an invisible particle")] = 0.02
    median_pt: Annotated[float, Field(gt=0, le=100, description="median boson momentum in GeV")] = 12.0
    missing_pt: Annotated[float, Field(gt=0, description="mean momentum of the invisible particle in GeV")] = 60.0
    pileup: Annotated[float, Field(ge=0, le=1000, description="mean number of further vertices")] = 30.0
    jet_threshold: Annotated[float, Field(ge=0, description="least momentum of a jet in GeV")] = 20.0
    chunk: Annotated[int, Field(ge=1, description="most events that are handed over at once")] = 65536

    def schema(self) -> Schema:
        """Describe the events."""
        return Schema(
            {"features": Input("table", tuple(COLUMNS), tuple(COLUMNS.values()))},
            classes=CLASSES,
            targets=("recoil_x", "recoil_y"),
            beside=("event", "boson_x", "boson_y", "boson_pt", "missing_pt"),
        )

    def at_once(self) -> int:
        """Return the most events of a chunk."""
        return self.chunk

    def block(self, number: int) -> Events:
        """Draw the events of one block."""
        generator = self.generator(number)
        u_class, u_boson, u_azimuth, u_missing, u_direction = generator.random((5, BLOCK))
        label = (u_class < self.invisible_share).astype(np.int64)
        below = u_boson / (1 + (self.median_pt / HIGHEST) ** 2)
        boson = _vector(self.median_pt * np.sqrt(below / (1 - below)), u_azimuth)
        missing = _vector(-self.missing_pt * np.log1p(-u_missing) * label, u_direction)
        features = self._measured(-(boson + missing), generator)
        spread = np.hypot(0.7, 0.01 * np.hypot(*boson))
        measured = boson + spread * generator.standard_normal((2, BLOCK))
        event = np.arange(number * BLOCK, (number + 1) * BLOCK, dtype=np.int64)
        return Events(
            event_id=hash64([event, np.full(BLOCK, self.seed, np.int64)]),
            inputs={"features": features.T.astype(np.float32)},
            weight=np.ones(BLOCK),
            label=label,
            category=np.zeros(BLOCK, np.int64),
            target=-measured.T,
            beside={
                "event": event,
                "boson_x": measured[0],
                "boson_y": measured[1],
                "boson_pt": np.hypot(*measured),
                "missing_pt": np.hypot(*missing),
            },
        )

    def _measured(
        self, hadrons: Float[np.ndarray, "axis event"], generator: np.random.Generator
    ) -> Float[np.ndarray, "feature event"]:
        """Return what the detector makes of the hadrons, pile-up and the underlying event."""
        number = hadrons.shape[1]
        momentum = emissions(hadrons, generator)
        inside = np.abs(2 * generator.standard_normal((EMISSIONS, number))) < TRACKER
        charged = momentum * np.where(inside, generator.beta(3, 2, inside.shape), 0)
        tracks = charged * (1 + 0.02 * generator.standard_normal(inside.shape))
        energy = np.hypot(*(momentum - charged))
        fluctuation = np.hypot(0.8 / np.sqrt(1 + energy), 0.05) * generator.standard_normal(inside.shape)
        neutral = (momentum - charged) * np.maximum(0, response(energy) * (1 + fluctuation))

        jets = tracks + neutral / 0.75
        jet_pt = np.hypot(*jets)
        jets, jet_pt = np.where(jet_pt > self.jet_threshold, (jets, [jet_pt, jet_pt]), 0)
        order = np.argsort(-jet_pt[0], axis=0)[None, :2]
        (jet_1, jet_2) = np.take_along_axis(jets, order, 1).swapaxes(0, 1)

        vertices = generator.poisson(np.full(number, self.pileup))
        (c_pileup, sum_c_pileup), (n_pileup, sum_n_pileup) = soft(vertices, generator)
        (c_boson, sum_c_boson), (n_boson, sum_n_boson) = soft(np.full(number, 2), generator)
        u_track, u_neutral = tracks.sum(1) + c_boson, neutral.sum(1) + n_boson + n_pileup
        sum_track = np.hypot(*tracks).sum(0) + sum_c_boson
        sum_neutral = np.hypot(*neutral).sum(0) + sum_n_boson + sum_n_pileup
        vectors = (u_track + u_neutral + c_pileup, u_track, u_neutral, c_pileup, jets.sum(1), jet_1, jet_2)
        sums = (sum_track + sum_neutral + sum_c_pileup, sum_track, sum_neutral)
        counts = ((jet_pt[0] > 0).sum(0), 1 + generator.binomial(vertices, 0.7))
        return np.concatenate([*vectors, np.stack([*sums, *counts])])


def emissions(
    hadrons: Float[np.ndarray, "axis event"], generator: np.random.Generator
) -> Float[np.ndarray, "axis emission event"]:
    """Share the hadrons' momentum out among emissions, whose own kicks cancel."""
    share = generator.dirichlet(np.full(EMISSIONS, 0.4), hadrons.shape[1]).T
    kick = 4 * generator.standard_normal((2, EMISSIONS, hadrons.shape[1]))
    return np.asarray(hadrons[:, None] * share + kick - kick.mean(1, keepdims=True))


def response(energy: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """Return the mean share of a hadron's energy in GeV that the calorimeter sees: 1 - 0.45 (1 + e)^-0.18."""
    return np.asarray(1 - 0.45 * (1 + energy) ** -0.18)


def soft(
    vertices: Int[np.ndarray, " event"], generator: np.random.Generator
) -> list[tuple[Float[np.ndarray, "axis event"], Float[np.ndarray, " event"]]]:
    """Return vector and scalar sum of the charged, then of the neutral particles of soft vertices, in GeV."""
    sum_charged, sum_neutral = (mean * generator.standard_gamma(vertices) for mean in (12.0, 8.0))
    g_charged, g_neutral = generator.standard_normal((2, 2, len(vertices)))
    charged = NOISE * np.sqrt(sum_charged) * g_charged
    return [(charged, sum_charged), (NOISE * np.sqrt(sum_neutral) * g_neutral - 0.4 * charged, sum_neutral)]


def _vector(length: Float[np.ndarray, " event"], turn: Float[np.ndarray, " event"]) -> Float[np.ndarray, "axis event"]:
    """Return vectors of a length whose azimuth is a share of a turn."""
    azimuth = 2 * np.pi * turn
    return np.asarray(length * np.stack([np.cos(azimuth), np.sin(azimuth)]))
