"""Training without gradients: minima that are found, operators as they are defined, and bits that come back."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toys
from torch import Tensor, nn
from trainings import PLAIN, Scripted, begin, finish, options, same, source, table, weights

from hepanom import checkpoint, document, evolution, optimizers, plugins, team, train
from hepanom.contracts import Player
from hepanom.errors import HepanomError, InputError, RecipeError
from hepanom.evolution import CMAES, Evolution, Genetic
from hepanom.run import run
from hepanom_plugins.models.autoencoder import Autoencoder
from hepanom_plugins.models.vae import VAE

CHOICES: dict[str, dict[str, Any]] = {
    "full": {"use": "cmaes"},
    "diagonal": {"use": "cmaes", "covariance": "diagonal", "population": 10},
    "tournament": {"use": "genetic", "population": 20},
    "elite": {"use": "genetic", "population": 20, "selection": "elite"},
}
SMALL = VAE(hidden=(3,), latent=1, dropout=0.2, batch_norm=True)
LINEAR = Autoencoder(hidden=(), latent=2)
every_choice = pytest.mark.parametrize("choice", CHOICES)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(1)


def evolve(choice: str, start: Tensor, **changes: Any) -> tuple[Evolution, nn.Parameter]:
    """Return the optimizer of a choice with other options, and the parameter that it moves."""
    settings = {**CHOICES[choice], **changes}
    section = {"cmaes": optimizers.CMAES, "genetic": optimizers.Genetic}[settings["use"]](**settings)
    kind = {"cmaes": CMAES, "genetic": Genetic}[section.use]
    flat = nn.Parameter(start.clone())
    return kind([flat], **section.model_dump(exclude={"use"})), flat


def stored(optimizer: Evolution) -> dict[str, Tensor]:
    return optimizer.state_dict()["state"][0]


def seen_by(optimizer: Evolution, flat: nn.Parameter, loss: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Make one step; return its candidates and their losses."""
    candidates: list[Tensor] = []

    def closure() -> Tensor:
        candidates.append(flat.detach().clone())
        return loss(candidates[-1])

    optimizer.step(closure)
    return torch.stack(candidates), torch.stack([loss(candidate) for candidate in candidates])


def sphere(values: Tensor) -> Tensor:
    return (values - 3).square().sum()


def rosenbrock(values: Tensor) -> Tensor:
    return (100 * (values[1:] - values[:-1].square()).square() + (1 - values[:-1]).square()).sum()


@pytest.mark.parametrize(
    ("choice", "loss", "best", "size", "generations"),
    [
        ("full", rosenbrock, 1.0, 3, 200),
        ("full", sphere, 3.0, 1, 100),
        ("diagonal", sphere, 3.0, 8, 300),
        ("diagonal", sphere, 3.0, 1, 100),
        ("tournament", sphere, 3.0, 4, 400),
        ("elite", sphere, 3.0, 4, 400),
        ("tournament", rosenbrock, 1.0, 2, 600),
    ],
)
def test_the_minimum_is_found(
    choice: str, loss: Callable[[Tensor], Tensor], best: float, size: int, generations: int
) -> None:
    wide = {"sigma": 1.0, "mutation": 0.5} if CHOICES[choice]["use"] == "genetic" else {}  # the way is longer here
    optimizer, flat = evolve(choice, torch.zeros(size), **wide)
    for _ in range(generations):
        optimizer.step(lambda: loss(flat))
    np.testing.assert_allclose(flat.detach(), best, atol=1e-3 if choice in ("full", "diagonal") else 0.1)


@pytest.mark.parametrize(
    ("epochs", "optimizer"),
    [(300, {"use": "adam", "lr": 0.05}), (150, {"use": "cmaes"}), (150, {"use": "genetic", "population": 32})],
    ids=["adam", "cmaes", "genetic"],
)
def test_a_linear_autoencoder_finds_the_principal_components(epochs: int, optimizer: dict[str, Any]) -> None:
    events = table(200)
    training = begin(LINEAR, epochs=epochs, batch=200, optimizer=optimizer)
    finish(training, events, events)
    values = events.inputs["features"]
    with torch.no_grad():
        error = (training.network(events)["reconstruction"] - values).square().sum(1) @ events.weight
    mean = (events.weight @ values) / events.weight.sum()
    spread = torch.linalg.svdvals(events.weight.sqrt()[:, None] * (values - mean)).square()
    assert float(error / spread[2:].sum()) == pytest.approx(1, abs=0.03)


