"""The set autoencoder: its Chamfer distance against scipy, and what order, padding and empty events must not do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from sklearn.metrics import roc_auc_score
from torch import Tensor

from hepanom import train
from hepanom.contracts import Batch
from hepanom.errors import InputError
from hepanom.events import Input, Schema
from hepanom.recipe import Train as Options
from hepanom.source import Table
from hepanom_plugins.models import chamfer as distances
from hepanom_plugins.models.chamfer import chamfer
from hepanom_plugins.models.set_autoencoder import SetAutoencoder, SetAutoencoderNetwork


def schema(points: int) -> Schema:
    columns = tuple(f"{name}[{point}]" for point in range(points) for name in ("x", "y", "charge", "real"))
    return Schema({"features": Input("table", columns, ("",) * len(columns))})


def build(options: SetAutoencoder, points: int) -> SetAutoencoderNetwork:
    torch.manual_seed(2)
    network = options.build(schema(points))
    assert isinstance(network, SetAutoencoderNetwork)
    return network.eval()


def some(counts: list[int], points: int, fill: float = 0.0) -> Batch:
    """Return events with these numbers of points; more room leaves the points as they are."""
    cloud = torch.randn(len(counts), 12, 3, generator=torch.Generator().manual_seed(4))
    real = torch.arange(points) < torch.tensor(counts)[:, None]
    padded = torch.full((len(counts), points, 4), fill)
    padded[:, :12, :3] = torch.where(real[:, :12, None], cloud[:, :points], fill)
    padded[..., 3] = real
    return Batch({"features": padded.flatten(1)}, torch.ones(len(counts)), torch.zeros(len(counts), dtype=torch.int64))


COUNTS = st.lists(st.integers(0, 7), min_size=1, max_size=9)


def expected(points: np.ndarray, others: np.ndarray) -> float:
    if not len(points):
        return 0.0
    forth, back = cKDTree(others).query(points)[0], cKDTree(points).query(others)[0]
    return float(np.mean(forth**2) + np.mean(back**2))


@given(counts=COUNTS, others=st.integers(1, 5), seed=st.integers(0, 99), pairs=st.sampled_from([1, 60, 2**20]))
def test_chamfer_is_the_mean_of_squared_distances_to_the_nearest(
    counts: list[int], others: int, seed: int, pairs: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    points = 50 + torch.randn(len(counts), 7, 3, generator=draw)
    second = 50 + torch.randn(len(counts), others, 3, generator=draw)
    real = torch.rand(len(counts), 7, generator=draw).argsort(1) < torch.tensor(counts)[:, None]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distances, "PAIRS", pairs)
        found = chamfer(torch.where(real[..., None], points, torch.nan), real, second)
    by_scipy = [expected(points[i][real[i]].numpy(), second[i].numpy()) for i in range(len(counts))]
    assert found.numpy() == pytest.approx(np.array(by_scipy), rel=1e-4)


def test_chamfers_gradient_is_that_of_the_whole_table_of_distances() -> None:
    draw = torch.Generator().manual_seed(1)
    points = torch.randn(5, 6, 3, generator=draw)
    gradients = []
    for direct in (False, True):
        others = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(2)).requires_grad_()
        if direct:
            table = (points[:, :, None] - others[:, None]).square().sum(3)
            distance = table.min(2).values.mean(1) + table.min(1).values.mean(1)
        else:
            distance = chamfer(points, torch.ones(5, 6, dtype=torch.bool), others)
        gradients.append(torch.autograd.grad(distance.sum(), others)[0])
    torch.testing.assert_close(*gradients)


@given(counts=COUNTS, seed=st.integers(0, 99))
def test_the_order_of_the_points_does_not_matter(counts: list[int], seed: int) -> None:
    network, events = build(SetAutoencoder(hidden=(8,), shared=(16,)), 7), some(counts, 7)
    order = torch.rand(len(counts), 7, generator=torch.Generator().manual_seed(seed)).argsort(1)
    table = events.inputs["features"].view(-1, 7, 4).gather(1, order[..., None].expand(-1, -1, 4)).flatten(1)
    shuffled = Batch({"features": table}, events.weight, events.label)
    assert_same(network(events), network(shuffled))
    assert_same(network.loss("network", events, 0.0), network.loss("network", shuffled, 0.0))


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    for key, value in left.items():
        torch.testing.assert_close(value, right[key], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("fill", [0.0, -3.0, float("nan")])
def test_what_fills_up_the_table_and_how_much_of_it_does_not_matter(fill: float, batch_norm: bool) -> None:
    counts = [3, 0, 7, 1]
    options = SetAutoencoder(hidden=(8,), shared=(16,), points=5, batch_norm=batch_norm)
    narrow, wide = build(options, 7), build(options, 20)
    few, many = some(counts, 7), some(counts, 20, fill)
    for mode in (True, False):  # in training batch normalization looks at the batch, but at its real points alone
        narrow.train(mode)
        wide.train(mode)
        assert_same(narrow.loss("network", few, 0.0), wide.loss("network", many, 0.0))
    assert_same(narrow(few), wide(many))


def test_an_event_without_points_has_distance_zero_and_trains_nothing() -> None:
    network, events = build(SetAutoencoder(hidden=(8,), shared=(16,)), 7), some([0, 3, 0], 7)
    outputs = network(events)
    assert outputs["outlyingness"][[0, 2]].tolist() == [0, 0]
    assert outputs["outlyingness"][1] > 0
    assert torch.equal(outputs["latent_mean"][0], outputs["latent_mean"][2])
    network.loss("network", some([0, 0], 7), 0.0)["chamfer"].sum().backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is None or not gradient.any() for gradient in gradients)


def test_the_places_of_the_points_are_found_in_any_order_of_the_columns() -> None:
    names = [column for name in ("real", "x", "charge", "y") for column in (f"{name}[1]", f"{name}[0]")]
    network = SetAutoencoder().build(Schema({"jets": Input("table", tuple(names), ("",) * 8)}))
    assert isinstance(network, SetAutoencoderNetwork)
    table = Batch({"jets": torch.tensor([[1.0, 0, 2, 3, 4, 5, 6, 7]])}, torch.ones(1), torch.zeros(1).long())
    points, real = network.clouds(table)
    assert points.tolist() == [[[3, 5, 7], [2, 4, 6]]]
    assert real.tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("x[0]", "x[1]"), r"no mask real\[0\], real\[1\], ... of its points; the transform pad .*mask: true}"),
        (("x[0]", "real[0]", "met"), r"column 'met' is no NAME\[k\] of a point k"),
        (("x[0]", "real[0]", "real[1]"), r"the table lacks x\[1\] of 2 points"),
        (("real[0]", "real[1]"), "the mask of the points, and none of their columns"),
        ((), "the table has no mask"),
    ],
)
def test_a_table_that_is_none_of_points_is_a_message(columns: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SetAutoencoder().build(Schema({"features": Input("table", columns, ("",) * len(columns))}))


def test_a_mask_that_was_scaled_is_a_message() -> None:
    network, events = build(SetAutoencoder(), 7), some([3, 5], 7)
    events.inputs["features"][1, 7] = 0.25
    with pytest.raises(InputError, match=r"real\[k\] holds 0.25, .* scale the points before pad, by normalize_points"):
        network(events)


def rings_and_bars(events: int, seed: int, bars: int = 0) -> Batch:
    """Return clouds on circles of random centre and radius, the last ``bars`` of them on a line through the centre."""
    draw = torch.Generator().manual_seed(seed)
    place, radius = (
        0.3 * torch.randn(events, 1, 2, generator=draw),
        0.7 + 0.3 * torch.rand(events, 1, 1, generator=draw),
    )
    angle = 2 * torch.pi * torch.rand(events, 16, generator=draw)
    shape = torch.stack([angle.cos(), torch.where(torch.arange(events)[:, None] < events - bars, angle.sin(), 0.0)], 2)
    real = torch.arange(16) < torch.randint(10, 17, (events, 1), generator=draw)
    table = torch.cat([place + radius * shape, torch.zeros(events, 16, 1), real[..., None]], 2).flatten(1)
    return Batch({"features": table}, torch.ones(events), (torch.arange(events) >= events - bars).long())


def test_shapes_that_were_not_trained_on_are_outlying() -> None:
    network = build(SetAutoencoder(hidden=(32,), shared=(32,), latent=3), 16)
    training = train.start(network, Options(epochs=20, batch=64, optimizer={"use": "adam", "lr": 3e-3}), 1)
    history = list(train.fit(training, Table(rings_and_bars(500, 1), 1.0), [rings_and_bars(200, 2)]))
    assert history[-1].validation < 0.5 * history[0].validation
    test = rings_and_bars(300, 3, bars=100)
    with torch.no_grad():
        assert roc_auc_score(test.label, network(test)["outlyingness"]) > 0.9


@given(counts=COUNTS, others=st.integers(1, 5), seed=st.integers(0, 99))
def test_the_parts_of_a_distance_are_those_of_its_points(counts: list[int], others: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(len(counts), 7, 2, generator=generator)
    given_back = torch.randn(len(counts), others, 2, generator=generator)
    real = torch.arange(7) < torch.tensor(counts)[:, None]
    parts = distances.chamfer_parts(points, real, given_back)
    torch.testing.assert_close(parts.sum((1, 2)), chamfer(points, real, given_back))
    assert (parts >= 0).all()
    assert not parts[~real].any(), "what is no point has a part"


def test_the_point_that_nothing_lies_near_has_the_largest_part() -> None:
    events = some([5, 5], 6)
    network = build(SetAutoencoder(shared=(4,), hidden=(4,), latent=2), 6)
    events.inputs["features"][:, 8:10] += 30  # x and y of the third point
    with torch.no_grad():
        parts = network.explain(events).view(2, 6, 4)
        torch.testing.assert_close(parts.sum((1, 2)), network(events)["outlyingness"])
    assert not parts[..., 3].any(), "the mask has no part"
    assert parts.sum(2).argmax(1).tolist() == [2, 2]
