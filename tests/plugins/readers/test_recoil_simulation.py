"""The simulated recoil: the same events however they are read, and each formula of its docstring found in them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from offered import assert_equal
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from hepanom.contracts import Part
from hepanom.errors import InputError
from hepanom.events import Events
from hepanom_plugins.readers.recoil_simulation import (
    COLUMNS,
    SUMS,
    VECTORS,
    RecoilSimulation,
    emissions,
    response,
    soft,
)


def _read(reader: RecoilSimulation, parts: list[Part] | None = None) -> Events:
    return Events.concat([chunk for part in parts or reader.parts() for chunk in reader.read(part)])


def _column(events: Events, name: str) -> np.ndarray:
    return np.asarray(events.inputs["features"])[:, list(COLUMNS).index(name)].astype(np.float64)


def _vector(events: Events, name: str) -> np.ndarray:
    return np.stack([_column(events, f"{name}_{axis}") for axis in "xy"])


def _boson(events: Events) -> np.ndarray:
    return np.stack([events.beside["boson_x"], events.beside["boson_y"]])


@pytest.fixture(scope="module")
def events() -> Events:
    return _read(RecoilSimulation(events=30000, invisible_share=0.3, median_pt=40.0, seed=3))


@pytest.mark.parametrize("chunk", [333, 4096, 5000, 10**9])
def test_events_do_not_depend_on_chunk_size(chunk: int) -> None:
    assert_equal(_read(RecoilSimulation(events=9001, chunk=chunk)), _read(RecoilSimulation(events=9001)))


def test_events_do_not_depend_on_parts() -> None:
    reader = RecoilSimulation(events=9000, chunk=700)
    edges = [0, 1, 3000, 4096, 4097, 8999, 9000]
    assert_equal(_read(reader, [Part("recoil", start, stop) for start, stop in pairwise(edges)]), _read(reader))


def test_a_longer_run_begins_with_the_shorter_one_and_other_seeds_are_other_events() -> None:
    long, short, other = (_read(RecoilSimulation(events=n, seed=seed)) for n, seed in ((6000, 1), (4500, 1), (6000, 2)))
    assert_equal(long.mask(np.arange(6000) < 4500), short)
    assert not np.isin(long.event_id, other.event_id).any()
    assert (_column(long, "u_pf_x") == _column(other, "u_pf_x")).mean() < 0.01


def test_the_boson_follows_its_spectrum_in_every_direction(events: Events) -> None:
    pt, azimuth = events.beside["boson_pt"], np.arctan2(*_boson(events)[::-1])
    u = pt**2 / (pt**2 + 40**2) * (1 + (40 / 500) ** 2)
    assert stats.kstest(u[u < 1], "uniform").statistic < 0.01
    assert stats.kstest(azimuth / (2 * np.pi) + 0.5, "uniform").pvalue > 1e-3
    np.testing.assert_allclose(pt, np.hypot(*_boson(events)))


def test_targets_are_the_recoil_that_the_muons_say(events: Events) -> None:
    assert events.target is not None
    np.testing.assert_array_equal(events.target, -_boson(events).T)


def test_only_the_invisible_class_misses_momentum(events: Events) -> None:
    invisible, missing = events.label == 1, events.beside["missing_pt"]
    assert invisible.mean() == pytest.approx(0.3, abs=0.01)
    assert not missing[~invisible].any()
    assert stats.kstest(missing[invisible], "expon", args=(0, 60)).pvalue > 1e-3
    imbalance = np.hypot(*(_vector(events, "u_pf") + _boson(events)))
    assert np.median(imbalance[invisible & (missing > 100)]) > 3 * np.median(imbalance[~invisible])


def test_emissions_share_out_what_there_is() -> None:
    generator = np.random.default_rng(1)
    hadrons = 50 * generator.standard_normal((2, 2000))
    found = emissions(hadrons, generator)
    np.testing.assert_allclose(found.sum(1), hadrons, atol=1e-10)
    kicks = emissions(np.zeros((2, 2000)), generator)
    assert kicks.std() == pytest.approx(4 * (5 / 6) ** 0.5, rel=0.02)


def test_the_calorimeter_measures_too_little_and_the_less_the_slower_the_hadron() -> None:
    share = response(np.array([0.0, 5.0, 100.0, 500.0]))
    assert share == pytest.approx([0.55, 0.674, 0.804, 0.853], abs=1e-3)


def test_soft_vertices_are_balanced_in_part_and_grow_with_their_number() -> None:
    (charged, sum_charged), (neutral, sum_neutral) = soft(np.repeat([4, 16], 40000), np.random.default_rng(1))
    few, many = slice(0, 40000), slice(40000, None)
    assert sum_charged[few].mean() == pytest.approx(48, rel=0.02)
    assert sum_neutral[many].mean() == pytest.approx(128, rel=0.02)
    assert charged[:, many].std() / charged[:, few].std() == pytest.approx(2, rel=0.02)
    assert charged[:, few].std() == pytest.approx(0.7 * 48**0.5, rel=0.02)
    slope = (charged * neutral).sum() / (charged**2).sum()
    assert slope == pytest.approx(-0.4, abs=0.01)
    assert not np.any(soft(np.zeros(5, np.int64), np.random.default_rng(1))[0][0])


def test_the_plain_estimate_is_the_sum_of_its_pieces(events: Events) -> None:
    pieces = sum(_vector(events, name) for name in ("u_track", "u_neutral", "u_pileup"))
    np.testing.assert_allclose(_vector(events, "u_pf"), pieces, atol=1e-3)
    assert (_column(events, "sum_et_pf") >= _column(events, "sum_et_track") + _column(events, "sum_et_neutral")).all()


def test_estimates_measure_less_than_the_recoil_and_pileup_widens_those_that_see_it() -> None:
    quiet, loud = (_read(RecoilSimulation(events=20000, invisible_share=0.0, pileup=n)) for n in (0.0, 60.0))
    for name, least, most in (("u_pf", 0.7, 0.95), ("u_track", 0.4, 0.6), ("u_neutral", 0.25, 0.5)):
        for found in (quiet, loud):
            boson = _boson(found)
            share = -(_vector(found, name) * boson).sum() / (boson**2).sum()
            assert least < share < most, name
    for name, ratio in (("u_pf", 5), ("u_track", 1)):
        narrow, wide = ((_vector(found, name) * _boson(found)[::-1] * [[1], [-1]]).sum(0) for found in (quiet, loud))
        narrow, wide = narrow / quiet.beside["boson_pt"], wide / loud.beside["boson_pt"]
        assert wide.std() / narrow.std() == pytest.approx(ratio, rel=0.1), name
    assert (_column(quiet, "n_vertices") == 1).all()
    assert _column(loud, "n_vertices").mean() == pytest.approx(43, rel=0.01)


def test_jets_are_what_lies_above_the_threshold_the_hardest_first(events: Events) -> None:
    number = _column(events, "n_jets")
    first, second, total = (_vector(events, name) for name in ("jet_1", "jet_2", "u_jets"))
    pt_1, pt_2 = np.hypot(*first), np.hypot(*second)
    np.testing.assert_array_equal(pt_1 > 0, number > 0)
    np.testing.assert_array_equal(pt_2 > 0, number > 1)
    assert min(pt_1[number > 0].min(), pt_2[number > 1].min()) > 19.999
    assert (pt_1 >= pt_2 - 1e-3).all()
    few = number < 3
    np.testing.assert_allclose(total[:, few], (first + second)[:, few], atol=1e-3)
    assert number.max() > 2
    none = _read(RecoilSimulation(events=2000, jet_threshold=1e4))
    assert not np.any(_column(none, "n_jets"))


def test_every_column_is_filled(events: Events) -> None:
    features = np.asarray(events.inputs["features"])
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert (features.std(0) > 0).all()
    assert len(COLUMNS) == 2 * len(VECTORS) + len(SUMS) + 2 == features.shape[1]


def test_other_files_are_other_seeds() -> None:
    reader = RecoilSimulation(events=9000, seed=1, pileup=5.0)
    assert reader.on(["recoil:7"]) == RecoilSimulation(events=9000, seed=7, pileup=5.0)
    assert reader.on(["recoil:7:100"]) == RecoilSimulation(events=100, seed=7, pileup=5.0)


@pytest.mark.parametrize("files", [[], ["recoil:1", "recoil:2"], ["events.root"], ["recoil:x"], ["recoil:1:0"]])
def test_other_files_that_are_no_recoil_are_an_error(files: list[str]) -> None:
    with pytest.raises(InputError, match="recoil:SEED"):
        RecoilSimulation().on(files)


def test_options_have_bounds() -> None:
    read = TypeAdapter(RecoilSimulation).validate_json
    assert read('{"events": 5, "pileup": 10.0}', strict=True) == RecoilSimulation(events=5, pileup=10.0)
    for wrong in ('"events": 0', '"invisible_share": 1.5', '"median_pt": 0', '"pileup": -1', '"chunk": 0'):
        with pytest.raises(ValidationError):
            read(f"{{{wrong}}}", strict=True)
