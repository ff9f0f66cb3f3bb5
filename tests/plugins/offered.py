"""Every plugin that is installed, with options to try it with, for the tests of what all of them promise."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot

from hepanom import document, plugins
from hepanom.events import Events, Input, Jagged, Schema, hash64
from hepanom.plugins import Kind, Parts
from hepanom_plugins.readers.higgsml import UNITS

FOUND = plugins.registry()
BOTH: tuple[Kind, Kind] = ("model", "scorer")
COLUMNS = ("pt_1", "pt_2", "eta", "mass")
CLASSES = ("background", "signal")
TARGETS = ("recoil_x", "recoil_y")
PADDED = tuple(f"{name}[{point}]" for point in range(5) for name in ("x", "y", "real"))
SCHEMAS = {
    "table": Schema({"features": Input("table", COLUMNS, ("GeV", "GeV", "", "GeV"))}, CLASSES, TARGETS),
    "points": Schema({"points": Input("points", ("x", "y", "z", "charge"), ("mm", "mm", "mm", ""))}, CLASSES),
    "image": Schema({"image": Input("image", ("charge", "hits"), ("", ""), (16, 12))}, CLASSES),
    "padded": Schema({"features": Input("table", PADDED, ("mm", "mm", "") * 5)}, CLASSES),
}


@dataclass(frozen=True)
class On:
    """Options of a transform or model that is tried with points, images or padded points in place of a table."""

    kind: Literal["points", "image", "padded"]
    options: dict[str, Any]


# The options to try each plugin with; a new plugin without options that must be given needs no entry.
OPTIONS: dict[tuple[Kind, str], list[dict[str, Any] | On]] = {
    ("reader", "attpc_simulation"): [{"events": 2500, "chunk": 700}],
    ("reader", "attpc"): [
        {"path": "CLOUDS", "label": "kind", "classes": {"proton": [0], "carbon": [1]}, "keep": ["energy"], "chunk": 50},
        {"path": "CLOUDS", "features": ["z", "charge"], "within": {"x": [0, 90]}, "charge": "drop", "empty": "drop"},
    ],
    ("reader", "csv"): [
        {"path": "TABLES", "features": ["DER_*", "PRI_*"], "label": "Label", "classes": {"b": ["b"], "s": ["s"]}},
        {"path": "TABLES", "features": ["DER_*"], "id": ["EventId"], "keep": ["KaggleSet"], "targets": ["PRI_met"]},
    ],
    ("reader", "hdf5"): [{"path": "HDF5", "label": "label", "classes": {"b": [0], "s": [1]}, "keep": ["run"]}],
    ("reader", "root"): [
        {"path": "ROOT", "features": ["met", "jet_pt[0]"], "leading": {"jet_pt": 1}, "weight": "w"},
        {"path": "ROOT", "features": [], "points": {"jets": "jet_{pt}"}, "cut": "met > 5", "id": ["event"]},
    ],
    ("reader", "parquet"): [
        {"path": "PARQUET", "features": ["met", "jet.pt[0]"], "leading": {"jet.pt": 1}, "weight": "w"},
        {"path": "PARQUET", "features": [], "points": {"jets": "jet.{pt}"}, "cut": "met > 5", "id": ["event"]},
    ],
    ("reader", "higgsml"): [{"path": "TABLES"}],
    ("reader", "occupancy"): [
        {"path": "HISTOGRAMS", "histogram": "run_*/occupancy", "number": "run_(?P<run>[0-9]+)", "weight": "entries"},
        {"path": "MAPS", "histogram": "counts", "label": "label", "classes": {"b": [0], "s": [1]}, "keep": ["run"]},
    ],
    ("reader", "occupancy_simulation"): [{"events": 1500, "shape": [8, 16], "module": [4, 8]}],
    ("reader", "recoil_simulation"): [{"events": 40_000, "chunk": 30_000}],
    ("reader", "toy"): [{"events": 140_000, "chunk": 50_000}],
    ("transform", "select"): [{"columns": ["pt_*", "eta"]}],
    ("transform", "drop"): [{"columns": ["eta"]}],
    ("transform", "image"): [
        On("points", {"axes": ["x", "z"], "range": [[-90, 90], [-90, 90]], "size": [16, 8]}),
        On("points", {"axes": ["r", "z"], "log": True, "scale": 10.0}),
        On("points", {"axes": ["x", "y"], "range": "event", "value": "points"}),
        On("points", {"axes": ["x", "y"], "centre": True}),
    ],
    ("transform", "pad"): [
        On("points", {"points": 3, "by": by, "column": "r", "fill": 0.0})
        for by in ("largest", "smallest", "random", "first")
    ]
    + [On("points", {"points": 4, "fill": "nan", "mask": True})],
    ("transform", "normalize_points"): [On("points", {"log": ["charge"], "range": {"x": [-100, 100]}, "keep": ["y"]})],
    ("transform", "log"): [{"columns": ["pt_*"], "offset": 1.0}],
    ("transform", "clip"): [{"columns": ["pt_*"], "low": 0.5}, {"columns": ["*"], "quantiles": [0.05, 0.95]}],
    ("transform", "one_hot"): [{"columns": ["mass"], "most": 200}],
    ("transform", "quantile"): [{}, {"columns": ["pt_*"], "to": "uniform", "knots": 20}],
    ("transform", "rotate_phi"): [
        {"phi": ["eta"], "eta": ["mass"]},
        On("points", {"phi": ["charge"], "points": "x"}),
    ],
    ("transform", "missing"): [{"fill": fill, "indicator": True} for fill in ("mean", "median", "minimum", -1.0)],
    ("model", "autoencoder"): [
        {},
        {"dropout": 0.2, "batch_norm": True, "hidden": []},
        {"l1": 0.1, "l2": 0.1},
        On("image", {"hidden": [10]}),
    ],
    ("model", "vae"): [
        {},
        {"dropout": 0.2, "batch_norm": True},
        {"decoder": "fixed", "warmup": 0.5, "free_bits": 0.02, "l1": 0.1, "l2": 0.1},
        On("image", {"decoder": "fixed"}),
    ],
    ("model", "dnn"): [
        {},
        {"activation": "tanh", "batch_norm": True, "dropout": 0.2, "loss": "huber", "l1": 0.1, "l2": 0.1},
        {"loss": "gaussian", "hidden": []},
        {"loss": "quantiles", "levels": [0.1, 0.3, 0.5, 0.9]},
    ],
    ("model", "flow"): [
        {"transforms": 2, "hidden": [8]},
        {"kind": "nsf", "transforms": 2, "hidden": [8, 8], "bins": 4},
        {"kind": "nsf", "hidden": [], "transforms": 1, "condition": ["pt_*", "eta"]},
    ],
    ("model", "deep_clustering"): [
        {"pretrain": 0},
        {"pretrain": 0, "clusters": 5, "dropout": 0.2, "batch_norm": True, "hidden": [8], "latent": 3},
        {"pretrain": 0, "l1": 0.1, "l2": 0.1},
        On("image", {"pretrain": 0, "hidden": [10]}),
    ],
    ("model", "set_autoencoder"): [
        On("padded", {"shared": [8, 8]}),
        On("padded", {"dropout": 0.2, "batch_norm": True, "points": 3}),
        On("padded", {"shared": [], "hidden": [], "l1": 0.1, "l2": 0.1}),
    ],
    ("model", "deep_svdd"): [
        {},
        {"objective": "soft_boundary", "nu": 0.2, "activation": "relu", "weight_decay": 0.1},
        On("image", {"hidden": []}),
    ],
    ("model", "gan"): [
        {},
        {"dropout": 0.1, "batch_norm": True, "hidden": [], "generator_lr": 1e-4},
        On("image", {"l1": 0.1}),
    ],
    ("model", "wgan_gp"): [{"activation": "tanh"}, {"batch_norm": True, "l2": 0.1}, On("image", {"hidden": [10]})],
    ("model", "bigan"): [
        {},
        {"cycle": False, "dropout": 0.1, "batch_norm": True, "l2": 0.1},
        On("image", {"hidden": [9]}),
    ],
    ("model", "anogan"): [{"steps": 20}, {"starts": 3, "steps": 5, "batch_norm": True}, On("image", {"steps": 3})],
    ("scorer", "critic"): [{"distance": distance} for distance in ("median", "half", "low")],
    ("scorer", "query"): [{}, {"feature_share": 1.0}],
    ("scorer", "combine"): [{"scores": ["a", "b"], "how": how} for how in ("and", "or", "mean", "product", "maximum")],
    ("model", "conv_autoencoder"): [
        On("image", {"kernels": [5, 3], "filters": [4, 3]}),
        On("image", {"regularization": "mmd", "beta": 10.0, "warmup": 0.5, "batch_norm": True, "hidden": [7]}),
        On("image", {"regularization": "mmd", "kernel": "inverse_multiquadric", "strides": [3, 2, 1]}),
    ],
    ("model", "conv_vae"): [
        On("image", {"kernels": [4], "filters": [9], "variance": 0.5}),
        On("image", {"free_bits": 0.02, "warmup": 0.5, "activation": "leaky_relu", "batch_norm": True}),
    ],
    ("model", "draw"): [
        On("image", {"width": 7, "steps": 3, "latent": 2, "glimpse": 4, "peak": 4.0, "delta": "learned"}),
        On("image", {"width": 7, "steps": 2, "glimpse": 3, "peak": 4.0, "warmup": 0.5, "free_bits": 0.02}),
        On("image", {"width": 7, "steps": 2, "read_write": "convolutional", "regularization": "none", "peak": 4.0}),
        On(
            "image",
            {"width": 7, "steps": 2, "read_write": "whole", "regularization": "mmd", "peak": 4.0, "loss": "mse"},
        ),
    ],
    ("model", "gmm"): [{"components": 3}, {"starts": 2}, On("image", {"components": 2, "regularization": 0.1})],
    ("model", "hbos"): [{}, {"binning": "width", "bins": 5, "floor": 0.1}, On("image", {"bins": 4})],
    ("model", "isolation_forest"): [{}, {"trees": 10, "samples": 16, "events": 40}, On("image", {"samples": 20})],
    ("model", "knn"): [{}, {"k": 3, "distance": "mean", "references": 10}, On("image", {"k": 1})],
    ("model", "mahalanobis"): [{}, On("image", {"shrinkage": 0.1})],
    ("model", "pca"): [{}, {"latent": 4, "whiten": True}, On("image", {"latent": 5})],
    ("scorer", "knn"): [{}, {"k": 2, "distance": "mean", "references": 20, "seed": 3}],
    ("scorer", "mahalanobis"): [{}, {"shrinkage": 0.2}],
    ("scorer", "elbo"): [{}, {"samples": 3}],
}


def tried(kind: Kind, name: str) -> list[tuple[dict[str, Any], str]]:
    """Return each of a plugin's entries as its options and the kind of events."""
    entries = OPTIONS.get((kind, name), [{}])
    return [(entry.options, entry.kind) if isinstance(entry, On) else (entry, "table") for entry in entries]


