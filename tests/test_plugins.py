"""Plugins come in by one door, say who they are, and are checked with the recipe before any event is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hepanom.document import parse, read
from hepanom.errors import InputError, RecipeError
from hepanom.offered import find, registry
from hepanom.packages import Plugin
from hepanom.plugins import build, describe

SCORER = '''
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import Field

from hepanom.contracts import Scorer
from hepanom.hookspecs import Offers, hookimpl


@dataclass(frozen=True)
class Norm(Scorer):
    """How long a code is."""

    needs: ClassVar[frozenset[str]] = frozenset({"latent_mean"})
    p: Annotated[float, Field(ge=1, description="order")] = 2.0
    units: Annotated[dict[str, str], Field(description="units")] = field(default_factory=dict)

    def score(self, batch, outputs, state, network):
        return outputs["latent_mean"].norm(self.p, dim=1)


@hookimpl
def scorers() -> Offers:
    return {"norm": Norm}
'''
RECIPE = """name: whole
data: {use: toy}
background: [background]
transforms: [{use: missing}, {use: standardize}]
model: {use: autoencoder, hidden: [8]}
scores: [{use: reconstruction}]
"""


def folder(home: Path, **files: str) -> Path:
    """Return a folder of plugin files."""
    for name, source in files.items():
        (home / f"{name}.py").write_text(source, encoding="utf-8")
    return home


def refused(message: str, text: str) -> None:
    """Assert that a recipe has one mistake, which begins so."""
    with pytest.raises(RecipeError) as error:
        build(parse(text, "r.yaml"))
    (problem,) = error.value.problems
    assert problem.startswith(message)


def test_listing_plugins_imports_nothing_slow() -> None:
    question = "import sys; from hepanom.plugins import registry; assert registry(); print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=False)
    assert (answer.stdout.strip(), answer.stderr) == ("False", "")


@pytest.mark.parametrize("plugin", registry().values(), ids=lambda plugin: f"{plugin.kind}-{plugin.name}")
def test_every_option_of_a_plugin_is_described(plugin: Plugin) -> None:
    found = describe(plugin)
    assert found["about"]
    assert (found["package"], found["kind"], found["name"]) == ("hepanom", plugin.kind, plugin.name)
    for option in found["options"]:
        assert option["about"], option
        assert option["type"] != "any", option
        assert option["required"] == (option["default"] is None and "null" not in option["type"]), option


def test_a_local_plugin_works_like_an_installed_one(tmp_path: Path) -> None:
    plugin = registry(folder(tmp_path, norm=SCORER))["scorer", "norm"]
    assert (plugin.package, plugin.version) == (str(tmp_path / "norm.py"), "local")
    assert [(option["name"], option["default"]) for option in describe(plugin)["options"]] == [
        ("p", 2.0),
        ("units", {}),
    ]


def test_a_recipe_finds_its_plugins_beside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    folder(tmp_path / "mine", norm=SCORER)
    (tmp_path / "r.yaml").write_text(
        RECIPE.replace("autoencoder", "vae").replace("reconstruction}", "norm, p: 1, name: short}") + "plugins: mine\n"
    )
    monkeypatch.chdir("/")
    parts = build(read(tmp_path / "r.yaml"))
    assert repr(parts.scorers["short"]) == "Norm(p=1.0, units={})"
    assert parts.versions[str(tmp_path / "mine" / "norm.py")] == "local"
    assert set(parts.transforms) == {"0-missing", "1-standardize"}


def test_two_folders_may_hold_files_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    own_type = SCORER.replace("p: Annotated", "p: Order = 2.0\n    q: Annotated").replace(
        "@data", "Order = float\n\n@data"
    )
    first = registry(folder(tmp_path / "a", norm=own_type))["scorer", "norm"]
    second = registry(folder(tmp_path / "b", norm=SCORER))["scorer", "norm"]
    assert [option["name"] for option in describe(first)["options"]] == ["p", "q", "units"]
    assert [option["name"] for option in describe(second)["options"]] == ["p", "units"]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: the plugins folder is not there"):
        registry(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "no_such:Class",
            r"model 'm' of package 1.2 \(no_such\) cannot be loaded: ModuleNotFoundError: No module named",
        ),
        (
            "hepanom_plugins.models.vae:NoSuchClass",
            r"of package 1.2 \(.*vae.py\) cannot be loaded: AttributeError: .* has no attribute 'NoSuchClass'",
        ),
        ("pathlib:Path", "pathlib:Path is no dataclass"),
        ("json:dumps", "json:dumps is no dataclass"),
        (Path, "Path'> is no dataclass"),
    ],
)
def test_what_cannot_be_loaded_names_its_package(target: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Plugin("model", "m", "package", "1.2", target).load()


def test_an_unknown_name_suggests_one_of_the_same_kind() -> None:
    with pytest.raises(InputError, match=r"there is no model 'vaee'; did you mean 'vae'\?$"):
        find(registry(), "model", "vaee")
    with pytest.raises(InputError, match=r"there is no scorer 'vae'; known are .*elbo, kl"):
        find(registry(), "scorer", "vae")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("use: toy", "use: toi", "r.yaml:2:8: data.use: there is no reader 'toi'; did you mean 'toy'?"),
        ("use: toy", "use: toy, event: 5", "r.yaml:2:18: data.event: unknown option; did you mean 'events'?"),
        ("use: toy", "use: toy, events: 0", "r.yaml:2:18: data.events: found 0; expected greater than or equal to 1"),
        ("use: standardize", "use: standardise", "r.yaml:4:31: transforms.1.use: there is no transform 'standardise'"),
        ("hidden: [8]", "hidden: [8], latnt: 2", "r.yaml:5:40: model.latnt: unknown option; did you mean 'latent'?"),
        ("hidden: [8]", "hidden: [x]", 'r.yaml:5:36: model.hidden.0: found "x"; expected a valid integer'),
        ("reconstruction}", "reconstruction, samples: 3}", "r.yaml:6:32: scores.0.samples: unknown option; "),
        ("reconstruction}", "kl}", "r.yaml:6:10: scores.0: kl needs latent_log_variance; the model autoencoder gives "),
        ("[background]", "[bkg]", "r.yaml:3:14: background.0: there is no class 'bkg'; known are background, "),
        ("background: [background]\n", "", "r.yaml:1:1: background: is missing; say which of the classes"),
        ("use: missing", "use: drop, columns: [phi]", "r.yaml:4:14: transforms.0: column 'phi' is not there"),
        ("use: toy", "use: csv, path: nowhere.csv", "r.yaml:2:1: data: "),
    ],
)  # fmt: skip
def test_a_recipe_that_does_not_fit_is_refused_with_its_place(old: str, new: str, message: str) -> None:
    refused(message, RECIPE.replace(old, new))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("evaluate: {expected: {s: 1}}", "23: evaluate.expected.s: there is no such class; known are"),
        ("train: {per: njets}", "9: train.per: there is no column 'njets'; did you mean 'n_jets'?"),
        ("split: {column: n_jets, train: [2], test: [3]}", "9: split.column: 'n_jets' is a feature; the reader"),
        ("split: {column: evnt, train: [2], test: [3]}", "9: split.column: there is no column 'evnt'; did you mean"),
    ],
)  # fmt: skip
def test_a_name_that_the_data_do_not_have_is_refused(more: str, message: str) -> None:
    refused(f"r.yaml:7:{message}", RECIPE + more)


def test_everything_wrong_comes_at_once_in_the_order_of_the_file() -> None:
    text = """nme: all
