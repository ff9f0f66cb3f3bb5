"""What a data portal publishes of a record: its files with sizes and checksums, its licence and how to cite it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hepanom.download import File, Patience, Watcher, text
from hepanom.errors import HepanomError, InputError

PORTALS = {"zenodo": "https://zenodo.org", "cern": "https://opendata.cern.ch"}
CHECKSUM = re.compile(r"adler32:[0-9a-f]{8}|md5:[0-9a-f]{32}|sha1:[0-9a-f]{40}|sha256:[0-9a-f]{64}")
STORE = "root://eospublic.cern.ch/"  # where the CERN Open Data portal keeps its files


@dataclass(frozen=True)
class Published:
    """A record of a data portal."""

    title: str
    licence: str
    citation: str
    files: tuple[File, ...]


def record(name: str, patience: Patience, watcher: Watcher) -> Published:
    """Ask a portal for a record: ``zenodo:4536377``, ``cern:328``.

    Raises InputError for a name that is none, HepanomError where the portal does not answer or what it says makes no
    sense.

    References:
        Zenodo REST API, https://developers.zenodo.org; CERN Open Data client, https://cernopendata-client.readthedocs.io.
    """
    portal, _, number = name.partition(":")
    if portal not in PORTALS or not number.isdecimal():
        raise InputError(f"{name!r} is no record; one is written zenodo:NUMBER or cern:NUMBER")
    url = f"{PORTALS[portal]}/api/records/{number}"
    told = text(url, patience, watcher)
    try:
        plain = json.loads(told)
        found = _zenodo(plain, name) if portal == "zenodo" else _cern(plain, name)
        for file in found.files:
            _check(file)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HepanomError(
            f"{url}: expected a record with files, sizes and checksums, found {told[:60]!r} ({error!r}); download by "
            "hand what its page offers"
        ) from error
    return found


def _check(file: File) -> None:
    """Raise ValueError for a file that could not be put into a folder and checked there."""
    if Path(file.name).name != file.name or file.name.startswith("."):
        raise ValueError(f"{file.name!r} is no name of a file")
    size: object = file.size
    if not isinstance(size, int) or not CHECKSUM.fullmatch(file.checksum):
        raise ValueError(f"{file.name}: size {size!r}, checksum {file.checksum!r}")


def _zenodo(plain: Mapping[str, Any], name: str) -> Published:
    about = plain["metadata"]
    address = f"{PORTALS['zenodo']}/api/records/{plain['id']}/files"
    files = tuple(
        File(entry["key"], f"{address}/{quote(entry['key'])}/content", entry["size"], entry["checksum"], name)
        for entry in plain["files"]
    )
    people = [entry["name"] for entry in about["creators"]]
    licence = (about.get("license") or {}).get("id", "")
    return Published(about["title"], licence, _citation(people, about, about["publication_date"]), files)


def _cern(plain: Mapping[str, Any], name: str) -> Published:
    about = plain["metadata"]
    files = tuple(
        File(
            entry["uri"].rpartition("/")[2],
            entry["uri"].replace(STORE, PORTALS["cern"]),
            entry["size"],
            entry["checksum"],
            name,
        )
        for entry in about["files"]
    )
    people = [entry["name"] for entry in about.get("authors", [])] or [about["collaboration"]["name"]]
    licence = about.get("license", {}).get("attribution", "")
    return Published(about["title"], licence, _citation(people, about, about["date_published"]), files)


def _citation(people: list[str], about: Mapping[str, Any], date: str) -> str:
    """Return who, what, when and where of a record."""
    who = ", ".join(people[:3]) + (" et al." if len(people) > 3 else "")
    return f"{who}, {about['title']}, {date[:4]}, doi:{about['doi']}"
