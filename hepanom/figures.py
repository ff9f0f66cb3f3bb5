"""The figures of a result, by name: losses, scores, ROC and SIC curves, the latent plane, what a network makes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from hepanom.against_figure import against_figure
from hepanom.canvas import ANOMALY, BACKGROUND, LINES, blank, key, legend_above, plain, style
from hepanom.clouds import cloud_figure
from hepanom.conditional_figure import conditional_figure
from hepanom.curves import View, curves, roc_figure, sic_figure
from hepanom.histograms import histogram
from hepanom.images import image_figure
from hepanom.learnt import Learnt
from hepanom.losses import loss_figure
from hepanom.objects_figure import objects_figure
from hepanom.panels import samples_figure, scatter_figure, traversal_figure
from hepanom.ranked_figure import ranked_figure
from hepanom.result import Cloud, Latent, Objects, Picture, Result
from hepanom.strips import canvas_strip, samples_strip, traversal_strip

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

MOST_CATEGORIES = 8  # with figures: those with the most test events; the tables have them all
TAIL = 2e-3  # share of the latent codes on either side that the axes need not hold
FEW = 300  # anomalies that are drawn one by one
CELLS = (25, 80)  # least and most on either axis
MANY = 20  # events in a cell, from which on the colours are logarithmic


def figures(result: Result) -> dict[str, matplotlib.figure.Figure]:
    """Return the figures, to be saved under ``canvas.style``.

    ``loss_CATEGORY``, ``score_SCORER_CATEGORY``, ``conditional_SCORER_RULE`` for cuts that depend on a column, ``roc``,
    ``sic``, ``latent_CATEGORY``, for images ``image_CATEGORY``, for sets of points ``cloud_CATEGORY`` and
    ``cloud_strange_CATEGORY`` and, where the recipe evaluates latent codes, ``probe_CATEGORY`` and ``codes_CATEGORY``;
    where there are several categories, ``roc_SCORER`` and ``sic_SCORER`` compare them. ``samples_CATEGORY``,
    ``traversal_CATEGORY`` and ``canvas_CATEGORY`` show what a network makes, ``objects_CATEGORY``, ``points_CATEGORY``
    and ``ranked_SCORER`` strange events, ``against_SCORER_COLUMN_CATEGORY`` scores against other variables. Curves need
    background and anomalies, the plane a model with a latent code: without them they are not there.
    """
    found: dict[str, matplotlib.figure.Figure] = {}
    scorers, labels = list(result.test.scores), drawn_categories(result)
    with style():
        for label in labels:
            if any(category == label for category, _ in result.histories):
                found[key("loss", label)] = loss_figure(result, label)
        for scorer in scorers:
            for label in labels:
                found[key("score", scorer, label)] = histogram(result, scorer, label)
        for each in result.flatness:
            found[key("conditional", each.scorer, each.rule)] = conditional_figure(result, each)
        if has_both_classes(result):
            pooled = {scorer: (scorer, None, color) for scorer, color in zip(scorers, cycle(LINES), strict=False)}
            drawn = curves(result.scored, pooled)
            found |= {"roc": roc_figure(result, pooled, drawn), "sic": sic_figure(result, pooled, drawn)}
            for scorer in scorers if len(result.categories) > 1 else ():
                views = _categories(scorer, labels)
                drawn = curves(result.scored, views)
                found[key("roc", scorer)] = roc_figure(result, views, drawn)
                found[key("sic", scorer)] = sic_figure(result, views, drawn)
        for label in labels:
            if result.latent is not None and (figure := _plane(result, result.latent, label)) is not None:
                found[key("latent", label)] = figure
            if label in result.probes and result.probes[label].sizes:
                found[key("probe", label)] = _learning(result, label)
            if label in result.scatters:
                found[key("codes", label)] = scatter_figure(result, label, result.scatters[label])
            events = [each for each in result.pictures if result.categories[each.category] == label]
            if pictures := [each for each in events if isinstance(each, Picture)]:
                found[key("image", label)] = image_figure(result, label, pictures)
            for name, why in (("cloud", "first"), ("cloud_strange", "strangest")):
                if clouds := [each for each in events if isinstance(each, Cloud) and each.why.startswith(why)]:
                    found[key(name, label)] = cloud_figure(result, label, clouds)
        for label in labels:
            found |= _learnt(result, label)
            found |= _displays(result, label)
        found |= _strange(result)
    return found


def _strange(result: Result) -> dict[str, matplotlib.figure.Figure]:
    """Return why events are strange, and what their scores have to do with other variables."""
    found, drawn = dict[str, Any](), drawn_categories(result)
    for scorer, events in result.strangest.items():
        if any(event.features for event in events):
            found[key("ranked", scorer)] = ranked_figure(result, scorer, events)
    for each in result.against:
        if each.category in drawn:
            found[key("against", each.scorer, each.column, each.category)] = against_figure(result, each)
    return found


def _displays(result: Result, label: str) -> dict[str, matplotlib.figure.Figure]:
    """Return the displays of a category's events as they stand in the files; points only where none are drawn."""
    here = [each for each in result.displays if result.categories[each.category] == label]
    objects = [each for each in here if isinstance(each, Objects) and len(each.momenta)]
    clouds = [each for each in here if isinstance(each, Cloud) and len(each.points)]
    found = {}
    if objects:
        found[key("objects", label)] = objects_figure(result, label, objects)
    if clouds and not any(isinstance(picture, Cloud) for picture in result.pictures):
        found[key("points", label)] = cloud_figure(result, label, clouds)
    return found


