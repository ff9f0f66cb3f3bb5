"""``python -m hepanom`` is the command ``hepanom``."""

from __future__ import annotations

from hepanom.cli import main

main()
