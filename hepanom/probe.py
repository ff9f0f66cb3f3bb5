"""What latent codes know of the classes: a linear classifier on a few labelled events, and clusters without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from warnings import catch_warnings, simplefilter

import numpy as np
from jaxtyping import Float, Int, Shaped

from hepanom.evaluate import Number

if TYPE_CHECKING:
    from hepanom.recipe import LatentCodes

FEWEST = 10  # labelled events of a class, without which nothing can be said
SMALLEST = 10  # labelled events where the learning curve begins
STEPS = 8  # of the learning curve
STARTS = 10  # of k-means
RESAMPLES = 200


@dataclass(frozen=True)
class Probe:
    """How well the latent codes of one category tell the classes apart.

    ``numbers`` holds ``precision/CLASS``, ``recall/CLASS``, ``f1/CLASS``, ``f1_macro``, ``adjusted_rand`` and
    ``mutual_information``; ``curve`` the macro F1 of classifiers that saw ``sizes`` labelled events. ``trained`` and
    ``tested`` count the labelled events behind the numbers. Classes with too few are ``left_out``; where fewer than two
    are left, ``problem`` says so. None is a number that these events cannot give: the precision of a class to which a
    classifier gave no event, or all of them one.
    """

    classes: tuple[str, ...]
    trained: int
    tested: int
    numbers: Mapping[str, Number | None]
    sizes: tuple[int, ...]
    curve: Float[np.ndarray, "replica size"]
    left_out: tuple[str, ...] = ()
    problem: str = ""


def probe(
    codes: Float[np.ndarray, "replica event latent"],
    label: Int[np.ndarray, " event"],
    classes: Sequence[str],
    options: LatentCodes,
    seed: int,
    *,
    alike: bool = False,
) -> Probe:
    """Return how well the codes tell the classes apart, counting events, not weights.

    A share ``options.labelled`` of the labelled events is drawn for the classifier; of these a share ``options.test``
    tests it, in every class alike. It is a logistic regression on standardized codes with an L2 penalty (C = 1), one
    for each replica on the same events; where columns are ``alike``, such as pixels, all are divided by one standard
    deviation, so that rare ones do not outweigh the rest. F1 = 2 tp / (2 tp + fp + fn). Clusters are those of k-means
    with as many clusters as classes, on all labelled events, compared with the classes by the adjusted Rand index and
    the normalized mutual information (arithmetic mean). An interval is that of a bootstrap of the tested events (68 %),
    for clusters there is none.

    References:
        R. Solli, master's thesis, Oslo 2019, sections 4.3 and 5.
        L. Hubert, P. Arabie, Comparing partitions, Journal of Classification 2 (1985) 193.
    """
    generator = np.random.default_rng(seed)
    drawn: dict[int, Int[np.ndarray, " labelled"]] = {}
    for index in np.unique(label[label >= 0]).tolist():
        rows = generator.permutation(np.flatnonzero(label == index))
        drawn[index] = rows[: round(options.labelled * len(rows))]
    enough = [index for index, rows in drawn.items() if len(rows) >= FEWEST]
    left_out = tuple(classes[index] for index in drawn if index not in enough)
    names = tuple(classes[index] for index in enough)
    if len(enough) < 2:
        counts = ", ".join(f"{classes[index]} {len(rows)}" for index, rows in drawn.items()) or "none"
        problem = f"too few labelled events for a classifier ({counts}); {FEWEST} of each of two classes are needed"
        return Probe(names, 0, 0, {}, (), np.zeros((len(codes), 0)), left_out, problem)
    tests = {index: min(len(drawn[index]) - 1, max(2, round(options.test * len(drawn[index])))) for index in enough}
    tested = np.concatenate([drawn[index][: tests[index]] for index in enough])
    seen = generator.permutation(np.concatenate([drawn[index][tests[index] :] for index in enough]))
    present, known = np.array(enough), np.flatnonzero(np.isin(label, enough))
    sizes = tuple(np.unique(np.geomspace(min(SMALLEST, len(seen)), len(seen), STEPS).round().astype(int)).tolist())
    found = np.stack(
        [
            [_classified(rows[seen[:size]], label[seen[:size]], rows[tested], alike=alike) for size in sizes]
            for rows in codes
        ]
    )
    truth = label[tested]
    return Probe(
        names,
        len(seen),
        len(tested),
        {**_numbers(found[:, -1], truth, present, names, seed), **_clusters(codes[:, known], label[known], seed)},
        sizes,
        np.array([[_rates(row, truth, present)[2].mean() for row in rows] for rows in found]),
        left_out,
    )


def _classified(
    seen: Float[np.ndarray, "event latent"],
    label: Int[np.ndarray, " event"],
    asked: Float[np.ndarray, "query latent"],
    *,
    alike: bool,
) -> Int[np.ndarray, " query"]:
    """Return the class that a logistic regression gives to each query."""
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

    if (label == label[0]).all():
        return np.full(len(asked), label[0])
    mean, std = seen.mean(0), np.full(seen.shape[1], seen.std()) if alike else seen.std(0)
    std[std == 0] = 1
    classifier = LogisticRegression(max_iter=1000).fit((seen - mean) / std, label)
    return np.asarray(classifier.predict((asked - mean) / std))


def _rates(
    found: Int[np.ndarray, " event"],
    truth: Int[np.ndarray, " event"],
    present: Int[np.ndarray, " class"],
    weight: Shaped[np.ndarray, " event"] | None = None,
) -> Float[np.ndarray, "rate class"]:
    """Return precision, recall and F1 of each class, NaN where they have no denominator."""
    weight = np.ones(len(truth)) if weight is None else weight
    given, true = found == present[:, None], truth == present[:, None]
    both, named, there = ((chosen @ weight).astype(float) for chosen in (given & true, given, true))
    pairs = ((both, named), (both, there), (2 * both, named + there))
    return np.stack([np.divide(a, b, out=np.full_like(a, np.nan), where=b > 0) for a, b in pairs])


def _numbers(
    found: Int[np.ndarray, "replica event"],
    truth: Int[np.ndarray, " event"],
    present: Int[np.ndarray, " class"],
    names: Sequence[str],
    seed: int,
) -> dict[str, Number | None]:
    rates = np.stack([_rates(row, truth, present) for row in found])
    copies = np.random.default_rng(seed).poisson(1.0, (RESAMPLES, len(truth)))
    resampled = np.stack([np.mean([_rates(row, truth, present, copy) for row in found], 0) for copy in copies])
    numbers: dict[str, Number | None] = {}
    for index, rate in enumerate(("precision", "recall", "f1")):
        for place, name in enumerate(names):
            numbers[f"{rate}/{name}"] = _number(rates[:, index, place], resampled[:, index, place])
    for known, name in zip(present, names, strict=True):
        if (found == known).sum(1).max() < 2:  # one event is no sample: every resample has the same precision
            numbers[f"precision/{name}"] = None
    numbers["f1_macro"] = _number(rates[:, 2].mean(1), resampled[:, 2].mean(1))
    return numbers


def _clusters(
    codes: Float[np.ndarray, "replica event latent"], label: Int[np.ndarray, " event"], seed: int
) -> dict[str, Number | None]:
    from sklearn.cluster import KMeans  # type: ignore[import-untyped]
    from sklearn.exceptions import ConvergenceWarning  # type: ignore[import-untyped]
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score  # type: ignore[import-untyped]

    count = len(np.unique(label))
    with catch_warnings():
        simplefilter("ignore", ConvergenceWarning)  # of codes that collapsed, which the numbers say
        found = [KMeans(count, n_init=STARTS, random_state=seed % 2**32).fit_predict(rows) for rows in codes]
    both = {"adjusted_rand": adjusted_rand_score, "mutual_information": normalized_mutual_info_score}
    return {
        name: _number(np.array([measure(label, row) for row in found]), np.zeros(0)) for name, measure in both.items()
    }


def _number(by_replica: Float[np.ndarray, " replica"], resampled: Float[np.ndarray, " resample"]) -> Number | None:
    """Return the mean with its interval, from the resamples that have one; None where a replica has no number."""
    value, resampled = float(by_replica.mean()), resampled[~np.isnan(resampled)]
    if np.isnan(value):
        return None
    low, high = np.quantile(resampled, (0.15865, 0.84135)).tolist() if len(resampled) else (value, value)
    spread = float(by_replica.std(ddof=1)) if len(by_replica) > 1 else None
    return Number(value, min(low, value), max(high, value), spread)
