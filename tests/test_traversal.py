"""Latent traversals: which dimensions move, around what, and in which units."""

from __future__ import annotations

import numpy as np
import pytest
from test_samples import usual
from toys import fitted

from hepanom.figures import figures
from hepanom.insight import latent
from hepanom.learnt import Learnt, Traversal
from hepanom.sampling import STEPS, learnt


def traversal(*overrides: str, codes: bool = True) -> Traversal:
    detector, _, events = fitted(*overrides)
    background = usual(detector, events["test"])
    found = {index: rows[0] for index, rows in latent(detector, background).items()} if codes else {}
    (shown,) = learnt(detector, background, found).values()
    assert shown.traversal is not None
    return shown.traversal


def test_components_move_every_feature_along_a_straight_line_through_the_mean() -> None:
    detector, _, events = fitted("model={use: pca, latent: 6}")
    found = traversal("model={use: pca, latent: 6}")
    background = usual(detector, events["test"])
    codes = latent(detector, background)[0][0]
    assert found.latent == 6
    widest = np.argsort(-codes.std(0))[:4].tolist()
    assert list(found.dimensions) == widest, "the components whose codes vary most move the events most"
    assert found.values.shape == (4, len(STEPS), len(found.columns))
    straight = np.diff(found.values, axis=1)
    size = np.abs(found.values).max((0, 1))
    assert np.allclose(straight, straight[:, :1], atol=1e-4 * size)
    middle = found.values[:, len(STEPS) // 2]
    assert np.allclose(middle, middle[0], atol=1e-5 * size)
    assert found.low is not None
    assert found.high is not None
    assert (found.low < found.high).all()
    # in the standardized space a component's step is the standard deviation of its code along a unit vector
    std = detector.models["all"].states[1]["std"]
    schema = detector.models["all"].schema.table()[1]
    place = [schema.columns.index(column) for column in found.columns]
    steps = straight[:, 0] / np.diff(STEPS)[0] / std[place]
    assert np.linalg.norm(steps, axis=1) == pytest.approx(codes.std(0)[widest], rel=1e-3)


def test_a_generator_without_codes_is_moved_around_its_prior() -> None:
    found = traversal("model={use: gan, hidden: [6], latent: 2}", "scores=[{use: critic}]", codes=False)
    assert found.latent == 2
    assert sorted(found.dimensions) == [0, 1]
    assert not found.conditional


def test_a_conditional_flow_is_given_the_conditions_of_an_event() -> None:
    model = "model={use: flow, hidden: [16], transforms: 2, condition: [n_jets]}"
    found = traversal(model, "scores=[{use: likelihood}]")
    assert found.conditional
    assert "n_jets" not in found.columns, "the condition does not move"


def test_a_figure_has_a_panel_for_each_feature_and_a_curve_for_each_dimension() -> None:
    from test_report import make_result

    found = traversal()
    result = make_result(replicas=1)
    object.__setattr__(result, "learnt", {result.categories[0]: Learnt(traversal=found)})
    drawn = figures(result)[f"traversal_{result.categories[0]}"]
    assert len(drawn.axes) == min(16, len(found.columns))
    assert all(len(panel.lines) == len(found.dimensions) for panel in drawn.axes)
