"""Images of point clouds beside the loops that people write, interleaved: events per second on one core.

The events have 100 to 1,000 points each, as those of an AT-TPC; the images have 128 x 128 pixels of charge, as float32.
A round times each contestant once; the table gives the median over rounds and the ratio to the loop over
numpy.histogram2d. "touch" writes every pixel once and bins nothing: no way to make images is faster.

    python benchmarks/images.py [rounds]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from hist import Hist

from hepanom.events import Events, Input, Jagged, Schema, hash64
from hepanom_plugins.transforms.image import Image

EVENTS, PIXELS = 512, 128
X, Z = (-270.0, 270.0), (0.0, 1000.0)
SCHEMA = Schema({"points": Input("points", ("x", "y", "z", "charge"), ("mm", "mm", "mm", "ADC"))})


def clouds() -> Events:
    """Return events whose points fill the detector evenly."""
    generator = np.random.default_rng(1)
    offsets = np.concatenate([[0], np.cumsum(generator.integers(100, 1001, EVENTS))])
    values = generator.uniform((X[0], X[0], Z[0], 0), (X[1], X[1], Z[1], 4000), (offsets[-1], 4)).astype(np.float32)
    zeros = np.zeros(EVENTS, np.int64)
    return Events(hash64([np.arange(EVENTS)]), {"points": Jagged(values, offsets)}, np.ones(EVENTS), zeros, zeros)


def hepanom(events: Events) -> np.ndarray:
    """Return images by the transform."""
    transform = Image(axes=("x", "z"), size=(PIXELS, PIXELS), range=(X, Z))
    return np.asarray(transform.apply(events, SCHEMA, {}).inputs["image"])[:, 0]


def histogram2d(events: Events) -> np.ndarray:
    """Return images by numpy's histogram, event by event."""
    images = np.empty((EVENTS, PIXELS, PIXELS), np.float32)
    for image, points in zip(images, split(events), strict=True):
        image[:] = np.histogram2d(points[:, 0], points[:, 2], PIXELS, (X, Z), weights=points[:, 3])[0]
    return images


def boost(events: Events) -> np.ndarray:
    """Return images by boost-histogram, event by event."""
    histogram = Hist.new.Reg(PIXELS, *X).Reg(PIXELS, *Z).Weight()
    images = np.empty((EVENTS, PIXELS, PIXELS), np.float32)
    for image, points in zip(images, split(events), strict=True):
        histogram.reset().fill(points[:, 0], points[:, 2], weight=points[:, 3])
        image[:] = histogram.values()
    return images


def touch(events: Events) -> np.ndarray:
    """Return empty images, every pixel of which was written."""
    images = np.empty((len(events), PIXELS, PIXELS), np.float32)
    images.fill(0)
    return images


def split(events: Events) -> list[np.ndarray]:
    """Return the points of each event."""
    cloud = events.inputs["points"]
    assert isinstance(cloud, Jagged)
    return np.split(cloud.values, cloud.offsets[1:-1])


CONTESTANTS: dict[str, Callable[[Events], np.ndarray]] = {
    "hepanom image": hepanom,
    "np.histogram2d loop": histogram2d,
    "boost-histogram loop": boost,
    "touch": touch,
}


def main(rounds: int) -> None:
    """Print the table."""
    events = clouds()
    np.testing.assert_allclose(hepanom(events), histogram2d(events), rtol=1e-4, atol=1e-2)
    seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for _ in range(rounds):
        for name, contestant in CONTESTANTS.items():
            began = time.perf_counter()
            contestant(events)
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{'images, one core':24}{'events/s':>12}{'of the loop':>14}")
    for name, median in medians.items():
        print(f"{name:24}{EVENTS / median:>12,.0f}{medians['np.histogram2d loop'] / median:>14.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
