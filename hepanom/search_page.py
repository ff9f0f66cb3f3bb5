"""The page of a search: its best recipes, its figures, what its objective goes with, and every trial."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from hepanom import page
from hepanom.files import written
from hepanom.search_axes import ranked
from hepanom.search_correlation import correlations
from hepanom.search_figures import MOST_BARS, MOST_CHOICES, MOST_GOALS, MOST_LINES, MOST_SLICES, figures
from hepanom.search_goal import value
from hepanom.search_tables import (
    MOST_BEST,
    ORDER,
    best_table,
    best_trials,
    csv_text,
    drawn_listing,
    said,
    trial_listing,
)
from hepanom.trials import Search

MOST_ROWS, MOST_COLUMNS = 500, 12  # trials and axes of the table on the page; trials.csv has them all
SECTIONS = {
    "history": "history",
    "learning": "history",
    "front": "front",
    "importances": "importances",
    "slice": "slices",
    "choices": "slices",
    "contour": "together",
    "parallel": "together",
}


def write(search: Search, folder: Path) -> Path:
    """Write ``search.html``, ``figures/NAME.png`` and ``trials.csv`` into the folder; return the page's path.

    What was there before is replaced as a whole. Raises HepanomError where the files cannot be written.
    """
    with written(folder / "trials.csv") as temporary:
        temporary.write_text(csv_text(search), encoding="utf-8", newline="")
    return page.write(folder, "search.html.j2", figures(search), SECTIONS, _content(search))


def _content(search: Search) -> dict[str, Any]:
    """Return what the page's template writes down."""
    axes = ranked(search)
    states = Counter[str](trial.state for trial in search.trials)
    found = correlations(search)
    return {
        "search": search,
        "states": {state: states[state] for state in ORDER if states[state]},
        "best": next(iter(best_trials(search)), None),
        "seconds": sum((trial.seconds for trial in search.trials), 0.0),
        "unknown": sum(t.state == "complete" and value(t) != value(t) for t in search.trials),
        "axes": axes,
        "undrawn": _undrawn(search),
        "table": best_table(search),
        "drawn": drawn_listing(search),
        "correlations": {goal.name: [row for row in found if row.objective == goal.name] for goal in search.objectives},
        "trials": trial_listing(search, axes[:MOST_COLUMNS], MOST_ROWS),
        "facts": list(page.facts(search.provenance)),
        "most": {"rows": MOST_ROWS, "columns": MOST_COLUMNS, "best": MOST_BEST, "goals": MOST_GOALS},
        "said": said,
        "lasted": lasted,
    }


def _undrawn(search: Search) -> list[str]:
    """Return what the figures leave out, as sentences."""
    axes = ranked(search)
    order = "most important" if any(search.importances.values()) else "first"
    numbers = sum(axis.kind != "choice" for axis in axes)
    kinds = (
        ("The bars show", "values", MOST_BARS, len(axes)),
        ("The points show", "numbers", MOST_SLICES, numbers),
        ("The violins show", "choices", MOST_CHOICES, len(axes) - numbers),
        ("The lines show", "values", MOST_LINES, len(axes)),
    )
    return [f"{what} the {most} {order} of {there} {kind}." for what, kind, most, there in kinds if there > most]


def lasted(seconds: float) -> str:
    """Return a duration for reading."""
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
