"""Two scores on common events: the difference of their numbers, and whether it is more than chance.

Both scores meet the same Poisson resamples of the events that they share, so that what the events do to both of them
cancels, as in a paired test.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

from hepanom import bootstrap
from hepanom import metrics as measure
from hepanom.efficiency import CONFIDENCE, DETERMINED
from hepanom.evaluate import BACKGROUND_EFFICIENCIES, CURVES, FEWEST

COMPARED = ("auc", "signal_efficiency", "max_sic")
BLOCK = 100  # resamples at a time
RESOLUTION = 1e-12  # of a metric; two sums of the same terms differ in their last digits

Drawn = Mapping[str, Float[np.ndarray, " draw"]]


@dataclass(frozen=True)
class Sample:
    """Test events of a run with one score, in the order of their ids, of which each is there once.

    ``label`` counts ``classes``, -1 where the class is not known; those in ``background`` are background, all others
    anomalies. ``repeated`` events were left out because several have the same id.
    """

    event_id: UInt64[np.ndarray, " event"]
    score: Float[np.ndarray, " event"]
    category: Int[np.ndarray, " event"]
    label: Int[np.ndarray, " event"]
    weight: Float[np.ndarray, " event"]
    classes: tuple[str, ...]
    background: tuple[str, ...]
    repeated: int = 0

    def __len__(self) -> int:
        return len(self.event_id)

    @property
    def anomaly(self) -> Int[np.ndarray, " event"]:
        """Return 1 for an anomaly, 0 for background, -1 where the class is not known or no class is background."""
        kinds = [int(name not in self.background) if self.background else -1 for name in self.classes]
        return np.take(np.array([*kinds, -1], np.int64), self.label)

    def take(self, rows: Int[np.ndarray, " row"] | Bool[np.ndarray, " event"]) -> Sample:
        """Return the events at these rows."""
        arrays = {name: getattr(self, name)[rows] for name in ("event_id", "score", "category", "label", "weight")}
        return replace(self, **arrays)


def sample(
    event_id: UInt64[np.ndarray, " event"],
    score: Float[np.ndarray, " event"],
    category: Int[np.ndarray, " event"],
    label: Int[np.ndarray, " event"],
    weight: Float[np.ndarray, " event"],
    *,
    classes: tuple[str, ...],
    background: tuple[str, ...],
) -> Sample:
    """Return events in the order of their ids, without those whose id several events have."""
    _, first, times = np.unique(event_id, return_index=True, return_counts=True)
    rows, repeated = first[times == 1], int(times[times > 1].sum())
    everything = Sample(event_id, score, category, label, weight.astype(np.float64), classes, background, repeated)
    return everything.take(rows)


@dataclass(frozen=True)
class Difference:
    """A number of two scores on common events: both values, other minus reference, and its significance.

    [``low``, ``high``] holds 68.27 % of the paired resamples, ``z`` is the difference in units of their standard
    deviation and ``p`` the two-sided chance of one as large under a normal distribution around zero. Both are None
    where the scores differ by the same in every resample.
    """

    metric: str
    reference: float
    other: float
    difference: float
    low: float
    high: float
    z: float | None
    p: float | None


@dataclass(frozen=True)
class Pairing:
    """How two runs compare on the events that both have scored.

    Of ``shared`` events those enter whose class is known in both: ``anomalies`` and ``background``. ``reweighted`` of
    them weigh something else in the two runs, beyond one factor for background and one for anomalies; all count with
    the weight of the reference. ``why`` says why there are no ``differences``, "" where there are some.
    """

    shared: int
    anomalies: int = 0
    background: int = 0
    reweighted: int = 0
    differences: tuple[Difference, ...] = ()
    why: str = ""


def pair(
    reference: Sample, other: Sample, resamples: int, seed: int, known: dict[bytes, Drawn] | None = None
) -> Pairing:
    """Compare two scores on their common events by a paired bootstrap.

    With d the difference of a number on all common events and d_r on resample r, in which both scores count each event
    k times, k from Poisson(1): z = d / sd(d_r), p = erfc(|z| / sqrt 2). The same scores give z = 0 and p = 1. Weights
    are those of the reference. Curves over several categories move the cuts of all at equal background efficiency
    (``metrics.pooled_rank``). Left out are efficiencies at cuts with fewer than ten effective background events above
    them, and numbers that the events cannot give. ``known`` keeps what was resampled for further pairs.

    The test is of these trained detectors: what another training of either would give, it does not know.

    References:
        B. Efron, R. Tibshirani, An introduction to the bootstrap, 1993, doi:10.1201/9780429246593.
        E. DeLong, D. DeLong, D. Clarke-Pearson, Comparing the areas under two or more correlated receiver operating
        characteristic curves, 1988, doi:10.2307/2531595.
    """
    shared, first, second = np.intersect1d(reference.event_id, other.event_id, True, return_indices=True)
    a, b = reference.take(first), other.take(second)
    if not len(shared):
        return Pairing(0, why="they have no event in common")
    if why := _contradiction(a, b):
        return Pairing(len(shared), why=why)
    enter = (a.anomaly >= 0) & (b.anomaly >= 0)
    a, b = a.take(enter), b.take(enter)
    anomalies, background = (int((a.anomaly == kind).sum()) for kind in (1, 0))
    found = Pairing(len(shared), anomalies, background, _reweighted(a, b))
    if min(int(((a.weight != 0) & (a.anomaly == kind)).sum()) for kind in (1, 0)) < FEWEST:
        return replace(found, why=f"their common events hold {anomalies} anomalies and {background} of background")
    if broken := int(np.count_nonzero(np.isnan(a.score) | np.isnan(b.score))):
        return replace(found, why=f"{broken} of their common events have a score that is NaN")
    known = {} if known is None else known
    one, two = (_resampled(each, resamples, seed, known) for each in (a, replace(b, weight=a.weight)))
    differences = tuple(each for name in one if (each := difference(name, one[name], two[name])) is not None)
    return replace(found, differences=differences, why="" if differences else "their common events give no number")


def difference(
    metric: str, reference: Float[np.ndarray, " draw"], other: Float[np.ndarray, " draw"]
) -> Difference | None:
    """Return the difference of a number whose first value is of the events themselves, the others of resamples.

    None where the events do not give the number, or fewer than two resamples do.
    """
    apart = other - reference
    value, drawn = float(apart[0]), apart[1:][np.isfinite(apart[1:])]
    if not math.isfinite(value) or len(drawn) < 2:
        return None
    tails = [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)]
    low, high = np.percentile(drawn, tails, method="nearest").tolist()
    deviation = float(drawn.std(ddof=1))
    z = 0.0 if abs(value) <= RESOLUTION else value / deviation if deviation > RESOLUTION else None
    return Difference(
        metric=metric,
        reference=float(reference[0]),
        other=float(other[0]),
        difference=value,
        low=min(low, value),
        high=max(high, value),
        z=z,
        p=None if z is None else math.erfc(abs(z) / math.sqrt(2)),
    )


def ranked(sample: Sample) -> Float[np.ndarray, " event"]:
    """Return the scores on one scale for all categories: themselves, or their background ranks where there are several.

    ``metrics.pooled_rank`` says how; events of unknown class count as background, so leave them out before.
    """
    if len(np.unique(sample.category)) < 2:
        return sample.score
    return measure.pooled_rank(sample.score, sample.category, sample.anomaly == 1, sample.weight)


def _resampled(sample: Sample, resamples: int, seed: int, known: dict[bytes, Drawn]) -> Drawn:
    """Return each number of the sample itself, then of its resamples; from ``known`` where it is there."""
    digest = hashlib.blake2b(repr((resamples, seed)).encode())
    for array in (sample.event_id, sample.score, sample.category, sample.anomaly, sample.weight):
        digest.update(np.ascontiguousarray(array).data)
    if (key := digest.digest()) not in known:
        known[key] = _draw(sample, resamples, seed)
    return known[key]


def _draw(sample: Sample, resamples: int, seed: int) -> Drawn:
    anomaly, score = sample.anomaly == 1, ranked(sample)
    itself = measure.roc(score, anomaly, sample.weight)
    values = {name: [value] for name, value in _numbers(itself).items()}
    least = DETERMINED / max(itself.background_effective, 1.0)
    for efficiency in BACKGROUND_EFFICIENCIES:
        if efficiency < least * (1 - measure.ROUNDING):
            del values[f"signal_efficiency_{efficiency:g}"]
    for start in range(0, resamples, BLOCK):  # the sums above all cuts of all resamples at once would fill the memory
        copies = bootstrap.draws(len(sample), min(BLOCK, resamples - start), seed + start)
        for curve in bootstrap.curves(score, anomaly, sample.weight, copies):
            found = _numbers(curve)
            for name, drawn in values.items():
                drawn.append(found[name])
    return {name: np.array(drawn) for name, drawn in values.items()}


def _numbers(curve: measure.Roc) -> dict[str, float]:
    return {name: value for metric in COMPARED for name, value in CURVES[metric](curve, 0.0).items()}


def _contradiction(a: Sample, b: Sample) -> str:
    """Say which common events are background in one run and anomalies in the other; "" where all agree."""
    rows = np.flatnonzero((a.anomaly >= 0) & (b.anomaly >= 0) & (a.anomaly != b.anomaly))
    if not len(rows):
        return ""
    pairs, times = np.unique(np.stack([a.label[rows], b.label[rows]]), axis=1, return_counts=True)
    first, second = pairs[:, times.argmax()].tolist()
    one, two = a.classes[first], b.classes[second]
    words = [("an anomaly", "background")[name in each.background] for each, name in ((a, one), (b, two))]
    if one == two:
        return f"class {one!r} is {words[0]} in the reference and {words[1]} in the other"
    return (
        f"{times.max():,} of {len(a):,} common events are of class {one!r}, {words[0]}, in the reference and of class "
        f"{two!r}, {words[1]}, in the other"
    )


def _reweighted(a: Sample, b: Sample) -> int:
    """Count the events whose weights differ by another factor than those of the others of background or anomalies."""
    count = 0
    for kind in (0, 1):
        rows = (a.anomaly == kind) & (a.weight != 0)
        if rows.any():
            ratio = b.weight[rows] / a.weight[rows]
            count += int(np.count_nonzero(~np.isclose(ratio, np.median(ratio), rtol=1e-5, atol=0)))
    return count
