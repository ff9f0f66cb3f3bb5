"""A recipe file as plain values that know where they stand."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, ScalarString

from hepanom import notebook
from hepanom.errors import InputError

Place = tuple[str | int, ...]


class _Constructor(RoundTripConstructor):
    """ruamel's own, but a date is text, as it stands in the file."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", RoundTripConstructor.construct_scalar)


@dataclass(frozen=True)
class Document:
    """A recipe file as plain values, with the place of every node."""

    source: str
    plain: dict[str, Any]
    lines: Mapping[Place, tuple[int, int]]
    overrides: Mapping[Place, str]

    def __repr__(self) -> str:
        return f"Recipe {self.plain.get('name', 'without a name')}: {self.told()} ({self.source})"

    def _repr_html_(self) -> str:
        """Return the parts of the recipe as a table."""
        rows = {key: "" if value is None else _inline(value) for key, value in self.plain.items()}
        return notebook.facts(f"{self.source}{', changed' * bool(self.overrides)}", rows)

    def told(self) -> str:
        """Return the model, the data and the scores in words: ``vae on toy, scores elbo, kl``."""
        model, data = (value_at(self.plain, f"{key}.use") or f"no {key}" for key in ("model", "data"))
        scores = [value_at(self.plain, f"scores.{index}.use") for index in range(len(self.plain.get("scores") or ()))]
        return f"{model} on {data}, scores {', '.join(map(str, scores)) or 'none'}"

    def changed(self, *overrides: str) -> Document:
        """Return the recipe with values changed as ``--set`` does: ``recipe.changed("train.epochs=3", "seed=2")``."""
        return changed(self, overrides)

    def where(self, place: Place) -> str:
        """Return ``file:line:column: dotted.path`` of the nearest node of the file, or the override it comes from."""
        dotted = ": " + ".".join(map(str, place)) if place else ""
        for end in range(len(place), -1, -1):
            if place[:end] in self.overrides:
                return f"--set {self.overrides[place[:end]]}{dotted}"
            if place[:end] in self.lines:
                line, column = self.lines[place[:end]]
                return f"{self.source}:{line}:{column}{dotted}"
        return f"{self.source}{dotted}"

    def fingerprint(self) -> str:
        """Return a hash that is the same for the same values."""
        return hashlib.sha256(json.dumps(self.plain, sort_keys=True).encode()).hexdigest()[:16]

    def text(self) -> str:
        """Return the resolved recipe as YAML."""
        stream = StringIO()
        yaml = YAML()
        yaml.default_flow_style = None
        yaml.width = 120
        yaml.dump(_quoted(self.plain), stream)
        return stream.getvalue()


