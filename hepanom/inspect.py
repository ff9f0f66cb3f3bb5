"""Inspect: files to a reader, its events to an overview, the overview to tables, a figure and a first recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hepanom import overview_page
from hepanom.canvas import style
from hepanom.errors import InputError
from hepanom.files import written
from hepanom.overview import Overview, survey
from hepanom.overview_figure import draw
from hepanom.recognize import recognize
from hepanom.run import Watcher
from hepanom.starter import named_after, starter

FORMATS = (".png", ".pdf", ".svg")


def inspect(
    files: Sequence[str],
    *,
    use: str | None = None,
    overrides: Sequence[str] = (),
    events: int | None = None,
    figure: Path | None = None,
    recipe: Path | None = None,
    folder: str | None = None,
    watcher: Watcher | None = None,
) -> tuple[dict[str, Any], Callable[[Any], str]]:
    """Look at the events of files once; return what ``--json`` prints, and the text for a person.

    Raises InputError, before any event is read, for a ``figure`` of another format and a ``recipe`` that exists.
    """
    watcher = watcher or Watcher()
    if figure is not None and figure.suffix not in FORMATS:
        raise InputError(f"--figure {figure}: expected a name that ends in {', '.join(FORMATS)}")
    if recipe is not None and recipe.exists():
        raise InputError(f"--recipe {recipe}: the file exists and is not overwritten; choose another name")
    plugins = Path(folder).resolve() if folder else None
    found = recognize(files, use, overrides, plugins)
    watcher.stage("reading")
    overview = survey(found.reader, events, watcher.events)
    if recipe is not None:
        takes = [name for name in ("features", "missing") if isinstance(getattr(found.reader, name, None), tuple)]
        text = starter(overview, found.data, named_after(overview.files[0]), plugins, takes)
        with written(recipe) as temporary:
            temporary.write_text(text, encoding="utf-8")
    if figure is not None:
        watcher.stage("drawing")
        _save(overview, figure)
    new = {key: str(path) for key, path in (("figure", figure), ("recipe", recipe)) if path}
    return overview_page.plain(overview, found.name) | new, lambda _: overview_page.text(overview, found.name, new)


def _save(overview: Overview, path: Path) -> None:
    with style(), written(path) as temporary:
        draw(overview).savefig(temporary, format=path.suffix[1:])
