"""What lies behind a detector's scores: features' shares, the strangest events, latent codes, dropped columns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from torch import Tensor

from hepanom.detector import Detector, Visit, scores_of, visits, with_scores
from hepanom.events import Events
from hepanom.result import Strange


def explain(detector: Detector, events: Events, scorer: str) -> list[dict[str, float]]:
    """Return each event's features with their share of its score, the mean over replicas.

    {} where a score has no parts, or where what was read is no table of features; a score of 0 has shares of 0.
    """
    found: list[dict[str, float]] = [{} for _ in range(len(events))]
    if all(entry.kind != "table" for entry in detector.parts.schema.inputs.values()):
        return found
    for visit in visits(detector, events):
        parts = parts_of(detector, visit, scorer)
        if parts is None or parts.ndim != 2:
            continue
        _, table = visit.model.schema.table()
        share = (parts / parts.sum(1, keepdim=True)).nan_to_num(0).double().cpu().numpy() / detector.replicas
        for position, row in zip(visit.where, share, strict=True):
            for column, value in zip(table.columns, row, strict=True):
                found[position][column] = found[position].get(column, 0.0) + float(value)
    return found


def parts_of(detector: Detector, visit: Visit, scorer: str) -> Float[Tensor, "event ..."] | None:
    """Return the parts of a score in the shape of the input, None where it has none."""
    chosen, member = detector.parts.scorers[scorer], visit.member
    scores = (
        scores_of(detector.parts, member.scorers, visit.batch, visit.outputs, member.network)
        if chosen.combines()
        else {}
    )
    found = with_scores(visit.outputs, chosen, scores)
    return chosen.explain(visit.batch, found, member.scorers[scorer], member.network)


def strange(detector: Detector, scorer: str, events: Events, values: Float[np.ndarray, " event"]) -> list[Strange]:
    """Return the highest scores first, with the features of the tables that made them so, in the file's units."""
    order = np.argsort(-values, kind="stable")
    explainer, parts = _explanation(detector, events, scorer)
    tables = {name: entry for name, entry in detector.parts.schema.inputs.items() if entry.kind == "table"}
    units = {column: unit for entry in tables.values() for column, unit in zip(entry.columns, entry.units, strict=True)}
    found = []
    for row in order.tolist():
        raw = {
            column: value
            for name, entry in tables.items()
            for column, value in zip(entry.columns, np.asarray(events.inputs[name])[row].tolist(), strict=True)
        }
        ranked = sorted(parts[row].items(), key=lambda part: -part[1])[:5]
        label = int(events.label[row])
        found.append(
            Strange(
                identity={key: str(column[row]) for key, column in events.beside.items()}
                or {"event_id": f"{events.event_id[row]:016x}"},
                category=detector.categories[events.category[row]],
                truth=detector.parts.schema.classes[label] if label >= 0 else "unknown",
                weight=float(events.weight[row]),
                score=float(values[row]),
                explained_by=explainer,
                features=[
                    (column, raw.get(column, float("nan")), units.get(column, ""), part) for column, part in ranked
                ],
                typical=_typical(detector, {column: raw[column] for column, _ in ranked if column in raw}),
            )
        )
    return found


def _typical(detector: Detector, values: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return the median of held-out background, and the share of it below a value, for columns of the reference."""
    if detector.reference is None:
        return {}
    held = {axis.name: (axis, each) for axis, each in detector.reference.items() if axis.kind == "column"}
    return {
        name: (axis.quantiles(each, [0.5])[0], axis.below(each, value))
        for name, value in values.items()
        if name in held
        for axis, each in [held[name]]
    }


def _explanation(detector: Detector, events: Events, scorer: str) -> tuple[str, list[dict[str, float]]]:
    """Return the features' shares of a score that has such parts, the wanted one where it can, and its name."""
    for label in dict.fromkeys((scorer, *detector.parts.scorers)):
        parts = explain(detector, events, label)
        if any(parts):
            return label, parts
    return "", [{} for _ in range(len(events))]


def latent(detector: Detector, events: Events) -> dict[int, Float[np.ndarray, "replica _ latent"]]:
    """Return the latent codes of the events of each category, in their order; {} where the model gives none.

    Maps of an image stand side by side. A category's network may have codes of another width than the others.
    """
    found: dict[int, list[list[Float[np.ndarray, "_ latent"]]]] = {}
    if "latent_mean" in detector.parts.model.gives:
        for visit in visits(detector, events):
            pieces = found.setdefault(int(events.category[visit.where[0]]), [[] for _ in range(detector.replicas)])
            pieces[visit.replica].append(visit.outputs["latent_mean"].flatten(1).double().cpu().numpy())
    return {
        category: np.stack([np.concatenate(pieces) for pieces in by_replica]) for category, by_replica in found.items()
    }


def dropped(detector: Detector) -> dict[str, dict[str, list[str]]]:
    """Return the columns that each transform takes away, by category label and transform."""
    found: dict[str, dict[str, list[str]]] = {}
    for label, model in detector.models.items():
        schema = detector.parts.schema
        found[label] = {}
        for (name, transform), state in zip(detector.parts.transforms.items(), model.states, strict=True):
            after = transform.schema(schema, state)
            left = {column for entry in after.inputs.values() for column in entry.columns}
            if gone := [column for entry in schema.inputs.values() for column in entry.columns if column not in left]:
                found[label][name] = gone
            schema = after
    return found
