"""A recipe file as plain values that know their lines, and the checks that name the place of every mistake."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.scalarstring import ScalarString

from hepanom.errors import InputError, did_you_mean

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A recipe file as plain values, with the place of every node."""

    source: str
    plain: dict[str, Any]
    lines: Mapping[Place, tuple[int, int]]
    overrides: Mapping[Place, str]

    def where(self, place: Place) -> str:
        """Return ``file:line:column: dotted.path`` of the nearest node of the file."""
        dotted = ".".join(str(step) for step in place)
        for end in range(len(place), -1, -1):
            if place[:end] in self.overrides:
                return f"--set {self.overrides[place[:end]]}: {dotted}"
            if place[:end] in self.lines:
                line, column = self.lines[place[:end]]
                return f"{self.source}:{line}:{column}: {dotted}"
        return f"{self.source}: {dotted}"

    def fingerprint(self) -> str:
        """Return a hash that is the same for the same values."""
        return hashlib.sha256(json.dumps(self.plain, sort_keys=True).encode()).hexdigest()[:16]

    def text(self) -> str:
        """Return the resolved recipe as YAML."""
        stream = StringIO()
        yaml = YAML()
        yaml.default_flow_style = None
        yaml.width = 120
        yaml.dump(self.plain, stream)
        return stream.getvalue()


def read(path: Path | str, overrides: Sequence[str] = ()) -> Document:
    """Read a recipe file, fill in ``${VAR}`` and apply ``a.b=value`` overrides.

    Raises InputError for a file that is missing or no YAML, and for a variable that is not set.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot read the recipe: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file (byte {error.start}); a recipe is YAML") from error
    return parse(text, str(path), overrides)


def parse(text: str, source: str, overrides: Sequence[str] = ()) -> Document:
    """Turn YAML text into a document; ``source`` names it in messages."""
    try:
        root = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        raise InputError(f"{place}: not valid YAML: {str(error.problem).splitlines()[0]}") from error
    if not isinstance(root, CommentedMap):
        raise InputError(f"{source}: a recipe is a table of keys (name, data, model, ...), found {root!r:.60}")
    lines: dict[Place, tuple[int, int]] = {}
    plain = _plain(root, (), lines, source)
    document = Document(source, plain, lines, {})
    return changed(document, overrides)


def changed(document: Document, overrides: Sequence[str]) -> Document:
    """Return the document with ``a.b=value`` applied; values are YAML, list items go by number."""
    plain = json.loads(json.dumps(document.plain))
    places = dict(document.overrides)
    for override in overrides:
        dotted, equals, text = override.partition("=")
        if not equals:
            raise InputError(f"--set {override}: expected PATH=VALUE, such as train.epochs=5")
        place: Place = tuple(int(step) if step.isdigit() else step for step in dotted.strip().split("."))
        node: Any = plain
        for here, step in enumerate(place):
            if isinstance(node, list):
                if not isinstance(step, int) or step >= len(node):
                    raise InputError(f"--set {override}: {dotted!r} has no item {step!r}; it has {len(node)}, from 0")
            elif not isinstance(node, dict):
                raise InputError(f"--set {override}: {'.'.join(map(str, place[:here]))} is a value, not a table")
            else:
                step = str(step)
            if here == len(place) - 1:
                node[step] = _value(text, f"--set {override}")
            else:
                node = node[step] if isinstance(node, list) else node.setdefault(step, {})
        places[place] = override
    return Document(document.source, plain, document.lines, places)


def _value(text: str, source: str) -> Any:
    try:
        return _plain(YAML(typ="rt").load(text), (), {}, source)
    except MarkedYAMLError as error:
        raise InputError(f"{source}: not valid YAML: {error.problem}") from error


def _plain(node: Any, place: Place, lines: dict[Place, tuple[int, int]], source: str) -> Any:
    """Turn ruamel's nodes into plain values and note where each stands."""
    if isinstance(node, CommentedMap):
        for key in node:
            line, column = node.lc.data[key][:2] if key in node.lc.data else (node.lc.line, node.lc.col)
            lines[(*place, str(key))] = (line + 1, column + 1)
        return {str(key): _plain(value, (*place, str(key)), lines, source) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        for index in range(len(node)):
            line, column = node.lc.data[index][:2]
            lines[(*place, index)] = (line + 1, column + 1)
        return [_plain(value, (*place, index), lines, source) for index, value in enumerate(node)]
    if isinstance(node, str):
        filled = _fill(str(node), place, lines, source)
        if filled != node and not isinstance(node, ScalarString):
            return _plain(YAML(typ="rt").load(filled), place, lines, source)
        return filled
    if isinstance(node, bool) or node is None:
        return node
    if isinstance(node, int):
        return int(node)
    if isinstance(node, float):
        return float(node)
    if isinstance(node, datetime.date):
        return node.isoformat()
    return str(node)


def _fill(text: str, place: Place, lines: Mapping[Place, tuple[int, int]], source: str) -> str:
    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            line, column = lines.get(place, (1, 1))
            raise InputError(
                f"{source}:{line}:{column}: {'.'.join(map(str, place))}: the variable {name} is not set; "
                f"set it (export {name}=...) or write the path into the recipe"
            )
        return os.environ[name]

    return re.sub(r"\$\{(\w+)\}", value, text)


def check_options(kind: type, plain: Any, place: Place, document: Document) -> tuple[Any, list[str]]:
    """Validate plain values as ``kind``; return (the value or None, every mistake with its place)."""
    try:
        return TypeAdapter(kind).validate_json(json.dumps(plain), strict=True), []
    except ValidationError as error:
        return None, list(_problems(error, kind, plain, place, document))


def _problems(error: ValidationError, kind: type, plain: Any, place: Place, document: Document) -> Iterator[str]:
    schema = TypeAdapter(kind).json_schema()
    seen = set()
    for mistake in error.errors():
        steps = _real_steps(mistake["loc"], plain, missing=mistake["type"] == "missing")
        where = document.where((*place, *steps))
        found = json.dumps(mistake["input"], default=str)
        if mistake["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
            text = f"unknown option; {did_you_mean(str(steps[-1]), _known(schema, steps[:-1], plain))}"
        elif mistake["type"] == "missing":
            text = "is missing"
        elif mistake["type"] == "union_tag_invalid":
            text = f"found use: {mistake['ctx']['tag']}; known are {mistake['ctx']['expected_tags']}"
        else:
            text = f"found {found if len(found) < 80 else found[:77] + '...'}; {_expected(mistake)}"
        if (where, text) not in seen:
            seen.add((where, text))
            yield f"{where}: {text}"


def _expected(mistake: Any) -> str:
    message = str(mistake["msg"]).removeprefix("Input ")
    return message.replace("should be", "expected", 1) if message.startswith("should be") else message


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
        nodes = [
            leaf
            for node in nodes
            for child in [node.get("items") if isinstance(step, int) else node.get("properties", {}).get(step)]
            if child
            for leaf in follow(child)
        ]
    uses = [(node, node.get("properties", {}).get("use", {})) for node in nodes]
    used = plain.get("use") if isinstance(plain, dict) else None
    chosen = [node for node, use in uses if "const" in use and use["const"] == (used or use.get("default"))]
    return [name for node in chosen or nodes for name in node.get("properties", {})]