def _learnt(result: Result, label: str) -> dict[str, matplotlib.figure.Figure]:
    """Return the figures of what a category's network has learnt, of a table or of images."""
    found, learnt = dict[str, Any](), result.learnt.get(label, Learnt())
    if (samples := learnt.samples) is not None and samples.columns:
        draw = samples_figure if samples.real.ndim == 2 else samples_strip
        found[key("samples", label)] = draw(result, label, samples)
    if (traversal := learnt.traversal) is not None and traversal.columns:
        show = traversal_figure if traversal.values.ndim == 3 else traversal_strip
        found[key("traversal", label)] = show(result, label, traversal)
    if learnt.canvases is not None:
        found[key("canvas", label)] = canvas_strip(result, label, learnt.canvases)
    return found


def drawn_categories(result: Result) -> list[str]:
    """Return the categories that have figures, in their own order."""
    events = np.bincount(result.test.category, minlength=len(result.categories))
    kept = set(np.argsort(-events, kind="stable")[:MOST_CATEGORIES].tolist())
    return [label for index, label in enumerate(result.categories) if index in kept]


def has_both_classes(result: Result) -> bool:
    """Return whether the test share has background and anomalies, so that curves and most numbers exist."""
    return bool((result.scored.anomaly == 1).any() and (result.scored.anomaly == 0).any())


def _categories(scorer: str, labels: Sequence[str]) -> dict[str, View]:
    """Return what compares the categories: each in a colour of its own, all events in black."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    shades = [to_hex(shade) for shade in colormaps["viridis"](np.linspace(0.15, 0.8, len(labels)))]
    views: dict[str, View] = {
        f"category {label}": (scorer, label, color) for label, color in zip(labels, shades, strict=True)
    }
    return {"all": (scorer, None, "black"), **views}


def _plane(result: Result, latent: Latent, label: str) -> matplotlib.figure.Figure | None:
    """Draw the density of the background's latent codes and the anomalies on top; None without codes."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

    here = (latent.category == result.categories.index(label)) & np.isfinite(latent.codes).all(1)
    if not here.any():
        return None
    figure, (ax,) = blank(result, label)
    codes, anomaly = latent.codes[here], latent.anomaly[here] == 1
    below = codes[~anomaly] if not anomaly.all() else codes
    cells = int(np.clip(1.2 * np.sqrt(len(below)), *CELLS))
    edges = [_span(column, cells) for column in codes.T]
    counts, _, _ = np.histogram2d(below[:, 0], below[:, 1], bins=edges)
    shades = LinearSegmentedColormap.from_list("background", ["#dcebf9", BACKGROUND, "#0d2c4d"])
    norm = LogNorm(1, counts.max()) if counts.max() > MANY else Normalize(0, counts.max())
    mesh = ax.pcolormesh(*edges, np.ma.masked_equal(counts.T, 0), cmap=shades, norm=norm)
    known = (latent.anomaly[here] >= 0).any()
    figure.subplots_adjust(right=0.86)
    bar = figure.colorbar(mesh, ax=ax, pad=0.02, fraction=0.05)
    bar.set_label(f"{'background' if known else 'unlabelled'} events / cell")
    low, high = edges[1][[0, -1]].tolist()
    if anomaly.any() and not anomaly.all():
        _anomalies(ax, codes[anomaly], edges)
        high = low + (high - low) / (1 - legend_above(ax))
    ax.set(xlim=edges[0][[0, -1]], ylim=(low, high), xlabel=plain(latent.axes[0]), ylabel=plain(latent.axes[1]))
    return figure


def _learning(result: Result, label: str) -> matplotlib.figure.Figure:
    """Draw how well a linear classifier on the codes does against the labelled events that it saw."""
    figure, (ax,) = blank(result, label)
    found = result.probes[label]
    mean = found.curve.mean(0)
    ax.plot(found.sizes, mean, "o-", color=BACKGROUND, label="mean" if len(found.curve) > 1 else None)
    if len(found.curve) > 1:
        spread = found.curve.std(0, ddof=1)
        ax.fill_between(
            found.sizes,
            mean - spread,
            mean + spread,
            color=BACKGROUND,
            alpha=0.25,
            lw=0,
            label=f"spread of {len(found.curve)} trainings",
        )
        ax.legend(loc="lower right")
    ax.set(xscale="log", ylim=(0, 1.02), xlabel="labelled events", ylabel="mean F1 of the classes")
    return figure


def _span(values: Float[np.ndarray, " event"], cells: int) -> Float[np.ndarray, " edge"]:
    low, high = np.quantile(values, (TAIL, 1 - TAIL)).tolist()
    margin = 0.08 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, cells + 1)


def _anomalies(
    ax: matplotlib.axes.Axes, codes: Float[np.ndarray, "event 2"], edges: Sequence[Float[np.ndarray, " edge"]]
) -> None:
    """Draw a few anomalies one by one, many as the contours that hold 68 % and 95 % of them."""
    from matplotlib.lines import Line2D
    from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]

    if len(codes) <= FEW:
        ax.scatter(codes[:, 0], codes[:, 1], s=9, color=ANOMALY, lw=0, alpha=0.8, label="anomalies")
        return
    counts, _, _ = np.histogram2d(codes[:, 0], codes[:, 1], bins=edges)
    density = gaussian_filter(counts, 1.5)
    falling = np.sort(density, axis=None)[::-1]
    held = np.cumsum(falling) / falling.sum()
    levels = [float(falling[np.searchsorted(held, share)]) for share in (0.95, 0.68)]
    centres = [(edge[1:] + edge[:-1]) / 2 for edge in edges]
    ax.contour(*centres, density.T, levels=levels, colors=ANOMALY, linewidths=(1.2, 2), linestyles=("--", "-"))
    ax.add_line(Line2D([], [], color=ANOMALY, lw=2, label="68 % of the anomalies"))
    ax.add_line(Line2D([], [], color=ANOMALY, lw=1.2, ls="--", label="95 %"))
