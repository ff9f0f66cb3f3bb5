"""ROC and SIC curves of several runs in one figure, with the uncertainty that their test events leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from hepanom import bootstrap, metrics
from hepanom.canvas import LINES, LONGEST, SHADE, legend_above, plain, style
from hepanom.compare import Comparison, Entrant
from hepanom.efficiency import CONFIDENCE, effective_number
from hepanom.evaluate import FEWEST, FLOOR
from hepanom.paired import Sample, ranked

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

MOST = 8  # runs in a figure: more would be no curves but a thicket
POINTS = 200
RESAMPLES = 100  # behind a band
DASHES = ("-", "--", "-.", ":")

Read = Callable[[metrics.Roc, Float[np.ndarray, " point"]], Float[np.ndarray, " point"]]
Band = tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"], Float[np.ndarray, " point"]]


def figures(found: Comparison) -> dict[str, matplotlib.figure.Figure]:
    """Return the figures ``roc`` and ``sic``, to be saved under ``canvas.style``; none where no run has curves."""
    drawn = [run for run in found.runs[:MOST] if run.sample is not None and _has_curve(run.sample)]
    if not drawn:
        return {}
    with style():
        return {"roc": _roc(drawn), "sic": _sic(drawn)}


def band(sample: Sample, grid: Float[np.ndarray, " point"], read: Read, resamples: int = RESAMPLES) -> Band:
    """Return a curve on a grid of background efficiencies, and the central 68.27 % of its resamples.

    ``read`` takes the values from a ROC. They are NaN where the events themselves give none; the band holds the curve.
    """
    anomaly, score = sample.anomaly == 1, ranked(sample)
    value = read(metrics.roc(score, anomaly, sample.weight), grid)
    copies = bootstrap.draws(len(sample), resamples, 0)
    drawn = np.stack([read(roc, grid) for roc in bootstrap.curves(score, anomaly, sample.weight, copies)])
    known = np.isfinite(drawn)
    tails = np.sort(np.where(known, drawn, np.inf), axis=0)
    counts = known.sum(0)
    edges = []
    for share in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2):
        place = np.rint(share * np.maximum(counts - 1, 0)).astype(np.int64)
        edge = np.take_along_axis(tails, place[None], 0)[0]
        edges.append(np.where((counts > 1) & np.isfinite(value), edge, value))
    return value, np.fmin(edges[0], value), np.fmax(edges[1], value)


def signal(roc: metrics.Roc, grid: Float[np.ndarray, " point"]) -> Float[np.ndarray, " point"]:
    """Return the signal efficiency at each background efficiency, NaN without both classes."""
    if not roc.two_classes:
        return np.full(len(grid), np.nan)
    return np.asarray(np.maximum.accumulate(roc.signal)[_at(roc, grid)] / roc.signal_total)


def improvement(roc: metrics.Roc, grid: Float[np.ndarray, " point"]) -> Float[np.ndarray, " point"]:
    """Return the significance improvement at each background efficiency, NaN where the background cannot tell."""
    return metrics.sic(roc, FLOOR)[_at(roc, grid)] if roc.two_classes else np.full(len(grid), np.nan)


def _at(roc: metrics.Roc, grid: Float[np.ndarray, " point"]) -> Any:
    passed = np.maximum.accumulate(roc.background) / roc.background_total
    return np.searchsorted(passed, grid * (1 + metrics.ROUNDING), side="right") - 1


def _has_curve(sample: Sample) -> bool:
    there = sample.weight != 0
    return (
        all(int((there & (sample.anomaly == kind)).sum()) >= FEWEST for kind in (0, 1))
        and not np.isnan(sample.score).any()
    )


def _known(run: Entrant) -> Sample:
    assert run.sample is not None
    return run.sample.take(run.sample.anomaly >= 0)


def _grid(samples: Sequence[Sample]) -> Float[np.ndarray, " point"]:
    """Return background efficiencies down to that of one effective event of the largest sample."""
    sums = [sample.weight[sample.anomaly == 0] for sample in samples]
    effective = max(effective_number(weight) for weight in sums)
    return np.geomspace(min(1 / effective, 0.5), 1, POINTS)


def _curves(
    ax: matplotlib.axes.Axes,
    runs: Sequence[Entrant],
    grid: Float[np.ndarray, " point"],
    samples: Sequence[Sample],
    read: Read,
) -> None:
    """Draw the curve of each run with its band."""
    looks = zip(cycle(LINES), cycle(DASHES), strict=False)
    for run, sample, (color, dashes) in zip(runs, samples, looks, strict=False):
        value, low, high = band(sample, grid, read)
        ax.plot(grid, value, color=color, ls=dashes, label=plain(run.name[:LONGEST]))
        ax.fill_between(grid, low, high, color=color, alpha=0.2, lw=0)


def _blank(runs: Sequence[Entrant]) -> tuple[matplotlib.figure.Figure, matplotlib.axes.Axes]:
    from matplotlib.figure import Figure

    figure = Figure()
    ax = figure.subplots()
    scorers = list(dict.fromkeys(run.scorer for run in runs))
    ax.set_title(plain(", ".join(scorers)[:LONGEST]), loc="left")
    ax.set_title("bands: test events, 68 %", loc="right")
    return figure, ax


def _roc(runs: Sequence[Entrant]) -> matplotlib.figure.Figure:
    figure, ax = _blank(runs)
    samples = [_known(run) for run in runs]
    grid = _grid(samples)
    _curves(ax, runs, grid, samples, signal)
    ax.plot(grid, grid, color="grey", ls=":", lw=1.2, label="random")
    ax.axhline(1, color="grey", lw=0.8)
    ax.set(xscale="log", xlim=(grid[0], 1), ylim=(0, 1 / (1 - legend_above(ax))))
    ax.set(xlabel="background efficiency", ylabel="signal efficiency")
    return figure


def _sic(runs: Sequence[Entrant]) -> matplotlib.figure.Figure:
    figure, ax = _blank(runs)
    samples = [_known(run) for run in runs]
    grid = _grid(samples)
    _curves(ax, runs, grid, samples, improvement)
    ax.axhline(1, color="grey", ls=":", lw=1.2, label="no cut")
    measured = np.isfinite(np.concatenate([line.get_ydata() for line in ax.lines[:-1]]).reshape(-1, len(grid))).any(0)
    if measured.any() and (floor := float(grid[measured.argmax()])) > grid[0]:
        ax.axvspan(grid[0], floor, color=SHADE, lw=0)
        place: dict[str, Any] = {"rotation": 90, "ha": "center", "va": "bottom", "transform": ax.get_xaxis_transform()}
        note = f"background error above {100 * FLOOR:g} %"
        ax.text(float(np.sqrt(grid[0] * floor)), 0.04, note, size="x-small", color="dimgrey", **place)
    ax.set(xscale="log", xlim=(grid[0], 1), xlabel="background efficiency")
    ax.set_ylabel(r"significance improvement $\epsilon_s\,/\,\epsilon_b^{1/2}$")
    ax.set_ylim(0, 1.03 * max(1.2, ax.dataLim.y1) / (1 - legend_above(ax)))
    return figure
