"""What `hepanom compare` prints: tables of the plain values behind --json, and the file of --csv."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hepanom.compare import COLUMNS, Plain, rows
from hepanom.files import written
from hepanom.show import UNKNOWN, facts_table
from hepanom.terminal import text_of

AT_ONCE = 40  # rows of recipes or thresholds that a terminal shows
LEAST = 1e-6  # p that is worth its digits: a bootstrap does not know the tails beyond
LONGEST = 60  # characters of a recipe's value
SEPARATE = "Another training of the same recipe would give other numbers; train.replicas shows how much they vary."


def text(plain: Plain) -> str:
    """Return the comparison as tables for a terminal."""
    return text_of(
        _facts(plain),
        *_recipes(plain),
        *_numbers(plain),
        *_differences(plain),
        *thresholds(plain),
        *(Text(note) for note in notes(plain)),
        *([facts_table(plain["written"])] if plain.get("written") else []),
    )


def notes(plain: Plain) -> Iterator[str]:
    """Yield what to know of the differences: which events they are of, and where there is no significance."""
    first = plain["reference"]
    events = {run["name"]: run["events"] for run in plain["runs"]}
    pairs = [pair for pair in plain["pairs"] if pair["reference"] == first]
    for run in plain["runs"]:
        if run["repeated_ids"]:
            yield f"{run['name']}: {run['repeated_ids']:,} test events share their id with others and do not enter"
    for pair in pairs:
        name, shared = pair["other"], pair["shared"]
        if pair["why"]:
            yield f"{first} and {name}: numbers without significance, because {pair['why']}"
        elif not shared == events[first] == events[name]:
            yield (
                f"{first} and {name}: {shared:,} test events are common, of {events[first]:,} and {events[name]:,}; "
                "only they enter the differences"
            )
        if pair["reweighted"]:
            yield f"{first} and {name}: {pair['reweighted']:,} events weigh differently and count as in {first}"
    if not plain["same_data"]:
        yield "The runs read different data; their own numbers are of different test events"
    if len([pair for pair in pairs if pair["differences"]]) > 1:
        yield "Each p is of one comparison; of n without a true difference the smallest is about 1 / n"


def interval(number: Mapping[str, Any], *, sign: str = "") -> str:
    """Return a number with its interval and its spread over replicas."""
    spread = "" if number.get("spread") is None else f" spread {number['spread']:.2g}"
    sides = "" if number["low"] == number["high"] else f" ({number['low']:{sign}.3g} to {number['high']:{sign}.3g})"
    return f"{number['value']:{sign}.3g}{sides}{spread}"


def _table(title: str, heads: Sequence[str], columns: Sequence[str], justify: Any = "right") -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, caption_justify="left")
    for head in heads:
        table.add_column(escape(head), no_wrap=True)
    for column in columns:
        table.add_column(escape(column), justify=justify)
    return table


def _facts(plain: Plain) -> Table:
    """Tabulate what ran; facts that all runs share stand once."""
    runs = plain["runs"]
    table = _table("what ran; the first is the reference", ("",), [run["name"] for run in runs], "left")
    for name in dict.fromkeys(name for run in runs for name in run["facts"]):
        found = [_brief(run["facts"].get(name, "")) for run in runs]
        table.add_row(name, *(["same in all", *[""] * (len(runs) - 1)] if _long(name, found) else map(escape, found)))
    table.add_row("score", *(escape(run["scorer"]) for run in runs))
    table.add_row("test events", *("not known" if run["events"] is None else f"{run['events']:,}" for run in runs))
    return table


def _brief(value: str) -> str:
    """Return the beginning of an id, which stands for a run; any other fact is itself."""
    return value[:8] if re.fullmatch("[0-9a-f]{32}", value) else value


def _long(name: str, found: Sequence[str]) -> bool:
    """Say whether a fact is best not repeated for every run."""
    return name in ("versions", "git", "fingerprint") and len(set(found)) == 1


def _recipes(plain: Plain) -> Iterator[Any]:
    found = plain["recipes"]
    if not found:
        yield Text("the recipes are the same\n")
        return
    table = _table("what differs in the recipes", ("key",), [run["name"] for run in plain["runs"]], "left")
    for key, row in list(found.items())[:AT_ONCE]:
        table.add_row(escape(key), *(escape(_short(value)) or "\N{EN DASH}" for value in row.values()))
    if len(found) > AT_ONCE:
        table.caption = f"{len(found) - AT_ONCE} more; --json and --html have them all"
    yield table


def _short(value: str) -> str:
    return value if len(value) <= LONGEST else f"{value[: LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"


def _numbers(plain: Plain) -> Iterator[Table]:
    """Tabulate the weighted numbers of all categories: curves, then what every threshold gives."""
    runs = plain["runs"]
    names = list(dict.fromkeys(name for run in runs for name in run["numbers"]))
    shown = [name for name in names if not name.startswith(("unweighted/", "category_"))]
    for title, depth in (("test share, weighted: own numbers of each run", 0), ("at the thresholds, weighted", 1)):
        table = _table(title, ("rule", "number")[1 - depth :], [run["name"] for run in runs])
        for name in shown:
            if name.count("/") == depth:
                cells = [run["numbers"].get(name) for run in runs]
                table.add_row(*map(escape, name.split("/")), *(interval(cell) if cell else UNKNOWN for cell in cells))
        if table.rows:
            yield table


def _differences(plain: Plain) -> Iterator[Table]:
    first = plain["reference"]
    columns = ("its value", f"of {first}", "difference", "z", "p")
    table = _table(f"differences from {first} on common events", ("run", "number"), columns)
    for pair in plain["pairs"]:
        if pair["reference"] == first:
            for entry in pair["differences"]:
                apart = interval({**entry, "value": entry["difference"]}, sign="+")
                values = (f"{entry['other']:.4g}", f"{entry['reference']:.4g}", apart)
                table.add_row(escape(pair["other"]), entry["metric"], *values, *significance(entry))
    if table.rows:
        table.caption = f"paired bootstrap, {plain['resamples']} resamples of the common test events\n{SEPARATE}"
        yield table


def significance(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Return z and p of a difference as texts."""
    if entry["z"] is None:
        return UNKNOWN, UNKNOWN
    chance = f"{entry['p']:.2g}" if entry["p"] >= LEAST else f"< {LEAST:g}"
    return f"{entry['z']:+.1f}" if entry["z"] else "0", chance


