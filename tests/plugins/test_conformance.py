"""Every plugin of ours keeps what its contract promises, and is tried with what it offers."""

from __future__ import annotations

from typing import get_args

from offered import FOUND, OPTIONS, contracts

from hepanom.packages import Kind
from hepanom.testing import conformance

test_contract = conformance(*contracts())


def test_every_kind_is_offered_and_what_is_tried_is_there() -> None:
    assert {kind for kind, _ in FOUND} == set(get_args(Kind))
    assert set(OPTIONS) <= set(FOUND)
