from __future__ import annotations

import csv
import gzip
import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from hepanom.contracts import Part
from hepanom.errors import InputError
from hepanom.events import Events, hash64
from hepanom_plugins.readers import delimited
from hepanom_plugins.readers.csv import Csv

ROWS = """run,event,pt,eta,n,kind,w,px,where
1,10,25.5,-1.25,2,s,0.5,1.5,barrel
1,11,-999,,3,b,-0.25,2.5,endcap
2,10,nan,0.1,2,qcd,1,-3e2,barrel
"""
OPTIONS: dict[str, Any] = {
    "label": "kind",
    "classes": {"background": ("b", "qcd"), "signal": ("s",)},
    "weight": "w",
    "id": ("run", "event"),
    "keep": ("where",),
    "category": "n",
    "targets": ("px",),
    "missing": (-999.0,),
}
Write = Callable[[str, str | bytes], str]
Read = Callable[[Csv], Events]


def assert_same(a: Events, b: Events) -> None:
    assert list(a.beside) == list(b.beside)
    for left, right in [
        (a.event_id, b.event_id),
        (a.inputs["features"], b.inputs["features"]),
        (a.weight, b.weight),
        (a.label, b.label),
        (a.target, b.target),
        *((a.beside[name], b.beside[name]) for name in a.beside),
    ]:
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("name", ["events.csv", "events.csv.gz"])
def test_a_table_becomes_events(name: str, write: Write, read: Read) -> None:
    reader = Csv(path=write(name, ROWS), units={"*": "cm", "pt": "GeV"}, **OPTIONS)
    events, schema = read(reader), reader.schema()
    _, table = schema.table()
    assert (table.columns, table.units) == (("pt", "eta"), ("GeV", "cm"))
    assert (schema.classes, schema.targets) == (("background", "signal"), ("px",))
    assert schema.beside == tuple(events.beside) == ("run", "event", "where", "n")
    assert events.inputs["features"].dtype == np.float32
    np.testing.assert_array_equal(events.inputs["features"], np.float32([[25.5, -1.25], [np.nan] * 2, [np.nan, 0.1]]))
    np.testing.assert_array_equal(events.target, np.float32([[1.5], [2.5], [-300]]))
    assert events.weight.tolist() == [0.5, -0.25, 1.0]
    assert events.label.tolist() == [1, 0, 0]
    assert events.category.tolist() == [0, 0, 0]
    assert {name: (column.dtype.kind, column.tolist()) for name, column in events.beside.items()} == {
        "run": ("i", [1, 1, 2]),
        "event": ("i", [10, 11, 10]),
        "where": ("U", ["barrel", "endcap", "barrel"]),
        "n": ("i", [2, 3, 2]),
    }
    np.testing.assert_array_equal(events.event_id, hash64([events.beside["run"], events.beside["event"]]))


def test_a_bare_table_is_all_features_with_weight_one_and_no_label(write: Write, read: Read) -> None:
    events = read(Csv(path=write("a.csv", "x,y\n1,2\n3,4\n")))
    assert events.inputs["features"].tolist() == [[1, 2], [3, 4]]
    assert (events.weight.tolist(), events.label.tolist(), events.target) == ([1, 1], [-1, -1], None)
    assert {name: column.tolist() for name, column in events.beside.items()} == {"row": [0, 1]}


NUMBERS = st.one_of(
    st.just(""), st.just("nan"), st.just("-999.0"), st.floats(width=32).map(repr), st.integers(-(10**6), 10**6).map(str)
)
WORDS = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    rows=st.lists(st.tuples(NUMBERS, st.sampled_from("sb"), WORDS, NUMBERS), min_size=1, max_size=30),
    block=st.integers(1, 200),
    end=st.sampled_from(["\n", "\r\n"]),
    name=st.sampled_from(["t.csv", "t.csv.gz"]),
)
def test_events_do_not_depend_on_block_size(
    rows: list[tuple[str, ...]], block: int, end: str, name: str, write: Write, read: Read
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=end)
    writer.writerows([("x", "kind", "word", "y"), *rows])
    path = write(name, text.getvalue())
    classes = {"b": ("b",), "s": ("s",)}
    reader = Csv(path, label="kind", classes=classes, keep=("word",), missing=(-999.0,), types={"word": "str"})
    whole = read(reader)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "BLOCK", block)
        assert_same(read(reader), whole)
    assert whole.beside["word"].tolist() == [word for _, _, word, _ in rows]
    expected = [[np.nan if field in ("", "-999.0") else float(field) for field in (x, y)] for x, _, _, y in rows]
    np.testing.assert_array_equal(whole.inputs["features"], np.array(expected, np.float32))


