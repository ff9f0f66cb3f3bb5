from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from hepanom.errors import InputError
from hepanom_plugins.transforms.log import Log


def test_logarithm_of_the_named_columns_alone(make):
    events, schema = make({"pt": [1, np.e], "eta": [-1, 2], "m": [0.5, np.nan]}, units=["GeV", "", "MeV"])
    after = Log(("pt", "m", "p*"), offset=0.5).apply(events, schema, {})
    expected = np.array([[np.log(1.5), -1, 0], [np.log(np.e + 0.5), 2, np.nan]], np.float32)
    assert after.inputs["features"].dtype == np.float32
    assert after.inputs["features"] == pytest.approx(expected, nan_ok=True)
    assert Log(("pt", "m")).schema(schema, {}).inputs["features"].units == ("log(GeV)", "", "log(MeV)")
    assert events.inputs["features"][0, 0] == 1


def test_pure_number_stays_a_pure_number(make):
    _, schema = make({"ratio": [1]}, units=[""])
    assert Log(("ratio",)).schema(schema, {}).inputs["features"].units == ("",)


def test_log_jacobian_gives_the_density_of_what_was_read(make):
    x = np.random.default_rng(3).lognormal(1, 0.5, 200)
    events, schema = make({"x": x, "other": x}, dtype=np.float64)
    once = Log(("x",)).apply(events, schema, {})
    density = stats.norm.logpdf(once.inputs["features"][:, 0], 1, 0.5) + once.log_jacobian["x"]
    assert density == pytest.approx(stats.lognorm.logpdf(x, 0.5, scale=np.e))
    twice = Log(("other",)).apply(once, schema, {})
    assert twice.log_jacobian["other"] == pytest.approx(once.log_jacobian["x"])
    again = Log(("x",), offset=9.0).apply(once, schema, {})
    expected = once.log_jacobian["x"] - again.inputs["features"][:, 0]
    assert again.log_jacobian["x"] == pytest.approx(expected), "of what was changed twice it is the sum"


def test_missing_value_adds_nothing_to_the_log_jacobian(make):
    events, schema = make({"x": [np.nan, 2]})
    assert Log(("x",)).apply(events, schema, {}).log_jacobian["x"] == pytest.approx([0, -np.log(2)])


@pytest.mark.parametrize(("offset", "found"), [(0.0, "-3.5"), (3.5, "-3.5"), (1.0, "-3.5")])
def test_value_without_a_logarithm_is_an_error_with_column_value_and_remedy(make, offset, found):
    events, schema = make({"x": [1, 2, 3], "y": [1, -3.5, np.nan]})
    with pytest.raises(InputError, match=rf"column 'y' holds {found}.*offset above 3\.5"):
        Log(("*",), offset).apply(events, schema, {})


def test_zero_needs_an_offset(make):
    events, schema = make({"x": [0, 1]})
    with pytest.raises(InputError, match="offset above 0"):
        Log(("x",)).apply(events, schema, {})
    assert Log(("x",), 1.0).apply(events, schema, {}).inputs["features"][0, 0] == 0


def test_unknown_column_is_an_error(make):
    _, schema = make({"pt": [1]})
    with pytest.raises(InputError, match="did you mean 'pt'"):
        Log(("pt1",)).schema(schema, {})


def test_offset_of_a_recipe_is_a_finite_number():
    read = TypeAdapter(Log).validate_json
    assert read('{"columns": ["a"], "offset": 1}', strict=True) == Log(("a",), 1.0)
    for wrong in ("Infinity", "true", '"1"'):
        with pytest.raises(ValidationError):
            read(f'{{"columns": ["a"], "offset": {wrong}}}', strict=True)
