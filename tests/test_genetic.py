"""The genetic operators, held against their definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hepanom.evolution import crossed, mutated, parents


@given(pairs=st.integers(1, 5), size=st.integers(1, 6), seed=st.integers(0, 99))
def test_children_begin_like_one_parent_and_end_like_the_other(pairs: int, size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mothers = torch.arange(pairs * size).reshape(pairs, size).float()
    fathers = -1 - mothers
    children = crossed(mothers, fathers, 1.0, generator).reshape(2, pairs, size)
    ours = children >= 0
    assert torch.equal(ours[0], ~ours[1])
    assert torch.equal(children.abs().where(ours, -1 - children), mothers.expand(2, -1, -1))
    swaps = (ours[:, :, 1:] != ours[:, :, :-1]).sum(2)
    assert bool((swaps == (size > 1)).all())
    assert bool(ours[0, :, 0].all())
    assert torch.equal(crossed(mothers, fathers, 0.0, generator), torch.cat([mothers, fathers]))


def test_so_many_pairs_are_crossed_everywhere_alike() -> None:
    generator = torch.Generator().manual_seed(1)
    first = crossed(torch.ones(20_000, 5), torch.zeros(20_000, 5), 0.4, generator)[:20_000]
    counts = torch.bincount(first.sum(1).long(), minlength=6) / 20_000
    np.testing.assert_allclose(counts, [0, 0.1, 0.1, 0.1, 0.1, 0.6], atol=0.02)


def test_so_many_parameters_mutate_by_a_gaussian_of_the_rate() -> None:
    before = torch.full((300, 300), 2.0)
    moved = mutated(before, 0.3, 0.2, torch.Generator().manual_seed(1)) - before
    hit = moved != 0
    assert float(hit.float().mean()) == pytest.approx(0.2, abs=0.01)
    assert float(moved[hit].std()) == pytest.approx(0.3, rel=0.05)
    assert float(moved[hit].mean()) == pytest.approx(0, abs=0.01)


def test_parents_are_the_elite_or_the_winners_of_tournaments() -> None:
    drawn = {"population": 10, "elite": 4, "tournament": 3}
    generator = torch.Generator().manual_seed(1)
    ranks = torch.cat(parents({**drawn, "selection": "elite"}, 20_000, generator))
    np.testing.assert_allclose(torch.bincount(ranks) / len(ranks), [0.25] * 4, atol=0.02)
    ranks = torch.cat(parents({**drawn, "selection": "tournament"}, 20_000, generator))
    wins = -np.diff((np.arange(10, -1, -1) / 10) ** 3)  # the best of three: none of them was better
    np.testing.assert_allclose(torch.bincount(ranks, minlength=10) / len(ranks), wins, atol=0.02)
