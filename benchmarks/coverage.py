"""How often the stated interval holds a threshold's true background efficiency: python benchmarks/coverage.py.

Pseudo-experiments draw background whose efficiency above any cut is known: a score is exponential, with a mean that
grows with a variable, and weights are equal, spread, or fall with the score. Beside each rule's interval stand two that
are wrong: the bootstrap of a cut's efficiency, and a binomial interval around the wanted efficiency from raw counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from hepanom.conditional import Per
from hepanom.thresholds import Threshold, rule_name, threshold

STATED = 0.6827
RESAMPLES = 100
GRID = (np.arange(2000) + 0.5) / 2000  # of the variable, which is uniform in [0, 1)
SLOPE = 2.0  # of the mean score in the variable


@dataclass(frozen=True)
class Weights:
    """Weights by score, and the factor r for which the efficiency of a cut is exp(-r cut / mean)."""

    draw: Callable[[np.random.Generator, np.ndarray], np.ndarray]
    rate: float


WEIGHTS = {
    "equal": Weights(lambda rng, score: np.ones(len(score)), 1.0),
    "spread": Weights(lambda rng, score: rng.exponential(size=len(score)), 1.0),
    "log-normal": Weights(lambda rng, score: np.exp(rng.normal(size=len(score))), 1.0),
    "falling": Weights(lambda rng, score: rng.gamma(2.0, size=len(score)) * np.exp(-score / 2), 1.5),
    "one in ten is ten": Weights(lambda rng, score: np.where(rng.random(len(score)) < 0.1, 10.0, 1.0), 1.0),
}


@dataclass(frozen=True)
class Case:
    """A rule on so many events with these weights."""

    rule: str
    setting: float | None
    weights: str
    events: int
    input_rate: float | None = None
    per: Per | None = None


@dataclass(frozen=True)
class Experiment:
    """One draw: its score, variable and weight, and the threshold that was found."""

    score: np.ndarray
    variable: np.ndarray
    weight: np.ndarray
    found: Threshold


def experiments(case: Case, number: int, seed: int = 11) -> Iterator[Experiment]:
    """Yield pseudo-experiments; with ``per`` the mean of the score is 1 + 2 x for a variable x in [0, 1)."""
    rng = np.random.default_rng(seed)
    options = {"input_rate": case.input_rate, "per": case.per}
    for _ in range(number):
        plain, variable = rng.exponential(size=case.events), rng.random(case.events)
        weight = WEIGHTS[case.weights].draw(rng, plain)
        score = plain * (1 + SLOPE * variable) if case.per else plain
        found = threshold(
            case.rule, case.setting, score, weight, scorer="pseudo", category="all", variable=variable, **options
        )
        yield Experiment(score, variable, weight, found)


def true_efficiency(case: Case, found: Threshold) -> np.ndarray:
    """Return the efficiency of a cut for any amount of such background: overall, then in every bin."""
    rate = WEIGHTS[case.weights].rate
    if found.along is None:
        return np.exp(-rate * np.array([max(found.cut, 0.0)]))
    at = np.exp(-rate * found.along.cuts(GRID) / (1 + SLOPE * GRID))
    index = np.searchsorted(found.along.edges, GRID, side="right")
    return np.array([at.mean(), *(at[index == number].mean() for number in range(len(found.along.bins)))])


def coverage(case: Case, number: int) -> list[float]:
    """Return how often the stated interval held the true efficiency: overall, then on average over the bins."""
    held = []
    for each in experiments(case, number):
        bins = () if each.found.along is None else each.found.along.bins
        ends = np.array([(entry.low, entry.high) for entry in (each.found, *bins)])
        truth = true_efficiency(case, each.found)
        held.append((ends[:, 0] <= truth) & (truth <= ends[:, 1]))
    shares = np.mean(held, axis=0)
    return [float(shares[0]), *([float(shares[1:].mean())] if len(shares) > 1 else [])]


def bootstrap_coverage(case: Case, number: int) -> float:
    """Return how often the efficiency of a cut lies between those that resamples of its own events give it."""
    rng, held = np.random.default_rng(12), 0
    for each in experiments(case, number):
        copies = rng.poisson(1.0, (RESAMPLES, case.events)) * each.weight
        shares = copies @ (each.score > each.found.cut) / copies.sum(axis=1)
        low, high = np.percentile(shares, (16, 84))
        held += int(low <= true_efficiency(case, each.found)[0] <= high)
    return held / number


def naive_coverage(case: Case, number: int) -> float:
    """Return the same for Jeffreys' interval around the wanted efficiency, from numbers of events."""
    above = _wanted(case) * case.events
    ends = np.array([(1 - STATED) / 2, (1 + STATED) / 2])
    low, high = betaincinv(above + 0.5, case.events - above + 0.5, ends)
    return float(np.mean([low <= true_efficiency(case, each.found)[0] <= high for each in experiments(case, number)]))


def _wanted(case: Case) -> float:
    if case.setting is None:
        return 0.5
    if case.rule == "background_rate":
        return case.setting / float(case.input_rate or 1)
    return 1 - case.setting if case.rule == "quantile" else case.setting


def cases() -> Iterator[Case]:
    """Yield what docs/thresholds.md shows."""
    for weights in WEIGHTS:
        yield Case("background_efficiency", 0.01, weights, 1000)
        yield Case("background_efficiency", 1e-3, weights, 2000)
        yield Case("background_rate", 1000.0, weights, 1000, input_rate=1e5)
        yield Case("quantile", 0.4, weights, 500)
        yield Case("mean", None, weights, 500)
        yield Case("background_efficiency", 0.05, weights, 2000, per=Per(column="x", bins=5))
    for weights in ("equal", "spread", "falling"):
        per = Per(column="x", bins=5, method="quantile_regression", knots=4)
        yield Case("background_efficiency", 0.05, weights, 2000, per=per)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=2000)
    number = parser.parse_args().experiments
    print(f"stated {STATED}, each of {number} experiments, so +- {np.sqrt(STATED * (1 - STATED) / number):.3f}\n")
    print("| rule | weights | events | coverage | in bins | bootstrap | raw counts |\n|---|---|---|---|---|---|---|")
    for case in cases():
        overall, *bins = coverage(case, number)
        wrong = ["", ""]
        if case.per is None and case.rule != "mean":
            wrong = [f"{found(case, number // 2):.2f}" for found in (bootstrap_coverage, naive_coverage)]
        name = rule_name(case.rule, case.setting, case.per)
        name += ", quantile regression" if case.per and case.per.method != "bins" else ""
        shown = [name, case.weights, str(case.events), f"{overall:.3f}", *[f"{each:.3f}" for each in bins]]
        print(f"| {' | '.join([*shown, *[''] * (1 - len(bins)), *wrong])} |", flush=True)


if __name__ == "__main__":
    main()
