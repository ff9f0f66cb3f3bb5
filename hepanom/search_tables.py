"""The trials of a search as tables: all of them as text and CSV, and the best with their tested numbers."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hepanom.evaluate import Number
from hepanom.search_axes import names
from hepanom.search_goal import value
from hepanom.space import Axis
from hepanom.tables import Cell, Row, Table, cell
from hepanom.trials import Search, Trial

ORDER = ("complete", "pruned", "running", "failed")
MOST_BEST = 6  # of the best trials, beside each other
MOST_METRICS = 16  # of the best trials, below each other
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Listing:
    """Trials as rows of values or texts under columns; None where a trial has none."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def ordered(search: Search) -> list[Trial]:
    """Return the complete trials, the best by the first objective first, then pruned, running and failed ones."""
    sign = -1 if search.objectives[0].direction == "maximize" else 1

    def place(trial: Trial) -> tuple[int, float, int]:
        goal = value(trial)
        return ORDER.index(trial.state), math.inf if math.isnan(goal) else sign * goal, trial.number

    return sorted(search.trials, key=place)


def best_trials(search: Search) -> list[Trial]:
    """Return the best of the complete trials, best first, as many as stand beside each other."""
    trials = {trial.number: trial for trial in search.trials if trial.state == "complete"}
    return [trials[number] for number in search.best if number in trials][:MOST_BEST]


def csv_text(search: Search) -> str:
    """Return everything that is known of the trials as CSV, in the order of ``ordered``; empty where a trial has none.

    Columns: number, state, the objectives, what was drawn by its path, the numbers of the trials, seconds, epochs,
    feasible (whether it keeps the constraints), reason (why it failed), retry_of, run_id.
    """
    goals = [objective.name for objective in search.objectives]
    paths = [axis.path for axis in search.axes]
    numbers = ["parameters", *dict.fromkeys(name for trial in search.trials for name in trial.numbers)]
    lines = [
        {
            "number": trial.number,
            "state": trial.state,
            **dict(zip(goals, _goals(search, trial), strict=True)),
            **{path: trial.drawn.get(path) for path in paths},
            **{name: trial.numbers.get(name) for name in numbers if name not in goals},
            **({} if "seconds" in goals else {"seconds": trial.seconds}),
            "epochs": max(trial.steps, default=None),
            "feasible": str(trial.feasible).lower(),
            "reason": trial.reason,
            "retry_of": trial.retry_of,
            "run_id": trial.run_id,
        }
        for trial in ordered(search)
    ]
    text = io.StringIO()
    table = csv.DictWriter(text, list(lines[0]) if lines else ["number", "state", *goals], lineterminator="\n")
    table.writeheader()
    table.writerows(lines)
    return text.getvalue()


def trial_listing(search: Search, axes: Sequence[Axis], most: int) -> Listing:
    """Return the first trials of ``ordered`` for a reader: the drawn values of some axes, and a note of what happened.

    Only columns in which something stands are there.
    """
    short = names(search.axes)
    goals = [objective.name for objective in search.objectives]
    columns = ("trial", "state", *goals, *(short[axis.path] for axis in axes), "parameters", "seconds", "note")
    rows = [
        (
            str(trial.number),
            trial.state,
            *map(said, _goals(search, trial)),
            *(said(trial.drawn.get(axis.path)) for axis in axes),
            said(None if "parameters" in goals else trial.numbers.get("parameters")),
            "" if "seconds" in goals else f"{trial.seconds:,.1f}",
            "; ".join(_notes(trial)),
        )
        for trial in ordered(search)[:most]
    ]
    kept = [place for place, name in enumerate(columns) if name == "trial" or any(row[place] for row in rows)]
    return Listing(tuple(columns[place] for place in kept), tuple(tuple(row[place] for place in kept) for row in rows))


def _goals(search: Search, trial: Trial) -> list[float | None]:
    """Return the objectives of a trial, as far as it came."""
    known = dict(enumerate(trial.values)) if trial.state == "complete" else {}
    return [known.get(place) for place in range(len(search.objectives))]


