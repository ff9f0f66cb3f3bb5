"""What monitoring groups events by, and what of the detector's thresholds it needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toys import fitted

from hepanom.conditional import Bin, Conditional
from hepanom.detector import Detector
from hepanom.errors import InputError
from hepanom.monitor import monitor, with_reference
from hepanom.monitored import Asked
from hepanom.origin import Origin
from hepanom.shares import held
from hepanom.stream import read_parts
from hepanom.thresholds import Threshold

FILES = ["toy:5:60"]


@pytest.fixture(scope="module")
def detector() -> Detector:
    """Return a detector that reads twenty events at a time."""
    made, _, events = fitted("data={use: toy, events: 3000, chunk: 20}")
    return with_reference(made, held(made.parts, events))


@pytest.fixture(scope="module")
def cut(detector: Detector) -> Threshold:
    return detector.thresholds[0]


def test_events_without_a_value_are_one_group_whatever_the_chunks(detector: Detector) -> None:
    found = monitor(detector, FILES, Asked(per=("pt_j3",)))
    reader = detector.parts.reader.on(FILES)
    chunks = [np.asarray(events.inputs["features"]) for _, events in read_parts(reader, reader.parts())]
    without = sum(int(np.isnan(chunk[:, 7]).sum()) for chunk in chunks)
    assert (len(chunks), without > 20) == (3, True)
    assert (found.groups[-1].name, found.groups[-1].events) == ("pt_j3 missing", without)
    assert sum(group.events for group in found.groups) == 60


def test_groups_of_whole_numbers_have_no_decimals(detector: Detector) -> None:
    found = monitor(detector, FILES, Asked(per=("n_jets",)))
    assert [group.name for group in found.groups] == ["n_jets 2", "n_jets 3", "n_jets 4"]


def test_a_column_that_only_other_cuts_depend_on_is_not_needed(detector: Detector, cut: Threshold) -> None:
    one = Bin("any", cut.cut, 0.1, 0.05, 0.15, 100.0, undetermined=False)
    flat = replace(cut, title="flat", along=Conditional("temperature", (), (one,), one))
    found = replace(detector, thresholds=(*detector.thresholds, flat))
    assert monitor(found, FILES, Asked()).groups == monitor(detector, FILES, Asked()).groups
    with pytest.raises(InputError, match=r"temperature.*--flagged"):
        monitor(found, FILES, Asked(flagged=("flat",)))


def test_a_threshold_that_was_set_on_numbers_of_events_is_watched_by_them(detector: Detector, cut: Threshold) -> None:
    both = tuple(replace(cut, title=name) for name in ("weights", "events"))
    origins = {each.name: Origin("", (), 1, 1.0, "", weighted=each.name == "weights") for each in both}
    (group,) = monitor(
        replace(detector, thresholds=both, origins=origins), FILES, Asked(flagged=("weights", "events"))
    ).groups
    weights, events = group.flagged
    assert events.share == events.flagged / events.events != weights.share
