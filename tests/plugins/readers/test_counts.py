"""Counts: what normalization makes of them, and the numbers in their names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hepanom.errors import InputError
from hepanom_plugins.readers.counts import entries, groups, normalized, told


@given(arrays(np.float32, (3, 2, 2, 3), elements=st.integers(0, 10**6).map(np.float32)))
def test_normalized_mean_is_one_unless_nothing_was_counted(counts):
    expected = (entries(counts) > 0).astype(float)
    for normalize, power in (("total", 1), ("root", 2)):
        images = normalized(counts, normalize).astype(float) ** power
        np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), expected, rtol=1e-5)
    np.testing.assert_array_equal(normalized(counts, "none"), counts)


def test_the_root_has_the_same_poisson_error_in_bright_and_dim_bins():
    mean = np.geomspace(20, 2000, 20)
    counts = np.random.default_rng(1).poisson(mean, (20000, 1, 1, 20)).astype(np.float32)
    spread = normalized(counts, "root").std(axis=0).ravel()
    expected = np.sqrt(20 / mean.sum()) / 2
    np.testing.assert_allclose(spread[:-4] / expected, 1.0, atol=0.07)  # the brightest make up much of the sum


def test_bins_that_are_nan_do_not_count():
    counts = np.array([[[[np.nan, 2, 6]]], [[[np.nan, np.nan, np.nan]]]], np.float32)
    np.testing.assert_array_equal(entries(counts), [8, 0])
    np.testing.assert_array_equal(normalized(counts, "total")[0], [[[np.nan, 0.5, 1.5]]])
    assert np.isnan(normalized(counts, "root")[1]).all()


def test_groups_are_whole_numbers_but_for_the_text_of_labels():
    found = groups(r"(?P<kind>[a-z]*)_(?P<run>\d+)", ["a.root:good_007", "a.root:bad_12"], ["kind", None])
    assert found["run"].tolist() == [7, 12]
    assert found["run"].dtype == np.int64
    assert found["kind"].tolist() == ["good", "bad"]
    assert list(groups(r"(?P<kind>[a-z]+)?_(?P<run>\d+)", ["_7"], ["kind"])) == ["run"]
    assert groups(None, ["a"], []) == groups(r"(?P<run>\d+)", [], []) == {}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?P<run>Q)", r"a\.root:run_7: the option `number`, '\(\?P<run>Q\)', is not found in this name"),
        (
            "(?P<run>run)",
            r"a\.root:run_7: number: the group 'run' is 'run'; it is a whole number, unless it is the `lab",
        ),
        ("run(?P<run>[0-9]+)?", r"a\.root:run_7: number: the group 'run' is ''; it is a whole number"),
    ],
)
def test_a_number_that_is_not_there_is_an_error_that_names_the_histogram(pattern, message):
    with pytest.raises(InputError, match=message):
        groups(pattern, ["a.root:run_7"], [])


def test_a_binning_is_told_by_its_axes():
    assert told(((0.0, 1.0, 2.5), (-3.5, 3.5))) == "2 bins from 0 to 2.5 x 1 bins from -3.5 to 3.5"
