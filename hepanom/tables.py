"""Numbers as tables for readers: rounded to their uncertainty, weighted and unweighted beside each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hepanom.canvas import key
from hepanom.evaluate import Number
from hepanom.histograms import spelled
from hepanom.probe import Probe
from hepanom.result import Result

DECISIONS = {
    "ams": "AMS",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "mcc": "MCC",
}
CURVES = {"auc": "AUC", "max_sic": "largest significance improvement", "max_ams": "largest AMS"}
WEIGHTED = {"weighted": "", "unweighted": "unweighted/"}

Groups = Mapping[str, Mapping[str, Number]]


@dataclass(frozen=True)
class Cell:
    """A number as a table shows it; parts that are not there are empty."""

    value: str
    up: str = ""
    down: str = ""
    spread: str = ""


@dataclass(frozen=True)
class Row:
    """A line of a table."""

    names: tuple[str, ...]
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns, whose heads may take several lines; ``title`` says of which events."""

    title: str
    columns: tuple[tuple[str, ...], ...]
    rows: tuple[Row, ...]


def cell(number: Number) -> Cell:
    """Return a number rounded to two digits of the larger side of its interval; without one, to four digits.

    The spread has two digits of its own, or what of them is not finer than a tenth of the last digit of the number.
    """
    up, down = number.high - number.value, number.value - number.low
    decimals = _decimals(max(up, down) or abs(number.value) / 100)
    spread = "" if number.spread is None else _text(number.spread, min(_decimals(number.spread), decimals + 1))
    value, above, below = (_text(part, decimals) for part in (number.value, up, down))
    return Cell(value, above, below, spread) if up or down else Cell(value, spread=spread)


def _decimals(width: float) -> int:
    """Return after how many decimals a width has two digits."""
    return 1 - math.floor(math.log10(width)) if 0 < width < math.inf else 3


def _text(value: float, decimals: int) -> str:
    if not math.isfinite(value):
        return "∞"
    return f"{round(value, decimals):,.{max(decimals, 0)}f}".replace("-", "\N{MINUS SIGN}")


def grouped(numbers: Mapping[str, Number]) -> dict[str, dict[str, Number]]:
    """Return the numbers by all of their name but the metric, and by metric."""
    groups: dict[str, dict[str, Number]] = {}
    for name, number in numbers.items():
        view, _, metric = name.rpartition("/")
        groups.setdefault(view, {})[metric] = number
    return groups


def curve_table(groups: Groups, scorer: str, categories: Sequence[str]) -> Table:
    """Return a row per metric of the scorer's curves, two columns for all events and for each category."""
    found = {
        (view, kind): group
        for view, category in _views(categories).items()
        for kind, weighted in WEIGHTED.items()
        if (group := groups.get(f"{scorer}/{weighted}{category}".rstrip("/")))
    }
    metrics = dict.fromkeys(metric for group in found.values() for metric in group)
    rows = (Row((metric(name),), tuple(_cell(group, name) for group in found.values())) for name in metrics)
    return Table(scorer, tuple(found), tuple(rows))


def decision_tables(groups: Groups, scorer: str, result: Result) -> list[Table]:
    """Return a table for all events and for each category: a row per threshold, the columns AMS to MCC."""
    rules = {count.threshold.name: spelled(count) for count in result.thresholds if count.threshold.scorer == scorer}
    tables = []
    for view, category in _views(result.categories).items():
        found = {
            (rule, kind): group
            for name, rule in rules.items()
            for kind, weighted in WEIGHTED.items()
            if (group := groups.get(f"{scorer}/{weighted}{category}{name}"))
        }
        metrics = [name for name in DECISIONS if any(name in group for group in found.values())]
        rows = tuple(Row(names, tuple(_cell(group, name) for name in metrics)) for names, group in found.items())
        if rows:
            tables.append(Table(view, tuple((DECISIONS[name],) for name in metrics), rows))
    return tables


def probe_table(probe: Probe) -> Table:
    """Return a row per class with precision, recall and F1 of the classifier on latent codes, and one of their mean."""
    rates = {"precision": "precision", "recall": "recall", "f1": "F1"}
    numbers = probe.numbers
    rows = [Row((n,), tuple(_cell(numbers, f"{rate}/{n}") for rate in rates)) for n in probe.classes if numbers]
    rows += [Row(("mean",), (Cell(""), Cell(""), _cell(numbers, "f1_macro")))] if numbers else []
    return Table("classifier on latent codes", tuple((rate,) for rate in rates.values()), tuple(rows))


def _views(categories: Sequence[str]) -> dict[str, str]:
    """Return the parts of numbers' names that stand for all events and for each of several categories."""
    several = categories if len(categories) > 1 else ()
    return {"all events": "", **{f"category {label}": f"category_{key(label)}/" for label in several}}


def metric(name: str) -> str:
    """Return a metric of a curve in words."""
    kind, _, place = name.rpartition("_")
    if kind == "signal_efficiency":
        return f"signal efficiency at background efficiency {place}"
    if kind == "rejection":
        return f"background rejection at signal efficiency {place}"
    return CURVES.get(name, name.replace("_", " "))


def _cell(group: Mapping[str, Number | None], name: str) -> Cell | None:
    """Return a number of a group, None where it is not known."""
    number = group.get(name)
    return None if number is None else cell(number)
