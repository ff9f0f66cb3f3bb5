"""Scores beside the events: one Parquet row per event, in the order of the input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from hepanom.detector import Detector, decision, flags, score
from hepanom.errors import InputError
from hepanom.events import Events
from hepanom.files import written
from hepanom.result import Skipped
from hepanom.stream import read_parts, with_category

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]


def score_files(detector: Detector, files: Sequence[str], out: Path) -> dict[str, Any]:
    """Score every event of the files into a Parquet file, chunk by chunk; return how many were scored and flagged.

    Labels and weights may be missing there. The file appears when all events are in it.
    """
    reader = detector.parts.reader.on(files)
    before, now = detector.parts.schema, reader.schema()
    if dict(now.inputs) != dict(before.inputs):
        raise InputError(
            f"{', '.join(files)}: the inputs differ from those of the training; {_difference(before, now)}"
        )
    events = 0
    flagged: Counter[str] = Counter()
    skipped: list[Skipped] = []
    with table_file(out) as write:
        for _, chunk in read_parts(reader, reader.parts(), skipped):
            known = with_category(chunk, detector.parts.recipe.train.per, detector.categories, before)
            table = to_table(detector, known, decision(detector, score(detector, known), known.category))
            write(table)
            events += len(known)
            flags = [name for name in table.column_names if name.startswith("flag/")]
            flagged.update({name.removeprefix("flag/"): int(np.sum(table[name].to_numpy())) for name in flags})
        if not events:
            raise InputError(f"{', '.join(files)}: there are no events in these files")
    return {"events": events, "flagged": dict(flagged), "skipped": [asdict(entry) for entry in skipped]}


@contextmanager
def table_file(out: Path) -> Iterator[Callable[[pa.Table], None]]:
    """Give a function that appends a table to a Parquet file, which appears when the block ends well."""
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    with written(out) as temporary, ExitStack() as stack:
        writers: list[Any] = []

        def write(table: pa.Table) -> None:
            if not writers:
                writers.append(stack.enter_context(pq.ParquetWriter(temporary, table.schema)))
            writers[0].write_table(table)

        yield write


def _difference(before: Any, now: Any) -> str:
    old = {column for entry in before.inputs.values() for column in entry.columns}
    new = {column for entry in now.inputs.values() for column in entry.columns}
    return f"missing {sorted(old - new) or 'none'}, new {sorted(new - old) or 'none'}, or another order or unit"


def to_table(detector: Detector, events: Events, values: Mapping[str, Float[np.ndarray, " event"]]) -> pa.Table:
    """Return event id, the columns beside, category, label, weight, every score and every threshold's decision.

    Scores are columns ``score/<scorer>``, decisions ``flag/<scorer>/<rule>``; an unknown label is null. A column beside
    whose name is one of ours is called ``beside/<name>``.
    """
    import pyarrow as pa

    classes = np.array([*detector.parts.schema.classes, None], dtype=object)
    ours = {
        "category": np.array(detector.categories, dtype=object)[events.category],
        "label": classes[events.label],
        "weight": events.weight,
    }
    columns: dict[str, Any] = {"event_id": events.event_id}
    for name, column in events.beside.items():
        columns[f"beside/{name}" if name in {*ours, "event_id"} else name] = column
    columns |= ours
    columns |= {f"score/{scorer}": found for scorer, found in values.items()}
    for scorer, rule in dict.fromkeys((entry.scorer, entry.name) for entry in detector.thresholds):
        name = f"flag/{scorer}/{rule}"
        columns[name] = flags(detector, values[scorer], events.category, scorer, rule, detector.decides)
    arrays = {
        name: pa.array(column, pa.string() if np.asarray(column).dtype.kind in "OU" else None)
        for name, column in columns.items()
    }
    return pa.table(arrays)
