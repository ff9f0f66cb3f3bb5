"""A run in MLflow while it goes on: begun or resumed, told of every epoch, marked with the reason if it fails."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from hepanom import facts, machine, team, track, workspace
from hepanom.contracts import Epoch
from hepanom.errors import InputError
from hepanom.facts import Late
from hepanom.plugins import Parts
from hepanom.series import Series

Watch = Callable[[str, int, Epoch], None]


@contextmanager
def recorded(
    parts: Parts, origin: Mapping[str, Any], work: workspace.Workspace, uri: str, more: Mapping[str, str]
) -> Iterator[track.Record]:
    """Begin the MLflow run, or go on with the interrupted one; mark it with the reason where the block fails.

    ``origin`` is where its result comes from, ``more`` are tags beside its own.
    """
    store = track.open_store(uri)
    if (known := work.note.get("run_id")) is not None:
        if work.note["data"] != origin["data"]:
            raise InputError("the data changed since the run was interrupted; start a new one without --resume")
        record = track.resume(store, known)
    else:
        params, tags = facts.flatten(parts.document.plain), {**_tags(parts, origin), **more}
        record = track.start(store, parts.recipe.name, recipe=parts.document.text(), params=params, tags=tags)
        work.remember(run_id=record.run_id, data=origin["data"])
    for other in work.abandoned:
        track.abandon(store, other)
    try:
        yield record
    except KeyboardInterrupt:
        with undisturbed():
            if team.launched():  # torchrun ends the others when one of them dies
                track.fail(record, "another process of the training died, or all were ended")
            else:
                track.fail(record, "interrupted", "KILLED")
        raise
    except BaseException as error:
        with undisturbed():
            track.fail(record, str(error) or repr(error))
        raise


def _tags(parts: Parts, origin: Mapping[str, Any]) -> dict[str, str]:
    """Return what tells runs apart at a glance; the first scorer counts most, and stands alone once more."""
    device = machine.device_name(torch.device(str(origin["device"])), parts.recipe.train.threads)
    changes = [text for place, text in parts.document.overrides.items() if place != ("plugins",)]
    versions = {**origin["packages"], **origin["plugins"]}
    return {
        "model": parts.recipe.model.use,
        "data": parts.recipe.data.use,
        "scorer": next(iter(parts.scorers)),
        "scorers": ", ".join(parts.scorers),
        "device": f"{team.size()} processes, {device}" if team.size() > 1 else device,
        "git": str(origin["git"]),
        **({"set": ", ".join(dict.fromkeys(changes))} if changes else {}),
        **{f"version.{name}": version for name, version in versions.items()},
    }


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let no second signal end the process in the block: torchrun sends one when another process dies."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def logged(record: track.Record, parts: Parts, watch: Watch, late: list[Late]) -> Iterator[Watch]:
    """Give the function that hears of every epoch and tells ``watch`` and MLflow, in a run per training.

    What could not be sent until the end of the block is added to ``late``.
    """
    options = parts.recipe.train
    shown = {key: text for key, text in record.tags.items() if key in track.SHOWN}
    series: dict[tuple[str, int], Series] = {}
    with ExitStack() as stack:

        def log(category: str, replica: int, epoch: Epoch) -> None:
            if (category, replica) not in series:
                if (category, 0) not in series:
                    stack.close()  # the replicas of a category may train at once
                tags = {**shown, "category": category, "replica": str(replica)}
                several = options.per is not None or options.replicas > 1
                name = _name(parts, category, replica) if several else ""
                series[category, replica] = stack.enter_context(Series(record, name, tags))
            series[category, replica].add(epoch)
            watch(category, replica, epoch)

        yield log
    late += [each.late() for each in series.values() if each.pending]


def _name(parts: Parts, category: str, replica: int) -> str:
    """Return the name of the run of one training: ``higgsml-vae PRI_jet_num=2 replica 1``."""
    options = parts.recipe.train
    pieces = [f"{options.per}={category}"] if options.per else []
    pieces += [f"replica {replica + 1}"] if options.replicas > 1 else []
    return " ".join([parts.recipe.name, *pieces])
