"""Latent codes in two dimensions, by class."""

from __future__ import annotations

import numpy as np
import pytest

from hepanom.plane import PER_CLASS, components, scatter

CLASSES = ("proton", "carbon")


def groups(events: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return codes of two groups that lie far apart, and which is which."""
    generator = np.random.default_rng(1)
    label = np.arange(events) % 2
    return generator.normal(size=(events, width)) + 20.0 * label[:, None], label


def test_codes_of_two_dimensions_are_drawn_as_they_are() -> None:
    codes, label = groups(40, 2)
    found = scatter(codes, label, CLASSES, "tsne", 1)
    assert found is not None
    assert np.array_equal(found.plane, codes)
    assert np.array_equal(found.label, label)
    assert found.axes == ("latent 1", "latent 2")


def test_of_one_dimension_the_other_axis_is_random() -> None:
    codes, label = groups(40, 1)
    found = scatter(codes, label, CLASSES, "pca", 1)
    assert found is not None
    assert np.array_equal(found.plane[:, :1], codes)
    assert len(np.unique(found.plane[:, 1])) == 40


@pytest.mark.parametrize("how", ["pca", "tsne"])
def test_groups_that_lie_apart_stay_apart_and_two_calls_agree(how: str) -> None:
    codes, label = groups(120, 5)
    found, again = (scatter(codes, label, CLASSES, how, 3) for _ in range(2))  # type: ignore[arg-type]
    assert found is not None
    assert again is not None
    assert np.array_equal(found.plane, again.plane)
    centres = [found.plane[found.label == index].mean(0) for index in (0, 1)]
    widths = [found.plane[found.label == index].std() for index in (0, 1)]
    assert np.linalg.norm(centres[0] - centres[1]) > 1.5 * max(widths)
    assert found.axes == (("t-SNE 1", "t-SNE 2") if how == "tsne" else ("component 1", "component 2"))


def test_each_class_has_no_more_events_than_are_said_and_rare_ones_stay() -> None:
    label = np.where(np.arange(3000) < 7, 1, np.where(np.arange(3000) < 2000, 0, -1))
    codes = np.random.default_rng(2).normal(size=(3000, 3))
    found = scatter(codes, label, CLASSES, "pca", 5)
    assert found is not None
    assert {index: int((found.label == index).sum()) for index in (-1, 0, 1)} == {-1: PER_CLASS, 0: PER_CLASS, 1: 7}
    other = scatter(codes, label, CLASSES, "pca", 6)
    assert other is not None
    assert not np.array_equal(found.plane, other.plane)


def test_codes_that_collapsed_or_are_not_finite_do_no_harm() -> None:
    collapsed = scatter(np.ones((30, 4)), np.zeros(30, np.int64), CLASSES, "tsne", 1)
    assert collapsed is not None
    assert np.allclose(collapsed.plane, 0)
    assert scatter(np.full((3, 4), np.nan), np.zeros(3, np.int64), CLASSES, "pca", 1) is None
    few = scatter(np.random.default_rng(1).normal(size=(4, 3)), np.zeros(4, np.int64), CLASSES, "tsne", 1)
    assert few is not None


def test_components_hold_the_largest_variances() -> None:
    codes = np.random.default_rng(3).normal(size=(500, 4)) * np.array([1.0, 5.0, 0.1, 3.0])
    plane = components(codes)
    assert plane.var(0) == pytest.approx(np.sort(np.linalg.eigvalsh(np.cov(codes.T, ddof=0)))[:1:-1])
