from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy import stats
from scipy.integrate import quad
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

from hepanom.contracts import Part
from hepanom.errors import InputError
from hepanom.events import Events
from hepanom_plugins.readers.toy import Toy


def _read(toy: Toy, parts: list[Part] | None = None) -> Events:
    return Events.concat([chunk for part in parts or toy.parts() for chunk in toy.read(part)])


def _same(a: Events, b: Events) -> bool:
    return (
        np.array_equal(a.event_id, b.event_id)
        and np.array_equal(a.inputs["features"], b.inputs["features"], equal_nan=True)
        and np.array_equal(a.weight, b.weight)
        and np.array_equal(a.label, b.label)
        and np.array_equal(a.beside["event"], b.beside["event"])
    )


@pytest.fixture(scope="module")
def events() -> Events:
    return _read(Toy(events=60000, signal_share=0.2, seed=3))


@pytest.fixture(scope="module")
def column(events):
    columns = Toy().schema().inputs["features"].columns
    return lambda name: events.inputs["features"][:, columns.index(name)].astype(np.float64)


@pytest.mark.parametrize("chunk", [333, 8192, 10000, 20000, 10**9])
def test_events_do_not_depend_on_chunk_size(chunk):
    assert _same(_read(Toy(events=20001, chunk=chunk)), _read(Toy(events=20001)))


@pytest.mark.parametrize("chunk", [500, 65536])
def test_events_do_not_depend_on_parts(chunk):
    toy = Toy(events=30000, chunk=chunk)
    edges = [0, 1, 5000, 8192, 8193, 29999, 30000]
    pieces = [Part("toy", start, stop) for start, stop in pairwise(edges)]
    assert _same(_read(toy, pieces), _read(toy))


def test_parts_cover_every_event_once_and_chunks_are_bounded():
    toy = Toy(events=300001, chunk=50000)
    parts = list(toy.parts())
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert parts[-1].stop == 300001
    assert len(parts) > 1
    sizes = [len(chunk) for part in parts for chunk in toy.read(part)]
    assert sum(sizes) == 300001
    assert max(sizes) <= 50000


def test_longer_toy_begins_with_the_shorter_one():
    long, short = _read(Toy(events=20000)), _read(Toy(events=9000))
    assert _same(long.mask(np.arange(20000) < 9000), short)


def test_seeds_and_blocks_give_different_events():
    one, two = _read(Toy(events=16384, seed=1)), _read(Toy(events=16384, seed=2))
    masses = np.concatenate([one.inputs["features"][:, 0], two.inputs["features"][:, 0]]).reshape(4, 8192)
    for a in range(4):
        for b in range(a):
            assert not np.isin(masses[a], masses[b]).mean() > 0.2
            assert (masses[a] == masses[b]).mean() < 0.01
    assert len(np.unique(np.concatenate([one.event_id, two.event_id]))) == 32768


def test_events_match_the_schema(events):
    schema = Toy().schema()
    _, table = schema.table()
    assert events.inputs["features"].shape == (60000, len(table.columns))
    assert events.inputs["features"].dtype == np.float32
    assert len(table.units) == len(table.columns)
    assert schema.classes == ("background", "resonance")
    assert tuple(events.beside) == schema.beside
    assert (events.label == 1).mean() == pytest.approx(0.2, abs=0.01)


def test_weighted_background_follows_the_stated_density(events, column):
    def density(mass: float) -> float:
        x = mass / 13000
        return (1 - x) ** 9 / x ** (5 + 0.1 * np.log(x))

    mass, background = column("m_jj"), events.label == 0
    edges = np.array([1500, 1550, 1650, 1800, 2000, 2300, 2600, 3000, 3500, 4500, 7000])
    expected = np.array([quad(density, low, high)[0] for low, high in pairwise(edges)])
    expected *= background.sum() / expected.sum()
    weight = events.weight[background]
    found, _ = np.histogram(mass[background], edges, weights=weight)
    variance, _ = np.histogram(mass[background], edges, weights=weight**2)
    pull = (found - expected) / np.sqrt(variance)
    assert np.abs(pull).max() < 4
    assert weight.mean() == pytest.approx(1, abs=0.02)


def test_background_is_generated_in_equal_slices_of_one_weight_each(events, column):
    mass, background = column("m_jj"), events.label == 0
    which = np.digitize(mass[background], [1800, 2300, 3000])
    assert np.bincount(which) / background.sum() == pytest.approx(np.full(4, 0.25), abs=0.01)
    weights = [np.unique(events.weight[background][which == index]) for index in range(4)]
    assert [len(found) for found in weights] == [1, 1, 1, 1]
    assert (np.diff(np.concatenate(weights)) < 0).all()


def test_resonance_has_the_stated_mass_and_width():
    toy = Toy(events=20000, signal_share=1.0, mass=3000.0, width=200.0)
    mass = _read(toy).inputs["features"][:, 0]
    assert np.median(mass) == pytest.approx(3000, abs=10)
    assert (np.abs(mass - 3000) < 100).mean() == pytest.approx(
        0.5 / (1 - 100 / np.pi * (1 / 1500 + 1 / 4000)), abs=0.015
    )
    assert (_read(Toy(events=5000, signal_share=0.0)).label == 0).all()


