"""What CONTRIBUTING.md shows is true."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from hepanom.contracts import Batch, Network
from hepanom.events import hash64
from hepanom.plugins import registry

TEXT = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAKEFILE = (Path(__file__).resolve().parents[1] / "Makefile").read_text(encoding="utf-8")


def test_the_example_plugin_loads_from_a_folder_and_scores(tmp_path: Path) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    (tmp_path / "residual_norm.py").write_text(source, encoding="utf-8")
    scorer = registry(tmp_path)["scorer", "residual_norm"].load()(p=1)
    events = Batch(
        {"features": torch.tensor([[3.0, -4.0], [0.0, 1.0]])}, torch.ones(2), torch.zeros(2, dtype=torch.int64)
    )
    outputs = {"reconstruction": torch.zeros(2, 2)}
    assert scorer.score(events, outputs, {}, Network()).tolist() == [7.0, 1.0]


def test_shapes_are_checked_while_tests_run() -> None:
    with pytest.raises(TypeCheckError):
        hash64([np.zeros((2, 2))])


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^([a-z]+):", MAKEFILE, flags=re.MULTILINE))))
def test_every_make_target_is_explained(target: str) -> None:
    assert f"`make {target}`" in TEXT
