"""The notebooks: run in order by `python docs/notebooks.py`, which writes their outputs, and shown on the site.

What a cell prints, what its last line is worth, and the figures that it leaves open become its outputs, as in Jupyter,
so that neither a kernel nor a converter is needed.
"""

from __future__ import annotations

import ast
import base64
import io
import json
import os
import tempfile
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "notebooks"
Notebook = dict[str, Any]


def run(notebook: Notebook) -> Notebook:
    """Return the notebook with the outputs of its cells, run in one namespace in the current folder."""
    names: dict[str, Any] = {"__name__": "__main__"}
    cells, count = [], 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            outputs = _outputs("".join(cell["source"]), names, count)
            cells.append({**cell, "execution_count": count, "outputs": outputs})
        else:
            cells.append(cell)
    return {**notebook, "cells": cells}


def _outputs(source: str, names: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Run a cell; return what it printed, what its last line is worth, and its figures."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, worth = io.StringIO(), None
    with redirect_stdout(printed):
        exec(compile(tree, f"cell {count}", "exec"), names)
        if isinstance(last, ast.Expr):
            worth = eval(compile(ast.Expression(last.value), f"cell {count}", "eval"), names)
    found: list[dict[str, Any]] = []
    if printed.getvalue():
        found.append({"output_type": "stream", "name": "stdout", "text": printed.getvalue().splitlines(keepends=True)})
    if worth is not None:
        data = {"text/plain": repr(worth).splitlines(keepends=True)}
        if hasattr(worth, "_repr_html_") and (page := worth._repr_html_()):
            data["text/html"] = page.splitlines(keepends=True)
        found.append({"output_type": "execute_result", "execution_count": count, "data": data, "metadata": {}})
    return found + [{"output_type": "display_data", "data": each, "metadata": {}} for each in _figures()]


def _figures() -> list[dict[str, str]]:
    from matplotlib import pyplot as plt

    found = []
    for number in plt.get_fignums():
        image = io.BytesIO()
        plt.figure(number).savefig(image, format="png", dpi=90, bbox_inches="tight", metadata={"Software": None})
        found.append({"image/png": base64.b64encode(image.getvalue()).decode()})
    plt.close("all")
    return found


def page(notebook: Notebook) -> str:
    """Return the notebook as Markdown, for the site."""
    pieces = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        pieces.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        pieces += [_shown(output) for output in cell.get("outputs", [])]
    return "\n\n".join(pieces) + "\n"


def _shown(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return f"```text\n{''.join(output['text'])}```"
    data = output["data"]
    if "image/png" in data:
        return f'<img alt="figure of the cell above" src="data:image/png;base64,{data["image/png"]}">'
    if "text/html" in data:
        return f"<div>{''.join(data['text/html'])}</div>"
    return f"```text\n{''.join(data['text/plain'])}\n```"


def on_files(files: Any, config: Any) -> Any:
    """Add a page for each notebook; mkdocs calls this."""
    from mkdocs.structure.files import File

    for path in sorted(FOLDER.glob("*.ipynb")):
        content = page(json.loads(path.read_text(encoding="utf-8")))
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=content))
    return files


def main() -> None:
    """Run every notebook in an empty folder, and write it with its outputs."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    for path in sorted(FOLDER.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            found = run(json.loads(path.read_text(encoding="utf-8")))
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
