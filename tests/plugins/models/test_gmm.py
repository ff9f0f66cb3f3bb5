"""The Gaussian mixture: a normalized density, at least as likely as scikit-learn's, and honest about weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture
from torch import Tensor

from hepanom.contracts import Batch, Network
from hepanom.errors import InputError
from hepanom.events import Input, Schema
from hepanom_plugins.models.gmm import GMM, fit, plus_plus


def blobs(events: int, dimensions: int, seed: int = 1) -> Tensor:
    """Return three overlapping clusters."""
    generator = torch.Generator().manual_seed(seed)
    centre = 3.0 * torch.randint(3, (events, 1), generator=generator) * torch.linspace(1, -1, dimensions)
    mixing = torch.randn(dimensions, dimensions, generator=torch.Generator().manual_seed(8))
    return centre + torch.randn(events, dimensions, generator=generator) @ mixing


def fitted(model: GMM, x: Tensor, weight: Tensor | None = None) -> Network:
    columns = tuple("abcdef"[: x.shape[1]])
    torch.manual_seed(3)
    network = model.build(Schema({"features": Input("table", columns, ("",) * len(columns))}))
    network.prepare([batch(x, weight)], 0)
    return network.eval()


def batch(x: Tensor, weight: Tensor | None = None) -> Batch:
    return Batch({"features": x}, torch.ones(len(x)) if weight is None else weight, torch.zeros(len(x)).long())


def log_density(network: Network, x: Tensor) -> np.ndarray:
    found = network(batch(x))
    assert torch.equal(found["outlyingness"], -found["log_density"])
    return found["log_density"].double().numpy()


@pytest.mark.parametrize("dimensions", [1, 2])
def test_the_density_integrates_to_one(dimensions: int) -> None:
    network = fitted(GMM(components=3), blobs(500, dimensions))
    axis = torch.linspace(-30, 30, 2001 if dimensions == 1 else 601)
    grid = torch.cartesian_prod(*[axis] * dimensions).reshape(-1, dimensions)
    volume = float(axis[1] - axis[0]) ** dimensions
    assert np.exp(log_density(network, grid)).sum() * volume == pytest.approx(1, abs=1e-4)


def test_one_component_is_the_normal_distribution_of_the_weighted_moments() -> None:
    x, weight = blobs(300, 3), torch.rand(300, generator=torch.Generator().manual_seed(4))
    network = fitted(GMM(components=1, regularization=1e-6), x, weight)
    covariance = np.cov(x.double().numpy().T, aweights=weight.double().numpy(), ddof=0)
    normal = multivariate_normal(np.average(x.double().numpy(), axis=0, weights=weight.double().numpy()), covariance)
    np.testing.assert_allclose(log_density(network, x), normal.logpdf(x.double().numpy()), rtol=1e-4)


def test_the_likelihood_reaches_scikit_learns() -> None:
    x = blobs(1500, 4)
    model = GMM(components=3, starts=3, tolerance=1e-8, iterations=500, regularization=1e-6)
    theirs = GaussianMixture(3, n_init=3, tol=1e-8, max_iter=500, random_state=1).fit(x.double().numpy())
    found = log_density(fitted(model, x), x)
    assert found.mean() == pytest.approx(theirs.score(x.double().numpy()), abs=1e-3)
    np.testing.assert_allclose(found, theirs.score_samples(x.double().numpy()), atol=0.05)


def test_weight_two_is_the_event_twice_from_the_same_start() -> None:
    x, count, options = blobs(120, 3).double(), torch.tensor([0, 1, 2] * 40), GMM(components=3)
    centres = x[[0, 50, 100]]
    once, likelihood = fit(x, 5.0 * count.double(), centres, options)
    doubled = x.repeat_interleave(count, 0)
    twice, same = fit(doubled, torch.ones(len(doubled)).double(), centres, options)
    assert likelihood == pytest.approx(same, rel=1e-10)
    torch.testing.assert_close(once.log_density(x), twice.log_density(x))


def test_every_step_raises_the_likelihood() -> None:
    x, weight = blobs(400, 3).double(), torch.rand(400, generator=torch.Generator().manual_seed(2)).double()
    reached = [
        fit(x, weight, x[:4], GMM(iterations=steps, tolerance=0.0, regularization=1e-9))[1] for steps in range(1, 30)
    ]
    assert (np.diff(reached) > -1e-9).all()
    assert reached[-1] > reached[0] + 0.1


def test_centres_are_events_with_weight_that_lie_apart() -> None:
    x = torch.cat([torch.randn(100, 2, generator=torch.Generator().manual_seed(1)) + 50 * k for k in range(4)]).double()
    weight = torch.ones(400).double()
    weight[300:] = 0
    torch.manual_seed(5)
    centres = plus_plus(x, weight, 3)
    assert sorted((centres.mean(1) / 50).round().tolist()) == [0, 1, 2]


def test_fewer_events_than_components_still_have_a_density() -> None:
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    assert np.isfinite(log_density(fitted(GMM(components=5), x), x)).all()


def test_a_covariance_beyond_all_digits_says_what_would_do() -> None:
    x = blobs(100, 3) * 2**40
    x[:, 2] = x[:, 1]
    with pytest.raises(InputError, match=r"gmm: a covariance is singular .* the transform standardize"):
        fitted(GMM(components=1), x)
