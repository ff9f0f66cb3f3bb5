"""Rules that end a training early: when they do, what they may watch, and what is told of it everywhere."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from adversaries import MODELS, batch
from adversaries import SCHEMA as PLANE
from hypothesis import given
from hypothesis import strategies as st
from trainings import SCHEMA, Scripted, finish, options, same, source, table, weights

from hepanom import checkpoint, document, recipe, stop, train
from hepanom.contracts import Batch, Epoch, Guard
from hepanom.errors import InputError
from hepanom_plugins.models.gan import AdversarialNetwork
from hepanom_plugins.models.vae import VAE

TRAIN = "train: {epochs: 2, batch: 256, device: cpu}\n"
FLAT = Guard("spread", "the code has collapsed", below=0.5)
values = st.sampled_from([0.0, 0.4, 0.5, 0.9, math.nan])


def history(spread: Sequence[float], validation: Sequence[float] | None = None) -> list[Epoch]:
    """Return records whose diagnostic is given, the first of which is the best unless the losses are given too."""
    losses = validation or range(len(spread))
    return [
        Epoch(number + 1, {"kl": 2.0}, float(loss), number == 0, 1e5, {"spread": value})
        for number, (value, loss) in enumerate(zip(spread, losses, strict=True))
    ]


class Fading(Scripted):
    """A network whose diagnostic is scripted, too."""

    def __init__(self, losses: Sequence[float], spread: Sequence[float]) -> None:
        super().__init__(losses)
        self.spread = spread

    def diagnose(self, batches: Iterable[Batch]) -> dict[str, float]:
        events = sum(map(len, batches))
        return {"spread": self.spread[int(self.epoch) - 1], "events": float(events), "noise": float(torch.randn(()))}

    def guards(self) -> Sequence[Guard]:
        return (FLAT,)


@given(spread=st.lists(values, min_size=1, max_size=9), epochs=st.integers(1, 3), after=st.integers(0, 3))
def test_a_rule_waits_for_as_many_epochs_in_a_row_as_it_says(spread: list[float], epochs: int, after: int) -> None:
    rule = recipe.Stop(when="spread", below=0.5, epochs=epochs, after=after)
    for seen in range(1, len(spread) + 1):
        met = seen >= after + epochs and all(value < 0.5 for value in spread[seen - epochs : seen])
        assert (stop.stopped_by([rule], history(spread[:seen])) is rule) == met


def test_a_rule_ends_a_training_with_its_best_weights() -> None:
    rule = {"when": "spread", "below": 0.5, "epochs": 2}
    training = train.start(
        Fading([2.0, 0.0, 1.0, 1.0, 1.0, 1.0], [0.4, 0.6, 0.4, 0.4, 0.4, 0.4]), options(epochs=6, stop=[rule]), 1
    )
    assert [record.epoch for record in finish(training)] == [1, 2, 3, 4]
    assert training.finished
    assert int(training.network.epoch) == training.best_epoch == 2


@pytest.mark.parametrize("watch", ["slope", "validation", "events"])
def test_a_rule_watches_losses_the_validation_loss_and_diagnostics(watch: str) -> None:
    rule = {"when": watch, "above": -1e9, "epochs": 2}
    assert len(finish(train.start(Fading([1.0] * 4, [1.0] * 4), options(stop=[rule]), 1))) == 2


def test_a_rule_that_names_what_there_is_not_is_refused_after_the_first_epoch() -> None:
    training = train.start(Fading([1.0] * 4, [1.0] * 4), options(stop=[{"when": "spraed", "below": 1}]), 1)
    message = (
        r"train\.stop\.0\.when: the training gives no 'spraed', but events, noise, slope, spread, validation; "
        r"did you mean 'spread'\?"
    )
    with pytest.raises(InputError, match=message):
        finish(training)
    assert training.history == []


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{when: kl}", 'found {"when": "kl"}; a rule has one limit, such as below: 0.01, or above: 0.999'),
        ("{when: kl, below: 1, above: 2}", "a rule has one limit"),
        ("{when: kl, below: 1, epochs: 0}", "train.stop.0.epochs: found 0; expected greater than or equal to 1"),
        ("{below: 1}", "train.stop.0.when: is missing"),
        ("{when: kl, bellow: 1}", "train.stop.0.bellow: unknown option; did you mean 'below'"),
    ],
)
def test_a_rule_has_one_thing_to_watch_and_one_limit(rule: str, message: str) -> None:
    _, found = recipe.check(document.parse(f"{toys.RECIPE}\ntrain: {{stop: [{rule}]}}".replace(TRAIN, ""), "r.yaml"))
    assert len(found) == 1
    assert message in found[0]


def test_diagnoses_see_some_validation_events_spread_over_them_with_the_same_noise_each_time() -> None:
    class Curious(Fading):
        def diagnose(self, batches: Iterable[Batch]) -> dict[str, float]:
            rows = torch.cat([each.inputs["features"][:, 0] for each in batches])
            ends = {"first": float(rows[0]), "last": float(rows[-1])}
            return {**super().diagnose([]), **ends, "events": float(len(rows))}

    valid = table(3 * train.DIAGNOSED)
    valid.inputs["features"][:, 0] = torch.arange(len(valid))
    for tables in ([valid], [valid.map(lambda values: values[: len(values) // 3])] * 3):
        training = train.start(Curious([1.0] * 3, [1.0] * 3), options(epochs=3), 1)
        records = list(train.fit(training, source(table()), tables))
        assert len({record.diagnostics["noise"] for record in records}) == 1
        assert records[0].diagnostics["events"] == train.DIAGNOSED
        assert records[0].diagnostics["first"] == 0
        assert records[0].diagnostics["last"] > len(tables[0]) - 4


def test_a_training_goes_on_with_its_diagnostics_bit_for_bit(tmp_path: Path) -> None:
    rule = {"when": "two_sample_auc", "above": 0.6, "epochs": 4}
    settings = {"epochs": 6, "batch": 64, "stop": [rule]}

    def begin() -> train.Training:
        torch.manual_seed(3)
        return train.start(MODELS["gan"].build(PLANE), options(**settings), 3)

    events, valid = source(batch(256)), [batch(128, 2)]
    whole = begin()
    records = list(train.fit(whole, events, valid))
    assert len(records) == 4, "the rule is met"
    half = begin()
    running = train.fit(half, events, valid)
    next(running), next(running)
    checkpoint.save([half], tmp_path / "half")
    again = begin()
    checkpoint.restore([again], tmp_path / "half")
    assert again.history == half.history
    list(train.fit(again, events, valid))
    assert [record.diagnostics for record in again.history] == [record.diagnostics for record in records]
    assert same(weights(again.network), weights(whole.network))


def test_what_nobody_could_measure_is_kept_as_such(tmp_path: Path) -> None:
    training = train.start(Fading([1.0] * 4, [math.nan, 1.0, 1.0, 1.0]), options(), 1)
    running = train.fit(training, source(table()), [table()])
    next(running), next(running)
    checkpoint.save([training], tmp_path / "half")
    again = train.start(Fading([1.0] * 4, [1.0] * 4), options(), 1)
    checkpoint.restore([again], tmp_path / "half")
    assert math.isnan(again.history[0].diagnostics["spread"])
    assert again.history[1] == training.history[1]


# --- what collapses


RULES = [
    {"when": "variance_ratio", "below": 0.01, "epochs": 3},
    {"when": "two_sample_auc", "above": 0.999, "epochs": 3},
    {"when": "critic_gap", "above": 2.0, "epochs": 3},
]


def duel(rule: dict[str, Any], *, collapses: bool) -> tuple[train.Training, list[Epoch]]:
    """Train a GAN whose generator, if it collapses, makes the same event of all noise after two epochs."""
    torch.manual_seed(4)
    network = MODELS["gan"].build(PLANE)
    assert isinstance(network, AdversarialNetwork)
    if collapses:
        collapsed = network.generator[-1].weight

        def prepare(_: Iterable[Batch], epoch: int) -> bool:
            if epoch >= 2:
                collapsed.requires_grad_(False).zero_()
            return False

        network.prepare = prepare  # type: ignore[method-assign]
    settings = {"epochs": 12, "batch": 64, "optimizer": {"use": "adam", "lr": 5e-3, "betas": [0.5, 0.9]}}
    training = train.start(network, options(**settings, stop=[rule]), 3)
    return training, list(train.fit(training, source(batch(1024, 2)), [batch(500, 3)]))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["when"])
def test_a_generator_that_collapses_is_stopped_by_each_guard_and_a_healthy_one_is_not(rule: dict[str, Any]) -> None:
    training, records = duel(rule, collapses=True)
    assert 5 <= len(records) < 12
    assert records[-1].diagnostics["variance_ratio"] < 1e-6
    text = "; ".join(stop.told(training.options.stop, training.network.guards(), records))
    assert text.startswith(f"stopped after epoch {len(records)} by train.stop, as {rule['when']} is ")
    assert "the generator has collapsed, it makes nearly the same event of all noise (variance_ratio is " in text
    assert f"the weights of epoch {training.best_epoch} are kept" in text
    training, records = duel(rule, collapses=False)
    assert len(records) == 12
    assert list(stop.told(training.options.stop, training.network.guards(), records)) == []


def test_a_vae_whose_beta_is_huge_has_no_active_unit() -> None:
    settings = {"epochs": 12, "batch": 16, "optimizer": {"use": "adam", "lr": 0.05}}
    found = {}
    for beta in (1e-3, 1e5):
        torch.manual_seed(1)
        training = train.start(VAE(hidden=(6,), beta=beta).build(SCHEMA), options(**settings), 1)
        records = finish(training, table(300), table(200, 2))
        found[beta] = [*stop.told((), training.network.guards(), records)]
        assert records[-1].diagnostics["active_units"] == (2 if beta < 1 else 0)
    assert found[1e-3] == []
    (text,) = found[1e5]
    assert text.startswith(
        "the latent code has collapsed, no dimension tells events apart (active_units is 0, below 1)"
    )
    assert text.endswith(f" in epoch {training.best_epoch}, whose weights are kept")


@given(spread=st.lists(values, min_size=1, max_size=9), best=st.integers(0, 8))
def test_what_is_told_is_true_of_the_kept_and_of_the_last_epoch(spread: list[float], best: int) -> None:
    best = min(best, len(spread) - 1)
    losses = [float(number != best) for number in range(len(spread))]
    text = " ".join(stop.told((), [FLAT], history(spread, losses)))
    assert ("whose weights are kept" in text) == (spread[best] < 0.5)
    assert ("the last epoch" in text) == (spread[-1] < 0.5 and not spread[best] < 0.5)
    assert bool(text) == (spread[-1] < 0.5 or spread[best] < 0.5)
    if "to the last epoch" in text:
        first = int(text.split(" from epoch ")[1].split()[0])
        assert all(value < 0.5 for value in spread[first - 1 :])
        assert first == 1 or not spread[first - 2] < 0.5


def test_nothing_is_told_of_a_model_without_epochs_or_guards() -> None:
    assert list(stop.told((), [FLAT], [])) == []
    assert list(stop.told((), [], history([0.1]))) == []
    assert stop.endings((), [FLAT], {("all", 0): history([0.9]), ("all", 1): history([0.1])}).keys() == {"all-1"}
