"""Expressions in the field's own syntax, such as ``abs(eta) < 2.5 & nJet >= 2``, evaluated without Python's eval."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hepanom.errors import InputError, did_you_mean

try:
    import awkward as ak  # type: ignore[import-untyped]
except ImportError as error:
    raise InputError('this reader needs awkward: pip install "hepanom[root]" or "hepanom[parquet]"') from error

LONGEST, DEEPEST = 4000, 20
TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_][\w.]*|`[^`]+`)"
    r"|(?P<text>'[^']*'|\"[^\"]*\")|(?P<operator>\*\*|&&|\|\||[<>=!]=|[-+*/%<>!~&|(),\[\]]))"
)


def truth(values: Any) -> Any:
    """Return where values are true; a missing one is not."""
    if isinstance(values, ak.Array):
        values = ak.fill_none(values, False)
    return values if getattr(values, "dtype", None) == np.dtype(bool) else (values != 0) & ~np.isnan(values)


def is_text(values: Any) -> bool:
    """Return whether a column of a file holds words or lists of words."""
    return isinstance(values, ak.Array) and values.layout.purelist_parameter("__array__") in ("string", "char")


def doubles(values: Any) -> Any:
    """Return numbers in double precision, in which ROOT's formulas are computed, too: integers do not overflow."""
    if isinstance(values, ak.Array):
        return values if is_text(values) else ak.values_astype(values, np.float64)
    return values.astype(np.float64) if isinstance(values, np.ndarray) and values.dtype.kind in "buif" else values


