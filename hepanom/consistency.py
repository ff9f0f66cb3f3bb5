"""Where a recipe, its plugins and the headers of the data do not fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hepanom.document import Document, Place
from hepanom.errors import InputError, did_you_mean
from hepanom.events import Schema
from hepanom.recipe import Recipe


def lacking_outputs(built: Mapping[Place, Any], document: Document) -> Iterator[str]:
    """Say which scorers need what the model does not give; ``built`` holds plugins by place in the recipe."""
    model = built.get(("model",))
    if model is None:
        return
    gives, name = ", ".join(sorted(model.gives)), document.plain["model"]["use"]
    for place, scorer in built.items():
        if place[0] == "scores" and (lacking := sorted(scorer.needs - model.gives)):
            use = document.plain["scores"][place[1]]["use"]
            yield f"{document.where(place)}: {use} needs {', '.join(lacking)}; the model {name} gives {gives}"


def lacking_codes(built: Mapping[Place, Any], schema: Schema | None, document: Document) -> Iterator[str]:
    """Say why there are no latent codes of known classes to evaluate, where the recipe wants that."""
    wanted, model = document.plain.get("evaluate") or {}, built.get(("model",))
    if not isinstance(wanted, Mapping) or wanted.get("latent") is None:
        return
    where = document.where(("evaluate", "latent"))
    if model is not None and "latent_mean" not in model.gives:
        yield f"{where}: the model {document.plain['model']['use']} has no latent codes; leave evaluate.latent out"
    if schema is not None and len(schema.classes) < 2:
        yield f"{where}: the classes of at least two kinds of events must be known; set the reader's label and classes"


def lacking_scores(built: Mapping[Place, Any], document: Document) -> Iterator[str]:
    """Say which scorers combine scores that do not stand before them in the recipe."""
    for place, scorer in built.items():
        if place[0] == "scores":
            before = [score.get("name", score["use"]) for score in document.plain["scores"][: place[1]]]
            for name in scorer.combines():
                if name not in before:
                    yield f"{document.where(place)}: there is no score {name!r} before it; {did_you_mean(name, before)}"


def failing_transforms(built: Mapping[Place, Any], schema: Schema, document: Document) -> Iterator[str]:
    """Say which transforms do not fit the events that the ones before them leave, up to one that was not built."""
    for index in range(len(document.plain.get("transforms") or ())):
        if ("transforms", index) not in built:
            return
        try:
            schema = built["transforms", index].schema(schema, {})
        except InputError as error:
            yield f"{document.where(('transforms', index))}: {error}"


def unknown_names(recipe: Recipe, schema: Schema, document: Document) -> Iterator[str]:
    """Say which classes and columns of the recipe the data do not have."""
    where, classes = document.where, schema.classes
    for index, name in enumerate(recipe.background):
        if name not in classes:
            remedy = did_you_mean(name, classes) if classes else "these data have no labels: leave it out"
            yield f"{where(('background', index))}: there is no class {name!r}; {remedy}"
    if classes and not recipe.background:
        yield f"{where(('background',))}: is missing; say which of the classes {', '.join(classes)} are background"
    for name in recipe.evaluate.expected:
        if name not in classes:
            yield f"{where(('evaluate', 'expected', name))}: there is no such class; {did_you_mean(name, classes)}"
    features = [column for entry in schema.inputs.values() if entry.kind == "table" for column in entry.columns]
    # Events are split before anything looks at their features.
    yield from _unknown_column(recipe.split.column, ("split", "column"), schema.beside, features, document)
    yield from _unknown_column(recipe.train.per, ("train", "per"), (*schema.beside, *features), features, document)


def _unknown_column(
    column: str | None, place: Place, known: tuple[str, ...], features: list[str], document: Document
) -> Iterator[str]:
    if column is None or column in known:
        return
    found = f"there is no column {column!r}; {did_you_mean(column, known)}"
    if column in features:
        found = f"{column!r} is a feature; the reader's option keep: [{column}] carries it beside the features too"
    yield f"{document.where(place)}: {found}"
