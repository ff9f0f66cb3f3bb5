"""What a search draws is what its space says, and what cannot be drawn is found before anything runs."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import RECIPE

from hepanom import document, draws, plugins, space
from hepanom.errors import RecipeError
from hepanom.recipe import Recipe

SEARCH = """
search:
  maximize: valid/auc
  variables: {layers: {int: [1, 3]}}
  space:
    model.latent: {int: [1, 6], log: true}
    model.hidden: {list: {int: [4, 32], log: true}, length: layers, order: falling}
    train.optimizer.lr: {float: [1e-4, 1e-1], log: true}
    model.activation: {choice: [relu, tanh]}
    model.dropout: {float: [0, 0.5], when: {layers: {at_least: 2}}}
"""


def options(text: str = SEARCH) -> space.SearchOptions:
    """Return the search of a recipe."""
    found = plugins.build(document.parse(RECIPE + text, "toys.yaml")).recipe.search
    assert found is not None
    return found


def problems(*lines: str, search: str = "maximize: valid/auc", recipe: str = RECIPE) -> list[str]:
    """Return what is wrong with a space of these lines."""
    text = f"{recipe}search:\n  {search}\n  space:\n" + "".join(f"    {line}\n" for line in lines)
    with pytest.raises(RecipeError) as error:
        plugins.build(document.parse(text, "toys.yaml"))
    return list(error.value.problems)


def drawn(seed: int, text: str = SEARCH) -> dict[str, Any]:
    """Return values that are drawn at random."""
    generator = np.random.default_rng(seed)
    plain = document.parse(RECIPE + text, "toys.yaml").plain
    return draws.draw(options(text), plain, lambda axis: draws.at_random(axis, generator))


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_every_drawn_recipe_is_valid_and_lies_in_the_space(seed: int) -> None:
    values = drawn(seed)
    assert 1 <= values["model.latent"] <= 6
    assert 1e-4 <= values["train.optimizer.lr"] <= 1e-1
    assert 1 <= len(values["model.hidden"]) <= 3
    assert values["model.hidden"] == sorted(values["model.hidden"], reverse=True)
    assert ("model.dropout" in values) == (len(values["model.hidden"]) >= 2)
    made = draws.drawn_document(document.parse(RECIPE + SEARCH, "toys.yaml"), values)
    assert "search" not in made.plain
    found = plugins.build(made).recipe
    assert found.model.options["latent"] == values["model.latent"]
    assert found.model.options["hidden"] == values["model.hidden"]


def test_a_logarithmic_axis_is_even_in_the_logarithm() -> None:
    axis = space.Axis("lr", "float", 1e-4, 1e-1, log=True)
    generator = np.random.default_rng(1)
    values = np.array([draws.at_random(axis, generator) for _ in range(4000)])
    share = float((values < math.sqrt(1e-4 * 1e-1)).mean())
    assert abs(share - 0.5) < 4 * math.sqrt(0.25 / 4000)


def test_a_value_that_is_not_drawn_stays_as_the_recipe_has_it() -> None:
    text = SEARCH.replace("int: [1, 3]", "int: [1, 1]")
    made = draws.drawn_document(document.parse(RECIPE + text, "toys.yaml"), drawn(1, text))
    assert "dropout" not in made.plain["model"]


def test_a_choice_may_be_a_whole_table_and_others_depend_on_it() -> None:
    text = """
search:
  maximize: valid/auc
  space:
    model.beta: {float: [0.1, 10], log: true, when: {model.use: {is: vae}}}
    model: {choice: [{use: autoencoder, latent: 2}, {use: vae, latent: 3}]}
