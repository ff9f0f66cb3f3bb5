"""The trials of a search in a storage that any number of processes share: with journal.py, all that uses optuna.

All trials are laid down as waiting before the first one runs, and a process that has time takes the next: so each is
run once, whoever works on the study and whoever dies.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from hepanom.draws import grid
from hepanom.journal import alone, storage, told
from hepanom.space import TRIALS, Axis, SearchOptions
from hepanom.trials import Trial

SLOT, RETRY, LOSSES = "slot", "retry_of", "losses"  # attributes of a trial in the storage, beside those of Attempt
INTERRUPTED = "interrupted"  # a reason
MOST_LOSSES = 1
STARTUP, WARMUP = 10, 3  # a median prunes after so many trials, and one part in so many of the epochs
POLL = 1.0  # seconds between two looks at the trials of other processes
STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}

log = logging.getLogger(__name__)


class Pruned(Exception):
    """The trial is not worth going on with."""


class Failed(Exception):
    """The trial failed, for a reason that the search survives."""


@dataclass(frozen=True)
class Attempt:
    """A trial that this process runs."""

    inner: optuna.Trial

    @property
    def number(self) -> int:
        """Return the number of the trial."""
        return self.inner.number

    def pick(self, axis: Axis) -> Any:
        """Draw along an axis."""
        if axis.kind == "choice":
            return self.inner.suggest_categorical(axis.path, axis.choices)
        assert axis.low is not None
        assert axis.high is not None
        if axis.kind == "int":
            return self.inner.suggest_int(axis.path, round(axis.low), round(axis.high), log=axis.log)
        return self.inner.suggest_float(axis.path, axis.low, axis.high, log=axis.log)

    def remember(self, **facts: Any) -> None:
        """Keep facts with the trial: ``drawn``, ``numbers``, ``excess`` over constraints, ``reason`` of a failure."""
        for key, value in facts.items():
            self.inner.set_user_attr(key, value)

    def report(self, epoch: int, value: float, *, last: bool = False) -> None:
        """Tell the objective of an epoch. Raises Pruned where the trial is not worth going on with to the last one."""
        self.inner.report(value, epoch)
        if not last and self.inner.should_prune():
            raise Pruned


@dataclass(frozen=True)
class Study:
    """A search in its storage."""

    inner: optuna.Study
    place: str
    options: SearchOptions
    seed: int
    epochs: int

    def note(self, key: str) -> Any:
        """Return a fact that was kept with the study; None where there is none."""
        return self.inner.user_attrs.get(key)

    def remember(self, **facts: Any) -> None:
        """Keep facts with the study."""
        for key, value in facts.items():
            self.inner.set_user_attr(key, value)

    def work(
        self,
        run: Callable[[Attempt], Sequence[float]],
        ended: Callable[[int], None] = lambda number: None,
        *,
        linger: bool = True,
    ) -> None:
        """Run trials as long as any waits, and with ``linger`` until those of other processes have ended too.

        ``run`` returns the values of the objectives, or raises Pruned or Failed. A trial of a dead process waits again,
        once. One that is interrupted here waits again, too, before the interruption goes on. ``ended`` hears the number
        of each trial that ended here.
        """
        with told(self.place), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.filterwarnings("ignore", "Clip non-finite values")  # an infinite rejection is a good one
            while True:
                optuna.storages.fail_stale_trials(self.inner)
                self._mend()
                trials = self.inner.get_trials(deepcopy=False)
                states = [trial.state for trial in trials if SLOT in trial.user_attrs]
                if TrialState.WAITING in states:
                    self._next(run, ended)
                elif linger and TrialState.RUNNING in states:
                    time.sleep(POLL)
                else:
                    return

    def _next(self, run: Callable[[Attempt], Sequence[float]], ended: Callable[[int], None]) -> None:
        taken: list[int] = []

        def objective(trial: optuna.Trial) -> Sequence[float]:
            if SLOT not in trial.user_attrs:
                raise Failed  # another process took the one that waited; nobody counts this one
            taken.append(trial.number)
            seed = int(np.random.SeedSequence([self.seed, trial.number]).generate_state(1)[0])
            self.inner.sampler = _sampler(self.options, seed, self.seed)  # so that a draw depends on its number alone
            try:
                return run(Attempt(trial))
            except Pruned as error:
                raise optuna.TrialPruned from error
            except KeyboardInterrupt:
                trial.set_user_attr("reason", INTERRUPTED)
                raise

        try:
            self.inner.optimize(objective, n_trials=1, catch=(Failed,))
        except KeyboardInterrupt:
            for number in taken:
                _again(self.place, self.inner, self.inner.get_trials(deepcopy=False)[number])
            raise
        except (AssertionError, UnboundLocalError) as error:  # of optuna, over a storage that is gone
            gone = error.__context__ or error
            raise gone from gone.__cause__
        except (optuna.exceptions.UpdateFinishedTrialError, ValueError) as error:
            if "Cannot tell a FAIL trial" not in str(error) and not isinstance(error, optuna.exceptions.OptunaError):
                raise
            log.warning("a trial was silent for so long that another process gave it up; what it found is dropped")
            return
        for number in taken:
            ended(number)

    def _mend(self) -> None:
        """Lay down lost and interrupted trials that nobody laid down again: who was about to may have died, too.

        This is for files, where a lock keeps two processes from doing it at once.
        """
        trials = self.inner.get_trials(deepcopy=False)
        again = {trial.user_attrs.get(RETRY) for trial in trials}
        for trial in trials:
            if trial.number not in again and "://" not in self.place:
                _again(self.place, self.inner, trial)

    def trials(self) -> list[Trial]:
        """Return the trials that were begun, in the order of their numbers."""
        found = self.inner.get_trials(deepcopy=False)
        return [_plain(trial) for trial in found if trial.state in STATES and SLOT in trial.user_attrs]

    def number(self) -> int:
        """Return the number of trials, those that wait among them."""
        return sum(SLOT in trial.user_attrs for trial in self.inner.get_trials(deepcopy=False))

    def importances(self) -> dict[str, float]:
        """Return each axis's share of the variance of the first objective; {} where too few trials tell.

        References:
            F. Hutter et al., An efficient approach for assessing hyperparameter importance, ICML 2014.
        """
        complete = [trial for trial in self.inner.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
        if len(complete) < 4 or len({trial.values[0] for trial in complete}) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self.seed)
        try:
            return optuna.importance.get_param_importances(
                self.inner, evaluator=evaluator, target=lambda trial: trial.values[0]
            )
        except (ValueError, RuntimeError):  # no axis was drawn in all of them
            return {}


def open_study(place: str, name: str, options: SearchOptions, seed: int, epochs: int) -> Study:
    """Return the study of this name in a storage, made where it is new, with all its trials laid down.

    ``place`` is the path of a .db or .journal file or a database's URL. Raises HepanomError for a storage that cannot
    be used.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with told(place), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        with alone(place):
            inner = optuna.create_study(
                storage=storage(place, options.silence, partial(_again, place)),
                study_name=name,
                directions=list(options.objectives.values()),
                load_if_exists=True,
                sampler=optuna.samplers.RandomSampler(),  # _next takes the one that is wanted
                pruner=_pruner(options, epochs),
            )
            _lay_down(inner, options)
    return Study(inner, place, options, seed, epochs)


