"""Progress of a run in the terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from hepanom.contracts import Epoch
from hepanom.recipe import Recipe
from hepanom.run import Watcher


class Terminal(Watcher):
    """One line that says what the run is doing, with losses and events per second."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.began, self.text = time.monotonic(), ""

    def begin(self, recipe: Recipe) -> None:
        """Remember how much there is to do."""
        self.train = recipe.train

    def stage(self, text: str) -> None:
        """Show what begins now; what was there before stays with the time that it took."""
        self._done()
        self.began, self.text = time.monotonic(), text
        self.live.update(Text(f"{text} ..."))

    def events(self, read: int) -> None:
        """Show how many events were read."""
        rate = read / max(time.monotonic() - self.began, 1e-9)
        self.live.update(Text(f"{self.text}: {read:,} events, {rate:,.0f}/s"))

    def epoch(self, category: str, replica: int, record: Epoch) -> None:
        """Show where the training stands."""
        who = [f"{self.train.per} {category}"] if self.train.per else []
        who += [f"replica {replica + 1}/{self.train.replicas}"] if self.train.replicas > 1 else []
        losses = ", ".join(f"{term} {value:.4g}" for term, value in record.losses.items())
        self.live.update(
            Text(
                f"{' '.join([self.text, *who])}: epoch {record.epoch}/{self.train.epochs}, {losses}, "
                f"validation {record.validation:.4g}"
                f"{' (best)' if record.best else ''}, {record.events_per_second:,.0f} events/s"
            )
        )

    def _done(self) -> None:
        if self.text:
            self.live.console.print(Text(f"{self.text}: {time.monotonic() - self.began:.1f} s"))


@contextmanager
def progress(quiet: bool) -> Iterator[Watcher]:
    """Yield a watcher that shows a run's progress on stderr, or one that shows nothing."""
    if quiet:
        yield Watcher()
        return
    with Live(console=Console(stderr=True), refresh_per_second=8, transient=True) as live:
        terminal = Terminal(live)
        yield terminal
        terminal.stage("")
