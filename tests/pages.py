"""What a page of the documentation shows: files that it says to write, commands, and what these print."""

from __future__ import annotations

import io
import math
import re
import runpy
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from hepanom.cli import hepanom

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(r'^(```+) *(?P<language>\w*)(?: title="(?P<title>[^"]+)")?.*\n(?P<text>(?s:.*?))^\1$', re.M)
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")
SIGN = re.compile(rf"(\.\.\.|{NUMBER.pattern})")
ELSEWHERE = {  # what is no command of hepanom, and why it is not run here
    "curl": "needs the network; the measured data hold the same file",
    "export": "is for the reader's shell",
    "make": "builds an environment; CI runs its targets",
    "mlflow": "tests/test_mlflow_page.py and tests/test_served.py do it",
    "pip": "changes the environment",
    "python -m": "pip, venv and benchmarks: changes the environment, or takes minutes",
    "python benchmarks": "takes minutes",
    "sbatch": "needs Slurm",
    "torchrun": "tests/test_team.py starts such processes",
}
SHELL = {">", "|", "||", "&&", ";"}  # where a command ends and the shell goes on


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file that it is to be written to (or none), its text, its line on the page."""

    language: str
    title: str
    text: str
    line: int


@dataclass(frozen=True)
class Command:
    """A command of a console block: its words, where its output goes (or nowhere), and the lines that it prints."""

    words: tuple[str, ...]
    into: str
    shown: tuple[str, ...]
    line: int

    def __str__(self) -> str:
        return f"line {self.line}: {shlex.join(self.words)}"


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        yield Block(
            found["language"], found["title"] or "", found["text"], text.count("\n", 0, found.start("text")) + 1
        )


def commands(block: Block) -> Iterator[Command]:
    """Yield the commands of a console block, each with what stands below it up to the next."""
    for found in re.finditer(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", block.text, re.M):
        words = shlex.split(found[1].replace("\\\n", " "), comments=True)
        end = next((place for place, word in enumerate(words) if word in SHELL), len(words))
        into = words[end + 1] if words[end : end + 1] == [">"] else ""
        line = block.line + block.text.count("\n", 0, found.start())
        yield Command(tuple(words[:end]), into, tuple(found[2].splitlines()), line)


def elsewhere(words: tuple[str, ...]) -> bool:
    """Return whether a command is on the list of what is not run."""
    return " ".join(words).startswith(tuple(ELSEWHERE))


def execute(command: Command) -> tuple[int, str]:
    """Run a command in this process; return its exit code and what it prints."""
    program, *words = command.words
    if program == "python":
        written = io.StringIO()
        with redirect_stdout(written):
            runpy.run_path(words[0], run_name="__main__")
        return 0, written.getvalue()
    done = CliRunner().invoke(hepanom, words)
    return done.exit_code, done.output


def untrue(shown: tuple[str, ...], printed: str) -> list[str]:
    """Return the lines on a page that are not printed, in this order.

    ``...`` stands for anything, spaces and the rules of tables do not count, and a number may be off by a fifth or by
    0.05: what a training gives depends, a little, on the machine.
    """
    left = [" ".join(words) for line in printed.splitlines() if (words := line.split())]
    found = []
    for line in shown:
        if line.split() not in ([], ["..."]):
            place = next((place for place, other in enumerate(left) if _same(line, other)), None)
            left = left if place is None else left[place + 1 :]
            found += [line] if place is None else []
    return found


def _same(shown: str, printed: str) -> bool:
    pattern, wanted = "", []
    for piece in SIGN.split(" ".join(shown.split())):
        if NUMBER.fullmatch(piece):
            wanted.append(piece)
        pattern += ".*" if piece == "..." else f"({NUMBER.pattern})" if NUMBER.fullmatch(piece) else re.escape(piece)
    found = re.fullmatch(pattern, printed)
    return found is not None and all(map(_close, wanted, found.groups()))


def _close(one: str, other: str) -> bool:
    a, b = (float(each.replace(",", "")) for each in (one, other))
    return math.isclose(a, b, rel_tol=0.2, abs_tol=0.05)
