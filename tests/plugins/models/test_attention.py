"""Gaussian filter attention: the filters, glimpses and strokes of the paper's equations, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hepanom_plugins.models.attention import Attention, Grid, filters

seeds = st.integers(0, 2**31)


def by_the_paper(g: float, delta: float, variance: float, number: int, pixels: int) -> list[list[float]]:
    """Return equations 19, 20, 25 and 26 of Gregor et al. as they are written."""
    bank = []
    for i in range(1, number + 1):
        mu = g + (i - number / 2 - 0.5) * delta
        weights = [math.exp(-((a - mu) ** 2) / (2 * variance)) for a in range(1, pixels + 1)]
        bank.append([weight / sum(weights) for weight in weights])
    return bank


def grid_of(seed: int, shape: tuple[int, int], number: int, events: int = 2) -> Grid:
    generator = torch.Generator().manual_seed(seed)
    attention = Attention((1, *shape), 3, number, "learned")
    parameters = torch.randn(events, 5, generator=generator, dtype=torch.float64)
    return attention.grid(parameters)


@given(
    g=st.floats(-3, 15),
    delta=st.floats(0.1, 5),
    variance=st.floats(0.5, 20),
    number=st.integers(2, 6),
    pixels=st.integers(1, 12),
)
def test_filters_are_those_of_the_paper(g: float, delta: float, variance: float, number: int, pixels: int) -> None:
    values = [torch.tensor([value], dtype=torch.float64) for value in (g, delta, variance)]
    expected = torch.tensor([by_the_paper(g, delta, variance, number, pixels)], dtype=torch.float64)
    torch.testing.assert_close(filters(*values, number, pixels), expected, rtol=1e-6, atol=1e-11)


@given(seed=seeds, learned=st.booleans())
def test_the_grid_lies_where_the_paper_puts_it(seed: int, learned: bool) -> None:
    rows, columns, number = 9, 14, 4
    attention = Attention((1, rows, columns), 3, number, "learned" if learned else 0.7)
    generator = torch.Generator().manual_seed(seed)
    parameters = 0.3 * torch.randn(3, 5 if learned else 4, generator=generator, dtype=torch.float64)
    grid = attention.grid(parameters)
    for event, (x, y, variance, gamma, *delta) in enumerate(parameters.tolist()):
        stride = (max(rows, columns) - 1) / (number - 1) * (math.exp(delta[0]) if learned else 0.7)
        across = by_the_paper((columns + 1) / 2 * (x + 1), stride, math.exp(variance), number, columns)
        along = by_the_paper((rows + 1) / 2 * (y + 1), stride, math.exp(variance), number, rows)
        torch.testing.assert_close(grid.columns[event], torch.tensor(across).double(), rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(grid.rows[event], torch.tensor(along).double(), rtol=1e-5, atol=1e-7)
        assert float(grid.intensity[event]) == pytest.approx(math.exp(gamma))


@given(seed=seeds, rows=st.integers(1, 7), columns=st.integers(1, 7), channels=st.integers(1, 3))
def test_a_glimpse_is_the_papers_double_sum_over_the_pixels(seed: int, rows: int, columns: int, channels: int) -> None:
    grid = grid_of(seed, (rows, columns), 3)
    image = torch.randn(2, channels, rows, columns, dtype=torch.float64)
    glimpse = grid.read(image).numpy()
    f_y, f_x, gamma, x = (values.numpy() for values in (grid.rows, grid.columns, grid.intensity, image))
    for e, c, j, i in np.ndindex(2, channels, 3, 3):
        found = sum(f_y[e, j, r] * x[e, c, r, k] * f_x[e, i, k] for r, k in np.ndindex(rows, columns))
        assert glimpse[e, c, j, i] == pytest.approx(gamma[e] * found)


@given(seed=seeds, rows=st.integers(1, 7), columns=st.integers(1, 7), channels=st.integers(1, 3))
def test_a_stroke_is_the_papers_double_sum_over_the_patch_and_divides_by_gamma(
    seed: int, rows: int, columns: int, channels: int
) -> None:
    grid = grid_of(seed, (rows, columns), 3)
    patch = torch.randn(2, channels, 3, 3, dtype=torch.float64)
    stroke = grid.write(patch).numpy()
    f_y, f_x, gamma, w = (values.numpy() for values in (grid.rows, grid.columns, grid.intensity, patch))
    assert stroke.shape == (2, channels, rows, columns)
    for e, c, r, k in np.ndindex(2, channels, rows, columns):
        found = sum(f_y[e, j, r] * w[e, c, j, i] * f_x[e, i, k] for j, i in np.ndindex(3, 3))
        assert stroke[e, c, r, k] == pytest.approx(found / gamma[e])


def narrow() -> Tensor:
    """Return parameters of a grid in the middle with delta' = 1, gamma = 1 and filters much narrower than a pixel."""
    return torch.tensor([[0.0, 0.0, -9.0, 0.0, 0.0]])


