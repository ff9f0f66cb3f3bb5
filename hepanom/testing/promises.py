"""Every promise of the four contracts, and where docs/contracts.md explains it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from hepanom.packages import Kind
from hepanom.testing import everything, losses, networks, readers, scores, transforms
from hepanom.testing.broken import PAGE, BrokenPromise, told
from hepanom.testing.case import Case

Keep = Callable[..., None]

EVERY: dict[Keep, str] = {
    everything.it_explains_itself_and_its_options: "options",
    everything.it_has_what_its_contract_asks_for: "methods",
    everything.a_misspelt_option_is_told: "mistakes",
    everything.a_wrong_value_is_told: "mistakes",
}
BY_KIND: dict[Kind, dict[Keep, str]] = {
    "reader": {
        readers.its_schema_is_true: "reader-schema",
        readers.parts_are_readable_alone: "reader-parts",
        readers.events_are_told_apart: "reader-event-id",
    },
    "transform": {
        transforms.a_fit_does_not_depend_on_the_chunks: "transform-chunks",
        transforms.weight_two_is_the_event_twice: "transform-weights",
        transforms.its_schema_is_true: "transform-schema",
        transforms.the_events_stay_what_they_are: "transform-pure",
        transforms.an_event_is_changed_alone: "transform-alone",
        transforms.its_state_is_arrays: "transform-state",
        transforms.what_it_undoes_is_what_went_in: "transform-undo",
    },
    "model": {
        networks.everything_is_on_the_device: "model-device",
        networks.it_gives_what_it_says: "model-outputs",
        networks.evaluation_draws_no_noise: "model-determinism",
        networks.outputs_do_not_depend_on_the_batch: "model-alone",
        networks.the_same_seed_builds_the_same_network: "model-seed",
        networks.its_state_brings_it_back: "model-state",
        networks.what_it_says_of_itself_is_repeatable: "model-diagnostics",
        losses.a_loss_is_per_event: "model-loss",
        losses.it_moves_every_parameter: "model-gradient",
        losses.it_learns_in_mixed_precision: "model-mixed-precision",
        losses.weight_two_is_the_event_twice: "model-weights",
    },
    "scorer": {
        scores.scores_are_on_the_device: "scorer-device",
        scores.a_score_is_one_number_per_event: "scorer-score",
        scores.scores_are_repeatable: "scorer-determinism",
        scores.a_score_does_not_depend_on_the_batch: "scorer-alone",
        scores.a_fit_does_not_depend_on_the_chunks: "scorer-chunks",
        scores.its_state_is_arrays: "scorer-state",
        scores.it_reads_what_it_needs: "scorer-needs",
        scores.it_explains_each_event: "scorer-explain",
    },
}

# A sum on a GPU has no fixed order: what is compared bit for bit, or by a hair, between two trainings stays on the CPU.
ON_CPU = {networks.the_same_seed_builds_the_same_network, losses.weight_two_is_the_event_twice}


@dataclass(frozen=True)
class Promise:
    """One promise of one case: a call keeps silent, or raises BrokenPromise."""

    case: Case
    keep: Callable[..., None]
    anchor: str
    device: str = ""

    @property
    def statement(self) -> str:
        """Return the promise as a clause: ``parts are readable alone and in any order``."""
        sentence = (inspect.getdoc(self.keep) or "").partition("\n")[0].removesuffix(".")
        return sentence[:1].lower() + sentence[1:] + (f" on {self.device}" if self.device == "cuda" else "")

    def __str__(self) -> str:
        return f"{self.case.kind}-{self.case.name}-{self.statement}"

    def __call__(self) -> None:
        """Try it. Raises BrokenPromise with what was found."""
        __tracebackhide__ = True
        where: dict[str, Any] = {"device": self.device} if self.device else {}
        try:
            self.keep(self.case, **where)
        except Exception as error:
            found = told(error, self.case.file)
            raise BrokenPromise(self.case.owner, self.statement, f"{PAGE}#{self.anchor}", found) from error


def promises(case: Case) -> list[Promise]:
    """Return every promise of a case, those of models and scorers for the CPU and for CUDA where there is one."""
    both = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    devices = both if case.kind in ("model", "scorer") else [""]
    own = BY_KIND[case.kind].items()
    general = [Promise(case, keep, anchor) for keep, anchor in EVERY.items()]
    tried = [(keep, anchor, device) for device in devices for keep, anchor in own]
    return general + [Promise(case, *each) for each in tried if each[0] not in ON_CPU or each[2] == "cpu"]


def check(case: Case) -> None:
    """Try every promise of a case. Raises BrokenPromise at the first that is not kept."""
    for promise in promises(case):
        promise()
