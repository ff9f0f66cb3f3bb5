"""Every trial of a search is run once, whoever works on it, whoever dies, and wherever it is kept."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest

from hepanom import journal
from hepanom.errors import HepanomError, InputError
from hepanom.journal import place_of
from hepanom.space import SearchOptions
from hepanom.study import Attempt, Failed, Pruned, Study, open_study
from hepanom.trials import Objective, best

SPACE = {"x": {"float": [-1.0, 1.0]}, "n": {"int": [1, 8], "log": True}, "kind": {"choice": ["a", "b"]}}
STORAGES = ("trials.db", "trials.journal")
WORKER = """
import sys, time
from hepanom.study import open_study
from hepanom.space import Axis
import test_study
place, log, seconds = sys.argv[1:]
study = test_study.opened(place, trials=60, silence=2)

def run(attempt):
    with open(log, "a") as stream:
        stream.write(f"{attempt.number}\\n")
    x = attempt.pick(Axis("x", "float", -1.0, 1.0))
    attempt.remember(drawn={"x": x}, numbers={"square": x * x})
    time.sleep(float(seconds))
    return [x * x]

study.work(run)
"""


def options(**changes: object) -> SearchOptions:
    """Return the options of a search that minimizes a number."""
    plain = {"minimize": "square", "space": SPACE, "sampler": "random", "trials": 6, **changes}
    return SearchOptions.model_validate_json(json.dumps(plain))


def opened(place: Path | str, seed: int = 1, epochs: int = 5, **changes: object) -> Study:
    """Return a study in a storage."""
    return open_study(str(place), "study", options(**changes), seed, epochs)


def run(attempt: Attempt) -> list[float]:
    """Draw along every axis; the objective is a parabola."""
    values = {path: attempt.pick(options().space[path].axis(path)) for path in SPACE}
    attempt.remember(drawn=values, numbers={"square": values["x"] ** 2})
    return [values["x"] ** 2]


@pytest.mark.parametrize("name", STORAGES)
def test_a_search_runs_its_trials_and_goes_on_where_it_stopped(tmp_path: Path, name: str) -> None:
    study, ended = opened(tmp_path / name), list[int]()
    study.work(run, ended.append)
    assert ended == list(range(6))
    again = opened(tmp_path / name, trials=9)
    again.work(run, ended.append)
    trials = opened(tmp_path / name, trials=9).trials()
    assert [trial.number for trial in trials] == ended == list(range(9))
    assert all(trial.state == "complete" and trial.values[0] == trial.numbers["square"] for trial in trials)


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp", "cmaes", "nsga2", "qmc"])
def test_the_same_seed_draws_the_same_and_another_another(tmp_path: Path, sampler: str) -> None:
    drawn = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        study = opened(tmp_path / f"{name}.journal", seed=seed, sampler=sampler, trials=12)
        study.work(run)
        drawn.append([trial.drawn for trial in study.trials()])
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(-1 <= each["x"] <= 1 and each["n"] in range(1, 9) for each in drawn[0])
    assert len({each["x"] for each in drawn[0]}) >= 8  # a genetic algorithm takes some values over


def test_what_a_trial_draws_does_not_depend_on_who_runs_it(tmp_path: Path) -> None:
    alone = opened(tmp_path / "alone.journal")
    alone.work(run)
    for _ in range(2):  # a process that sees only a part of the trials
        some = opened(tmp_path / "shared.journal")
        left = 3

        def few(attempt: Attempt) -> list[float]:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            return run(attempt)

        try:
            some.work(few)
        except KeyboardInterrupt:
            continue
    shared = [trial.drawn["x"] for trial in some.trials() if trial.state == "complete"]
    mine = [trial.drawn["x"] for trial in alone.trials()]
    assert set(mine[:3]) <= set(shared)


@pytest.mark.parametrize("name", STORAGES)
def test_an_interrupted_trial_waits_again(tmp_path: Path, name: str) -> None:
    def interrupted(attempt: Attempt) -> list[float]:
        run(attempt)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path / name).work(interrupted)
    study = opened(tmp_path / name)
    study.work(run)
    first, *_, last = study.trials()
    assert (first.state, first.reason) == ("failed", "interrupted")
    assert (last.state, last.retry_of) == ("complete", 0)
    assert last.drawn["x"] == first.drawn["x"]
    assert sum(trial.state == "complete" for trial in study.trials()) == 6


def test_a_trial_that_fails_or_is_pruned_does_not_stop_the_search(tmp_path: Path) -> None:
    def mixed(attempt: Attempt) -> list[float]:
        if attempt.number == 1:
            attempt.remember(reason="an impossible network")
            raise Failed
        if attempt.number == 2:
            attempt.report(1, 5.0)
            raise Pruned
        return run(attempt)

    study = opened(tmp_path / "trials.db")
    study.work(mixed)
    states = [trial.state for trial in study.trials()]
    assert states == ["complete", "failed", "pruned", "complete", "complete", "complete"]
    assert study.trials()[1].reason == "an impossible network"
    assert study.trials()[2].steps == {1: 5.0}


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_pruner_that_maximizes_prunes_what_is_small(tmp_path: Path, pruner: str) -> None:
    def learning(attempt: Attempt) -> list[float]:
        quality = attempt.pick(options().space["x"].axis("x"))
        for epoch in range(1, 28):
            attempt.report(epoch, quality + epoch / 27)
        return [quality + 1]

    study = open_study(
        str(tmp_path / "trials.journal"), "s", options(minimize=(), maximize="auc", pruner=pruner, trials=60), 1, 27
    )
    study.work(learning)
    kept = [trial.values[0] - 1 for trial in study.trials() if trial.state == "complete"]
    gone = [
        trial.steps[max(trial.steps)] - max(trial.steps) / 27 for trial in study.trials() if trial.state == "pruned"
    ]
    assert gone
    assert sum(kept) / len(kept) > sum(gone) / len(gone)
    assert max(kept) > max(gone)


def test_a_grid_runs_every_point_once(tmp_path: Path) -> None:
    space = {"n": {"int": [1, 4]}, "kind": {"choice": ["a", "b"]}}
    grid = options(sampler="grid", space=space, trials=None)
    study = open_study(str(tmp_path / "trials.db"), "grid", grid, 1, 1)

    def point(attempt: Attempt) -> list[float]:
        values = {path: attempt.pick(grid.space[path].axis(path)) for path in space}
        attempt.remember(drawn=values)
        return [0.0]

    study.work(point)
    assert Counter(tuple(trial.drawn.values()) for trial in study.trials()) == Counter(
        (n, kind) for n in range(1, 5) for kind in "ab"
    )


@pytest.mark.parametrize("name", STORAGES)
def test_eight_workers_that_are_killed_at_random_account_for_every_trial_once(tmp_path: Path, name: str) -> None:
    place, log = tmp_path / name, tmp_path / "log"
    opened(place, trials=60, silence=2)  # one process makes it; the others find it
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", WORKER, str(place), str(log), "0.1"], env=environment)

    chance, workers, killed = random.Random(1), [start() for _ in range(8)], 0
    while killed < 6:
        time.sleep(0.05)
        begun = len(log.read_text().split()) if log.exists() else 0
        if begun > 4 * killed + 4:
            victim = chance.randrange(8)
            workers[victim].send_signal(signal.SIGKILL)
            workers[victim].wait()
            workers[victim] = start()
            killed += 1
    codes = [worker.wait() for worker in workers]
    assert codes == [0] * 8
    trials = opened(place, trials=60).trials()
    lost = [trial for trial in trials if trial.state == "failed"]
    assert all("died" in trial.reason for trial in lost)
    assert sum(trial.state == "complete" for trial in trials) == 60
    assert Counter(trial.retry_of for trial in trials if trial.retry_of is not None) == Counter(
        trial.number for trial in lost
    )
    assert len(trials) == 60 + len(lost)
    assert max(Counter(log.read_text().split()).values()) == 1
    front = best(trials, [Objective("square", "minimize")])
    assert trials[front[0]].values[0] == min(trial.values[0] for trial in trials if trial.values)


def test_a_torn_line_does_not_lose_the_study(tmp_path: Path) -> None:
    place = tmp_path / "trials.journal"
    opened(place).work(run)
    whole = place.read_bytes()
    place.write_bytes(whole + whole.splitlines()[-1][:20])
    study = opened(place, trials=7)
    study.work(run)
    assert len(opened(place, trials=7).trials()) == 7


@pytest.mark.parametrize("tail", [b"", b"x", b"x" * 10_000])
def test_only_what_is_no_whole_line_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    file = tmp_path / "lines"
    for whole in (b"", b"a\n", b"a\n" * 9000):
        file.write_bytes(whole + tail)
        journal.mend(file)
        assert file.read_bytes() == whole


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::optuna.exceptions.ExperimentalWarning")
def test_a_trial_that_is_lost_twice_is_not_tried_again(tmp_path: Path) -> None:
    study = opened(tmp_path / "trials.journal", trials=1, silence=1)
    for number in range(2):
        study.inner.ask()  # and its process dies
        sign = tmp_path / "trials.journal.alive" / str(number)
        sign.touch()
        os.utime(sign, (0, 0))
        optuna.storages.fail_stale_trials(study.inner)
    ran = list[int]()
    study.work(lambda attempt: ran.append(attempt.number) or [0.0])
    assert ran == []
    assert [trial.state for trial in study.trials()] == ["failed", "failed"]


@pytest.mark.parametrize(
    ("storage", "text"),
    [
        ("/proc/none/trials.db", "/proc"),
        ("postgresql://nobody@localhost:1/x", "cannot be used"),
        ("/proc/x/y.db", "x/y"),
    ],
)
def test_a_storage_that_cannot_be_reached_is_named(storage: str, text: str) -> None:
    with pytest.raises(HepanomError, match=r"search\.storage") as error:
        opened(storage)
    assert text in str(error.value)


def test_a_storage_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    assert place_of(None, tmp_path) == str(tmp_path / "search.db")
    with pytest.raises(InputError, match="NAME"):
        place_of("trials.txt", tmp_path)


def test_the_front_of_two_objectives_holds_what_nothing_beats(tmp_path: Path) -> None:
    goals = [Objective("auc", "maximize"), Objective("seconds", "minimize")]
    study = open_study(
        str(tmp_path / "t.journal"), "s", options(minimize="seconds", maximize="auc", sampler="nsga2", trials=30), 1, 1
    )

    def both(attempt: Attempt) -> Sequence[float]:
        x = attempt.pick(options().space["x"].axis("x"))
        return [1 - x**2, 1 + x]

    study.work(both)
    front = best(study.trials(), goals)
    values = {trial.number: trial.values for trial in study.trials()}
    assert front
    for number in front:
        assert not any(a >= values[number][0] and b < values[number][1] for a, b in values.values())
