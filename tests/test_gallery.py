"""Events beside what a network gives back, and where their score comes from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hepanom import document
from hepanom.figures import figures
from hepanom.gallery import points_in, shares_of
from hepanom.images import heaviest
from hepanom.result import Cloud
from hepanom.run import Outcome, run

POINTS = """
name: clouds
data: {use: attpc_simulation, events: 250}
background: [proton]
transforms: [{use: normalize_points, log: [charge]}, {use: pad, points: 12, by: random, mask: true}]
model: {use: set_autoencoder, shared: [4], hidden: [4], latent: 2}
train: {epochs: 1, device: cpu, replicas: REPLICAS}
scores: [{use: latent_mu2}, {use: outlyingness}]
evaluate: {latent: {labelled: 0.9}}
"""


def outcome(tmp_path: Path, replicas: int, state: Path) -> Outcome:
    (tmp_path / "r.yaml").write_text(POINTS.replace("REPLICAS", str(replicas)))
    found = run(document.read(tmp_path / "r.yaml"), state=state)
    assert found is not None
    return found


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_set_is_drawn_with_the_share_of_every_point_in_the_first_score_that_has_such(
    replicas: int, tmp_path: Path, state: Path
) -> None:
    found = outcome(tmp_path, replicas, state)
    clouds = [picture for picture in found.result.pictures if isinstance(picture, Cloud)]
    assert len(clouds) == len(found.result.pictures) == 10
    assert [cloud.why for cloud in clouds] == ["first of the test share"] * 5 + ["strangest by latent_mu2"] * 5
    for cloud in clouds:
        assert cloud.scorer == "outlyingness"
        assert cloud.columns == ("x", "y", "z", "charge")
        assert cloud.points.shape == (len(cloud.share), 4)
        assert len(cloud.given) == 12
        assert cloud.share.sum() == pytest.approx(1)
    drawn = figures(found.result)
    for name in ("cloud_all", "cloud_strange_all"):
        assert len(drawn[name].axes) == 4 * 5  # in space, and in the three projections
    page = (Path(found.artifacts) / "report.html").read_text()
    assert "Points and what the network gives back" in page
    assert "Codes by class" in page
    assert "drawn above" in page
    assert not found.result.strangest["outlyingness"][0].features


def test_the_outline_holds_half_of_the_score_in_the_fewest_pixels() -> None:
    share = np.array([[0.05, 0.3, 0.1], [0.25, 0.2, 0.1]])
    assert heaviest(share).tolist() == [[False, True, False], [True, False, False]]
    assert not heaviest(np.zeros((2, 2))).any()


def test_shares_sum_to_one_and_to_nothing_where_there_is_no_score() -> None:
    found = shares_of(torch.tensor([[[1.0, 3.0]], [[0.0, 0.0]]]))
    assert found.tolist() == [[[0.25, 0.75]], [[0, 0]]]


def test_points_are_found_in_a_padded_table_and_nowhere_else() -> None:
    columns = ("x[0]", "y[0]", "real[0]", "x[1]", "y[1]", "real[1]")
    assert points_in(columns) == (("x", "y"), [[0, 1], [3, 4]], [2, 5])
    assert points_in(("x[0]", "x[1]")) == ((), [], [])
    assert points_in(("x[0]", "real[0]", "real[1]")) == ((), [], [])
    assert points_in(("met", "jet_pt")) == ((), [], [])
