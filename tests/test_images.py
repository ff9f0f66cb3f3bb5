from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hepanom import document
from hepanom.figures import figures
from hepanom.run import run

RECIPE = """
name: pictures
data: {use: attpc_simulation, events: 300}
background: [proton]
transforms: [{use: image, axes: [x, y], range: [[-275, 275], [-275, 275]], size: [16, 12], log: true}]
model: {use: autoencoder, hidden: [8], latent: 2}
train: {epochs: 1, device: cpu, replicas: REPLICAS}
scores: [{use: reconstruction}]
"""


@pytest.mark.parametrize("replicas", [1, 2])
def test_images_stand_beside_what_the_network_gives_back(replicas: int, tmp_path: Path, state: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE.replace("REPLICAS", str(replicas)))
    found = run(document.read(tmp_path / "r.yaml"), state=state)
    assert found is not None
    result = found.result
    assert [picture.why for picture in result.pictures] == ["first of the test share"] * 5 + [
        "strangest by reconstruction"
    ] * 5
    errors = [float(np.square(picture.pair[0] - picture.pair[1]).mean()) for picture in result.pictures]
    assert {picture.pair.shape for picture in result.pictures} == {(2, 1, 16, 12)}
    if replicas == 1:
        assert errors[:5] == pytest.approx(result.test.scores["reconstruction"][:5], rel=1e-5)
        assert errors[5:] == pytest.approx([event.score for event in result.strangest["reconstruction"][:5]], rel=1e-5)
    assert [picture.truth for picture in result.pictures[5:]] == [
        event.truth for event in result.strangest["reconstruction"][:5]
    ]
    for picture in result.pictures:
        squares = np.square(picture.pair[0] - picture.pair[1])
        assert picture.scorer == "reconstruction"
        np.testing.assert_allclose(picture.share, squares / squares.sum(), rtol=1e-4, atol=1e-7)
    drawn = figures(result)["image_all"]
    assert len(drawn.axes) == 30
    image, given = drawn.axes[0].images[0], drawn.axes[10].images[0]
    assert image.get_clim() == given.get_clim()
    assert np.array_equal(np.asarray(given.get_array()), result.pictures[0].pair[1].sum(0))
    assert "Images and what the network gives back" in (Path(found.artifacts) / "report.html").read_text()