def cases(kind: Kind) -> list[Any]:
    """Return (plugin name, options) of every plugin of a kind, for each of its entries."""
    return [pytest.param(*case.values[:2], id=case.id) for case in cases_on(kind)]


def cases_on(kind: Kind) -> list[Any]:
    """Return (plugin name, options, kind of events) of every plugin of a kind, for each of its entries."""
    names = [name for found, name in FOUND if found == kind]
    entries = [(name, *entry) for name in names for entry in tried(kind, name)]
    return [pytest.param(*entry, id=f"{entry[0]}-{index}") for index, entry in enumerate(entries)]


def partner(kind: Kind, name: str) -> str:
    """Return a scorer that reads what the model of this name gives, or a model that gives what the scorer needs."""
    models, scorers = ({each: FOUND[kind, each].load() for kind, each in FOUND if kind == of} for of in BOTH)
    if kind == "model":
        return next(each for each, scorer in scorers.items() if scorer.needs and scorer.needs <= models[name].gives)
    return next(each for each, model in models.items() if model.gives >= scorers[name].needs)


def build(kind: Kind, name: str, options: dict[str, Any], on: str = "table") -> Any:
    """Return a plugin as a recipe with these options gives it, for events of a kind."""
    recipe: dict[str, Any] = {
        "name": "conformance",
        "data": {"use": "toy"},
        "background": ["background"],
        "model": {"use": partner(kind, name) if kind == "scorer" else "vae"},
        "scores": [{"use": partner(kind, name) if kind == "model" else "reconstruction"}],
    }
    place = {"reader": "data", "transform": "transforms", "model": "model", "scorer": "scores"}[kind]
    node = {"use": name, **options}
    recipe[place] = [node] if place in ("transforms", "scores") else node
    if kind == "scorer" and "scores" in options:  # of the recipe, to be combined
        recipe["model"] = {"use": "vae"}
        recipe["scores"] = [{"use": "reconstruction", "name": label} for label in options["scores"]] + [node]
    parts: Parts = plugins.build(document.Document("conformance.yaml", recipe, {}, {}), SCHEMAS[on])
    chosen = {"reader": parts.reader, "model": parts.model}
    lists = {"transform": [*parts.transforms.values()], "scorer": [*parts.scorers.values()]}
    return chosen[kind] if kind in chosen else lists[kind][-1]


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


