"""Rules that turn the scores of held-out background into a cut, with the uncertainty of its background efficiency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field

from hepanom.conditional import Conditional, Per, conditional, one_cut
from hepanom.efficiency import quantile
from hepanom.errors import InputError, did_you_mean
from hepanom.options import LABEL, Section

RuleName = Literal["quantile", "median", "mean", "background_efficiency", "background_rate", "value"]
RULES: tuple[RuleName, ...] = get_args(RuleName)
FIXED = ("mean", "value")  # rules that cut at a place, not at an event


class Rule(Section):
    """A rule that turns held-out background scores into a cut; flagged means score > cut."""

    rule: RuleName = Field(description="what of the background scores is the cut; `value` is a cut of your own")
    value: float | None = Field(
        default=None,
        description="share of the background below (quantile) or above the cut, its rate in Hz, or the cut itself",
    )
    input_rate: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="rate of all background in Hz: background_rate needs it, and any rule then states its rate",
    )
    per: Per | None = Field(
        default=None, description="a variable on which the cut depends, so that the efficiency does not"
    )
    name: str | None = Field(
        default=None, pattern=LABEL, description="name in every table; made of the rule by default"
    )
    on: Literal["calibrate", "train"] = Field(default="calibrate", description="whose background scores set the cut")
    weighted: bool = Field(default=True, description="whether a share is one of weight, or of events")

    @property
    def label(self) -> str:
        """Return the rule's name in every table, such as ``background_efficiency_0.01``."""
        return self.name or rule_name(self.rule, self.value, self.per)


@dataclass(frozen=True)
class Threshold:
    """A cut on one score in one category: an event is flagged when score > its cut, and ``flag`` alone says so.

    ``background_efficiency`` is the weighted share of the held-out background above the cut, [``low``, ``high``] its
    68.27 % interval, ``effective`` the effective number of events above the cut; with fewer than ten of them the
    threshold is ``undetermined``. ``replica`` counts trainings, -1 is the mean rank of all of them. ``input_rate`` is
    that of the category in Hz, where the rule says one. With ``along`` the cut is a function of a column, and ``cut``
    what it would be without. ``title`` is a name of the threshold's own.
    """

    scorer: str
    rule: str
    setting: float | None
    category: str
    replica: int
    cut: float
    background_efficiency: float
    low: float
    high: float
    effective: float
    undetermined: bool
    input_rate: float | None = None
    along: Conditional | None = None
    title: str | None = None

    @property
    def name(self) -> str:
        """The title, or the rule with its setting, in the names of numbers: ``quantile_0.4``, ``median``."""
        return self.title or rule_name(self.rule, self.setting)

    @property
    def rate(self) -> tuple[float, float, float] | None:
        """The rate of background above the cut in Hz and its interval, where the input rate is known."""
        if self.input_rate is None:
            return None
        return self.input_rate * self.background_efficiency, self.input_rate * self.low, self.input_rate * self.high

    def flag(
        self, score: Float[np.ndarray, " event"], columns: Mapping[str, Float[np.ndarray, " event"]] | None = None
    ) -> Bool[np.ndarray, " event"]:
        """Return which events score above their cut, compared in double precision whatever the scores' own.

        ``columns`` holds the variable of a conditional threshold.
        """
        score = score.astype(np.float64)
        return score > (self.cut if self.along is None else self.along.cuts((columns or {})[self.along.column]))

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return asdict(self)

    @staticmethod
    def from_json(plain: Mapping[str, Any]) -> Threshold:
        """Return the threshold that ``to_json`` described, also as it was before there were all of its fields."""
        along = plain.get("along")
        return Threshold(**{**plain, "along": None if along is None else Conditional.from_json(along)})


def rule_name(rule: str, setting: float | None, per: Per | None = None) -> str:
    """Return the rule with its setting as one word: ``background_efficiency_0.01_per_PRI_jet_num``, ``mean``."""
    name = rule if setting is None else f"{rule}_{setting:g}".replace("+", "")
    return name if per is None else f"{name}_per_{per.label}"


def cut(
    rule: str,
    setting: float | None,
    score: Float[np.ndarray, " event"],
    weight: Float[np.ndarray, " event"],
    input_rate: float | None = None,
) -> float:
    """Return where the rule cuts the scores of background.

    - ``quantile`` q: the smallest score with at least a share q of the weight at or below it (the inverted weighted
      distribution, always the score of an event), so that 0.4 flags 60 %, or less where scores tie;
    - ``median``: the quantile 0.5;
    - ``background_efficiency`` e: the quantile 1 - e, so that at most a share e is flagged;
    - ``background_rate`` r: the same with e = r / ``input_rate``, both in Hz;
    - ``mean``: the weighted mean;
    - ``value``: the setting itself.

    Raises InputError for a rule or setting that does not exist, for no background, scores that are not finite and
    negative weights, which have no quantiles.
    """
    refuse_rule(rule, setting, input_rate)
    _check_background(score, weight, "thresholds")
    return _cut(rule, setting, input_rate, score, weight)


