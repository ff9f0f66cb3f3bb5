"""The report of a run: figures as PNG files, and one HTML page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepanom import figures as drawing
from hepanom import page
from hepanom.evaluate import Number
from hepanom.histograms import is_rank, spelled
from hepanom.plane import PER_CLASS
from hepanom.result import Cloud, Objects, Result
from hepanom.stop import best_epoch
from hepanom.tables import cell, curve_table, decision_tables, grouped, probe_table

if TYPE_CHECKING:
    import matplotlib.figure

SECTIONS = {
    "loss": "losses",
    "score": "scores",
    "conditional": "conditional",
    "roc": "curves",
    "sic": "curves",
    "latent": "latent",
    "probe": "probe",
    "image": "images",
    "cloud": "images",
    "codes": "codes",
    "samples": "samples",
    "traversal": "traversals",
    "canvas": "canvases",
    "objects": "displays",
    "points": "displays",
    "ranked": "ranked",
    "against": "against",
}


def figures(result: Result) -> dict[str, matplotlib.figure.Figure]:
    """Return the figures by name, such as ``loss_CATEGORY`` or ``roc``; ``hepanom.figures.figures`` lists them.

    They are drawn in the style of ``hepanom.canvas``.
    """
    return drawing.figures(result)


def write(result: Result, folder: Path) -> Path:
    """Write ``figures/NAME.png`` and ``report.html`` into the folder; return the page's path.

    What was there before is replaced as a whole. Raises HepanomError where the files cannot be written.
    """
    return page.write(folder, "report.html.j2", figures(result), SECTIONS, _content(result))


def _content(result: Result) -> dict[str, Any]:
    """Return what the page's template writes down."""
    groups = grouped(result.numbers)
    scorers = list(result.test.scores)
    data = result.provenance.get("data")
    return {
        "result": result,
        "scorers": scorers,
        "facts": list(page.facts(result.provenance)),
        "files": [entry for entry in data if isinstance(entry, Mapping)] if isinstance(data, Sequence) else [],
        "classes": list(dict.fromkeys(name for share in result.counts.values() for name in share)),
        "dropped": [(label, name, gone) for label, by in result.dropped.items() for name, gone in by.items() if gone],
        "missing": _missing(result),
        "headline": {scorer: cell(groups[scorer]["auc"]) for scorer in scorers if "auc" in groups.get(scorer, {})},
        "curves": {scorer: curve_table(groups, scorer, result.categories) for scorer in scorers},
        "decisions": {scorer: decision_tables(groups, scorer, result) for scorer in scorers},
        **_shown(result),
        "probes": {label: probe_table(found) for label, found in result.probes.items()},
        "trainings": [(*names, history, best_epoch(history)) for names, history in result.histories.items() if history],
        "replicas": max((len(rows) for rows in result.scored.scores.values()), default=1),
        "ranked": any(is_rank(result, scorer) for scorer in scorers),
        "undrawn": len(result.categories) - len(drawing.drawn_categories(result)),
        "rated": any(count.threshold.rate for count in result.thresholds),
        "spelled": spelled,
        "interval": lambda value, low, high: cell(Number(value, low, high, None)),
        "cell": cell,
    }


def _shown(result: Result) -> dict[str, Any]:
    """Return what the captions of pictures say of them."""
    learnt = result.learnt.values()
    moved = [entry.traversal for entry in learnt if entry.traversal is not None]
    chances = [entry.samples.chance for entry in learnt if entry.samples is not None and entry.samples.chance]
    return {
        "clouds": any(isinstance(picture, Cloud) for picture in result.pictures),
        "pictured_by": next((picture.scorer for picture in result.pictures), ""),
        "flat": any(isinstance(each, Objects) for each in result.displays),
        "typical": any(event.typical for events in result.strangest.values() for event in events),
        "per_class": PER_CLASS,
        "tsne": any(scatter.axes[0].startswith("t-SNE") for scatter in result.scatters.values()),
        "chance": f"{max(chances):.2g}" if chances else "",
        "dimensions": max((len(traversal.dimensions) for traversal in moved), default=0),
        "banded": any(traversal.values.ndim == 3 for traversal in moved),
        "coloured": any(traversal.values.ndim == 5 for traversal in moved),
        "conditional": any(traversal.conditional for traversal in moved),
    }


def _missing(result: Result) -> str:
    """Return why there are no curves and confusions: which class the test share lacks; "" where it lacks none."""
    anomaly = result.scored.anomaly
    if (anomaly < 0).all():
        return "no test event has a known label"
    if not (anomaly == 1).any():
        return "no test event is known to be an anomaly"
    return "" if (anomaly == 0).any() else "no test event is known to be background"
