"""What every scorer promises: one number per event, the same each time, from the outputs that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load, save
from torch import Tensor

from hepanom.contracts import Batch, Network, Outputs, Scorer
from hepanom.errors import InputError
from hepanom.testing.broken import distance, expect, gap, not_arrays
from hepanom.testing.case import Case, offered, settled, takes
from hepanom.testing.made_up import rows, some_batch

EVENTS = 60
FEW = 3  # models that a scorer is tried with where its case names none


class Witness(dict[str, Tensor]):
    """Outputs that remember which of them were read."""

    def __init__(self, outputs: Outputs, read: set[str]) -> None:
        super().__init__(outputs)
        self.seen = read

    def __getitem__(self, key: str) -> Tensor:
        self.seen.add(key)
        return super().__getitem__(key)


@dataclass(frozen=True)
class Scored:
    """A scorer beside a model, and the outputs of that for some events: those that the scorer needs, and no others."""

    scorer: Scorer
    model: Case
    network: Network
    events: Batch
    outputs: Outputs

    @cached_property
    def state(self) -> Any:
        """Return what the scorer learns of the events."""
        return self.scorer.fit([(self.events, self.outputs)])

    def some(self, index: list[int]) -> tuple[Batch, Outputs]:
        """Return some of the events with their outputs."""
        return rows(self.events, index), {key: value[index] for key, value in self.outputs.items()}


@cache
def outputs_of(model: Case, device: str) -> Outputs:
    """Return what a model's network gives, computed once for all scorers."""
    given: Outputs = settled(model, device)(some_batch(EVENTS, model.on, device))
    return given


@cache
def scored(case: Case, device: str) -> tuple[Scored, ...]:
    """Return the scorer beside each model that it is tried with."""
    scorer: Scorer = case.build()
    found = []
    for model in givers(case, scorer):
        given = outputs_of(model, device)
        only = {key: value for key, value in given.items() if key in scorer.needs}
        first = next(iter(given.values())).reshape(EVENTS, -1).sum(1)
        only |= {f"score/{name}": first for name in scorer.combines()}
        found.append(Scored(scorer, model, settled(model, device), some_batch(EVENTS, model.on, device), only))
    return tuple(found)


def givers(case: Case, scorer: Scorer) -> Sequence[Case]:
    """Return the models that a scorer is tried with: its case's, or those that give little else than it needs.

    Raises Unkept where none gives it.
    """
    if case.models:
        return case.models
    plugins = offered(case.plugins).items()
    models: dict[str, Any] = {}
    for (kind, name), plugin in plugins:
        if kind == "model":
            with suppress(InputError):  # one that lacks a library can be nobody's companion
                models[name] = plugin.load()
    extra = {name: len(model.gives - scorer.needs) for name, model in models.items() if scorer.needs <= model.gives}
    able = [Case("model", name, on=case.on, plugins=case.plugins) for name in sorted(extra, key=extra.__getitem__)]
    found = list(islice(filter(takes, able), FEW))
    needs = ", ".join(sorted(scorer.needs)) or "anything"
    expect(found, f"no installed model that can be loaded gives {needs} of made-up events of the kind {case.on}")
    return found


@torch.inference_mode()
def a_score_is_one_number_per_event(case: Case, device: str) -> None:
    """A score is one finite number per event, and not the same for all."""
    for one in scored(case, device):
        found = one.scorer.score(one.events, one.outputs, one.state, one.network)
        expect(found.shape == (EVENTS,), f"scores of the shape {tuple(found.shape)} for {EVENTS} events, {beside(one)}")
        odd = int((~found.isfinite()).sum())
        expect(not odd, f"{odd} of {EVENTS} ordinary events have a score that is NaN or infinite, {beside(one)}")
        expect(bool((found != found[0]).any()), f"{float(found[0]):g} for every event, {beside(one)}")


