"""What every command does: print its outcome or one JSON object, and turn errors into one message and an exit code."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from hepanom.blame import blame
from hepanom.errors import HepanomError, PluginError, RecipeError

Command = Callable[..., Any]
ENDS = {
    "unhealthy": 1,
    "alarm": 3,
    "unsent": 4,
}  # exit codes of commands that did what they should, and found what must be known


def common(function: Command) -> Command:
    """Add --json, -q and -v; turn errors into one message and an exit code, 2 for bad input, 1 for a failed run."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
    @click.option("-q", "--quiet", is_flag=True, help="Show errors alone.")
    @click.option("-v", "--verbose", is_flag=True, help="Show what happens inside.")
    @wraps(function)
    def command(*args: Any, as_json: bool, quiet: bool, verbose: bool, **options: Any) -> None:
        level = logging.DEBUG if verbose else logging.ERROR if quiet or as_json else logging.INFO
        logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
        logging.getLogger("hepanom").setLevel(level)
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            with blame():
                found, text = function(*args, quiet=quiet or as_json, **options)
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, (click.ClickException, click.exceptions.Exit, click.Abort)):
                raise
            if verbose:
                logging.getLogger("hepanom").exception("where it happened")
            _fail(error, as_json)
        else:
            if found is None:  # another process speaks
                return
            if as_json or not quiet:
                _say(json.dumps(found, default=str) if as_json else text(found))
            if isinstance(found, dict) and found.get("status") in ENDS:
                sys.exit(ENDS[found["status"]])

    return command


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    """Print the outcome; where nobody can read it, as on a full disk, say so on stderr."""
    try:
        click.echo(text)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes stdout once more when it ends
        if not isinstance(error, BrokenPipeError):  # `| head` has seen enough
            click.echo(f"{click.style('error:', fg='red')} stdout: cannot be written: {error.strerror}", err=True)
        sys.exit(1)


def _fail(error: BaseException, as_json: bool) -> None:
    status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    message = str(error)
    if status == "interrupted":
        resumes = click.get_current_context().info_name == "run"
        message = "interrupted" + "; the same command with --resume goes on from the last epoch" * resumes
    elif not isinstance(error, HepanomError):
        message = f"{type(error).__name__}: {message}; this should not happen, -v shows where it did"
    elif isinstance(error, PluginError) and error.__cause__ is not None:
        message += "; -v shows the whole traceback"
    if as_json:
        problems = list(error.problems) if isinstance(error, RecipeError) else [message]
        click.echo(json.dumps({"status": status, "error": message, "problems": problems}))
    else:
        for line in message.splitlines():
            click.echo(f"{click.style('error:', fg='red')} {line}", err=True)
    sys.exit(130 if status == "interrupted" else getattr(error, "exit_code", 1))
