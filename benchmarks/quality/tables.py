"""Mean and spread over the seeds, the best of each side, and what lies between them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

COLUMNS = {
    "auc": "AUC",
    "signal_efficiency_0.1": "eps_s at eps_b = 0.1",
    "signal_efficiency_0.01": "at 0.01",
    "signal_efficiency_0.001": "at 0.001",
    "max_sic": "max SIC",
}
SIDES = ("hepanom", "PyOD")
KINDS = ("deep", "classical")


@dataclass(frozen=True)
class Entry:
    """The numbers of one model on one data set for one seed, with at most ``events`` to train on (0: all).

    ``side`` is hepanom or PyOD, ``kind`` deep or classical; ``numbers`` are those of ``sample.numbers``, none where the
    model ``failed``, which says why.
    """

    data: str
    seed: int
    events: int
    side: str
    kind: str
    model: str
    setup: str
    numbers: Mapping[str, float]
    failed: str
    seconds: float


def line(entry: Entry) -> str:
    """Return one line on an entry."""
    told = f"failed: {entry.failed:.80}" if entry.failed else f"AUC {entry.numbers['auc']:.3f}"
    return f"{entry.side} {entry.model}: {told} ({entry.seconds:.0f} s)"


def values(entries: Sequence[Entry], name: str) -> dict[str, Float[np.ndarray, " seed"]]:
    """Return a number in the order of the seeds, by model; models that failed for a seed are left out."""
    seeds = sorted({entry.seed for entry in entries})
    found = {(entry.model, entry.seed): entry.numbers[name] for entry in entries if entry.numbers}
    models = dict.fromkeys(entry.model for entry in entries)
    whole = [model for model in models if all((model, seed) in found for seed in seeds)]
    return {model: np.array([found[model, seed] for seed in seeds]) for model in whole}


def best(entries: Sequence[Entry], side: str) -> str | None:
    """Return a side's model with the largest mean AUC; None where it has none."""
    found = values([entry for entry in entries if entry.side == side], "auc")
    return max(found, key=lambda model: float(found[model].mean())) if found else None


def difference(entries: Sequence[Entry], name: str = "auc") -> tuple[float, float] | None:
    """Return mean and standard deviation (ddof 1) over the seeds of hepanom's best less PyOD's best.

    Both are tested on the same events for a seed, which makes the difference more certain than either. The deviation is
    NaN for one seed. None where a side has no model.
    """
    found = []
    for side in SIDES:
        model = best(entries, side)
        if model is None:
            return None
        found.append(values([entry for entry in entries if entry.side == side], name)[model])
    apart = found[0] - found[1]
    return float(apart.mean()), float(apart.std(ddof=1)) if len(apart) > 1 else math.nan


def table(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield the lines of one data set's tables in Markdown: deep models and classical ones, the best first."""
    for kind in KINDS:
        here = [entry for entry in entries if entry.kind == kind]
        if not here:
            continue
        yield f"| {kind} | | {' | '.join(COLUMNS.values())} |"
        yield f"|---|---|{'---|' * len(COLUMNS)}"
        yield from _rows(here)
        yield ""
    for kind in (*KINDS, "all"):
        here = [entry for entry in entries if kind in (entry.kind, "all")]
        if (found := difference(here)) is not None:
            models = " less ".join(f"{side} {best(here, side)}" for side in SIDES)
            spread = "" if math.isnan(found[1]) else f" ± {found[1]:.3f}"
            yield f"- {kind}: {models}: AUC {found[0]:+.3f}{spread}"
    yield from dict.fromkeys(f"- {each.side} {each.model} failed: {each.failed}" for each in entries if each.failed)


def _rows(entries: Sequence[Entry]) -> Iterator[str]:
    rows = []
    for side in SIDES:
        mine, marked = [entry for entry in entries if entry.side == side], best(entries, side)
        found = {name: values(mine, name) for name in COLUMNS}
        for model, aucs in found["auc"].items():
            cells = " | ".join(_cell(found[name][model]) for name in COLUMNS)
            shown = f"**{model}**" if model == marked else model
            rows.append((float(-aucs.mean()), f"| {shown} | {side} | {cells} |"))
    yield from (row for _, row in sorted(rows))


def _cell(found: Float[np.ndarray, " seed"]) -> str:
    if not np.isfinite(found).all():
        return "-"
    return f"{found.mean():.3f} ± {found.std(ddof=1):.3f}" if len(found) > 1 else f"{found.mean():.3f}"
