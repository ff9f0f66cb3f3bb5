"""Print the tables of docs/reproduction-oslo.md: F1 of a linear classifier on latent codes, and of references.

R. Solli (Oslo 2019) trains convolutional autoencoders on all events, without labels, and a logistic regression on the
codes of a few labelled ones. A row is a way to get codes; all rows of a table share the labelled events and classifier.
Numbers are the mean +- standard deviation over trainings, for a single one its interval from a bootstrap of the tested
events. A training collapsed where its code is the same for all test events, or where F1 is that of giving all of them
the same class.

    OMP_NUM_THREADS=1 python benchmarks/reproductions/oslo.py [--data simulation | voxels] [--replicas 10]
        [--events 8000] [--epochs 20] [--only ROW ...] [--set KEY=VALUE ...] [--checkpoints FOLDER]

Ten trainings of one row at 128 x 128 pixels, 8,000 events and 20 epochs take an hour and a half on one core; with
--checkpoints an interrupted row goes on where it stopped. The voxels lie in the folder that HEPANOM_DATA names.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from hepanom import document, plugins, shares
from hepanom.detector import Detector, score
from hepanom.document import Document
from hepanom.events import Events
from hepanom.fit import fit
from hepanom.insight import latent
from hepanom.prepared import prepare
from hepanom.probe import Probe, probe
from hepanom.recipe import LatentCodes
from hepanom.stream import with_category

RECIPES = Path(__file__).parents[2] / "recipes"
RECIPE = {"simulation": "attpc_classification", "voxels": "attpc_voxels"}
ROUNDING = 1e-5  # of a code's root mean square: a smaller standard deviation is that of float32


@dataclass(frozen=True)
class Row:
    """A way to get codes: changes to the recipe, and what of the detector the classifier is given."""

    name: str
    changes: tuple[str, ...]
    given: Literal["latent_mean", "score", "pixels"] = "latent_mean"


ADAM = "train.optimizer={use: adam, lr: 1e-3}"
PRINTED = "train.optimizer={use: adam, lr: 0.1, betas: [0.55, 0.99]}"
BARE = ("model.loss=mse", "model.batch_norm=false")
FOREST = ("model={use: isolation_forest}", "scores=[{use: outlyingness}]", "evaluate={metrics: [auc]}")
DRAW = (
    "model={use: draw, steps: 6, latent: 3, width: 128, glimpse: 8, delta: 0.8, regularization: mmd, beta: 100}",
    "train.optimizer={use: adam, lr: 3e-3}",
    "train.batch=32",
    "train.clip=5.0",
)
SHARED = (
    Row("printed", (PRINTED, *BARE)),
    Row("search", (PRINTED,)),
    Row("program", (ADAM,)),
    Row("program bare", (ADAM, "model.batch_norm=false")),
)
REFERENCES = (Row("forest", FOREST, "score"), Row("pixels", (*FOREST, "train.replicas=1"), "pixels"))
COARSE = ("transforms.0.size=[32, 32]", "model.peak=2")
ROWS: Mapping[str, Sequence[Row]] = {
    "simulation": (*SHARED, Row("draw", (*DRAW, *COARSE)), *REFERENCES),
    "voxels": (*SHARED, Row("program 11", (ADAM, "model.kernels=[11, 5, 3]")), Row("draw", DRAW), *REFERENCES),
}


@dataclass(frozen=True)
class Found:
    """What a row gave: the classifier's numbers, and which trainings collapsed (None where nothing could)."""

    probe: Probe
    collapsed: Bool[np.ndarray, " replica"] | None


def measure(recipe: Document, labelled: LatentCodes, given: str, checkpoints: Path | None = None) -> Found:
    """Train what a recipe says, and classify the labelled events of its test share."""
    parts = plugins.build(recipe)
    events = shares.read(parts, shares.memory_bytes(parts.recipe))
    detector, _ = fit(events, {}, checkpoints=checkpoints)
    test = with_category(Events.concat(list(events.chunks("test"))), None, detector.categories, parts.schema)
    codes = codes_of(detector, test, given)
    found = probe(codes, test.label, parts.schema.classes, labelled, parts.recipe.seed, alike=given == "pixels")
    return Found(found, collapsed(codes, found) if given == "latent_mean" else None)


