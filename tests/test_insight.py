from __future__ import annotations

from pathlib import Path

from hepanom import document
from hepanom.run import run

RECIPE = """
name: widths
data: {use: toy, events: 8000, signal_share: 0.2}
background: [background]
transforms: [{use: missing}, {use: standardize}]
model: {use: flow, hidden: [16], transforms: 2}
train: {epochs: 1, device: cpu, per: n_jets}
scores: [{use: likelihood}]
evaluate: {latent: {labelled: 0.9}}
"""


def test_categories_may_have_codes_of_different_widths(tmp_path: Path, state: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)  # two jets have no third one, whose momentum leaves their category
    found = run(document.read(tmp_path / "r.yaml"), state=state)
    assert found is not None
    dropped = [sum(map(len, by.values())) for by in found.result.dropped.values()]
    assert len(set(dropped)) > 1
    assert found.result.latent is not None
    assert len(found.result.latent.codes) == len(found.result.latent.category)
    assert set(found.result.probes) == set(found.result.categories)
    assert all(probe.numbers or probe.problem for probe in found.result.probes.values())
