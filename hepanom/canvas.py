"""What all figures share: colours, sizes, the style of the field, and a blank figure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hepanom.result import Result

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

BACKGROUND, ANOMALY, UNKNOWN = "#3f90da", "#bd1f01", "black"
TRAINING, VALIDATION, SHADE = "#17324d", "#e76300", "#e9e9ec"
# The ten colours of M. Petroff, arXiv:2107.02270, without those that already mean something.
LINES = ("#832db6", "#e76300", "#717581", "#a96b59", "#ffa90e", "#92dadd", "#b9ac70", "#94a4a2")
DASHES = ("--", ":", "-.", (0, (8, 2)), (0, (4, 1, 1, 1, 1, 1)), (0, (1, 1)))
LONGEST = 40  # characters of a title
SIZES: Mapping[str, Any] = {
    "figure.figsize": (6.4, 5.0),
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "font.size": 14,
    "axes.linewidth": 1.2,
    "axes.unicode_minus": True,
    "axes.titlesize": "small",
    "axes.formatter.limits": (-5, 6),  # the factor above the axis would push the title out
    "axes.formatter.use_mathtext": True,
    "figure.subplot.left": 0.15,  # fixed margins: an engine that fits them takes longer than the drawing
    "figure.subplot.right": 0.97,
    "figure.subplot.bottom": 0.13,
    "figure.subplot.top": 0.94,
    "figure.subplot.hspace": 0.06,
    "legend.fontsize": "x-small",
    "legend.title_fontsize": "x-small",
    "legend.columnspacing": 1.2,
    "lines.linewidth": 1.6,
    "xtick.major.size": 7,
    "ytick.major.size": 7,
    "xtick.minor.size": 3.5,
    "ytick.minor.size": 3.5,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw as CMS does, at half the size; a figure is saved in such a block, too."""
    import matplotlib as mpl
    import mplhep  # type: ignore[import-untyped]

    with mpl.rc_context(dict(mplhep.style.CMS) | dict(SIZES)):
        yield


def blank(
    result: Result, label: str | None, **layout: Any
) -> tuple[matplotlib.figure.Figure, list[matplotlib.axes.Axes]]:
    """Return a figure that pyplot does not know, and its axes from top to bottom.

    It is titled with the run's name and, where there are several, the category ``label``.
    """
    from matplotlib.figure import Figure

    figure = Figure()
    axes = np.ravel(figure.subplots(**layout)).tolist()
    axes[0].set_title(plain(result.name[:LONGEST]), loc="left")
    if label is not None and len(result.categories) > 1:
        axes[0].set_title(f"category {plain(label)}", loc="right")
    return figure, axes


def heading(result: Result, label: str) -> str:
    """Return the title of a figure of many small axes: the run's name and, where there are several, the category."""
    category = f", category {plain(label)}" if len(result.categories) > 1 else ""
    return plain(result.name[:LONGEST]) + category


def bare(ax: matplotlib.axes.Axes) -> None:
    """Take the ticks away."""
    ax.set(xticks=[], yticks=[])
    ax.tick_params(which="both", length=0)


def legend_above(ax: matplotlib.axes.Axes, *, ncols: int = 2) -> float:
    """Put the legend at the top of the axes, samples before lines; return the share of the height that it takes."""
    from matplotlib.lines import Line2D

    entries = sorted(zip(*ax.get_legend_handles_labels(), strict=True), key=lambda entry: isinstance(entry[0], Line2D))
    handles, labels = [entry[0] for entry in entries], [entry[1] for entry in entries]
    ax.legend(handles, labels, ncols=ncols, loc="upper left", mode="expand")
    return 0.06 + 0.068 * -(-len(entries) // ncols)


def plain(text: str) -> str:
    """Return a text that matplotlib does not read as mathematics."""
    return text.replace("$", r"\$")


def key(*parts: str) -> str:
    """Return names joined to one that is also a file's."""
    return "_".join(re.sub(r"[^\w.-]", "_", part, flags=re.ASCII) for part in parts)