def threshold(
    rule: str,
    setting: float | None,
    score: Float[np.ndarray, " event"],
    weight: Float[np.ndarray, " event"],
    *,
    scorer: str,
    category: str,
    replica: int = 0,
    title: str | None = None,
    input_rate: float | None = None,
    share: float = 1.0,
    per: Per | None = None,
    variable: Float[np.ndarray, " event"] | None = None,
) -> Threshold:
    """Return the rule's threshold for the scores of held-out background of one category.

    Its interval is that of ``efficiency.tail``, which docs/thresholds.md measures the coverage of. ``input_rate`` is
    that of all categories, of which this one has a ``share``. With ``per`` the cut is a function of the ``variable``.

    Raises InputError as ``cut`` does, naming scorer and category.
    """
    refuse_rule(rule, setting, input_rate, per)
    _check_background(score, weight, f"thresholds: score {scorer!r}, category {category!r}")
    score, weight = score.astype(np.float64), weight.astype(np.float64)
    wanted = share_above(rule, setting, input_rate)
    place = partial(_cut, rule, setting, input_rate)
    usual, along = place(score, weight), None
    if per is None:
        found = one_cut(score, weight, usual, at_event=wanted is not None)
    else:
        assert variable is not None
        along, found = conditional(per, variable, score, weight, place, wanted)
    low, high = found.interval
    return Threshold(
        scorer=scorer,
        rule=rule,
        setting=setting,
        category=category,
        replica=replica,
        cut=usual,
        background_efficiency=found.share,
        low=low,
        high=high,
        effective=found.effective,
        undetermined=found.undetermined or (along is not None and any(entry.undetermined for entry in along.bins)),
        input_rate=None if input_rate is None else input_rate * share,
        along=along,
        title=title or (None if per is None else rule_name(rule, setting, per)),
    )


def share_above(rule: str, setting: float | None, input_rate: float | None) -> float | None:
    """Return which share of the background a rule leaves above its cut, None where it cuts at a place."""
    if rule in FIXED:
        return None
    if setting is None:
        return 0.5
    if rule == "background_rate":
        assert input_rate is not None
        return setting / input_rate
    return 1 - setting if rule == "quantile" else setting


def _cut(
    rule: str,
    setting: float | None,
    input_rate: float | None,
    score: Float[np.ndarray, " event"],
    weight: Float[np.ndarray, " event"],
) -> float:
    if rule == "value":
        assert setting is not None
        return float(setting)
    share = share_above(rule, setting, input_rate)
    if share is None:
        return float(np.average(score.astype(np.float64), weights=weight.astype(np.float64)))
    return quantile(score, weight, setting if rule == "quantile" and setting is not None else 1 - share)


def refuse_rule(
    rule: str, setting: float | None, input_rate: float | None = None, per: Per | None = None, place: str = "thresholds"
) -> None:
    """Raise InputError, which names the place, for a rule that makes no sense."""
    if found := rule_mistake(rule, setting, input_rate, per):
        raise InputError(f"{place}: {found[1]}")


def rule_mistake(
    rule: str, setting: float | None, input_rate: float | None = None, per: Per | None = None
) -> tuple[str, str] | None:
    """Return the option of a rule that is wrong and what would do, None for a sound rule."""
    if rule not in RULES:
        return "rule", f"rule {rule!r} is not there; {did_you_mean(rule, RULES)}"
    if rule in ("median", "mean"):
        if setting is not None:
            return "value", f"the rule {rule} takes no value, found {setting:g}; remove it"
    elif setting is None:
        return "", f"the rule {rule} needs a value, such as value: {100 if rule == 'background_rate' else 0.01}"
    elif rule == "value":
        if not np.isfinite(setting):
            return "value", f"the rule value needs a finite number, found {setting}"
    elif rule == "background_rate":
        if input_rate is None:
            return "", "the rule background_rate needs the rate of all events, such as input_rate: 1e5 (both in Hz)"
        if not 0 < setting < input_rate:
            return "value", f"found a rate of {setting:g} Hz; it lies between 0 and the input_rate of {input_rate:g} Hz"
    elif not 0 <= setting <= 1:
        return "value", f"found {setting}; a {rule} lies between 0 and 1"
    if per is not None and rule == "value":
        return "per", "a value is a cut of your own, which depends on no variable; leave per out"
    if per is not None and rule == "mean" and per.method == "quantile_regression":
        return "per", "a mean is no quantile; choose method: bins"
    return None


def _check_background(score: Float[np.ndarray, " event"], weight: Float[np.ndarray, " event"], place: str) -> None:
    if len(score) == 0:
        raise InputError(f"{place}: no background events; give `calibrate` a larger share of the split")
    if broken := np.count_nonzero(~np.isfinite(score)):
        raise InputError(
            f"{place}: {broken} of {len(score)} background scores are NaN or infinite; the training diverged or the "
            "inputs have outliers: try a lower learning rate, or the transforms `missing`, `log` or `standardize`"
        )
    if broken := np.count_nonzero(~np.isfinite(weight)):
        raise InputError(f"{place}: {broken} of {len(weight)} background weights are NaN or infinite; correct the data")
    if negative := np.count_nonzero(weight < 0):
        raise InputError(
            f"{place}: {negative} of {len(weight)} background weights are negative, which have no quantiles; "
            "set `weighted: false` for the rule, or `train: {weighted: absolute}`"
        )
    if not weight.any():
        raise InputError(f"{place}: all {len(weight)} background weights are 0; set `weighted: false` for the rule")
