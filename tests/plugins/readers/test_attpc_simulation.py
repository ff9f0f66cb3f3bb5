"""Simulated AT-TPC events: the same whatever the parts, and what each class is known for."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from offered import assert_equal, build
from pydantic import TypeAdapter, ValidationError

from hepanom.contracts import Part
from hepanom.errors import InputError, RecipeError
from hepanom.events import Events, Jagged
from hepanom_plugins.readers.attpc_simulation import ATTPCSimulation

PROTON, CARBON, NOISE = range(3)
PURE = {"carbon_share": 0.0, "noise_share": 0.0}


def only(events: Events, label: int) -> Jagged:
    """Return the point clouds of one class."""
    points = events.inputs["points"]
    assert isinstance(points, Jagged)
    return points.mask(events.label == label)


def clouds(points: Jagged) -> list[np.ndarray]:
    """Return the points of each event."""
    return np.split(points.values, points.offsets[1:-1])


@pytest.fixture(scope="module")
def events(read):
    return read(ATTPCSimulation(events=1400, carbon_share=0.3, noise_share=0.3, seed=3))


@pytest.mark.parametrize("chunk", [1, 333, 512, 10**9])
def test_events_do_not_depend_on_chunk_size(read, chunk):
    some = ATTPCSimulation(events=600)
    piece = Part("attpc", 400, 600) if chunk == 1 else Part("attpc", 0, 600)
    chunks = list(replace(some, chunk=chunk).read(piece))
    assert max(map(len, chunks)) <= chunk
    whole = read(some)
    assert_equal(Events.concat(chunks), whole.mask(np.arange(600) >= piece.start))


def test_events_do_not_depend_on_parts(events):
    simulation = ATTPCSimulation(events=1400, carbon_share=0.3, noise_share=0.3, seed=3)
    pieces = [Part("attpc", start, stop) for start, stop in pairwise([0, 1, 500, 512, 513, 1399, 1400])]
    assert_equal(Events.concat([chunk for piece in pieces for chunk in simulation.read(piece)]), events)


def test_parts_cover_every_event_once():
    parts = ATTPCSimulation(events=5000).parts()
    assert len(parts) > 1
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert parts[-1].stop == 5000


def test_longer_run_begins_with_the_shorter_one(read, events):
    short = read(ATTPCSimulation(events=700, carbon_share=0.3, noise_share=0.3, seed=3))
    assert_equal(events.mask(np.arange(1400) < 700), short)


def test_seeds_and_blocks_give_different_events(read):
    one, two = read(ATTPCSimulation(events=1024, seed=1)), read(ATTPCSimulation(events=1024, seed=2))
    assert len(np.unique(np.concatenate([one.event_id, two.event_id]))) == 2048
    labels = np.concatenate([one.label, two.label]).reshape(4, 512)
    for a in range(4):
        for b in range(a):
            assert (labels[a] == labels[b]).mean() < 0.6


def test_events_match_the_schema(events):
    schema = ATTPCSimulation().schema()
    cloud = schema.inputs["points"]
    assert (cloud.kind, cloud.columns, cloud.units) == ("points", ("x", "y", "z", "charge"), ("mm", "mm", "mm", "ADC"))
    assert schema.classes == ("proton", "carbon", "noise")
    points = events.inputs["points"].values
    assert points.dtype == np.float32
    assert (np.hypot(points[:, 0], points[:, 1]) < 275).all()
    assert points[:, 2].min() >= 0
    assert points[:, 2].max() <= 1000
    assert points[:, 3].min() > 30
    assert points[:, 3].max() == 4095
    assert np.bincount(events.label) / 1400 == pytest.approx([0.4, 0.3, 0.3], abs=0.05)


def test_points_of_an_event_are_different_cells(events):
    for cloud in clouds(events.inputs["points"]):
        assert len(np.unique(cloud[:, :3], axis=0)) == len(cloud)


def test_carbon_tracks_are_shorter_and_ionize_more_strongly_than_protons(events):
    protons, carbon = only(events, PROTON), only(events, CARBON)
    assert np.median(np.diff(carbon.offsets)) < 0.5 * np.median(np.diff(protons.offsets))
    assert np.median(carbon.values[:, 3]) > 10 * np.median(protons.values[:, 3])


def test_noise_events_have_no_track(events):
    """A track's next point is near; the points of noise are not."""

    def gap(points: Jagged) -> float:
        away = [np.linalg.norm(cloud[:, None, :3] - cloud[None, :, :3], axis=2) for cloud in clouds(points)[:60]]
        return float(np.median([np.median(np.sort(each, axis=1)[:, 1]) for each in away if len(each) > 1]))

    assert gap(only(events, PROTON)) < 8
    assert gap(only(events, CARBON)) < 8
    assert gap(only(events, NOISE)) > 15


