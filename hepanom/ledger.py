"""The trials of a search as runs of MLflow, below that of the search: one each, whoever ran them and whoever died."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hepanom import address, facts, track
from hepanom.address import told
from hepanom.errors import HepanomError
from hepanom.trials import Objective, Trial

if TYPE_CHECKING:
    import mlflow.entities

TRIAL = "hepanom.trial"  # tag: the number of the trial
STATE = "hepanom.trial_state"  # tag: how it ended, set when the run is whole
STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}

log = logging.getLogger(__name__)


def settle(record: track.Record, trials: Sequence[Trial], objectives: Sequence[Objective]) -> dict[int, str]:
    """Record the ended trials that are not recorded yet, and remove what is there twice; return run ids by number.

    A run that is not whole is done anew: its process died.
    """
    known: dict[int, str] = {}
    with told(record.store.uri):
        address.knock(record.store.uri)
        for number, runs in _recorded(record).items():
            if kept := _one(record, runs):
                known[number] = kept
    for trial in trials:
        if trial.state != "running" and trial.number not in known:
            known[trial.number] = write(record, trial, objectives)
    return known


def write(record: track.Record, trial: Trial, objectives: Sequence[Objective]) -> str:
    """Record a trial as a run of its own; return its id. Of two processes that do so at once, one run stays."""
    store = record.store
    again = {} if trial.retry_of is None else {"hepanom.retry_of": str(trial.retry_of)}
    reason = {facts.REASON: trial.reason} if trial.reason else {}
    tags = {"mlflow.source.name": "hepanom", track.PARENT: record.run_id, TRIAL: str(trial.number)}
    goals = [f"objective/{each.name}" for each in objectives]
    last = max(trial.steps, default=0)
    points = [point for step, value in trial.steps.items() for point in facts.points({goals[0]: value}, step)]
    points += facts.points({**trial.numbers, **dict(zip(goals, trial.values, strict=False))}, last)
    began = int(trial.began * 1000)
    with told(store.uri):
        address.knock(store.uri)
        run = store.client.create_run(
            record.experiment_id,
            start_time=began,
            tags={**tags, **facts.tags(again | reason)},
            run_name=f"trial-{trial.number}",
        )
        found = track.Record(store, run.info.run_id, record.experiment_id, run.info.artifact_uri)
        track.send(found, points)
        track.log_params(store, found.run_id, {path: str(value) for path, value in trial.drawn.items()})
        store.client.set_terminated(found.run_id, STATUS[trial.state], began + int(trial.seconds * 1000))
        store.client.set_tag(found.run_id, STATE, trial.state)
        return _one(record, _recorded(record, f" and tags.`{TRIAL}` = '{trial.number}'")[trial.number])


def _recorded(record: track.Record, chosen: str = "") -> dict[int, list[mlflow.entities.Run]]:
    """Return the runs of trials by number, in an order that is the same for every process."""
    found: dict[int, list[mlflow.entities.Run]] = {}
    for run in sorted(track.children(record, chosen), key=lambda run: str(run.info.run_id)):
        if TRIAL in run.data.tags:
            found.setdefault(int(run.data.tags[TRIAL]), []).append(run)
    return found


def _one(record: track.Record, runs: Sequence[mlflow.entities.Run]) -> str:
    """Return the first of a trial's runs that is whole, nothing where none is, and remove the others."""
    kept = next((run.info.run_id for run in runs if STATE in run.data.tags), "")
    for run in runs:
        if run.info.run_id != kept:
            record.store.client.delete_run(run.info.run_id)
    return str(kept)


def try_write(record: track.Record, trial: Trial, objectives: Sequence[Objective]) -> None:
    """Record a trial, or say that it will be recorded when the search ends: the search itself goes on."""
    try:
        write(record, trial, objectives)
    except HepanomError as error:
        log.warning("%s; trial %d is in the search's own storage and will be recorded later", error, trial.number)


def finish(record: track.Record, numbers: Mapping[str, float], tags: Mapping[str, str], folder: Path) -> None:
    """Record what a search found, with the files of its folder, and mark its run as finished."""
    client = record.store.client
    with told(record.store.uri):
        track.send(record, facts.points(numbers, 0))
        for key, text in facts.tags(tags).items():
            client.set_tag(record.run_id, key, text)
        for path in sorted(folder.glob("[!.]*")):
            client.log_artifact(record.run_id, str(path))
        track.end(record, "FINISHED")
