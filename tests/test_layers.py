"""Imports point down only, plugins stay behind their door, and what is slow to import waits until it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(path for folder in ("hepanom", "plugins") for path in (ROOT / folder).rglob("*.py"))

# From the bottom up: a module imports from lower layers only, never from its neighbours.
LAYERS = (
    {"errors", "notebook"},
    {"events", "metrics", "files", "document", "address", "team", "efficiency", "machine", "hookspecs", "blame"},
    {"cache", "download", "matching"},
    {"bootstrap", "drift", "contracts", "options", "pinball", "packages", "sample", "terminal"},
    {"conditional", "provenance", "returned", "from_arrays", "offered"},
    {"catalogue", "published", "kept_schema", "words"},
    {"fetch", "completion"},
    {"show_fetch", "progress_bytes"},
    {"thresholds", "flatness"},
    {"optimizers", "space", "reference_sample", "evolution", "origin"},
    {"draws"},
    {"evaluate", "recipe"},
    {"trials", "journal", "probe", "stop", "learnt", "plane", "against"},
    {"result"},
    {"facts", "monitored", "search_axes", "search_correlation", "canvas"},
    {"page"},
    {
        "curves",
        "conditional_figure",
        "histograms",
        "images",
        "losses",
        "against_figure",
        "objects_figure",
        "ranked_figure",
        "monitor_figures",
        "panels",
        "search_goal",
        "strips",
        "clouds",
    },
    {"figures", "tables", "search_curves", "search_slices", "search_parallel"},
    {
        "friends",
        "report",
        "search_figures",
        "search_tables",
        "track",
        "stream",
        "workspace",
        "consistency",
        "goals",
    },
    {"plugins", "new", "study", "ledger", "source", "summary", "search_page", "archive", "series", "unsent"},
    {"overview", "recognize", "recorded", "reference", "health"},
    {"overview_figure", "starter"},
    {"train", "shares", "prepared"},
    {"detector", "checkpoint", "stack"},
    {"other_files"},
    {"preparation", "output", "insight", "cutting", "decisions"},
    {"fit", "gallery", "displays", "monitor", "sampling", "sculpting"},
    {"assess", "storage", "show_thresholds"},
    {"objective", "cluster", "recut", "served"},
    {"attempts", "pyfunc", "registry_model"},
    {"run"},
    {"search", "fleet"},
    {"show", "progress"},
    {"show_search", "interface"},
    {"overview_page", "monitor_page", "estimator"},
    {"inspect", "show_plugins", "show_health"},
    {"paired"},
    {"compare"},
    {"compare_figures", "entrants"},
    {"show_compare"},
    {"compare_page", "show_runs"},
    {"command"},
    {"cli_compare", "cli_fetch", "cli_monitor", "cli_new", "cli_threshold"},
    {"cli"},
    {"__init__", "__main__"},
    {"testing"},
    {"templates"},
)
PLUGINS_MAY_IMPORT = {"events", "contracts", "hookspecs", "errors"}
ONLY_IN = {
    "mlflow": {"track", "archive", "ledger", "registry_model", "pyfunc"},
    "optuna": {"study", "journal"},
    "distributed": {"cluster"},
}
SLOW = {"torch", "mlflow", "optuna", "matplotlib", "polars"}
WAITS = {
    "mlflow": {"track", "pyfunc"},
    "optuna": {"study", "journal"},
    "matplotlib": {"report"},
}  # imported in functions, but for their own file

HEIGHT = {module: height for height, layer in enumerate(LAYERS) for module in layer}


@dataclass(frozen=True)
class Import:
    """One imported name with its line; ``when`` says: with the module, in a call, or for type checkers only."""

    name: str
    line: int
    when: Literal["module", "call", "typing"]


def imports(source: str, package: str) -> Iterator[Import]:
    """Yield every import of a source file, the relative ones made absolute from ``package``."""
    yield from _imports(ast.parse(source), package, "module")


def _imports(node: ast.AST, package: str, when: Literal["module", "call", "typing"]) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, when) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - child.level + 1] if child.level else []
            module = ".".join([*base, *([child.module] if child.module else [])])
            yield from (Import(f"{module}.{alias.name}", child.lineno, when) for alias in child.names)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _imports(child, package, "call")
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from _imports(child, package, "typing")
        else:
            yield from _imports(child, package, when)


def violations(path: str, source: str) -> list[str]:
    """Return what the imports of ``path`` (relative to the project) do that they must not."""
    parts = Path(path).with_suffix("").parts
    parts = parts[1:] if parts[0] == "plugins" else parts
    package, module = ".".join(parts[:-1]), parts[:2][-1]  # a package within ours is one module to the others
    found = []
    for entry in imports(source, package):
        name = entry.name.split(".")
        house = _plugin(name) if parts[0] == "hepanom_plugins" else _core(module, name)
        reasons = [*house, *_slow(parts, entry)]
        found += [f"{path}:{entry.line}: {entry.name}: {reason}" for reason in reasons]
    if parts[0] == "hepanom" and module not in HEIGHT:
        found.append(f"{path}: {module} has no layer yet; LAYERS in {Path(__file__).name} is the place")
    return found


def _core(module: str, name: list[str]) -> Iterator[str]:
    if name[0] == "hepanom_plugins":
        yield "the core knows plugins by their entry point only"
    if name[0] != "hepanom" or module not in HEIGHT:
        return
    target = name[1] if len(name) > 1 else ""
    if target not in HEIGHT:
        yield "inside the house, import from the module that defines it"
    elif HEIGHT[target] > HEIGHT[module]:
        yield f"{module} is below {target}"
    elif HEIGHT[target] == HEIGHT[module] and target != module:
        yield f"{module} and {target} are neighbours"


def _plugin(name: list[str]) -> Iterator[str]:
    if name[0] == "hepanom" and (len(name) == 1 or name[1] not in PLUGINS_MAY_IMPORT):
        yield f"a plugin imports only {', '.join(sorted(PLUGINS_MAY_IMPORT))} of the core"


def _slow(parts: tuple[str, ...], entry: Import) -> Iterator[str]:
    top = entry.name.split(".")[0]
    owns = parts[0] == "hepanom" and parts[-1] in WAITS.get(top, set()) | ONLY_IN.get(top, set())
    if top in ONLY_IN and not owns:
        yield f"only {', '.join(sorted(f'{name}.py' for name in ONLY_IN[top]))} may import it"
    if entry.when == "module" and top in WAITS and not owns:
        yield "slow to import: import it in the function that needs it"
    if entry.when == "module" and top in SLOW - set(WAITS) and parts in {("hepanom", "cli"), ("hepanom", "__init__")}:
        yield "slow to import: hepanom --help would wait for it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down_only(path: Path) -> None:
    assert violations(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "source", "reason"),
    [
        ("hepanom/events.py", "from hepanom.train import fit", "events is below train"),
        ("hepanom/events.py", "from .train import fit", "events is below train"),
        ("hepanom/events.py", "def late():\n    import hepanom.cli", "events is below cli"),
        ("hepanom/contracts.py", "if TYPE_CHECKING:\n    from hepanom import run", "contracts is below run"),
        ("hepanom/thresholds.py", "from hepanom.evaluate import auc", "thresholds is below evaluate"),
        ("hepanom/source.py", "from hepanom import plugins", "neighbours"),
        ("hepanom/run.py", "from hepanom import Events", "import from the module that defines it"),
        ("hepanom/run.py", "import hepanom_plugins.models.vae", "entry point only"),
        ("hepanom/run.py", "def late():\n    from hepanom_plugins import models", "entry point only"),
        ("hepanom/run.py", "def late():\n    import mlflow", "track.py may import it"),
        ("hepanom/run.py", "from matplotlib import pyplot", "in the function that needs it"),
        ("hepanom/detector.py", "def late():\n    import optuna", "study.py may import it"),
        ("hepanom/cli.py", "try:\n    import torch.nn\nexcept ImportError:\n    pass", "--help would wait"),
        ("hepanom/__init__.py", "import polars as pl", "--help would wait"),
        ("hepanom/newcomer.py", "import math", "has no layer yet"),
        ("hepanom/newcomers/first.py", "import math", "has no layer yet"),
        ("hepanom/run.py", "from hepanom.testing import check", "run is below testing"),
        ("plugins/hepanom_plugins/models/vae.py", "from hepanom.train import fit", "a plugin imports only"),
        ("plugins/hepanom_plugins/models/vae.py", "import hepanom", "a plugin imports only"),
        ("plugins/hepanom_plugins/models/vae.py", "def late():\n    import mlflow", "track.py may import it"),
        ("plugins/hepanom_plugins/models/track.py", "import mlflow", "track.py may import it"),
        ("plugins/hepanom_plugins/models/report.py", "import matplotlib", "in the function that needs it"),
    ],
)
def test_a_forbidden_import_is_found(path: str, source: str, reason: str) -> None:
    assert any(reason in found for found in violations(path, source))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("hepanom/cli.py", "import click\ndef run():\n    from hepanom.run import run\n    import torch"),
        ("hepanom/cli.py", "if TYPE_CHECKING:\n    import torch"),
        ("hepanom/evaluate.py", "from hepanom.thresholds import Threshold\nfrom hepanom import metrics"),
        ("hepanom/track.py", "import mlflow"),
        ("hepanom/testing/scores.py", "from hepanom.testing.case import Case\nfrom hepanom.plugins import find"),
        ("hepanom/report.py", "import matplotlib.pyplot as plt"),
        (
            "plugins/hepanom_plugins/models/vae.py",
            "import torch\nfrom .layers import mlp\nfrom hepanom.events import Schema",
        ),
    ],
)
def test_an_allowed_import_is_left_alone(path: str, source: str) -> None:
    assert violations(path, source) == []


@pytest.mark.parametrize("module", ["hepanom", "hepanom.cli"])
def test_importing_the_command_line_imports_nothing_slow(module: str) -> None:
    question = f"import sys, {module}; print(sorted({SLOW!r} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=False)
    assert (answer.stdout.strip(), answer.stderr) == ("[]", "")
