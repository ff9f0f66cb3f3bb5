"""Stopping powers against NIST, and tracks against what must hold for them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp

from hepanom_plugins.readers.attpc_physics import (
    ARGON46,
    CARBON,
    PROTON,
    Gas,
    Slowing,
    Steps,
    effective_charge,
    elastic_recoil,
    isobutane,
    slowing,
    stopping_power,
    transport,
)

# M. Berger et al., ESTAR, PSTAR and ASTAR, NIST Standard Reference Database 124, doi:10.18434/T4NC7P: electronic
# stopping power of protons in MeV cm^2/g, and ranges (continuous slowing down) in g/cm^2.
PROPANE, METHANE = Gas(44.0956, 26, 47.1, 1.0), Gas(16.0425, 10, 41.7, 1.0)
ENERGIES = np.array([0.1, 0.3, 1.0, 2.0, 5.0, 10.0])
PSTAR = {
    PROPANE: ([1220, 730.5, 316.3, 189.0, 92.31, 52.62], [1.022e-4, 3.169e-4, 1.931e-3, 6.176e-3, 3.054e-2, 0.1055]),
    METHANE: ([1447, 803.2, 346.4, 205.7, 99.89, 56.76], [8.283e-5, 2.749e-4, 1.744e-3, 5.634e-3, 2.811e-2, 9.747e-2]),
}
GAS = isobutane(19.2)
VACUUM = GAS._replace(density=1e-15)
ANGLES = st.floats(0.05, np.pi)


def tracks(
    direction: list[float], energy: float, table: Slowing, field: list[float], longest: float, step: float = 1.0
) -> Steps:
    """Follow one ion from the origin."""
    towards = np.array(direction)[:, None] / np.linalg.norm(direction)
    return transport(np.zeros((3, 1)), towards, np.array([energy]), table, np.array(field), np.array([longest]), step)


@pytest.mark.parametrize("gas", PSTAR, ids=["propane", "methane"])
def test_stopping_power_of_protons_is_that_of_pstar(gas):
    ratio = stopping_power(ENERGIES, PROTON, gas) / PSTAR[gas][0]
    assert ratio[0] == pytest.approx(1, abs=0.07)
    assert ratio[1:] == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize("gas", PSTAR, ids=["propane", "methane"])
def test_range_of_protons_is_that_of_pstar(gas):
    found = slowing(PROTON, gas).range(ENERGIES[1:]) / 10
    assert found == pytest.approx(np.array(PSTAR[gas][1][1:]), rel=0.05)


def test_isobutane_adds_up_from_propane_and_methane():
    """By the rule of Bragg: C4H10 has the atoms of 1.5 C3H8 less those of 0.5 CH4."""
    share = 1.5 * PROPANE.molar_mass / GAS.molar_mass
    expected = share * np.array(PSTAR[PROPANE][0]) + (1 - share) * np.array(PSTAR[METHANE][0])
    assert stopping_power(ENERGIES, PROTON, GAS)[1:] == pytest.approx(expected[1:], rel=0.05)


def test_density_is_that_of_an_ideal_gas():
    assert isobutane(760.0, 273.15).density == pytest.approx(58.1222 / 22414, rel=1e-4)
    assert isobutane(10.0).density == pytest.approx(isobutane(20.0).density / 2)


def test_slow_carbon_loses_its_charge_and_slow_ions_their_stopping_power():
    beta = np.array([1e-3, 0.02, 0.05, 0.5])
    charge = effective_charge(6, beta)
    assert (np.diff(charge) > 0).all()
    assert charge[-1] == pytest.approx(6, rel=1e-6)
    assert charge[2] == pytest.approx(6 * (1 - np.exp(-125 * 0.05 / 6 ** (2 / 3))))
    assert (effective_charge(1, beta) == 1).all()
    for ion in (PROTON, CARBON, ARGON46):
        slow = ion.mass / 931.5 * np.array([1e-3, 4e-3])
        low, high = stopping_power(slow, ion, GAS)
        assert high / low == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize("ion", [PROTON, CARBON])
def test_range_is_the_integral_of_the_inverse_stopping_power(ion):
    per_mass = ion.mass / 931.4941

    def per_energy(energy: float) -> float:
        return 10 / (float(stopping_power(np.array([energy]), ion, GAS)[0]) * GAS.density)

    expected = quad(per_energy, 1e-3 * per_mass, 2 * per_mass, limit=200)[0]
    found = slowing(ion, GAS).range(np.array([2 * per_mass]))[0]
    assert found == pytest.approx(expected, rel=1e-4)


@given(share=st.floats(0, 0.99), energy=st.floats(0.05, 50))
def test_energy_after_a_path_belongs_to_the_path_that_is_left(share, energy):
    table = slowing(PROTON, GAS)
    full = table.range(np.array([energy]))
    left = table.left(full * (1 - share))
    assert table.range(left) == pytest.approx(full * (1 - share), rel=1e-6)
    assert table.left(np.array([0.0, -1.0])).tolist() == [0, 0]


@given(energy=st.floats(1, 500), angle=ANGLES)
@pytest.mark.parametrize("target", [PROTON, CARBON])
def test_recoil_conserves_four_momentum(target, energy, angle):
    along, across = (float(part[0]) for part in elastic_recoil(np.array([energy]), ARGON46, target, np.array([angle])))
    beam_energy = energy + ARGON46.mass
    beam_momentum = np.sqrt(energy * (energy + 2 * ARGON46.mass))
    recoil_energy = np.sqrt(target.mass**2 + along**2 + across**2)
    scattered = beam_energy + target.mass - recoil_energy
    assert np.sqrt(scattered**2 - (beam_momentum - along) ** 2 - across**2) == pytest.approx(ARGON46.mass, rel=1e-9)

    root_s = np.sqrt(ARGON46.mass**2 + target.mass**2 + 2 * target.mass * beam_energy)
    transfer = 2 * target.mass * (recoil_energy - target.mass)  # -t, which is 2 p*^2 (1 - cos angle) too
    assert transfer == pytest.approx(2 * (beam_momentum * target.mass / root_s) ** 2 * (1 - np.cos(angle)), rel=1e-4)


@given(energy=st.floats(0.5, 20), pitch=st.floats(0.2, 1.5), field=st.floats(0.5, 3))
def test_vacuum_bends_to_the_radius_of_the_momentum_and_costs_no_energy(energy, pitch, field):
    steps = tracks([np.sin(pitch), 0, np.cos(pitch)], energy, slowing(PROTON, VACUUM), [0.0, 0.0, field], 500.0)
    momentum = np.sqrt(energy * (energy + 2 * PROTON.mass))
    radius = momentum * np.sin(pitch) / (299.792458 * field) * 1000
    away = np.hypot(steps.position[0], steps.position[1] + radius)  # positive charges turn clockwise around the field
    assert away == pytest.approx(np.full(len(away), radius), rel=5e-3)
    assert steps.position[2, -1] == pytest.approx(499.5 * np.cos(pitch))
    assert abs(steps.loss).max() < 1e-9


@given(energy=st.floats(0.3, 4), tilt=st.floats(0, 0.3))
@pytest.mark.parametrize("ion", [PROTON, CARBON])
def test_an_ion_that_stops_leaves_all_its_energy(ion, energy, tilt):
    table = slowing(ion, GAS)
    steps = tracks([1, 0.3, 0.2], energy, table, [0, np.sin(tilt), np.cos(tilt)], 1e9, 5.0)
    assert steps.loss.sum() == pytest.approx(energy, rel=1e-9)
    assert len(steps.loss) == np.ceil(table.range(np.array([energy]))[0] / 5)
    assert (steps.loss > 0).all()


@pytest.mark.parametrize(("ion", "energy"), [(PROTON, 1.5), (CARBON, 12.0)])
def test_track_solves_the_equation_of_motion(ion, energy):
    field = np.array([0.0, 0.2, 1.7])
    table = slowing(ion, GAS)
    path = 0.95 * table.range(np.array([energy]))[0]

    def slope(_: float, state: np.ndarray) -> np.ndarray:
        momentum = state[3:]
        size = np.linalg.norm(momentum)
        kinetic = np.sqrt(size**2 + ion.mass**2) - ion.mass
        beta = size / np.hypot(size, ion.mass)
        charge = effective_charge(ion.charge, np.array([beta]))[0]
        loss = stopping_power(np.array([kinetic]), ion, GAS)[0] * GAS.density / 10
        force = 0.299792458 * charge * np.cross(momentum / size, field) - loss / beta * momentum / size
        return np.concatenate([momentum / size, force])

    start = np.array([0.6, 0.0, 0.8]) * np.sqrt(energy * (energy + 2 * ion.mass))
    exact = solve_ivp(slope, (0, path), np.concatenate([np.zeros(3), start]), rtol=1e-9, atol=1e-6, dense_output=True)
    steps = tracks([0.6, 0, 0.8], energy, table, field.tolist(), path)
    middles = np.minimum(np.arange(len(steps.loss)) + 0.5, (np.floor(path) + path) / 2)
    assert np.abs(steps.position - exact.sol(middles)[:3]).max() < 0.2  # mm


def test_tracks_do_not_depend_on_the_others():
    table, field = slowing(PROTON, GAS), np.array([0.0, 0.1, 1.7])
    generator = np.random.default_rng(1)
    start, direction = generator.normal(size=(3, 20)) * 50, generator.normal(size=(3, 20))
    direction /= np.linalg.norm(direction, axis=0)
    energy, longest = generator.uniform(0.1, 8, 20), generator.uniform(0, 800, 20)
    together = transport(start, direction, energy, table, field, longest)
    for index in range(20):
        one = slice(index, index + 1)
        alone = transport(start[:, one], direction[:, one], energy[one], table, field, longest[one])
        mine = together.track == index
        assert together.position[:, mine] == pytest.approx(alone.position, abs=1e-6)
        assert together.loss[mine] == pytest.approx(alone.loss)


def test_no_field_is_a_straight_line_and_no_ion_no_track():
    steps = tracks([1, 2, 2], 2.0, slowing(PROTON, GAS), [0.0, 0.0, 0.0], 300.0)
    assert np.cross(steps.position.T, [1, 2, 2]) == pytest.approx(0)
    assert np.linalg.norm(steps.position, axis=0) == pytest.approx(np.arange(300) + 0.5)
    none = np.zeros((3, 0))
    assert len(transport(none, none, none[0], slowing(PROTON, GAS), np.zeros(3), none[0]).track) == 0