def write_clouds(folder: Path) -> str:
    """Write two small files of point clouds, and return the glob that matches them."""
    for number in range(2):
        clouds = some_points(120)
        with h5py.File(folder / f"clouds{number}.h5", "w") as file:
            file["points"], file["offsets"] = clouds.values, clouds.offsets
            file["kind"] = np.arange(120) % 2
            file["energy"] = np.linspace(1, 5, 120)
    return str(folder / "clouds*.h5")


def write_hdf5(folder: Path) -> str:
    """Write two small files with a matrix, labels and runs."""
    generator = np.random.default_rng(2)
    for number in range(2):
        with h5py.File(folder / f"part{number}.h5", "w") as file:
            file["features"] = generator.normal(size=(50, 3)).astype(np.float32)
            file["features"].attrs["columns"] = ["pt", "eta", "mass"]
            file["label"], file["run"] = np.arange(50) % 2, np.full(50, number)
    return str(folder / "part*.h5")


def write_trees(folder: Path) -> str:
    """Write two small files with a tree of flat and jagged branches."""
    generator = np.random.default_rng(2)
    for number in range(2):
        counts = generator.integers(0, 4, 60)
        pt = ak.unflatten(generator.exponential(30, counts.sum()), counts)
        with uproot.recreate(folder / f"part{number}.root") as file:
            file.mktree("events", {"event": "int64", "met": "float64", "w": "float32", "jet_pt": ak.type(pt).content})
            event = 60 * number + np.arange(60)
            weight = generator.random(60).astype(np.float32)
            file["events"].extend({"event": event, "met": generator.exponential(20, 60), "w": weight, "jet_pt": pt})
    return str(folder / "part*.root")


