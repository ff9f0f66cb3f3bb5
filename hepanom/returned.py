"""What plugins return: what is not as the contract says is refused, and the message names the plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from torch import Tensor

from hepanom.blame import claim, whose
from hepanom.contracts import Batch, Model, Network, Outputs, Reader, Scorer, State, Transform
from hepanom.errors import PluginError
from hepanom.events import Events, Input, Jagged, Schema

UNLESS = (
    "; unless the training diverged or the inputs have outliers, where a lower learning rate or the transforms "
    "`missing`, `log` or `standardize` may do"
)


def refuse(plugin: object, method: str, found: str, expected: str) -> NoReturn:
    """Raise PluginError: what a method of a plugin's object gave, and what its contract says."""
    raise PluginError(f"{whose(plugin)}: {method} gave {found}; expected {expected}")


def schema(plugin: Reader | Transform, found: object) -> Schema:
    """Return the schema that a reader or a transform gives. Raises PluginError for something else."""
    if isinstance(found, Schema):
        return found
    refuse(plugin, "schema", _shown(found), "a Schema")


def read(reader: Reader, found: object, schema: Schema) -> Events:
    """Return a chunk of a reader's events. Raises PluginError where they are not what its schema says."""
    events = _events(reader, "read", found, schema)
    labels, classes = events.label, len(schema.classes)
    if len(labels) and not (labels.dtype.kind in "iu" and labels.min() >= -1 and labels.max() < max(1, classes)):
        refuse(
            reader, "read", f"labels from {labels.min()} to {labels.max()}", f"-1, or 0 to {classes - 1} for a class"
        )
    if missing := [name for name in schema.beside if name not in events.beside]:
        refuse(reader, "read", f"events without {', '.join(missing)} beside", "all that its schema has beside")
    if events.target is not None and events.target.shape[1:] != (len(schema.targets),):
        refuse(reader, "read", f"targets: {_shown(events.target)}", f"the shape (event, {len(schema.targets)})")
    return events


def applied(transform: Transform, before: Events, found: object, schema: Schema) -> Events:
    """Return what a transform made of events. Raises PluginError where it is not what its schema says."""
    events = _events(transform, "apply", found, schema)
    if len(events) != len(before):
        refuse(transform, "apply", f"{len(events)} events", f"the {len(before)} that came in")
    return events


def _events(plugin: Reader | Transform, method: str, found: object, schema: Schema) -> Events:
    if not isinstance(found, Events):
        refuse(plugin, method, _shown(found), "Events")
    if found.inputs.keys() != schema.inputs.keys():
        wrong, named = (", ".join(map(repr, each)) or "none" for each in (found.inputs, schema.inputs))
        refuse(plugin, method, f"the inputs {wrong}", f"{named}, as its schema says")
    for name, entry in schema.inputs.items():
        if not _is(values := found.inputs[name], entry):
            refuse(plugin, method, f"for input {name!r} {_shown(values)}", f"{_wanted(entry)}, as its schema says")
    return found


def _is(values: object, entry: Input) -> bool:
    array = values.values if isinstance(values, Jagged) else values
    fits = isinstance(array, np.ndarray) and array.dtype.kind in "fiub" and array.shape[1:] == entry.extent
    return fits and isinstance(values, Jagged) == (entry.kind == "points")


def _wanted(entry: Input) -> str:
    numbers, of = ("Jagged values", "point") if entry.kind == "points" else ("numbers", "event")
    return f"{numbers} of shape ({of}, {', '.join(map(str, entry.extent))})"


def network(model: Model, schema: Schema) -> Network:
    """Return the network that a model builds. Raises PluginError for something else."""
    found: object = model.build(schema)
    if not isinstance(found, Network):
        refuse(model, "build", _shown(found), "a Network")
    claim(found, whose(model))
    return found


def outputs(network: Network, found: object, batch: Batch, gives: frozenset[str]) -> Outputs:
    """Return a network's outputs of a batch.

    Raises PluginError where one is missing or has not a row for each event, and for a reconstruction of another shape.
    """
    events = len(batch)
    if not isinstance(found, Mapping):
        refuse(network, "forward", _shown(found), "a dict of tensors")
    if missing := sorted(gives - found.keys()):
        refuse(
            network, "forward", f"{', '.join(found) or 'nothing'}", f"{', '.join(missing)} too, as the model's gives"
        )
    for name, values in found.items():
        if not isinstance(values, Tensor) or values.shape[:1] != (events,):
            refuse(
                network,
                f"forward, output {name!r},",
                _shown(values),
                f"a tensor with a row for each of {events} events",
            )
    shapes = [values.shape for values in batch.inputs.values()]
    if "reconstruction" in found and found["reconstruction"].shape not in shapes:
        told = f"the shape of the input, {' or '.join(str(tuple(shape)) for shape in shapes)}"
        refuse(network, "forward, output 'reconstruction',", _shown(found["reconstruction"]), told)
    return dict(found)


def terms(network: Network, found: object, shape: Sequence[int]) -> dict[str, Tensor]:
    """Return the terms of a loss. Raises PluginError where one is not a number for each event."""
    if not isinstance(found, dict) or not found:
        refuse(network, "loss", _shown(found), "a dict of terms")
    return {name: numbers(network, f"loss, term {name!r},", values, shape) for name, values in found.items()}


def validated(network: Network, batch: Batch) -> Tensor:
    """Return a network's final loss. Raises PluginError where it is not a number for each event."""
    return numbers(network, "validate", network.validate(batch), batch.weight.shape)


def numbers(plugin: Network | Scorer, method: str, found: object, shape: Sequence[int]) -> Tensor:
    """Return what is a number for each event. Raises PluginError for something else."""
    if isinstance(found, Tensor) and found.shape == shape:
        return found
    refuse(plugin, method, _shown(found), f"one number for each event, a tensor of shape {tuple(shape)}")


def state(plugin: Transform | Scorer, method: str, found: object) -> State:
    """Return what a transform or a scorer has learnt. Raises PluginError where it is no dict of arrays."""
    if not isinstance(found, Mapping):
        refuse(plugin, method, _shown(found), "a dict of arrays")
    for name, values in found.items():
        if not isinstance(values, np.ndarray | np.generic | float | int) or np.asarray(values).dtype.kind not in "fiub":
            refuse(plugin, method, f"for {name!r} {_shown(values)}", "an array of numbers")
    return dict(found)


def refuse_nan(scorer: Scorer, network: Network, outputs: Outputs, found: str) -> NoReturn:
    """Raise PluginError for scores that are NaN; where an output that is needed is so too, the network is to blame."""
    for name in sorted(scorer.needs & outputs.keys()):
        if outputs[name].isnan().any():
            refuse(network, f"forward, output {name!r},", found, f"numbers{UNLESS}")
    refuse(scorer, "score", found, f"a number for each event, which may be infinite{UNLESS}")


def _shown(found: Any) -> str:
    """Return what something is, in a few words: arrays and tensors by type and shape."""
    if isinstance(found, Jagged):
        return f"Jagged values of shape {found.values.shape}"
    if isinstance(found, np.ndarray | Tensor):
        what = "a tensor" if isinstance(found, Tensor) else "an array"
        return f"{what} of {str(found.dtype).removeprefix('torch.')} and shape {tuple(found.shape)}"
    text = repr(found)
    return text if len(text) < 60 else f"{type(found).__name__} {text[:57]}..."
