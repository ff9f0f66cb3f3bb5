"""hepanom's models on a split: recipes that differ in model and score alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from benchmarks.quality.sample import Sample
from hepanom import plugins, shares
from hepanom.detector import decision, score_chunks
from hepanom.document import changed
from hepanom.fit import fit


def scores(sample: Sample, overrides: Sequence[str]) -> dict[str, Float[np.ndarray, " event"]]:
    """Return every score of the test events by a recipe's model: those of ``hepanom run`` with the same ``--set``."""
    parts = plugins.build(changed(sample.document, overrides))
    detector, _ = fit(shares.held(parts, sample.events), {})
    found = score_chunks(detector, [sample.test])
    return decision(detector, found.scores, found.category)