def _lay_down(study: optuna.Study, options: SearchOptions) -> None:
    """Lay down the trials that are not there yet."""
    slots = {trial.user_attrs.get(SLOT) for trial in study.get_trials(deepcopy=False)}
    points = grid(options) if options.sampler == "grid" else None
    for slot in range(len(points) if points else options.trials or TRIALS):
        if slot not in slots:
            fixed = {"fixed_params": points[slot]} if points else {}
            study.add_trial(create_trial(state=TrialState.WAITING, user_attrs={SLOT: slot}, system_attrs=fixed))


def _again(place: str, study: optuna.Study, trial: FrozenTrial) -> None:
    """Lay down a lost or interrupted trial once more, with what was drawn; not where it was lost before."""
    reason = trial.user_attrs.get("reason")
    losses = trial.user_attrs.get(LOSSES, 0) + (reason is None)
    theirs = trial.state != TrialState.FAIL or SLOT not in trial.user_attrs
    if theirs or reason not in (None, INTERRUPTED) or losses > MOST_LOSSES:
        return
    with alone(place):
        if any(other.user_attrs.get(RETRY) == trial.number for other in study.get_trials(deepcopy=False)):
            return
        study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs={SLOT: trial.user_attrs[SLOT], RETRY: trial.number, LOSSES: losses},
                system_attrs={key: trial.system_attrs[key] for key in ("fixed_params",) if key in trial.system_attrs},
            )
        )


def _plain(trial: FrozenTrial) -> Trial:
    facts = trial.user_attrs
    began, ended = trial.datetime_start, trial.datetime_complete
    lost = "its process died, or showed no sign of life for too long" if trial.state == TrialState.FAIL else ""
    return Trial(
        number=trial.number,
        state=STATES[trial.state],  # type: ignore[arg-type]
        drawn=facts.get("drawn", {}),
        recipe=facts.get("recipe", {}),
        values=tuple(trial.values or ()),
        numbers=facts.get("numbers", {}),
        steps=trial.intermediate_values,
        seconds=(ended - began).total_seconds() if began and ended else 0.0,
        reason=facts.get("reason", lost),
        retry_of=facts.get(RETRY),
        feasible=all(excess <= 0 for excess in facts.get("excess", ())),
        began=began.timestamp() if began else 0.0,
    )


def _sampler(options: SearchOptions, seed: int, fixed: int) -> optuna.samplers.BaseSampler:
    """Return a sampler for one trial; a sequence of quasi-random points has the same seed in all of them."""
    excess = (lambda trial: trial.user_attrs.get("excess", [0.0])) if options.constraints else None
    several = max(8, min(50, (options.trials or TRIALS) // 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of experimental options, which we know
        return {
            "random": lambda: optuna.samplers.RandomSampler(seed=seed),
            "grid": lambda: optuna.samplers.RandomSampler(seed=seed),  # every point is fixed
            "tpe": lambda: optuna.samplers.TPESampler(seed=seed, constraints_func=excess),
            "gp": lambda: optuna.samplers.GPSampler(
                seed=seed, constraints_func=excess, warn_independent_sampling=False
            ),
            "cmaes": lambda: optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
            "nsga2": lambda: optuna.samplers.NSGAIISampler(population_size=several, seed=seed, constraints_func=excess),
            "qmc": lambda: optuna.samplers.QMCSampler(
                seed=fixed, scramble=True, warn_independent_sampling=False, warn_asynchronous_seeding=False
            ),
        }[options.sampler]()  # type: ignore[no-untyped-call]


def _pruner(options: SearchOptions, epochs: int) -> optuna.pruners.BasePruner:
    if options.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=epochs // WARMUP)
    if options.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(max_resource=epochs)
    return optuna.pruners.NopPruner()
