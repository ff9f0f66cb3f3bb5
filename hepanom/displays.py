"""Events as they stand in the files, for displays: sets of points in space, jets and leptons by their momenta."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from hepanom.detector import Detector
from hepanom.events import Events, Jagged
from hepanom.result import Cloud, Objects

ORDINARY, STRANGE = 2, 4  # events that are shown
MOST_POINTS = 2000  # of an event
POLAR = (("pt", "eta", "phi"), ("PT", "Eta", "Phi"), ("Pt", "Eta", "Phi"), ("PT", "ETA", "PHI"))
CARTESIAN = (("px", "py", "pz"), ("Px", "Py", "Pz"), ("PX", "PY", "PZ"))

Top = tuple[Events, Float[np.ndarray, " event"]]


def displays(detector: Detector, usual: Events | None, strangest: Mapping[str, Top]) -> list[Cloud | Objects]:
    """Return displays of a few ordinary test events, and of the strangest by the first score, strangest first.

    Nothing where the events hold neither points nor columns that are named as momenta.
    """
    if usual is None or not strangest:
        return []
    scorer, (events, values) = next(iter(strangest.items()))
    order = np.argsort(-values, kind="stable")[:STRANGE].tolist()
    first = min(ORDINARY, len(usual))
    ordinary = _shown(detector, usual, range(first), "an ordinary test event")
    return [*ordinary, *_shown(detector, events, order, f"strangest by {scorer}")]


def _shown(detector: Detector, events: Events, rows: Sequence[int], why: str) -> Iterator[Cloud | Objects]:
    classes = detector.parts.schema.classes
    for row in rows:
        label = int(events.label[row])
        about = (int(events.category[row]), classes[label] if label >= 0 else "unknown", why, "")
        for name, entry in detector.parts.schema.inputs.items():
            values = events.inputs[name]
            if isinstance(values, Jagged):
                points = values.values[values.offsets[row] : values.offsets[row + 1]]
                yield from _points(about, entry.columns, entry.units, np.asarray(points, np.float64))
            elif entry.kind == "table" and (found := momenta(entry.columns)):
                yield from _objects(about, found, np.asarray(values[row], np.float64), entry.units)


def _points(
    about: tuple[int, str, str, str],
    columns: tuple[str, ...],
    units: tuple[str, ...],
    points: Float[np.ndarray, "point column"],
) -> Iterator[Cloud | Objects]:
    if found := momenta(columns):
        places, polar = next(iter(found.values()))
        momentum = _polar(points[:, places], polar=polar)
        yield Objects(*about, ("",) * len(momentum), momentum, units[places[0]])
    elif len(columns) > 1:
        kept = points[:: 1 + len(points) // MOST_POINTS]
        yield Cloud(*about, columns, kept, np.zeros(len(kept)), np.zeros((0, len(columns))))


def _objects(
    about: tuple[int, str, str, str],
    found: Mapping[str, tuple[list[int], bool]],
    values: Float[np.ndarray, " column"],
    units: tuple[str, ...],
) -> Iterator[Objects]:
    named = [(name, _polar(values[None, places], polar=polar)[0]) for name, (places, polar) in found.items()]
    named = [(name, momentum) for name, momentum in named if np.isfinite(momentum).all() and momentum[0] > 0]
    unit = units[next(iter(found.values()))[0][0]]
    if named:
        names, each = zip(*named, strict=True)
        yield Objects(*about, names, np.stack(each), unit)


def momenta(columns: Sequence[str]) -> dict[str, tuple[list[int], bool]]:
    """Return the objects whose momenta are columns: where the three of each stand, and whether they are polar.

    Columns that are alike but for pt, eta and phi, or px, py and pz, are those of an object, whose name is what they
    share: ``Jet_pt[0]``, ``Jet_eta[0]`` and ``Jet_phi[0]`` are ``Jet[0]``, and ``pxj1``, ``pyj1``, ``pzj1`` are ``j1``.
    """
    index = {name: place for place, name in enumerate(columns)}
    found: dict[str, tuple[list[int], bool]] = {}
    for names, polar in [*((each, True) for each in POLAR), *((each, False) for each in CARTESIAN)]:
        for column in columns:
            for match in re.finditer(names[0], column):
                three = [column[: match.start()] + name + column[match.end() :] for name in names]
                if all(name in index for name in three):
                    rest = column[: match.start()].rstrip("_.") + column[match.end() :]
                    found.setdefault(rest.strip("_.") or "object", ([index[name] for name in three], polar))
    return found


def _polar(momentum: Float[np.ndarray, "object 3"], *, polar: bool) -> Float[np.ndarray, "object 3"]:
    """Return transverse momentum, pseudorapidity and azimuth between -pi and pi."""
    if polar:
        pt, eta, phi = momentum.T
    else:
        px, py, pz = momentum.T
        pt, phi = np.hypot(px, py), np.arctan2(py, px)
        eta = np.arcsinh(np.divide(pz, pt, out=np.full(len(pt), np.nan), where=pt > 0))
    return np.stack([pt, eta, (phi + np.pi) % (2 * np.pi) - np.pi], axis=1)
