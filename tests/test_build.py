"""What a model finds wrong is said with the recipe's other mistakes, before any event is read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from hepanom.cli import hepanom
from hepanom.document import parse
from hepanom.errors import RecipeError
from hepanom.events import Schema
from hepanom.plugins import build

TABLE = """name: built
data: {use: toy}
background: [background]
transforms: [{use: standardize}]
model: {MODEL}
scores: [{use: SCORE}]
train: {epochs: 10}
"""
CLOUDS = """name: built
data: {use: attpc_simulation, events: 300}
background: [proton]
transforms: [TRANSFORMS]
model: {MODEL}
scores: [{use: SCORE}]
"""
IMAGE = "{use: image, axes: [x, y], range: [[-200, 200], [-200, 200]], size: [16, 16]}"


def recipe(text: str, model: str, score: str, transforms: str = "") -> str:
    return text.replace("MODEL", model).replace("SCORE", score).replace("TRANSFORMS", transforms)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            recipe(TABLE, "use: deep_clustering, pretrain: 10", "cluster_distance"),
            "pretrain is 10, so that in the 10 epochs of train.epochs no clusters would be found",
        ),
        (
            recipe(TABLE, "use: deep_svdd, objective: soft_boundary", "outlyingness"),
            "warmup_epochs is 10, so that in the 10 epochs of train.epochs the sphere would get no radius",
        ),
        (recipe(TABLE, "use: pca, latent: 99", "reconstruction"), "pca: latent is 99, but the events have "),
        (recipe(TABLE, "use: flow, condition: [mjj]", "likelihood"), "column 'mjj' is not there; "),
        (recipe(TABLE, "use: conv_autoencoder", "reconstruction"), "this needs events with one image, these have "),
        (
            recipe(CLOUDS, "use: set_autoencoder", "outlyingness", "{use: pad, points: 8}"),
            "set_autoencoder: the table has no mask real[0], real[1], ... of its points; the transform pad",
        ),
        (
            recipe(CLOUDS, "use: conv_autoencoder, kernels: [4, 4, 4, 4]", "reconstruction", IMAGE).replace(
                "4]}", "4], strides: 4, filters: [2, 2, 2, 2]}"
            ),
            "kernels: layer 3 finds 1 x 1 pixels, of which its kernel of 4 leaves none",
        ),
        (
            recipe(CLOUDS, "use: autoencoder", "reconstruction"),
            "input 'points' holds points; add a transform that makes a table or an image of them",
        ),
    ],
    ids=lambda text: None if "\n" in text else text[:20],
)
def test_a_model_that_cannot_take_the_events_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        build(parse(text, "r.yaml"))
    (problem,) = error.value.problems
    assert problem.startswith(f"r.yaml:5:1: model: {message}"), problem


def test_it_comes_with_the_other_mistakes() -> None:
    text = recipe(TABLE, "use: flow, condition: [mjj]", "likelihood").replace("[background]", "[bkg]")
    with pytest.raises(RecipeError) as error:
        build(parse(text, "r.yaml"))
    assert [problem.split(": ")[1] for problem in error.value.problems] == ["background.0", "model"]


def test_what_only_the_fit_of_a_transform_can_tell_is_said_and_not_refused(tmp_path: Path) -> None:
    text = recipe(TABLE, "use: flow, condition: ['n_jets=*']", "likelihood")
    text = text.replace("[{use: standardize}]", "[{use: missing}, {use: one_hot, columns: [n_jets]}]")
    file = tmp_path / "r.yaml"
    file.write_text(text)
    (doubt,) = build(parse(text, "r.yaml")).doubts
    assert doubt.startswith("r.yaml:5:1: model: column 'n_jets=*' is not there; ")
    assert "; only the fit of missing and one_hot tells which columns reach the model, so this may" in doubt
    shown = CliRunner().invoke(hepanom, ["check", str(file)])
    assert shown.exit_code == 0
    assert "so this may still do" in shown.stdout


def test_a_recipe_without_doubt_says_nothing_and_keeps_the_random_numbers() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    parts = build(parse(recipe(TABLE, "use: vae", "elbo"), "r.yaml"))
    assert parts.doubts == ()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_networks_of_a_detector_are_not_built_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = build(parse(recipe(TABLE, "use: vae", "elbo"), "r.yaml"))
    monkeypatch.setattr(type(parts.model), "build", lambda self, schema: pytest.fail("built"))
    build(parts.document, parts.schema)
    assert isinstance(parts.schema, Schema)
