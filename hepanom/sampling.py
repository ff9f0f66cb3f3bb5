"""Ask the networks of a detector what they have learnt: generated events, latent traversals, canvases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from hepanom.contracts import Batch, Network
from hepanom.detector import CategoryModel, Detector, threads
from hepanom.events import Events, Input
from hepanom.learnt import Canvases, Learnt, Samples, Traversal, colours, compared, strongest
from hepanom.plugins import Parts
from hepanom.prepared import table
from hepanom.stream import VALUES, weighed
from hepanom.train import device_of

MOST = 5000  # test events that generated ones are compared with
IMAGES = 16
SHOWN = 4  # canvases, and latent dimensions
STEPS = np.linspace(-3, 3, 25)
FEW_STEPS = np.linspace(-3, 3, 7)  # of what is an image each
PRIOR = 1000  # codes whose mean and standard deviation are those of a prior
BAND = (0.15865, 0.84135)

Codes = Mapping[int, Float[np.ndarray, "event latent"]]


def most_events(detector: Detector) -> int:
    """Return how many test events are needed: some thousand rows of a table, some images."""
    widest = max(entry.width for model in detector.models.values() for entry in model.schema.inputs.values())
    images = any(entry.kind == "image" for model in detector.models.values() for entry in model.schema.inputs.values())
    return IMAGES if images else max(IMAGES, min(MOST, VALUES // max(1, widest)))


def learnt(detector: Detector, events: Events, codes: Codes) -> dict[str, Learnt]:
    """Return what the first network of each category has learnt, as far as the model can show it.

    ``events`` are test events, background where that is known, with their category; ``codes`` their latent codes by
    category, around which traversals go. All noise comes from the recipe's seed, and leaves no trace.
    """
    found = {}
    for index, (label, model) in enumerate(detector.models.items()):
        here = events.mask(events.category == index)
        if len(here):
            network, recipe = model.members[0].network, detector.parts.recipe
            device = device_of(network)
            forked = torch.random.fork_rng([device] if device.type == "cuda" else [])
            with torch.inference_mode(), threads(recipe.train.threads), forked:
                torch.manual_seed(recipe.seed)
                batch, _ = table(detector.parts, model.states, model.schema, here, device)
                asked = _Asked(detector.parts, model, network, here, batch)
                found[label] = Learnt(_samples(asked), _traversal(asked, codes.get(index)), _canvases(asked))
    return found


@dataclass(frozen=True)
class _Asked:
    """A network, and the test events that it is compared with, as they were read and as it sees them."""

    parts: Parts
    model: CategoryModel
    network: Network
    events: Events
    batch: Batch

    def table(self, values: Tensor) -> tuple[Float[np.ndarray, "row column"], Input]:
        return restored(self.parts, self.model, values.cpu().numpy())

    def like(self, values: Tensor) -> Shaped[Tensor, "event ..."] | None:
        """Return the input that these are like."""
        return next((each for each in self.batch.inputs.values() if each.shape[1:] == values.shape[1:]), None)


def restored(
    parts: Parts, model: CategoryModel, table: Float[np.ndarray, "row feature"]
) -> tuple[Float[np.ndarray, "row column"], Input]:
    """Return a network's table in the units of the data, and what its columns are.

    Transforms are undone from the last one on, until one cannot be, or made the table of something else.
    """
    schemas = [parts.schema]
    for transform, state in zip(parts.transforms.values(), model.states, strict=True):
        schemas.append(transform.schema(schemas[-1], state))
    name, entry = schemas.pop().only("table")
    rows = len(table)
    unknown = np.full(rows, -1)
    events = Events(np.zeros(rows, np.uint64), {name: table}, np.ones(rows), unknown, np.zeros(rows, np.int64))
    for transform, state in zip(reversed([*parts.transforms.values()]), reversed(model.states), strict=True):
        before = schemas.pop()
        if before.inputs.keys() != {name} or before.inputs[name].kind != "table":
            break
        if (undone := transform.undo(events, before, state)) is None:
            break
        events, entry = undone, before.inputs[name]
    return np.asarray(events.inputs[name], np.float64), entry


def _samples(asked: _Asked) -> Samples | None:
    generated = asked.network.generate(len(asked.batch), asked.batch)
    real = None if generated is None else asked.like(generated)
    if generated is None or real is None or not generated.isfinite().all():
        return None
    weight = weighed(asked.events.weight, asked.parts.recipe.train.weighted)
    if real.ndim == 2:
        (seen, entry), (made, _) = asked.table(real), asked.table(generated)
        return compared(entry.columns, entry.units, seen, weight, made)
    _, image = asked.model.schema.only("image")
    some, made = (values[:IMAGES].cpu().numpy() for values in (real, generated))
    return Samples(image.columns, image.units, some, weight[:IMAGES], made)


def _traversal(asked: _Asked, known: Float[np.ndarray, "event latent"] | None) -> Traversal | None:
    """Return the traversal around the codes of test events, around the prior where events have no codes."""
    network = asked.network
    codes = network.prior(PRIOR) if known is None else torch.from_numpy(known).float()
    if codes is None or not len(codes) or not codes.isfinite().all():
        return None
    codes = codes.to(asked.batch.weight.device)
    one = asked.batch.map(lambda values: values[:1])
    mean, deviation = codes.mean(0), codes.std(0, correction=0)

    def moved(dimensions: list[int], steps: Float[np.ndarray, " step"]) -> Tensor | None:
        size = torch.from_numpy(steps).to(mean)
        along = torch.eye(len(mean), device=mean.device)[dimensions] * deviation
        every = mean + along[:, None] * size[:, None]
        values = network.decode(every.flatten(0, 1), one)
        return None if values is None else values.reshape(*every.shape[:2], *values.shape[1:])

    sides = moved(list(range(len(mean))), np.array([-1.0, 1.0]))
    if sides is None or not sides.isfinite().all():
        return None
    change = (sides[:, 1] - sides[:, 0]).flatten(1).square().mean(1).cpu().numpy()
    dimensions = strongest(change, SHOWN)
    if not dimensions:
        return None
    steps = STEPS if sides.ndim == 3 else FEW_STEPS
    values = moved(dimensions, steps)
    assert values is not None
    _, entry = asked.model.schema.only("image" if sides.ndim == 5 else "table")
    conditional = network.decode(codes[:1]) is None
    found = (len(mean), tuple(dimensions), steps)
    real = asked.like(values[0])
    if sides.ndim != 3 or real is None:
        ends = [] if real is None else [np.array([end]) for end in colours(real.cpu().numpy())]
        low, high = ends or (None, None)
        return Traversal(*found, entry.columns, entry.units, values.cpu().numpy(), low, high, conditional)
    rows, entry = asked.table(values.flatten(0, 1))
    moves = np.flatnonzero((rows != rows[0]).any(0) & np.isfinite(rows).all(0)).tolist()
    low, high = np.nanquantile(asked.table(real)[0][:, moves], BAND, axis=0)
    columns, units = (tuple(names[index] for index in moves) for names in (entry.columns, entry.units))
    curves = rows[:, moves].reshape(len(dimensions), len(steps), -1)
    return Traversal(*found, columns, units, curves, low, high, conditional)


def _canvases(asked: _Asked) -> Canvases | None:
    steps = asked.network.canvases(asked.batch.map(lambda values: values[:SHOWN]))
    if steps is None or steps.ndim != 5:
        return None
    images = asked.like(steps[0])
    assert images is not None
    classes, labels = asked.parts.schema.classes, asked.events.label[:SHOWN].tolist()
    truth = tuple(classes[label] if label >= 0 else "unknown" for label in labels)
    return Canvases(truth, images[:SHOWN].cpu().numpy(), steps.transpose(0, 1).cpu().numpy())
