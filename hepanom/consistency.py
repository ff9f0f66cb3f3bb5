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
            earlier = document.plain["scores"][: place[1]]
            before = [score.get("name", score["use"].rpartition(":")[2]) for score in earlier]
            for name in scorer.combines():
                if name not in before:
                    yield f"{document.where(place)}: there is no score {name!r} before it; {did_you_mean(name, before)}"


def failing_transforms(built: Mapping[Place, Any], schema: Schema, document: Document) -> Iterator[str]:
    """Say which transforms do not fit the events that the ones before them leave, up to one that was not built."""
    from hepanom import returned  # which imports torch

    for index in range(len(document.plain.get("transforms") or ())):
        if ("transforms", index) not in built:
            return
        try:
            transform = built["transforms", index]
            schema = returned.schema(transform, transform.schema(schema, {}))
        except InputError as error:
            yield f"{document.where(('transforms', index))}: {error}"


def failing_model(
    built: Mapping[Place, Any], recipe: Recipe, schema: Schema, document: Document
) -> tuple[list[str], list[str]]:
    """Build the network once for the events that the transforms leave; return why that fails, and where it may fail.

    Where only the fit of a transform tells which columns come out, what fails before it may do after it.
    """
    model = built.get(("model",))
    transforms: list[Any] = [built.get(("transforms", index)) for index in range(len(recipe.transforms))]
    if model is None or None in transforms:
        return [], []
    where, problems = document.where(("model",)), []
    try:
        model.refuse_epochs(recipe.train.epochs)
    except InputError as error:
        problems.append(f"{where}: {error}")
    try:
        for transform in transforms:
            schema = transform.schema(schema, {})
    except InputError:
        return problems, []  # which is said of the transform
    if found := _refusal(model, schema):
        fitted = [use.use for use, each in zip(recipe.transforms, transforms, strict=True) if each.fitted_columns]
        if fitted:
            doubt = f"only the fit of {' and '.join(fitted)} tells which columns reach the model, so this may still do"
            return problems, [f"{where}: {found}; {doubt}"]
        problems.append(f"{where}: {found}")
    return problems, []


def _refusal(model: Any, schema: Schema) -> str:
    """Return why there is no network for these events, or nothing; torch's random numbers go on as before."""
    import torch

    from hepanom import returned

    for name, entry in schema.inputs.items():
        if entry.kind == "points":
            return f"input {name!r} holds points; add a transform that makes a table or an image of them"
    try:
        with torch.random.fork_rng(devices=[]):
            returned.network(model, schema)
    except InputError as error:
        return str(error)
    return ""


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
    for index, name in enumerate(recipe.evaluate.against):
        place = ("evaluate", "against", index)
        yield from _unknown_column(name, place, (*schema.beside, *features), features, document)
    for index, rule in enumerate(recipe.thresholds):
        if rule.per:
            where_per: Place = ("thresholds", index, "per", "column")
            yield from _unknown_column(rule.per.column, where_per, (*schema.beside, *features), features, document)


def _unknown_column(
    column: str | None, place: Place, known: tuple[str, ...], features: list[str], document: Document
) -> Iterator[str]:
    if column is None or column in known:
        return
    found = f"there is no column {column!r}; {did_you_mean(column, known)}"
    if column in features:
        found = f"{column!r} is a feature; the reader's option keep: [{column}] carries it beside the features too"
    yield f"{document.where(place)}: {found}"
