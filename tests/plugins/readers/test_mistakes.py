"""Mistakes in a reader's expressions and lists of columns: all at once, each at its own place in the recipe."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from offered import write_row_groups, write_trees

from hepanom import document, plugins
from hepanom.errors import OptionError, RecipeError
from hepanom_plugins.readers import mistakes
from hepanom_plugins.readers.parquet import Parquet
from hepanom_plugins.readers.root import Root

KNOWN = {"met": "number", "jet_pt": "numbers", "name": "text", "odd": "other"}
RECIPE = """
name: wrong
data:
  use: root
  files:
    background:
      path: "PATH"
      weight: "wieght"
  features:
    - met
    - mett
  derive:
    ht: "sum(jet_pt"
    late: "early + 1"
    early: "met"
  cut: "jet_pt > 1"
  points: {jets: "met"}
  keep: [nowhere]
background: [background]
model: {use: autoencoder, hiden: [8]}
scores: [{use: reconstruction}]
"""


def told(expression: str, **before: str) -> list[str]:
    """Return what is wrong with a cut after some derived columns."""
    stated: Any = [(("derive", name), text) for name, text in before.items()]
    found = mistakes.in_expressions([*stated, (("cut",), expression)], KNOWN, "branch")
    return [f"{'.'.join(map(str, place))}: {text}" for place, text in found]


def test_every_mistake_of_a_recipe_stands_at_its_own_line(tmp_path: Path) -> None:
    text = RECIPE.replace("PATH", str(write_trees(tmp_path)))
    with pytest.raises(RecipeError) as caught:
        plugins.build(document.parse(text, "r.yaml"))
    lines = text.splitlines()
    where = [re.match(r"r\.yaml:(\d+):\d+: ([\w.]+): ", problem) for problem in caught.value.problems]
    found = [(lines[int(place[1]) - 1].strip(), place[2]) for place in where if place]
    assert found == [
        ('weight: "wieght"', "data.files.background.weight"),
        ("- mett", "data.features.1"),
        ('ht: "sum(jet_pt"', "data.derive.ht"),
        ('late: "early + 1"', "data.derive.late"),
        ('cut: "jet_pt > 1"', "data.cut"),
        ('points: {jets: "met"}', "data.points.jets"),
        ("keep: [nowhere]", "data.keep.0"),
        ("model: {use: autoencoder, hiden: [8]}", "model.hiden"),
    ]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("met >", "cut: expression 'met >', character 6: expected a number, a column or a function"),
        ("mett > 1", "cut: 'mett > 1': there is no branch 'mett'; did you mean 'met'"),
        ("jet_pt > 1", "cut: expression 'jet_pt > 1' has several values per event; choose one by"),
        ("sum(met) > 1", "cut: expression 'sum(met) > 1': its columns cannot be combined: sum needs a column"),
        ("odd > 1", "cut: 'odd > 1': the branch 'odd' holds what no expression can use"),
    ],
)
def test_a_wrong_expression_is_told_without_events(expression: str, message: str) -> None:
    (found,) = told(expression)
    assert found.startswith(message)


def test_a_sound_expression_is_no_mistake() -> None:
    assert told("met > 1 & sum(jet_pt) > 2 & name == 'a' & jet_pt[3] > 1 & double > 1", double="2 * met") == []


def test_a_derived_column_is_known_only_after_it_was_derived() -> None:
    assert told("a > 1", a="b + 1", b="met") == ["derive.a: 'b + 1': 'b' is derived only after it; put it before"]
    assert told("met > 1", met="met + 1") == []


@pytest.mark.parametrize(("write", "reader"), [(write_trees, Root), (write_row_groups, Parquet)])
def test_all_mistakes_of_a_file_come_in_one_error_that_names_it(tmp_path: Path, write: Any, reader: Any) -> None:
    with pytest.raises(OptionError) as caught:
        reader(path=write(tmp_path), cut="a > 1", leading={"b": 1}, features=("c",), label="d").schema()
    assert [place for place, _ in caught.value.mistakes if place != ("label",)] == [
        ("features", 0),
        ("cut",),
        ("leading", "b"),
    ]
    assert all(line.startswith(str(tmp_path)) for line in str(caught.value).splitlines())


def test_the_error_crosses_processes() -> None:
    error = OptionError([(("derive", "ht"), "wrong")], "a.root")
    again = copy.copy(error)  # by what crosses
    assert (str(again), again.mistakes) == (str(error), error.mistakes) == ("a.root: derive.ht: wrong", again.mistakes)
