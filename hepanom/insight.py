"""What lies behind a detector's scores: features' shares, latent codes, reconstructed images, dropped columns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Float32

from hepanom.detector import Detector, scores_of, visits, with_scores
from hepanom.events import Events


def explain(detector: Detector, events: Events, scorer: str) -> list[dict[str, float]]:
    """Return each event's features with their share of its score, the mean over replicas.

    {} where a score has no parts; a score of 0 has shares of 0.
    """
    found: list[dict[str, float]] = [{} for _ in range(len(events))]
    for visit in visits(detector, events):
        chosen, member = detector.parts.scorers[scorer], visit.member
        scores = (
            scores_of(detector.parts, member.scorers, visit.batch, visit.outputs, member.network)
            if chosen.combines()
            else {}
        )
        found_here = with_scores(visit.outputs, chosen, scores)
        parts = chosen.explain(visit.batch, found_here, member.scorers[scorer], member.network)
        if parts is None:
            continue
        _, table = visit.model.schema.table()
        share = (parts / parts.sum(1, keepdim=True)).nan_to_num(0).double().cpu().numpy() / detector.replicas
        for position, row in zip(visit.where, share, strict=True):
            for column, value in zip(table.columns, row, strict=True):
                found[position][column] = found[position].get(column, 0.0) + float(value)
    return found


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


def reconstructions(
    detector: Detector, events: Events
) -> Iterator[tuple[int, Float32[np.ndarray, "pair channel row column"]]]:
    """Yield (position, image as the network sees it and as it gives it back) of each event, from the first replica.

    Nothing where the model gives no reconstruction or sees no image.
    """
    if "reconstruction" not in detector.parts.model.gives:
        return
    for visit in visits(detector, events):
        found = visit.outputs["reconstruction"]
        if visit.replica == 0 and found.ndim == 4:
            inputs = next(values for values in visit.batch.inputs.values() if values.shape == found.shape)
            for position, *pair in zip(visit.where.tolist(), inputs, found, strict=True):
                yield position, torch.stack(pair).cpu().numpy()


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
