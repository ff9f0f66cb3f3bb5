"""Files by class: the option ``files`` of readers of columns, and what is left of it for other files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from pydantic import Field

from hepanom.errors import InputError
from hepanom_plugins.readers.files import find_files, same

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Group:
    """Files of one class, with what their events weigh."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    path: Annotated[str | tuple[str, ...], Field(description="file, glob, folder or address, or several of them")]
    weight: Annotated[float | str | None, Field(description="of each event: a number or an expression")] = None


NO_CLASS = Group("")  # that of files which only `path` lists
Groups = Mapping[str, str | tuple[str, ...] | Group]


def grouped(files: Groups) -> dict[str, Group]:
    """Return every class with its group."""
    return {name: entry if isinstance(entry, Group) else Group(entry) for name, entry in files.items()}


def regrouped(files: Groups, asked: Sequence[str], suffix: str) -> dict[str, Group]:
    """Return the groups with those of their files alone that are asked for: files of the training keep their class."""
    own: dict[str, str] = {}
    for name, group in grouped(files).items():
        for pattern in (group.path,) if isinstance(group.path, str) else group.path:
            with suppress(InputError):  # the files of the training need not be there any more
                own |= dict.fromkeys(map(same, find_files(pattern, suffix)), name)
    return {
        name: replace(group, path=tuple(file for file in asked if own.get(same(file)) == name))
        for name, group in grouped(files).items()
    }


def common_weight(groups: Mapping[str, Group], others: Sequence[str]) -> str | None:
    """Return what events of other files weigh: as all classes do, else 1, with a warning."""
    weights = {group.weight for group in groups.values()}
    if not others or weights <= {None}:
        return None
    if len(weights) == 1:
        return f"({weights.pop()})"  # an expression, and so no second role of a column
    log.warning(
        "%s: every event weighs 1: `files` gives each class a weight of its own, and these are of none; "
        "an expression in `weight` is that of all files",
        ", ".join(others),
    )
    return None