def write_row_groups(folder: Path) -> str:
    """Write two small files of row groups with flat columns and a list of records."""
    generator = np.random.default_rng(2)
    for number in range(2):
        counts = generator.integers(0, 4, 60)
        jets = ak.zip({"pt": ak.unflatten(generator.exponential(30, counts.sum()), counts)})
        flat = {"event": 60 * number + np.arange(60), "met": generator.exponential(20, 60), "w": generator.random(60)}
        ak.to_parquet(ak.zip({**flat, "jet": jets}, depth_limit=1), folder / f"part{number}.parquet", row_group_size=25)
    return str(folder / "part*.parquet")


def write_histograms(folder: Path) -> str:
    """Write two small files with a TH2 for each of ten runs."""
    generator = np.random.default_rng(3)
    for number in range(2):
        with uproot.recreate(folder / f"part{number}.root") as file:
            for run in range(10):
                counts = generator.poisson(20, (6, 4)).astype(np.float64)
                file[f"run_{10 * number + run}/occupancy"] = (counts, np.arange(7.0), np.arange(5.0))
    return str(folder / "part*.root")


def write_maps(folder: Path) -> str:
    """Write two small files with an array of maps, labels and runs."""
    generator = np.random.default_rng(4)
    for number in range(2):
        with h5py.File(folder / f"part{number}.h5", "w") as file:
            file["counts"] = generator.poisson(20, (50, 4, 6))
            file["label"], file["run"] = np.arange(50) % 2, np.full(50, number)
    return str(folder / "part*.h5")


