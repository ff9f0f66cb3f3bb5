"""Every plugin that is installed, with options to try it with, for the tests of what all of them promise."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepanom import document, plugins
from hepanom.events import Events, Input, Jagged, Schema, hash64
from hepanom.plugins import Kind, Parts
from hepanom_plugins.readers.higgsml import UNITS

FOUND = plugins.registry()
COLUMNS = ("pt_1", "pt_2", "eta", "mass")
TABLE = Schema({"features": Input("table", COLUMNS, ("GeV", "GeV", "", "GeV"))}, ("background", "signal"))
# The options to try each plugin with; a new plugin without options that must be given needs no entry.
OPTIONS: dict[tuple[Kind, str], list[dict[str, Any]]] = {
    ("reader", "csv"): [
        {"path": "TABLES", "features": ["DER_*", "PRI_*"], "label": "Label", "classes": {"b": ["b"], "s": ["s"]}},
        {"path": "TABLES", "features": ["DER_*"], "id": ["EventId"], "keep": ["KaggleSet"], "targets": ["PRI_met"]},
    ],
    ("reader", "higgsml"): [{"path": "TABLES"}],
    ("reader", "toy"): [{"events": 140_000, "chunk": 50_000}],
    ("transform", "select"): [{"columns": ["pt_*", "eta"]}],
    ("transform", "drop"): [{"columns": ["eta"]}],
    ("transform", "log"): [{"columns": ["pt_*"], "offset": 1.0}],
    ("transform", "missing"): [{"fill": fill, "indicator": True} for fill in ("mean", "median", "minimum", -1.0)],
    ("model", "autoencoder"): [{}, {"dropout": 0.2, "batch_norm": True, "hidden": []}, {"l1": 0.1, "l2": 0.1}],
    ("model", "vae"): [
        {},
        {"dropout": 0.2, "batch_norm": True},
        {"decoder": "fixed", "warmup": 0.5, "free_bits": 0.02, "l1": 0.1, "l2": 0.1},
    ],
    ("scorer", "elbo"): [{}, {"samples": 3}],
}


def cases(kind: Kind) -> list[Any]:
    """Return (plugin name, options) of every plugin of a kind, for each of its entries."""
    names = [name for found, name in FOUND if found == kind]
    tried = [(name, options) for name in names for options in OPTIONS.get((kind, name), [{}])]
    return [pytest.param(name, options, id=f"{name}-{index}") for index, (name, options) in enumerate(tried)]


def build(kind: Kind, name: str, options: dict[str, Any]) -> Any:
    """Return a plugin as a recipe with these options gives it."""
    recipe: dict[str, Any] = {
        "name": "conformance",
        "data": {"use": "toy"},
        "background": ["background"],
        "model": {"use": "vae"},
        "scores": [{"use": "reconstruction"}],
    }
    place = {"reader": "data", "transform": "transforms", "model": "model", "scorer": "scores"}[kind]
    node = {"use": name, **options}
    recipe[place] = [node] if place in ("transforms", "scores") else node
    parts: Parts = plugins.build(document.Document("conformance.yaml", recipe, {}, {}), TABLE)
    chosen = {"reader": parts.reader, "model": parts.model}
    lists = {"transform": [*parts.transforms.values()], "scorer": [*parts.scorers.values()]}
    return chosen[kind] if kind in chosen else lists[kind][0]


def write_tables(folder: Path) -> str:
    """Write two small files with the columns of the HiggsML challenge, and return the glob that matches them."""
    generator = np.random.default_rng(1)
    for number in range(2):
        with (folder / f"part{number}.csv").open("w", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["EventId", *UNITS, "Weight", "Label", "KaggleSet", "KaggleWeight"])
            for row in range(120):
                features = np.where(generator.random(len(UNITS)) < 0.1, -999.0, generator.normal(50, 9, len(UNITS)))
                beside = [f"{generator.random():.6f}", "sb"[row % 3 > 0], "tbvu"[row % 4], f"{generator.random():.6f}"]
                rows.writerow([1000 * number + row, *features.round(3), *beside])
    return str(folder / "part*.csv")


# What stands for files in OPTIONS, and the function that writes them into a folder and returns their path or glob.
FILES: dict[str, Callable[[Path], str]] = {"TABLES": write_tables}


def some_events(number: int, *, missing: bool) -> Events:
    """Return events with four positive, correlated features, of which mass may be missing."""
    generator = np.random.default_rng(3)
    features = np.exp(generator.normal(size=(number, 4)) @ generator.normal(size=(4, 4)) * 0.3).astype(np.float32)
    if missing:
        features[generator.random(number) < 0.2, 3] = np.nan
    return Events(
        event_id=hash64([np.arange(number)]),
        inputs={"features": features},
        weight=generator.exponential(size=number),
        label=np.zeros(number, np.int64),
        category=np.zeros(number, np.int64),
    )


def plain(events: Events) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every column of the events by name."""
    for name, values in events.inputs.items():
        yield name, values.values if isinstance(values, Jagged) else np.asarray(values)
    for name in ("event_id", "weight", "label", "target"):
        if getattr(events, name) is not None:
            yield name, getattr(events, name)
    yield from events.beside.items()


def assert_equal(a: Events, b: Events) -> None:
    for (name, left), (other, right) in zip(plain(a), plain(b), strict=True):
        assert name == other
        np.testing.assert_array_equal(left, right, err_msg=name)
