"""How values show themselves in a notebook: short tables as HTML, in the look of the reports, all texts escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

MOST = 30  # rows of a table
LEFT, RIGHT = ' style="text-align: left"', ' style="text-align: right; font-variant-numeric: tabular-nums"'


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an HTML table; the first column is text, the others stand at the right.

    Beyond thirty rows it says how many more there are.

    >>> table("classes", ["class", "events"], [["b", 3]])[:48]
    '<table><caption style="text-align: left"><b>clas'
    """
    listed = [[str(cell) for cell in row] for row in rows]
    lines = [_row("th", head)] if head else []
    body = [_row("td", row) for row in listed[:MOST]]
    if len(listed) > MOST:
        body.append(_row("td", [f"and {len(listed) - MOST} more"]))
    name = f"<caption{LEFT}><b>{escape(title)}</b></caption>" if title else ""
    return f"<table>{name}<thead>{''.join(lines)}</thead><tbody>{''.join(body)}</tbody></table>"


def facts(title: str, found: Mapping[str, object]) -> str:
    """Return names and texts as an HTML table, less the empty texts."""
    rows = [f"<tr><th{LEFT}>{escape(name)}</th><td{LEFT}>{escape(str(text))}</td></tr>" for name, text in found.items()]
    kept = [row for row, text in zip(rows, found.values(), strict=True) if text not in ("", None)]
    name = f"<caption{LEFT}><b>{escape(title)}</b></caption>" if title else ""
    return f"<table>{name}<tbody>{''.join(kept)}</tbody></table>"


def page(*pieces: Any) -> str:
    """Return what the command line prints, tables and lines of the library rich, as HTML."""
    return "".join(_piece(piece) for piece in pieces)


def _piece(piece: Any) -> str:
    if not hasattr(piece, "columns"):
        return f"<p>{escape(_plain(piece))}</p>"
    cells = list(zip(*([_plain(cell) for cell in column.cells] for column in piece.columns), strict=True))
    title = _plain(piece.title or "")
    if not piece.show_header:
        return facts(title, {name: text for name, *texts in cells for text in [" ".join(texts)]})
    note = f"<p><small>{escape(_plain(piece.caption))}</small></p>" if piece.caption else ""
    return table(title, [_plain(column.header) for column in piece.columns], cells) + note


def _plain(text: Any) -> str:
    """Return a text of rich without its markup."""
    if not isinstance(text, str):
        return str(text)
    from rich.markup import render

    return render(text).plain


def _row(cell: str, texts: Sequence[str]) -> str:
    sides = [LEFT, *[RIGHT] * (len(texts) - 1)]
    cells = (f"<{cell}{side}>{escape(text)}</{cell}>" for side, text in zip(sides, texts, strict=True))
    return f"<tr>{''.join(cells)}</tr>"