def thresholds(plain: Plain) -> Iterator[Table]:
    """Tabulate every threshold of the runs, those of one rule and category under each other."""
    heads = ("cut", "background efficiency", "flagged", "weight seen", "expected")
    table = _table("thresholds on held-out background", ("rule", "category", "run"), heads)
    cuts = {(cut["rule"], cut["category"], run["name"]): cut for run in plain["runs"] for cut in run["thresholds"]}
    for head in sorted(cuts, key=lambda key: key[:2])[:AT_ONCE]:
        cut = cuts[head]
        efficiency = interval({"value": cut["background_efficiency"], "low": cut["low"], "high": cut["high"]})
        weights = (f"{cut[what]:,.4g}" for what in ("seen", "expected"))
        place = "by bin" if cut["value"] is None else f"{cut['value']:.4g}"
        table.add_row(*map(escape, head), place, efficiency, f"{cut['flagged']:,.0f}", *weights)
    for rule, sums in rates(plain).items():
        for name, total in sums.items():
            counted = (f"{total['flagged']:,.0f}", f"{total['seen']:,.4g}", f"{total['expected']:,.4g}")
            table.add_row(escape(rule), "sum", escape(name), "", "", *counted)
    if len(cuts) > AT_ONCE:
        table.caption = f"{len(cuts) - AT_ONCE} more; --json and --html have them all"
    if table.rows:
        yield table


def rates(plain: Plain) -> dict[str, dict[str, dict[str, float]]]:
    """Return by rule and run the sums over categories, where a run has several: flagged, seen, expected."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for run in plain["runs"]:
        for rule in dict.fromkeys(cut["rule"] for cut in run["thresholds"]):
            cuts = [cut for cut in run["thresholds"] if cut["rule"] == rule]
            sums = {what: sum(cut[what] for cut in cuts) for what in ("flagged", "seen", "expected")}
            found.setdefault(rule, {})[run["name"]] = sums
    several = any(
        cut["category"] != run["thresholds"][0]["category"] for run in plain["runs"] for cut in run["thresholds"]
    )
    return found if several else {}


def write_csv(plain: Plain, path: Path) -> None:
    """Write every number, threshold and difference as a row. Raises HepanomError where that is not possible."""
    with written(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, COLUMNS)
        table.writeheader()
        table.writerows(rows(plain))
