"""Contract tests for hepanom's plugins: ``pytest --hepanom`` adds them, and a broken promise is told in a sentence.

Every pytest of an environment loads this module, so that it imports nothing of hepanom before a test needs it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest

TRACEBACK = {"auto", "short", "line"}  # styles that a sentence may replace; whoever asks for a long one gets it


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the options."""
    group = parser.getgroup("hepanom", "contracts of hepanom's plugins")
    group.addoption(
        "--hepanom",
        action="store_true",
        help="test the contract of every plugin that the package in this folder offers and that no conformance() tests",
    )
    group.addoption(
        "--hepanom-plugin",
        action="append",
        default=[],
        metavar="KIND:NAME",
        help="test the contract of this plugin, such as reader:pulses, whoever offers it; may be given again",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the tests that the options ask for, before -k chooses among all."""
    if config.getoption("--hepanom") or config.getoption("--hepanom-plugin"):
        items += _added(session, config, items)


def _added(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> Iterator[pytest.Item]:
    from hepanom.errors import HepanomError
    from hepanom.testing import unwritten

    here = [getattr(item, "callspec", None) for item in items]
    tested = {case for spec in here if spec and (case := getattr(spec.params.get("promise"), "case", None))}
    try:
        cases = [unwritten.named(plugin) for plugin in config.getoption("--hepanom-plugin")]
        if config.getoption("--hepanom"):
            cases += unwritten.offered_by(config.rootpath, tested)
    except HepanomError as error:
        raise pytest.UsageError(str(error)) from error
    parent = Contracts.from_parent(session, name="hepanom", nodeid="hepanom")
    for name, promise in unwritten.tests(cases):
        yield Contract.from_parent(parent, name=name, promise=promise)


class Contracts(pytest.Collector):
    """What holds the tests that stand in no file."""

    def collect(self) -> list[pytest.Item]:
        """Return nothing: the tests are added when all others are known."""
        return []


class Contract(pytest.Item):
    """One promise of one plugin."""

    def __init__(self, *, promise: Any, **where: Any) -> None:
        super().__init__(**where)
        self.promise = promise

    def runtest(self) -> None:
        """Try the promise."""
        self.promise()

    def reportinfo(self) -> tuple[str, None, str]:
        """Return the plugin's file, and the promise."""
        return self.promise.case.file or "hepanom", None, self.name


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Leave the sentence of a broken promise, which names plugin, promise, page and finding, without a traceback."""
    report = yield
    excinfo, style = call.excinfo, item.config.getoption("tbstyle")
    if excinfo and type(excinfo.value).__name__ == "BrokenPromise" and style in TRACEBACK:
        told = excinfo.getrepr(style="value", chain=False)
        if told.reprcrash is not None:
            told.reprcrash.message = f"found: {getattr(excinfo.value, 'found', '')}"
        report.longrepr = told
    return report
