"""The report of a run: figures as PNG files, and one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files as resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepanom import figures as drawing
from hepanom.canvas import style
from hepanom.evaluate import Number
from hepanom.files import written
from hepanom.histograms import is_rank, spelled
from hepanom.plane import PER_CLASS
from hepanom.result import Cloud, Result
from hepanom.stop import best_epoch
from hepanom.tables import cell, curve_table, decision_tables, grouped, probe_table

if TYPE_CHECKING:
    import matplotlib.figure

PAGE_LIMIT = 4_500_000  # characters of figures inside the page
COLORS = 256  # of a PNG file: a third of the size, and no difference that an eye would see
SECTIONS = {
    "loss": "losses",
    "score": "scores",
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
    from jinja2 import Environment, StrictUndefined

    with style():
        images = {name: _png(figure) for name, figure in figures(result).items()}
    with written(folder / "figures") as temporary:
        temporary.mkdir()
        for name, image in images.items():
            (temporary / f"{name}.png").write_bytes(image)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(resources("hepanom").joinpath("report.html.j2").read_text(encoding="utf-8"))
    page = template.render(_content(result), pictures=_pictures(images))
    with written(folder / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    return folder / "report.html"


def _png(figure: matplotlib.figure.Figure) -> bytes:
    """Return a figure as a small PNG; ``savefig`` would draw it twice."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas, image = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()  # type: ignore[no-untyped-call]
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[no-untyped-call]
    drawn.quantize(COLORS, dither=Image.Dither.NONE).save(image, "png", optimize=True)
    return image.getvalue()


def _pictures(images: Mapping[str, bytes]) -> dict[str, list[tuple[str, str]]]:
    """Return (name, data address) of the figures by section; no address where the page would grow too large."""
    found: dict[str, list[tuple[str, str]]] = {section: [] for section in SECTIONS.values()}
    room = PAGE_LIMIT
    for name, image in images.items():
        text = base64.b64encode(image).decode()
        room -= len(text)
        found[SECTIONS[name.partition("_")[0]]].append((name, f"data:image/png;base64,{text}" if room > 0 else ""))
    return found


def _content(result: Result) -> dict[str, Any]:
    """Return what the page's template writes down."""
    groups = grouped(result.numbers)
    scorers = list(result.test.scores)
    data = result.provenance.get("data")
    return {
        "result": result,
        "scorers": scorers,
        "facts": list(_facts(result.provenance)),
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
        "spelled": spelled,
        "interval": lambda value, low, high: cell(Number(value, low, high, None)),
        "short": short,
    }


def _shown(result: Result) -> dict[str, Any]:
    """Return what the captions of pictures say of them."""
    learnt = result.learnt.values()
    moved = [entry.traversal for entry in learnt if entry.traversal is not None]
    chances = [entry.samples.chance for entry in learnt if entry.samples is not None and entry.samples.chance]
    return {
        "clouds": any(isinstance(picture, Cloud) for picture in result.pictures),
        "pictured_by": next((picture.scorer for picture in result.pictures), ""),
        "per_class": PER_CLASS,
        "tsne": any(scatter.axes[0].startswith("t-SNE") for scatter in result.scatters.values()),
        "chance": f"{max(chances):.2g}" if chances else "",
        "dimensions": max((len(traversal.dimensions) for traversal in moved), default=0),
        "banded": any(traversal.values.ndim == 3 for traversal in moved),
        "coloured": any(traversal.values.ndim == 5 for traversal in moved),
        "conditional": any(traversal.conditional for traversal in moved),
    }


def short(value: float) -> str:
    """Return a number for reading, four digits of it; NaN is a missing value."""
    if math.isnan(value):
        return "missing"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def _missing(result: Result) -> str:
    """Return why there are no curves and confusions: which class the test share lacks; "" where it lacks none."""
    anomaly = result.scored.anomaly
    if (anomaly < 0).all():
        return "no test event has a known label"
    if not (anomaly == 1).any():
        return "no test event is known to be an anomaly"
    return "" if (anomaly == 0).any() else "no test event is known to be background"


def _facts(provenance: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield what ran as pairs of texts; the files have a table of their own."""
    for name, value in provenance.items():
        if name == "data":
            continue
        if isinstance(value, Mapping):
            text = ", ".join(f"{key} {inner}" for key, inner in value.items())
        elif isinstance(value, Sequence) and not isinstance(value, str):
            text = ", ".join(str(inner) for inner in value)
        else:
            text = "unknown" if value is None else str(value)
        yield name.replace("_", " "), text or "none"
