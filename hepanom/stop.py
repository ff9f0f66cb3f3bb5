"""When a training ends early by a rule of the recipe, and how it ended: stopped, collapsed, or neither."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile

from hepanom.contracts import Epoch, Guard
from hepanom.errors import InputError, did_you_mean
from hepanom.recipe import Stop


def watched(record: Epoch) -> dict[str, float]:
    """Return what rules can watch: an epoch's losses by term, its diagnostics, and ``validation``."""
    return {**record.losses, "validation": record.validation, **record.diagnostics}


def check(rules: Sequence[Stop], record: Epoch) -> None:
    """Raise InputError, naming what there is, for a rule that watches what the first epoch of a training did not give.

    ``record`` is that epoch.
    """
    known = watched(record)
    for index, rule in enumerate(rules):
        if rule.when not in known:
            near = did_you_mean(rule.when, known)
            remedy = f"; {near}" if near.startswith("did") else ""
            raise InputError(
                f"train.stop.{index}.when: the training gives no {rule.when!r}, but {', '.join(sorted(known))}{remedy}"
            )


def stopped_by(rules: Sequence[Stop], history: Sequence[Epoch]) -> Stop | None:
    """Return the first rule that was met in as many of the last epochs as it waits for, None where none was."""
    return next((rule for rule in rules if _streak(limit(rule), history[rule.after :]) >= rule.epochs), None)


def limit(rule: Stop) -> Guard:
    """Return the limit of a rule."""
    return Guard(rule.when, "train.stop", rule.below, rule.above)


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """Return the epoch whose weights are kept."""
    return min(history, key=lambda record: (record.validation, record.epoch))


def told(rules: Sequence[Stop], guards: Sequence[Guard], history: Sequence[Epoch]) -> Iterator[str]:
    """Yield a sentence on the rule that stopped a training, and on each guard that was crossed where it matters.

    That is in the epoch whose weights are kept, or in the last one.
    """
    if not history:
        return
    last, best = history[-1], best_epoch(history)
    back = f"the weights of epoch {best.epoch} are kept"
    if (rule := stopped_by(rules, history)) is not None:
        epochs = f" for {rule.epochs} epochs in a row" if rule.epochs > 1 else ""
        yield f"stopped after epoch {last.epoch} by train.stop, as {_beyond(limit(rule), last)}{epochs}; {back}"
    for guard in guards:
        since = _streak(guard, history)
        if _crossed(guard, best):
            yield f"{guard.meaning} ({_beyond(guard, best)}) in epoch {best.epoch}, whose weights are kept"
        elif since:
            when = f"from epoch {history[-since].epoch} to" if since > 1 else "in"
            yield f"{guard.meaning} ({_beyond(guard, last)}) {when} the last epoch, {last.epoch}; {back}"


def endings(
    rules: Sequence[Stop], guards: Sequence[Guard], histories: Mapping[tuple[str, int], Sequence[Epoch]]
) -> dict[str, str]:
    """Return what ``told`` says by ``CATEGORY-REPLICA``, without the trainings of which it says nothing."""
    texts = {
        f"{category}-{replica}": "; ".join(told(rules, guards, history))
        for (category, replica), history in histories.items()
    }
    return {name: text for name, text in texts.items() if text}


def _crossed(guard: Guard, record: Epoch) -> bool:
    value = watched(record).get(guard.name)
    return value is not None and guard.crossed(value)


def _streak(guard: Guard, history: Sequence[Epoch]) -> int:
    """Return in how many of the last epochs in a row a guard was crossed."""
    return len(list(takewhile(lambda record: _crossed(guard, record), reversed(history))))


def _beyond(guard: Guard, record: Epoch) -> str:
    side, value = ("above", guard.above) if guard.below is None else ("below", guard.below)
    return f"{guard.name} is {watched(record)[guard.name]:.4g}, {side} {value:g}"
