"""From scores and flags to numbers with uncertainties.

Names of numbers: SCORER[/unweighted][/category_LABEL][/RULE]/METRIC, such as ``elbo/auc``,
``elbo/signal_efficiency_0.01``, ``elbo/category_2/median/f1`` or ``elbo/unweighted/auc``. Curves (AUC, efficiencies,
rejection, largest SIC and AMS) are taken of the scores, confusions of the flags at each threshold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from hepanom import bootstrap
from hepanom import metrics as measure
from hepanom.errors import InputError, did_you_mean

BACKGROUND_EFFICIENCIES = (0.1, 0.01, 0.001, 0.0001)
SIGNAL_EFFICIENCIES = (0.5, 0.3)
FEWEST = 2  # events without which a bootstrap knows no uncertainty
FLOOR = 0.2  # largest relative error of the background efficiency behind a SIC

Values = dict[str, float]
Curve = Callable[[measure.Roc, float], Values]
Decision = Callable[[measure.Confusion, float], float]

CURVES: Mapping[str, Curve] = {
    "auc": lambda roc, _: {"auc": measure.auc(roc)},
    "signal_efficiency": lambda roc, _: {
        f"signal_efficiency_{wanted:g}": measure.signal_efficiency(roc, wanted) for wanted in BACKGROUND_EFFICIENCIES
    },
    "rejection": lambda roc, _: {
        f"rejection_{wanted:g}": measure.rejection(roc, wanted) for wanted in SIGNAL_EFFICIENCIES
    },
    "max_sic": lambda roc, _: {"max_sic": measure.max_sic(roc, FLOOR)},
    "max_ams": lambda roc, b_reg: {"max_ams": measure.max_ams(roc, b_reg)},
}
DECISIONS: Mapping[str, Decision] = {
    "accuracy": lambda c, _: measure.accuracy(c),
    "precision": lambda c, _: measure.precision(c),
    "recall": lambda c, _: measure.recall(c),
    "f1": lambda c, _: measure.f1(c),
    "mcc": lambda c, _: measure.mcc(c),
    "ams": lambda c, b_reg: measure.ams(c.tp, c.fp, b_reg) if c.two_classes else math.nan,
}
METRICS = (*CURVES, *DECISIONS)
YIELDS = {"ams", "max_ams"}  # functions of expected yields: counts of events would mean nothing


@dataclass(frozen=True)
class Number:
    """A metric: its mean over replicas, the 68 % bootstrap interval of that mean, and the spread over replicas.

    ``spread`` is the standard deviation (ddof 1), None for one replica.
    """

    value: float
    low: float
    high: float
    spread: float | None


@dataclass(frozen=True)
class Scored:
    """Test events with every score and decision.

    ``scores`` by scorer; ``flags`` by (scorer, rule name); ``category`` counts ``categories``; ``anomaly`` is 1 for an
    anomaly, 0 for background, -1 where the label is unknown; ``weight`` sums to the expected yields where there are
    any.
    """

    scores: Mapping[str, Float[np.ndarray, "replica event"]]
    flags: Mapping[tuple[str, str], Bool[np.ndarray, "replica event"]]
    category: Int[np.ndarray, " event"]
    categories: tuple[str, ...]
    anomaly: Int[np.ndarray, " event"]
    weight: Float[np.ndarray, " event"]

    def mask(self, keep: Bool[np.ndarray, " event"]) -> Scored:
        """Return the events where ``keep`` is true."""
        return replace(
            self,
            scores={name: score[:, keep] for name, score in self.scores.items()},
            flags={name: flag[:, keep] for name, flag in self.flags.items()},
            category=self.category[keep],
            anomaly=self.anomaly[keep],
            weight=self.weight[keep],
        )


def evaluate(
    scored: Scored, metrics: Sequence[str], *, b_reg: float = 10.0, resamples: int = 100, seed: int = 0
) -> dict[str, Number]:
    """Return the metrics by name, for all events and for each category where there are several.

    The value is the mean over replicas. The interval holds the central 68 % of that mean over ``resamples`` bootstraps,
    in which each event counts k times, k from Poisson(1), the same for all scorers, replicas and categories. It is
    widened where it does not hold the value (the largest of many cuts is larger in most resamples); without resamples
    it is the value alone. Curves over all categories move every category's cut at equal background efficiency
    (``metrics.pooled_rank``). A SIC needs at most 20 % relative error on the background efficiency (``metrics.sic``).

    Left out are events of unknown label, and numbers that the events cannot give: with fewer than two anomalies or two
    events of background, of which every resample says the same; with none or one flagged (precision), with less than
    one effective background event at the wanted efficiency, with fewer than 25 above any cut (largest SIC), or whose
    interval reaches infinity (rejection by a handful of events).

    Raises InputError for an unknown metric, for scores that are NaN and for weights that are not finite.
    """
    _check(scored, metrics)
    scored = scored.mask(scored.anomaly >= 0)
    copies = bootstrap.draws(len(scored.weight), resamples, seed)
    numbers: dict[str, Number] = {}
    for view, rows in _views(scored):
        part, drawn = scored.mask(rows), copies[rows]
        counted = replace(part, weight=np.ones(len(part.weight)))
        numbers |= _numbers(part, drawn, metrics, b_reg, view)
        countable = [name for name in metrics if name not in YIELDS]
        numbers |= _numbers(counted, drawn, countable, b_reg, f"unweighted/{view}")
    return numbers


def apply_expected(
    weight: Float[np.ndarray, " event"],
    label: Int[np.ndarray, " event"],
    classes: Sequence[str],
    expected: Mapping[str, float],
) -> Float[np.ndarray, " event"]:
    """Scale the weights of each class by one factor so that they sum to its expected yield.

    For all events of the test split at once, before any selection; ``label`` counts ``classes``. Classes without an
    expected yield keep their weights. Raises InputError for a class that does not exist or has no weight to scale, and
    for a yield that is not positive.
    """
    rows = {name: label == index for index, name in enumerate(classes)}
    found = {name: (int(here.sum()), float(weight[here].sum(dtype=np.float64))) for name, here in rows.items()}
    scaled = weight.astype(np.float64)
    for name, factor in expected_factors(found, expected).items():
        scaled[rows[name]] *= factor
    return scaled


def expected_factors(counts: Mapping[str, tuple[int, float]], expected: Mapping[str, float]) -> dict[str, float]:
    """Return the factor of each class that has an expected yield, from its events and summed weight.

    Raises InputError as ``apply_expected`` does.
    """
    factors = {}
    for name, expectation in expected.items():
        if name not in counts:
            raise InputError(f"evaluate.expected: class {name!r} is not there; {did_you_mean(name, counts)}")
        if not 0 < expectation < math.inf:
            raise InputError(
                f"evaluate.expected: found {expectation:g} for class {name!r}; an expected yield is positive"
            )
        events, total = counts[name]
        if not total > 0:
            raise InputError(
                f"evaluate.expected: the {events} test events of class {name!r} have weights that sum "
                f"to {total:g}, which no factor turns into {expectation:g}; remove the class from `expected` or put "
                "events of it into the test share"
            )
        factors[name] = expectation / total
    return factors


def _views(scored: Scored) -> Iterator[tuple[str, Bool[np.ndarray, " event"]]]:
    """Yield part of name and events: all of them, then each of several categories."""
    yield "", np.ones(len(scored.weight), np.bool_)
    if len(scored.categories) > 1:
        for index, label in enumerate(scored.categories):
            yield f"category_{_plain(label)}/", scored.category == index


def _plain(label: str) -> str:
    """Return a label without the characters that names of metrics may not have, or that part them."""
    return re.sub(r"[^\w.-]", "_", label, flags=re.ASCII)


def _numbers(
    part: Scored, copies: UInt8[np.ndarray, "event resample"], metrics: Sequence[str], b_reg: float, view: str
) -> dict[str, Number]:
    """Return the numbers of one view of the events."""
    numbers: dict[str, Number] = {}
    there = part.weight != 0
    if min((there & (part.anomaly == kind)).sum() for kind in (0, 1)) < FEWEST:
        return numbers
    curves = [CURVES[name] for name in metrics if name in CURVES]
    for scorer, scores in part.scores.items() if curves else ():
        grid = [
            [{name: value for curve in curves for name, value in curve(roc, b_reg).items()} for roc in rocs]
            for rocs in (_rocs(score, part, copies) for score in scores)
        ]
        numbers |= _summary(f"{scorer}/{view}", grid)
    decisions = {name: DECISIONS[name] for name in metrics if name in DECISIONS}
    for (scorer, rule), flags in part.flags.items() if decisions else ():
        grid = [
            [{name: decide(confusion, b_reg) for name, decide in decisions.items()} for confusion in confusions]
            for confusions in (_confusions(flagged, part, copies) for flagged in flags)
        ]
        if (flags & there).sum(1).max() < FEWEST:
            grid = [[{**each, "precision": math.nan} for each in replica] for replica in grid]
        numbers |= _summary(f"{scorer}/{view}{rule}/", grid)
    return numbers


def _rocs(
    score: Float[np.ndarray, " event"], part: Scored, copies: UInt8[np.ndarray, "event resample"]
) -> Iterator[measure.Roc]:
    """Yield the curve of the sample itself, then those of the resamples."""
    anomaly = part.anomaly == 1
    if len(np.unique(part.category)) > 1:
        score = measure.pooled_rank(score, part.category, anomaly, part.weight)
    yield measure.roc(score, anomaly, part.weight)
    yield from bootstrap.curves(score, anomaly, part.weight, copies)


def _confusions(
    flagged: Bool[np.ndarray, " event"], part: Scored, copies: UInt8[np.ndarray, "event resample"]
) -> Iterator[measure.Confusion]:
    """Yield the confusion of the sample itself, then those of the resamples."""
    yield measure.confusion(flagged, part.anomaly == 1, part.weight)
    yield from bootstrap.confusions(flagged, part.anomaly == 1, part.weight, copies)


def _summary(prefix: str, grid: Sequence[Sequence[Values]]) -> dict[str, Number]:
    """Turn values by replica and sample, the first of which is the real one, into numbers; leave out unknown ones."""
    numbers = {}
    for name in grid[0][0]:
        values = np.array([[sample[name] for sample in replica] for replica in grid])
        nominal, drawn = values[:, 0], values[:, 1:].mean(0)
        value, drawn = float(nominal.mean()), drawn[~np.isnan(drawn)]
        low, high = np.percentile(drawn, (16, 84), method="nearest").tolist() if len(drawn) else (value, value)
        if math.isfinite(value) and math.isfinite(low) and math.isfinite(high):
            spread = float(nominal.std(ddof=1)) if len(nominal) > 1 else None
            numbers[prefix + name] = Number(value, min(low, value), max(high, value), spread)
    return numbers


def _check(scored: Scored, metrics: Sequence[str]) -> None:
    for name in metrics:
        if name not in METRICS:
            raise InputError(f"evaluate.metrics: {name!r} is not there; {did_you_mean(name, METRICS)}")
    for scorer, scores in scored.scores.items():
        if broken := np.count_nonzero(np.isnan(scores).any(0)):
            raise InputError(
                f"evaluate: score {scorer!r} is NaN for {broken} of {scores.shape[1]} test events; the training "
                "diverged or the inputs have outliers: try a lower learning rate, or the transforms `missing`, `log` "
                "or `standardize`"
            )
    if broken := np.count_nonzero(~np.isfinite(scored.weight)):
        raise InputError(
            f"evaluate: {broken} of {len(scored.weight)} test weights are NaN or infinite; correct the data"
        )
