"""How trainings went: their losses epoch by epoch, and below them what the networks said of themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hepanom.canvas import BACKGROUND, TRAINING, VALIDATION, blank, plain
from hepanom.contracts import Epoch
from hepanom.result import Result
from hepanom.stop import best_epoch

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

DECADES = 1.3  # from which on positive values are drawn on a logarithmic axis
HEIGHT = 5.0  # of the losses, in inches, margins included
PANEL = 1.35  # of one diagnostic

Histories = Sequence[Sequence[Epoch]]


def loss_figure(result: Result, label: str) -> matplotlib.figure.Figure:
    """Draw training and validation loss of every replica with its best epoch, and a panel for each diagnostic.

    Of several replicas a band shows mean and spread.
    """
    from matplotlib.ticker import MaxNLocator

    histories = [history for (category, _), history in result.histories.items() if category == label and history]
    names = [name for name in histories[0][0].diagnostics if any(map(len, _measured(histories, name)))]
    whole = HEIGHT + PANEL * len(names)
    figure, (top, *panels) = blank(
        result,
        label,
        nrows=1 + len(names),
        sharex=True,
        gridspec_kw={"height_ratios": [0.81 * HEIGHT, *[PANEL] * len(names)]},
    )
    figure.set_size_inches(figure.get_figwidth(), whole)
    figure.subplots_adjust(bottom=0.13 * HEIGHT / whole, top=1 - 0.06 * HEIGHT / whole)
    _losses(top, histories)
    for ax, name in zip(panels, names, strict=True):
        _diagnostic(ax, result, histories, name)
    last = panels[-1] if panels else top
    last.xaxis.set_major_locator(MaxNLocator(integer=True))
    last.set_xlabel("epoch")
    figure.align_ylabels()
    return figure


def _losses(ax: matplotlib.axes.Axes, histories: Histories) -> None:
    if len(histories) > 1:
        first = histories[0][0].epoch
        training = [[sum(record.losses.values()) for record in history if record.losses] for history in histories]
        _band(ax, first, training, BACKGROUND)
        _band(ax, first, [[record.validation for record in history] for history in histories], VALIDATION)
    for history, alpha, once in _drawn(histories):
        epochs = [record.epoch for record in history]
        if history[0].losses:
            total = [sum(record.losses.values()) for record in history]
            ax.plot(epochs, total, color=BACKGROUND, alpha=alpha, label=once("training"))
        validation = [record.validation for record in history]
        ax.plot(epochs, validation, color=VALIDATION, alpha=alpha, label=once("validation"))
        best = best_epoch(history)
        ax.plot([best.epoch], [best.validation], "*", color="black", ms=10, label=once("best epoch"))
    _scale(ax)
    ax.margins(x=0.03, y=0.1)
    ax.set_ylabel("loss per event")
    ax.legend(title=f"{len(histories)} replicas" if len(histories) > 1 else None, loc="best")


def _band(ax: matplotlib.axes.Axes, first: int, curves: Sequence[Sequence[float]], color: str) -> None:
    """Draw mean and spread of several trainings from their first epoch on, as far as two of them went."""
    longest = sorted(map(len, curves))[-2]
    padded = np.full((len(curves), longest), np.nan)
    for row, curve in zip(padded, curves, strict=True):
        row[: len(curve)] = curve[:longest]
    if longest:
        mean, spread = np.nanmean(padded, axis=0), np.nanstd(padded, axis=0, ddof=1)
        epochs = first + np.arange(longest)
        ax.plot(epochs, mean, color=color, lw=2.2)
        ax.fill_between(epochs, mean - spread, mean + spread, color=color, alpha=0.2, lw=0)


def _diagnostic(ax: matplotlib.axes.Axes, result: Result, histories: Histories, name: str) -> None:
    """Draw a diagnostic, its value in the best epoch, and where its values are, the limits that guard it."""
    for history, alpha, _ in _drawn(histories):
        values = [record.diagnostics.get(name, np.nan) for record in history]
        ax.plot([record.epoch for record in history], values, color=TRAINING, alpha=alpha)
        best = best_epoch(history)
        ax.plot([best.epoch], [best.diagnostics.get(name, np.nan)], "*", color="black", ms=10)
    _scale(ax)
    ax.margins(x=0.03, y=0.15)
    view = ax.get_ylim()
    for guard in result.guards:
        for limit in (guard.below, guard.above):
            if guard.name == name and limit is not None:
                ax.axhline(limit, color=VALIDATION, ls="--", lw=1.2)
    ax.set_ylim(view)
    ax.set_ylabel(plain(name.replace("_", "\n")), fontsize="x-small")
    ax.tick_params(axis="y", labelsize="x-small")


def _drawn(histories: Histories) -> Iterator[tuple[Sequence[Epoch], float, Callable[[str], str]]]:
    """Yield the trainings with the opacity of their lines, and what makes a label of the first one alone."""
    alpha = 1.0 if len(histories) == 1 else 0.4
    for replica, history in enumerate(histories):
        hidden = "_" * (replica > 0)  # legends skip what begins with it
        yield history, alpha, hidden.__add__


def _measured(histories: Histories, name: str) -> list[list[float]]:
    """Return the values of a diagnostic that were measured, by training."""
    values = [[record.diagnostics.get(name, np.nan) for record in history] for history in histories]
    return [[value for value in row if np.isfinite(value)] for row in values]


def _scale(ax: matplotlib.axes.Axes) -> None:
    low, high = ax.dataLim.y0, ax.dataLim.y1
    if low > 0 and np.log10(high / low) > DECADES:
        ax.set_yscale("log")