def test_blocks_are_bounded(monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    reader = Csv(write("a.csv", "x,y\n" + "1,2\n" * 1000))
    monkeypatch.setattr(delimited, "BLOCK", 400)
    sizes = [len(events) for events in reader.read(*reader.parts())]
    assert sum(sizes) == 1000
    assert max(sizes) <= 101


def test_event_id_depends_on_id_columns_and_not_on_the_file(write: Write, read: Read) -> None:
    first, second = write("a.csv", ROWS), write("b.csv.gz", ROWS)
    by_id = [read(Csv(path, id=("run", "event"), features=("pt",))).event_id for path in (first, second)]
    np.testing.assert_array_equal(*by_id)
    assert len(set(by_id[0].tolist())) == 3
    by_row = [read(Csv(path, features=("pt",))).event_id for path in (first, second)]
    assert len({*by_row[0].tolist(), *by_row[1].tolist()}) == 6


def test_event_id_without_id_columns_depends_on_base_name_and_row(write: Write, read: Read) -> None:
    text = "x\n" + "1\n" * 5
    here, there = write("a.csv", text), write("moved/a.csv.gz", text)
    ids = [read(Csv(path)).event_id for path in (here, there)]
    np.testing.assert_array_equal(*ids)
    assert len(set(ids[0].tolist())) == 5


def test_files_are_found_by_globs_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write, read: Read
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for number in (3, 1, 2):
        write(f"part{number}.csv", f"x\n{number}\n")
    assert read(Csv("~/part*.csv")).inputs["features"].tolist() == [[1], [2], [3]]
    several = Csv(("~/part3.csv", "~/part*.csv"))
    assert read(several).inputs["features"].tolist() == [[3], [1], [2]]
    assert several.parts()[0] == Part(str(tmp_path / "part3.csv"), 0, 4)


def test_labels_that_are_numbers_are_compared_as_numbers(write: Write, read: Read) -> None:
    path = write("a.csv", "x,y\n1,0.0\n2,1.000000000000000000e+00\n3,0\n")
    assert read(Csv(path, label="y", classes={"good": (0,), "bad": (1,)})).label.tolist() == [0, 1, 0]


def test_columns_beside_take_the_narrowest_type_of_the_first_rows(write: Write, read: Read) -> None:
    path = write("a.csv", "x,i,f,hole,s\n1,9007199254740993,1.5,1,a\n2,2,2,,7\n")
    beside = read(Csv(path, features=("x",), keep=("i", "f", "hole", "s"))).beside
    assert {name: column.dtype.kind for name, column in beside.items()} == dict(
        zip(["row", "i", "f", "hole", "s"], "iiffU", strict=True)
    )
    assert beside["i"][0] == 9007199254740993
    np.testing.assert_array_equal(beside["hole"], [1, np.nan])
    assert read(Csv(path, features=("x",), keep=("i",), types={"i": "str"})).beside["i"].tolist() == [
        "9007199254740993",
        "2",
    ]


def test_a_type_that_changes_late_is_an_error_until_the_recipe_says_it(
    monkeypatch: pytest.MonkeyPatch, write: Write, read: Read
) -> None:
    monkeypatch.setattr(delimited, "SAMPLE", 2)
    path = write("a.csv", "x,n\n1,2\n1,3\n1,2.5\n")
    with pytest.raises(InputError, match=r"a\.csv:4: column 'n': '2\.5' is not an integer.*`types`"):
        read(Csv(path, keep=("n",)))
    assert read(Csv(path, keep=("n",), types={"n": "float"})).beside["n"].tolist() == [2, 3, 2.5]
    path = write("b.csv", "n,x\n1,2\n1,3\n,2\n")
    with pytest.raises(InputError, match=r"b\.csv:4: column 'n': an empty field is no integer.*`types`"):
        read(Csv(path, keep=("n",)))


def test_other_files_may_lack_what_is_not_a_feature(caplog: pytest.LogCaptureFixture, write: Write, read: Read) -> None:
    reader = Csv(path=write("train.csv", ROWS), features=("pt", "eta"), types={"where": "str"}, **OPTIONS)
    bare = write("bare.csv", "eta,event,pt,run\n1,10,2,1\n")
    with caplog.at_level(logging.INFO):
        other = reader.on([bare])
    assert "bare.csv: without kind, n, px, w, where" in caplog.text
    events = read(other)
    assert events.inputs["features"].tolist() == [[1, 2]]
    assert (events.label.tolist(), events.weight.tolist(), events.target) == ([-1], [1], None)
    assert tuple(events.beside) == ("run", "event")
    assert events.event_id[0] == read(reader).event_id[0]
    full = write("full.csv", ROWS)
    caplog.clear()
    assert_same(read(reader.on([full])), read(reader))
    assert "without" not in caplog.text
    lacking = write("lacking.csv", "run,event,pt,Eta\n1,10,2,1\n")
    with pytest.raises(InputError, match=r"lacking\.csv:1: features: column 'eta' is not there; did you mean 'Eta'"):
        reader.on([lacking]).schema()


def test_options_are_checked_as_the_recipe_is() -> None:
    Csv.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
    adapter: TypeAdapter[Csv] = TypeAdapter(Csv)
    plain = {"path": ["a.csv", "b.csv"], "label": "y", "classes": {"b": [0, "bkg"]}, "id": ["run"], "separator": "\t"}
    reader = adapter.validate_json(json.dumps(plain), strict=True)
    assert (reader.path, reader.classes, reader.id) == (("a.csv", "b.csv"), {"b": (0, "bkg")}, ("run",))
    for wrong in ({"lable": "y"}, {"label": 1}, {"separator": ",,"}, {"types": {"x": "double"}}, {"missing": ["-999"]}):
        with pytest.raises(ValidationError):
            adapter.validate_json(json.dumps({"path": "a.csv", **wrong}), strict=True)


def test_the_measured_table_of_detector_faults_is_read(data: Path, read: Read) -> None:
    path = str(data / "detector_anomalies" / "train.csv.gz")
    reader = Csv(path, label="isSkewed", classes={"good": (0,), "skewed": (1,)})
    events = read(reader)
    with gzip.open(path, "rt") as file:
        expected = np.array(list(csv.reader(file))[1:], float)
    np.testing.assert_array_equal(events.inputs["features"], expected[:, :-1].astype(np.float32))
    assert events.inputs["features"].shape == (80000, 16)
    assert np.bincount(events.label).tolist() == [40650, 39350]
    assert len(set(events.event_id.tolist())) == 80000


def test_columns_of_words_are_no_features_by_default(write: Write, read: Read) -> None:
    path = write("a.csv", 'x,kind,price,none,late\n1,b,"1.5",,1\n2,s,2.5,,word\n')
    with pytest.raises(InputError, match=r"a\.csv:3: column 'late': 'word' is not a number"):
        read(Csv(path))
    path = write("b.csv", "x,kind,none\n1,b,\n2,s1,\n")
    reader = Csv(path)
    assert reader.schema().inputs["features"].columns == ("x", "none")
    assert read(reader).inputs["features"].shape == (2, 2)
    assert [(entry.name, entry.holds) for entry in reader.unread()] == [("kind", "text")]
    with pytest.raises(InputError, match="column 'kind': 'b' is not a number"):
        read(Csv(path, features=("x", "kind")))


@pytest.mark.parametrize("value", ['"1,5"', "12 GeV", "-3x", ".5.5"])
def test_a_column_of_broken_numbers_is_not_taken_for_words(write: Write, read: Read, value: str) -> None:
    with pytest.raises(InputError, match="column 'y'"):
        read(Csv(write("a.csv", f"x,y\n1,{value}\n")))
