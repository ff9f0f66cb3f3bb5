"""Cuts that depend on a variable: the same background efficiency in its bins, or by quantile regression on it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from hepanom.efficiency import Tail, pooled, quantile, tail
from hepanom.options import Section
from hepanom.pinball import curve

MOST_VALUES = 20  # of a column that get a bin each
BINS = 10  # of equal background weight
MISSING = "missing"  # the bin of events without the variable
Place = Callable[[Float[np.ndarray, " event"], Float[np.ndarray, " event"]], float]


class Per(Section):
    """A variable on which a cut depends, so that the background efficiency does not."""

    column: str = Field(min_length=1, description="column beside the features, or a feature of a table as it was read")
    method: Literal["bins", "quantile_regression"] = Field(
        default="bins", description="a cut for each bin, or one that is linear in the variable between knots"
    )
    bins: Annotated[int, Field(ge=1, le=100)] | Annotated[tuple[float, ...], Field(min_length=2)] | None = Field(
        default=None,
        description="their number, of equal background weight, or their edges; without it a bin for each of up to "
        "20 values, and 10 bins for more; with quantile regression they are where the efficiency is stated",
    )
    knots: int = Field(default=5, ge=2, le=50, description="of the quantile regression, at equal distances in weight")

    @model_validator(mode="after")
    def _rising(self) -> Per:
        if isinstance(self.bins, tuple) and not all(low < high for low, high in pairwise(self.bins)):
            raise PydanticCustomError("edges", "edges of bins rise, such as bins: [80, 100, 150]")
        return self

    @property
    def label(self) -> str:
        """Return the column as a part of a name: letters, digits and the signs ``_ . -``."""
        return re.sub(r"[^\w.-]+", "_", self.column, flags=re.ASCII).strip("_")


@dataclass(frozen=True)
class Bin:
    """A bin of the variable: the cut there (of a curve, at the bin's median) and its background efficiency.

    [``low``, ``high``] is the 68.27 % interval of the efficiency, ``effective`` the effective number of events above
    the cut. A bin without any background takes the cut of all of it: its efficiency is that of all, with an interval
    from 0 to 1.
    """

    label: str
    cut: float
    background_efficiency: float
    low: float
    high: float
    effective: float
    undetermined: bool


@dataclass(frozen=True)
class Conditional:
    """A cut as a function of a column.

    ``edges`` part the ``bins``, of which the first and the last reach on for ever and each begins with its edge;
    ``missing`` is the bin of events whose column is NaN or infinite. With ``knots`` the cut is a curve through
    ``heights``, linear between them and constant beyond, and the bins say how well it does.
    """

    column: str
    edges: tuple[float, ...]
    bins: tuple[Bin, ...]
    missing: Bin
    knots: tuple[float, ...] = ()
    heights: tuple[float, ...] = ()

    def cuts(self, variable: Float[np.ndarray, " event"]) -> Float[np.ndarray, " event"]:
        """Return the cut of each event."""
        if self.knots:
            found = np.interp(variable, self.knots, self.heights)
        else:
            found = np.array([entry.cut for entry in self.bins])[np.searchsorted(self.edges, variable, side="right")]
        return np.where(np.isfinite(variable), found, self.missing.cut)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return asdict(self)

    @staticmethod
    def from_json(plain: Mapping[str, Any]) -> Conditional:
        """Return what ``to_json`` described."""
        lists = {key: tuple(plain[key]) for key in ("edges", "knots", "heights")}
        bins = tuple(Bin(**entry) for entry in plain["bins"])
        return Conditional(plain["column"], bins=bins, missing=Bin(**plain["missing"]), **lists)


def conditional(
    per: Per,
    variable: Float[np.ndarray, " event"],
    score: Float[np.ndarray, " event"],
    weight: Float[np.ndarray, " event"],
    place: Place,
    share: float | None,
) -> tuple[Conditional, Tail]:
    """Return the cut as a function of the variable, and what is known of all the background above it.

    ``place`` cuts the background of one bin; where it leaves a ``share`` above, its cut is the score of an event.
    """
    score, weight, variable = (values.astype(np.float64) for values in (score, weight, variable))
    edges, labels = bins_of(per, variable, weight)
    index, known = bin_index(edges, variable), np.isfinite(variable)
    line = None
    if per.method == "quantile_regression" and share is not None and weight[known].any():
        line = curve(variable, score, np.where(known, weight, 0.0), share, per.knots)
    usual = place(score, weight)
    whole = one_cut(score, weight, usual, at_event=share is not None)
    bins, parts, above = list[Bin](), list[Tail](), np.zeros(len(score), np.bool_)
    for number, label in enumerate((*labels, MISSING)):
        here = (index == number) & (weight > 0)
        if not here.any():
            bins.append(Bin(label, usual, whole.share, 0.0, 1.0, 0.0, undetermined=True))
            continue
        if line is None or label == MISSING:
            cut = place(score[here], weight[here])
            above[here] = score[here] > cut
            part = one_cut(score[here], weight[here], cut, at_event=share is not None)
        else:
            cut = float(np.interp(quantile(variable[here], weight[here], 0.5), line.knots, line.heights))
            above[here] = score[here] > np.interp(variable[here], line.knots, line.heights)
            part = tail(weight[here], above[here], weight[line.on], int((here & line.on).sum()))
        bins.append(Bin(label, cut, part.share, *part.interval, part.effective, part.undetermined))
        parts.append(part)
    if line is not None:
        whole_line = tail(weight[known], above[known], weight[line.on], int(line.on.sum()))
        parts = [whole_line, *(parts[-1:] if weight[~known].any() else [])]
    found = pooled(tail(weight, above, np.zeros(0)), parts)
    drawn = {} if line is None else {"knots": tuple(line.knots.tolist()), "heights": tuple(line.heights.tolist())}
    return Conditional(per.column, edges, tuple(bins[:-1]), bins[-1], **drawn), found


def one_cut(
    score: Float[np.ndarray, " event"], weight: Float[np.ndarray, " event"], cut: float, *, at_event: bool
) -> Tail:
    """Return what is known of the background above one cut; events that share the score of the cut count as one."""
    tied = weight[(score == cut) & (weight > 0)]
    near = tied.mean(keepdims=True) if at_event else np.zeros(0)
    return tail(weight, score > cut, near, through=int(at_event))


def bins_of(
    per: Per, variable: Float[np.ndarray, " event"], weight: Float[np.ndarray, " event"]
) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return the edges between the bins, and the names of the bins.

    Where the recipe gives edges, the outermost are none: what lies beyond counts in the first and last bin.
    """
    there = np.isfinite(variable) & (weight > 0)
    values, mass = variable[there], weight[there]
    distinct = np.unique(values)
    if isinstance(per.bins, tuple):
        inner = list(per.bins[1:-1])
    elif per.bins is None and per.method == "bins" and len(distinct) <= MOST_VALUES:
        return tuple(distinct[1:].tolist()), tuple(f"{value:g}" for value in distinct) or ("any",)
    else:
        number = per.bins or BINS
        wanted = {quantile(values, mass, step / number) for step in range(1, number)} if len(values) else set()
        inner = sorted(edge for edge in wanted if edge > distinct[0])
    if not inner:
        return (), ("any",)
    between = (f"{low:g} to {high:g}" for low, high in pairwise(inner))
    return tuple(inner), (f"below {inner[0]:g}", *between, f"{inner[-1]:g} and above")


def bin_index(edges: tuple[float, ...], variable: Float[np.ndarray, " event"]) -> Int[np.ndarray, " event"]:
    """Return each event's bin; that of a variable that is NaN or infinite is one more than there are."""
    return np.where(np.isfinite(variable), np.searchsorted(edges, variable, side="right"), len(edges) + 1)