@every_choice
def test_a_training_goes_on_to_the_same_bits(choice: str, tmp_path: Path) -> None:
    settings = {"optimizer": CHOICES[choice], "epochs": 5}
    whole = begin(SMALL, **settings)
    records = finish(whole)
    stopped = begin(SMALL, **settings)
    for record in train.fit(stopped, source(table()), [table(30, 2)]):
        if record.epoch == 3:
            checkpoint.save([stopped], tmp_path / "checkpoint")
            break
    resumed = begin(SMALL, seed=99, **settings)
    checkpoint.restore([resumed], tmp_path / "checkpoint")
    assert [record.epoch for record in finish(resumed)] == [4, 5]
    assert same(weights(whole.network), weights(resumed.network))
    assert [(r.losses, r.validation) for r in resumed.history] == [(r.losses, r.validation) for r in records]
    states = [stored(each.optimizers["network"]) for each in (whole, resumed)]
    assert same(*states)
    assert {value.dtype for value in states[0].values()} <= {torch.float64, torch.float32, torch.int64, torch.uint8}


@every_choice
def test_equal_seeds_give_equal_results(choice: str) -> None:
    found = []
    for seed in (3, 3, 4):
        training = begin(SMALL, seed=seed, optimizer=CHOICES[choice], epochs=2)
        finish(training)
        found.append(weights(training.network))
    first, again, other = found
    assert same(first, again)
    assert not same(first, other)


@every_choice
def test_candidates_meet_the_same_noise_and_the_training_loses_none(choice: str) -> None:
    optimizer, flat = evolve(choice, torch.zeros(3))
    before, noise = torch.get_rng_state(), list[float]()

    def closure() -> Tensor:
        noise.append(float(torch.randn(())))
        return sphere(flat) + noise[-1]

    optimizer.step(closure)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(noise) > 1
    assert len(set(noise)) == 1


@every_choice
def test_only_the_pass_before_a_generation_changes_buffers(choice: str) -> None:
    training, events = begin(SMALL, epochs=1, batch=60, optimizer=CHOICES[choice]), table()
    alone = begin(SMALL, epochs=1, batch=60, optimizer={"use": "sgd", "lr": 1e-30})
    for each in (training, alone):
        torch.manual_seed(1)
        finish(each, events)
    expected = dict(alone.network.named_buffers())
    assert len(expected) > 0
    for name, buffer in training.network.named_buffers():
        torch.testing.assert_close(buffer, expected[name])


@every_choice
def test_a_candidate_without_a_finite_loss_is_worse_than_all(choice: str) -> None:
    optimizer, flat = evolve(choice, torch.full((2,), 0.1), sigma=0.5)
    for _ in range(100):
        optimizer.step(lambda: flat.log().square().sum())  # infinite at 0, NaN below, least at 1
    np.testing.assert_allclose(flat.detach(), 1, atol=0.1)


@every_choice
def test_values_set_between_two_generations_are_taken_over(choice: str) -> None:
    optimizer, flat = evolve(choice, torch.zeros(3), sigma=1e-3)
    for _ in range(2):
        optimizer.step(lambda: sphere(flat))
    with torch.no_grad():
        flat[1] = 7.0
    candidates, _ = seen_by(optimizer, flat, sphere)
    np.testing.assert_allclose(candidates, candidates.new_tensor([0, 7, 0]).expand_as(candidates), atol=0.1)


@pytest.mark.parametrize("choice", ["full", "diagonal"])
def test_the_centre_moves_to_the_weighted_mean_of_the_better_half(choice: str) -> None:
    optimizer, flat = evolve(choice, torch.arange(4.0), population=10)
    candidates, losses = seen_by(optimizer, flat, rosenbrock)
    share = math.log(5.5 if choice == "full" else 6) - torch.arange(1, 6).log()
    expected = share @ candidates[losses.argsort()[:5]] / share.sum()
    torch.testing.assert_close(flat.detach(), expected)


