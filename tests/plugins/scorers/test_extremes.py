"""Scores of events far beyond everything: a number for every model, and stranger than the rest."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from offered import FOUND, SCHEMAS, build, cases, some_events, tried

from hepanom.contracts import Batch, Network, Outputs, Scorer
from hepanom.detector import bounded

FAR = 1e30
# A code may be blind to what a network cuts off (draw) or never made (anogan), and one side of a critic is not strange.
OF_THE_EVENT = {"reconstruction", "outlyingness", "likelihood", "elbo", "query", "cluster_distance"}


def ordinary(on: str) -> Batch:
    """Return events of a kind; a padded one has a point at least."""
    given = some_events(60, missing=False, on=on)
    tensors = {key: torch.from_numpy(np.asarray(values)) for key, values in given.inputs.items()}
    target = None if given.target is None else torch.from_numpy(given.target).float()
    events = Batch(tensors, torch.linspace(0.5, 2, 60), torch.zeros(60, dtype=torch.int64), target)
    return events.map(lambda values: values[tensors["features"][:, 2] > 0]) if on == "padded" else events


def extreme(on: str) -> Batch:
    """Return the same events with the last feature, a pixel or a coordinate of the first point at +-1e30."""
    events = ordinary(on)
    (values,) = events.inputs.values()
    place = {"table": (slice(None), -1), "padded": (slice(None), 0), "image": (slice(None), 0, 3, 3)}[on]
    values[place] = FAR if on == "image" else FAR * (-1.0) ** torch.arange(len(values))
    return events


@cache
def network_of(name: str, number: int) -> Network:
    options, on = tried("model", name)[number]
    torch.manual_seed(1)
    network: Network = build("model", name, options, on).build(SCHEMAS[on])
    network.prepare([ordinary(on)], 0)
    return network.eval()


def outputs_of(network: Network, scorer: Scorer, events: Batch) -> Outputs:
    given = network(events)
    first = next(iter(given.values())).reshape(len(events), -1).sum(1)
    return {**given, **{f"score/{label}": bounded(first) for label in scorer.combines()}}


@pytest.mark.parametrize(("name", "options"), cases("scorer"))
def test_an_event_beyond_everything_has_a_score(name: str, options: dict[str, Any]) -> None:
    scorer: Scorer = build("scorer", name, options)
    models = [model for kind, model in FOUND if kind == "model" and scorer.needs <= FOUND[kind, model].load().gives]
    for model, number, on in ((m, n, on) for m in models for n, (_, on) in enumerate(tried("model", m))):
        network, events, far = network_of(model, number), ordinary(on), extreme(on)
        with torch.inference_mode():
            given = outputs_of(network, scorer, events)
            state = scorer.fit([(events, given)])
            usual = bounded(scorer.score(events, given, state, network))
            found = bounded(scorer.score(far, outputs_of(network, scorer, far), state, network))
        assert found.isfinite().all(), (model, number)
        if name in OF_THE_EVENT:
            assert found.median() > usual.median(), (model, number)


def test_infinite_scores_are_large_numbers_and_unknown_ones_stay_unknown() -> None:
    found = bounded(torch.tensor([torch.inf, -torch.inf, torch.nan, 1.5]))
    assert found[0] == -found[1] > 1e150
    assert (found[0] * found[0]).isfinite()
    assert found[2].isnan()
    assert found[3] == 1.5
