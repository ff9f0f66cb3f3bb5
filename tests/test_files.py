"""What must not be in any file of the project: length without a reason, paths of one machine, pickle, print."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = sorted((ROOT / "hepanom").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
SOURCES = [
    *CORE,
    *PLUGINS,
    *sorted(path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")),
]
TEXTS = sorted(
    {
        *SOURCES,
        *(path for path in ROOT.iterdir() if path.suffix in {".toml", ".txt", ".md", ".cff", ".yml", ".yaml"}),
        *(path for folder in ("docs", "recipes") for path in (ROOT / folder).rglob("*.[my]*")),
        *(path for folder in (".ci", ".github") for path in (ROOT / folder).rglob("*") if path.is_file()),
        ROOT / "Makefile",
    }
)

LONGEST = 300
LONGER: dict[str, str] = {  # path -> why a reader should accept more than 300 lines
    "hepanom/contracts.py": "what the four kinds of plugins promise, on one page for those who write them",
    "tests/test_metrics.py": "every metric against scikit-learn, by hand and at the same edges",
    "tests/test_report.py": "one made-up result feeds every figure and the page",
    "tests/test_track.py": "one store, which takes seconds to make, serves every promise",
}

PICKLING = {"tests/plugins/readers/test_datasets.py": "imitates what pandas pickles, to show that it is never run"}

MACHINE_PATH = re.compile(
    r"(?<![\w.\-}])/(?:home|Users|root|work|opt|mnt|media|scratch|afs|eos|cvmfs)/\w|[A-Z]:\\Users"
)
PICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
PICKLING_CALLS = {"torch.load", "torch.save"}
NAMELESS = re.compile(r"(util|utils|helper|helpers|common|misc|manager|managers)\.py")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def machine_paths(text: str) -> list[str]:
    """Return the lines that hold a path of one machine."""
    return [line for line in text.splitlines() if MACHINE_PATH.search(line)]


def pickles(source: str) -> Iterator[str]:
    """Yield what can run code when a file is loaded: pickle and what is built on it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (
                f"line {node.lineno}: {alias.name}" for alias in node.names if alias.name.split(".")[0] in PICKLES
            )
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in PICKLES:
                yield f"line {node.lineno}: {node.module}"
            yield from (
                f"line {node.lineno}: {node.module}.{alias.name}"
                for alias in node.names
                if f"{node.module}.{alias.name}" in PICKLING_CALLS
            )
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in PICKLING_CALLS:
            yield f"line {node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield f"line {node.value.lineno}: allow_pickle"


def prints(source: str) -> Iterator[str]:
    """Yield the calls of print."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_file_is_one_idea(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST or LONGER.get(name(path)), f"{lines} lines: split it, or give LONGER a reason"
    assert not NAMELESS.fullmatch(path.name), "name the file after what is in it"


def test_every_reason_for_a_long_file_is_needed() -> None:
    lines = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert [path for path in LONGER if lines.get(path, 0) <= LONGEST] == []


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_no_file_knows_one_machine(path: Path) -> None:
    assert machine_paths(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", [path for path in SOURCES if name(path) not in PICKLING], ids=name)
def test_nothing_is_pickled(path: Path) -> None:
    assert list(pickles(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", [path for path in [*CORE, *PLUGINS] if path != ROOT / "hepanom" / "cli.py"], ids=name)
def test_only_the_command_line_prints(path: Path) -> None:
    assert list(prints(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "text", ["path = '/home" + "/ada/events.root'", "see C:" + "\\Users\\ada", "cd /opt" + "/data"]
)
def test_a_machine_path_is_found(text: str) -> None:
    assert machine_paths(text)


@pytest.mark.parametrize(
    "text", ["${HEPANOM_DATA}/higgsml/*.csv.gz", "sqlite:///mlruns/mlflow.db", "../shared/data", "sub/home/x"]
)
def test_a_path_that_works_anywhere_is_left_alone(text: str) -> None:
    assert machine_paths(text) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "from torch import load",
        "import torch\ndef read(path):\n    return torch.load(path)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
    ],
)
def test_a_pickle_is_found(source: str) -> None:
    assert list(pickles(source))


def test_a_print_is_found() -> None:
    assert list(prints("def show(x):\n    print(x)"))
    assert list(prints("logger.info('print')\nconsole.print(1)")) == []
