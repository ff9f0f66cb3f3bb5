"""Weighted background events whose score depends on a column, for the tests of monitoring."""

from __future__ import annotations

import numpy as np

from hepanom.events import Events, Input, Schema
from hepanom.reference_sample import Met

SCHEMA = Schema({"table": Input("table", ("a", "jets", "b"), ("GeV", "", ""))})


def drawn(rng: np.random.Generator, events: int, *, weighted: bool) -> Met:
    """Return events whose score depends on a column, as do the weights; one column has few values, one is missing."""
    a, jets = rng.normal(size=events), rng.integers(0, 4, events)
    b = np.where(rng.random(events) < 0.1, np.nan, a + rng.normal(size=events))
    weight = np.exp(0.5 * a) * rng.gamma(4.0, 0.25, events) if weighted else np.ones(events)
    zero = np.zeros(events, np.int64)
    table = np.column_stack([a, jets, b]).astype(np.float32)
    known = Events(np.arange(events, dtype=np.uint64), {"table": table}, weight, zero - 1, zero)
    return Met(known, {"score": np.exp(a + 0.5 * rng.normal(size=events))}, weight)
