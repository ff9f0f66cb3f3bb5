"""A broken package breaks only what uses it, and says who, which version, in which file, and why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaged import CONTRACT, HOOK, install

from hepanom import hookspecs
from hepanom.document import parse
from hepanom.errors import InputError, RecipeError
from hepanom.offered import find, registry
from hepanom.plugins import build
from hepanom.recognize import recognize
from hepanom.reference import json_schema
from hepanom.show_plugins import plugin, plugin_list, plugin_list_text

BROKEN = [
    ("import no_such_module", "its import fails: ModuleNotFoundError: No module named 'no_such_module' (FILE, line 1)"),
    ("def broken(:", "its import fails: SyntaxError: invalid syntax (FILE, line 1)"),
    ("import sys; sys.exit(3)", "its import fails: SystemExit: 3 (FILE, line 1)"),
    (f"{HOOK}def reeders(): return {{}}", "unknown hook 'reeders'; did you mean 'readers'?"),
    (f"{HOOK}def readers(more): return {{}}", "its hook readers(more) does not fit; hooks take no arguments"),
    (f"{HOOK}def readers(): return None", "its hook readers fails: TypeError: 'NoneType' object is not iterable"),
    (
        f"{HOOK}def readers(): return {{'a': 1 / 0}}",
        "readers fails: ZeroDivisionError: division by zero (FILE, line 3)",
    ),
    (f"{HOOK}def readers(): return {{'a': 1}}", "its reader 'a' is 1; expected a name with a class, or with "),
    (f"{HOOK}def contract(): return '1'", "its hook contract gave '1'; expected a whole number such as 1"),
    (
        f"{HOOK}def contract(): return 2",
        "for version 2 of the plugin contract, this hepanom reads version 1; upgrade hepa",
    ),
    (
        f"{HOOK}def contract(): return 0",
        "for version 0 of the plugin contract, this hepanom reads version 1; upgrade this",
    ),
]
RECIPE = "name: r\ndata: {use: toy}\nbackground: [background]\nmodel: {use: MODEL}\nscores: [{use: reconstruction}]\n"


@pytest.mark.parametrize(("source", "problem"), BROKEN)
def test_a_broken_package_breaks_only_what_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, problem: str
) -> None:
    file = install(tmp_path, monkeypatch, "broken_package", source)
    known = registry()
    (lost,) = known.broken
    assert str(lost.package) == f"broken_package 1.2 ({file})"
    assert problem.replace("FILE", file) in lost.problem
    assert find(known, "model", "vae").package == "hepanom"
    assert f"broken_package 1.2 ({file}): {lost.problem}" in plugin_list_text(plugin_list(known), known)
    for ask in (lambda: find(known, "model", "mine"), lambda: plugin(known, "mine")):
        with pytest.raises(InputError) as error:
            ask()
        assert f"(a broken package may offer it: broken_package 1.2 ({file}): {lost.problem})" in str(error.value)


@pytest.mark.parametrize(("source", "problem"), BROKEN)
def test_a_broken_file_of_the_folder_that_a_recipe_asks_for_stops_it(tmp_path: Path, source: str, problem: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(source, encoding="utf-8")
    with pytest.raises(InputError) as error:
        registry(tmp_path)
    assert str(error.value).startswith(f"{file}: ")
    assert problem.replace("FILE", str(file)) in str(error.value)


def test_what_a_broken_package_would_offer_says_why_it_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offers = f"{HOOK}def models(): return {{'newer': 'newer:Model'}}\n{HOOK}def contract(): return 7"
    file = install(tmp_path, monkeypatch, "newer", offers)
    told = f"model 'newer' cannot be used; newer 1.2 ({file}): it was made for version 7 of the plugin contract"
    with pytest.raises(RecipeError) as error:
        build(parse(RECIPE.replace("MODEL", "newer"), "r.yaml"))
    assert str(error.value).startswith(f"r.yaml:4:9: model.use: {told}")
    with pytest.raises(InputError, match="model 'newer' cannot be used"):
        plugin(registry(), "newer")
    assert build(parse(RECIPE.replace("MODEL", "autoencoder"), "r.yaml"))


def test_the_range_of_contracts_that_are_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "older", f"{HOOK}def contract(): return 1")
    install(tmp_path, monkeypatch, "silent", f"{HOOK}def readers(): return {{}}")
    monkeypatch.setattr(hookspecs, "OLDEST", 2)
    monkeypatch.setattr(hookspecs, "VERSION", 4)
    problems = {lost.package.name: lost.problem for lost in registry().broken}
    told = "it was made for version 1 of the plugin contract, this hepanom reads versions 2 to 4; upgrade this package"
    assert problems == {"hepanom": told, "older": told, "silent": told}


def test_a_name_offered_twice_is_used_by_its_full_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorers = f"{CONTRACT}{HOOK}def scorers(): return {{'kl': 'hepanom_plugins.scorers.latent:KL'}}"
    install(tmp_path, monkeypatch, "other", scorers)
    known = registry()
    assert not known.broken
    with pytest.raises(InputError) as error:
        find(known, "scorer", "kl")
    ours = find(known, "scorer", "hepanom:kl")
    assert str(error.value) == (
        f"scorer 'kl' is offered twice: by hepanom {ours.version} and by other 1.2; say which: use: hepanom:kl or "
        "use: other:kl"
    )
    assert find(known, "scorer", "other:kl").package == "other"
    assert [entry["name"] for entry in plugin(known, "kl")] == ["hepanom:kl", "other:kl"]
    assert {"scorer.hepanom:kl", "scorer.other:kl"} <= json_schema(known)["$defs"].keys()
    (tmp_path / "other-1.2.dist-info" / "entry_points.txt").write_text("", encoding="utf-8")
    assert find(registry(), "scorer", "hepanom:kl").name == "kl"


def test_a_recipe_scores_by_a_full_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorers = f"{CONTRACT}{HOOK}def scorers(): return {{'kl': 'hepanom_plugins.scorers.latent:KL'}}"
    install(tmp_path, monkeypatch, "other", scorers)
    parts = build(parse(RECIPE.replace("MODEL", "vae").replace("reconstruction", "other:kl"), "r.yaml"))
    assert list(parts.scorers) == ["kl"]
    assert parts.versions["other"] == "1.2"


def test_a_reader_that_fails_to_say_what_it_reads_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = '''
from dataclasses import dataclass
@dataclass(frozen=True)
class Reader:
    """Read nothing."""
    @classmethod
    def reads(cls, file): return file.no_such_attribute
'''
    file = install(tmp_path, monkeypatch, "curious", f"{reader}{HOOK}def readers(): return {{'curious': Reader}}")
    table = tmp_path / "events.csv"
    table.write_text("a,b\n1,2\n", encoding="utf-8")
    assert recognize([str(table)]).name == "csv"
    (tmp_path / "events.unknown").touch()
    with pytest.raises(InputError) as error:
        recognize([str(tmp_path / "events.unknown")])
    assert f"reader 'curious' of curious 1.2 ({file}) fails to say whether it reads it: AttributeError" in str(
        error.value
    )


def test_fifty_packages_cost_their_hooks_alone_and_help_not_even_those(tmp_path: Path) -> None:
    for number in range(50):
        package, metadata = tmp_path / f"many_{number}", tmp_path / f"many_{number}-1.0.dist-info"
        package.mkdir()
        metadata.mkdir()
        offers = f"{CONTRACT}@hookimpl\ndef models(): return {{'m{number}': 'many_{number}.model:M'}}\n"
        (package / "hooks.py").write_text(offers, encoding="utf-8")
        (package / "model.py").write_text('import torch\nclass M:\n    """A model."""\n', encoding="utf-8")
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: many-{number}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[hepanom]\nmany_{number} = many_{number}.hooks\n")
    question = (
        "import sys; from hepanom.cli import hepanom; hepanom(sys.argv[1:], standalone_mode=False); "
        "print(sorted(name for name in sys.modules if name.startswith('many_')), file=sys.stderr); "
        "print(sorted({'torch', 'scipy', 'polars', 'pydantic', 'mlflow'} & sys.modules.keys()), file=sys.stderr)"
    )

    def imported(*command: str) -> tuple[str, list[str]]:
        line = [sys.executable, "-c", question, *command]
        done = subprocess.run(
            line, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True
        )
        return done.stdout, done.stderr.splitlines()

    shown, listed = imported("plugins")
    hooks = sorted(name for number in range(50) for name in (f"many_{number}", f"many_{number}.hooks"))
    assert shown.count("A model") == 50
    assert listed == [str(hooks), "[]"]
    assert imported("--help")[1] == ["[]", "[]"]
