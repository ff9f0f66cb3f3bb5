"""Guards against collapse: of generators against direct definitions and scikit-learn, and of latent codes."""

from __future__ import annotations

import math

import numpy as np
import offered
import pytest
import torch
from adversaries import MODELS, SCHEMA, batch, build, table, trained
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from hepanom.contracts import Batch, Guard, Network
from hepanom_plugins.models import activity, collapse
from hepanom_plugins.models.anogan import AnoGAN
from hepanom_plugins.models.collapse import diagnostics, two_sample_auc, variance_ratio
from hepanom_plugins.models.deep_clustering import DeepClustering, DeepClusteringNetwork

seeds = st.integers(0, 2**31)


def crossed(network: Network, found: dict[str, float]) -> set[str]:
    """Return the names of the guards that these diagnostics cross."""
    return {guard.name for guard in network.guards() if guard.crossed(found[guard.name])}


def constant(name: str) -> Network:
    """Return a trained network whose generator now makes the same event of all noise."""
    network = build(MODELS[name]).eval()
    network.load_state_dict(trained(name)[0].state_dict())
    for parameter in network.players()["generator"].parameters:
        torch.nn.init.zeros_(parameter)
    return network


def test_two_sample_auc_is_that_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(1)
    real, made = torch.randn(80, 3, generator=generator), 0.3 + torch.randn(60, 3, generator=generator)
    weight = torch.rand(80, generator=generator)
    rows = np.vstack([real[1::2], made[1::2]])
    nearest = [NearestNeighbors(n_neighbors=1).fit(each[::2]).kneighbors(rows)[0][:, 0] for each in (real, made)]
    truth, weights = np.repeat([1, 0], [40, 30]), np.concatenate([weight[1::2], np.ones(30)])
    expected = roc_auc_score(truth, nearest[1] - nearest[0], sample_weight=weights)
    assert float(two_sample_auc(real, made, weight)) == pytest.approx(expected, abs=1e-6)


def test_two_sample_auc_tells_a_collapsed_generator() -> None:
    generator = torch.Generator().manual_seed(1)
    real, good = 100 + torch.randn(2, 600, 3, generator=generator)
    weight = torch.ones(600)
    assert abs(float(two_sample_auc(real, good, weight)) - 0.5) < 0.06
    assert float(two_sample_auc(real, 100 + 0.01 * (good - 100), weight)) > 0.95
    assert float(two_sample_auc(real, good + 2, weight)) > 0.85


