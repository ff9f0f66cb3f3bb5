"""Events as a network sees them, beside what it gives back, and where in them a score comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hepanom.detector import Detector, Visit, visits
from hepanom.events import Events
from hepanom.insight import parts_of
from hepanom.result import Cloud, Picture

PICTURES = 5
MASK = "real"  # the columns real[0], real[1], ... say which points of a padded table there are

Top = tuple[Events, Float[np.ndarray, " event"]]
About = tuple[int, str, str]


def gallery(detector: Detector, first: Events | None, strangest: Mapping[str, Top]) -> list[Picture | Cloud]:
    """Return pictures of the first events of the test share and of the strangest by the first scorer, strangest first.

    What is shown comes from the first replica: nothing where it sees neither images nor sets of points, or gives none
    back.
    """
    if first is None:
        return []
    scorer, (events, values) = next(iter(strangest.items()))
    shown = pictures(detector, "first of the test share", first)
    strange = pictures(detector, f"strangest by {scorer}", events)
    order = np.argsort(-values, kind="stable")[:PICTURES].tolist() if strange else []
    return [*(shown[position] for position in sorted(shown)), *(strange[position] for position in order)]


def pictures(detector: Detector, why: str, events: Events) -> dict[int, Picture | Cloud]:
    """Return the pictures of events by their position."""
    classes, found = detector.parts.schema.classes, dict[int, Picture | Cloud]()
    for visit in visits(detector, events):
        if visit.replica == 0:
            labels, category = events.label[visit.where].tolist(), int(events.category[visit.where[0]])
            about = [(category, classes[label] if label >= 0 else "unknown", why) for label in labels]
            drawn = _images(detector, visit, about) or _clouds(detector, visit, about)
            found |= zip(visit.where.tolist(), drawn, strict=False)
    return found


def _images(detector: Detector, visit: Visit, about: Sequence[About]) -> list[Picture]:
    given = visit.outputs.get("reconstruction")
    if given is None or given.ndim != 4:
        return []
    image = next(values for values in visit.batch.inputs.values() if values.shape == given.shape)
    _, entry = visit.model.schema.only("image")
    scorer, shares = _shares(detector, visit, given.shape)
    pairs = torch.stack([image, given], 1).cpu().numpy()
    return [
        Picture(*each, scorer, entry.columns, pair, share)
        for each, pair, share in zip(about, pairs, shares, strict=True)
    ]


def _clouds(detector: Detector, visit: Visit, about: Sequence[About]) -> list[Cloud]:
    tables = [(name, entry.columns) for name, entry in visit.model.schema.inputs.items() if entry.kind == "table"]
    if len(tables) != 1 or "latent_mean" not in visit.outputs:
        return []
    names, places, mask = points_in(tables[0][1])
    others = visit.member.network.decode(visit.outputs["latent_mean"]) if names else None
    if others is None or others.ndim != 3 or others.shape[2] != len(names):
        return []
    table = visit.batch.inputs[tables[0][0]]
    scorer, shares = _shares(detector, visit, table.shape)
    real = (table[:, mask] > 0.5).cpu().numpy()
    points, given = table[:, places].cpu().numpy(), others.cpu().numpy()
    return [
        Cloud(*each, scorer, names, points[row][real[row]], share[places].sum(1)[real[row]], given[row])
        for row, (each, share) in enumerate(zip(about, shares, strict=True))
    ]


def points_in(columns: Sequence[str]) -> tuple[tuple[str, ...], list[list[int]], list[int]]:
    """Return where the columns NAME[k] of a padded table hold its points, and their mask: () for any other table.

    The names are those of the columns of points but the mask, the places a row per point.
    """
    found = [re.fullmatch(r"(.+)\[(\d+)\]", column) for column in columns]
    index = {(match[1], int(match[2])): place for place, match in enumerate(found) if match}
    names = tuple(name for name in dict.fromkeys(name for name, _ in index) if name != MASK)
    number = sum(name == MASK for name, _ in index)
    wanted = [[(name, point) for name in (*names, MASK)] for point in range(number)]
    if not names or not number or any(each not in index for row in wanted for each in row):
        return (), [], []
    places = [[index[each] for each in row] for row in wanted]
    return names, [row[:-1] for row in places], [row[-1] for row in places]


def _shares(detector: Detector, visit: Visit, shape: Sequence[int]) -> tuple[str, Float[np.ndarray, "event ..."]]:
    """Return the share of every pixel or feature in the first score that has such parts, and the name of that score.

    Without one, or for a score of 0, the shares are 0.
    """
    for scorer in detector.parts.scorers:
        parts = parts_of(detector, visit, scorer)
        if parts is not None and parts.shape == tuple(shape):
            return scorer, shares_of(parts)
    return "", np.zeros(tuple(shape))


def shares_of(parts: Float[Tensor, "event ..."]) -> Float[np.ndarray, "event ..."]:
    """Return the parts of scores as shares that sum to 1; to 0 for a score of 0."""
    total = parts.flatten(1).sum(1).view(-1, *[1] * (parts.ndim - 1))
    return (parts / total).nan_to_num(0, 0, 0).double().cpu().numpy()
