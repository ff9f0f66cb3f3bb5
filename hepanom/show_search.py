"""What the command line prints of a search."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hepanom.show import facts_table
from hepanom.terminal import text_of
from hepanom.trials import run_name

if TYPE_CHECKING:
    from hepanom.search import Searched

FIRST = 5  # trials that a terminal shows


def searched(found: Searched) -> dict[str, Any]:
    """Return what `search --json` prints."""
    result = found.result
    return {
        "status": "unsent" if found.unsent else "done",
        "run_id": found.run_id,
        "folder": str(found.folder),
        "report": str(found.folder / "search.html"),
        "recipe": str(found.folder / "best.yaml"),
        "objectives": {goal.name: goal.direction for goal in result.objectives},
        "best": list(result.best),
        "trials": [asdict(trial) for trial in result.trials],
        "importances": dict(result.importances),
        "tested": {
            number: {name: asdict(value) for name, value in numbers.items()}
            for number, numbers in result.tested.items()
        },
        "detectors": {number: run_name(result.name, number) for number in result.tested},
    }


def searched_text(plain: dict[str, Any]) -> str:
    """Return the best trials as a table, what became of all of them, and where everything is."""
    trials = {trial["number"]: trial for trial in plain["trials"]}
    shown = [trials[number] for number in plain["best"][:FIRST]]
    table = Table("best trials", *(str(trial["number"]) for trial in shown), box=SIMPLE_HEAD)
    for place, goal in enumerate(plain["objectives"]):
        table.add_row(escape(goal), *(f"{trial['values'][place]:.4g}" for trial in shown))
    for path in dict.fromkeys(path for trial in shown for path in trial["recipe"]):
        table.add_row(escape(path), *(_short(trial["recipe"].get(path)) for trial in shown))
    states = Counter(trial["state"] for trial in plain["trials"])
    reasons = Counter(trial["reason"].partition("\n")[0] for trial in plain["trials"] if trial["state"] == "failed")
    return text_of(
        table,
        Text(", ".join(f"{count} {state}" for state, count in states.items())),
        *(Text(f"  {count} failed: {reason}") for reason, count in reasons.items()),
        *(
            Text(f"trial {number}, trained again, on the test share: {_tested(numbers)}")
            for number, numbers in list(plain["tested"].items())[:1]
        ),
        facts_table(
            dict([("detector", f"that of run {name}") for name in plain["detectors"].values()][:1])
            | {key: plain[key] for key in ("report", "recipe", "run_id")}
        ),
    )


def _short(value: Any) -> str:
    """Return a drawn value in few letters."""
    if isinstance(value, dict):
        return " ".join(map(_short, value.values()))
    if isinstance(value, list):
        return escape(f"[{', '.join(map(_short, value))}]")
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else escape(str(value))


def _tested(numbers: dict[str, Any]) -> str:
    plain = {name: number for name, number in numbers.items() if name.count("/") == 1}
    return ", ".join(f"{name} {number['value']:.4g}" for name, number in plain.items())
