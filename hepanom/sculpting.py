"""Do scores depend on variables that an analysis needs? What the recipe asks of the test background."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from hepanom.against import Against, against
from hepanom.decisions import Met
from hepanom.detector import Detector, flags
from hepanom.errors import InputError
from hepanom.events import Events
from hepanom.stream import named_column

Variables = Mapping[str, Float[np.ndarray, " event"]]


def variables(detector: Detector, events: Events) -> Variables:
    """Return the columns of ``evaluate.against``. Raises InputError for one that is not there or holds text."""
    wanted, schema = detector.parts.recipe.evaluate.against, detector.parts.schema
    found = {name: named_column(events, name, schema) for name in wanted}
    for name, values in found.items():
        if values.dtype.kind not in "iufb":
            raise InputError(f"evaluate.against: column {name!r} holds text; a score depends on a number")
    return {name: values.astype(np.float64) for name, values in found.items()}


def sculpting(
    detector: Detector, test: Met, beside: Variables, anomaly: Int[np.ndarray, " event"]
) -> tuple[Against, ...]:
    """Return what each score of the test background has to do with each variable, by category.

    Without any event that is known to be background all of unknown label are taken for it.
    """
    kind = 0 if (anomaly == 0).any() else -1
    recipe, found = detector.parts.recipe, []
    units = {
        name: unit
        for entry in detector.parts.schema.inputs.values()
        for name, unit in zip(entry.columns, entry.units, strict=True)
    }
    for scorer, values in test.decided.items() if beside else ():
        flagged = {
            rule.label: flags(detector, values, test.category, test.columns, scorer, rule.label, detector.decides)
            for rule in recipe.thresholds
        }
        for name, column in beside.items():
            for index, label in enumerate(detector.categories):
                here = (anomaly == kind) & (test.category == index)
                by_rule = {rule: flag[here] for rule, flag in flagged.items()}
                names = (scorer, name, units.get(name, ""), label)
                one = against(names, column[here], values[here], test.weight[here], by_rule, recipe.seed)
                found += [] if one is None else [one]
    return tuple(found)
