"""The promises of plugins as one test function of pytest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from hepanom.testing.case import Case
from hepanom.testing.promises import Promise, promises


def conformance(*cases: Case) -> Callable[..., Any]:
    """Return a test function with one test for each case and promise, to be given a name that begins with ``test``."""
    import pytest

    def test_contract(promise: Promise) -> None:
        __tracebackhide__ = True
        promise()

    return pytest.mark.parametrize("promise", [pytest.param(each, id=name) for name, each in tests(cases)])(
        test_contract
    )


def tests(cases: tuple[Case, ...]) -> list[tuple[str, Promise]]:
    """Return the promises with a name each; several cases of one plugin are counted from 0."""
    total, seen, found = Counter((case.kind, case.name) for case in cases), Counter[tuple[str, str]](), []
    for case in cases:
        key = (case.kind, case.name)
        number = f"-{seen[key]}" * (total[key] > 1)
        seen[key] += 1
        found += [(f"{case.kind}-{case.name}{number}-{promise.statement}", promise) for promise in promises(case)]
    return found
