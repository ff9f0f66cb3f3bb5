"""What `hepanom runs` prints, and `hepanom show` of a run: tables, and the plain values behind --json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hepanom import address, compare
from hepanom.archive import Query, search
from hepanom.entrants import duration, moment, since_1970
from hepanom.errors import InputError, did_you_mean
from hepanom.evaluate import Number
from hepanom.show import UNKNOWN, facts_table
from hepanom.show_compare import interval
from hepanom.terminal import text_of
from hepanom.track import open_store

FIRST = ("test/auc", "test/max_sic", "test/f1")  # numbers that a list of runs shows, where they are known
SHOWN = 2  # of them
SHORT = 8  # characters of an id
COLORS = {"FINISHED": "green", "FAILED": "red", "RUNNING": "cyan", "KILLED": "yellow"}
Plain = dict[str, Any]


def listed(tracking: str | None, **options: Any) -> Plain:
    """Return the runs that the fields of ``archive.Query`` choose. Raises InputError where a filter has no meaning."""
    query = Query(**options)
    if query.lowest and query.sort is None:
        raise InputError("--lowest orders by a metric: add --sort METRIC, such as --sort validation")
    store = open_store(address.existing(tracking))
    found = search(store, query)
    if query.sort is not None and found and not any(query.sort in run["metrics"] for run in found):
        known = {name for run in found for name in run["metrics"] if not name.endswith(("/low", "/high", "/spread"))}
        raise InputError(f"--sort {query.sort}: no run has this metric; {did_you_mean(query.sort, known)}")
    limited = query.limit is not None and len(found) == query.limit
    return {"status": "done", "limited": limited, "sort": query.sort, "runs": found}


def text(plain: Plain) -> str:
    """Return the runs as a table for a terminal, with the reasons of those that failed below it."""
    runs = plain["runs"]
    if not runs:
        return "there is no run like that; without options `hepanom runs` lists the newest of all"
    known = [name for name in FIRST if any(name in run["metrics"] for run in runs)][:SHOWN]
    columns = list(dict.fromkeys([*([plain["sort"]] if plain["sort"] else []), *known]))
    experiments = len({run["experiment"] for run in runs}) > 1
    heads = ["id", "name", *["experiment"] * experiments, "started", "status", "model", "data", "device"]
    table = Table(*heads, box=SIMPLE_HEAD)
    for name in columns:
        table.add_column(escape(name), justify="right")
    table.add_column("duration", justify="right")
    for run in runs:
        cells = [run["run_id"][:SHORT], escape(run["name"] or "")]
        cells += [escape(run["experiment"])] * experiments
        cells += [
            moment(since_1970(run["start"])),
            f"[{COLORS.get(run['status'], 'default')}]{run['status'].lower()}[/]",
        ]
        cells += [escape(run["tags"].get(tag, "")) for tag in ("model", "data", "device")]
        cells += [f"{run['metrics'][name]:.4g}" if name in run["metrics"] else "" for name in columns]
        table.add_row(*cells, duration(run["start"], run["end"]))
    if plain["limited"]:
        table.caption = f"the first {len(runs)}; --limit N shows more"
    return text_of(table, *_reasons(plain))


def _reasons(plain: Plain) -> list[Any]:
    """Say in one line each why runs failed."""
    failed = {run["run_id"][:SHORT]: run["reason"].splitlines()[0] for run in plain["runs"] if run["reason"]}
    return [Text("why they ended:"), facts_table(failed)] if failed else []


def run_text(plain: Plain) -> str:
    """Return one recorded run: what ran, its numbers, its thresholds, its last losses, and where its files are."""
    tags, metrics = plain["tags"], plain["metrics"]
    told = {key: str(plain[key] or "") for key in ("name", "run_id", "experiment", "status", "reason", "training")}
    told |= {key: tags.get(key, "") for key in ("model", "data", "device")}
    told["files"] = ", ".join(f"{entry['name']} ({entry['digest']})" for entry in plain["data"])
    told |= {"started": moment(since_1970(plain["start"])), "duration": duration(plain["start"], plain["end"])}
    told |= {key: str(plain[key] or "") for key in ("events", "artifacts")}
    told["runs below"] = ", ".join(f"{child['name']} ({child['status'].lower()})" for child in plain["children"])
    scorers = list(dict.fromkeys(path.split("/")[1] for path in metrics if path.startswith("threshold/")))
    scorers = [name for name in tags.get("scorers", "").split(", ") if name] or scorers
    rest = {path: f"{value:.5g}" for path, value in metrics.items() if not path.startswith(("test/", "threshold/"))}
    tables = [*_numbers(metrics, scorers), *_cuts(metrics, scorers), *([facts_table(rest)] if rest else [])]
    return text_of(facts_table(told), *tables)


def _numbers(metrics: Mapping[str, float], scorers: Sequence[str]) -> Iterator[Table]:
    """Tabulate the numbers of all events, weighted, by scorer, then those of the latent codes."""
    found = {scorer: compare.numbers(metrics, scorer) for scorer in scorers}
    names = dict.fromkeys(name for numbers in found.values() for name in numbers)
    shown = [name for name in names if not name.startswith(("unweighted/", "category_"))]
    shown.sort(key=lambda name: name.count("/"))  # curves before what thresholds give
    yield from _table("test share, weighted", shown, found)
    latent = {"value": compare.numbers(metrics, "latent")}
    yield from _table("classifier and clusters on latent codes", list(latent["value"]), latent)


def _table(title: str, names: Sequence[str], found: Mapping[str, Mapping[str, Number]]) -> Iterator[Table]:
    table = Table("number", title=title, title_justify="left", box=SIMPLE_HEAD)
    for column in found:
        table.add_column(escape(column), justify="right")
    for name in names:
        cells = [numbers.get(name) for numbers in found.values()]
        table.add_row(escape(name), *(interval(asdict(cell)) if cell else UNKNOWN for cell in cells))
    if names:
        yield table


def _cuts(metrics: Mapping[str, float], scorers: Sequence[str]) -> Iterator[Table]:
    table = Table("scorer", "rule", "category", title="thresholds", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("cut", "background efficiency", "flagged", "weight seen", "expected"):
        table.add_column(heading, justify="right")
    for scorer in scorers:
        for cut in compare.cuts(metrics, scorer):
            efficiency = interval({"value": cut.background_efficiency, "low": cut.low, "high": cut.high})
            counted = (f"{cut.flagged:,.0f}", f"{cut.seen:,.4g}", f"{cut.expected:,.4g}")
            place = "by bin" if cut.value is None else f"{cut.value:.4g}"
            table.add_row(*map(escape, (scorer, cut.rule, cut.category)), place, efficiency, *counted)
    if table.rows:
        yield table
