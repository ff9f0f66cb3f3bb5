"""Progress of a download in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from hepanom.download import File, Watcher


class Bars(Watcher):
    """Shows each file as a bar, and what happens to it above."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.task = progress, TaskID(0)

    def begin(self, file: File) -> None:
        """Show the next file."""
        self.task = self.progress.add_task(file.name, total=file.size)

    def reached(self, size: int) -> None:
        """Move the bar."""
        self.progress.update(self.task, completed=size)

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self.progress.console.print(text, markup=False, highlight=False)


@contextmanager
def watching(quiet: bool) -> Iterator[Watcher]:
    """Yield a watcher that shows bytes, rate and the time that is left on stderr, or one that shows nothing."""
    if quiet:
        yield Watcher()
        return
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as progress:
        yield Bars(progress)