def _notes(trial: Trial) -> Iterator[str]:
    if trial.retry_of is not None:
        yield f"does trial {trial.retry_of} again, which was lost"
    if trial.state == "pruned" and trial.steps:
        last = max(trial.steps)
        yield f"ended after epoch {last}, at {said(trial.steps[last])}"
    if trial.state == "complete" and not trial.feasible:
        yield "breaks a constraint"
    if trial.reason:
        yield trial.reason


def said(known: object) -> str:
    """Return a value for reading, four digits of a number; "" for None."""
    if known is None or isinstance(known, bool) or not isinstance(known, int | float):
        return "" if known is None else str(known)
    if not math.isfinite(known):
        return "n/a" if math.isnan(known) else "∞" if known > 0 else "\N{MINUS SIGN}∞"
    if float(known).is_integer() and abs(known) < 1e9:
        return f"{known:,.0f}".replace("-", "\N{MINUS SIGN}")
    digits, _, power = f"{known:.4g}".partition("e")
    raised = f"\N{MULTIPLICATION SIGN}10{str(int(power)).translate(RAISED)}" if power else ""
    return digits.replace("-", "\N{MINUS SIGN}") + raised


def best_table(search: Search) -> Table:
    """Return a row per number of the best trials: on the valid share, and on the test share after a new training.

    A tested number stands beside the valid one of the same name: ``elbo/auc`` beside ``valid/elbo/auc``, and where elbo
    is the first score beside ``valid/auc``. Unweighted numbers and those of single categories are left out.
    """
    columns: list[tuple[str, ...]] = []
    found: list[Mapping[str, Cell]] = []
    for trial in best_trials(search):
        valid, tested = _valid(search, trial), search.tested.get(trial.number, {})
        columns.append((f"trial {trial.number}", "valid"))
        found.append({name: Cell(said(number)) for name, number in valid.items()})
        if tested:
            matches = {name: match for name in valid if (match := _match(tested, name))}
            known = {*matches, *matches.values()}
            twice = {name for name in tested if name.partition("/")[2] in known}
            others = {name: name for name in tested if _is_whole(name) and name not in known | twice}
            columns.append((f"trial {trial.number}", "tested"))
            found.append({name: cell(tested[match]) for name, match in {**matches, **others}.items()})
    metrics = list(dict.fromkeys(name for cells in found for name in cells))[:MOST_METRICS]
    rows = (Row((name,), tuple(cells.get(name) for cells in found)) for name in metrics)
    return Table("best trials", tuple(columns), tuple(rows))


def drawn_listing(search: Search) -> Listing:
    """Return what the best trials drew: a row for each axis, a column for each trial."""
    best = best_trials(search)
    rows = [(axis.path, *(said(trial.drawn.get(axis.path)) for trial in best)) for axis in search.axes]
    return Listing(("", *(f"trial {trial.number}" for trial in best)), tuple(row for row in rows if any(row[1:])))


def _valid(search: Search, trial: Trial) -> dict[str, float]:
    """Return the objectives of a trial and its other numbers without their share, each once."""
    goals = [objective.name for objective in search.objectives]
    reached = dict(zip(goals, trial.values, strict=False))
    named = {**reached, **trial.numbers, **reached}
    found = {name.removeprefix("valid/"): number for name, number in named.items() if _is_whole(name)}
    wanted = {name.removeprefix("valid/") for name in goals}
    same: dict[str, bool] = {}  # whether a score is the first one, whose numbers stand twice
    for name, number in found.items():
        scorer, _, rest = name.partition("/")
        if rest in found:
            same[scorer] = same.get(scorer, True) and said(found[rest]) == said(number)
    twice = {f"{scorer}/{name}" for scorer, known in same.items() if known for name in found}
    return {name: number for name, number in found.items() if name in wanted or name not in twice}


def _is_whole(name: str) -> bool:
    """Return whether a number is weighted and of all events."""
    return "/unweighted/" not in f"/{name}" and "/category_" not in f"/{name}"


def _match(tested: Mapping[str, Number], name: str) -> str:
    """Return the name of a number among tested ones; "" where it is not there."""
    first = next(iter(tested)).partition("/")[0]
    return next((each for each in (name, f"test/{name}", f"{first}/{name}") if each in tested), "")
