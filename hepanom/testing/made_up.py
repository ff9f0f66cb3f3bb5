"""Events that nobody measured: a small sample of every kind, for plugins to be tried with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Shaped

from hepanom.contracts import Batch
from hepanom.events import Events, Input, Jagged, Schema, hash64

CLASSES = ("background", "signal")
TARGETS = ("recoil_x", "recoil_y")
PADDED = tuple(f"{name}[{point}]" for point in range(5) for name in ("x", "y", "real"))
SCHEMAS: Mapping[str, Schema] = {
    "table": Schema(
        {"features": Input("table", ("pt_1", "pt_2", "eta", "mass"), ("GeV", "GeV", "", "GeV"))}, CLASSES, TARGETS
    ),
    "points": Schema({"points": Input("points", ("x", "y", "z", "charge"), ("mm", "mm", "mm", ""))}, CLASSES),
    "image": Schema({"image": Input("image", ("charge", "hits"), ("", ""), (16, 12))}, CLASSES),
    "padded": Schema({"features": Input("table", PADDED, ("mm", "mm", "") * 5)}, CLASSES),
}


def some_features(number: int, *, missing: bool) -> Float[np.ndarray, "event feature"]:
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


def some_padded(number: int) -> Float[np.ndarray, "event feature"]:
    """Return tables of no to five points, each with the mask that says whether it is one."""
    generator = np.random.default_rng(6)
    table = generator.normal(size=(number, 5, 3)).astype(np.float32)
    table[..., 2] = np.arange(5) < generator.integers(0, 6, (number, 1))
    return table.reshape(number, 15)


def some_images(number: int) -> Float[np.ndarray, "event channel row column"]:
    """Return images of two channels, most of whose pixels are empty."""
    generator = np.random.default_rng(5)
    shape = (number, 2, 16, 12)
    return (generator.exponential(size=shape) * (generator.random(shape) < 0.2)).astype(np.float32)


INPUTS: Mapping[str, Callable[[int], np.ndarray | Jagged]] = {
    "points": some_points,
    "image": some_images,
    "padded": some_padded,
}


def some_events(number: int, *, missing: bool, on: str = "table") -> Events:
    """Return weighted events of a kind: in a table the mass may be missing, and two targets go with it."""
    generator = np.random.default_rng(3)
    (name,) = SCHEMAS[on].inputs
    return Events(
        event_id=hash64([np.arange(number)]),
        inputs={name: INPUTS[on](number) if on in INPUTS else some_features(number, missing=missing)},
        weight=generator.exponential(size=number),
        label=np.zeros(number, np.int64),
        category=np.zeros(number, np.int64),
        target=generator.normal(20, 5, (number, len(TARGETS))) if on == "table" else None,
    )


def some_batch(number: int, on: str = "table", device: str = "cpu") -> Batch:
    """Return the first of a hundred events of a kind as tensors on a device; nothing is missing in them."""
    given = some_events(100, missing=False, on=on)
    weight = torch.linspace(0.5, 2, 100)[:number]
    label = torch.zeros(number, dtype=torch.int64)
    tensors = {key: torch.from_numpy(np.asarray(values))[:number].to(device) for key, values in given.inputs.items()}
    target = None if given.target is None else torch.from_numpy(given.target)[:number].float().to(device)
    return Batch(tensors, weight.to(device), label.to(device), target)


def rows(events: Batch, index: Sequence[int] | torch.Tensor) -> Batch:
    """Return some events of a batch, in this order."""
    index = torch.as_tensor(index, device=events.weight.device)
    return events.map(lambda values: values[index])


def plain(events: Events) -> Iterator[tuple[str, Shaped[np.ndarray, "row ..."]]]:
    """Yield every column of the events by name; of points, their values and how many an event has."""
    for name, values in events.inputs.items():
        yield name, values.values if isinstance(values, Jagged) else np.asarray(values)
        if isinstance(values, Jagged):
            yield f"points in {name}", np.diff(values.offsets)
    for name in ("event_id", "weight", "label", "target"):
        if getattr(events, name) is not None:
            yield name, getattr(events, name)
    yield from events.beside.items()