@torch.inference_mode()
def scores_are_repeatable(case: Case, device: str) -> None:
    """The same events have the same scores."""
    for one in scored(case, device):
        first = one.scorer.score(one.events, one.outputs, one.state, one.network)
        torch.rand(5)
        second = one.scorer.score(one.events, one.outputs, one.state, one.network)
        expect(torch.equal(first, second), f"two calls differ by {gap(second, first)}, {beside(one)}")


@torch.inference_mode()
def a_score_does_not_depend_on_the_batch(case: Case, device: str) -> None:
    """A score does not depend on the other events of the batch."""
    for one in scored(case, device):
        whole = one.scorer.score(one.events, one.outputs, one.state, one.network)
        for index in ([7], [*range(20, 60)]):
            part = one.scorer.score(*one.some(index), one.state, one.network)
            close = part.shape == (len(index),) and torch.allclose(part, whole[index], 1e-4, 1e-5)
            expect(close, f"{len(index)} of {EVENTS} events alone differ by {gap(part, whole[index])}, {beside(one)}")


@torch.inference_mode()
def a_fit_does_not_depend_on_the_chunks(case: Case, device: str) -> None:
    """A fit does not depend on the chunks."""
    for one in scored(case, device):
        pieces = one.scorer.fit(one.some([*part]) for part in (range(23), range(23, 24), range(24, 60)))
        expect(pieces.keys() == one.state.keys(), f"{sorted(pieces)} in three chunks, {sorted(one.state)} in one")
        for key, value in one.state.items():
            close = np.shape(pieces[key]) == np.shape(value) and np.allclose(pieces[key], value, 1e-4, 1e-5)
            expect(
                close,
                f"the fit in three chunks differs by {distance(pieces[key], value)} in {key!r}, {beside(one)}",
            )


@torch.inference_mode()
def its_state_is_arrays(case: Case, device: str) -> None:
    """Its state is arrays that a file brings back bit for bit."""
    for one in scored(case, device):
        odd = not_arrays(one.state)
        expect(not odd, f"{', '.join(odd)} of the state is no array, {beside(one)}")
        stored = load(save(one.state)) if one.state else {}
        first, again = (one.scorer.score(one.events, one.outputs, each, one.network) for each in (one.state, stored))
        expect(torch.equal(first, again), f"with the stored state it differs by {gap(again, first)}, {beside(one)}")


@torch.inference_mode()
def it_reads_what_it_needs(case: Case, device: str) -> None:
    """It reads the outputs that it needs, and no others."""
    for one in scored(case, device):
        read = set[str]()
        state = one.scorer.fit([(one.events, Witness(one.outputs, read))])
        one.scorer.score(one.events, Witness(one.outputs, read), state, one.network)
        one.scorer.explain(one.events, Witness(one.outputs, read), state, one.network)
        needs = {*one.scorer.needs, *(f"score/{name}" for name in one.scorer.combines())}
        expect(read == needs, f"needs names {sorted(needs)}, and {sorted(read)} were read, {beside(one)}")


@torch.inference_mode()
def it_explains_each_event(case: Case, device: str) -> None:
    """What it says of the parts of a score has the shape of the input."""
    for one in scored(case, device):
        parts = one.scorer.explain(one.events, one.outputs, one.state, one.network)
        if parts is None:
            continue
        shape = next(iter(one.events.inputs.values())).shape
        expect(parts.shape == shape, f"parts of the shape {tuple(parts.shape)} for {tuple(shape)}, {beside(one)}")
        expect(parts.isfinite().all(), f"parts that are NaN or infinite, {beside(one)}")


@torch.inference_mode()
def scores_are_on_the_device(case: Case, device: str) -> None:
    """A score is on the device of its events."""
    for one in scored(case, device):
        found = one.scorer.score(one.events, one.outputs, one.state, one.network)
        expect(found.device.type == device, f"scores on {found.device.type} of events on {device}, {beside(one)}")


def beside(one: Scored) -> str:
    """Say which model the scorer was tried with."""
    return f"with the model {one.model.name!r}"