def codes_of(detector: Detector, test: Events, given: str) -> Float[np.ndarray, "replica event latent"]:
    """Return what the classifier is given of each event."""
    if given == "latent_mean":
        return latent(detector, test)[0]
    if given == "score":
        (values,) = score(detector, test).values()
        return values[:, :, None]
    (model,) = detector.models.values()
    name, _ = model.schema.only("image")
    images = prepare(detector.parts, model.states, test).inputs[name]
    return np.asarray(images, np.float64).reshape(1, len(test), -1)


def collapsed(codes: Float[np.ndarray, "replica event latent"], found: Probe) -> Bool[np.ndarray, " replica"]:
    """Return which trainings collapsed: a constant code, or the F1 of one class for every event.

    To give all events one of c equally frequent classes has a mean F1 of 2 / (c (c + 1)).
    """
    classes, size = len(found.classes), np.sqrt(np.square(codes).mean(1))
    return np.asarray(
        (codes.std(1) <= ROUNDING * size).all(1) | (found.curve[:, -1] < 2 / (classes * (classes + 1)) + 0.01)
    )


def line(name: str, found: Found) -> str:
    """Return a row of the table."""
    cells = []
    for number in (found.probe.numbers[f"f1/{of}"] for of in found.probe.classes):
        if number is None:
            cells.append("-")
        elif number.spread is None:
            cells.append(f"{number.value:.2f} ({number.low:.2f} to {number.high:.2f})")
        else:
            cells.append(f"{number.value:.2f} ± {number.spread:.2f}")
    best = found.probe.curve[:, -1].max()
    lost = "-" if found.collapsed is None else f"{found.collapsed.sum()} of {len(found.collapsed)}"
    return f"| {name} | {' | '.join(cells)} | {best:.2f} | {lost} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and print the rows that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", choices=sorted(ROWS), default="simulation", help="simulation is the default")
    parser.add_argument("--replicas", type=int, default=10, help="trainings of every row, 10 by default")
    parser.add_argument("--events", type=int, help="simulated events, in place of the recipe's number")
    parser.add_argument("--epochs", type=int, help="epochs of every training, in place of the recipe's number")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="rows by name, all by default")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another change to the recipe")
    parser.add_argument("--checkpoints", type=Path, metavar="FOLDER", help="where trainings are kept, to go on later")
    options = parser.parse_args(arguments)
    rows = {row.name: row for row in ROWS[options.data]}
    if unknown := sorted(set(options.only or ()) - set(rows)):
        parser.error(f"--only: there is no row {', '.join(unknown)}; there are {', '.join(rows)}")
    changes = [f"train.replicas={options.replicas}"]
    changes += [f"data.events={options.events}"] if options.events else []
    changes += [f"train.epochs={options.epochs}"] if options.epochs else []
    recipe = document.read(RECIPES / f"{RECIPE[options.data]}.yaml", [*changes, *options.set])
    labelled = LatentCodes.model_validate(recipe.plain["evaluate"]["latent"])
    for place, name in enumerate(options.only or rows):
        folder = options.checkpoints / options.data / name if options.checkpoints else None
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        found = measure(document.changed(recipe, rows[name].changes), labelled, rows[name].given, folder)
        if place == 0:
            classes = " | ".join(f"F1 {of}" for of in found.probe.classes)
            print(f"{found.probe.trained} labelled events train the classifier, {found.probe.tested} test it.\n")
            print(f"| | {classes} | best training | collapsed |\n|{'---|' * (len(found.probe.classes) + 3)}")
        print(line(name, found), flush=True)


if __name__ == "__main__":
    main()
