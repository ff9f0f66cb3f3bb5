"""What `hepanom fetch` prints: the data sets, or where one was put and how a recipe reads it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hepanom.catalogue import DATA_SETS, DataSet
from hepanom.fetch import HOME, Fetched, complete, home

Plain = dict[str, Any]


def listed(to: Path | None) -> list[Plain]:
    """Return what `fetch --json` prints of the data sets."""
    return [
        {
            "name": entry.name,
            "about": entry.about,
            "record": entry.record,
            "files": [file.name for file in entry.files] or list(entry.wanted),
            "size": sum(file.size for file in entry.files) or None,
            "checksum": ", ".join(file.checksum for file in entry.files) or None,
            "licence": entry.licence or None,
            "citation": entry.citation or None,
            "folder": str(home(to) / entry.name),
            "fetched": complete(entry, to),
        }
        for entry in DATA_SETS
    ]


def listed_text(plain: list[Plain]) -> str:
    """Return the data sets, one paragraph each."""
    pieces = []
    for entry in plain:
        size = amount(entry["size"]) if entry["size"] else ""
        facts = {"size": size, "checksum": entry["checksum"], "licence": entry["licence"], "cite": entry["citation"]}
        unknown = [key for key, value in facts.items() if not value]
        lines = [f"{entry['name']}: {entry['about']}", f"    {'files':<9} {', '.join(entry['files'])}"]
        lines += [f"    {key:<9} {value}" for key, value in facts.items() if value]
        if unknown:
            lines.append(f"    {', '.join(unknown)}: as record {entry['record']} says when it is fetched")
        lines.append(f"    {'is in' if entry['fetched'] else 'goes to':<9} {entry['folder']}")
        pieces.append("\n".join(lines))
    tail = (
        "`hepanom fetch NAME` fetches one. Any other record is fetched by its number, and the file if it has several: "
        "zenodo:2603256/val.h5"
    )
    return "\n\n".join([*pieces, tail])


def fetched(found: Fetched) -> Plain:
    """Return what `fetch NAME --json` prints."""
    return {
        "status": "done",
        "name": found.data_set.name,
        "about": found.data_set.about,
        "record": found.data_set.record,
        "licence": found.data_set.licence,
        "citation": found.data_set.citation,
        "folder": str(found.folder),
        "files": [
            {"path": str(found.folder / file.name), "size": file.size, "checksum": file.checksum, "new": new}
            for file, new in zip(found.files, found.new, strict=True)
        ],
        "home": str(found.folder.parent.resolve()),
        "recipe": _recipe(found.data_set, found.folder / found.files[0].name),
    }


def fetched_text(plain: Plain) -> str:
    """Return where the files are, licence and citation, and the line that a recipe needs."""
    lines, first = [], plain["files"][0]["path"]
    for file in plain["files"]:
        done = "fetched" if file["new"] else "was there"
        lines.append(f"{file['path']}: {amount(file['size'])}, {file['checksum']}, {done}")
    lines += ["", f"{plain['about']}", f"licence: {plain['licence']}", f"cite:    {plain['citation']}", ""]
    if plain["recipe"]:
        lines += ["a recipe reads it by", "", f"    {plain['recipe']}"]
        if HOME not in plain["recipe"]:
            lines += ["", f"and recipes that say ${{{HOME}}} find it after", "", f"    export {HOME}={plain['home']}"]
    else:
        lines += ["a first recipe for it is written by", "", f"    hepanom inspect {first} --recipe NAME.yaml"]
    return "\n".join(lines)


def amount(size: int) -> str:
    """Return a number of bytes as a reader would say it."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def _recipe(entry: DataSet, place: Path) -> str:
    """Return the line of a recipe that reads a file, by HEPANOM_DATA where that leads to it."""
    if not entry.data:
        return ""
    base = os.environ.get(HOME, "")
    inside = bool(base) and place.is_relative_to(Path(base).expanduser())
    path = "${HEPANOM_DATA}/" + str(place.relative_to(Path(base).expanduser())) if inside else str(place.resolve())
    reader, _, options = entry.data.partition(", ")
    return f'data: {{{reader}, path: "{path}"{", " + options if options else ""}}}'
