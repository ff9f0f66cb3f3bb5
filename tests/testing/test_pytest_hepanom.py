"""Under pytest: three lines test a plugin, options test all of a package, and what is broken is told in a sentence."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hepanom.offered import Registry
from hepanom.packages import Opened, Package
from hepanom.testing import unwritten
from hepanom.testing.case import offered

pytest_plugins = ["pytester"]

LIARS = Path(__file__).parent / "liars"
THREE_LINES = """from hepanom.testing import Case, conformance

test_contract = conformance(Case("reader", NAME, plugins=LIARS))
"""
ALONE = "parts are readable alone and in any order"


def three_lines(name: str) -> str:
    return THREE_LINES.replace("NAME", repr(name)).replace("LIARS", repr(str(LIARS)))


@pytest.fixture(autouse=True, scope="module")
def liars() -> None:
    """Import the liars before a test of pytest within pytest does, which would take their modules away at its end."""
    for plugin in offered(LIARS).values():
        if plugin.version == "local":
            plugin.load()


@pytest.fixture
def tiny_package(monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> None:
    """Let the plugins of a small package be all that is installed, and its folder the one that pytest runs in."""
    names = (("reader", "pulses"), ("transform", "centre"), ("reader", "labelled"), ("reader", "wanting"))
    plugins = [replace(offered(LIARS)[name], package="Tiny.Package", version="0.1") for name in names]
    broken = Opened(Package("lost", "2", "lost.hooks"), problem="its import fails")
    registry = Registry({(each.kind, each.name): each for each in plugins}, (broken,))
    for module in ("hepanom.testing.case", "hepanom.testing.unwritten"):
        monkeypatch.setattr(f"{module}.offered", lambda folder: registry if folder is None else offered(folder))
    pytester.makepyprojecttoml('[project]\nname = "tiny_package"\n')


def test_three_lines_test_every_promise(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(three_lines("pulses"))
    result = pytester.runpytest_inprocess("-v")
    result.assert_outcomes(passed=7)
    result.stdout.fnmatch_lines([f"*::test_contract[[]reader-pulses-{ALONE}[]] PASSED*"])


def test_a_broken_promise_is_told_in_a_sentence(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(three_lines("forgetful"))
    result = pytester.runpytest_inprocess("-k", "alone")
    result.assert_outcomes(failed=1)
    told = [line for line in result.outlines if line.startswith("the reader")]
    assert len(told) == 1
    assert told[0].startswith(
        f"the reader 'forgetful' ({LIARS / 'readers.py'}): promised that {ALONE} (docs/contracts.md"
    )
    start = next(number for number, line in enumerate(result.outlines) if "= FAILURES =" in line)
    end = next(number for number, line in enumerate(result.outlines) if "short test summary" in line)
    assert end - start == 3, "its title and the sentence"
    assert pytester.runpytest_inprocess("-k", "alone", "--tb=long").stdout.str().count("\n") > 30


def test_summaries_begin_with_what_was_found(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    pytester.makepyfile(three_lines("labelled"))
    result = pytester.runpytest_inprocess("-k", "schema")
    result.stdout.fnmatch_lines(["FAILED *its schema is true to the events] - found: labels from 2 to 3, where the*"])


@pytest.mark.usefixtures("tiny_package")
def test_the_plugins_of_the_package_in_the_folder_are_tested_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        'from hepanom.testing import Case, conformance\ntest_own = conformance(Case("reader", "pulses"))'
    )
    result = pytester.runpytest_inprocess("-v", "--hepanom")
    result.assert_outcomes(passed=7 + 11 + 6, failed=1 + 1)
    result.stdout.fnmatch_lines(["hepanom::transform-centre-*PASSED*", "hepanom::reader-labelled-*FAILED*"])
    result.stdout.no_fnmatch_line("hepanom::reader-pulses*")
    (sentence,) = [line for line in result.outlines if line.startswith("the reader 'wanting'")]
    assert sentence.endswith("found: its case: data.path: is missing; give its Case the options that it wants")


@pytest.mark.usefixtures("tiny_package")
def test_plugins_are_tested_by_name(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--hepanom-plugin", "reader:pulses")
    result.assert_outcomes(passed=7)


@pytest.mark.usefixtures("tiny_package")
@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("readr:pulses", "expected KIND:NAME, where KIND is reader, transform, model, scorer"),
        ("reader:pulse", "there is no reader 'pulse'; did you mean 'pulses'?"),
    ],
)
def test_a_plugin_that_is_not_there_is_told(pytester: pytest.Pytester, wanted: str, said: str) -> None:
    result = pytester.runpytest_inprocess("--hepanom-plugin", wanted)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert said in result.stderr.str()


@pytest.mark.usefixtures("tiny_package")
@pytest.mark.parametrize(
    ("pyproject", "said"),
    [
        ("[tool]", "pyproject.toml does not name a package"),
        ('[project]\nname = "other"', "--hepanom: other offers no plugins; is it installed here"),
        ('[project]\nname = "lost"', "lost 2 (lost.hooks): its import fails"),
    ],
)
def test_a_folder_whose_plugins_cannot_be_told_is_refused(pytester: pytest.Pytester, pyproject: str, said: str) -> None:
    (pytester.path / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    result = pytester.runpytest_inprocess("--hepanom")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert said in result.stderr.str()


def test_a_plugin_is_tried_with_the_events_that_it_takes() -> None:
    assert unwritten.named("transform:normalize_points").on == "points"
    assert unwritten.named("transform:standardize").on == "table"


def test_the_plugin_imports_nothing_of_hepanom_until_it_is_asked() -> None:
    question = "import sys, pytest_hepanom; print(sorted({'hepanom', 'numpy', 'torch'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=False)
    assert (answer.stdout.strip(), answer.stderr) == ("[]", "")
