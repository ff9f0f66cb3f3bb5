"""The reader for events that Python kept in memory: the ``.npz`` files that ``hepanom.Sample.save`` writes."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from jaxtyping import Shaped
from pydantic import Field

from hepanom.contracts import Part, Reader
from hepanom.errors import BrokenFileError, InputError
from hepanom.events import Events, Input, Jagged, Schema, match_columns
from hepanom_plugins.readers.files import OnBadFile, match_files

# The readers of tables in other files: a detector may be trained in a notebook and score what the experiment writes.
OTHERS = {"csv": "Csv", "parquet": "Parquet", "root": "Root", "hdf5": "Hdf5"}


@dataclass(frozen=True)
class Npz(Reader):
    """Reads events that Python kept in memory, as ``hepanom.from_numpy(...).save("events.npz")`` writes them.

    The file holds the arrays of the events as they are, their ids among them, and the schema as JSON; nothing in it is
    pickled. A file is one part. A detector that was trained on a table of such events scores CSV, Parquet, ROOT and
    HDF5 files too, by the names in ``features`` and ``keep``.
    """

    path: Annotated[str | tuple[str, ...], Field(description="file or glob, or several; all have the same schema")]
    features: Annotated[tuple[str, ...], Field(description="columns of the table that are read, as patterns")] = ("*",)
    keep: Annotated[tuple[str, ...], Field(description="columns beside that are read, as patterns")] = ("*",)
    chunk: Annotated[int, Field(ge=1, description="most events that are handed over at once")] = 65536
    on_bad_file: OnBadFile = "stop"

    @classmethod
    def reads(cls, file: str) -> bool:
        """Say whether this is such a file, by its name."""
        return file.endswith(".npz")

    def schema(self) -> Schema:
        """Describe the events; looks at all files."""
        found = [(file, self._chosen(_opened(file))) for file in match_files(self.path)]
        for file, schema in found:
            if schema != found[0][1]:
                raise InputError(f"{file}: has other columns or classes than {found[0][0]}; read them one by one")
        return found[0][1]

    def parts(self) -> Sequence[Part]:
        """List the files."""
        return [Part(file, 0, len(_opened(file)["event_id"])) for file in match_files(self.path)]

    def read(self, part: Part) -> Iterator[Events]:
        """Yield the events of a file, some at once."""
        arrays = _opened(part.file)
        told = json.loads(str(arrays["hepanom"]))
        whole, chosen = Schema.from_json(told["schema"]), self._chosen(arrays)
        for start in range(part.start, part.stop, self.chunk):
            here = slice(start, min(start + self.chunk, part.stop))
            tally = told["tally"] if start == part.start else {}
            inputs = {name: _input(arrays, name, entry, whole, here) for name, entry in chosen.inputs.items()}
            yield Events(
                arrays["event_id"][here],
                inputs,
                arrays["weight"][here],
                arrays["label"][here],
                np.zeros(here.stop - here.start, np.int64),
                target=arrays["target"][here] if chosen.targets else None,
                beside={name: arrays[f"beside/{name}"][here] for name in chosen.beside},
                tally=tally,
            )

    def on(self, files: Sequence[str]) -> Reader:
        """Return the reader for other files, which hold the same columns: this one, or that of tables in its format.

        Raises InputError for files of no such reader.
        """
        if all(map(self.reads, files)):
            return replace(self, path=tuple(files), keep=("*",))
        for module, name in OTHERS.items():
            try:
                other: Any = getattr(import_module(f"hepanom_plugins.readers.{module}"), name)
            except ImportError:
                continue
            if all(map(other.reads, files)):
                columns, beside = self._named()
                found: Reader = other(path=files[0], features=columns, keep=beside).on(files)
                return found
        raise InputError(
            f"{', '.join(files)}: scored are .npz files, or tables in {', '.join(OTHERS)} files of one kind"
        )

    def _named(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the columns of the table and those beside by name, from the file itself where the options do not."""
        if "*" not in "".join((*self.features, *self.keep)):
            return self.features, self.keep
        schema = self.schema()
        return schema.table()[1].columns, schema.beside

    def _chosen(self, arrays: Mapping[str, np.ndarray]) -> Schema:
        """Return the schema with the columns that the options choose."""
        schema = Schema.from_json(json.loads(str(arrays["hepanom"]))["schema"])
        inputs = {}
        for name, entry in schema.inputs.items():
            columns = match_columns(self.features, entry.columns) if entry.kind == "table" else list(entry.columns)
            units = dict(zip(entry.columns, entry.units, strict=True))
            inputs[name] = replace(entry, columns=tuple(columns), units=tuple(units[column] for column in columns))
        beside = match_columns(self.keep, schema.beside) if schema.beside else []
        return replace(schema, inputs=inputs, beside=tuple(beside))


def _opened(file: str) -> dict[str, np.ndarray]:
    """Return the arrays of a file. Raises BrokenFileError for one that is damaged, InputError for one of others."""
    try:
        with Path(file).open("rb") as raw, np.load(raw, allow_pickle=False) as stored:
            arrays = dict(stored.items())
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BrokenFileError(f"{file}: is no .npz file, or damaged: {error}") from error
    if "hepanom" not in arrays:
        raise InputError(
            f"{file}: holds arrays, but not what they are; hepanom.from_numpy(...).save(...) writes such files"
        )
    return arrays


def _input(
    arrays: Mapping[str, np.ndarray], name: str, entry: Input, whole: Schema, here: slice
) -> Shaped[np.ndarray, "event ..."] | Jagged:
    """Return one input of some events, in the columns that were chosen."""
    if entry.kind == "points":
        offsets = arrays[f"inputs/{name}/offsets"][here.start : here.stop + 1]
        return Jagged(arrays[f"inputs/{name}/values"][offsets[0] : offsets[-1]], offsets - offsets[0])
    values: Shaped[np.ndarray, "event ..."] = arrays[f"inputs/{name}"][here]
    known = whole.inputs[name].columns
    return values if entry.columns == known else values[:, [known.index(column) for column in entry.columns]]
