"""Events from arrays: what comes in stands in the events, what does not fit is said, and no id is a position."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import hist
import numpy as np
import pandas as pd
import polars as pl
import pytest

from hepanom.document import Document
from hepanom.errors import InputError
from hepanom.events import Jagged, hash64
from hepanom.from_arrays import from_awkward, from_columns, from_hist, from_numpy, from_pandas, from_polars
from hepanom.plugins import build_one, registry
from hepanom.sample import ALIKE, Sample

TABLE = {"run": [1, 1, 2], "pt": [30.0, 40.0, np.nan], "w": [1.0, 2.0, 0.5], "kind": ["s", "b", "b"]}
ROLES: dict[str, Any] = {
    "weight": "w",
    "label": "kind",
    "id": ["run", "pt"],
    "features": ["pt"],
    "units": {"pt": "GeV"},
}
RECORDS = ak.Array(
    [
        {"met": 1.0, "event": 7, "hits": [{"x": 1.0, "y": 2.0}], "jet_pt": [5.0, 6.0], "jet_eta": [0.5, 0.6]},
        {"met": None, "event": 8, "hits": [], "jet_pt": [7.0], "jet_eta": [0.7]},
    ]
)


@pytest.mark.parametrize("given", [from_columns(TABLE, **ROLES), from_pandas(pd.DataFrame(TABLE), **ROLES)])
def test_columns_take_their_roles(given: Sample) -> None:
    same = from_polars(pl.DataFrame(TABLE), **ROLES)
    events, schema = given.events, given.schema
    assert given.fingerprint() == same.fingerprint()
    assert schema.table()[1].columns == ("pt",)
    assert schema.table()[1].units == ("GeV",)
    assert (schema.classes, schema.beside) == (("b", "s"), ("run", "pt"))
    np.testing.assert_array_equal(events.inputs["features"], np.float32([[30], [40], [np.nan]]))
    np.testing.assert_array_equal(events.label, [1, 0, 0])
    np.testing.assert_array_equal(events.weight, [1, 2, 0.5])
    np.testing.assert_array_equal(events.event_id, hash64([np.array([1, 1, 2]), np.array([30.0, 40.0, np.nan])]))


def test_an_id_comes_from_what_the_event_holds_and_never_from_its_position() -> None:
    values = np.random.default_rng(1).normal(size=(50, 3))
    order = np.random.default_rng(2).permutation(50)
    found, shuffled = from_numpy(values), from_numpy(values[order])
    assert len(np.unique(found.events.event_id)) == 50
    np.testing.assert_array_equal(found.events.event_id[order], shuffled.events.event_id)
    twice = from_numpy(np.concatenate([values, values[:5]]))
    assert twice.events.tally == {ALIKE: 5}
    clouds = from_awkward(RECORDS[["hits"]]), from_awkward(RECORDS[["hits"]][::-1])
    np.testing.assert_array_equal(clouds[0].events.event_id, clouds[1].events.event_id[::-1])


def test_the_order_of_points_is_part_of_what_an_event_is() -> None:
    one, other = ([{"hits": [{"x": 1.0}, {"x": 2.0}]}], [{"hits": [{"x": 2.0}, {"x": 1.0}]}])
    assert from_awkward(ak.Array(one)).events.event_id != from_awkward(ak.Array(other)).events.event_id


def test_awkward_records_become_a_table_and_points() -> None:
    found = from_awkward(RECORDS, points={"jets": ["jet_pt", "jet_eta"]}, id=["event"], units={"met": "GeV", "x": "mm"})
    inputs = found.schema.inputs
    assert {name: (entry.kind, entry.columns, entry.units) for name, entry in inputs.items()} == {
        "features": ("table", ("met",), ("GeV",)),
        "jets": ("points", ("jet_pt", "jet_eta"), ("", "")),
        "hits": ("points", ("x", "y"), ("mm", "")),
    }
    jets = found.events.inputs["jets"]
    assert isinstance(jets, Jagged)
    np.testing.assert_array_equal(jets.offsets, [0, 2, 3])
    np.testing.assert_array_equal(jets.values, np.float32([[5, 0.5], [6, 0.6], [7, 0.7]]))


def test_histograms_become_images_with_y_as_rows() -> None:
    h = hist.Hist.new.Reg(3, 0, 3).Reg(2, 0, 2).Double().fill([2.5, 2.5, 9.0], [0.5, 0.5, 0.5])
    found = from_hist({"inner": [h, h * 2], "outer": [h, h]}, id=[1, 2], label=["ok", "ok"])
    image = found.events.inputs["image"]
    assert found.schema.inputs["image"].columns == ("inner", "outer")
    assert isinstance(image, np.ndarray)
    np.testing.assert_array_equal(image[1, 0], [[0, 0, 4], [0, 0, 0]])
    line = from_hist(hist.Hist.new.Reg(3, 0, 3).Double())
    assert line.schema.inputs["image"].shape == (1, 3)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: from_numpy([1, 2]), r"values: found the shape \(2,\)"),
        (lambda: from_numpy([["a"]]), "values: holds something else than numbers"),
        (lambda: from_numpy(np.eye(3), ["a", "b"]), "columns: found 2 names, 2 of them different; 3 fit"),
        (lambda: from_numpy(np.eye(3), weight=[1, 2]), "weight: found 2 values for 3 events"),
        (lambda: from_numpy(np.eye(3), weight=[1, 2, np.nan]), "weight: event 2 has none"),
        (
            lambda: from_numpy(np.eye(3), label=[0, 1, 2], classes=["a", "b"]),
            "label: found 0 to 2; expected 0 to 1, or -1",
        ),
        (
            lambda: from_numpy(np.eye(3), label=list("abc"), classes=["a", "b"]),
            "label: 'c' is none of the classes a, b",
        ),
        (lambda: from_numpy(np.eye(3), units={"y0": "mm"}), "units: column 'y0' is not there; known are x0, x1, x2"),
        (lambda: from_columns(TABLE, weight="wt"), "column 'wt' is not there"),
        (lambda: from_columns(TABLE), "kind: holds something else than numbers .*give the column another role"),
        (lambda: from_columns({"w": [1.0]}, weight="w"), "no column is left for the features"),
        (lambda: from_awkward(RECORDS), "field 'jet_pt': found .*`points` joins lists"),
        (
            lambda: from_awkward(RECORDS, points={"jets": ["jet_pz"]}),
            "points: field 'jet_pz' is not there; did you mean",
        ),
        (lambda: from_hist([]), "channel 'counts': there is no histogram"),
    ],
)
def test_what_does_not_fit_is_named(make: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        make()


def test_values_that_mean_missing_become_nan_in_features_alone() -> None:
    values = np.array([[-999.0, 1.0], [2.0, -25.0]], np.float32)
    found = np.asarray(from_numpy(values, missing=[-999.0, -25.0]).events.inputs["features"])
    np.testing.assert_array_equal(found, [[np.nan, 1], [2, np.nan]])
    assert values[0, 0] == -999
    sample = from_columns({"pt": [-999.0, 3.0], "run": [-999, 4]}, id=["run"], missing=[-999.0])
    assert np.isnan(np.asarray(sample.events.inputs["features"])[0, 0])
    assert sample.events.beside["run"].tolist() == [-999, 4]
    hits = from_awkward(ak.Array([{"hits": [{"x": -1.0}, {"x": 3.0}]}]), missing=[-1.0]).events.inputs["hits"]
    assert isinstance(hits, Jagged)
    np.testing.assert_array_equal(hits.values, [[np.nan], [3]])


def test_a_saved_sample_is_read_as_it_was(tmp_path: Path) -> None:
    clouds = from_awkward(RECORDS, points={"jets": ["jet_pt", "jet_eta"]}, id=["event"])
    path = clouds.save(tmp_path / "clouds.npz")
    assert path.read_bytes() == clouds.save(tmp_path / "again.npz").read_bytes()
    node = {"use": "npz", "path": str(path), "chunk": 1}
    reader, _, mistakes = build_one(registry(), "reader", ("data",), node, Document("test", {"data": node}, {}, {}))
    assert mistakes == []
    (part,) = reader.parts()
    chunks = list(reader.read(part))
    whole = type(chunks[0]).concat(chunks)
    assert len(chunks) == 2
    assert Sample(whole, reader.schema()).fingerprint() == clouds.fingerprint()
    with pytest.raises(InputError, match=r"NAME\.npz"):
        clouds.save(tmp_path / "clouds.h5")


def test_values_show_themselves_in_a_line_and_as_escaped_tables() -> None:
    found = from_numpy(np.eye(3), ["<b>", "eta", "mass"], label=["<i>", "qcd", "qcd"])
    for value in (found, found.events, found.schema):
        assert "\n" not in repr(value)
        assert len(repr(value)) < 120
        page = value._repr_html_()
        assert page.startswith("<table>")
        assert "<b>eta" not in page
        assert "<i>" not in page
    assert "&lt;i&gt;" in found._repr_html_()
    assert "&lt;b&gt;" in found.schema._repr_html_()
