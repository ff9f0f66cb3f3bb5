"""The conformance kit: what every plugin promises, as functions and as tests for those who write plugins.

Three lines test a plugin against its contract::

    from hepanom.testing import Case, conformance

    test_contract = conformance(Case("reader", "pulses", {"path": "tests/pulses/*.bin"}))
"""

from __future__ import annotations

from hepanom.testing.broken import BrokenPromise
from hepanom.testing.case import Case
from hepanom.testing.promises import Promise, check, promises
from hepanom.testing.under_pytest import conformance

__all__ = ["BrokenPromise", "Case", "Promise", "check", "conformance", "promises"]
