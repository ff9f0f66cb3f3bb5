"""The catalogue of data sets, and the command that lists and fetches them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from faulty import DATA, jets, served

from hepanom import catalogue, document, plugins, published
from hepanom.catalogue import DATA_SETS, DataSet, data_set
from hepanom.cli import hepanom
from hepanom.errors import InputError

pytestmark = pytest.mark.usefixtures("alone")


def call(*arguments: str) -> Result:
    return CliRunner().invoke(hepanom, ["fetch", *arguments])


def test_a_name_that_is_not_known_brings_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no data set 'higgs' .*zenodo:NUMBER.*did you mean 'higgsml'"):
        data_set("higgs")


@pytest.mark.parametrize("entry", DATA_SETS, ids=lambda entry: entry.name)
def test_every_data_set_has_a_line_for_a_recipe_and_a_published_checksum(entry: DataSet) -> None:
    reader, _, options = entry.data.partition(", ")
    text = f"data: {{{reader}, path: file{', ' + options if options else ''}}}"
    shown = document.parse(text, "recipe.yaml")
    node = shown.plain["data"]
    _, _, mistakes = plugins.build_one(plugins.registry(), "reader", ("data",), node, shown)
    assert mistakes == []
    assert bool(entry.files) != bool(entry.wanted)
    for file in entry.files:
        assert published.CHECKSUM.fullmatch(file.checksum)
    assert entry.files == () or (entry.licence and entry.citation)


def test_the_command_lists_the_data_sets(tmp_path: Path) -> None:
    shown = call("--to", str(tmp_path)).stdout
    for entry in DATA_SETS:
        assert f"{entry.name}: {entry.about}" in shown
        assert str(tmp_path / entry.name) in shown
    assert "65.6 MB" in shown
    assert json.loads(call("--json").stdout)[0]["fetched"] is False


def test_the_command_says_licence_citation_and_the_line_of_a_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served({"/jets.h5": DATA}) as server:
        entry = replace(jets(server), data="use: hdf5, label: label")
        monkeypatch.setattr(catalogue, "KNOWN", {"jets": entry})
        told = call("jets", "--to", str(tmp_path))
        assert (told.exit_code, told.exception) == (0, None)
        assert "10.2 kB, md5:" in told.stdout
        assert "licence: CC0\ncite:    M. Curie\n" in told.stdout
        assert f'data: {{use: hdf5, path: "{tmp_path}/jets/jets.h5", label: label}}' in told.stdout
        assert f"export HEPANOM_DATA={tmp_path}" in told.stdout
        monkeypatch.setenv("HEPANOM_DATA", str(tmp_path))
        told = call("jets")
        assert 'path: "${HEPANOM_DATA}/jets/jets.h5"' in told.stdout
        assert "export" not in told.stdout
        assert "was there" in told.stdout
    assert json.loads(call("jets", "--json").stdout)["files"][0]["new"] is False


def test_the_command_fails_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served({}) as server:
        monkeypatch.setattr(catalogue, "KNOWN", {"jets": jets(server)})
        told = call("jets", "--to", str(tmp_path), "--quiet")
    assert told.exit_code == 1
    assert told.stderr.count("\n") == 1
    assert "404" in told.stderr
