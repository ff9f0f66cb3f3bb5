"""A search tries recipes from its space, judges them on held-out events, and tests the best alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from toys import RECIPE

from hepanom import archive, attempts, document, fleet, plugins, shares, show_search, track
from hepanom.errors import HepanomError, RecipeError
from hepanom.fit import fit
from hepanom.objective import numbers
from hepanom.search import Searched, _without_password, search
from hepanom.stream import SHARES

SPACE = """
search:
  trials: 4
  sampler: random
  maximize: valid/auc
  space:
    model.latent: {int: [1, 4]}
    train.optimizer.lr: {float: [1e-3, 1e-1], log: true}
"""


def searched(state: Path, *overrides: str, text: str = RECIPE + SPACE, **options: Any) -> Searched:
    """Return what the search of a recipe found."""
    found = search(document.parse(text, "toys.yaml", overrides), state=state, **options)
    assert found is not None
    return found


@pytest.fixture(autouse=True)
def unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the pages out, but for those of ``found``: their pictures take longer than the trials."""
    monkeypatch.setattr("hepanom.search_page.write", lambda result, folder: (folder / "search.html").touch())
    monkeypatch.setattr("hepanom.report.write", lambda result, folder: (folder / "report.html").touch())


@pytest.fixture(scope="module")
def found(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """A small search."""
    return searched(shutil.copytree(migrated, tmp_path_factory.mktemp("search") / "mlruns"), "train.replicas=2")


def test_the_best_trial_is_trained_again_with_all_replicas_and_tested(found: Searched) -> None:
    result = found.result
    values = {trial.number: trial.values[0] for trial in result.trials}
    assert [trial.state for trial in result.trials] == ["complete"] * 4
    assert result.best == tuple(sorted(values, key=lambda number: (-values[number], number)))
    assert list(result.tested) == [result.best[0]]
    assert result.tested[result.best[0]]["auc"].spread is not None
    assert (found.folder / "search.html").is_file()


def test_the_best_recipe_is_one_that_runs(found: Searched) -> None:
    parts = plugins.build(document.read(found.folder / "best.yaml"))
    best = next(trial for trial in found.result.trials if trial.number == found.result.best[0])
    assert parts.recipe.model.options["latent"] == best.drawn["model.latent"]
    assert parts.recipe.search is None
    assert parts.recipe.train.replicas == 2


def test_every_trial_is_a_run_of_mlflow_and_the_best_is_the_same_there(found: Searched) -> None:
    store = track.open_store(str(found.folder.parents[1]))
    record = track.known(store, found.run_id)
    children = track.children(record)
    recorded = [run for run in children if "hepanom.trial" in run.data.tags]
    trials = {int(run.data.tags["hepanom.trial"]): run for run in recorded}
    assert sorted(trials) == list(range(4))
    assert len(recorded) == 4
    highest = max(trials, key=lambda number: trials[number].data.metrics["objective/valid/auc"])
    assert highest == found.result.best[0]
    assert trials[highest].data.metrics["objective/valid/auc"] == found.result.trials[highest].values[0]
    assert all(run.info.status == "FINISHED" for run in trials.values())
    assert trials[0].data.params["model.latent"] == str(found.result.trials[0].drawn["model.latent"])
    assert len(children) == 5  # and the best, trained again


def test_a_trial_is_what_its_recipe_gives_alone(found: Searched) -> None:
    trial = found.result.trials[2]
    changes = [f"{path}={json.dumps(value)}" for path, value in trial.recipe.items()]
    parts = plugins.build(document.parse(RECIPE, "toys.yaml", changes))
    events = shares.read(parts, 10**9)
    detector, _ = fit(events, {})
    measured = numbers(detector, list(events.chunks("valid")), ["auc", "f1"])
    assert measured["valid/auc"] == trial.values[0]
    assert measured["valid/mean/f1"] == trial.numbers["valid/mean/f1"]
    assert measured["parameters"] == sum(p.numel() for p in detector.models["all"].members[0].network.parameters())


def test_the_test_share_is_not_looked_at_before_the_best_is_known(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    chunks = shares.Shares.chunks
    monkeypatch.setattr(shares.Shares, "chunks", lambda self, share: looked.append(share) or chunks(self, share))
    monkeypatch.setattr(shares.Shares, "chunks_of", lambda self, share, part: pytest.fail("nothing is read anew"))
    result = searched(state, "search.retrain=0").result
    assert set(looked) == {"train", "valid", "calibrate"} == set(SHARES) - {"test"}
    assert result.tested == {}


def test_events_are_read_and_transformed_once_where_the_space_does_not_touch_them(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Counter[str]()
    for name, owner in (("read", shares), ("prepare_all", attempts)):
        real = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given, real=real, name=name: calls.update([name]) or real(*given))
    searched(state, "search.retrain=0")
    assert calls == {"read": 1, "prepare_all": 1}
    calls.clear()
    space = "search.space={transforms.1.use: {choice: [standardize, quantile]}, model.latent: {int: [1, 3]}}"
    searched(state, "search.retrain=0", "search.sampler=grid", "search.trials=6", space)
    assert calls == {"read": 1, "prepare_all": 2}  # a grid goes through the last axis first


def test_the_same_call_goes_on_where_a_search_was_interrupted(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = attempts.Trier.run, list[int]()

    def interrupted(self: attempts.Trier, attempt: Any) -> Any:
        calls.append(attempt.number)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, attempt)

    monkeypatch.setattr(attempts.Trier, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        searched(state)
    monkeypatch.setattr(attempts.Trier, "run", real)
    found = searched(state)
    assert [trial.state for trial in found.result.trials] == ["complete", "complete", "failed", "complete", "complete"]
    assert found.result.trials[-1].retry_of == 2
    monkeypatch.setattr("hepanom.search.run", lambda *given, **options: pytest.fail("it was tested before"))
    assert searched(state).result.tested == found.result.tested


def test_a_training_that_diverges_and_an_impossible_network_fail_alone(state: Path) -> None:
    space = "search.space={train.optimizer.lr: {choice: [0.01, 1.0e+30]}, model.latent: {choice: [2]}}"
    result = searched(state, space, "search.trials=6", "search.retrain=0").result
    reasons = {trial.drawn["train.optimizer.lr"]: trial.reason for trial in result.trials}
    assert {trial.drawn["train.optimizer.lr"]: trial.state for trial in result.trials} == {
        "0.01": "complete",
        "1e+30": "failed",
    }
    assert "not finite" in reasons["1e+30"] or "validation loss" in reasons["1e+30"]


def test_memory_that_is_not_enough_fails_one_trial(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = attempts.fit

    def short(events: Any, *given: Any, **options: Any) -> Any:
        if events.parts.recipe.model.options["latent"] > 2:
            raise MemoryError("DefaultCPUAllocator: can't allocate memory")
        return real(events, *given, **options)

    monkeypatch.setattr(attempts, "fit", short)
    result = searched(state, "search.retrain=0", "search.trials=8").result
    assert {trial.drawn["model.latent"] > 2: trial.state for trial in result.trials} == {
        True: "failed",
        False: "complete",
    }
    assert {trial.reason for trial in result.trials if trial.reason} == {
        "MemoryError: DefaultCPUAllocator: can't allocate memory"
    }


def test_where_no_trial_comes_to_its_end_the_reasons_are_told(state: Path) -> None:
    space = "search.space={train.optimizer.lr: {float: [1.0e+30, 1.0e+31]}}"
    with pytest.raises(HepanomError, match=r"none of 4 trials came to its end: 4 x epoch 1") as error:
        searched(state, space)
    store = track.open_store(str(state))
    (failed,) = (run for run in store.client.search_runs(["1"], "status = 'FAILED' and run_name = 'toys-search'"))
    assert failed.data.tags["hepanom.reason"] == str(error.value)


def test_a_loss_needs_no_labels_and_pruning_follows_the_objective(state: Path) -> None:
    result = searched(
        state,
        "search.maximize=[]",
        "search.minimize=validation",
        "search.pruner=median",
        "search.trials=12",
        "search.retrain=0",
    ).result
    assert {"pruned", "complete"} == {trial.state for trial in result.trials}
    for trial in result.trials:
        steps = [trial.steps[epoch] for epoch in sorted(trial.steps)]
        assert steps == sorted(steps, reverse=True)  # of the best epoch so far
        if trial.state == "complete":
            assert trial.values[0] == steps[-1]


def test_pruning_by_a_metric_sees_what_the_trial_will_be_judged_by(state: Path) -> None:
    result = searched(state, "search.pruner=median", "search.retrain=0").result
    for trial in result.trials:
        assert trial.state != "complete" or trial.steps[max(trial.steps)] == trial.values[0]


def test_the_best_keeps_the_constraints(state: Path) -> None:
    free = searched(state, "search.retrain=0", "search.trials=6").result
    limit = sorted(trial.numbers["parameters"] for trial in free.trials)[2]
    bound = searched(
        state,
        "search.retrain=0",
        "search.trials=6",
        f"search.constraints={{parameters: {{at_most: {limit}}}}}",
    ).result
    assert all(bound.trials[number].numbers["parameters"] <= limit for number in bound.best)
    assert len(bound.best) < len(free.best)
    with pytest.raises(HepanomError, match="no trial keeps the constraints"):
        searched(state, "search.retrain=0", "search.constraints={parameters: {at_most: 1}}")


def test_several_objectives_give_a_front(state: Path) -> None:
    result = searched(
        state, "search.minimize=parameters", "search.sampler=nsga2", "search.trials=10", "search.retrain=1"
    ).result
    assert [goal.direction for goal in result.objectives] == ["maximize", "minimize"]
    values = {trial.number: trial.values for trial in result.trials}
    for number in result.best:
        better = [other for other in values.values() if other[0] > values[number][0] and other[1] < values[number][1]]
        assert better == []
    assert len(result.tested) == 1


def test_numbers_of_latent_codes_can_be_the_objective(state: Path) -> None:
    latent = "evaluate.latent={labelled: 0.9, test: 0.3}"
    result = searched(state, latent, "search.maximize=valid/latent/f1_macro", "data.events=6000").result
    assert all(trial.values[0] == trial.numbers["valid/latent/f1_macro"] for trial in result.trials)
    assert "latent/f1_macro" in result.tested[result.best[0]]


def test_a_store_that_goes_away_loses_nothing(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(uri: str) -> None:
        raise ConnectionRefusedError(f"{uri} is gone")

    with monkeypatch.context() as away:
        away.setattr("hepanom.address.knock", refuse)
        found = searched(state, "search.trials=2")
    assert "is gone" in found.unsent
    assert (found.folder / "search.html").is_file()
    assert plugins.build(document.read(found.folder / "best.yaml")).recipe.name.endswith(f"-{found.result.best[0]}")
    plain = show_search.searched(found)
    assert plain["status"] == "unsent"
    assert "2 complete" in show_search.searched_text(plain)
    again = searched(state, "search.trials=2")
    assert (again.unsent, list(again.result.tested)) == ("", [found.result.best[0]])
    assert all(trial.run_id for trial in again.result.trials)
    (name,) = show_search.searched(again)["detectors"].values()
    assert f"that of run {name}" in show_search.searched_text(show_search.searched(again))
    assert (archive.detector_folder(name, str(state)) / "schema.json").is_file()


def test_who_helps_when_all_is_done_leaves_the_search_as_it_is(found: Searched) -> None:
    state = found.folder.parents[1]
    assert search(document.parse(RECIPE + SPACE, "toys.yaml", ["train.replicas=2"]), state=state, helps=True) is None
    run = track.open_store(str(state)).client.get_run(found.run_id)
    assert (run.info.status, run.data.tags["status"]) == ("FINISHED", "finished")


def test_a_recipe_without_a_search_says_so(state: Path) -> None:
    with pytest.raises(RecipeError, match="has no search"):
        searched(state, text=RECIPE)


def test_gpus_are_dealt_out_one_each() -> None:
    found = fleet.environments(3, {"PATH": "p"}, ["4", "7"])
    assert [each["CUDA_VISIBLE_DEVICES"] for each in found] == ["4", "7", "4"]
    assert fleet.environments(2, {"PATH": "p"}, []) == [{"PATH": "p"}] * 2
    assert fleet.visible_gpus({"CUDA_VISIBLE_DEVICES": "2, 3"}) == ["2", "3"]
    assert fleet.visible_gpus({"CUDA_VISIBLE_DEVICES": ""}) == []


def test_two_jobs_share_the_trials_of_one_command(state: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "toys.yaml"
    recipe.write_text(RECIPE + SPACE, encoding="utf-8")
    command = [sys.executable, "-m", "hepanom", "search", str(recipe), "--jobs", "2", "--json"]
    command += ["--set", "search.trials=8", "--state", str(state)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    plain = json.loads(done.stdout)
    assert [trial["state"] for trial in plain["trials"]] == ["complete"] * 8
    assert plain["tested"]


def test_the_password_of_a_storage_is_not_recorded() -> None:
    secret = document.parse(RECIPE + SPACE, "toys.yaml", ["search.storage='postgresql://me:secret@host/x'"])
    assert "secret" in secret.text()
    assert "secret" not in _without_password(secret).text()
    assert "host/x" in _without_password(secret).text()
