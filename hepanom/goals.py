"""What a search can be after: the names of the numbers of a trial, and whether they mean the same in all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hepanom import draws
from hepanom.document import Document, Place
from hepanom.errors import did_you_mean
from hepanom.evaluate import BACKGROUND_EFFICIENCIES, DECISIONS, SIGNAL_EFFICIENCIES, YIELDS
from hepanom.events import Schema
from hepanom.recipe import Recipe

VALIDATION = "validation"
COSTS = {"seconds": "training time", "seconds_per_event": "scoring time", "parameters": "size of the networks"}
CURVES = {
    "auc": "auc",
    **{f"signal_efficiency_{wanted:g}": "signal_efficiency" for wanted in BACKGROUND_EFFICIENCIES},
    **{f"rejection_{wanted:g}": "rejection" for wanted in SIGNAL_EFFICIENCIES},
    "max_sic": "max_sic",
    "max_ams": "max_ams",
}
MEANING = ("data", "background", "split", "transforms", "train.on", "train.weighted", "train.per")  # of any loss


def metrics(recipe: Recipe) -> list[str]:
    """Return the metrics of the recipe and those that its search asks for."""
    wanted = [] if recipe.search is None else [*recipe.search.objectives, *recipe.search.constraints]
    last = [name.rpartition("/")[2] for name in wanted if name.startswith("valid/") and "/latent/" not in name]
    return list(dict.fromkeys([*recipe.evaluate.metrics, *(CURVES.get(name, name) for name in last)]))


def mistakes(built: Mapping[Place, Any], recipe: Recipe, schema: Schema, document: Document) -> Iterator[str]:
    """Say which objectives and constraints of the search there are not, and which would compare what does not compare.

    ``built`` holds plugins by place in the recipe.
    """
    search = recipe.search
    if search is None:
        return
    names = {name: ("search", direction) for name, direction in search.objectives.items()}
    limits = {name: ("search", "constraints", name) for name in search.constraints}
    known = sorted(_names(recipe, schema))
    for name, place in [*names.items(), *limits.items()]:
        if _plain(name) not in known:
            yield f"{document.where(place)}: there is no number {name!r}; {_lacking(name, recipe, schema, known)}"
    per = recipe.train.per is not None or not search.space.keys().isdisjoint({"train", "train.per"})
    if search.pruner != "none" and (per or next(iter(names), "") in COSTS):
        why = "train.per makes several trainings of one trial" if per else "it is the same at each epoch"
        yield f"{document.where(('search', 'pruner'))}: cannot judge by the epochs: {why}; leave it out"
    if VALIDATION in names:
        own: frozenset[str] = getattr(built.get(("model",)), "loss_options", frozenset())
        meaning = {*MEANING, *(f"model.{option}" for option in own)}
        for path in search.space:
            whole = path in {"model", "model.use"}
            if whole or any(path == each or path.startswith(f"{each}.") for each in meaning):
                yield (
                    f"{document.where(('search', 'space', path))}: {path} changes what the validation loss means, so "
                    "that the losses of two trials do not compare; leave it out, or take another objective"
                )


def undrawable(
    recipe: Recipe,
    schema: Schema,
    document: Document,
    checked: Callable[[Document], tuple[Recipe | None, Mapping[Place, Any], Mapping[str, str], Sequence[str]]],
) -> Iterator[str]:
    """Say what is wrong with recipes that the search of this one draws, and which of its numbers they do not give.

    ``checked`` returns, of a document, the recipe first and every mistake last.
    """
    if (search := recipe.search) is None:
        return
    wanted = [*search.objectives, *search.constraints]

    def mistakes_of(made: Document) -> Iterator[str]:
        drawn, *_, problems = checked(made)
        yield from problems
        known = set() if drawn is None else set(_names(drawn, schema))
        for name in wanted:
            if drawn is not None and _plain(name) not in known:
                yield (
                    f"{document.where(('search', 'space'))}: not every drawn recipe gives {name}; leave out what "
                    "changes its name, or give that score or threshold one of its own, name: NAME"
                )

    yield from draws.undrawable(search, document, mistakes_of)


def _plain(name: str) -> str:
    """Return the name of a number without its category."""
    return re.sub(r"category_[^/]+/", "", name)


def _lacking(name: str, recipe: Recipe, schema: Schema, known: list[str]) -> str:
    """Say what would do instead of an objective that there is not."""
    if name.startswith("test/"):
        return f"a search never looks at the test share; {did_you_mean('valid/' + name[5:], known)}"
    if name.startswith("valid/latent") and recipe.evaluate.latent is None:
        return "numbers of latent codes need evaluate.latent"
    if name.startswith("valid/") and not schema.classes:
        return "these data have no labels; minimize: validation needs none"
    return did_you_mean(name, known)


def _names(recipe: Recipe, schema: Schema) -> Iterator[str]:
    """Yield the names of all numbers of a trial, those of categories left out."""
    yield from (VALIDATION, *COSTS)
    if not (recipe.background and schema.classes):
        return
    labels = [score.label for score in recipe.scores]
    for scorer in ("", *(f"{label}/" for label in labels)):
        for view in ("", "unweighted/") if scorer else ("",):
            yield from (f"valid/{scorer}{view}{curve}" for curve in CURVES if not (view and curve in YIELDS))
            for rule in recipe.thresholds:
                yield from (
                    f"valid/{scorer}{view}{rule.label}/{name}" for name in DECISIONS if not (view and name in YIELDS)
                )
    if recipe.evaluate.latent is not None:
        yield from (f"valid/latent/{name}" for name in ("f1_macro", "adjusted_rand", "mutual_information"))
        for name in schema.classes:
            yield from (f"valid/latent/{rate}/{name}" for rate in ("precision", "recall", "f1"))