def _in_doubles(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *values: function(*map(doubles, values))


# From the loosest to the tightest, as in C++ selections and not as in Python: & and | come after comparisons.
BINARY: tuple[Mapping[str, Callable[[Any, Any], Any]], ...] = (
    {"|": lambda a, b: truth(a) | truth(b), "||": lambda a, b: truth(a) | truth(b)},
    {"&": lambda a, b: truth(a) & truth(b), "&&": lambda a, b: truth(a) & truth(b)},
    {
        "<": np.less,
        "<=": np.less_equal,
        ">": np.greater,
        ">=": np.greater_equal,
        "==": lambda a, b: a == b,
        "!=": lambda a, b: a != b,
    },
    {"+": _in_doubles(np.add), "-": _in_doubles(np.subtract)},
    {"*": _in_doubles(np.multiply), "/": _in_doubles(np.true_divide), "%": _in_doubles(np.mod)},
)
COMPARISON = 2
ONE = (
    *("abs", "sqrt", "exp", "log", "log10", "floor", "ceil", "isnan", "sin", "cos", "tan", "sinh", "cosh", "tanh"),
    *("arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh"),
)
FUNCTIONS: Mapping[str, tuple[int, Callable[..., Any]]] = {
    **{name: (1, _in_doubles(getattr(np, name))) for name in ONE},
    **{name: (2, _in_doubles(getattr(np, name))) for name in ("hypot", "arctan2", "minimum", "maximum")},
    "atan2": (2, _in_doubles(np.arctan2)),
    "where": (3, ak.where),
    "num": (1, lambda x: ak.num(x, axis=1)),
    "sum": (1, lambda x: ak.sum(x, axis=1)),
    "any": (1, lambda x: ak.any(x, axis=1)),
    "all": (1, lambda x: ak.all(x, axis=1)),
    "max": (1, lambda x: ak.fill_none(ak.max(x, axis=1), np.nan)),
    "min": (1, lambda x: ak.fill_none(ak.min(x, axis=1), np.nan)),
}
LISTS = 2  # dimensions of a jagged column
OF_LISTS = {"num", "sum", "any", "all", "max", "min"}


@dataclass(frozen=True)
class Expression:
    """A parsed expression: its text, the columns that it names, and how to evaluate it on them.

    Tightest first: ``x[i]`` (object i of a jagged column, NaN where there is none), ``**`` (from the right), unary
    ``-``, ``* / %``, ``+ -``, comparisons (which do not chain), ``!`` or ``~``, ``&`` or ``&&``, ``|`` or ``||``.
    Functions are those of ``FUNCTIONS``; num, sum, any, all, max and min reduce a jagged column to a number per event.
    A column whose name is no word stands in backticks. Arithmetic is in double precision; what is missing is not true.
    """

    text: str
    names: tuple[str, ...]
    evaluate: Callable[[Mapping[str, Any]], Any]

    def __call__(self, columns: Mapping[str, Any]) -> Any:
        """Return the values, one per event (or per object). Raises InputError where they cannot be combined."""
        try:
            with np.errstate(all="ignore"):  # what is not finite is reported with its column where it matters
                return self.evaluate(columns)
        except (ValueError, TypeError, np.exceptions.AxisError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"expression {self.text!r}: its columns cannot be combined: {reason}") from error


def parse(text: str) -> Expression:
    """Return the expression that a text stands for. Raises InputError, naming text and place, for one that is none."""
    if len(text) > LONGEST:
        raise InputError(f"expression {text[:40]!r}...: {len(text)} characters; {LONGEST} are the most")
    parser = _Parser(text)
    evaluate = parser.binary(0)
    if parser.kind != "end":
        meant = {"and": "; write &", "or": "; write |"}.get(parser.value, "")
        parser.fail(f"unexpected {parser.value!r}{meant}")
    return Expression(text, tuple(dict.fromkeys(parser.names)), evaluate)


Node = Callable[[Mapping[str, Any]], Any]


class _Parser:
    """Precedence climbing over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.text, self.names, self.depth = text, list[str](), 0
        self.tokens = self._tokens()
        self.kind, self.value, self.place = next(self.tokens)

    def _tokens(self) -> Iterator[tuple[str, str, int]]:
        place, text = 0, self.text.rstrip()
        while place < len(text):
            found = TOKEN.match(text, place)
            if found is None:
                self.place = place
                self.fail(f"unexpected {text[place:].strip()[:1]!r}")
            assert found is not None
            yield str(found.lastgroup), found[str(found.lastgroup)], found.start(str(found.lastgroup))
            place = found.end()
        yield "end", "the end", len(text)

    def fail(self, why: str) -> None:
        raise InputError(f"expression {self.text!r}, character {self.place + 1}: {why}")

    def advance(self) -> str:
        value = self.value
        self.kind, self.value, self.place = next(self.tokens)
        return value

    def takes(self, operator: str) -> bool:
        """Go on where the next token is this operator."""
        found = self.kind == "operator" and self.value == operator
        if found:
            self.advance()
        return found

    def expect(self, operator: str) -> None:
        if not self.takes(operator):
            self.fail(f"expected {operator!r}, found {self.value!r}")

    def binary(self, level: int) -> Node:
        if level == COMPARISON and self.kind == "operator" and self.value in "!~":
            self.advance()
            inner = self.deeper(lambda: self.binary(COMPARISON))
            return lambda columns: np.logical_not(truth(inner(columns)))
        if level == len(BINARY):
            return self.unary()
        left = self.binary(level + 1)
        while self.kind == "operator" and self.value in BINARY[level]:
            left = _combined(BINARY[level][self.advance()], left, self.binary(level + 1))
            if level == COMPARISON and self.kind == "operator" and self.value in BINARY[level]:
                self.fail("comparisons do not chain; write a < b & b < c")
        return left

    def unary(self) -> Node:
        if self.takes("-"):
            inner = self.deeper(self.unary)
            return lambda columns: np.negative(doubles(inner(columns)))
        if self.takes("+"):
            return self.deeper(self.unary)
        base = self.postfix()
        if self.takes("**"):
            exponent = self.deeper(self.unary)
            return lambda columns: np.float_power(doubles(base(columns)), doubles(exponent(columns)))
        return base

    def deeper(self, parse: Callable[[], Node]) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(f"more than {DEEPEST} levels deep")
        found = parse()
        self.depth -= 1
        return found

    def postfix(self) -> Node:
        found = self.primary()
        while self.takes("["):
            if self.kind != "number" or not self.value.isdigit():
                self.fail("expected the number of an object, such as [0]")
            found = _item(found, int(self.advance()))
            self.expect("]")
        return found

    def primary(self) -> Node:
        if self.takes("("):
            inner = self.deeper(lambda: self.binary(0))
            self.expect(")")
            return inner
        kind, value = self.kind, self.value
        if kind not in ("number", "text", "name"):
            self.fail(f"expected a number, a column or a function, found {value!r}")
        self.advance()
        if kind == "number":
            number = int(value) if value.isdigit() else float(value)
            return lambda columns: number
        if kind == "text":
            return lambda columns: value[1:-1]
        if self.takes("("):
            return self.call(value)
        name = value.strip("`")
        self.names.append(name)
        return lambda columns: columns[name]

    def call(self, name: str) -> Node:
        if name not in FUNCTIONS:
            self.fail(f"there is no function {name!r}; {did_you_mean(name, FUNCTIONS)}")
        arguments = [self.deeper(lambda: self.binary(0))]
        while self.takes(","):
            arguments.append(self.deeper(lambda: self.binary(0)))
        self.expect(")")
        wanted, function = FUNCTIONS[name]
        if len(arguments) != wanted:
            self.fail(f"{name} takes {wanted} arguments, found {len(arguments)}")

        def evaluated(columns: Mapping[str, Any]) -> Any:
            values = [argument(columns) for argument in arguments]
            if name in OF_LISTS and getattr(values[0], "ndim", 0) < LISTS:
                raise ValueError(f"{name} needs a column with several values per event")
            return function(*values)

        return evaluated


def _combined(function: Callable[[Any, Any], Any], left: Node, right: Node) -> Node:
    return lambda columns: function(left(columns), right(columns))


def _item(inner: Node, index: int) -> Node:
    def evaluated(columns: Mapping[str, Any]) -> Any:
        found = ak.pad_none(inner(columns), index + 1, axis=1)[:, index]
        return ak.fill_none(doubles(found) if "bool" in str(found.type) else found, np.nan)

    return evaluated
