"""What a recipe may hold, with the options of every plugin: as a JSON schema, and as rows of a table."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from pydantic import TypeAdapter

from hepanom.blame import blame
from hepanom.errors import HepanomError
from hepanom.offered import Registry
from hepanom.options import WORDS
from hepanom.packages import Plugin, first_sentence
from hepanom.plugins import strict
from hepanom.recipe import Recipe

PLACES = {"reader": "data", "transform": "transforms", "model": "model", "scorer": "scores"}
BOUNDS = {
    "minimum": ">= {}",
    "exclusiveMinimum": "> {}",
    "maximum": "<= {}",
    "exclusiveMaximum": "< {}",
    "minItems": "at least {} of them",
    "maxItems": "at most {} of them",
}
LONGEST = 60  # characters of a default

Node = Mapping[str, Any]


def json_schema(known: Registry) -> dict[str, Any]:
    """Return the JSON schema of a recipe, in which the options of the plugins are those of ``known``.

    References:
        JSON Schema, draft 2020-12, https://json-schema.org/specification.
    """
    schema = Recipe.model_json_schema()
    definitions, properties = schema["$defs"], schema["properties"]
    score = definitions["Score"]["properties"]["name"]
    for kind, place in PLACES.items():
        offered = [entry for entry in known.values() if entry.kind == kind]
        for entry in offered:
            beside = {"name": score} if kind == "scorer" else {}
            definitions |= plugin_schema(entry, beside)
        choice = {"anyOf": [{"$ref": f"#/$defs/{kind}.{entry.name}"} for entry in offered]}
        if kind in ("transform", "scorer"):
            properties[place]["items"] = choice
        else:
            properties[place] = {**properties[place], **choice}
            del properties[place]["$ref"]
    for unused in ("Use", "Score"):
        del definitions[unused]
    for table in definitions.values():
        if use := table.get("properties", {}).get("use"):  # what an editor shows beside the name
            use["description"] = " ".join(table.get("description", "").partition("\n\n")[0].split())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "A recipe of hepanom"}


def plugin_schema(plugin: Plugin, beside: Node) -> dict[str, Any]:
    """Return the definition of a plugin as it stands in a recipe, and those that it refers to.

    ``beside`` are further keys. One that cannot be loaded, for want of a library, may have any option.
    """
    place = f"{plugin.kind}.{plugin.name}"
    use = {"use": {"const": plugin.name}}
    try:
        kind = strict(plugin.load())
        with blame(str(plugin), "a description of its options"):
            options = TypeAdapter(kind).json_schema(ref_template=f"#/$defs/{place}.{{model}}")
    except HepanomError as error:
        return {place: {"type": "object", "properties": use, "required": ["use"], "description": str(error)}}
    properties = {name: dict(entry) for name, entry in options.get("properties", {}).items()}
    for entry in fields(kind):
        if entry.default_factory is not MISSING and entry.name in properties:
            plain = TypeAdapter(type(made := entry.default_factory())).dump_python(made, mode="json")
            properties[entry.name]["default"] = plain
    found = {
        "type": "object",
        "description": first_sentence(inspect.getdoc(kind) or ""),
        "properties": {**use, **beside, **properties},
        "required": ["use", *options.get("required", [])],
        "additionalProperties": False,
    }
    return {place: found, **{f"{place}.{name}": inner for name, inner in options.get("$defs", {}).items()}}


@dataclass(frozen=True)
class Row:
    """A key of a recipe: its dotted name, type, bounds, default (``required`` where it has none) and meaning."""

    name: str
    type: str
    bounds: str
    default: str
    about: str


def rows(node: Node, schema: Node, above: str = "") -> Iterator[Row]:
    """Yield the keys of a table that is described by a node of a JSON schema, and those of the tables in it.

    A list of tables stands as ``thresholds[].rule``, the choices of a table as ``optimizer.lr (adam)``.
    """
    for name, entry in node.get("properties", {}).items():
        if above == "" and name == "use":
            continue
        required = name in node.get("required", ())
        default = "required" if required else _default(entry.get("default"))
        yield Row(above + name, _type(entry, schema), _bounds(entry, schema), default, entry.get("description", ""))
        tables = [leaf for leaf in _leaves(entry, schema) if "properties" in leaf]
        for table in tables:
            chosen = table["properties"].get("use", {}).get("const") if len(tables) > 1 else None
            brackets = "[]" if entry.get("type") == "array" else ".NAME" if "additionalProperties" in entry else ""
            for row in rows(table, schema, f"{above}{name}{brackets}."):
                told = f"{row.name} ({chosen})" if chosen else row.name
                if not (chosen and row.name.endswith(".use")):
                    yield Row(told, row.type, row.bounds, row.default, row.about)


def _leaves(node: Node, schema: Node) -> Iterator[Node]:
    """Yield the nodes that a node stands for: what it refers to, its choices, the items of its lists and tables."""
    if "$ref" in node:
        yield from _leaves(schema["$defs"][node["$ref"].rsplit("/", 1)[-1]], schema)
        return
    inner = [choice for key in ("anyOf", "oneOf") for choice in node.get(key, ())]
    inner += [entry for key in ("items", "additionalProperties") if isinstance(entry := node.get(key), Mapping)]
    for choice in inner:
        yield from _leaves(choice, schema)
    if not inner:
        yield node


def _type(node: Node, schema: Node) -> str:
    """Return a type in words."""
    if "$ref" in node:
        return _type(schema["$defs"][node["$ref"].rsplit("/", 1)[-1]], schema)
    if "enum" in node or "const" in node:
        return " or ".join(map(json.dumps, node.get("enum", [node.get("const")])))
    for key in ("anyOf", "oneOf"):
        if key in node:
            return " or ".join(dict.fromkeys(_type(choice, schema) for choice in node[key]))
    if "prefixItems" in node:
        return f"[{', '.join(_type(item, schema) for item in node['prefixItems'])}]"
    if node.get("type") == "array":
        return f"list of {_type(node['items'], schema)}" if node.get("items") else "list"
    if node.get("type") == "object" and isinstance(node.get("additionalProperties"), Mapping):
        return f"table of {_type(node['additionalProperties'], schema)}"
    return {"object": "table", "string": "text"}.get(str(node.get("type")), str(node.get("type", "any")))


def _bounds(node: Node, schema: Node) -> str:
    """Return what a value, or each value in a list or table, has to be."""
    found: dict[str, None] = {}
    for part in (node, *_leaves(node, schema)):
        both = "minItems" in part and part["minItems"] == part.get("maxItems")
        for key, words in BOUNDS.items():
            if key in part and not (both and key.endswith("Items")):
                found[words.format(f"{part[key]:g}")] = None
        if "pattern" in part:
            found[WORDS.get(part["pattern"], f"matches {part['pattern']}")] = None
    return ", ".join(found)


def _default(value: Any) -> str:
    """Return a default as it would stand in a recipe; of a table, which has its own rows, only the choice."""
    if isinstance(value, Mapping) and value:
        return str(value.get("use", ""))
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
