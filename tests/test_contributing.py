"""What CONTRIBUTING.md shows is true."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from hepanom.events import hash64

TEXT = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAKEFILE = (Path(__file__).resolve().parents[1] / "Makefile").read_text(encoding="utf-8")


def test_shapes_are_checked_while_tests_run() -> None:
    with pytest.raises(TypeCheckError):
        hash64([np.zeros((2, 2))])


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^([a-z]+):", MAKEFILE, flags=re.MULTILINE))))
def test_every_make_target_is_explained(target: str) -> None:
    assert f"`make {target}`" in TEXT
