"""Small files for our readers to be tried with, written into a folder by functions that return path or glob."""

from __future__ import annotations

import csv
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import uproot

from hepanom.from_arrays import from_numpy
from hepanom.testing.made_up import some_points
from hepanom_plugins.readers.higgsml import UNITS


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


def write_npz(folder: Path) -> str:
    """Write two small files of events that Python had in memory, with labels, weights and runs."""
    generator = np.random.default_rng(5)
    for number in range(2):
        values, weight = generator.normal(size=(60, 3)), generator.random(60)
        label, run = np.array(["b", "s"])[np.arange(60) % 2], np.full(60, number)
        from_numpy(values, ["pt", "eta", "mass"], label=label, weight=weight, beside={"run": run}).save(
            folder / f"part{number}.npz"
        )
    return str(folder / "part*.npz")