data: {use: toy, evnts: 5}
background: [background]
transforms: [{use: mising}, {use: log, columns: 3}]
model: {use: autoencoder, latnt: 2}
train: {optimizer: {use: sgd, lrr: 1}}
split: {train: 0.9}
scores: [{use: elbo, sampels: 2}, {use: elbow}]
thresholds: [{rule: mean, value: 3}]
"""
    with pytest.raises(RecipeError) as error:
        build(parse(text, "r.yaml", ["train.epochs=x"]))
    assert [problem.split(": ")[not problem.startswith("--set")] for problem in error.value.problems] == [
        "--set train.epochs=x", "name", "nme", "data.evnts", "transforms.0.use", "transforms.1.columns", "model.latnt",
        "train.optimizer.lrr", "split", "scores.0.sampels", "scores.1.use", "thresholds.0.value",
    ]  # fmt: skip
    assert str(error.value).count("\n") == 11


def test_what_does_not_fit_comes_with_what_is_misspelt() -> None:
    text = RECIPE.replace("reconstruction}", "kl}").replace("[background]", "[bkg]") + "train: {per: njets, epocs: 3}\n"
    with pytest.raises(RecipeError) as error:
        build(parse(text.replace("use: missing", "use: drop, columns: [phi]"), "r.yaml"))
    assert [problem.split(": ")[1] for problem in error.value.problems] == ["transforms.0", "scores.0", "train.epocs"]
