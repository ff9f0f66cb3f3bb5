"""The reference of a detector: which columns are watched, and their histograms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hepanom.errors import InputError
from hepanom.events import Events, Input, Jagged, Schema
from hepanom.reference_sample import Axis, columns, filled, matrix, measure
from tests.backgrounds import SCHEMA, drawn


def test_quantiles_and_few_values_are_those_of_the_events() -> None:
    met = drawn(np.random.default_rng(7), 5000, weighted=True)
    reference = measure([met], SCHEMA, ("all",), {}, 0)
    kinds = {axis.name: axis for axis in reference.axes}
    held = dict(zip(kinds, reference.held, strict=True))
    assert kinds["jets"].few
    assert kinds["jets"].knots.tolist() == [0, 1, 2, 3]
    assert not kinds["a"].few
    a = np.asarray(met.events.inputs["table"])[:, 0]
    order = np.argsort(a)
    share = np.cumsum(met.weight[order]) / met.weight.sum()
    for wanted, found in zip((0.1, 0.5, 0.9), kinds["a"].quantiles(held["a"], (0.1, 0.5, 0.9)), strict=True):
        assert found == pytest.approx(a[order][np.searchsorted(share, wanted)], abs=0.02)
    missing = np.isnan(np.asarray(met.events.inputs["table"])[:, 2])
    assert held["b"].weight[-1] == pytest.approx(met.weight[missing].sum(), rel=1e-6)
    assert np.isnan(kinds["b"].quantiles(filled(kinds["b"], np.array([np.nan]), np.ones(1)), [0.5])[0])


def test_a_reference_of_many_events_is_a_random_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hepanom.reference_sample.MOST_EVENTS", 1000)
    rng = np.random.default_rng(8)
    chunks = [drawn(rng, 700, weighted=False) for _ in range(10)]
    reference = measure(chunks, SCHEMA, ("all",), {}, 0)
    assert (reference.about["events"], reference.about["sampled"]) == (7000, 1000)
    assert reference.held[0].weight.sum() == 1000


def test_points_and_images_are_watched_event_by_event() -> None:
    cloud = Jagged(np.array([[1.0, 4], [3, 6], [5, 5]], np.float32), np.array([0, 2, 2, 3]))
    image = np.arange(3 * 4, dtype=np.float32).reshape(3, 1, 2, 2)
    inputs = {"hits": Input("points", ("x", "y"), ("mm", "mm")), "map": Input("image", ("n",), ("",), (2, 2))}
    schema, three = Schema(inputs), np.zeros(3, np.int64)
    events = Events(np.arange(3, dtype=np.uint64), {"hits": cloud, "map": image}, np.ones(3), three, three)
    names = [name for name, _ in columns(schema)]
    assert names == ["hits points", "mean x", "mean y", "n[0,0]", "n[0,1]", "n[1,0]", "n[1,1]"]
    found = matrix(events, schema)
    assert found[:, :3].tolist()[::2] == [[2, 2, 5], [1, 5, 5]]
    assert found[1, 0] == 0
    assert np.isnan(found[1, 1:3]).all()
    assert found[2, 3:].tolist() == [8, 9, 10, 11]


def test_a_large_image_is_looked_at_in_blocks() -> None:
    schema = Schema({"map": Input("image", ("n",), ("",), (90, 50))})
    names = [name for name, _ in columns(schema)]
    assert len(names) == 45 * 17 or len(names) <= 2048
    one = np.zeros(1, np.int64)
    image = np.ones((1, 1, 90, 50), np.float32)
    events = Events(np.zeros(1, np.uint64), {"map": image}, np.ones(1), one, one)
    assert (matrix(events, schema) == 1).all()
    assert matrix(events, schema).shape == (1, len(names))


def test_negative_weights_are_refused() -> None:
    met = drawn(np.random.default_rng(1), 100, weighted=False)
    with pytest.raises(InputError, match=r"the reference: 100 of 100 weights are negative, which have no quantiles"):
        measure([replace(met, weight=-met.weight)], SCHEMA, ("all",), {}, 0)


def test_values_beyond_the_reference_have_bins() -> None:
    axis = Axis("column", "jets", "", "", few=True, knots=np.array([0.0, 1.0]))
    assert axis.place(np.array([0.0, 1.0, 0.5, 7.0, np.nan])).tolist() == [0, 1, 2, 2, 3]
    axis = replace(axis, few=False)
    assert axis.place(np.array([-1.0, 0.5, 1.0, 7.0, np.nan])).tolist() == [0, 1, 1, 2, 3]


def test_half_of_equal_values_lie_below_a_value() -> None:
    axis = Axis("column", "jets", "", "", few=True, knots=np.array([0.0, 1.0, 2.0]))
    held = filled(axis, np.array([0.0, 1.0, 2.0, np.nan]), np.array([2.0, 6.0, 2.0, 90.0]))
    assert [axis.below(held, value) for value in (-1.0, 0.0, 1.0, 1.5, 2.0, 7.0)] == [0.0, 0.1, 0.5, 0.8, 0.9, 1.0]
    axis = replace(axis, few=False)
    assert [axis.below(held, value) for value in (-1.0, 0.0, 0.5, 7.0)] == pytest.approx([0.0, 0.1, 0.5, 1.0])
