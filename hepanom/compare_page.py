"""Compare runs and write it down: one HTML page that needs nothing beside it, a table of all numbers, plain values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hepanom import page, show_compare
from hepanom.canvas import style
from hepanom.compare import Comparison, Plain, compare, plain
from hepanom.compare_figures import MOST, RESAMPLES, figures
from hepanom.entrants import entrants
from hepanom.evaluate import Number
from hepanom.files import written
from hepanom.tables import DECISIONS, Cell, cell, metric

SECTIONS = {"roc": "curves", "sic": "curves"}


def compared(
    wanted: Sequence[str],
    *,
    tracking: str | None = None,
    score: str | None = None,
    paired: bool = False,
    resamples: int = 500,
    table: Path | None = None,
    html: Path | None = None,
) -> tuple[Plain, Callable[[Plain], str]]:
    """Compare the runs that texts name; return what ``--json`` prints, and the text for a person.

    ``table`` is a CSV file and ``html`` a page to write. Raises InputError as ``entrants`` and ``compare`` do.
    """
    found = compare(entrants(wanted, tracking, score), resamples=resamples, paired=paired)
    values = plain(found)
    if table is not None:
        show_compare.write_csv(values, table)
    if html is not None:
        write(found, values, html)
    files = {"csv": str(table) if table else "", "html": str(html) if html else ""}
    return values | {"written": files}, show_compare.text


def write(found: Comparison, values: Plain, path: Path) -> None:
    """Write the comparison as one HTML page. Raises HepanomError where the file cannot be written."""
    with style():
        images = {name: page.png(figure) for name, figure in figures(found).items()}
    text = page.render("compare.html.j2", _content(values) | {"pictures": page.pictures(images, SECTIONS)})
    with written(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _content(values: Plain) -> dict[str, Any]:
    """Return what the page's template writes down."""
    first = values["reference"]
    return {
        "plain": values,
        "names": [run["name"] for run in values["runs"]],
        "facts": list(dict.fromkeys(name for run in values["runs"] for name in run["facts"])),
        "pairs": [pair for pair in values["pairs"] if pair["reference"] == first and pair["differences"]],
        "notes": list(show_compare.notes(values)),
        "groups": _groups(values),
        "rules": _rules(values),
        "rates": show_compare.rates(values),
        "number": lambda number: None if number is None else cell(Number(**number)),
        "apart": _apart,
        "significance": show_compare.significance,
        "separate": show_compare.SEPARATE,
        "undrawn": max(0, len(values["runs"]) - MOST),
        "resamples": RESAMPLES,
        "metric": _metric,
    }


def _metric(name: str) -> str:
    """Return the name of a number in words, less what the title of its table says."""
    *places, last = [step for step in name.split("/") if step != "unweighted" and not step.startswith("category_")]
    return " at ".join([DECISIONS.get(last) or metric(last), *places])


def _groups(values: Plain) -> list[tuple[str, list[str], list[dict[str, Any]]]]:
    """Return numbers by what they are of, all events or a category, weighted or not, and the runs that have some."""
    names = list(dict.fromkeys(name for run in values["runs"] for name in run["numbers"]))
    found: dict[str, list[str]] = {"all test events, weighted": [], "all test events, unweighted": []}
    for name in names:
        head, _, rest = name.partition("/")
        if head == "unweighted" and not rest.startswith("category_"):
            found["all test events, unweighted"].append(name)
        elif head == "unweighted":
            found.setdefault(f"{rest.partition('/')[0].replace('_', ' ', 1)}, unweighted", []).append(name)
        elif head.startswith("category_"):
            found.setdefault(f"{head.replace('_', ' ', 1)}, weighted", []).append(name)
        else:
            found["all test events, weighted"].append(name)
    return [
        (title, names, [run for run in values["runs"] if run["numbers"].keys() & set(names)])
        for title, names in found.items()
        if names
    ]


def _rules(values: Plain) -> list[tuple[str, str, list[tuple[str, dict[str, Any]]]]]:
    """Return rule, category and the thresholds that runs have there."""
    found: dict[tuple[str, str], list[tuple[str, dict[str, Any]]]] = {}
    for run in values["runs"]:
        for cut in run["thresholds"]:
            found.setdefault((cut["rule"], cut["category"]), []).append((run["name"], cut))
    return [(*key, cuts) for key, cuts in sorted(found.items(), key=lambda item: item[0])]


def _apart(entry: dict[str, Any]) -> Cell:
    """Return a difference with its sign and interval."""
    shown = cell(Number(entry["difference"], entry["low"], entry["high"], None))
    return shown if shown.value.startswith("\N{MINUS SIGN}") else Cell(f"+{shown.value}", shown.up, shown.down)
