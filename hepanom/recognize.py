"""The reader for files that no recipe speaks of yet: by name, or the one that says the files are its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from hepanom import plugins
from hepanom.blame import spoken, whose
from hepanom.contracts import Reader
from hepanom.document import Document, changed
from hepanom.errors import InputError, RecipeError
from hepanom.offered import Registry, find, left_out, registry


@dataclass(frozen=True)
class Found:
    """A reader, its name, and ``data`` of a recipe that gives the same one; None where a recipe cannot say it."""

    name: str
    reader: Reader
    data: Mapping[str, Any] | None


def recognize(
    files: Sequence[str], use: str | None = None, overrides: Sequence[str] = (), folder: Path | str | None = None
) -> Found:
    """Return the reader for the files, with ``data.option=value`` applied; ``use`` names it, else the files decide.

    The files become the reader's option ``path``, where it has one; another reader is turned ``on`` them. Raises
    InputError for files of no reader or of several, RecipeError for options that are wrong.
    """
    for override in overrides:
        if not override.startswith("data."):
            raise InputError(f"--set {override}: inspect knows the options of the reader alone: data.OPTION=VALUE")
    given = changed(Document("inspect", {"data": {}}, {}, {}), overrides).plain["data"]
    if files and "path" in given:
        raise InputError(f"the files are given twice: as {files[0]} and by --set data.path")
    known = registry(folder)
    name = use or given.get("use") or _claimed(files, known)
    kind = find(known, "reader", name).load()
    asked = {"path": files[0] if len(files) == 1 else list(files)} if files and "path" in _options(kind) else {}
    start = Document("inspect", {"data": {"use": name, **asked}}, {}, {})
    document = changed(start, [*overrides, f"data.use={json.dumps(name)}"])
    data = document.plain["data"]
    reader, _, mistakes = plugins.build_one(known, "reader", ("data",), data, document)
    if mistakes:
        raise RecipeError(mistakes)
    if not files or asked:
        return Found(name, reader, data)
    turned: Any = reader.on(files)
    return Found(name, turned, {"use": name, **_told(turned)} if type(turned) is kind else None)


def _claimed(files: Sequence[str], known: Registry) -> str:
    """Return the one reader that all files are for. Raises InputError where there is none, or more than one."""
    if not files:
        raise InputError("there is nothing to inspect: name files, or a reader that needs none by --use NAME")
    offered, broken = _loaded(known)
    claims = {file: [name for name, kind in offered.items() if _claims(kind, file, broken)] for file in files}
    for file, names in claims.items():
        if not names:
            if not (Path(file).exists() or any(mark in file for mark in "*?[:")):
                raise InputError(f"{file}: there is no such file")
            if Path(file).is_dir():
                raise InputError(f"{file}: is a folder; name the files in it, or the reader for all of them by --use")
            told = "; ".join([f"choose one by --use NAME: {', '.join(offered)}", *broken]) + left_out(known)
            raise InputError(f"{file}: no reader says that it reads such files; {told}")
    shared = [name for name in offered if all(name in names for names in claims.values())]
    if not shared:
        one, other = next((file, other) for file in files for other in files if not {*claims[file]} & {*claims[other]})
        mine, theirs = (_first(claims[file], offered)[0] for file in (one, other))
        raise InputError(f"{one} is for the reader {mine}, {other} for {theirs}; inspect one kind at a time")
    first = _first(shared, offered)
    if len(first) > 1:
        raise InputError(f"{files[0]}: the readers {', '.join(first)} read such files; choose one by --use NAME")
    return first[0]


def _first(names: Sequence[str], offered: Mapping[str, type]) -> Sequence[str]:
    """Return the readers that no other one goes before; all of them where they go in circles."""
    later = {other for name in names for other in getattr(offered[name], "before", ())}
    return [name for name in names if name not in later] or names


def _loaded(known: Registry) -> tuple[dict[str, type], list[str]]:
    """Return the readers' classes by name, and why others cannot be loaded: a library that is missing, mostly."""
    offered: dict[str, type] = {}
    broken: list[str] = []
    for kind, name in known:
        if kind == "reader":
            try:
                offered[name] = known[kind, name].load()
            except InputError as error:
                broken.append(str(error))
    return offered, broken


def _claims(kind: type, file: str, broken: list[str]) -> bool:
    """Say whether a reader is for a file; one that fails to say so is not, and joins those that are broken."""
    try:
        return bool(getattr(kind, "reads", lambda _: False)(file))
    except Exception as error:
        broken.append(f"{whose(kind)} fails to say whether it reads it: {spoken(error)}")
        return False


def _options(kind: type) -> set[str]:
    return {entry.name for entry in fields(kind)}


def _told(reader: Any) -> dict[str, Any]:
    """Return the options of a reader, less those that have their default, as plain values."""
    plain = TypeAdapter(type(reader)).dump_python(reader, mode="json")
    return {entry.name: plain[entry.name] for entry in fields(reader) if getattr(reader, entry.name) != entry.default}
