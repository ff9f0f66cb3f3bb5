"""The autoencoder: its loss, and the principal components that a linear one must find."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from hepanom.contracts import Batch, Network
from hepanom.errors import InputError
from hepanom.events import Input, Schema
from hepanom_plugins.models.autoencoder import Autoencoder

SCHEMA = Schema({"features": Input("table", tuple("abcdef"), ("",) * 6)})


def batch(features: Tensor) -> Batch:
    events = len(features)
    return Batch({"features": features}, torch.ones(events), torch.zeros(events, dtype=torch.int64))


def correlated(events: int) -> Tensor:
    """Return features whose spread falls from one direction to the next, away from the origin."""
    generator = torch.Generator().manual_seed(5)
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, generator=generator))
    spread = torch.tensor([3.0, 2.0, 1.0, 0.5, 0.3, 0.1])
    return torch.randn(events, 6, generator=generator) * spread @ rotation.T + 0.3 * torch.arange(6.0)


def minimise(network: Network, events: Batch) -> None:
    """Train to the minimum, which is known for a linear autoencoder."""
    settings = {"max_iter": 500, "history_size": 50, "tolerance_grad": 1e-10, "tolerance_change": 1e-14}
    optimizer = torch.optim.LBFGS(network.parameters(), line_search_fn="strong_wolfe", **settings)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = network.validate(events).mean()
        loss.backward()
        return loss

    optimizer.step(closure)


@pytest.mark.parametrize("latent", [1, 3])
def test_a_linear_autoencoder_finds_the_principal_components(latent: int) -> None:
    features = correlated(400).double()
    torch.manual_seed(2)
    network = Autoencoder(hidden=(), latent=latent).build(SCHEMA).double()
    minimise(network, batch(features))
    pca = PCA(latent).fit(features.numpy())
    outputs = network.eval()(batch(features))
    found = outputs["reconstruction"].detach().numpy()
    assert found == pytest.approx(pca.inverse_transform(pca.transform(features.numpy())), abs=1e-5)
    directions = np.linalg.qr(network.decoder[-1].weight.detach().numpy())[0]
    cosines = np.linalg.svd(pca.components_ @ directions, compute_uv=False)
    assert cosines == pytest.approx(np.ones(latent), abs=1e-6)
    assert outputs["latent_mean"].shape == (400, latent)


def test_loss_is_the_mean_squared_error_and_validation_leaves_out_the_penalties() -> None:
    torch.manual_seed(3)
    network = Autoencoder(hidden=(5,), l1=0.1, l2=0.2).build(SCHEMA)
    events = batch(correlated(20))
    terms = network.loss("network", events, 0.0)
    error = events.inputs["features"] - network(events)["reconstruction"]
    torch.testing.assert_close(terms["reconstruction"], (error**2).sum(1) / 6)
    torch.testing.assert_close(network.validate(events), terms["reconstruction"])
    matrices = [value for name, value in network.named_parameters() if name.endswith("weight")]
    assert terms["l1"].tolist() == pytest.approx([0.1 * sum(float(m.detach().abs().sum()) for m in matrices)] * 20)
    assert terms["l2"].tolist() == pytest.approx([0.2 * sum(float(m.detach().square().sum()) for m in matrices)] * 20)


def test_encoder_and_decoder_mirror_each_other() -> None:
    network = Autoencoder(hidden=(5, 4), latent=3).build(SCHEMA)
    shapes = [tuple(value.shape) for name, value in network.named_parameters() if name.endswith("weight")]
    assert shapes == [(5, 6), (4, 5), (3, 4), (4, 3), (5, 4), (6, 5)]


def test_an_image_is_its_pixels_side_by_side() -> None:
    schema = Schema({"image": Input("image", ("a", "b"), ("", ""), (3, 1))})
    torch.manual_seed(3)
    of_image = Autoencoder(hidden=(5,), latent=2).build(schema).eval()
    of_table = Autoencoder(hidden=(5,), latent=2).build(SCHEMA).eval()
    of_table.load_state_dict(of_image.state_dict())
    pixels = correlated(20)
    table = batch(pixels)
    image = Batch({"image": pixels.reshape(20, 2, 3, 1)}, table.weight, table.label)
    assert of_image(image)["reconstruction"].shape == (20, 2, 3, 1)
    torch.testing.assert_close(of_image(image)["reconstruction"].flatten(1), of_table(table)["reconstruction"])
    torch.testing.assert_close(of_image.loss("network", image, 0.5), of_table.loss("network", table, 0.5))


def test_events_without_a_single_table_are_a_message() -> None:
    with pytest.raises(InputError, match="one table"):
        Autoencoder().build(Schema({"cloud": Input("points", ("x",), ("mm",))}))
