"""A search whose processes are killed at random: what its storage and MLflow hold in the end.

Four processes of ``hepanom search --helps`` and one without share the trials of a small recipe, once on an SQLite file
and once on a journal. One of the five, drawn at random, is killed with SIGKILL at random times and started again, in
the end all of them are, and the same command goes on alone to the end. Optuna and MLflow are then asked directly: how
many trials there are and how many of these were lost with their process and done again; how many of them have no run,
or more than one, or one that says something else; how many runs are still marked as running; and whether the best trial
and its value are the same in the study, in MLflow and in what the command printed.

    python benchmarks/killed_search.py [kills] [trials] [seed]
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}

WORKERS = 5
STORAGES = ("trials.db", "trials.journal")
STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
RECIPE = """
name: killed
seed: 7
data: {{use: toy, events: 20000}}
background: [background]
transforms: [{{use: missing}}, {{use: standardize}}]
model: {{use: autoencoder, hidden: [16]}}
train: {{epochs: 15, batch: 256, device: cpu}}
scores: [{{use: reconstruction}}]
thresholds: [{{rule: background_efficiency, value: 0.1}}]
search:
  trials: {trials}
  storage: {storage}
  silence: 3
  maximize: valid/auc
  space:
    model.latent: {{int: [1, 4]}}
    train.optimizer.lr: {{float: [1.0e-3, 1.0e-1], log: true}}
"""


def start(folder: Path, number: int) -> subprocess.Popen[bytes]:
    """Start one of the processes; the first alone trains the best again."""
    command = [sys.executable, "-m", "hepanom", "search", str(folder / "killed.yaml"), f"--state={folder}", "-q"]
    with (folder / f"worker-{number}.log").open("ab") as log:
        return subprocess.Popen([*command, *(["--helps"] if number else [])], stdout=log, stderr=log)


def stored(place: Path) -> Any:
    """Return the study as Optuna itself reads it."""
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    lock = JournalFileOpenLock(str(place))
    inner: Any = (
        optuna.storages.JournalStorage(JournalFileBackend(str(place), lock))
        if place.suffix == ".journal"
        else f"sqlite:///{place}"
    )
    return optuna.load_study(study_name=None, storage=inner)


def begun(place: Path) -> int:
    """Return how many trials have begun."""
    try:
        return sum(trial.state.name != "WAITING" for trial in stored(place).trials)
    except Exception:  # there is no study yet
        return 0


def kill(folder: Path, place: Path, kills: int, chance: random.Random) -> int:
    """Kill processes at random, in the end all of them; return how many there were."""
    workers = [start(folder, number) for number in range(WORKERS)]
    for killed in range(kills):
        while begun(place) < 3 + 2 * killed:  # so that processes begin trials between two kills
            time.sleep(0.2)
        time.sleep(chance.uniform(0, 2))
        victim = chance.randrange(WORKERS)
        workers[victim].kill()
        workers[victim].wait()
        workers[victim] = start(folder, victim)
    for worker in workers:
        worker.kill()
        worker.wait()
    return kills + WORKERS


def judged(folder: Path, place: Path, printed: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of a line of the table."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    runs = client.search_runs(["1"], f"tags.`mlflow.parentRunId` = '{printed['run_id']}'", max_results=10_000)
    recorded = [run for run in runs if "hepanom.trial" in run.data.tags]
    copies = Counter(int(run.data.tags["hepanom.trial"]) for run in recorded)
    study = stored(place)
    trials = {trial.number: trial for trial in study.trials if "slot" in trial.user_attrs}
    states = Counter(trial.state.name for trial in trials.values())
    again = Counter(trial.user_attrs["retry_of"] for trial in trials.values() if "retry_of" in trial.user_attrs)
    done = Counter(trial.user_attrs["slot"] for trial in trials.values() if trial.state.name == "COMPLETE")
    other = [
        run
        for run in recorded
        if run.info.status != STATUS.get(trials[int(run.data.tags["hepanom.trial"])].state.name)
        or run.data.metrics.get("objective/valid/auc")
        != (trials[int(run.data.tags["hepanom.trial"])].values or [None])[0]
    ]
    highest = max(recorded, key=lambda run: run.data.metrics.get("objective/valid/auc", 0.0))
    return {
        "trials": len(trials),
        "complete": states["COMPLETE"],
        "lost": states["FAIL"],
        "retried": len(again),
        "unended": states["RUNNING"] + states["WAITING"],
        "twice": sum(count - 1 for count in [*again.values(), *done.values()]),
        "no run": len(trials.keys() - copies.keys()),
        "runs > 1": sum(count - 1 for count in copies.values()),
        "other": len(other),
        "running": sum(run.info.status == "RUNNING" for run in client.search_runs(["1"], max_results=10_000)),
        "best": study.best_trial.number == printed["best"][0] == int(highest.data.tags["hepanom.trial"])
        and study.best_value == highest.data.metrics["objective/valid/auc"],
    }


def main(kills: int, trials: int, seed: int) -> None:
    """Print the table."""
    for name in STORAGES:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            place = folder / name
            (folder / "killed.yaml").write_text(RECIPE.format(trials=trials, storage=place), encoding="utf-8")
            killed = kill(folder, place, kills, random.Random(seed))
            command = [sys.executable, "-m", "hepanom", "search", str(folder / "killed.yaml"), f"--state={folder}"]
            done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{name}: the command ended with {done.returncode}\n{done.stdout}{done.stderr}")
            line = {"storage": name, "workers": WORKERS, "killed": killed} | judged(
                folder, place, json.loads(done.stdout)
            )
            if name == STORAGES[0]:
                print("".join(f"{key:>{max(9, len(key) + 2)}}" for key in line))
            print("".join(f"{value!s:>{max(9, len(key) + 2)}}" for key, value in line.items()), flush=True)


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    main(*given, *(10, 30, 1)[len(given) :])
