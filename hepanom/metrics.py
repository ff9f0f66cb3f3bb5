"""Weighted measures of a selection and of a score: pure functions on arrays, float64 inside.

A sample is a score, a flag "is an anomaly" and a weight per event; signal means anomaly. Everywhere:

- One class only (a class whose weights do not sum to more than zero) or no event at all: NaN, without a warning.
- Events of weight zero change nothing. Events of equal score are one group: no cut can part them.
- Negative weights enter every sum with their sign, as in a histogram. Ratios may then leave [0, 1], a ratio whose
  denominator is not positive is NaN, and a curve need not be monotonic: "the best cut" is the best of all cuts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

ROUNDING = 1e-9  # relative; sums of weights that are equal on paper differ in their last digits


@dataclass(frozen=True)
class Confusion:
    """Sums of weights by truth and decision: anomalies flagged and missed, background flagged and passed."""

    tp: float
    fp: float
    fn: float
    tn: float

    @property
    def two_classes(self) -> bool:
        """Whether anomalies and background both have a positive sum of weights."""
        return self.tp + self.fn > 0 and self.fp + self.tn > 0


def confusion(
    flagged: Bool[np.ndarray, " event"], anomaly: Bool[np.ndarray, " event"], weight: Float[np.ndarray, " event"]
) -> Confusion:
    """Sum the weights of flagged and other events, anomalies and background."""
    cell = 2 * flagged.view(np.uint8) + anomaly.view(np.uint8)
    tn, fn, fp, tp = np.bincount(cell, weights=weight, minlength=4).astype(np.float64).tolist()
    return Confusion(tp, fp, fn, tn)


def accuracy(c: Confusion) -> float:
    """Return the share of right decisions, (tp + tn) / (tp + fp + fn + tn)."""
    return _ratio(c.tp + c.tn, c.tp + c.fp + c.fn + c.tn) if c.two_classes else math.nan


def precision(c: Confusion) -> float:
    """Return the purity of the flagged events, tp / (tp + fp); NaN where nothing is flagged."""
    return _ratio(c.tp, c.tp + c.fp) if c.two_classes else math.nan


def recall(c: Confusion) -> float:
    """Return the share of the anomalies that is flagged, tp / (tp + fn): the signal efficiency."""
    return _ratio(c.tp, c.tp + c.fn) if c.two_classes else math.nan


def f1(c: Confusion) -> float:
    """Return the harmonic mean of precision and recall, 2 tp / (2 tp + fp + fn); 0 where nothing is flagged."""
    return _ratio(2 * c.tp, 2 * c.tp + c.fp + c.fn) if c.two_classes else math.nan


def mcc(c: Confusion) -> float:
    """Return Matthews' correlation coefficient of truth and decision.

    (tp tn - fp fn) / sqrt((tp + fp) (tp + fn) (tn + fp) (tn + fn)); 0, its limit, where all or no events are flagged.

    References:
        B. W. Matthews, Comparison of the predicted and observed secondary structure of T4 phage lysozyme, 1975,
        doi:10.1016/0005-2795(75)90109-9.
        D. Chicco, G. Jurman, The advantages of the Matthews correlation coefficient, 2020,
        doi:10.1186/s12864-019-6413-7.
    """
    flagged, passed = c.tp + c.fp, c.fn + c.tn
    if not c.two_classes or flagged < 0 or passed < 0:
        return math.nan
    if flagged == 0 or passed == 0:
        return 0.0
    geometric = math.sqrt(flagged) * math.sqrt(passed) * math.sqrt(c.tp + c.fn) * math.sqrt(c.fp + c.tn)
    return _ratio(c.tp * c.tn - c.fp * c.fn, geometric)


def ams(s: float, b: float, b_reg: float = 10.0) -> float:
    """Return the approximate median significance of s signal events over b background events.

    AMS = sqrt(2 ((s + b + b_reg) ln(1 + s / (b + b_reg)) - s)), with yields as expected in the data. ``b_reg`` keeps a
    cut that a handful of background events happens to miss from looking significant. A deficit (s <= 0) is no evidence:
    0. NaN where b + b_reg is not positive.

    References:
        C. Adam-Bourdarios et al., The Higgs boson machine learning challenge, JMLR W&CP 42 (2015) 19.
        G. Cowan et al., Asymptotic formulae for likelihood-based tests of new physics, 2011, arXiv:1007.1727.
    """
    return float(_ams(np.asarray([s], np.float64), np.asarray([b], np.float64), b_reg)[0])


@dataclass(frozen=True)
class Roc:
    """What lies above every cut of a score, from the tightest (nothing) to the loosest (everything).

    Point i flags the events with score > ``cut[i]``; ``cut`` falls from the largest score through each distinct score
    to -inf. ``signal`` and ``background`` are sums of weights, ``background_squares`` sums of squared weights.
    """

    cut: Float[np.ndarray, " cut"]
    signal: Float[np.ndarray, " cut"]
    background: Float[np.ndarray, " cut"]
    background_squares: Float[np.ndarray, " cut"]

    @property
    def signal_total(self) -> float:
        """The weight of all anomalies."""
        return float(self.signal[-1])

    @property
    def background_total(self) -> float:
        """The weight of all background."""
        return float(self.background[-1])

    @property
    def background_effective(self) -> float:
        """The effective number of background events, (sum w)^2 / sum w^2."""
        return _ratio(self.background_total**2, float(self.background_squares[-1]))

    @property
    def two_classes(self) -> bool:
        """Whether anomalies and background both have a positive sum of weights."""
        return self.signal_total > 0 and self.background_total > 0


def roc(
    score: Float[np.ndarray, " event"], anomaly: Bool[np.ndarray, " event"], weight: Float[np.ndarray, " event"]
) -> Roc:
    """Sum the weights above every cut, by one sort. Scores are not NaN."""
    order = np.argsort(-score, kind="stable")
    ranked, w = score[order].astype(np.float64), weight[order].astype(np.float64)
    last = np.ones(len(ranked), np.bool_)  # of the events of equal score: only there is a cut
    last[:-1] = ranked[1:] != ranked[:-1]
    background = np.where(anomaly[order], 0.0, w)
    sums = (np.cumsum(values)[last] for values in (w - background, background, background * w))
    return Roc(np.append(ranked[last], -np.inf), *(np.append(0.0, values) for values in sums))


def auc(curve: Roc) -> float:
    """Return the area under the curve: the chance that an anomaly scores above a background event, ties counting half.

    References:
        J. A. Hanley, B. J. McNeil, The meaning and use of the area under a receiver operating characteristic curve,
        1982, doi:10.1148/radiology.143.1.7063747.
    """
    if not curve.two_classes:
        return math.nan
    area = np.dot(np.diff(curve.background), curve.signal[1:] + curve.signal[:-1]) / 2
    return float(area / (curve.signal_total * curve.background_total))


def signal_efficiency(curve: Roc, background_efficiency: float) -> float:
    """Return the largest signal efficiency of a cut that passes at most this share of the background.

    A cut that exists, no interpolation: between two tied groups only a coin could reach the efficiency in between. NaN
    where the sample has less than one effective background event at that efficiency, so that it cannot tell.
    """
    if not curve.two_classes or background_efficiency * curve.background_effective < 1 - ROUNDING:
        return math.nan
    passing = curve.background <= background_efficiency * curve.background_total * (1 + ROUNDING)
    return float(curve.signal[passing].max() / curve.signal_total)


def rejection(curve: Roc, signal_efficiency: float) -> float:
    """Return 1 / background efficiency of the best cut that keeps at least this share of the signal.

    Infinite where such a cut passes no background of the sample, or, with negative weights, a sum that is not positive.
    """
    if not curve.two_classes or signal_efficiency > 1:
        return math.nan
    keeping = curve.signal >= signal_efficiency * curve.signal_total * (1 - ROUNDING)
    background = float(curve.background[keeping].min())
    return curve.background_total / background if background > 0 else math.inf


def sic(curve: Roc, floor: float = 0.2) -> Float[np.ndarray, " cut"]:
    """Return the significance improvement of every cut, eps_s / sqrt(eps_b), NaN below the floor.

    Below the floor are cuts where the relative statistical error of the background above them exceeds ``floor``, that
    is where fewer than 1 / floor^2 effective events (sum w)^2 / sum w^2 are left: 25 for 0.2.

    References:
        J. Gallicchio et al., Multivariate discrimination and the Higgs + W/Z search, 2011, arXiv:1010.3698.
    """
    improvement = np.full(len(curve.cut), np.nan)
    if curve.two_classes:
        measured = curve.background_squares * (1 - ROUNDING) <= (floor * curve.background) ** 2
        measured &= curve.background > 0
        efficiency = curve.background[measured] / curve.background_total
        improvement[measured] = curve.signal[measured] / curve.signal_total / np.sqrt(efficiency)
    return improvement


def max_sic(curve: Roc, floor: float = 0.2) -> float:
    """Return the largest significance improvement of all cuts above the floor; NaN where there is none.

    Flagging everything has 1, so with enough background it is at least 1.
    """
    return _largest(sic(curve, floor))


def max_ams(curve: Roc, b_reg: float = 10.0) -> float:
    """Return the largest AMS of all cuts, for weights that sum to expected yields.

    There is no floor on the background as for ``sic``: that is what ``b_reg`` is for.
    """
    return _largest(_ams(curve.signal, curve.background, b_reg)) if curve.two_classes else math.nan


def pooled_rank(
    score: Float[np.ndarray, " event"],
    category: Int[np.ndarray, " event"],
    anomaly: Bool[np.ndarray, " event"],
    weight: Float[np.ndarray, " event"],
) -> Float[np.ndarray, " event"]:
    """Return scores on one scale for all categories: a cut on them has the same background efficiency in each.

    Scores of different categories' models share no scale. An event's place is the share of its category's background
    that scores higher (ties: half of theirs), and within equal shares its score. The signal efficiency of the result
    at background efficiency f is sum_c S_c TPR_c(f) / S, for signal S_c of category c. Higher is stranger. Within a
    category the order is that of the scores, ties kept, also with negative weights: the share is then the largest of
    all tighter cuts. A category without background has no scale; its events come last.
    """
    share = np.full(len(score), np.inf)
    for index in np.unique(category):
        rows = np.flatnonzero(category == index)
        curve = roc(score[rows], anomaly[rows], weight[rows])
        if curve.background_total > 0:
            above = np.maximum.accumulate(curve.background) / curve.background_total
            group = np.searchsorted(-curve.cut[:-1], -score[rows].astype(np.float64))
            share[rows] = (above[group] + above[group + 1]) / 2
    order = np.lexsort((-score, share))
    step = np.zeros(len(score), np.bool_)
    for values in (share[order], score[order]):
        step[1:] |= values[1:] != values[:-1]
    rank = np.empty(len(score))
    rank[order] = -np.cumsum(step, dtype=np.float64)
    return rank


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan


def _ams(s: Float[np.ndarray, " cut"], b: Float[np.ndarray, " cut"], b_reg: float) -> Float[np.ndarray, " cut"]:
    significance = np.where(b + b_reg > 0, 0.0, np.nan)
    excess = (s > 0) & (b + b_reg > 0)
    signal, background = s[excess], b[excess] + b_reg
    with np.errstate(over="ignore"):  # next to no background: infinite
        halved = (signal + background) * np.log1p(signal / background) - signal
    significance[excess] = np.sqrt(2 * np.maximum(halved, 0.0))
    return significance


def _largest(values: Float[np.ndarray, " cut"]) -> float:
    known = values[~np.isnan(values)]
    return float(known.max()) if len(known) else math.nan
