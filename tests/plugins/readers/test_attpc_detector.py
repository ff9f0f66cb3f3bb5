"""Electrons that drift to pads: how they spread, what they give, and what is lost."""

from __future__ import annotations

import numpy as np
import pytest

from hepanom.events import Jagged
from hepanom_plugins.readers.attpc_detector import CHANNELS_PER_ELECTRON, Chamber, Clouds

QUIET = Chamber(noise=0.0, threshold=0.0)


def read(chamber: Chamber, event: list[int], place: list[list[float]], electrons: list[float]) -> Jagged:
    """Return the points of two events."""
    clouds = Clouds(np.array(event, np.int64), np.array(place, np.float64).T.reshape(3, -1), np.array(electrons, float))
    return chamber.points(clouds, 2, np.random.default_rng(1))


@pytest.mark.parametrize("way", [100.0, 900.0])
def test_diffusion_grows_with_the_root_of_the_way_and_is_held_together_by_the_field(way):
    clouds = Clouds(np.zeros(40000, np.int64), np.full((3, 40000), way), np.ones(40000))
    spread = (QUIET.drift(clouds, np.random.default_rng(1)).place - way).std(axis=1)
    along = np.sqrt(2 * 0.1 * way * 1e-3 / 9500) * 1e3
    assert spread == pytest.approx(np.array([along / np.hypot(1, 52e3 * 1.68 / 9500)] * 2 + [along]), rel=0.02)
    free = Chamber(field=0.0).drift(clouds, np.random.default_rng(1)).place - way
    assert free.std(axis=1) == pytest.approx(np.full(3, along), rel=0.02)


def test_clouds_on_one_pad_in_one_time_bucket_are_one_point():
    place = [[1.0, 1.0, 100.0], [4.0, 2.0, 101.0], [6.0, 1.0, 100.0], [1.0, 1.0, 110.0], [1.0, 1.0, 100.0]]
    points = read(QUIET, [0, 0, 0, 0, 1], place, [1e4, 2e4, 1e2, 1e2, 1e2])
    assert np.diff(points.offsets).tolist() == [3, 1]
    assert points.values[:, :3] == pytest.approx(
        np.array([[2.5, 2.5, 99.84], [2.5, 2.5, 108.16], [7.5, 2.5, 99.84], [2.5, 2.5, 99.84]]), rel=1e-6
    )
    assert points.values.dtype == np.float32


def test_charge_is_proportional_to_electrons_and_fluctuates_with_their_root():
    chamber = Chamber(pad=5.0, gain=10.0, noise=0.0, threshold=0.0)
    number = 5000
    generator = np.random.default_rng(2)
    clouds = Clouds(np.arange(number), np.ones((3, number)), np.full(number, 1000.0))
    charge = chamber.points(clouds, number, generator).values[:, 3].astype(np.float64)
    expected = 1000 * 10 * CHANNELS_PER_ELECTRON
    assert charge.mean() == pytest.approx(expected, rel=3e-3)
    assert charge.std() / expected == pytest.approx(np.sqrt(0.8 / 1000), rel=0.05)
    assert pytest.approx(2.734, rel=1e-3) == 500 * CHANNELS_PER_ELECTRON  # 4096 channels for 120 fC, that is 749,000 e


def test_charge_saturates_and_is_cut_at_the_threshold():
    place = [[1.0, 1.0, 100.0], [6.0, 1.0, 100.0], [11.0, 1.0, 100.0]]
    points = read(Chamber(noise=0.0, threshold=50.0), [0, 0, 0], place, [1e6, 1.0, 100.0])
    assert points.values[:, 0].tolist() == [2.5, 12.5]
    assert points.values[0, 3] == 4095
    assert 50 < points.values[1, 3] < 500


def test_electronic_noise_is_added_to_the_charge():
    number = 5000
    clouds = Clouds(np.arange(number), np.ones((3, number)), np.full(number, 100.0))
    charge = Chamber(gain=1.0, noise=20.0, threshold=-1e9).points(clouds, number, np.random.default_rng(2)).values[:, 3]
    assert charge.std() == pytest.approx(20, rel=0.05)


@pytest.mark.parametrize(
    "place", [[274.0, 50.0, 100.0], [300.0, 0.0, 100.0], [0.0, -1e9, 100.0], [0.0, 0.0, -10.0], [0.0, 0.0, 1010.0]]
)
def test_electrons_beyond_pads_or_time_give_no_point(place):
    points = read(QUIET, [0, 1], [place, [0.0, 0.0, 500.0]], [100.0, 100.0])
    assert np.diff(points.offsets).tolist() == [0, 1]


def test_no_electrons_give_no_points():
    points = read(QUIET, [], [], [])
    assert points.values.shape == (0, 4)
    assert points.offsets.tolist() == [0, 0, 0]