# What stands for files in OPTIONS, and the function that writes them into a folder and returns their path or glob.
FILES: dict[str, Callable[[Path], str]] = {
    "CLOUDS": write_clouds,
    "TABLES": write_tables,
    "HDF5": write_hdf5,
    "ROOT": write_trees,
    "PARQUET": write_row_groups,
    "HISTOGRAMS": write_histograms,
    "MAPS": write_maps,
}


def some_features(number: int, *, missing: bool) -> np.ndarray:
    """Return four positive, correlated features, of which mass may be missing."""
    generator = np.random.default_rng(3)
    features = np.exp(generator.normal(size=(number, 4)) @ generator.normal(size=(4, 4)) * 0.3).astype(np.float32)
    if missing:
        features[generator.random(number) < 0.2, 3] = np.nan
    return features


def some_points(number: int) -> Jagged:
    """Return clouds of no to twelve points in a box of 200 mm, with charges that are now and then zero."""
    generator = np.random.default_rng(4)
    offsets = np.concatenate([[0], np.cumsum(generator.integers(0, 13, number))])
    values = generator.uniform(-100, 100, (int(offsets[-1]), 4)).astype(np.float32)
    values[:, 3] = generator.exponential(50, len(values)) * (generator.random(len(values)) < 0.9)
    return Jagged(values, offsets)


def some_padded(number: int) -> np.ndarray:
    """Return tables of no to five points, each with the mask that says whether it is one."""
    generator = np.random.default_rng(6)
    table = generator.normal(size=(number, 5, 3)).astype(np.float32)
    table[..., 2] = np.arange(5) < generator.integers(0, 6, (number, 1))
    return table.reshape(number, 15)


def some_images(number: int) -> np.ndarray:
    """Return images of two channels, most of whose pixels are empty."""
    generator = np.random.default_rng(5)
    shape = (number, 2, 16, 12)
    return (generator.exponential(size=shape) * (generator.random(shape) < 0.2)).astype(np.float32)


def some_events(number: int, *, missing: bool, on: str = "table") -> Events:
    """Return events of a kind; in a table the mass may be missing."""
    generator = np.random.default_rng(3)
    (name,) = SCHEMAS[on].inputs
    inputs = {"points": some_points, "image": some_images, "padded": some_padded}
    return Events(
        event_id=hash64([np.arange(number)]),
        inputs={name: inputs[on](number) if on in inputs else some_features(number, missing=missing)},
        weight=generator.exponential(size=number),
        label=np.zeros(number, np.int64),
        category=np.zeros(number, np.int64),
        target=generator.normal(20, 5, (number, len(TARGETS))) if on == "table" else None,
    )


def plain(events: Events) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every column of the events by name."""
    for name, values in events.inputs.items():
        yield name, values.values if isinstance(values, Jagged) else np.asarray(values)
        if isinstance(values, Jagged):
            yield f"points in {name}", np.diff(values.offsets)
    for name in ("event_id", "weight", "label", "target"):
        if getattr(events, name) is not None:
            yield name, getattr(events, name)
    yield from events.beside.items()


def assert_equal(a: Events, b: Events) -> None:
    for (name, left), (other, right) in zip(plain(a), plain(b), strict=True):
        assert name == other
        np.testing.assert_array_equal(left, right, err_msg=name)
