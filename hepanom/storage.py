"""A detector as a folder: YAML, JSON and safetensors, without code or pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from hepanom import document, origin, plugins, returned, train
from hepanom.blame import blame
from hepanom.contracts import State
from hepanom.detector import CategoryModel, Detector, Member
from hepanom.errors import HepanomError, InputError, did_you_mean
from hepanom.events import Schema
from hepanom.files import written
from hepanom.fit import file_name
from hepanom.reference_sample import Reference
from hepanom.thresholds import Threshold

FORMAT = 2
READS = (1, 2)  # in 1 no threshold knows a rate or depends on a column
REFERENCE = "reference"


def save(detector: Detector, folder: Path) -> None:
    """Write the detector as a folder, whole or not at all; an older one there is replaced."""
    parts = detector.parts
    plain = dict(parts.document.plain)
    if (local := plugins.local_folder(parts.document)) is not None:
        plain["plugins"] = str(local)
    schemas = {label: model.schema.to_json() for label, model in detector.models.items()}
    with written(folder) as temporary:
        temporary.mkdir()
        (temporary / "recipe.yaml").write_text(replace(parts.document, plain=plain).text(), encoding="utf-8")
        _write_json(
            temporary / "schema.json", {"format": FORMAT, "events": parts.schema.to_json(), "categories": schemas}
        )
        first = [entry for entry in detector.thresholds if entry.name not in detector.origins]
        _write_json(temporary / "thresholds.json", [entry.to_json() for entry in first])
        for name, known in detector.origins.items():
            origin.keep(name, known, [entry for entry in detector.thresholds if entry.name == name], temporary)
        _write_json(temporary / "provenance.json", detector.provenance)
        if detector.reference is not None:
            keep_reference(detector.reference, temporary)
        for label, model in detector.models.items():
            for replica, member in enumerate(model.members):
                file = temporary / file_name(label, replica)
                save_file(_arrays(model, member), file)
                shutil.copymode(temporary / "recipe.yaml", file)  # safetensors makes it for its owner alone


def _write_json(path: Path, plain: Any) -> None:
    path.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def keep_reference(reference: Reference, folder: Path) -> None:
    """Write a reference into a detector's folder, in place of the one that is there."""
    with written(folder / f"{REFERENCE}.safetensors") as file:
        save_file(reference.to_arrays(), file, {REFERENCE: json.dumps(reference.to_json())})
        shutil.copymode(folder / "recipe.yaml", file)  # safetensors makes it for its owner alone


def _reference(folder: Path) -> Reference | None:
    """Return the reference of a detector's folder; None for an older detector, which has none."""
    file = folder / f"{REFERENCE}.safetensors"
    if not file.is_file():
        return None
    with safe_open(file, "numpy") as opened:
        words = json.loads(opened.metadata()[REFERENCE])
    return Reference.of(words, load_file(file))


def _arrays(model: CategoryModel, member: Member) -> dict[str, np.ndarray]:
    found = {f"network/{name}": value.detach().cpu().numpy() for name, value in member.network.state_dict().items()}
    states: list[tuple[str, State]] = [(f"transforms/{index}", state) for index, state in enumerate(model.states)]
    states += [(f"scorers/{label}", state) for label, state in member.scorers.items()]
    states += [(f"ranks/{label}", state) for label, state in member.ranks.items()]
    found |= {f"{prefix}/{name}": np.asarray(value) for prefix, state in states for name, value in state.items()}
    return {name: np.ascontiguousarray(value).reshape(np.shape(value)) for name, value in found.items()}


@blame()
def load(folder: Path | str, overrides: Sequence[str] = (), only: Sequence[str] = ()) -> Detector:
    """Read a detector folder; ``overrides`` such as ``train.device=cpu`` change its recipe for another machine.

    With ``only`` it has the thresholds of these names alone. Raises InputError for a folder that is none and a
    threshold that is not there, HepanomError for a detector that is damaged.
    """
    folder = Path(folder)
    if not (folder / "schema.json").is_file():
        raise InputError(f"{folder}: is no detector (it has no schema.json); `hepanom run` prints where it writes one")
    try:
        story = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
        if story["format"] not in READS:
            raise InputError(
                f"{folder}: has format {story['format']}, this hepanom reads {' and '.join(map(str, READS))}; use the "
                "version that wrote it"
            )
        thresholds = json.loads((folder / "thresholds.json").read_text(encoding="utf-8"))
        provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        parts = plugins.build(document.read(folder / "recipe.yaml", overrides), Schema.from_json(story["events"]))
        models = {
            label: _model(folder, label, Schema.from_json(schema), parts)
            for label, schema in story["categories"].items()
        }
        rules = [Threshold.from_json(entry) for entry in thresholds]
        origins = {}
        for name, known, entries in origin.read(folder):
            origins[name] = known
            rules += entries
        reference = _reference(folder)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise HepanomError(
            f"{folder}: the detector is damaged: {error!r}; train it again or restore the folder"
        ) from error
    names = {entry.name for entry in rules}
    for name in only:
        if name not in names:
            raise InputError(f"{folder}: there is no threshold {name!r}; {did_you_mean(name, names)}")
    kept = tuple(entry for entry in rules if not only or entry.name in only)
    return Detector(parts, models, kept, provenance, reference, origins)


def _model(folder: Path, label: str, schema: Schema, parts: plugins.Parts) -> CategoryModel:
    device = train.resolve_device(parts.recipe.train.device)
    members = []
    states: tuple[State, ...] = ()
    for replica in range(parts.recipe.train.replicas):
        arrays = load_file(folder / file_name(label, replica))
        network = returned.network(parts.model, schema)
        network.load_state_dict({name: torch.from_numpy(value) for name, value in _group(arrays, "network").items()})
        scorers = {name: _group(arrays, f"scorers/{name}") for name in parts.scorers}
        ranks = {name: state for name in parts.scorers if (state := _group(arrays, f"ranks/{name}"))}
        members.append(Member(network.to(device).eval(), scorers, ranks))
        states = tuple(_group(arrays, f"transforms/{index}") for index in range(len(parts.transforms)))
    return CategoryModel(states, schema, tuple(members))


def _group(arrays: Mapping[str, np.ndarray], prefix: str) -> State:
    return {name.removeprefix(f"{prefix}/"): value for name, value in arrays.items() if name.startswith(f"{prefix}/")}
