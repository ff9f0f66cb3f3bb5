"""The transform keeps its contract, and scales as it says."""

from __future__ import annotations

import numpy as np
from hepanom.events import Events, Input, Schema, hash64
from hepanom.testing import Case, conformance

from hepanom_my_plugin.transform import MyPluginTransform

test_contract = conformance(Case("transform", "my_plugin"))


def test_columns_are_divided_by_their_weighted_mean() -> None:
    """Worked out by hand: (3 * 2 + 1 * 6) / 4 = 3, and what is missing stays missing."""
    schema = Schema({"features": Input("table", ("pt", "mass"), ("GeV", "GeV"))})
    features = np.array([[2.0, np.nan], [-6.0, 5.0]], np.float32)
    unknown, nobody = np.full(2, -1), np.zeros(2, np.int64)
    events = Events(hash64([np.arange(2)]), {"features": features}, np.array([3.0, 1.0]), unknown, nobody)
    transform = MyPluginTransform()
    state = transform.finish(transform.measure(events, schema))
    scaled = transform.apply(events, schema, state).inputs["features"]
    np.testing.assert_allclose(np.asarray(scaled), [[2 / 3, np.nan], [-2, 1]], rtol=1e-6)
