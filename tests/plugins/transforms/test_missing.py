from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from safetensors.numpy import load, save

from hepanom.errors import InputError
from hepanom_plugins.transforms.missing import Missing

NAN = np.nan
VALUES = st.floats(-1e6, 1e6, width=32) | st.just(NAN)
ROWS = st.lists(
    st.tuples(VALUES, VALUES, st.floats(1e-3, 10) | st.just(0.0), st.integers(0, 3)), min_size=1, max_size=30
)


@pytest.mark.parametrize(
    ("fill", "expected"), [("mean", 2.75), ("median", 2.0), ("minimum", 1.0), (-7.0, -7.0), (0.0, 0.0)]
)
def test_missing_values_are_filled_from_training(make, fit, fill, expected):
    events, schema = make({"x": [1, 2, NAN, 9]}, weight=[1, 2, 100, 1 / 3 + 2 / 3])
    events_after = Missing(fill).apply(events, schema, fit(Missing(fill), events, schema))
    if fill == "mean":
        expected = (1 * 1 + 2 * 2 + 9 * 1) / 4
    table = events_after.inputs["features"]
    assert table.dtype == np.float32
    assert table[:, 0].tolist() == [1, 2, expected, 9]
    assert np.isnan(events.inputs["features"][2, 0])


def test_fill_is_weighted(make, fit):
    events, schema = make({"x": [1, 2, 9]}, weight=[1, 1, 6])
    assert fit(Missing("median"), events, schema)["fill"] == 9
    assert fit(Missing("mean"), events, schema)["fill"] == pytest.approx(57 / 8)
    events, schema = make({"x": [1, 2, 9]}, weight=[0, 1, 1])
    assert fit(Missing("minimum"), events, schema)["fill"] == 2


@pytest.mark.parametrize("fill", ["mean", "median", "minimum", 0.0])
@given(rows=ROWS)
def test_fit_does_not_depend_on_chunks(make, fit, fill, rows):
    a, b, weight, chunk = zip(*rows, strict=True)
    # two columns that vary keep the fit from having nothing to give
    events, schema = make({"a": [*a, 1, 2], "b": [*b, NAN, 3], "c": [NAN] * len(a) + [4, 5]}, [*weight, 1, 1])
    transform = Missing(fill, indicator=True)
    whole, pieces = fit(transform, events, schema), fit(transform, events, schema, [*chunk, 0, 3])
    assert pieces["fill"] == pytest.approx(whole["fill"], rel=1e-12, abs=1e-9)
    assert pieces["keep"].tolist() == whole["keep"].tolist()
    assert pieces["indicator"].tolist() == whole["indicator"].tolist()


@pytest.mark.parametrize(
    ("fill", "indicator", "left"),
    [
        ("median", False, ["varies", "holes"]),
        ("mean", False, ["varies", "holes"]),
        ("minimum", False, ["varies", "holes"]),
        ("median", True, ["varies", "holes", "holes_missing", "pierced_missing"]),
        (0.0, False, ["varies", "holes", "pierced"]),
        (0.1, False, ["varies", "holes"]),
        (0.0, True, ["varies", "holes", "pierced", "holes_missing", "pierced_missing"]),
    ],
)
def test_column_that_would_be_constant_after_filling_leaves(make, fit, fill, indicator, left):
    columns = {
        "constant": [0.1] * 6,
        "varies": [1, 2, 3, 4, 5, 6],
        "never": [NAN] * 6,
        "holes": [1, NAN, 3, 4, 5, 6],
        "pierced": [0.1, NAN, 0.1, 0.1, 0.1, 0.1],
    }
    events, schema = make(columns, weight=[0.7, 0.3, 0.1, 1.1, 0.9, 0.2])
    transform = Missing(fill, indicator)
    state = fit(transform, events, schema, [0, 1, 2, 0, 1, 2])
    after, table = transform.schema(schema, state).inputs["features"], transform.apply(events, schema, state)
    features = table.inputs["features"]
    assert list(after.columns) == left
    assert after.units == tuple("" if name.endswith("_missing") else "GeV" for name in left)
    assert features.shape == (6, len(left))
    assert np.isfinite(features).all()
    assert (features.min(0) < features.max(0)).all()
    for index, name in enumerate(left):
        if name.endswith("_missing"):
            assert features[:, index].tolist() == [0, 1, 0, 0, 0, 0]