def _inline(plain: Any) -> str:
    """Return a part of a recipe as YAML in one line."""
    if isinstance(plain, dict):
        return f"{{{', '.join(f'{key}: {_inline(value)}' for key, value in plain.items())}}}"
    if isinstance(plain, list):
        return f"[{', '.join(map(_inline, plain))}]"
    return plain if isinstance(plain, str) else json.dumps(plain)


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
        root = _yaml().load(text)
    except YAMLError as error:
        marks = (error.problem_mark, error.context_mark) if isinstance(error, MarkedYAMLError) else ()
        mark = next(filter(None, marks), None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise InputError(f"{source}{place}: not valid YAML: {_problem(error)}") from error
    if not isinstance(root, CommentedMap):
        found = "nothing" if root is None else f"{root!r:.60}"
        raise InputError(f"{source}: a recipe is a table of keys (name, data, model, ...), found {found}")
    lines: dict[Place, tuple[int, int]] = {(): (root.lc.line + 1, root.lc.col + 1)}
    plain = _plain(root, (), lines, source)
    document = Document(source, plain, lines, {})
    return changed(document, overrides)


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True  # what is quoted stays text, whatever a variable holds
    yaml.Constructor = _Constructor
    return yaml


def _quoted(plain: Any) -> Any:
    """Put quotes around all text but words: some of it, such as ``?0``, ruamel writes so that it reads otherwise."""
    if isinstance(plain, dict):
        return {_quoted(key): _quoted(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_quoted(value) for value in plain]
    if isinstance(plain, str) and not re.fullmatch(r"[A-Za-z_][\w./-]*", plain, re.ASCII):
        return DoubleQuotedScalarString(plain)
    return plain


def _problem(error: YAMLError) -> str:
    """Say what is wrong in the words of somebody who writes recipes."""
    found = str(getattr(error, "problem", error)).splitlines()[0]
    if "'\\t'" in found:
        return "there is a tab where YAML takes spaces alone; indent by spaces"
    twice = re.match(r'found duplicate key "(.*?)"', found)
    return f"the key {twice[1]!r} is there twice; keep one" if twice else found


def changed(document: Document, overrides: Sequence[str]) -> Document:
    """Return the document with ``a.b=value`` applied; values are YAML, list items go by number."""
    for override in overrides:
        dotted, equals, text = override.partition("=")
        if not equals:
            raise InputError(f"--set {override}: expected PATH=VALUE, such as train.epochs=5")
        told = f"--set {override}"
        document = _with(document, dotted.strip(), _value(text, told), override)
    return document


def placed(document: Document, values: Mapping[str, tuple[Any, Place]]) -> Document:
    """Return the document with a value at each dotted path, which messages find at a place of the document itself."""
    for dotted, (value, there) in values.items():
        found = _with(document, dotted, value, f"{dotted}={json.dumps(value)}")
        if there in document.lines:
            new = found.overrides.keys() - document.overrides.keys()
            lines = {**found.lines, **dict.fromkeys(new, document.lines[there])}
            found = Document(document.source, found.plain, lines, document.overrides)
        document = found
    return document


def _with(document: Document, dotted: str, value: Any, override: str) -> Document:
    """Return the document with a value at a dotted path, which messages know as an override."""
    plain = json.loads(json.dumps(document.plain))
    lines, places = dict(document.lines), dict(document.overrides)
    *above, last = dotted.split(".")
    node: Any = plain
    place: Place = ()
    for step in above:
        key = _key(node, step, place, override)
        place = (*place, key)
        if isinstance(node, dict) and key not in node:
            node[key], places[place] = {}, override
        node = node[key]
    key = _key(node, last, place, override)
    place = (*place, key)
    node[key] = value
    for known in (lines, places):
        for stale in [below for below in known if below[: len(place)] == place]:
            del known[stale]
    places[place] = override
    return Document(document.source, plain, lines, places)


def value_at(node: Any, dotted: str) -> Any:
    """Return what stands at a dotted path below a plain value; None where there is nothing."""
    for step in dotted.split(".") if dotted else ():
        if isinstance(node, Mapping):
            node = node.get(step)
        elif isinstance(node, list) and step.isdecimal() and int(step) < len(node):
            node = node[int(step)]
        else:
            return None
    return node


def _value(text: str, source: str) -> Any:
    try:
        return _plain(_yaml().load(text), (), {}, source)
    except YAMLError as error:
        raise InputError(f"{source}: not valid YAML: {_problem(error)}; in quotes it is text") from error


def _key(node: Any, step: str, place: Place, override: str) -> str | int:
    """Return what finds ``step`` in the node at ``place``: a table's key or a list's number."""
    here = ".".join(map(str, place))
    if isinstance(node, dict):
        return step
    if not isinstance(node, list):
        raise InputError(f"--set {override}: {here} is a value, not a table")
    if not step.isdecimal() or int(step) >= len(node):
        raise InputError(f"--set {override}: {here} has no item {step}; it has {len(node)}, counted from 0")
    return int(step)


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
        return filled if filled == node or isinstance(node, ScalarString) else _reread(filled)
    if isinstance(node, bool) or node is None:
        return node
    if isinstance(node, int):
        return int(node)
    if isinstance(node, float):
        return float(node)
    return str(node)


def _fill(text: str, place: Place, lines: Mapping[Place, tuple[int, int]], source: str) -> str:
    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            where = Document(source, {}, lines, {}).where(place)
            raise InputError(
                f"{where}: the variable {name} is not set; set it (export {name}=...) or write the value instead"
            )
        return os.environ[name]

    return re.sub(r"\$\{(\w+)\}", value, text)


def _reread(filled: str) -> Any:
    """Return the number, list or table that a filled-in value is; all else is text, such as a path with `` #``."""
    try:
        node = _yaml().load(filled)
    except YAMLError:
        return filled
    return filled if isinstance(node, str) else _plain(node, (), {}, "")
