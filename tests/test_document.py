"""A recipe's values are what they look like, and every mistake knows its place."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepanom.document import parse, read
from hepanom.errors import InputError


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 0.001),
        ("5", 5),
        ("0x10", 16),
        (".inf", math.inf),
        ("true", True),
        ("null", None),
        ("no", "no"),
        ("off", "off"),
        ("2020-01-01", "2020-01-01"),
        ("2020-01-01t10:00:00.50Z", "2020-01-01t10:00:00.50Z"),
        ("'1e-3'", "1e-3"),
        ("[1, {a: b}]", [1, {"a": "b"}]),
        ("|\n  two\n  lines", "two\nlines\n"),
        ("!mine tagged", "tagged"),
    ],
)
def test_a_value_is_what_it_looks_like(written: str, value: Any) -> None:
    found = parse(f"a: {written}\n", "r.yaml").plain["a"]
    assert (found, type(found)) == (value, type(value))


def test_keys_are_words_and_anchors_are_filled_in() -> None:
    document = parse("base: &b {x: 1}\n2: {<<: *b, y: 2}\n", "r.yaml")
    assert document.plain == {"base": {"x": 1}, "2": {"x": 1, "y": 2}}
    assert document.where(("2", "y")) == "r.yaml:2:13: 2.y"
    assert document.where(("2", "x")).startswith("r.yaml:2:")


@pytest.mark.parametrize(
    ("variable", "written", "value"),
    [
        ("12", "${VAR}", 12),
        ("12", '"${VAR}"', "12"),
        ("12", "'${VAR}'", "12"),
        ("[1, 2]", "${VAR}", [1, 2]),
        ("/data", "${VAR}/*.csv", "/data/*.csv"),
        ("*.csv", "${VAR}", "*.csv"),
        ("/run #3/a: b", "${VAR}/x", "/run #3/a: b/x"),
        ("${VAR}", "${VAR}", "${VAR}"),
        ("1", "$VAR ${}", "$VAR ${}"),
    ],
)
def test_a_variable_is_filled_in(monkeypatch: pytest.MonkeyPatch, variable: str, written: str, value: Any) -> None:
    monkeypatch.setenv("VAR", variable)
    assert parse(f"a: {written}\n", "r.yaml").plain == {"a": value}
    assert parse("a: 0\n", "r.yaml", [f"a={written}"]).plain == {"a": value}


def test_values_in_a_variable_have_the_place_of_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAR", "{b: 1}")
    assert parse("x: 1\na: ${VAR}\n", "r.yaml").where(("a", "b")) == "r.yaml:2:1: a.b"


@pytest.mark.parametrize(
    ("text", "overrides", "place"),
    [
        ("a:\n  b: [1, '${NOT_SET}/x']\n", [], "r.yaml:2:10: a.b.1: the variable NOT_SET is not set; set it (export "),
        ("a: 1\n", ["a=${NOT_SET}"], "--set a=${NOT_SET}: the variable NOT_SET is not set"),
    ],
)
def test_an_unset_variable_is_an_error_with_its_place(text: str, overrides: list[str], place: str) -> None:
    with pytest.raises(InputError) as error:
        parse(text, "r.yaml", overrides)
    assert str(error.value).startswith(place)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "r.yaml:3:1: not valid YAML: the key 'a' is there twice"),
        ("a: {b: 1, b: 2}\n", "r.yaml:1:11: not valid YAML: the key 'b' is there twice"),
        ("a: [1\nb: 2\n", "r.yaml:2:2: not valid YAML: expected ',' or ']'"),
        ("a: *b\n", "r.yaml:1:4: not valid YAML: found undefined alias"),
        ("a:\n\t- b\n", "r.yaml:2:1: not valid YAML: there is a tab"),
        ("a: \x07\n", "r.yaml: not valid YAML: unacceptable character"),
        ("", "r.yaml: a recipe is a table of keys (name, data, model, ...), found nothing"),
        ("- a\n", "r.yaml: a recipe is a table of keys"),
    ],
)
def test_what_is_no_recipe_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        parse(text, "r.yaml")
    assert str(error.value).startswith(message)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: cannot read the recipe: No such file"):
        read(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    with pytest.raises(InputError, match=r"latin\.yaml: not a text file \(byte 3\)"):
        read(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("train.epochs=5", {"train": {"epochs": 5}, "list": [{"a": 1}, 2]}),
        ("train.optimizer.lr=1e-3", {"train": {"epochs": 1, "optimizer": {"lr": 0.001}}, "list": [{"a": 1}, 2]}),
        (
            "new.table.key={x: [1]}",
            {"train": {"epochs": 1}, "list": [{"a": 1}, 2], "new": {"table": {"key": {"x": [1]}}}},
        ),
        ("list.0.a=no", {"train": {"epochs": 1}, "list": [{"a": "no"}, 2]}),
        ("list.1=a=b", {"train": {"epochs": 1}, "list": [{"a": 1}, "a=b"]}),
        ("train.01=x", {"train": {"epochs": 1, "01": "x"}, "list": [{"a": 1}, 2]}),
        ("train=", {"train": None, "list": [{"a": 1}, 2]}),
    ],
)
def test_an_override_changes_one_value(override: str, changed: Any) -> None:
    assert parse("train: {epochs: 1}\nlist: [{a: 1}, 2]\n", "r.yaml", [override]).plain == changed


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs", "expected PATH=VALUE, such as train.epochs=5"),
        ("name.first=x", "name is a value, not a table"),
        ("list.2=x", "list has no item 2; it has 2, counted from 0"),
        ("list.a.b=x", "list has no item a; it has 2"),
        ("list.-1=x", "list has no item -1"),
        ("list.0.deep.er=x", "list.0 is a value, not a table"),
        ("name=[1", "not valid YAML: expected ',' or ']', but got '<stream end>'; in quotes it is text"),
        ("name=*.csv", "not valid YAML: found undefined alias '.csv'; in quotes it is text"),
    ],
)
def test_a_wrong_override_is_refused(override: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        parse("name: x\nlist: [1, 2]\n", "r.yaml", [override])
    assert str(error.value).startswith(f"--set {override}: {message}")


def test_a_place_is_where_its_value_comes_from() -> None:
    document = parse("train:\n  epochs: 1\nname: x\n", "r.yaml", ["train={epochs: 1, lr: 2}", "train.lr=3", "a.b=4"])
    assert document.where(("name",)) == "r.yaml:3:1: name"
    assert document.where(("train", "epochs")) == "--set train={epochs: 1, lr: 2}: train.epochs"
    assert document.where(("train", "lr")) == "--set train.lr=3: train.lr"
    assert document.where(("a",)) == "--set a.b=4: a"
    assert document.where(("missing",)) == "r.yaml:1:1: missing"
    assert document.where(()) == "r.yaml:1:1"


WORDS = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(WORDS, VALUES))
def test_the_resolved_text_holds_the_same_values(plain: dict[str, Any]) -> None:
    document = parse("{}", "r.yaml", [])
    again = parse(type(document)("r.yaml", plain, {}, {}).text(), "r.yaml")
    assert again.plain == plain
    assert repr(again.plain) == repr(plain)  # 1 is no 1.0 and no true


def test_the_fingerprint_is_that_of_the_values() -> None:
    first = parse("a: 1\nb: {c: 0.5, d: x}\n", "r.yaml")
    assert parse("# moved\nb:\n  d: 'x'\n  c: 5e-1\na: 1\n", "other.yaml").fingerprint() == first.fingerprint()
    assert parse("a: 1\nb: {c: 0.5, d: y}\n", "r.yaml").fingerprint() != first.fingerprint()
