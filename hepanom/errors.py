"""What hepanom says when something is wrong: messages for the user, not for the developer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

Place = tuple[str | int, ...]  # steps from a table of plain values to one of them


class HepanomError(Exception):
    """A message for the user: where, what was found, what would do. Exit code 1."""

    exit_code = 1


class InputError(HepanomError):
    """The recipe or the data cannot be used as they are. Exit code 2."""

    exit_code = 2


class PluginError(HepanomError):
    """A plugin fails, or gives something else than its contract says; kind, name, package, version and file of it."""


class BrokenFileError(InputError):
    """A file is truncated or corrupt; with the reader's option ``on_bad_file: skip`` it is left out and reported."""


class OptionError(InputError):
    """Mistakes in a plugin's options that the data show, each with its place in the options: ``("derive", "ht")``."""

    def __init__(self, mistakes: Iterable[tuple[Place, str]], file: str = "") -> None:
        self.mistakes = tuple(mistakes)
        self.file = f"{file}: " if file else ""
        named = [(".".join(step for step in place if isinstance(step, str)), text) for place, text in self.mistakes]
        super().__init__("\n".join(f"{self.file}{option}: {text}" for option, text in named))

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what pickle, between processes, makes the same error of."""
        return OptionError, (self.mistakes, self.file.removesuffix(": "))


class RecipeError(InputError):
    """Every mistake of a recipe at once, each with its place, as one message of several lines."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the tail of an error message: the nearest known words, or the list of all of them."""
    choices = sorted({str(name) for name in known})
    near = get_close_matches(word, choices, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(repr(name) for name in near)}?"
    if not choices:
        return "there are none"
    return f"known are {', '.join(choices[:40])}{', ...' if len(choices) > 40 else ''}"
