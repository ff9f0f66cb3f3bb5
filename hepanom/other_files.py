"""The reader of a detector for other files than those of its training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Int

from hepanom import returned
from hepanom.contracts import Part, Reader
from hepanom.detector import Detector
from hepanom.errors import InputError
from hepanom.events import Events, Schema
from hepanom.matching import matched, places


def reader_of(detector: Detector, files: Sequence[str]) -> Reader:
    """Return the detector's reader for other files, whose columns may be more, and in another order.

    Raises InputError where inputs or columns are missing that the detector learnt from.
    """
    reader, wanted = detector.parts.reader.on(files), detector.parts.schema
    here = reader.schema()
    try:
        found = places(here, wanted)
    except InputError as error:
        raise InputError(f"{', '.join(files)}: {error}") from error
    same = all(
        (name, list(order)) == (own, list(range(len(here.inputs[own].columns)))) for name, (own, order) in found.items()
    )
    return reader if same and len(here.inputs) == len(wanted.inputs) else Matched(reader, here, wanted)


@dataclass(frozen=True)
class Matched(Reader):
    """A reader of other files, whose schema is ``here``; its events come as the schema of the training has them."""

    reader: Reader
    here: Schema
    wanted: Schema

    @property
    def on_bad_file(self) -> str:
        """Return what that reader does with files that cannot be read."""
        return str(getattr(self.reader, "on_bad_file", "stop"))

    def schema(self) -> Schema:
        """Describe the events as they come, with what travels beside them in these files."""
        return replace(self.wanted, beside=self.here.beside)

    def parts(self) -> Sequence[Part]:
        """List the parts of that reader."""
        return self.reader.parts()

    def read(self, part: Part) -> Iterator[Events]:
        """Yield that reader's chunks, matched."""
        for chunk in self.reader.read(part):
            yield matched(returned.read(self.reader, chunk, self.here), self.here, self.wanted)

    def on(self, files: Sequence[str]) -> Reader:
        """Return the same for other files."""
        reader = self.reader.on(files)
        return replace(self, reader=reader, here=reader.schema())

    def originals(self, part: Part, entries: Int[np.ndarray, " event"]) -> tuple[str, dict[str, Any]]:
        """Return what that reader returns for a skim: all branches."""
        return self.reader.originals(part, entries)