def test_column_that_was_never_missing_in_training_is_filled_later(make, fit):
    training, schema = make({"x": [1, 2, 9], "y": [1, 2, NAN]})
    later, _ = make({"x": [NAN], "y": [5]})
    transform = Missing(indicator=True)
    state = fit(transform, training, schema)
    assert transform.apply(later, schema, state).inputs["features"].tolist() == [[2, 5, 0]]


def test_infinite_value_is_left_for_the_core_to_name(make, fit):
    events, schema = make({"x": [1, 1, np.inf], "y": [1, 2, 3], "z": [-np.inf, -np.inf, NAN]})
    state = fit(Missing(), events, schema)
    assert state["keep"].tolist() == [True, True, True]
    assert np.isfinite(state["fill"]).all()
    table = Missing().apply(events, schema, state).inputs["features"]
    assert np.isinf(table).sum(0).tolist() == [1, 0, 2]


def test_nothing_left_is_an_error(make, fit):
    events, schema = make({"x": [1, 1], "y": [NAN, NAN]})
    with pytest.raises(InputError, match="no feature is left"):
        fit(Missing(), events, schema)
    with pytest.raises(InputError, match="no feature is left"):
        fit(Missing(), events.mask(np.zeros(2, bool)), schema)


def test_indicator_with_a_name_that_is_taken_is_an_error(make, fit):
    events, schema = make({"x": [1, 2, NAN], "x_missing": [0, 0, 1]})
    with pytest.raises(InputError, match="'x_missing'"):
        Missing(indicator=True).schema(schema, fit(Missing(indicator=True), events, schema))


def test_schema_before_the_fit_is_the_schema(make):
    _, schema = make({"x": [1, NAN]})
    assert Missing(indicator=True).schema(schema, {}) == schema


def test_state_survives_safetensors(make, fit):
    events, schema = make({"x": [1, 2, NAN], "y": [1, 1, 1]})
    transform = Missing(indicator=True)
    state = fit(transform, events, schema)
    again = load(save(state))
    assert transform.schema(schema, again) == transform.schema(schema, state)
    assert np.array_equal(
        transform.apply(events, schema, again).inputs["features"],
        transform.apply(events, schema, state).inputs["features"],
    )


def test_fill_of_a_recipe_is_a_rule_or_a_finite_number():
    read = TypeAdapter(Missing).validate_json
    assert read('{"fill": "mean", "indicator": true}', strict=True) == Missing("mean", True)
    assert read('{"fill": -1}', strict=True) == Missing(-1.0)
    for wrong in ('"maximum"', "true", "NaN", '"1"', "null"):
        with pytest.raises(ValidationError):
            read(f'{{"fill": {wrong}}}', strict=True)


def test_undone_a_column_that_left_is_back_and_what_an_indicator_calls_missing_is_missing(make, fit):
    columns = {"constant": [7] * 4, "never": [NAN] * 4, "holes": [1, NAN, 3, 4], "pierced": [0.5, NAN, 0.5, 0.5]}
    events, schema = make(columns)
    for transform in Missing(indicator=True), Missing(-1.0, indicator=True):
        state = fit(transform, events, schema)
        back = transform.undo(transform.apply(events, schema, state), schema, state).inputs["features"]
        assert np.array_equal(back, events.inputs["features"], equal_nan=True)
    state = fit(Missing(-1.0), events, schema)
    back = Missing(-1.0).undo(Missing(-1.0).apply(events, schema, state), schema, state).inputs["features"]
    assert np.array_equal(back[1], [7, NAN, -1, -1], equal_nan=True)
