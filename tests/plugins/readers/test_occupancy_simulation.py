"""Simulated occupancy: the same whatever the parts, and what each class is known for."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from offered import assert_equal, build
from pydantic import TypeAdapter, ValidationError

from hepanom.contracts import Part
from hepanom.errors import InputError, RecipeError
from hepanom.events import Events
from hepanom_plugins.readers.occupancy_simulation import BLOCK, CHUNK_BYTES, OccupancySimulation

GOOD, DEAD, HOT, SHIFTED = range(4)
COUNTED = OccupancySimulation(events=1100, dead_share=0.25, hot_share=0.25, shifted_share=0.25, normalize="none")
STEADY = OccupancySimulation(events=4000, fill=10**6, drift=0.0, beam_offset=0.0, normalize="none")
ALL_GOOD = {"dead_share": 0.0, "hot_share": 0.0, "shifted_share": 0.0}


@pytest.fixture(scope="module")
def events(read):
    return read(COUNTED)


def maps(events, label=None):
    images = events.inputs["image"][:, 0]
    return images if label is None else images[events.label == label]


def test_events_do_not_depend_on_parts(events):
    pieces = [Part("occupancy", start, stop) for start, stop in pairwise([0, 1, 63, 64, 130, 1099, 1100])]
    assert_equal(Events.concat([chunk for piece in pieces for chunk in COUNTED.read(piece)]), events)


def test_a_large_map_comes_in_chunks_of_one_block():
    some = OccupancySimulation(events=2 * BLOCK, shape=(256, 512))
    chunks = list(some.read(some.parts()[0]))
    assert [len(chunk) for chunk in chunks] == [BLOCK, BLOCK]
    assert 2 * chunks[0].inputs["image"].nbytes > CHUNK_BYTES


def test_parts_cover_every_event_once():
    parts = OccupancySimulation(events=5000).parts()
    assert len(parts) > 1
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert parts[-1].stop == 5000


def test_a_longer_run_begins_with_the_shorter_one(read, events):
    assert_equal(events.mask(np.arange(1100) < 700), read(replace(COUNTED, events=700)))


def test_another_seed_is_other_data_of_the_same_detector(read):
    """Means over many lumisections agree between seeds within their Poisson errors, not between detectors."""
    one, two, other = (
        maps(read(replace(STEADY, events=1500, seed=seed, detector=detector, **ALL_GOOD))).mean(0)
        for seed, detector in ((1, 1), (2, 1), (1, 2))
    )
    assert (one != two).any()
    assert np.abs(one / two - 1).max() < 0.03
    assert np.std(one / other) > 0.1


def test_seeds_and_blocks_give_different_events(read):
    one, two = (read(OccupancySimulation(events=256, seed=seed)) for seed in (1, 2))
    assert len(np.unique(np.concatenate([one.event_id, two.event_id]))) == 512
    first = maps(one)[::BLOCK]
    assert len(np.unique(first.reshape(4, -1), axis=0)) == 4


def test_events_match_the_schema(events):
    schema = COUNTED.schema()
    assert (schema.inputs["image"].kind, schema.inputs["image"].shape) == ("image", (24, 48))
    assert schema.classes == ("good", "dead", "hot", "shifted")
    assert tuple(events.beside) == schema.beside
    assert events.inputs["image"].shape == (1100, 1, 24, 48)
    assert events.inputs["image"].dtype == np.float32
    assert np.bincount(events.label) / 1100 == pytest.approx(np.full(4, 0.25), abs=0.05)
    np.testing.assert_array_equal(events.beside["run"][[0, 499, 500, 1099]], [1, 1, 2, 3])
    np.testing.assert_array_equal(events.beside["lumisection"][[0, 499, 500, 1099]], [1, 500, 1, 100])


def test_counts_are_whole_and_their_mean_is_what_was_asked(read):
    good = maps(read(replace(STEADY, fill=500, counts=70.0, **ALL_GOOD)))
    assert (good == np.round(good)).all()
    assert good.mean() == pytest.approx(70.0, rel=0.01)


def test_counts_fluctuate_as_poisson_numbers(read):
    """The variance over the lumisections is the mean, once luminosity, which is common to a map, is divided out."""
    good = maps(read(replace(STEADY, **ALL_GOOD))).astype(float)
    luminosity = good.mean(axis=(1, 2), keepdims=True) / good.mean()
    residual = (good - luminosity * good.mean(0)) / np.sqrt(luminosity * good.mean(0))
    assert residual.var() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(("normalize", "power"), [("total", 1), ("root", 2)])
def test_normalized_mean_is_one(read, normalize, power):
    images = maps(read(replace(COUNTED, events=128, normalize=normalize))).astype(float)
    np.testing.assert_allclose((images**power).mean(axis=(1, 2)), 1.0, rtol=1e-5)


def test_luminosity_decays_in_a_fill(read):
    good = read(OccupancySimulation(events=1000, normalize="none", **ALL_GOOD))
    totals = maps(good).sum(axis=(1, 2)).reshape(2, 500)
    assert totals[:, :20].mean() / totals[:, -20:].mean() == pytest.approx(np.e, rel=0.1)


def test_occupancy_falls_as_the_square_of_the_radius(read):
    rings = maps(read(replace(STEADY, events=500, gain_spread=0.0, **ALL_GOOD))).mean(axis=(0, 2))
    radius = 1 + 2 * (np.arange(24) + 0.5) / 24
    np.testing.assert_allclose(rings * radius**2 / (rings[0] * radius[0] ** 2), 1.0, atol=0.02)


def test_efficiencies_of_modules_and_the_beam_spot_drift_slowly(read):
    """Half a period apart, modules and halves of the disk differ by per cents; without drift hardly."""

    def change(**drifts):
        images = maps(read(replace(STEADY, events=1500, period=1500.0, normalize="total", **drifts, **ALL_GOOD)))
        early, late = images[300:450].mean(0), images[1050:1200].mean(0)
        modules = (late / early).reshape(3, 8, 6, 8).mean(axis=(1, 3))
        facing = np.cos(2 * np.pi * (np.arange(48) + 0.5) / 48) > 0
        return modules.std(), early[:, facing].mean() / late[:, facing].mean() - 1

    assert change()[0] < 0.003
    assert change(drift=0.03)[0] > 0.02
    assert abs(change()[1]) < 0.002
    assert change(beam_offset=0.05)[1] > 0.02


def test_dead_channels_are_zero_and_as_many_as_affected(events):
    """At these counts hardly a channel counts nothing by chance: its mean is 20 or more."""
    dead = (maps(events, DEAD) == 0).sum(axis=(1, 2))
    affected = events.beside["affected"][events.label == DEAD]
    assert (np.abs(dead - affected) <= 1).all()
    assert affected.min() == 1
    assert affected.max() > 64
    good = events.label == GOOD
    assert (events.beside["affected"][good] == 0).all()
    assert (events.beside["factor"][good] == 1).all()
    assert (maps(events, GOOD) == 0).mean() < 1e-5


def test_hot_channels_count_their_factor_more(read):
    hot = read(replace(STEADY, events=1000, dead_share=0.0, hot_share=1.0, shifted_share=0.0))
    good = maps(read(replace(STEADY, events=1000, **ALL_GOOD))).mean(0)
    ratio = maps(hot) / good
    ratio /= np.median(ratio, axis=(1, 2), keepdims=True)
    strong = hot.beside["factor"] > 10
    clear = (ratio > 4).sum(axis=(1, 2))
    np.testing.assert_array_equal(clear[strong], hot.beside["affected"][strong])
    assert set(hot.beside["affected"]) == {1, 8}
    single = strong & (hot.beside["affected"] == 1)
    assert np.median(ratio.max(axis=(1, 2))[single] / hot.beside["factor"][single]) == pytest.approx(1.0, abs=0.05)


def test_turned_maps_are_the_good_map_turned(read):
    shifted = read(replace(STEADY, events=1000, dead_share=0.0, hot_share=0.0, shifted_share=1.0))
    good = maps(read(replace(STEADY, events=1000, **ALL_GOOD))).mean(0)
    shift = shifted.beside["shift"]
    assert set(np.abs(shift[shift != 0])) == set(range(1, 13))
    for event in np.flatnonzero(shift != 0)[:20]:
        back = np.roll(maps(shifted)[event], -shift[event], axis=1)
        fit = [np.corrcoef(np.ravel(image), np.ravel(good))[0, 1] for image in (back, maps(shifted)[event])]
        assert fit[0] > 0.97
        assert fit[0] > fit[1]


def test_changed_gains_are_those_of_a_sector(read):
    shifted = read(replace(STEADY, events=1000, dead_share=0.0, hot_share=0.0, shifted_share=1.0))
    good = maps(read(replace(STEADY, events=1000, **ALL_GOOD))).mean(0)
    strong = (shifted.beside["shift"] == 0) & (np.abs(np.log(shifted.beside["factor"])) > 0.3)
    ratio = maps(shifted)[strong].sum(axis=1) / good.sum(axis=0)
    for columns, affected in zip(ratio, shifted.beside["affected"][strong], strict=True):
        order = np.sort(columns)
        assert np.argmax(np.diff(order)) + 1 in (affected // 24, 48 - affected // 24)
        assert 8 <= affected // 24 <= 24


def test_shares_choose_the_classes(read):
    for label, option in ((DEAD, "dead_share"), (HOT, "hot_share"), (SHIFTED, "shifted_share")):
        shares = {**ALL_GOOD, option: 1.0}
        assert (read(OccupancySimulation(events=100, **shares)).label == label).all()


@pytest.mark.parametrize("shape", [(1, 8), (8, 8), (2, 2)])
def test_small_maps_have_room_for_every_anomaly(read, shape):
    small = read(OccupancySimulation(events=500, shape=shape, module=shape, dead_share=0.3, hot_share=0.3))
    assert np.isfinite(maps(small)).all()
    assert small.beside["affected"].max() <= shape[0] * shape[1]


def test_options_that_contradict_each_other_are_an_error_in_the_recipe():
    with pytest.raises(RecipeError, match=r"dead_share, hot_share and shifted_share add up to 1\.15; make them 1 at"):
        build("reader", "occupancy_simulation", {"dead_share": 0.6, "hot_share": 0.5})
    with pytest.raises(RecipeError, match="modules of 8 x 8 channels do not fill a map of 20 x 48; choose divisors"):
        build("reader", "occupancy_simulation", {"shape": [20, 48]})


def test_other_files_are_other_seeds():
    simulation = OccupancySimulation(counts=30.0)
    assert simulation.on(["occupancy:7"]) == replace(simulation, seed=7)
    assert simulation.on(["occupancy:7:50"]) == replace(simulation, seed=7, events=50)


@pytest.mark.parametrize("files", [[], ["occupancy:1", "occupancy:2"], ["maps.h5"], ["occupancy:1:0"]])
def test_other_files_that_are_no_simulations_are_an_error(files):
    with pytest.raises(InputError, match="occupancy:SEED"):
        OccupancySimulation().on(files)


def test_options_have_bounds():
    read = TypeAdapter(OccupancySimulation).validate_json
    assert read('{"events": 5, "counts": 20}', strict=True) == OccupancySimulation(events=5, counts=20.0)
    for wrong in ('"events": 0', '"counts": 0', '"shape": [0, 8]', '"dead_share": 1.5', '"seed": -1', '"drift": 1'):
        with pytest.raises(ValidationError):
            read(f"{{{wrong}}}", strict=True)
