"""Made-up packages with plugins on the path, as pip would install them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HOOK = "from hepanom.hookspecs import hookimpl\n@hookimpl\n"
CONTRACT = f"{HOOK}def contract(): return 1\n"


def install(home: Path, monkeypatch: pytest.MonkeyPatch, package: str, source: str, requires: str = "") -> str:
    """Put a package of one module, which is its entry point too, on the path; return the file."""
    file, metadata = home / f"{package}.py", home / f"{package}-1.2.dist-info"
    metadata.mkdir()
    file.write_text(source, encoding="utf-8")
    lines = ["Metadata-Version: 2.1", f"Name: {package}", "Version: 1.2"]
    lines += [f"Requires-Dist: {requires}"] if requires else []
    (metadata / "METADATA").write_text("\n".join([*lines, ""]), encoding="utf-8")
    (metadata / "entry_points.txt").write_text(f"[hepanom]\n{package} = {package}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(home)
    monkeypatch.delitem(sys.modules, package, raising=False)
    return str(file)
