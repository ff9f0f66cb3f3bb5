"""Tables and lines as text, as wide as the terminal."""

from __future__ import annotations

import sys
from io import StringIO
from typing import Any

from rich.console import Console
from rich.text import Text

WIDTH = 160  # of tables that go into a file
Plain = dict[str, Any]


def text_of(*pieces: Any) -> str:
    """Return tables and lines as text, as wide as the terminal."""
    people, written = sys.stdout.isatty(), StringIO()
    console = Console(file=written, force_terminal=people, width=None if people else WIDTH)
    for piece in pieces:
        console.print(piece, soft_wrap=isinstance(piece, Text))
    return written.getvalue().rstrip()
