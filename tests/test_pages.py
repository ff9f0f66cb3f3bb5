"""The pages are true: every command on them exists, and the tutorial and the how-to pages run from top to bottom."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from pathlib import Path

import click
import pytest
from pages import PAGES, ROOT, Command, blocks, commands, elsewhere, execute, untrue

from hepanom.cli import hepanom

DOCS = ROOT / "docs"
STORIES = [DOCS / "tutorial.md", DOCS / "explanations.md", *sorted((DOCS / "how-to").glob("*.md"))]
RUN = [page for page in STORIES if page.name != "clusters.md"]  # tests/test_reference_pages.py runs the others
CONSOLES = [(page, block) for page in PAGES for block in blocks(page) if block.language == "console"]
TITLES = {page: {block.title for block in blocks(page)} for page in PAGES}
SHOWN = [
    pytest.param(command, TITLES[page], id=f"{page.relative_to(ROOT)}:{command.line}")
    for page, block in CONSOLES
    for command in commands(block)
]
SAID = [
    pytest.param(words, id=f"{page.relative_to(ROOT)}:{words}")
    for page in PAGES
    for words in sorted(set(re.findall(r"`hepanom ([^`]+)`", page.read_text(encoding="utf-8"))))
]


def parse(words: tuple[str, ...]) -> None:
    """Read a command line as click does, and do nothing. Raises click.UsageError for what does not exist."""
    if {"-h", "--help", "--version"} & set(words):
        return
    above, (name, *rest) = click.Context(hepanom, info_name="hepanom"), words
    while True:
        assert isinstance(above.command, click.Group)
        command = above.command.get_command(above, name)
        if command is None:
            raise click.UsageError(f"there is no command {name!r}")
        if not isinstance(command, click.Group):
            command.make_context(name, rest, parent=above)
            return
        above, (name, *rest) = click.Context(command, info_name=name, parent=above), rest


@pytest.mark.parametrize(("command", "written"), SHOWN)
def test_every_command_on_a_page_exists(command: Command, written: set[str]) -> None:
    words = command.words
    if words[0] == "hepanom":
        parse(words[1:])
    else:
        known = elsewhere(words) or words == ("echo", "$?") or (words[0] == "python" and words[1] in written)
        assert known, "write its file on the page, or say in ELSEWHERE why it is not run"


@pytest.mark.parametrize("words", SAID)
def test_every_command_in_a_sentence_exists(words: str) -> None:
    with suppress(click.MissingParameter):  # `hepanom run` names a command, and is no line to type
        parse(tuple(shlex.split(words)))


def test_no_command_hides_in_a_block_without_a_language() -> None:
    hidden = [
        (page.name, block.line)
        for page in PAGES
        for block in blocks(page)
        if not block.language and "hepanom " in block.text
    ]
    assert hidden == [], "```console and $ make it a command that is tested"


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_a_page_runs_from_top_to_bottom(
    page: Path, data: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state == tmp_path / "mlruns"
    monkeypatch.chdir(tmp_path)
    for file in (data / "root").glob("uproot-HZZ-*.root"):
        Path(file.name).symlink_to(file)
    code, last = 0, ""
    for block in blocks(page):
        if block.title:
            Path(block.title).write_text(block.text, encoding="utf-8")
        for command in commands(block) if block.language == "console" else ():
            if command.words == ("echo", "$?"):
                assert command.shown == (str(code),), last
                code = 0
            elif not elsewhere(command.words):
                assert code == 0, f"{last}: the page does not say that it fails"
                code, printed = execute(command)
                last = f"{command}\n{printed}"
                assert untrue(command.shown, printed) == [], last
                if command.into:
                    Path(command.into).write_text(printed, encoding="utf-8")
    assert code == 0, last


def test_a_wrong_command_or_output_would_be_found() -> None:
    with pytest.raises(click.UsageError):
        parse(("runn", "recipe.yaml"))
    with pytest.raises(click.NoSuchOption):
        parse(("run", "recipe.yaml", "--epochs", "5"))
    with pytest.raises(click.BadParameter):
        parse(("runs", "--status", "finshed"))
    printed = "auc  0.71 (0.68 to 0.75)\n 30 of 494 flagged in 1.2 s\n"
    assert untrue(("auc 0.73 (0.70 to 0.76)", "...", "30 of 494 flagged ..."), printed) == []
    assert untrue(("auc 0.91 (0.90 to 0.92)",), printed) != []
    assert untrue(("300 of 494 flagged ...",), printed) != []
    assert untrue(("30 of 494 flagged ...", "auc ..."), printed) != []
