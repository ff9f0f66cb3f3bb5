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
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from hepanom import document, plugins, train
from hepanom.contracts import State
from hepanom.detector import CategoryModel, Detector, Member
from hepanom.errors import HepanomError, InputError
from hepanom.events import Schema
from hepanom.files import written
from hepanom.fit import file_name
from hepanom.thresholds import Threshold

FORMAT = 1


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
        _write_json(temporary / "thresholds.json", [entry.to_json() for entry in detector.thresholds])
        _write_json(temporary / "provenance.json", detector.provenance)
        for label, model in detector.models.items():
            for replica, member in enumerate(model.members):
                file = temporary / file_name(label, replica)
                save_file(_arrays(model, member), file)
                shutil.copymode(temporary / "recipe.yaml", file)  # safetensors makes it for its owner alone


def _write_json(path: Path, plain: Any) -> None:
    path.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def _arrays(model: CategoryModel, member: Member) -> dict[str, np.ndarray]:
    found = {f"network/{name}": value.detach().cpu().numpy() for name, value in member.network.state_dict().items()}
    states: list[tuple[str, State]] = [(f"transforms/{index}", state) for index, state in enumerate(model.states)]
    states += [(f"scorers/{label}", state) for label, state in member.scorers.items()]
    states += [(f"ranks/{label}", state) for label, state in member.ranks.items()]
    found |= {f"{prefix}/{name}": np.asarray(value) for prefix, state in states for name, value in state.items()}
    return {name: np.ascontiguousarray(value).reshape(np.shape(value)) for name, value in found.items()}


def load(folder: Path | str, overrides: Sequence[str] = ()) -> Detector:
    """Read a detector folder; ``overrides`` such as ``train.device=cpu`` change its recipe for another machine.

    Raises InputError for a folder that is none, HepanomError for one that is damaged.
    """
    folder = Path(folder)
    if not (folder / "schema.json").is_file():
        raise InputError(f"{folder}: is no detector (it has no schema.json); `hepanom run` prints where it writes one")
    try:
        story = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
        if story["format"] != FORMAT:
            raise InputError(
                f"{folder}: has format {story['format']}, this hepanom reads {FORMAT}; use the version that wrote it"
            )
        thresholds = json.loads((folder / "thresholds.json").read_text(encoding="utf-8"))
        provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        parts = plugins.build(document.read(folder / "recipe.yaml", overrides), Schema.from_json(story["events"]))
        models = {
            label: _model(folder, label, Schema.from_json(schema), parts)
            for label, schema in story["categories"].items()
        }
        rules = tuple(Threshold.from_json(entry) for entry in thresholds)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise HepanomError(
            f"{folder}: the detector is damaged: {error!r}; train it again or restore the folder"
        ) from error
    return Detector(parts, models, rules, provenance)


def _model(folder: Path, label: str, schema: Schema, parts: plugins.Parts) -> CategoryModel:
    device = train.resolve_device(parts.recipe.train.device)
    members = []
    states: tuple[State, ...] = ()
    for replica in range(parts.recipe.train.replicas):
        arrays = load_file(folder / file_name(label, replica))
        network = parts.model.build(schema)
        network.load_state_dict({name: torch.from_numpy(value) for name, value in _group(arrays, "network").items()})
        scorers = {name: _group(arrays, f"scorers/{name}") for name in parts.scorers}
        ranks = {name: state for name in parts.scorers if (state := _group(arrays, f"ranks/{name}"))}
        members.append(Member(network.to(device).eval(), scorers, ranks))
        states = tuple(_group(arrays, f"transforms/{index}") for index in range(len(parts.transforms)))
    return CategoryModel(states, schema, tuple(members))


def _group(arrays: Mapping[str, np.ndarray], prefix: str) -> State:
    return {name.removeprefix(f"{prefix}/"): value for name, value in arrays.items() if name.startswith(f"{prefix}/")}
