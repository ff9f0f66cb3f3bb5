from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from safetensors.numpy import load, save
from sklearn.preprocessing import OneHotEncoder

from hepanom.errors import InputError
from hepanom_plugins.transforms.one_hot import OneHot

NAN, INF = np.nan, np.inf
JETS = st.integers(-3, 3).map(float)
ROWS = st.lists(st.tuples(JETS, JETS, st.sampled_from([0.0, 1.0, 0.3]), st.integers(0, 3)), min_size=1, max_size=30)


@given(training=st.lists(JETS, min_size=1, max_size=20), later=st.lists(JETS, min_size=1, max_size=20))
def test_it_is_scikit_learns_one_hot_encoder(make, fit, training, later):
    first, schema = make({"x": training})
    second, _ = make({"x": later})
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(first.inputs["features"])
    transform = OneHot(("x",))
    after = transform.apply(second, schema, fit(transform, first, schema))
    assert after.inputs["features"].tolist() == encoder.transform(second.inputs["features"]).tolist()
    unknown = sum(value not in training for value in later)
    assert after.tally.get("values that one_hot does not know: x", 0) == unknown


def test_columns_stand_in_place_of_the_one_they_come_from(make, fit):
    events, schema = make({"pt": [5, 6, 7], "jets": [2, 0, 2], "q": [-1, 0.5, 1], "eta": [1, 2, 3]})
    transform = OneHot(("q", "jets"))
    state = load(save(fit(transform, events, schema)))
    table = transform.schema(schema, state).inputs["features"]
    assert table.columns == ("pt", "jets=0", "jets=2", "q=-1", "q=0.5", "q=1", "eta")
    assert table.units == ("GeV", "", "", "", "", "", "GeV")
    features = transform.apply(events, schema, state).inputs["features"]
    assert features.dtype == np.float32
    assert features.tolist() == [[5, 0, 1, 1, 0, 0, 1], [6, 1, 0, 0, 1, 0, 2], [7, 0, 1, 0, 0, 1, 3]]


@given(rows=ROWS)
def test_fit_does_not_depend_on_chunks_and_leaves_weight_zero_out(make, fit, rows):
    a, b, weight, chunk = zip(*rows, strict=True)
    events, schema = make({"a": a, "b": b}, weight)
    whole, pieces = fit(OneHot(("*",)), events, schema), fit(OneHot(("*",)), events, schema, chunk)
    for key in ("column", "value"):
        assert pieces[key].tolist() == whole[key].tolist()
    for index, values in enumerate((a, b)):
        counted = {value for value, w in zip(values, weight, strict=True) if w}
        assert whole["value"][whole["column"] == index].tolist() == sorted(counted)


def test_value_of_a_float_column_names_itself_as_it_was_written(make, fit):
    events, schema = make({"x": [0.1, 1e10, -0.0, 0.0]})
    state = fit(OneHot(("x",)), events, schema, [0, 0, 0, 1])
    assert OneHot(("x",)).schema(schema, state).inputs["features"].columns == ("x=0", "x=0.1", "x=10000000000")


def test_missing_and_infinite_values_stay(make, fit):
    events, schema = make({"x": [1, 2, NAN, INF]})
    transform = OneHot(("x",))
    state = fit(transform, events, schema)
    after = transform.apply(events, schema, state)
    expected = [[1, 0], [0, 1], [NAN, NAN], [INF, INF]]
    assert np.array_equal(after.inputs["features"], expected, equal_nan=True)
    assert after.tally == {}
    back = transform.undo(after, schema, state).inputs["features"]
    assert np.array_equal(back, events.inputs["features"], equal_nan=True)


def test_a_reconstruction_is_undone_to_the_largest(make, fit):
    events, schema = make({"pt": [5, 6, 7], "x": [1, 2, 4]})
    transform = OneHot(("x",))
    state = fit(transform, events, schema)
    after = transform.apply(events, schema, state)
    rebuilt = np.array([[1, 0.2, 0.7, 0.1], [2, 0, 0, 0.01], [3, 0, -1, 0]], np.float32)
    back = transform.undo(replace(after, inputs={"features": rebuilt}), schema, state).inputs["features"]
    assert np.array_equal(back, [[1, 2], [2, 4], [3, NAN]], equal_nan=True)


def test_column_without_a_value_leaves(make, fit):
    events, schema = make({"never": [NAN, NAN], "x": [1, 2]})
    transform = OneHot(("never",))
    state = fit(transform, events, schema)
    assert transform.schema(schema, state).inputs["features"].columns == ("x",)
    later, _ = make({"never": [3, NAN], "x": [1, 2]})
    after = transform.apply(later, schema, state)
    assert after.inputs["features"].tolist() == [[1], [2]]
    assert after.tally == {"values that one_hot does not know: never": 1}
    assert np.isnan(transform.undo(after, schema, state).inputs["features"][:, 0]).all()
    alone, schema = make({"never": [NAN, NAN]})
    with pytest.raises(InputError, match="no feature is left"):
        transform.schema(schema, fit(transform, alone, schema))


def test_column_of_many_values_is_an_error_with_its_name_and_count(make, fit):
    events, schema = make({"jets": np.arange(100) % 4, "pt": np.arange(100)})
    with pytest.raises(InputError, match=r"column 'pt' has 100 different values .* at most 64 .* raise `most`"):
        fit(OneHot(("*",)), events, schema)
    with pytest.raises(InputError, match="column 'pt' has 100 different values"):
        fit(OneHot(("*",)), events, schema, np.arange(100) // 50)
    fit(OneHot(("*",), most=100), events, schema, np.arange(100) // 50)


def test_a_name_that_is_taken_is_an_error(make, fit):
    events, schema = make({"x": [1, 2], "x=2": [0, 1]})
    transform = OneHot(("x",))
    with pytest.raises(InputError, match="'x=2' already"):
        transform.schema(schema, fit(transform, events, schema))


def test_schema_before_the_fit_is_the_schema_and_a_wrong_pattern_an_error(make):
    _, schema = make({"x": [1, 2]})
    assert OneHot(("x",)).schema(schema, {}) == schema
    with pytest.raises(InputError, match="did you mean 'x'"):
        OneHot(("xx",)).schema(schema, {})


def test_density_stays(make, fit):
    events, schema = make({"x": [1, 2]})
    transform = OneHot(("x",))
    state = fit(transform, events, schema)
    assert transform.apply(events, schema, state).log_jacobian == {}
    after = transform.apply(replace(events, log_jacobian={"x": np.array([1.5, 2])}), schema, state)
    assert after.log_jacobian["x"].tolist() == [1.5, 2]


def test_options_of_a_recipe():
    read = TypeAdapter(OneHot).validate_json
    assert read('{"columns": ["a"], "most": 5}', strict=True) == OneHot(("a",), 5)
    for wrong in ("{}", '{"columns": ["a"], "most": 0}'):
        with pytest.raises(ValidationError):
            read(wrong, strict=True)
