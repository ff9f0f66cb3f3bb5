"""A recipe is checked whole: what is wrong, and what does not go together, each with its place."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hepanom.document import parse
from hepanom.recipe import Adam, Recipe, check

LEAST = """name: least
data: {use: toy}
model: {use: vae}
scores: [{use: elbo}]
"""


def problems(more: str, least: str = LEAST) -> list[str]:
    """Return the mistakes of a recipe with ``more`` below its first four lines."""
    return check(parse(least + more, "r.yaml"))[1]


def sound(more: str) -> Recipe:
    """Return a recipe that has no mistake."""
    recipe, found = check(parse(LEAST + more, "r.yaml"))
    assert found == []
    assert recipe is not None
    return recipe


def test_the_least_recipe_is_complete() -> None:
    recipe = sound("")
    assert recipe.train.optimizer == Adam(lr=1e-3)
    assert recipe.split.train + recipe.split.valid + recipe.split.calibrate + recipe.split.test == pytest.approx(1)
    assert recipe.scores[0].label == "elbo"


def test_a_recipe_cannot_be_changed() -> None:
    recipe = sound("")
    with pytest.raises(ValidationError, match="frozen"):
        recipe.train.epochs = 3  # type: ignore[misc]


def test_options_of_a_plugin_are_all_but_its_name() -> None:
    recipe = sound("transforms: [{use: missing, fill: median}]")
    assert recipe.transforms[0].options == {"fill": "median"}


@pytest.mark.parametrize("use", ["adam", "sgd", "adadelta", "adagrad", "rmsprop"])
def test_an_optimizer_is_chosen_by_its_name(use: str) -> None:
    optimizer = sound(f"train: {{optimizer: {{use: {use}, lr: 1}}}}").train.optimizer
    assert (optimizer.use, optimizer.lr) == (use, 1.0)
    assert sound("train: {optimizer: {lr: 1e-2}}").train.optimizer == Adam(lr=0.01)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("trian: {}", "5:1: trian: unknown option; did you mean 'train'?"),
        ("train: {epocs: 5}", "5:9: train.epocs: unknown option; did you mean 'epochs' or 'replicas'?"),
        ("train:\n  optimizer: {use: sgd, momentun: 1}", "6:25: train.optimizer.momentun: unknown option; did you"),
        ("train: {optimizer: {beta: 1}}", "5:21: train.optimizer.beta: unknown option; did you mean 'betas'?"),
        ("train: {optimizer: {use: adamw}}", "5:9: train.optimizer: found use: adamw; did you mean 'adam'?"),
        ("train: {optimizer: adam}", '5:9: train.optimizer: found "adam"; expected a table such as {use: NAME}'),
        ("train: {optimizer: {lr: fast}}", '5:21: train.optimizer.lr: found "fast"; expected a valid number'),
        ("train: {optimizer: {betas: [0.9, 2]}}", "5:34: train.optimizer.betas.1: found 2; expected less"),
        ("train: {epochs: 5.5}", "5:9: train.epochs: found 5.5; expected a valid integer"),
        ("train: {epochs: true}", "5:9: train.epochs: found true; expected a valid integer"),
        ("train: {weighted: 1}", "5:9: train.weighted: found 1; expected a valid boolean or 'absolute'"),
        ("train: {device: gpu}", '5:9: train.device: found "gpu"; expected auto, cpu'),
        ("transforms: [{fill: mean}]", "5:14: transforms.0.use: is missing"),
        ("transforms: {use: log}", '5:1: transforms: found {"use": "log"}; expected a list, such as [a, b]'),
        ("thresholds: [{rule: quantil}]", "5:15: thresholds.0.rule: found \"quantil\"; expected 'quantile', 'median'"),
        ("evaluate: {metrics: [auc, roc]}", '5:27: evaluate.metrics.1: found "roc"; expected \'auc\''),
        ("evaluate: {expected: {s: many}}", '5:23: evaluate.expected.s: found "many"; expected a valid number'),
        ("background: b", '5:1: background: found "b"; expected a list, such as [a, b]'),
    ],
)  # fmt: skip
def test_a_mistake_comes_with_its_place_and_a_remedy(more: str, problem: str) -> None:
    (found,) = problems(more)
    assert found.startswith(f"r.yaml:{problem}")


@pytest.mark.parametrize(("key", "line"), [("name", 0), ("data", 1), ("model", 2), ("scores", 3)])
def test_what_every_recipe_needs_is_missed(key: str, line: int) -> None:
    lines = LEAST.splitlines(keepends=True)
    assert problems("", "".join(lines[:line] + lines[line + 1 :])) == [f"r.yaml:1:1: {key}: is missing"]


@pytest.mark.parametrize(
    ("split", "problem"),
    [
        ("{train: 0.9}", "5:1: split: the shares train, valid, calibrate and test sum to 1.4; expected 1"),
        ("{train: 0.7, valid: 0.2, calibrate: 0, test: 0.1}", None),
        ("{train: 0.8, test: 0}", "5:21: split.test: found 0; expected greater than 0"),
        ("{train: [t]}", "5:1: split: lists of values need the column that holds them: column: NAME"),
        ("{test: [t]}", "5:1: split: lists of values need the column"),
        ("{column: set, train: [t]}", "5:1: split.test: with a column this is a list of its values, such as test: [t]"),
        ("{column: set, train: 0.5, test: [b]}", "5:22: split.train: with a column this is a list of its values"),
        ("{column: set, train: [t, 1], test: [b, '1']}", "5:37: split.test: 1 trains too"),
        ("{column: set, train: [t], test: [b], valid: 0.5, calibrate: 0.5}", "5:45: split.valid: valid and calibrate"),
        ("{column: set, train: [t], test: [b, 3], valid: 0.2, calibrate: 0}", None),
        ("{train: 1.0}", "5:9: split.train: found 1.0; expected less than 1 or a list, such as [a, b]"),
    ],
)  # fmt: skip
def test_a_split_that_does_not_add_up_is_refused(split: str, problem: str | None) -> None:
    found = problems(f"split: {split}")
    assert len(found) == (problem is not None), found
    assert all(entry.startswith(f"r.yaml:{problem}") for entry in found), found


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("{rule: median, value: 3}", "5:29: thresholds.0.value: the rule median takes no value"),
        ("{rule: mean}", None),
        ("{rule: quantile}", "5:14: thresholds.0: the rule quantile needs a value, such as value: 0.01"),
        ("{rule: quantile, value: 1}", "5:31: thresholds.0.value: found 1.0; a quantile lies between 0 and 1"),
        (
            "{rule: background_efficiency, value: 0}",
            "5:44: thresholds.0.value: found 0.0; a background_efficiency lies",
        ),
        ("{rule: value}", "5:14: thresholds.0: the rule value needs a value"),
        ("{rule: value, value: -3}", None),
        ("{rule: mean}, {rule: mean}", "5:28: thresholds.1: mean is there twice"),
        ("{rule: quantile, value: 0.1}, {rule: quantile, value: 0.2}", None),
    ],
)
def test_a_rule_has_the_value_it_needs(rule: str, problem: str | None) -> None:
    found = problems(f"thresholds: [{rule}]")
    assert len(found) == (problem is not None), found
    assert all(entry.startswith(f"r.yaml:{problem}") for entry in found), found


def test_a_fixed_cut_is_for_one_training() -> None:
    (found,) = problems("thresholds: [{rule: value, value: 3}]\ntrain: {replicas: 2}\n")
    assert found.startswith("r.yaml:5:14: thresholds.0: a value cuts the score of one training")


def test_two_uses_of_a_scorer_need_a_name() -> None:
    twice = LEAST.replace("[{use: elbo}]", "[{use: elbo}, {use: elbo}]")
    assert problems("", twice) == ["r.yaml:4:23: scores.1: elbo is there twice; give one of them a name: NAME"]
    assert problems("", twice.replace("elbo}]", "elbo, name: sampled}]")) == []
    assert "elbo is there twice" in problems("", twice.replace("{use: elbo},", "{use: kl, name: elbo},"))[0]


def test_mistakes_and_contradictions_come_at_once() -> None:
    more = """train: {epocs: 3, batch: 1}
split: {train: 0.9}
thresholds: [{rule: quantil}, {rule: quantile}, {rule: mean}, {rule: mean}]
"""
    found = problems(more, LEAST.replace("[{use: elbo}]", "[{use: elbo}, {use: elbo}, {us: kl}]"))
    assert sorted(entry.split(": ")[1] for entry in found) == [
        "scores.1", "scores.2.use", "split", "thresholds.0.rule", "thresholds.1", "thresholds.3",
        "train.batch", "train.epocs",
    ]  # fmt: skip


def test_a_recipe_that_is_wrong_is_no_recipe() -> None:
    wrong: Any = check(parse(LEAST + "seed: -1\n", "r.yaml"))
    assert wrong[0] is None
