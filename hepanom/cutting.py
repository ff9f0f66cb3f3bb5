"""From rules and the scores of held-out background to the thresholds of a detector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hepanom.detector import MEAN_RANK, Detector, Scores, decision, numbers_of
from hepanom.recipe import Recipe
from hepanom.shares import Shares
from hepanom.stream import rule_weight, weighed
from hepanom.thresholds import Rule, Threshold, threshold


def refuse_text(shares: Shares) -> None:
    """Raise InputError, before any training, where a cut is to depend on a column that holds no numbers."""
    names = columns(shares.parts.recipe)
    first = next(shares.chunks("train"), None) if names else None
    if first is not None:
        numbers_of(first, names, shares.parts.schema)


def columns(recipe: Recipe) -> tuple[str, ...]:
    """Return the columns on which the cuts of a recipe depend."""
    return tuple(dict.fromkeys(rule.per.column for rule in recipe.thresholds if rule.per))


def thresholds(detector: Detector, rule: Rule, found: Scores, replicas: Sequence[int]) -> Iterator[Threshold]:
    """Yield the rule's threshold of every scorer and category for these replicas, -1 being the mean rank of all."""
    weight = weighed(found.weight, rule_weight(detector.parts.recipe, rule))
    for replica in replicas:
        by_scorer = {label: values[replica] for label, values in found.scores.items()}
        if replica == MEAN_RANK:
            by_scorer = decision(detector, found.scores, found.category)
        for scorer, values in by_scorer.items():
            for index, label in enumerate(detector.categories):
                here = found.category == index
                yield threshold(
                    rule.rule,
                    rule.value,
                    values[here],
                    weight[here],
                    scorer=scorer,
                    category=label,
                    replica=replica,
                    title=rule.name,
                    input_rate=rule.input_rate,
                    share=float(weight[here].sum() / weight.sum()) if rule.input_rate else 1.0,
                    per=rule.per,
                    variable=found.columns[rule.per.column][here] if rule.per else None,
                )
