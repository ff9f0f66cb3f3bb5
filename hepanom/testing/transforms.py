"""What every transform promises: a fit in pieces, a pure function, a schema that is true to it, a way back if any."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from hepanom.contracts import Transform
from hepanom.events import Events, Jagged
from hepanom.testing.broken import distance, expect, not_arrays
from hepanom.testing.case import Case
from hepanom.testing.made_up import plain, some_events
from hepanom.testing.readers import difference, inputs_are

EVENTS = 200


def events_of(case: Case) -> Events:
    """Return the events that a transform is tried with: some features are missing."""
    return some_events(EVENTS, missing=True, on=case.on)


def fit_in(case: Case, events: Events, chunks: int) -> Any:
    """Return the state that is fitted to the events in so many chunks."""
    transform: Transform = case.build()
    index = np.arange(len(events)) * chunks // len(events)
    sketches = [transform.measure(events.mask(index == chunk), case.schema) for chunk in range(chunks)]
    return transform.finish(reduce(transform.merge, sketches))


def a_fit_does_not_depend_on_the_chunks(case: Case) -> None:
    """A fit does not depend on the chunks."""
    events = events_of(case)
    whole = fit_in(case, events, 1)
    for chunks in (2, 7):
        alike(fit_in(case, events, chunks), whole, f"in {chunks} chunks")


def weight_two_is_the_event_twice(case: Case) -> None:
    """An event of weight two counts as the event twice."""
    events, count = events_of(case), np.arange(EVENTS) % 3 + 1
    once = fit_in(case, replace(events, weight=count.astype(np.float64)), 1)
    copies = [events.mask(count > number) for number in range(3)]
    twice = replace(Events.concat(copies), weight=np.ones(count.sum()))
    alike(fit_in(case, twice, 1), once, "of events that are there once, twice or thrice, in place of such weights,")


def alike(found: Any, expected: Any, how: str) -> None:
    """Raise Unkept where two states differ by more than their sums' roundings."""
    expect(found.keys() == expected.keys(), f"the fit {how} has {sorted(found)}, in one chunk {sorted(expected)}")
    for key, value in expected.items():
        close = np.shape(found[key]) == np.shape(value) and np.allclose(found[key], value, 1e-9, 1e-12, equal_nan=True)
        expect(close, f"the fit {how} differs by {distance(found[key], value)} in {key!r}")


def its_schema_is_true(case: Case) -> None:
    """Its schema is true to what comes out."""
    transform, given, state = case.build(), case.schema, fit_in(case, events_of(case), 1)
    after, schema = transform.apply(events_of(case), given, state), transform.schema(given, state)
    expect(
        transform.fitted_columns or transform.schema(given, {}) == schema,
        "the schema after the fit is not the one before it: say so by fitted_columns = True",
    )
    expect(
        (schema.classes, schema.targets, schema.beside) == (given.classes, given.targets, given.beside),
        "classes, targets or columns beside the features that were not there before",
    )
    inputs_are(schema, after)
    lost = finite(events_of(case)) & ~finite(after)
    expect(not lost.any(), f"{lost.sum()} of {EVENTS} events without a missing value come out with one")
    for name, values in after.inputs.items():
        dtype = (values.values if isinstance(values, Jagged) else values).dtype
        expect(dtype == np.float32, f"{name!r} comes out as {dtype}, not float32")
    for column, factor in after.log_jacobian.items():
        expect(np.isfinite(factor).all(), f"the log density factor of {column!r} is NaN or infinite")


def finite(events: Events) -> Any:
    """Return of each event whether it has no missing and no infinite value; of points, which are padded, nothing."""
    if any(isinstance(values, Jagged) for values in events.inputs.values()):
        return np.zeros(len(events), bool)
    flat = [np.isfinite(np.asarray(values).reshape(len(events), -1)).all(1) for values in events.inputs.values()]
    return np.logical_and.reduce(flat)


def the_events_stay_what_they_are(case: Case) -> None:
    """The events that go in, their ids and weights stay as they are."""
    transform, events, state = case.build(), events_of(case), fit_in(case, events_of(case), 1)
    after = transform.apply(events, case.schema, state)
    differs = difference([events], [events_of(case)])
    expect(not differs, f"apply changed the events that it was given: {differs}")
    for name in ("event_id", "weight"):
        expect(np.array_equal(getattr(after, name), getattr(events, name)), f"other {name} than those that went in")


def an_event_is_changed_alone(case: Case) -> None:
    """What becomes of an event does not depend on the others."""
    transform, events, state = case.build(), events_of(case), fit_in(case, events_of(case), 1)
    one = np.arange(EVENTS) == 17
    alone = transform.apply(events.mask(one), case.schema, state)
    differs = difference([alone], [transform.apply(events, case.schema, state).mask(one)])
    expect(not differs, f"event 17 alone differs from event 17 among {EVENTS}: {differs}")


def its_state_is_arrays(case: Case) -> None:
    """Its state is arrays that a file brings back bit for bit."""
    transform, state = case.build(), fit_in(case, events_of(case), 1)
    odd = not_arrays(state)
    expect(not odd, f"{', '.join(odd)} of the state is no array")
    stored = load(save({key: np.ascontiguousarray(value) for key, value in state.items()})) if state else {}
    once, again = (transform.apply(events_of(case), case.schema, found) for found in (state, stored))
    differs = difference([once], [again])
    expect(not differs, f"with the stored state other events come out: {differs}")
    expect(transform.schema(case.schema, stored) == transform.schema(case.schema, state), "another stored schema")


def what_it_undoes_is_what_went_in(case: Case) -> None:
    """What it undoes is what went in."""
    transform, given, events = case.build(), case.schema, events_of(case)
    state = fit_in(case, events, 1)
    after = transform.apply(events, given, state)
    before = transform.undo(after, given, state)
    if before is None:
        return
    expect(before.log_jacobian == {}, "the log density factors are still there")
    inputs_are(given, before)
    for (key, went_in), (_, came_back) in zip(plain(events), plain(before), strict=True):
        kinds = [(str(values.dtype), *values.shape[1:]) for values in (went_in, came_back)]
        expect(kinds[0] == kinds[1], f"{key!r} went in as {kinds[0]}, came back as {kinds[1]}")
    again = transform.apply(before, given, state)
    for (key, once), (_, twice) in zip(plain(after), plain(again), strict=True):
        close = twice.shape == once.shape and np.allclose(twice, once, 1e-4, 1e-4, equal_nan=True)
        expect(close, f"apply after undo gives other events: by {distance(twice, once)} in {key!r}")
