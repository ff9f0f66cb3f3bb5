"""Every plugin that is installed, with options to try it with, for the tests of what all of them promise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
from small_files import (
    write_clouds,
    write_hdf5,
    write_histograms,
    write_maps,
    write_npz,
    write_row_groups,
    write_tables,
    write_trees,
)

from hepanom.events import Events
from hepanom.packages import Kind
from hepanom.testing import Case
from hepanom.testing.case import offered
from hepanom.testing.made_up import SCHEMAS, plain, some_events

__all__ = ["FOUND", "OPTIONS", "SCHEMAS", "assert_equal", "build", "cases", "cases_on", "some_events", "tried"]

FOUND = offered(None)


@dataclass(frozen=True)
class On:
    """Options of a transform or model that is tried with points, images or padded points in place of a table."""

    kind: Literal["points", "image", "padded"]
    options: dict[str, Any]


# The options to try each plugin with; a new plugin without options that must be given needs no entry.
OPTIONS: dict[tuple[Kind, str], list[dict[str, Any] | On]] = {
    ("reader", "attpc_simulation"): [{"events": 2500, "chunk": 700}],
    ("reader", "attpc"): [
        {
            "path": write_clouds,
            "label": "kind",
            "classes": {"proton": [0], "carbon": [1]},
            "keep": ["energy"],
            "chunk": 50,
        },
        {
            "path": write_clouds,
            "features": ["z", "charge"],
            "within": {"x": [0, 90]},
            "charge": "drop",
            "empty": "drop",
        },
    ],
    ("reader", "csv"): [
        {"path": write_tables, "features": ["DER_*", "PRI_*"], "label": "Label", "classes": {"b": ["b"], "s": ["s"]}},
        {"path": write_tables, "features": ["DER_*"], "id": ["EventId"], "keep": ["KaggleSet"], "targets": ["PRI_met"]},
    ],
    ("reader", "hdf5"): [{"path": write_hdf5, "label": "label", "classes": {"b": [0], "s": [1]}, "keep": ["run"]}],
    ("reader", "root"): [
        {"path": write_trees, "features": ["met", "jet_pt[0]"], "leading": {"jet_pt": 1}, "weight": "w"},
        {"path": write_trees, "features": [], "points": {"jets": "jet_{pt}"}, "cut": "met > 5", "id": ["event"]},
    ],
    ("reader", "parquet"): [
        {"path": write_row_groups, "features": ["met", "jet.pt[0]"], "leading": {"jet.pt": 1}, "weight": "w"},
        {"path": write_row_groups, "features": [], "points": {"jets": "jet.{pt}"}, "cut": "met > 5", "id": ["event"]},
    ],
    ("reader", "npz"): [{"path": write_npz}, {"path": write_npz, "features": ["pt", "m*"], "chunk": 25}],
    ("reader", "higgsml"): [{"path": write_tables}],
    ("reader", "occupancy"): [
        {
            "path": write_histograms,
            "histogram": "run_*/occupancy",
            "number": "run_(?P<run>[0-9]+)",
            "weight": "entries",
        },
        {"path": write_maps, "histogram": "counts", "label": "label", "classes": {"b": [0], "s": [1]}, "keep": ["run"]},
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


def contracts() -> list[Case]:
    """Return a case for every entry of every plugin; a scorer's has every model that gives what it needs."""
    return [
        Case(kind, name, options, on, models=givers(name) if kind == "scorer" else ())
        for kind, name in FOUND
        for options, on in tried(kind, name)
    ]


def givers(scorer: str) -> tuple[Case, ...]:
    """Return the models whose outputs a scorer can read, each with options for every kind of events that it takes."""
    needs = FOUND["scorer", scorer].load().needs
    models = [name for kind, name in FOUND if kind == "model" and needs <= FOUND[kind, name].load().gives]
    firsts = [(name, {on: options for options, on in reversed(tried("model", name))}) for name in models]
    return tuple(Case("model", name, options, on) for name, first in firsts for on, options in first.items())


def build(kind: Kind, name: str, options: dict[str, Any], on: str = "table") -> Any:
    """Return a plugin as a recipe with these options gives it."""
    return Case(kind, name, options, on).build()


def assert_equal(a: Events, b: Events) -> None:
    for (name, left), (other, right) in zip(plain(a), plain(b), strict=True):
        assert name == other
        np.testing.assert_array_equal(left, right, err_msg=name)