"""
    seen = set()
    for seed in range(20):
        values = drawn(seed, text)
        seen.add(values["model"]["use"])
        assert ("model.beta" in values) == (values["model"]["use"] == "vae")
    assert seen == {"autoencoder", "vae"}


def test_drawn_values_lie_on_the_axes_of_the_space() -> None:
    flat = [draws.flat(options(), drawn(seed)) for seed in range(20)]
    axes = {axis.path: axis for axis in draws.axes(options(), flat)}
    assert {"model.hidden.0", "model.hidden.2", "model.activation"} <= axes.keys()
    assert axes["model.hidden.1"].log
    assert "layers" not in axes
    for values in flat:
        assert values.keys() <= axes.keys()
        assert values["model.activation"] in axes["model.activation"].choices


def test_a_grid_holds_every_combination_once() -> None:
    text = """
search:
  maximize: valid/auc
  sampler: grid
  space:
    model.latent: {int: [1, 3]}
    train.optimizer.lr: {float: [1e-4, 1e-2], log: true, points: 3}
    model.activation: {choice: [relu, tanh]}
"""
    points = draws.grid(options(text))
    assert len(points) == 18 == len({tuple(point.values()) for point in points})
    assert sorted({point["train.optimizer.lr"] for point in points}) == pytest.approx([1e-4, 1e-3, 1e-2])


@pytest.mark.parametrize(
    ("line", "place", "text"),
    [
        ("model.laten: {int: [1, 3]}", "toys.yaml:15:5: model.laten", "latent"),
        ("modle.latent: {int: [1, 3]}", "toys.yaml:15:5: modle", "model"),
        ("model.latent: {int: [3, 1]}", "toys.yaml:15:5: search.space.model.latent", "lowest value 3 is above"),
        ("model.latent: {int: [0, 3]}", "toys.yaml:15:5: model.latent", "greater than 0"),
        ("model.latent: {float: [1, 3]}", "toys.yaml:15:5: model.latent", "valid integer"),
        ("model.activation: {choice: [relu, tann]}", "toys.yaml:15:5: model.activation", "tanh"),
        ("model.latent: {int: [0, 3], log: true}", "search.space.model.latent", "above 0"),
        ("model.latent: {}", "search.space.model.latent", "int: [LOW, HIGH]"),
        ("model.latent: {int: [1, 3], choice: [1]}", "search.space.model.latent", "drawn from one of"),
        ("model.hidden: {list: {int: [1, 3]}}", "search.space.model.hidden", "a length"),
        ("model.hidden: {list: {int: [1, 3]}, length: layer}", "search.space.model.hidden.length", "'layer'"),
        ("model.latent: {int: [1, 3], when: {model.depth: {is: 1}}}", "model.latent.when", "'model.depth'"),
        ("model.activation: {choice: [relu, relu]}", "search.space.model.activation", "twice"),
        ("transforms.7.use: {choice: [log]}", "transforms.7", "no item 7"),
        ("model.hidden: {list: {int: [1, 3]}, length: -1}", "search.space.model.hidden.length", "equal to 0"),
        ("model.hidden: {list: {int: [1, 3]}, length: model.use}", "search.space", 'is "autoencoder" somewhere'),
        ("model.hidden: {list: {choice: [1, []]}, length: 9, order: rising}", "search.space", "has no order"),
        ("train.replicas: {int: [1, 3]}", "search.space.train.replicas", "is one in all trials"),
        ("split.seed: {int: [1, 3]}", "search.space.split.seed", "know of each other's test"),
        ("background: {choice: [[background], [signal]]}", "search.space.background", "would not compare"),
        ("evaluate.b_reg: {float: [1, 9]}", "search.space.evaluate.b_reg", "how a trial is judged"),
        ("search.trials: {int: [1, 3]}", "search.space.search.trials", "the same in all trials"),
    ],
)
def test_a_space_that_cannot_be_drawn_is_found_before_anything_runs(line: str, place: str, text: str) -> None:
    (found, *_) = problems(line)
    assert place in found
    assert text in found


def test_choices_that_look_the_same_in_few_letters_are_told_apart() -> None:
    text = """
search:
  maximize: valid/auc
  space: {train.optimizer: {choice: [{use: adam, lr: 0.1}, {use: adam, weight_decay: 0.1}]}}
