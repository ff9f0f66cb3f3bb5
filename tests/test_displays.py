"""Displays of strange events: jets and leptons by their momenta, sets of points, and the features behind a score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hepanom import report
from hepanom.assess import assess
from hepanom.canvas import style
from hepanom.clouds import cloud_figure, coordinates
from hepanom.displays import displays, momenta
from hepanom.efficiency import quantile
from hepanom.events import Events, Input, Jagged, Schema
from hepanom.monitor import with_reference
from hepanom.objects_figure import objects_figure
from hepanom.ranked_figure import ranked_figure
from hepanom.result import Cloud, Objects, Result
from hepanom.shares import held
from tests.toys import fitted


def whole() -> Result:
    detector, histories, events = fitted()
    shares = held(detector.parts, events)
    return assess(with_reference(detector, shares), histories, shares)


@pytest.fixture(scope="module")
def result() -> Result:
    return whole()


def test_momenta_are_told_by_the_names_of_columns() -> None:
    columns = ("met", "Jet_pt[0]", "Jet_eta[0]", "Jet_phi[0]", "Jet_pt[1]", "Jet_eta[1]", "pxj1", "pyj1", "pzj1", "opt")
    assert momenta(columns) == {"Jet[0]": ([1, 2, 3], True), "j1": ([6, 7, 8], False)}
    assert momenta(("PRI_tau_pt", "PRI_tau_eta", "PRI_tau_phi")) == {"PRI_tau": ([0, 1, 2], True)}
    assert momenta(("Muon_Px[0]", "Muon_Pz[0]", "Muon_Py[0]")) == {"Muon[0]": ([0, 2, 1], False)}
    assert momenta(("pt", "eta", "phi")) == {"object": ([0, 1, 2], True)}
    assert momenta(("m_jj", "tau21", "pt1", "eta1")) == {}


def shown(entry: Input, values: np.ndarray | Jagged, events: int) -> list[Cloud | Objects]:
    """Return the displays of events with one input."""
    detector, _, _ = fitted()
    schema = Schema({"input": entry}, ("background", "signal"))
    detector = replace(detector, parts=replace(detector.parts, schema=schema))
    numbers = np.arange(events)
    some = Events(
        numbers.astype(np.uint64), {"input": values}, np.ones(events), numbers % 2, np.zeros(events, np.int64)
    )
    return displays(detector, some, {"reconstruction": (some, numbers.astype(np.float64))})


def test_cartesian_and_polar_momenta_are_drawn_alike_and_missing_objects_are_left_out() -> None:
    columns = ("pxj1", "pyj1", "pzj1", "l_pt", "l_eta", "l_phi")
    rows = np.array([[3.0, 4, 5 * np.sinh(1.2), np.nan, 0, 0], [0, -2, 0, 7, -1, 4]] * 3)
    found = shown(Input("table", columns, ("GeV",) * 6), rows, 6)
    assert [each.why for each in found] == ["an ordinary test event"] * 2 + ["strangest by reconstruction"] * 4
    first, second = found[:2]
    assert isinstance(first, Objects)
    assert isinstance(second, Objects)
    assert (first.names, first.unit, first.truth) == (("j1",), "GeV", "background")
    assert first.momenta == pytest.approx(np.array([[5, 1.2, np.arctan2(4, 3)]]))
    assert set(second.names) == {"j1", "l"}
    assert second.momenta[second.names.index("l")] == pytest.approx([7, -1, 4 - 2 * np.pi])


def test_constituents_are_objects_and_other_points_are_places(result: Result) -> None:
    points = Jagged(np.arange(24, dtype=np.float32).reshape(6, 4), np.array([0, 3, 6]))
    jets = shown(Input("points", ("pt", "eta", "phi", "charge"), ("GeV", "", "", "")), points, 2)
    assert all(isinstance(each, Objects) and len(each.momenta) == 3 for each in jets)
    tracks = shown(Input("points", ("x", "y", "z", "charge"), ("mm", "mm", "mm", "")), points, 2)
    assert all(isinstance(each, Cloud) and each.points.shape == (3, 4) for each in tracks)
    with style():
        clouds = [each for each in tracks if isinstance(each, Cloud)]
        figure = cloud_figure(result, "all", clouds)
        assert len(figure.axes) == 4 * len(clouds)
        objects = [each for each in jets if isinstance(each, Objects)]
        assert len(objects_figure(result, "all", objects).axes) >= len(objects)
    drawn = report.figures(replace(result, displays=[*clouds, *objects], histories={}, test=result.test))
    assert {"points_all", "objects_all"} <= set(drawn)


def test_charges_and_times_are_no_places() -> None:
    assert coordinates(("x", "y", "z", "charge")) == (0, 1, 2)
    assert coordinates(("energy", "x", "y")) == (1, 2)
    assert coordinates(("eta", "phi", "pt", "mass")) == (0, 1, 2)
    assert coordinates(("q", "t")) == (0, 1)


def test_events_without_points_or_momenta_have_no_display(result: Result) -> None:
    assert result.displays == []
    assert shown(Input("table", ("m_jj",), ("GeV",)), np.ones((3, 1)), 3) == []
    detector, _, _ = fitted()
    assert displays(detector, None, {}) == []


def test_features_of_a_strange_event_stand_beside_what_background_has(result: Result) -> None:
    detector, _, events = fitted()
    known = events["calibrate"]
    known = known.mask(known.label == detector.parts.schema.classes.index("background"))
    background = np.asarray(next(iter(known.inputs.values())))
    _, entry = detector.parts.schema.table()
    strange = result.strangest["reconstruction"]
    told = [(each, feature) for each in strange for feature in each.features if feature[0] in each.typical]
    assert len(told) > 10
    for event, (name, value, _, _) in told:
        column = background[:, entry.columns.index(name)]
        there = ~np.isnan(column)
        column, weight = column[there], known.weight[there] / known.weight[there].sum()
        median, below = event.typical[name]
        assert median == pytest.approx(quantile(column, weight, 0.5), rel=0.02, abs=0.02)
        if not np.isnan(value):
            least, most = weight[column < value].sum(), weight[column <= value].sum()
            assert least - 0.02 < below < most + 0.02
    with style():
        figure = ranked_figure(result, "reconstruction", strange)
    words = [text.get_text() for text in figure.axes[0].texts]
    assert len(words) == len(strange[0].features)
    assert any(("median" in word and "above" in word) or "below" in word for word in words)