@pytest.mark.parametrize("choice", ["full", "diagonal"])
def test_candidates_are_drawn_from_the_covariance_and_step_size_of_the_state(choice: str) -> None:
    optimizer, flat = evolve(choice, torch.zeros(3))
    for _ in range(20):
        optimizer.step(lambda: rosenbrock(flat))
    state, centre, many = stored(optimizer), flat.detach().clone(), list[Tensor]()
    for seed in range(300):
        generator = torch.Generator().manual_seed(seed).get_state()
        optimizer.load_state_dict({**optimizer.state_dict(), "state": {0: {**state, "generator": generator}}})
        with torch.no_grad():
            flat.copy_(centre)
        many.append(seen_by(optimizer, flat, sphere)[0])
    candidates, covariance = torch.cat(many), state["C"] if choice == "full" else state["C"].diag()
    expected = (state["sigma"].square() * covariance).numpy()
    scale = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
    np.testing.assert_allclose(np.cov(candidates.T) / scale, expected / scale, atol=0.1)
    np.testing.assert_allclose(candidates.mean(0), state["mean"], atol=0.1 * scale.max() ** 0.5)


def test_the_better_survive_a_generation_and_the_rate_of_mutation_falls() -> None:
    optimizer, flat = evolve("elite", torch.zeros(5), population=4000, elite=2, crossover=0.0, mutation=1.0, sigma=0.5)
    for generation in range(4):
        candidates, losses = seen_by(optimizer, flat, sphere)
        best = candidates[losses.argsort()[:2]]
        after = stored(optimizer)["population"]
        assert torch.equal(after[:2], best)
        assert torch.equal(flat.detach(), best[0])
        steps = torch.stack([after[2:] - parent for parent in best])
        near = steps.square().sum(2).amin(0).mean().sqrt() / math.sqrt(5)
        assert float(near) == pytest.approx(0.5 / math.sqrt(1 + generation), rel=0.25)


def test_what_cannot_be_trained_without_gradients_is_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"up to 1,000 parameters, and this network has 1,\d+; covariance: diagonal"):
        begin(Autoencoder(hidden=(100,), latent=2), optimizer={"use": "cmaes"})
    begin(Autoencoder(hidden=(100,), latent=2), optimizer={"use": "cmaes", "covariance": "diagonal"})

    class Duel(Scripted):
        def players(self) -> dict[str, Player]:
            return {"critic": Player([self.slope]), "generator": Player([self.other])}

    duel = Duel([1.0])
    duel.other = nn.Parameter(torch.zeros(()))
    with pytest.raises(InputError, match=r"critic and generator play against each other; .* use: adam"):
        train.start(duel, options(optimizer={"use": "genetic"}), 1)
    with pytest.raises(InputError, match="population of 400 is too large for a diagonal covariance of 22 parameters"):
        begin(LINEAR, optimizer={"use": "cmaes", "covariance": "diagonal", "population": 400})
    monkeypatch.setattr(team, "size", lambda: 2)
    with pytest.raises(InputError, match="without torchrun"):
        begin(PLAIN, optimizer={"use": "cmaes"})


def test_a_loss_that_falls_without_end_is_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evolution, "FARTHEST", 1e6)
    optimizer, flat = evolve("full", torch.zeros(2))
    with pytest.raises(HepanomError, match=r"cmaes searches beyond 1e\+06 .* falls without end"):
        [optimizer.step(flat.sum) for _ in range(1000)]  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("clip: 1.0, optimizer: {use: cmaes}", "clip is for gradients, which cmaes does not follow; leave it out"),
        ("optimizer: {use: genetic, elite: 64}", "elite needs to be below population"),
        ("optimizer: {use: cmaes, lr: 0.1}", "unknown option"),
    ],
)
def test_options_that_contradict_each_other_are_mistakes_of_the_recipe(section: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        plugins.build(document.parse(toys.RECIPE, "toys.yaml", [f"train={{{section}}}"]))


@pytest.mark.parametrize("choice", ["full", "tournament"])
def test_a_whole_run_learns_without_gradients(choice: str, state: Path) -> None:
    chosen = ", ".join(f"{name}: {value}" for name, value in CHOICES[choice].items())
    overrides = [f"train.optimizer={{{chosen}}}", "train.epochs=3", "train.replicas=2", "data.events=2000"]
    outcome = run(document.parse(toys.RECIPE, "toys.yaml", overrides), state=state)
    assert outcome is not None
    assert len(outcome.result.histories) == 2
    for history in outcome.result.histories.values():
        assert history[-1].validation < history[0].validation