@given(seed=seeds)
def test_variance_ratio_is_that_of_numpy_and_counts_an_event_of_weight_two_as_two(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    real, fake = torch.randn(2, 9, 4, generator=generator)
    count = torch.tensor([1, 2, 3] * 3)
    ratio = float(variance_ratio(fake, real, count.float()))
    twice = real.repeat_interleave(count, 0)
    assert ratio == pytest.approx(float(variance_ratio(fake, twice, torch.ones(18))), rel=1e-4)
    assert ratio == pytest.approx(np.var(fake.numpy(), axis=0).sum() / np.var(twice.numpy(), axis=0).sum(), rel=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_every_guard_tells_a_trained_generator_from_a_collapsed_one(name: str) -> None:
    healthy, collapsed = trained(name)[0], constant(name)
    with torch.no_grad():
        torch.manual_seed(1)
        before, after = healthy.diagnose([batch(400, 5)]), collapsed.diagnose([batch(400, 5)])
    assert {"critic_gap", "variance_ratio", "two_sample_auc"} <= before.keys()
    assert crossed(healthy, before) == set()
    assert {"variance_ratio", "two_sample_auc"} <= crossed(collapsed, after)
    assert after["variance_ratio"] == 0


def test_critic_gap_is_the_weighted_mean_of_real_minus_the_mean_of_generated_events() -> None:
    network, events = trained("gan")[0], batch(300, 5)
    torch.manual_seed(3)
    found = diagnostics(network, events)
    torch.manual_seed(3)
    with torch.no_grad():
        made = network.decode(network.prior(300))
        real, fake = (network(table(values))["critic"].numpy() for values in (events.inputs["features"], made))
    expected = np.average(real, weights=events.weight) - fake.mean()
    assert found["critic_gap"] == pytest.approx(float(expected), abs=1e-5)


def test_the_gap_of_a_critic_that_is_sure_of_every_event_crosses_its_guard() -> None:
    network, wasserstein = (build(MODELS[name]) for name in ("gan", "wgan_gp"))
    assert crossed(network, {"critic_gap": 40.0, "variance_ratio": 1.0, "two_sample_auc": 0.5}) == {"critic_gap"}
    assert crossed(wasserstein, {"critic_gap": 40.0, "variance_ratio": 1.0, "two_sample_auc": 0.5}) == set()


def test_batches_are_diagnosed_as_one_sample_up_to_what_can_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    network, events = trained("gan")[0], batch(90, 5)
    pieces = [Batch.of({k: v[start : start + 40] for k, v in events.tensors().items()}) for start in (0, 40, 80)]
    with torch.no_grad():
        torch.manual_seed(2)
        whole = network.diagnose([events])
        torch.manual_seed(2)
        assert network.diagnose(iter(pieces)) == whole
        monkeypatch.setattr(collapse, "PAIRS", 2 * 50**2)
        torch.manual_seed(2)
        few = network.diagnose(iter(pieces))
        torch.manual_seed(2)
        first = Batch.of({k: v[:50] for k, v in events.tensors().items()})
        assert few == diagnostics(network, first) != whole


def test_the_search_of_anogan_is_not_part_of_its_diagnosis(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build(AnoGAN(hidden=(4,), latent=2))
    monkeypatch.setattr(network, "_search", None)
    assert network.diagnose([batch(20)]).keys() == {"critic_gap", "variance_ratio", "two_sample_auc"}


# --- latent codes


def codes(seed: int, events: int = 200, latent: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    spread = torch.tensor([2.0, 0.5, 0.3, 0.0])[:latent]
    return 3 + spread * torch.randn(events, latent, generator=generator), 0.1 + torch.rand(events, generator=generator)


@given(seed=seeds, cut=st.integers(1, 199))
def test_active_units_vary_by_more_than_a_hundredth_of_the_prior(seed: int, cut: int) -> None:
    mean, weight = codes(seed)
    parts = [(mean[:cut], weight[:cut]), (mean[cut:], weight[cut:])]
    variance = np.cov(mean.T.double(), aweights=weight, ddof=0).diagonal()
    found = activity.activity(iter(parts), prior=True)
    assert found["active_units"] == (variance > 0.01).sum() == 3
    assert found["latent_spread"] == pytest.approx(np.sqrt(np.sort(variance)[1]), rel=1e-5)  # as torch's median


@given(seed=seeds, scale=st.floats(1e-3, 1e3))
def test_without_a_prior_active_units_do_not_depend_on_the_scale_of_the_code(seed: int, scale: float) -> None:
    mean, weight = codes(seed)
    assert activity.activity([(scale * mean, weight)], prior=False)["active_units"] == 3
    still = torch.full_like(mean, 0.1) * scale
    assert activity.activity([(still, weight)], prior=False)["active_units"] == 0


ENCODERS = (
    ("autoencoder", "table"),
    ("vae", "table"),
    ("bigan", "table"),
    ("deep_clustering", "table"),
    ("set_autoencoder", "padded"),
    ("conv_autoencoder", "image"),
    ("conv_vae", "image"),
    ("draw", "image"),
)


@pytest.mark.parametrize(("name", "on"), ENCODERS)
def test_the_guard_of_every_encoder_tells_a_code_that_is_the_same_for_all_events(name: str, on: str) -> None:
    options = next(options for options, kind in offered.tried("model", name) if kind == on)
    network = offered.build("model", name, options, on).build(offered.SCHEMAS[on]).eval()
    inputs = {
        key: torch.from_numpy(np.asarray(x)) for key, x in offered.some_events(40, missing=False, on=on).inputs.items()
    }
    events = Batch(inputs, torch.ones(40), torch.zeros(40, dtype=torch.int64))
    guard = next(guard for guard in network.guards() if guard.name == "active_units")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(parameter.numel()))
        varied = network.diagnose([events])["active_units"]
        assert varied >= 1
        assert not guard.crossed(varied)
        for parameter in network.parameters():
            parameter.zero_()
        assert network.diagnose([events])["active_units"] == 0
        assert guard.crossed(0.0)
        assert math.isnan(network.diagnose([events.map(lambda values: values[:1])])["active_units"])


def test_clusters_without_events_are_not_occupied() -> None:
    network = DeepClustering(hidden=(4,), clusters=3, pretrain=1).build(SCHEMA).eval()
    assert isinstance(network, DeepClusteringNetwork)
    events = batch(200)
    with torch.no_grad():
        assert math.isnan(network.diagnose([events])["occupied_clusters"])
        network.train()
        assert not network.prepare([events], 1)
        network.eval()
        assert network.diagnose([events])["occupied_clusters"] == 3
        network.centroids[1:] += 1e3
        found = network.diagnose([events])
    assert found["occupied_clusters"] == 1
    assert "occupied_clusters" in crossed(network, found)


def test_a_limit_is_crossed_beyond_it_and_never_by_what_nobody_could_measure() -> None:
    low, high = Guard("x", "low", below=0.5), Guard("x", "high", above=0.5)
    assert [low.crossed(value) for value in (0.4, 0.5, 0.6, math.nan)] == [True, False, False, False]
    assert [high.crossed(value) for value in (0.4, 0.5, 0.6, math.inf, math.nan)] == [False, False, True, True, False]
