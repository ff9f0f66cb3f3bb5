"""Runs side by side: their numbers, what tells them apart, and the significance of differences on common events."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import PurePath
from typing import Any

from hepanom.errors import InputError
from hepanom.evaluate import Number
from hepanom.paired import Drawn, Pairing, Sample, pair

NAMED = "name"  # of a recipe: of the run, too
SIDES = ("/low", "/high", "/spread")
COUNTED = ("value", "background_efficiency", "flagged", "seen", "expected")
Plain = dict[str, Any]


@dataclass(frozen=True)
class Entrant:
    """A run that is compared with others by one of its ``scorers``.

    ``name`` tells it from the others, ``key`` is its id or folder. ``facts`` are texts such as its model and device,
    ``params`` the flattened recipe, ``metrics`` what it recorded, by the names of its tracking store. ``sample`` holds
    its test events, None where they are not known, which ``why`` explains.
    """

    name: str
    key: str
    facts: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    scorers: tuple[str, ...]
    scorer: str
    sample: Sample | None = None
    why: str = ""


@dataclass(frozen=True)
class Comparison:
    """Runs, the first of which is the reference, and how each pair of them compares on common events."""

    runs: tuple[Entrant, ...]
    pairs: Mapping[tuple[int, int], Pairing] = field(default_factory=dict)
    resamples: int = 0


@dataclass(frozen=True)
class Cut:
    """A threshold of a run and what it met on the test share: ``seen`` and ``expected`` are sums of weights.

    ``value`` is the cut, None where it depends on a column.
    """

    rule: str
    category: str
    value: float | None
    background_efficiency: float
    low: float
    high: float
    flagged: float
    seen: float
    expected: float


def compare(runs: Sequence[Entrant], *, resamples: int = 500, seed: int = 0, paired: bool = False) -> Comparison:
    """Compare runs with each other; the first is the reference.

    ``paired`` insists on the significance of the differences from the reference. Raises InputError for fewer than two
    runs and, with ``paired``, where a run has no significance, saying why.
    """
    if len(runs) < 2:
        found = f"found {runs[0].name} alone" if runs else "found none"
        raise InputError(
            f"a comparison takes two runs or more, {found}; name another run, an experiment:NAME or a filter:"
        )
    runs = _distinct(runs)
    known: dict[bytes, Drawn] = {}
    pairs = {
        (one, two): _paired(runs[one], runs[two], resamples, seed, known)
        for one, two in combinations(range(len(runs)), 2)
    }
    missing = [
        f"{runs[0].name} and {runs[two].name}: {found.why}"
        for (one, two), found in pairs.items()
        if not one and found.why
    ]
    if paired and missing:
        raise InputError("\n".join(f"--paired: {text}" for text in missing))
    return Comparison(tuple(runs), pairs, resamples)


def _paired(one: Entrant, two: Entrant, resamples: int, seed: int, known: dict[bytes, Drawn]) -> Pairing:
    if one.sample is None or two.sample is None:
        return Pairing(0, why="; ".join(f"{run.name}: {run.why}" for run in (one, two) if run.sample is None))
    return pair(one.sample, two.sample, resamples, seed, known)


def _distinct(runs: Sequence[Entrant]) -> list[Entrant]:
    """Give runs of one name the beginning of their id, or their folder, and where those are alike a number, too."""
    for tail in (lambda run, _: _short(run.key), lambda _, place: str(place + 1)):
        times = Counter(run.name for run in runs)
        runs = [
            replace(run, name=f"{run.name} {tail(run, place)}") if times[run.name] > 1 else run
            for place, run in enumerate(runs)
        ]
    return list(runs)


def _short(key: str) -> str:
    """Return the beginning of a run's id, or the name of a folder."""
    name = PurePath(key.removesuffix("/artifacts")).name
    return name[:6] if re.fullmatch("[0-9a-f]{32}", name) else name


def numbers(metrics: Mapping[str, float], scorer: str) -> dict[str, Number]:
    """Return the numbers of a scorer as a run recorded them, such as ``auc``, ``RULE/f1``, ``unweighted/auc``."""
    prefix = f"test/{scorer}/"
    values = {path.removeprefix(prefix): value for path, value in metrics.items() if path.startswith(prefix)}
    return {
        path: Number(
            value, values.get(f"{path}/low", value), values.get(f"{path}/high", value), values.get(f"{path}/spread")
        )
        for path, value in values.items()
        if not path.endswith(SIDES)
    }


def cuts(metrics: Mapping[str, float], scorer: str) -> list[Cut]:
    """Return the thresholds of a scorer as a run recorded them."""
    prefix = f"threshold/{scorer}/"
    found: dict[tuple[str, str], dict[str, float]] = {}
    for path, value in metrics.items():
        if path.startswith(prefix) and path.removeprefix(prefix).count("/") > 1:
            rule, category, what = path.removeprefix(prefix).split("/", 2)
            found.setdefault((rule, category), {})[what] = value
    return [
        Cut(
            rule,
            category,
            None if "bin_0/value" in values else values["value"],
            values["background_efficiency"],
            *(values.get(f"background_efficiency/{side}", values["background_efficiency"]) for side in ("low", "high")),
            *(values[name] for name in COUNTED[2:]),
        )
        for (rule, category), values in found.items()
        if all(name in values for name in COUNTED)
    ]