def test_missing_values_follow_the_stated_pattern(events, column):
    assert np.array_equal(np.isnan(column("pt_j3")), column("n_jets") == 2)
    assert np.bincount(column("n_jets").astype(int))[2:] / 60000 == pytest.approx([0.5, 0.35, 0.15], abs=0.01)
    undefined = np.isnan(column("m_sv1"))
    for some in (events.label == 0, events.label == 1, column("m_jj") > 2300, column("n_jets") == 2):
        assert undefined[some].mean() == pytest.approx(0.2, abs=0.015)
    others = [name for name in Toy().schema().inputs["features"].columns if name not in ("pt_j3", "m_sv1")]
    assert all(np.isfinite(column(name)).all() for name in others)
    pt = column("m_jj") / (2 * np.cosh(column("delta_eta") / 2))
    third = column("n_jets") > 2
    assert ((column("pt_j3") >= 29.99) & (column("pt_j3") <= pt * 1.001))[third].all()


def test_distributions_are_those_of_the_formulas(events, column):
    """Every formula is undone, and what remains compared with the uniform or normal numbers that went in."""
    background, signal = events.label == 0, events.label == 1
    delta_eta, jets = column("delta_eta"), column("n_jets")
    pt = column("m_jj") / (2 * np.cosh(delta_eta / 2))
    radiated = (1 / 30 - 1 / column("pt_j3")) / (1 / 30 - 1 / pt)
    log_mass, log_vertex = np.log([column("m_j1"), column("m_j2")]), np.log(column("m_sv1"))
    excess = log_mass - np.log(0.12 * pt)
    z = np.array([-np.log(1 / column(name) - 1) for name in ("tau21_1", "tau21_2")])
    found = {
        "background delta_eta": (np.expm1(delta_eta) / np.expm1(1.3))[background],
        "signal delta_eta": (np.tanh(delta_eta / 2) / np.tanh(0.65))[signal],
        "third of three": radiated[jets == 3],
        "third of four": radiated[jets == 4] ** 2,
        "background heavier jet": stats.norm.cdf(excess[0, background] / 0.4) ** 2,
        "background lighter jet": stats.norm.sf(excess[1, background] / 0.4) ** 2,
        "signal jets": stats.norm.cdf((log_mass[:, signal] - np.log([[300.0], [150.0]])) / 0.08).ravel(),
        "background tau21": stats.norm.cdf((z - 0.5 + excess)[:, background] / 0.5).ravel(),
        "signal tau21": stats.norm.cdf((z[:, signal] + 0.8) / 0.5).ravel(),
        "background vertex": stats.norm.cdf((log_vertex[background] - np.log(1.5)) / 0.4),
        "signal vertex": stats.norm.cdf((log_vertex[signal] - np.log(2.5)) / 0.4),
    }
    agreement = {name: stats.kstest(u[np.isfinite(u)], "uniform").pvalue for name, u in found.items()}
    assert min(agreement.values()) > 1e-3, agreement


def test_substructure_of_the_background_is_correlated(events, column):
    background = events.label == 0
    ratio = np.log(column("m_j1") / column("m_jj"))[background]
    assert np.corrcoef(ratio, column("tau21_1")[background])[0, 1] < -0.4
    assert np.corrcoef(np.log(column("m_jj"))[background], np.log(column("m_j2"))[background])[0, 1] > 0.4
    assert (column("m_j1") >= column("m_j2")).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_resonance_is_found_by_all_features_together_not_by_the_dijet_mass(weighted):
    events = _read(Toy(events=20000))
    weight = events.weight if weighted else None
    features = np.nan_to_num(events.inputs["features"], nan=-1.0)
    forest = IsolationForest(n_estimators=50, random_state=0).fit(features[events.label == 0][:5000])
    assert roc_auc_score(events.label, -forest.score_samples(features), sample_weight=weight) > 0.7
    by_mass = roc_auc_score(events.label, features[:, 0], sample_weight=weight)
    assert 0.1 < by_mass < 0.9


def test_other_files_are_other_seeds():
    toy = Toy(events=9000, seed=1, mass=2500.0)
    assert toy.on(["toy:7"]) == Toy(events=9000, seed=7, mass=2500.0)
    assert toy.on(["toy:7:100"]) == Toy(events=100, seed=7, mass=2500.0)
    assert _same(_read(toy.on(["toy:1:50"])), _read(Toy(events=50, mass=2500.0)))


@pytest.mark.parametrize("files", [[], ["toy:1", "toy:2"], ["events.csv"], ["toy"], ["toy:x"], ["toy:1:0"], ["toy:-1"]])
def test_other_files_that_are_no_toys_are_an_error(files):
    with pytest.raises(InputError, match="toy:SEED"):
        Toy().on(files)


def test_options_have_bounds():
    read = TypeAdapter(Toy).validate_json
    assert read('{"events": 5, "mass": 2500}', strict=True) == Toy(events=5, mass=2500.0)
    for wrong in ('"events": 0', '"signal_share": 1.5', '"seed": -1', '"mass": 100', '"width": 0', '"chunk": 0'):
        with pytest.raises(ValidationError):
            read(f"{{{wrong}}}", strict=True)
