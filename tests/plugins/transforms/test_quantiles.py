from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepanom.events import hash64
from hepanom_plugins.transforms import quantiles

SOME = st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 5)), min_size=1, max_size=60)


def _table(values):
    return np.asarray(values, np.float32)[:, None]


@given(values=st.lists(st.floats(-1e6, 1e6, width=32) | st.just(np.nan), min_size=1, max_size=60))
def test_median_of_equal_weights_is_the_median(values):
    column = _table(values)
    sketch = quantiles.measure(column, np.full(len(values), 0.1), hash64([np.arange(len(values))]))
    expected = 0.0 if np.isnan(column).all() else np.nanmedian(column.astype(np.float64))
    assert quantiles.median(sketch) == pytest.approx([expected])


@given(rows=SOME)
def test_median_of_weighted_values_is_that_of_repeated_values(rows):
    values, weight = zip(*rows, strict=True)
    sketch = quantiles.measure(_table(values), np.array(weight, float), hash64([np.arange(len(rows))]))
    assert quantiles.median(sketch).tolist() == [np.median(np.repeat(values, weight))]


@given(rows=SOME, chunk=st.integers(1, 30), kept=st.integers(1, 40), order=st.randoms())
def test_sample_does_not_depend_on_chunks_or_order(rows, chunk, kept, order):
    values, weight = (np.array(column, float) for column in zip(*rows, strict=True))
    ids, shuffled = hash64([np.arange(len(rows))]), list(range(len(rows)))
    order.shuffle(shuffled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantiles, "KEPT", kept)
        whole = quantiles.measure(_table(values), weight, ids)
        cuts = [shuffled[start : start + chunk] for start in range(0, len(rows), chunk)]
        pieces = reduce(quantiles.merge, [quantiles.measure(_table(values[i]), weight[i], ids[i]) for i in cuts])
        assert len(whole["rows"]) == min(len(rows), kept + 1)
        assert sorted(pieces["priority"]) == sorted(whole["priority"])
        assert sorted(pieces["rows"][:, 0]) == sorted(whole["rows"][:, 0])
        assert quantiles.median(pieces) == pytest.approx(quantiles.median(whole))


@pytest.mark.parametrize("sigma", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("present", [1.0, 0.2])
def test_rank_of_a_sampled_median_is_within_the_stated_error(monkeypatch, sigma, present):
    """Thirty samples of 401 out of 8,000 events, with weights from equal to wildly different."""
    monkeypatch.setattr(quantiles, "KEPT", kept := 400)
    generator = np.random.default_rng(5)
    values, weight = generator.normal(size=8000), np.exp(sigma * generator.normal(size=8000))
    values[generator.random(8000) >= present] = np.nan
    there = ~np.isnan(values)
    share = weight[there].sum() / weight.sum()
    stated = 0.5 / np.sqrt(share * (kept - 1))
    errors = []
    for sample in range(30):
        found = quantiles.median(quantiles.measure(_table(values), weight, hash64([np.arange(8000)], seed=sample)))
        errors.append(weight[there & (values <= found)].sum() / weight[there].sum() - 0.5)
    assert np.abs(errors).max() < 4 * stated
    assert np.sqrt(np.mean(np.square(errors))) < 1.3 * stated  # 30 draws give the spread to 13 %
    assert np.abs(errors).max() > 0


@given(rows=SOME)
def test_distribution_of_weighted_values_is_that_of_repeated_values(rows):
    values, weight = zip(*rows, strict=True)
    sketch = quantiles.measure(_table(values), np.array(weight, float), hash64([np.arange(len(rows))]))
    ((found, shares),) = quantiles.distributions(sketch)
    repeated = np.repeat(values, weight)
    assert found.tolist() == np.unique(repeated).tolist()
    expected = [np.mean(repeated < value) + np.mean(repeated == value) / 2 for value in found]
    assert shares == pytest.approx(expected)


def test_column_without_values_has_an_empty_distribution():
    rows = np.array([[np.nan, 1], [np.inf, 3]], np.float32)
    (nothing, _), (values, shares) = quantiles.distributions(
        quantiles.measure(rows, np.ones(2), hash64([np.arange(2)]))
    )
    assert len(nothing) == 0
    assert (values.tolist(), shares.tolist()) == ([1, 3], [0.25, 0.75])