def differing(runs: Sequence[Entrant]) -> dict[str, tuple[str, ...]]:
    """Return the values of the recipes that are not the same in all runs, "" where a recipe does not name one.

    A list of tables, such as the transforms, is one value, because one item more moves all that follow.
    """
    whole = [_whole(run.params) for run in runs]
    keys = sorted({key for found in whole for key in found if key != NAMED})
    rows = {key: tuple(found.get(key, "") for found in whole) for key in keys}
    return {key: row for key, row in rows.items() if len(set(row)) > 1}


def _whole(params: Mapping[str, str]) -> dict[str, str]:
    """Join the flattened items of each list of tables: ``scores.0.use`` to ``scores``."""
    found: dict[str, str] = {}
    lists: dict[str, dict[int, dict[str, str]]] = {}
    for key, value in params.items():
        steps = key.split(".")
        place = next((index for index, step in enumerate(steps) if step.isdecimal()), None)
        if place is None:
            found[key] = value
        else:
            item = lists.setdefault(".".join(steps[:place]), {}).setdefault(int(steps[place]), {})
            item[".".join(steps[place + 1 :])] = value
    for key, items in lists.items():
        found[key] = "; ".join(_item(items[place]) for place in sorted(items))
    return found


def _item(options: Mapping[str, str]) -> str:
    """Return a table of a list in one line: what it uses, then its options."""
    head = [options[key] for key in ("use", "rule") if key in options]
    return " ".join([*head, *(f"{key}={value}" for key, value in options.items() if key not in ("use", "rule"))])


def same_data(runs: Sequence[Entrant]) -> bool:
    """Return whether all runs read the same files with the same options of the reader."""
    options = [{key: value for key, value in run.params.items() if key.startswith("data.")} for run in runs]
    return all(
        run.facts.get("fingerprint") == runs[0].facts.get("fingerprint") and mine == options[0]
        for run, mine in zip(runs, options, strict=True)
    )


def plain(found: Comparison) -> Plain:
    """Return the comparison as plain values: what ``--json`` prints and what tables and page are made of."""
    runs = found.runs
    names = [run.name for run in runs]
    return {
        "status": "done",
        "reference": names[0],
        "resamples": found.resamples,
        "same_data": same_data(runs),
        "runs": [
            {
                "name": run.name,
                "run": run.key,
                "scorer": run.scorer,
                "scorers": list(run.scorers),
                "facts": dict(run.facts),
                "events": None if run.sample is None else len(run.sample),
                "repeated_ids": None if run.sample is None else run.sample.repeated,
                "why": run.why,
                "numbers": {name: asdict(number) for name, number in numbers(run.metrics, run.scorer).items()},
                "thresholds": [asdict(cut) for cut in cuts(run.metrics, run.scorer)],
            }
            for run in runs
        ],
        "recipes": {key: dict(zip(names, row, strict=True)) for key, row in differing(runs).items()},
        "pairs": [
            {"reference": names[one], "other": names[two], **asdict(pairing)}
            for (one, two), pairing in found.pairs.items()
        ],
    }


def rows(plain: Plain) -> list[Plain]:
    """Return every number of the comparison as a flat row: those of the runs, their thresholds, and the differences.

    A row has ``kind``, ``run``, ``scorer``, ``name``, ``value``, ``low`` and ``high``; differences also have
    ``reference``, ``z`` and ``p``, numbers a ``spread``.
    """
    found: list[Plain] = []
    scorers = {run["name"]: run["scorer"] for run in plain["runs"]}
    for run in plain["runs"]:
        own = {"run": run["name"], "scorer": run["scorer"]}
        found += [{"kind": "number", **own, "name": name, **number} for name, number in run["numbers"].items()]
        for cut in run["thresholds"]:
            place = f"{cut['rule']}/{cut['category']}"
            for what in COUNTED:
                sides = {side: cut[side] for side in ("low", "high")} if what == "background_efficiency" else {}
                found.append({"kind": "threshold", **own, "name": f"{place}/{what}", "value": cut[what], **sides})
    for pairing in plain["pairs"]:
        own = {"run": pairing["other"], "scorer": scorers[pairing["other"]], "reference": pairing["reference"]}
        for entry in pairing["differences"]:
            kept = {key: entry[key] for key in ("low", "high", "z", "p")}
            found.append({"kind": "difference", **own, "name": entry["metric"], "value": entry["difference"], **kept})
    return found


COLUMNS = ("kind", "run", "reference", "scorer", "name", "value", "low", "high", "spread", "z", "p")


def background_of(params: Mapping[str, str]) -> tuple[str, ...]:
    """Return the classes that a flattened recipe calls background."""
    found = json.loads(params.get("background", "[]"))
    return tuple(map(str, found))
