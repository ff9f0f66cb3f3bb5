"""Small tables for the tests of transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import pytest

from hepanom.contracts import State, Transform
from hepanom.events import Events, Input, Schema, hash64


@pytest.fixture(scope="session")
def make() -> Callable[..., tuple[Events, Schema]]:
    """Return a function that turns columns into events and their schema, one table named ``features``."""

    def make(
        columns: dict[str, Any], weight: Any = None, units: Sequence[str] | None = None, dtype: Any = np.float32
    ) -> tuple[Events, Schema]:
        features = np.stack([np.asarray(column, dtype) for column in columns.values()], axis=1)
        number = np.arange(len(features))
        events = Events(
            event_id=hash64([number]),
            inputs={"features": features},
            weight=np.ones(len(number)) if weight is None else np.asarray(weight, np.float64),
            label=np.zeros(len(number), np.int64),
            category=np.zeros(len(number), np.int64),
        )
        return events, Schema({"features": Input("table", tuple(columns), tuple(units or ["GeV"] * len(columns)))})

    return make


@pytest.fixture(scope="session")
def fit() -> Callable[..., State]:
    """Return a function that fits a transform to events cut into ``chunks`` pieces of any order."""

    def fit(transform: Transform, events: Events, schema: Schema, chunk: Any = None) -> State:
        index = np.zeros(len(events), int) if chunk is None else np.asarray(chunk)
        pieces = [transform.measure(events.mask(index == value), schema) for value in range(index.max(initial=0) + 1)]
        return transform.finish(reduce(transform.merge, pieces))

    return fit
