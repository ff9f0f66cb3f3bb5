"""What a plugin promises: readers, transforms, models and scorers, and the values that pass between them and the core.

A plugin is a frozen dataclass; its fields are the options of the recipe, best written as
``name: Annotated[type, Field(description="...", gt=0)] = default`` (pydantic's ``Field``), so that bounds are checked
with the recipe and ``hepanom plugins NAME`` explains them. Methods with a body here are defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hepanom import hookspecs
from hepanom.events import Events, Schema

VERSION, OLDEST = hookspecs.VERSION, hookspecs.OLDEST  # written down there, where reading them imports no torch
Sketch = dict[str, np.ndarray]
State = dict[str, np.ndarray]
Outputs = dict[str, Tensor]


@dataclass(frozen=True)
class Part:
    """A piece of the data that can be read alone: rows, entries or bytes ``start`` to ``stop`` of ``file``.

    ``problem`` says why it cannot be read, where the reader was told to skip broken files and found it in the headers.
    """

    file: str
    start: int
    stop: int
    problem: str = ""


@dataclass(frozen=True)
class Unread:
    """A column, or a dataset, that lies in the files and that the reader's options leave there.

    ``holds`` says what it is, ``type`` that of its values, ``fewest`` and ``most`` how many of them an event has; both
    are None where they are not known, or where it has nothing to do with events.
    """

    name: str
    holds: str
    type: str = ""
    fewest: int | None = None
    most: int | None = None


@runtime_checkable
class Reader(Protocol):
    """Turns files (or a simulation) into events.

    A reader of files has the option ``on_bad_file``, ``stop`` or ``skip``: with ``skip`` the core leaves out, and
    reports, a part that has a ``problem`` or raises BrokenFileError. Where nobody says which reader a file is for, all
    are asked by ``reads``; one that names others in ``before`` goes before them.
    """

    before: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def reads(cls, file: str) -> bool:  # noqa: ARG003
        """Say whether these are files of this reader's kind, by their name or, where that says too little, their head.

        Never raises: a file that cannot be opened is told by its name.
        """
        return False

    def schema(self) -> Schema:
        """Describe the events from headers and first rows. Raises InputError for a missing file or column."""
        ...

    def parts(self) -> Sequence[Part]:
        """List the pieces that can be read alone, in order."""
        ...

    def read(self, part: Part) -> Iterator[Events]:
        """Yield the part's events chunk by chunk, in bounded memory.

        Raises InputError, naming file and place, for events that cannot be used, BrokenFileError for a file that is
        truncated or corrupt; what was yielded before counts only when the part was read to its end.
        """
        ...

    def on(self, files: Sequence[str]) -> Reader:
        """Return this reader for other files, in which labels and weights may be missing."""
        ...

    def unread(self) -> Sequence[Unread]:
        """List what else there is in the files, told by the first of them that can be read."""
        return ()

    def originals(self, part: Part, entries: Int[np.ndarray, " event"]) -> tuple[str, dict[str, Any]]:
        """Return the tree's name and all branches of the file for some entries of a part, for a skim of it.

        Readers whose events have no ``entry`` beside need it not.
        """
        raise TypeError(f"{type(self).__name__} does not define originals")


@runtime_checkable
class Transform(Protocol):
    """Changes events before the model sees them: measured on the events that train (map, reduce), then applied to all.

    These are the background of the training share, or with ``train.on: all`` everything in it.

    ``schema`` as an argument describes the events that come in, before this transform. With ``fitted_columns`` only the
    fit tells which columns come out; all others give the schema before it as after it.
    """

    fitted_columns: ClassVar[bool] = False

    def measure(self, events: Events, schema: Schema) -> Sketch:
        """Return what one chunk of the events that train contributes to the fit."""
        return {}

    def merge(self, a: Sketch, b: Sketch) -> Sketch:
        """Return the contribution of two chunks together."""
        return a

    def finish(self, sketch: Sketch) -> State:
        """Return the fitted state from the sketch of all events that train."""
        return sketch

    def schema(self, before: Schema, state: State) -> Schema:
        """Return the schema after ``apply``; an empty state means that the fit is still to come."""
        return before

    def apply(self, events: Events, schema: Schema, state: State) -> Events:
        """Return the changed events."""
        ...

    def undo(self, events: Events, schema: Schema, state: State) -> Events | None:
        """Return events that came out of ``apply`` as they were before, in their units; None where that is impossible.

        What was cut or filled stays so: ``apply`` after ``undo`` gives the same events again. Any finite values can be
        undone, a network's reconstruction too. ``schema`` is the one that ``apply`` had; ``log_jacobian`` stays behind.
        """
        return None


@dataclass(frozen=True)
class Batch:
    """Events on a device: float32 tensors of equal length.

    ``log_jacobian`` is ln |dy/dx| of the transforms from the reader's x to the columns y that the model has a density
    of, where they have one.
    """

    inputs: Mapping[str, Float[Tensor, "event ..."]]
    weight: Float[Tensor, " event"]
    label: Int[Tensor, " event"]
    target: Float[Tensor, "event target"] | None = None
    log_jacobian: Float[Tensor, " event"] | None = None

    def __len__(self) -> int:
        return len(self.weight)

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor by name, an input as ``inputs/NAME``."""
        found = {f"inputs/{name}": values for name, values in self.inputs.items()}
        found |= {"weight": self.weight, "label": self.label}
        found |= {} if self.target is None else {"target": self.target}
        return found | ({} if self.log_jacobian is None else {"log_jacobian": self.log_jacobian})

    @staticmethod
    def of(tensors: Mapping[str, Tensor]) -> Batch:
        """Return the batch whose ``tensors()`` these are."""
        inputs = {name.removeprefix("inputs/"): values for name, values in tensors.items() if name[:7] == "inputs/"}
        rest = (tensors.get(name) for name in ("target", "log_jacobian"))
        return Batch(inputs, tensors["weight"], tensors["label"], *rest)

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Return the batch with every tensor changed in the same way."""
        return Batch.of({name: change(values) for name, values in self.tensors().items()})


@dataclass(frozen=True)
class Epoch:
    """What one epoch of a training gave: mean loss by term, validation loss, and how fast it went.

    ``diagnostics`` are what the network says of itself after the epoch.
    """

    epoch: int
    losses: Mapping[str, float]
    validation: float
    best: bool
    events_per_second: float
    diagnostics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Guard:
    """A diagnostic that tells, ``below`` or ``above`` a limit, that a network has collapsed.

    ``meaning`` says what happened to it: a whole clause, such as ``the latent code has collapsed``.
    """

    name: str
    meaning: str
    below: float | None = None
    above: float | None = None

    def crossed(self, value: float) -> bool:
        """Return whether a value lies beyond the limit; NaN, which nobody could measure, does not."""
        return (self.below is not None and value < self.below) or (self.above is not None and value > self.above)


@dataclass(frozen=True)
class Player:
    """Parameters that one optimizer moves: the whole network, or its critic, or its generator.

    ``steps`` is the number of updates in a row; ``optimizer`` options replace the recipe's for this player.
    """

    parameters: Sequence[nn.Parameter]
    steps: int = 1
    optimizer: Mapping[str, bool | float | tuple[float, ...]] = field(default_factory=dict)


class Network(nn.Module):
    """What a model builds: named outputs for scorers, named loss terms for the training loop.

    What ``prepare`` learns it keeps in buffers, whose shapes may depend on the events: a stored state brings its own.
    Replicas of a network that ``stacks`` train at once: its ``loss`` runs under torch.vmap, so that nothing there
    depends on a tensor's value but by tensor operations, and it has no ``prepare``.
    """

    stacks: bool = False

    def players(self) -> dict[str, Player]:
        """Return who is trained; a network fitted by ``prepare`` alone returns {}.

        A parameter belongs to one player, and is changed in place: in training it is a view of a larger tensor.
        """
        return {"network": Player(list(self.parameters()))}

    def prepare(self, batches: Iterable[Batch], epoch: int) -> bool:
        """Look at the training batches before an epoch; return True when the network is finished."""
        return False

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Take a stored state over, buffers in the shape that they have there; the rest is torch's."""
        for name, buffer in list(self.named_buffers()):
            if name in state_dict and state_dict[name].shape != buffer.shape:
                place, _, leaf = name.rpartition(".")
                setattr(self.get_submodule(place), leaf, buffer.new_empty(state_dict[name].shape))
        return super().load_state_dict(state_dict, strict, assign)

    def forward(self, batch: Batch, noise: Float[Tensor, " latent"] | None = None) -> Outputs:
        """Return the outputs that the model's ``gives`` names, each (event, ...).

        Deterministic in evaluation. ``noise``, for a network that gives ``latent_log_variance``, moves every event's
        latent code by that many standard deviations.
        """
        raise TypeError(f"{type(self).__name__} does not define forward")

    def loss(self, player: str, batch: Batch, progress: float) -> dict[str, Float[Tensor, " event"]]:
        """Return the named loss terms per event; ``progress`` runs from 0 to 1 over the training."""
        raise TypeError(f"{type(self).__name__} does not define loss")

    def validate(self, batch: Batch) -> Float[Tensor, " event"]:
        """Return the final loss per event, which look-back stopping watches; the loop fixes the noise."""
        terms = [term for player in self.players() for term in self.loss(player, batch, 1.0).values()]
        return torch.stack([torch.zeros_like(batch.weight), *terms]).sum(0)

    def diagnose(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Return named numbers that tell whether the training goes wrong, from some validation events.

        Called after each epoch, in evaluation, without gradients, with the same noise each time. The names are the same
        in every epoch; NaN is what cannot be measured yet. They are recorded, and rules of the recipe may watch them.
        """
        return {}

    def guards(self) -> Sequence[Guard]:
        """Return the limits of the diagnostics beyond which the network has collapsed."""
        return ()

    def prior(self, draws: int) -> Float[Tensor, "draw latent"] | None:
        """Return latent codes drawn by torch's global generator; None where no prior shapes them."""
        return None

    def decode(
        self, codes: Float[Tensor, "code latent"], given: Batch | None = None
    ) -> Float[Tensor, "code ..."] | None:
        """Return what becomes of latent codes, such as the ``reconstruction``, in the shape of the input.

        A conditional network takes the conditions from the events of ``given``, in turn. Of a set of points it is
        (code, point, column), in the columns' order. None where there is no way back.
        """
        return None

    def generate(self, draws: int, given: Batch | None = None) -> Float[Tensor, "draw ..."] | None:
        """Return events made of noise of torch's global generator, in the shape of the input; None for no generator."""
        codes = self.prior(draws)
        return None if codes is None else self.decode(codes, given)

    def canvases(self, batch: Batch) -> Float[Tensor, "step event ..."] | None:
        """Return what a network that works in steps shows after each; the last is the reconstruction."""
        return None

    def explain(self, batch: Batch) -> Float[Tensor, "event ..."] | None:
        """Return the parts of each event's ``outlyingness``, in the shape of the input; None where it has none."""
        return None


@runtime_checkable
class Model(Protocol):
    """Builds a network for a schema; ``gives`` names its outputs.

    ``loss_options`` names the options that change what the loss means, so that the losses of two networks that differ
    in them do not compare; a model adds its own to these names, which all of them use.
    """

    gives: ClassVar[frozenset[str]]
    loss_options: ClassVar[frozenset[str]] = frozenset(
        {"loss", "l1", "l2", "beta", "free_bits", "regularization", "kernel", "decoder", "variance"}
    )

    def build(self, schema: Schema) -> Network:
        """Return a network with fresh weights drawn from torch's global generator.

        Raises InputError for events that it cannot take: it is called once before any of them is read.
        """
        ...

    def conditions(self, schema: Schema) -> Sequence[str]:
        """Return the columns that ``log_density`` is conditional on: what transforms do to them is not counted."""
        return ()

    def refuse_epochs(self, epochs: int) -> None:
        """Raise InputError for a training of so few epochs that the network would not be finished."""


@runtime_checkable
class Scorer(Protocol):
    """Turns a network's outputs into one number per event; higher is stranger.

    ``needs`` names the outputs it reads, all of which the model must give.
    """

    needs: ClassVar[frozenset[str]]

    def combines(self) -> Sequence[str]:
        """Return the names of earlier scores of the recipe that this one reads, as outputs ``score/NAME``."""
        return ()

    def fit(self, batches: Iterable[tuple[Batch, Outputs]]) -> State:
        """Return what the score needs to know of the events that train: of the valid ones if it combines scores."""
        return {}

    def score(self, batch: Batch, outputs: Outputs, state: State, network: Network) -> Float[Tensor, " event"]:
        """Return the score of each event; deterministic. It may be infinite, which counts as 1.3e154, but not NaN."""
        ...

    def explain(
        self, batch: Batch, outputs: Outputs, state: State, network: Network
    ) -> Float[Tensor, "event ..."] | None:
        """Return each feature's or pixel's share of the score, in the shape of the input; None for no such parts."""
        return None