"""
    values = [drawn(seed, text) for seed in range(20)]
    flat = {json.dumps(value): draws.flat(options(text), value)["train.optimizer"] for value in values}
    assert len(flat) == len(set(flat.values())) == 2
    assert set(flat.values()) == set(draws.axes(options(text), [])[0].choices)


def test_a_mistake_is_told_once_whatever_the_numbers_in_it() -> None:
    (found,) = problems("thresholds.0.value: {float: [0.01, 2]}")
    assert "lies between 0 and 1" in found


def test_a_length_that_is_not_always_drawn_is_found_before_anything_runs() -> None:
    text = SEARCH.replace("{layers: {int: [1, 3]}}", "{layers: {int: [1, 3], when: {model.latent: {at_least: 3}}}}")
    with pytest.raises(RecipeError, match="length layers is not always drawn"):
        options(text)


@pytest.mark.parametrize(
    ("line", "objective"),
    [
        ("scores.0.name: {choice: [a, b]}", "valid/reconstruction/auc"),
        ("thresholds.0.value: {float: [0.01, 0.1]}", "valid/background_efficiency_0.1/f1"),
    ],
)
def test_an_objective_that_some_drawn_recipes_call_otherwise_is_refused(line: str, objective: str) -> None:
    (found,) = problems(line, search=f"maximize: {objective}")
    assert f"not every drawn recipe gives {objective}" in found


def test_values_that_wait_for_each_other_are_named() -> None:
    lines = (
        "model.latent: {int: [1, 3], when: {model.dropout: {at_least: 0.1}}}",
        "model.dropout: {float: [0, 0.5], when: {model.latent: {at_least: 2}}}",
    )
    (found,) = problems(*lines)
    assert "wait for each other: " in found


LATENT = "model.latent: {int: [1, 3]}"
RATE = "train.optimizer.lr: {float: [1e-4, 1e-2]}"


@pytest.mark.parametrize(
    ("search", "line", "text"),
    [
        (("maximize: valid/acu",), LATENT, "did you mean 'valid/auc'"),
        (("maximize: test/auc",), LATENT, "never looks at the test share"),
        (("trials: 3",), LATENT, "there is no objective"),
        (("maximize: valid/latent/f1/background",), LATENT, "need evaluate.latent"),
        (("minimize: validation",), "model.l2: {float: [0, 1]}", "changes what the validation loss means"),
        (("minimize: validation",), "model.use: {choice: [vae]}", "changes what the validation loss means"),
        (("minimize: validation",), "transforms.1.use: {choice: [rank]}", "changes what the validation loss means"),
        (("maximize: valid/auc", "minimize: seconds", "pruner: median"), RATE, "one objective"),
        (("maximize: valid/auc", "minimize: seconds", "sampler: cmaes"), RATE, "one objective"),
        (("maximize: valid/auc", "sampler: grid"), RATE, "points: 5"),
        (("maximize: valid/auc", "sampler: grid"), "seed: {int: [0, 999999999]}", "1,000,000,000 values are too many"),
        (("maximize: valid/auc", "minimize: valid/auc"), RATE, "choose one"),
        (("maximize: valid/auc", "pruner: median"), "train.per: {choice: [n_jets]}", "several trainings"),
        (("maximize: valid/auc", "constraints: {size: {at_most: 3}}"), RATE, "there is no number 'size'"),
    ],
)
def test_an_objective_that_means_nothing_is_refused(search: tuple[str, ...], line: str, text: str) -> None:
    assert any(text in found for found in problems(line, search="\n  ".join(search)))


def test_a_search_needs_a_share_of_its_own_for_thresholds() -> None:
    recipe = RECIPE.replace("valid: 0.1, calibrate: 0.2", "valid: 0.3, calibrate: 0")
    assert any("calibrate: 0.1" in found for found in problems("model.latent: {int: [1, 3]}", recipe=recipe))


def test_a_recipe_with_a_search_still_runs_as_it_stands() -> None:
    found = plugins.build(document.parse(RECIPE + SEARCH, "toys.yaml"))
    assert isinstance(found.recipe, Recipe)
    assert found.recipe.model.options == {"hidden": [6]}
