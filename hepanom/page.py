"""What all HTML pages share: figures as PNG files beside them and inside them, one look, and nothing half written."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files as resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hepanom.canvas import style
from hepanom.files import written

if TYPE_CHECKING:
    import matplotlib.figure

LIMIT = 4_500_000  # characters of figures inside a page
COLORS = 256  # of a PNG file: a third of the size, and no difference that an eye would see


def write(
    folder: Path,
    template: str,
    figures: Mapping[str, matplotlib.figure.Figure],
    sections: Mapping[str, str],
    content: Mapping[str, object],
) -> Path:
    """Write ``figures/NAME.png`` and a page into the folder; return the page's path.

    The page is called as its template, ``report.html`` for ``report.html.j2``, which stands in this package and
    extends ``page.html.j2``. It finds ``content`` and the ``pictures`` of ``pictures``. What was there before is
    replaced as a whole. Raises HepanomError where the files cannot be written.
    """
    with style():
        images = {name: png(figure) for name, figure in figures.items()}
    page = render(template, {**content, "pictures": pictures(images, sections)})
    with written(folder / "figures") as temporary:
        temporary.mkdir()
        for name, image in images.items():
            (temporary / f"{name}.png").write_bytes(image)
    path = folder / template.removesuffix(".j2")
    with written(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def render(template: str, content: Mapping[str, object]) -> str:
    """Return a page from a template of this package; names of users are escaped, a missing value is an error."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(lambda name: resources("hepanom").joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["short"] = short
    return environment.get_template(template).render(content)


def png(figure: matplotlib.figure.Figure) -> bytes:
    """Return a figure as a small PNG; ``savefig`` would draw it twice."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas, image = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()  # type: ignore[no-untyped-call]
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[no-untyped-call]
    drawn.quantize(COLORS, dither=Image.Dither.NONE).save(image, "png", optimize=True)
    return image.getvalue()


def pictures(images: Mapping[str, bytes], sections: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """Return (name, data address) of the figures by section; no address where the page would grow too large.

    ``sections`` says for the first part of a figure's name, up to ``_``, in which section of the page it stands.
    """
    found: dict[str, list[tuple[str, str]]] = {section: [] for section in sections.values()}
    room = LIMIT
    for name, image in images.items():
        text = base64.b64encode(image).decode()
        room -= len(text)
        found[sections[name.partition("_")[0]]].append((name, f"data:image/png;base64,{text}" if room > 0 else ""))
    return found


def short(value: float) -> str:
    """Return a number for reading, four digits of it; NaN is a missing value."""
    if math.isnan(value):
        return "missing"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def facts(provenance: Mapping[str, object]) -> Iterator[tuple[str, str]]:
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
