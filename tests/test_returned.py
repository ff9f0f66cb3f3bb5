"""A plugin that returns something else than it promised, or raises, is named: kind, name, package, version and file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from hepanom import document, shares
from hepanom.blame import blame, claim
from hepanom.errors import HepanomError, InputError, PluginError
from hepanom.fit import fit
from hepanom.plugins import build
from hepanom.source import Again

RECIPE = """
name: misbehaved
plugins: {folder}
data: {{use: reads, how: "{reader}"}}
background: [usual]
transforms: [{{use: changes, how: "{transform}"}}]
model: {{use: builds, how: "{model}", stacked: {stacked}}}
train: {{epochs: 1, batch: 40, device: cpu, replicas: {replicas}}}
scores: [{{use: scores, how: "{scorer}"}}]
"""
NAMES = {"reader": "reads", "transform": "changes", "model": "builds", "scorer": "scores"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the misbehaved plugins."""
    found = tmp_path_factory.mktemp("plugins")
    shutil.copy(Path(__file__).with_name("misbehaved.py"), found)
    return found


def fitted(folder: Path, replicas: int = 1, **how: str) -> Any:
    """Build, read and fit the recipe in which a plugin misbehaves."""
    chosen = {**dict.fromkeys(NAMES, ""), **how}
    text = RECIPE.format(folder=folder, replicas=replicas, stacked=str(replicas > 1).lower(), **chosen)
    parts = build(document.parse(text, "r.yaml"))
    return fit(shares.read(parts, 10**9), {})


def test_plugins_that_behave_are_left_alone(folder: Path) -> None:
    detector, _ = fitted(folder)
    stacked, _ = fitted(folder, replicas=2)
    assert (detector.replicas, stacked.replicas) == (1, 2)


@pytest.mark.parametrize(
    ("kind", "how", "message"),
    [
        ("reader", "no schema", "schema gave None; expected a Schema"),
        ("reader", "no events", "read gave {}; expected Events"),
        ("reader", "inputs", "read gave the inputs 'y'; expected 'x', as its schema says"),
        ("reader", "columns", "read gave for input 'x' an array of float32 and shape (200, 1); expected numbers of "),
        ("reader", "text", "read gave for input 'x' an array of <U32 and shape (200, 2); expected numbers"),
        ("reader", "labels", "read gave labels from 1 to 1; expected -1, or 0 to 0 for a class"),
        ("reader", "beside", "read gave events without run beside; expected all that its schema has beside"),
        ("reader", "target", "read gave targets: an array of float64 and shape (200, 1); expected the shape (event, 0"),
        ("transform", "nothing", "apply gave None; expected Events"),
        ("transform", "names", "apply gave the inputs 'other'; expected 'x', as its schema says"),
        ("transform", "columns", "apply gave for input 'x' an array of float32 and shape ("),
        ("transform", "fewer", " that came in"),
        ("transform", "state", "finish gave for 'kept' [1]; expected an array of numbers"),
        ("model", "no network", "build gave Linear(in_features=1, out_features=1, bias=True); expected a Network"),
        ("model", "no dict", "forward gave a tensor of float32 and shape ("),
        ("model", "no output", "forward gave other; expected reconstruction too, as the model's gives"),
        ("model", "rows", "forward, output 'reconstruction', gave a tensor of float32 and shape (1, 2); expected a"),
        ("model", "column short", ", 1); expected the shape of the input, ("),
        ("model", "nan", "forward, output 'reconstruction', gave NaN for"),
        ("model", "mean", "loss, term 'square', gave a tensor of float32 and shape (); expected one number for each"),
        ("model", "column", "loss, term 'square', gave a tensor of float32 and shape (40, 1); expected one number"),
        ("model", "list", "loss gave list ["),
        ("model", "validate", "validate gave a tensor of float32 and shape (3,); expected one number for each event"),
        ("scorer", "list", "fit gave [1]; expected a dict of arrays"),
        ("scorer", "column", "score gave a tensor of float32 and shape ("),
        ("scorer", "numpy", "score gave an array of float32 and shape ("),
        ("scorer", "nan", "events, the first of which is run "),
    ],
)  # fmt: skip
def test_what_breaks_a_promise_is_named_with_what_was_found(folder: Path, kind: str, how: str, message: str) -> None:
    with pytest.raises(PluginError) as error:
        fitted(folder, **{kind: how})
    assert str(error.value).startswith(f"{kind} '{NAMES[kind]}' ({folder / 'misbehaved.py'}): ")
    assert message in str(error.value)


@pytest.mark.parametrize("how", ["mean", "column", "list"])
def test_a_loss_that_would_be_broadcast_over_replicas_is_refused(folder: Path, how: str) -> None:
    with pytest.raises(PluginError, match=r"model 'builds' .*: loss"):
        fitted(folder, replicas=2, model=how)


@pytest.mark.parametrize(
    ("kind", "how", "method"),
    [
        ("reader", "raises", "read"),
        ("transform", "raises", "apply"),
        ("model", "raises", "forward"),
        ("model", "loss raises", "loss"),
        ("model", "build raises", "build"),
        ("scorer", "raises", "score"),
        ("scorer", "fit raises", "fit"),
    ],
)
def test_what_a_plugin_raises_names_it_and_keeps_the_original(folder: Path, kind: str, how: str, method: str) -> None:
    with pytest.raises(
        PluginError, match=rf"{kind} '{NAMES[kind]}' .*misbehaved.py\): {method} fails in line \d+: KeyErr"
    ) as error:
        fitted(folder, **{kind: how})
    assert repr(error.value.__cause__) == "KeyError('lost')"


def test_columns_of_other_lengths_name_the_plugin_that_made_them(folder: Path) -> None:
    with pytest.raises(PluginError, match=r"'changes' .*: apply fails in line \d+: "):
        fitted(folder, transform="lengths")


def test_a_loss_that_is_not_finite_names_the_model(folder: Path) -> None:
    with pytest.raises(HepanomError, match=r"the loss \(square\) of model 'builds' \(.*misbehaved.py\) is not finite"):
        fitted(folder, model="nan loss")


def test_missing_values_name_the_transform_that_made_them(folder: Path) -> None:
    with pytest.raises(InputError, match=r"reach the model, in columns .* They come out of the transform 'changes' \("):
        fitted(folder, transform="nan")


def test_what_the_core_does_wrong_is_not_blamed_on_a_plugin() -> None:
    class Plugin:
        def asks(self) -> None:
            next(iter(Again(lambda: iter([1 / 0]))))

    claim(Plugin, "reader 'r' of p 1 (p.py)")
    with pytest.raises(ZeroDivisionError), blame():
        Plugin().asks()
    with pytest.raises(InputError, match="mine"), blame():
        raise InputError("mine")
