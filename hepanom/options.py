"""Plain values checked against the types of options; every mistake comes with its place and a remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from hepanom.document import Document, Place
from hepanom.errors import did_you_mean

Share = Annotated[float, Field(ge=0, le=1)]
SIZE = r"^\d+(\.\d+)? ?[MG]B$"
DEVICE = r"^(auto|cpu|cuda(:\d+)?)$"
LABEL = r"^[\w.-]+$"
_adapter = cache(TypeAdapter)  # making one takes longer than its work
WORDS = {  # patterns as a reader would say them
    SIZE: "a size such as 500 MB or 4 GB",
    DEVICE: "auto, cpu, cuda or a number as in cuda:1",
    LABEL: "letters, digits and the signs _ . -",
}
NAMED = {"tuple_type": "a list, such as [a, b]", "list_type": "a list, such as [a, b]", "dict_type": "a table"}


class Section(BaseModel):
    """A part of the recipe: frozen, strict, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def check_options(kind: type, plain: Any, place: Place, document: Document) -> tuple[Any, list[str]]:
    """Validate plain values as ``kind``; return (the value or None, every mistake with its place)."""
    try:
        return _adapter(kind).validate_json(json.dumps(plain), strict=True), []
    except ValidationError as error:
        return None, list(_problems(error, kind, plain, place, document))


def _problems(error: ValidationError, kind: type, plain: Any, place: Place, document: Document) -> Iterator[str]:
    schema = _adapter(kind).json_schema()
    found: dict[str, list[str]] = {}  # the choices of a union are one mistake: expected this or that
    for mistake in error.errors():
        steps = _real_steps(mistake["loc"], plain, missing=mistake["type"] == "missing")
        text, expected = _told(mistake, steps, schema, plain)
        choices = found.setdefault(f"{document.where((*place, *steps))}: {text}", [])
        choices += [expected] if expected and expected not in choices else []
    for text, choices in found.items():
        yield f"{text}; expected {' or '.join(choices)}" if choices else text


def _told(mistake: Any, steps: Place, schema: Mapping[str, Any], plain: Any) -> tuple[str, str]:
    """Return what was found, and what pydantic expected where it says so."""
    message, found = str(mistake["msg"]), json.dumps(mistake["input"], default=str)
    found = f"found {found if len(found) < 80 else found[:77] + '...'}"
    if mistake["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        return f"unknown option; {did_you_mean(str(steps[-1]), _known(schema, steps[:-1], plain))}", ""
    if mistake["type"] == "missing":
        return "is missing", ""
    if mistake["type"] == "union_tag_invalid":
        known = re.findall(r"'([^']*)'", mistake["ctx"]["expected_tags"])
        return f"found use: {mistake['ctx']['tag']}; {did_you_mean(mistake['ctx']['tag'], known)}", ""
    if mistake["type"] == "union_tag_not_found":
        return found, "a table such as {use: NAME}"
    if mistake["type"] == "string_pattern_mismatch":
        return found, WORDS.get(mistake["ctx"]["pattern"], mistake["ctx"]["pattern"])
    if message.startswith("Input should be "):
        return found, NAMED.get(mistake["type"], message.removeprefix("Input should be "))
    return f"{found}; {message.removeprefix('Value error, ')}", ""


def _real_steps(loc: tuple[int | str, ...], plain: Any, *, missing: bool) -> Place:
    """Drop pydantic's union tags, which are no nodes of the file."""
    steps: list[str | int] = []
    node = plain
    for index, step in enumerate(loc):
        last = index == len(loc) - 1
        if isinstance(node, dict) and (step in node or (last and missing)):
            node = node.get(str(step))
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            node = node[step]
        else:
            continue
        steps.append(step)
    return tuple(steps)


def _below(node: Mapping[str, Any], step: str | int) -> Any:
    """Return what a JSON schema says of the item of a list, or of a key of a table."""
    if isinstance(step, int):
        return node.get("items")
    return node.get("properties", {}).get(step) or node.get("additionalProperties")


def _known(schema: Mapping[str, Any], steps: Place, plain: Any) -> list[str]:
    """List the keys that the JSON schema allows at a place."""
    definitions = schema.get("$defs", {})

    def follow(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        if "$ref" in node:
            return follow(definitions[node["$ref"].rsplit("/", 1)[-1]])
        choices = [choice for key in ("anyOf", "oneOf", "allOf") for choice in node.get(key, ())]
        return [leaf for choice in choices for leaf in follow(choice)] or [node]

    nodes = follow(schema)
    for step in steps:
        plain = plain[step]
        nodes = [leaf for node in nodes for child in [_below(node, step)] if child for leaf in follow(child)]
    uses = [(node, node.get("properties", {}).get("use", {})) for node in nodes]
    used = plain.get("use") if isinstance(plain, dict) else None
    chosen = [node for node, use in uses if "const" in use and use["const"] == (used or use.get("default"))]
    return [name for node in chosen or nodes for name in node.get("properties", {})]
