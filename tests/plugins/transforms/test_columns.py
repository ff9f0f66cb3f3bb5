from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from hepanom.errors import InputError
from hepanom.events import Input, Jagged, Schema
from hepanom_plugins.transforms.columns import Drop, Select

COLUMNS = {"mass": [1, 2], "jet_pt": [3, 4], "jet_phi": [5, 6], "met_phi": [7, 8]}
UNITS = ["GeV", "GeV", "", ""]


@pytest.mark.parametrize(
    ("transform", "left"),
    [
        (Select(("met_phi", "mass")), ["mass", "met_phi"]),
        (Select(("jet_*", "jet_pt", "*_phi")), ["jet_pt", "jet_phi", "met_phi"]),
        (Drop(("*_phi",)), ["mass", "jet_pt"]),
        (Drop(("*_phi", "jet_*")), ["mass"]),
    ],
)
def test_columns_stay_in_the_order_of_the_table_and_only_once(make, transform, left):
    events, schema = make(COLUMNS, units=UNITS)
    after = transform.schema(schema, {}).inputs["features"]
    assert list(after.columns) == left
    assert list(after.units) == [UNITS[list(COLUMNS).index(name)] for name in left]
    table = transform.apply(events, schema, {}).inputs["features"]
    assert table.dtype == np.float32
    assert np.array_equal(table, np.transpose([COLUMNS[name] for name in left]))


@pytest.mark.parametrize("transform", [Select(("jet_*",)), Drop(("mass", "met_phi"))])
def test_undone_the_columns_that_left_are_there_and_missing(make, transform):
    events, schema = make(COLUMNS, units=UNITS)
    before = np.asarray(events.inputs["features"])
    back = np.asarray(transform.undo(transform.apply(events, schema, {}), schema, {}).inputs["features"])
    assert np.array_equal(back[:, 1:3], before[:, 1:3])
    assert np.isnan(back[:, [0, 3]]).all()


@pytest.mark.parametrize("transform", [Select(("mas",)), Drop(("mass", "mas"))])
def test_pattern_that_matches_nothing_is_an_error_with_the_nearest_name(make, transform):
    events, schema = make(COLUMNS)
    with pytest.raises(InputError, match=r"'mas'.*did you mean 'mass'"):
        transform.schema(schema, {})
    with pytest.raises(InputError, match="'mas'"):
        transform.apply(events, schema, {})


def test_dropping_every_column_is_an_error(make):
    _, schema = make(COLUMNS)
    with pytest.raises(InputError, match="every column"):
        Drop(("*",)).schema(schema, {})


def test_other_inputs_pass_untouched(make):
    events, schema = make(COLUMNS)
    hits = Jagged(np.zeros((3, 2), np.float32), np.array([0, 1, 3]))
    events = replace(events, inputs={"hits": hits, **events.inputs})
    schema = Schema({"hits": Input("points", ("x", "y"), ("mm", "mm")), **schema.inputs})
    after = Drop(("mass",)).apply(events, schema, {})
    assert list(after.inputs) == ["hits", "features"]
    assert after.inputs["hits"] is hits
    assert Drop(("mass",)).schema(schema, {}).inputs["hits"] == schema.inputs["hits"]


@pytest.mark.parametrize("transform", [Select, Drop])
def test_recipe_gives_columns_as_a_list_that_is_not_empty(transform):
    read = TypeAdapter(transform).validate_json
    assert read('{"columns": ["a", "b*"]}', strict=True) == transform(("a", "b*"))
    for wrong in ("{}", '{"columns": []}', '{"columns": "a"}', '{"columns": [1]}'):
        with pytest.raises(ValidationError):
            read(wrong, strict=True)