def test_bursts_of_noise_fire_together_in_time(events):
    """Within two buckets around the most frequent time there are far more hits than hits uniform in time would give."""
    noise = [cloud for cloud in clouds(only(events, NOISE)) if len(cloud) > 100]
    shares = [max((abs(cloud[:, 2] - time) < 10).mean() for time in cloud[:, 2]) for cloud in noise]
    assert np.median(shares) > 0.15


@pytest.mark.parametrize("tilt", [0.0, 10.0])
def test_tracks_begin_on_the_tilted_beam_axis(read, tilt):
    """The tracks of carbon are short: their mean lies on y = -(1000 - z) tan(tilt) but for half their length."""
    sample = read(ATTPCSimulation(events=512, carbon_share=1.0, noise_share=0.0, noise_hits=0.0, tilt=tilt))
    middles = np.array([cloud[:, :3].mean(axis=0) for cloud in clouds(sample.inputs["points"]) if len(cloud)])
    slope, offset = np.polyfit(1000 - middles[:, 2], middles[:, 1], 1)
    assert slope == pytest.approx(-np.tan(np.radians(tilt)), abs=0.02)
    assert offset == pytest.approx(0, abs=10)
    assert middles[:, 0].mean() == pytest.approx(0, abs=6)


def test_protons_curl_in_the_field_and_not_without(read):
    """Around the centre of a curl all angles are populated; a straight track has a line's second eigenvalue."""

    def width(field: float) -> float:
        points = read(ATTPCSimulation(events=512, field=field, noise_hits=0.0, **PURE)).inputs["points"]
        spread = [np.linalg.eigvalsh(np.cov(cloud[:, :2].T)) for cloud in clouds(points) if len(cloud) > 50]
        return float(np.median([np.sqrt(small / large) for small, large in spread]))

    assert width(0.0) < 0.1
    assert width(1.68) > 0.2


def test_denser_gas_stops_carbon_sooner(read):
    def length(pressure: float) -> float:
        simulation = ATTPCSimulation(events=512, carbon_share=1.0, noise_share=0.0, noise_hits=0.0, pressure=pressure)
        points = read(simulation).inputs["points"]
        return float(np.median([np.ptp(cloud[:, :3], axis=0).max() for cloud in clouds(points) if len(cloud)]))

    assert length(40.0) == pytest.approx(length(20.0) / 2, rel=0.2)


def test_shares_choose_the_classes(read):
    for label, shares in enumerate([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]):
        sample = read(ATTPCSimulation(events=100, carbon_share=shares[0], noise_share=shares[1]))
        assert (sample.label == label).all()
        assert len(sample.inputs["points"].values) > 100


def test_shares_of_more_than_everything_are_an_error_in_the_recipe():
    with pytest.raises(RecipeError, match=r"carbon_share and noise_share add up to 1\.2; make them 1 at most"):
        build("reader", "attpc_simulation", {"carbon_share": 0.7, "noise_share": 0.5})


def test_other_files_are_other_seeds(read):
    simulation = ATTPCSimulation(events=900, seed=1, pressure=30.0)
    assert simulation.on(["attpc:7"]) == replace(simulation, seed=7)
    assert_equal(read(simulation.on(["attpc:1:50"])), read(replace(simulation, events=50)))


@pytest.mark.parametrize("files", [[], ["attpc:1", "attpc:2"], ["events.h5"], ["attpc"], ["attpc:1:0"], ["attpc:-1"]])
def test_other_files_that_are_no_simulations_are_an_error(files):
    with pytest.raises(InputError, match="attpc:SEED"):
        ATTPCSimulation().on(files)


def test_options_have_bounds():
    read = TypeAdapter(ATTPCSimulation).validate_json
    assert read('{"events": 5, "pressure": 20}', strict=True) == ATTPCSimulation(events=5, pressure=20.0)
    for wrong in ('"events": 0', '"pressure": 0', '"tilt": 90', '"pad": 0', '"carbon_share": 1.5', '"seed": -1'):
        with pytest.raises(ValidationError):
            read(f"{{{wrong}}}", strict=True)
