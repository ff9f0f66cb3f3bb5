"""Expressions: the field's precedence, reductions of jagged columns, and no way out of the evaluator."""

from __future__ import annotations

import math

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepanom.errors import InputError
from hepanom_plugins.readers.expressions import FUNCTIONS, OF_LISTS, parse

COLUMNS = {
    "eta": np.array([-3.0, 1.0, 2.0]),
    "nJet": np.array([3, 2, 1]),
    "pt": ak.Array([[1.0, 2.0], [], [5.0]]),
    "Type": np.array(["GT", "TT", "GT"]),
    "odd name[0]": np.array([1.0, 2.0, 3.0]),
}


def values(text: str) -> list[object]:
    found = parse(text)(COLUMNS)
    return list(np.broadcast_to(np.asarray(found), 3).tolist())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abs(eta) < 2.5 & nJet >= 2", [False, True, False]),
        ("nJet == 1 | eta < 0 && nJet > 2", [True, False, True]),
        ("!(eta > 1) || nJet == 1", [True, True, True]),
        ("~ nJet == 3", [False, True, True]),
        ("-nJet ** 2", [-9, -4, -1]),
        ("2 ** 3 ** 2", [512.0] * 3),
        ("2 * nJet - 1 + nJet % 2", [6, 3, 2]),
        ("8 / 4 / 2", [1.0] * 3),
        ("hypot(eta, 4)", [5.0, math.hypot(1, 4), math.hypot(2, 4)]),
        ("where(eta > 0, eta, -eta)", [3.0, 1.0, 2.0]),
        ("num(pt)", [2, 0, 1]),
        ("sum(pt * pt)", [5.0, 0.0, 25.0]),
        ("any(pt > 1.5) & all(pt < 4)", [True, False, False]),
        ("Type == 'GT'", [True, False, True]),
        ('Type != "GT"', [False, True, False]),
        ("`odd name[0]` * 2", [2.0, 4.0, 6.0]),
        ("1e3 * .5 + 2.", [502.0] * 3),
    ],
)
def test_expressions_mean_what_the_field_means(text: str, expected: list[object]) -> None:
    assert values(text) == expected


def test_arithmetic_is_in_double_precision() -> None:
    made = {
        "u": np.array([1, 2, 3], np.uint32),
        "b": np.array([100, 200, 255], np.uint8),
        "i": np.array([2**30, 1, -(2**30)], np.int32),
        "f": np.array([True, False, True]),
        "e": np.array([1e30, 1.0, 2.0], np.float32),
        "n": ak.Array([[200, 100], [], [255]]),
    }
    made["n"] = ak.values_astype(made["n"], np.uint8)
    for text, expected in {
        "u - 2": [-1, 0, 1],
        "-u": [-1, -2, -3],
        "b * 1000": [1e5, 2e5, 2.55e5],
        "i * 4": [2**32, 4, -(2**32)],
        "f + f - u": [1, -2, -1],
        "sum(n * 2)": [600, 0, 510],
        "sqrt(b * b)": [100, 200, 255],
        "e * e > 0 & e * e < 1e70": [True, True, True],
    }.items():
        assert np.asarray(parse(text)(made)).tolist() == pytest.approx(expected), text


def test_an_object_that_is_not_there_is_missing() -> None:
    np.testing.assert_array_equal(values("pt[1]"), [2.0, np.nan, np.nan])
    np.testing.assert_array_equal(values("max(pt)"), [2.0, np.nan, 5.0])
    np.testing.assert_array_equal(values("min(pt) > 0"), [True, False, True])


def test_the_columns_of_an_expression_are_named_once() -> None:
    assert parse("pt[0] > 2 & eta < 3 | eta > nJet").names == ("pt", "eta", "nJet")


arithmetic = st.recursive(
    st.integers(1, 9).map(str),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map("".join),
        inner.map(lambda text: f"({text})"),
    ),
    max_leaves=12,
)


@given(arithmetic)
def test_arithmetic_is_pythons(text: str) -> None:
    try:
        expected = eval(text)
    except ZeroDivisionError:
        return
    assert float(parse(text)({})) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "eta.__class__.__mro__(1)",
        "(lambda: 1)()",
        "[x for x in eta]",
        "eval('1')",
        "abs(eta)(1)",
        "eta; nJet",
        "eta = 3",
        "open('/etc/passwd')",
        "f'{eta}'",
        "eta if nJet else 1",
        "abs.__self__(1)",
        "'a' 'b'",
        "eta[nJet]",
        "eta[-1]",
        "{1}",
        "@eta",
        "",
        "(" * 200 + "eta" + ")" * 200,
        "-" * 5000 + "eta",
        "!" * 300 + "eta",
    ],
)
def test_there_is_no_way_out(text: str) -> None:
    with pytest.raises(InputError, match="expression "):
        parse(text)


def test_a_name_with_dots_is_a_column_and_nothing_else() -> None:
    assert parse("eta.__class__").names == ("eta.__class__",)
    with pytest.raises(KeyError):
        parse("eta.__class__")(COLUMNS)


def test_huge_powers_are_infinite_at_once() -> None:
    assert values("9 ** 9 ** 9 ** 9 ** 9") == [math.inf] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("eta + ", r"expression 'eta \+ ', character 6: expected a number, a column or a function, found 'the end'"),
        ("abs eta", r"character 5: unexpected 'eta'"),
        ("eta > 1 and pt > 2", r"unexpected 'and'; write &"),
        ("foor(eta)", r"there is no function 'foor'; did you mean 'floor'"),
        ("hypot(eta)", r"hypot takes 2 arguments, found 1"),
        ("1 < eta < 2", r"comparisons do not chain; write a < b & b < c"),
        ("(eta", r"expected '\)', found 'the end'"),
    ],
)
def test_a_mistake_is_one_message_with_its_place(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(text)


@pytest.mark.parametrize("text", ["sum(eta)", "pt + ak", "eta[0]", "Type + 1"])
def test_columns_that_cannot_be_combined_are_one_message(text: str) -> None:
    with pytest.raises(InputError, match="its columns cannot be combined"):
        parse(text)({**COLUMNS, "ak": ak.Array([[1.0], [], [2.0, 3.0]])})


def test_every_reduction_is_a_function() -> None:
    assert set(FUNCTIONS) >= OF_LISTS