@pytest.mark.parametrize("pixels", [6, 7])
def test_a_glimpse_that_covers_the_image_gives_it_back(pixels: int) -> None:
    grid = Attention((2, pixels, pixels), 3, pixels, "learned").grid(narrow())
    image = torch.rand(1, 2, pixels, pixels)
    torch.testing.assert_close(grid.read(image), image)
    torch.testing.assert_close(grid.write(image), image)


def test_the_rows_of_a_glimpse_are_the_rows_of_the_image() -> None:
    attention = Attention((1, 4, 8), 3, 8, "learned")  # the filters span the longer side, the rows lie in the middle
    image = torch.arange(32.0).reshape(1, 1, 4, 8)
    torch.testing.assert_close(attention.grid(narrow()).read(image)[0, 0, 2:6], image[0, 0])


def test_a_filter_far_outside_of_the_image_sees_its_edge() -> None:
    centre = torch.tensor([-1e4, 1e4], requires_grad=True)
    bank = filters(centre, torch.ones(2), torch.full((2,), 0.1), 3, 5)
    assert bank.isfinite().all()
    torch.testing.assert_close(bank[0, :, 0], torch.ones(3))
    torch.testing.assert_close(bank[1, :, 4], torch.ones(3))
    bank.square().sum().backward()
    assert centre.grad is not None
    assert centre.grad.isfinite().all()


def test_weights_and_their_products_are_no_denormal_numbers() -> None:
    bank = filters(torch.tensor([3.0]), torch.tensor([1.0]), torch.tensor([0.5]), 3, 64)
    assert bank.min() ** 2 > torch.finfo(torch.float32).tiny
    torch.testing.assert_close(bank.sum(2), torch.ones(1, 3))


def test_half_precision_parameters_still_tell_pixels_apart() -> None:
    attention = Attention((1, 512, 512), 3, 2, 0.5)
    parameters = torch.tensor([[0.3, -0.4, 0.0, 0.0]])
    whole, half = attention.grid(parameters), attention.grid(parameters.bfloat16())
    assert half.rows.dtype == torch.float32
    expected = attention.grid(parameters.bfloat16().float())
    torch.testing.assert_close(half.columns, expected.columns)
    assert whole.rows.shape == (1, 2, 512)


@pytest.mark.parametrize("seed", [1, 2])
def test_gradients_of_the_filters_are_those_of_finite_differences(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    parameters = 0.3 * torch.randn(1, 5, generator=generator, dtype=torch.float64)
    image = torch.randn(1, 1, 3, 4, generator=generator, dtype=torch.float64)
    attention = Attention((1, 3, 4), 3, 2, "learned")
    parameters.requires_grad_()
    assert torch.autograd.gradcheck(lambda p: attention.grid(p).read(image), parameters)
    assert torch.autograd.gradcheck(lambda p: attention.grid(p).write(image[:, :, :2, :2]), parameters)
