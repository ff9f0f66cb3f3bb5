"""`hepanom plugins --check` looks at every package in a process of its own and says what must be mended."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from packaged import CONTRACT, HOOK, install

from hepanom.cli import hepanom
from hepanom.health import SLOW

CLASS = '''
from dataclasses import dataclass
from typing import Annotated
from pydantic import Field
@dataclass(frozen=True)
class Good:
    """Good."""
    width: Annotated[int, Field(description="width")] = 3
@dataclass
class Thawed:
    """Not frozen."""
@dataclass(frozen=True)
class Bare:
    """Without a word on its options."""
    width: int = 3
    name: str = ""
class Plain:
    """No dataclass."""
'''


def call(*arguments: object) -> Result:
    """Run the command line."""
    return CliRunner().invoke(hepanom, ["plugins", *map(str, arguments)])


def offering(kind: str, **targets: str) -> str:
    return f"{CONTRACT}@hookimpl\ndef {kind}s(): return {targets!r}\n"


def test_everything_that_is_wrong_with_packages_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"good": "Good", "thawed": "Thawed", "bare": "Bare", "plain": "Plain", "gone": "Gone"}
    offers = offering(
        "model", vae="first_classes:Good", **{key: f"first_classes:{name}" for key, name in names.items()}
    )
    first = install(tmp_path, monkeypatch, "first", f"print('hello')\n{offers}")
    (tmp_path / "first_classes.py").write_text(CLASS, encoding="utf-8")
    (tmp_path / "second_classes.py").write_text(f"import time; time.sleep(0.6)\n{CLASS}", encoding="utf-8")
    (tmp_path / "second_end.py").write_text("import os; os._exit(7)", encoding="utf-8")
    silent = f"{HOOK}def scorers(): return {{'slow': 'second_classes:Good', 'ends': 'second_end:Any'}}"
    install(tmp_path, monkeypatch, "second", silent)
    third = install(tmp_path, monkeypatch, "third", "import no_such_module")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file.py").write_text("def broken(:", encoding="utf-8")
    done = call("--check", "--json", "--plugins", tmp_path / "mine")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["status"] == "unhealthy"
    packages = {entry["package"]: entry for entry in found["packages"]}
    classes = tmp_path / "first_classes.py"
    assert packages["first"]["file"] == first
    assert not any("contract" in line for line in packages["first"]["advice"])
    ours = packages["hepanom"]
    taken = f"the name is taken: hepanom {ours['version']} ({ours['file']}) offers it too"
    assert [(offer["name"], offer["problems"]) for offer in packages["first"]["offers"]] == [
        ("vae", [taken]),
        ("good", []),
        ("thawed", ["is no frozen dataclass"]),
        ("bare", ["options without a description: width, name"]),
        ("plain", ["first_classes:Plain is no dataclass"]),
        ("gone", ["cannot be loaded: AttributeError: module 'first_classes' has no attribute 'Gone'"]),
    ]
    assert packages["first"]["problems"][1] == f"model 'thawed' ({classes}): is no frozen dataclass"
    slow, ends = packages["second"]["offers"]
    assert slow["seconds"] > SLOW
    assert ends["problems"] == ["its import ends the interpreter, with exit code 7"]
    assert packages["second"]["contract"] is None
    unsaid = "it does not say for which contract it was made, and is read as version 1; give it a hook contract() that"
    assert f"scorer 'slow' is slow to import: {slow['seconds']:.1f} s" in packages["second"]["advice"]
    assert packages["second"]["advice"][-1] == f"{unsaid} returns 1"
    assert packages["third"]["problems"] == [
        f"its import fails: ModuleNotFoundError: No module named 'no_such_module' ({third}, line 1)"
    ]
    assert ours["contract"] == 1
    assert ours["problems"][0].endswith(f": the name is taken: first 1.2 ({first}) offers it too")
    assert len(ours["problems"]) == 1, "our own plugins must be healthy"
    (local,) = (entry for entry in found["packages"] if entry["version"] == "local")
    assert "SyntaxError" in local["problems"][0]
    assert not {"first", "first_classes", "second", "second_classes"} & sys.modules.keys()


def test_the_check_of_one_package_lists_what_it_offers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "only_one", CLASS + offering("model", one="only_one:Good"))
    done = call("--check", "Only-One")
    assert done.exit_code == 0, done.output
    assert "only_one   1.2" in done.stdout
    assert "model   one" in done.stdout
    assert "1 package with plugins, none with something to mend" in done.stdout
    unknown = call("--check", "only_two")
    assert unknown.exit_code == 2
    assert "there is no package 'only_two' with plugins; did you mean 'only_one'?" in unknown.stderr


def test_a_library_of_an_extra_that_is_not_there_is_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = {"dry": "needs_dry:Any", "wet": "needs_wet:Any"}
    install(tmp_path, monkeypatch, "with_extra", offering("reader", **targets), requires='made-up>=2; extra == "dry"')
    told = "from hepanom.errors import InputError\ntry:\n    import made_up.part\nexcept ImportError as error:\n"
    (tmp_path / "needs_dry.py").write_text(f"{told}    raise InputError('pip install it') from error", encoding="utf-8")
    (tmp_path / "needs_wet.py").write_text("import made_down", encoding="utf-8")
    (found,) = json.loads(call("--check", "with_extra", "--json").stdout)["packages"]
    dry, wet = found["offers"]
    assert (dry["problems"], dry["lacks"]) == ([], "made_up")
    (problem,) = wet["problems"]
    assert problem.startswith("cannot be loaded: ModuleNotFoundError: No module named 'made_down'")
    assert found["advice"] == ["reader 'dry' needs made_up, of an extra that is not installed"]
