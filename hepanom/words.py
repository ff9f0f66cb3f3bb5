"""What may come next in ``PATH=VALUE``: keys of a recipe, and values where there is a choice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Node = Mapping[str, Any]
FEW: Mapping[str, list[Any]] = {"boolean": [True, False], "null": [None]}
Word = tuple[str, str]  # what may stand there, and what it means


def words(schema: Node, plain: Any, begun: str) -> list[Word]:
    """Return how ``begun`` may go on, by the JSON schema of recipes and the plain values of this one.

    ``train.ep`` becomes ``train.epochs=``, ``mod`` becomes ``model.``, ``model.use=`` becomes ``model.use=vae``. Of a
    table with ``use``, the keys are those of its choice; of a list, the numbers of the items that are there.
    """
    dotted, equals, _ = begun.partition("=")
    above, dot, last = dotted.rpartition(".")
    nodes, value = [schema], plain
    for step in above.split(".") if above else ():
        nodes, value = _below(schema, nodes, value, step)
    if equals:
        leaves, _ = _below(schema, nodes, value, last)
        found = [(f"{dotted}={text}", about) for leaf in leaves for text, about in _values(leaf)]
    elif isinstance(value, list):
        found = [(f"{above}.{index}.", str(_item(item, "use") or "")) for index, item in enumerate(value)]
    else:
        found = [
            (f"{above}{dot}{key}{_sign(schema, entry, _item(value, key))}", entry.get("description", ""))
            for node in _chosen(nodes, value)
            for key, entry in node.get("properties", {}).items()
        ]
    return [(text, about) for text, about in dict(found).items() if text.startswith(begun)]


def names(schema: Node, kind: str = "") -> list[Word]:
    """Return the plugins in a schema of recipes, of one kind or of all."""
    found = {}
    for key, entry in schema["$defs"].items():
        of, dot, name = key.partition(".")
        if dot and "." not in name and kind in ("", of):
            found[name] = entry.get("description", "")
    return list(found.items())


def _below(schema: Node, nodes: Sequence[Node], value: Any, step: str) -> tuple[list[Node], Any]:
    """Return the choices of a key or of the items of a list, and the value there; of ``use`` those of all tables."""
    entries: list[Node] = []
    for node in nodes if step == "use" else _chosen(nodes, value):
        entry = node.get("items") if step.isdecimal() else node.get("properties", {}).get(step)
        entries += [entry] if isinstance(entry, Mapping) else []
    default = next((entry["default"] for entry in entries if "default" in entry), None)
    found = _item(value, step)
    return [leaf for entry in entries for leaf in _leaves(schema, entry)], default if found is None else found


def _leaves(schema: Node, node: Node) -> Iterator[Node]:
    """Yield the choices that a node stands for."""
    if "$ref" in node:
        yield from _leaves(schema, schema["$defs"][node["$ref"].rsplit("/", 1)[-1]])
        return
    inner = [choice for key in ("anyOf", "oneOf") for choice in node.get(key, ())]
    for choice in inner:
        yield from _leaves(schema, choice)
    if not inner:
        yield node


def _chosen(nodes: Sequence[Node], value: Any) -> Sequence[Node]:
    """Return those of the choices of a table that its ``use`` is; all where it says none."""
    used = _item(value, "use")
    uses = [(node, node.get("properties", {}).get("use", {})) for node in nodes]
    return [node for node, use in uses if "const" in use and use["const"] == (used or use.get("default"))] or nodes


def _item(value: Any, step: str) -> Any:
    if isinstance(value, list):
        return value[int(step)] if step.isdecimal() and int(step) < len(value) else None
    return value.get(step) if isinstance(value, Mapping) else None


def _sign(schema: Node, entry: Node, value: Any) -> str:
    """Return what follows a key: a point before the keys of a table and the items of a list, else an equals sign."""
    if isinstance(value, list):
        return "." if any(isinstance(item, Mapping) for item in value) else "="
    return "." if any("properties" in leaf for leaf in _leaves(schema, entry)) else "="


def _values(leaf: Node) -> list[Word]:
    """Return the values of a choice, where they are few."""
    few: list[Any] = leaf.get("enum") or ([leaf["const"]] if "const" in leaf else [])
    few = few or FEW.get(str(leaf.get("type")), [])
    return [(value if isinstance(value, str) else json.dumps(value), leaf.get("description", "")) for value in few]
