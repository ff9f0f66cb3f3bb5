"""Scores beside the events: one row per event, in the order of the input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from hepanom import friends, returned
from hepanom.blame import blame
from hepanom.contracts import Part, Reader
from hepanom.detector import Detector, columns_of, decision, flags, score
from hepanom.errors import InputError, did_you_mean
from hepanom.events import Events
from hepanom.files import written
from hepanom.other_files import reader_of
from hepanom.result import Skipped
from hepanom.stream import read_parts, with_category

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]


Scored = Iterator[tuple[Part, "pa.Table"]]


@blame()
def score_files(
    detector: Detector,
    files: Sequence[str],
    out: Path,
    *,
    where: str | None = None,
    force: bool = False,
    by: Callable[[Reader, Sequence[Part], list[Skipped]], Scored] | None = None,
) -> dict[str, Any]:
    """Score every event of the files, part by part; return how many were scored and flagged.

    ``out`` is a Parquet file, a ROOT file for one ROOT file (``hepanom.friends``), or a folder for one ROOT file each,
    and none of the files that are read; one that exists is replaced with ``force`` alone. Labels and weights may be
    missing in the files. With ``where``, the name of a flag, only the events that it flags are written. ``by`` scores
    elsewhere, in the same order. Nothing appears before all events are in it.
    """
    reader = reader_of(detector, files)
    flag = None if where is None else f"flag/{flag_of(detector, where, '--where')}"
    events = written_events = 0
    flagged: Counter[str] = Counter()
    skipped: list[Skipped] = []
    parts = reader.parts()
    scored = (by or partial(scored_parts, detector))(reader, parts, skipped)
    with _written_to(out, reader, parts, skim=flag is not None, force=force) as write:
        for part, table in scored:
            chosen = table if flag is None else table.filter(table[flag])
            write(part, chosen)
            events, written_events = events + len(table), written_events + len(chosen)
            flags = [name for name in table.column_names if name.startswith("flag/")]
            flagged.update({name.removeprefix("flag/"): int(np.sum(table[name].to_numpy())) for name in flags})
        if not events:
            raise InputError(f"{', '.join(files)}: there are no events in these files")
        if not written_events:
            raise InputError(f"{where}: flags none of the {events} events, so there is nothing to write")
    left_out = [asdict(entry) for entry in skipped]
    return {"events": events, "written": written_events, "flagged": dict(flagged), "skipped": left_out}


def scored_parts(detector: Detector, reader: Reader, parts: Sequence[Part], skipped: list[Skipped]) -> Scored:
    """Yield the scored events of the parts, in order, chunk by chunk."""
    per, schema = detector.parts.recipe.train.per, detector.parts.schema
    for part, chunk in read_parts(reader, parts, skipped):
        returned.read(reader, chunk, replace(schema, beside=()))
        known = with_category(chunk, per, detector.categories, schema)
        yield part, to_table(detector, known, decision(detector, score(detector, known), known.category))


def _written_to(
    out: Path, reader: Reader, parts: Sequence[Part], *, skim: bool, force: bool
) -> AbstractContextManager[Callable[[Part | None, pa.Table], None] | friends.Write]:
    """Open what ``out`` stands for.

    Raises InputError for another kind of file, for one that is read, and without ``force`` for one that exists.
    """
    if out.suffix and out.suffix not in (".parquet", ".root") and not out.is_dir():
        raise InputError(f"{out}: scores go to NAME.parquet, NAME.root or a folder, not to {out.suffix}")
    files = list(dict.fromkeys(part.file for part in parts))
    names = [out] if out.suffix == ".parquet" else friends.places(out, reader, files, skim=skim)
    for name in names:
        for file in files:
            if name.exists() and Path(file).exists() and name.samefile(file):
                raise InputError(f"{name}: is one of the files that are scored ({file}); choose another --out")
        if name.is_file() and not force:
            raise InputError(f"{name}: exists and is not overwritten; choose another --out, or say --force")
    if out.suffix == ".parquet":
        return table_file(out)
    return friends.root_files(names, files, reader, parts, skim=skim)


def flag_of(detector: Detector, wanted: str, option: str) -> str:
    """Return SCORER/RULE for the name of a flag: that itself, or RULE where there is one scorer."""
    known = list(dict.fromkeys(f"{entry.scorer}/{entry.name}" for entry in detector.thresholds))
    found = [name for name in known if wanted in (name, name.split("/", 1)[1], friends.branch(f"flag/{name}"))]
    if len(found) != 1:
        many = f"stands for {' and for '.join(found)}; choose one"
        none = f"is no flag of this detector; {did_you_mean(wanted, known)}"
        raise InputError(f"{option} {wanted!r} {many if found else none}")
    return found[0]


@contextmanager
def table_file(out: Path) -> Iterator[Callable[[Part | None, pa.Table], None]]:
    """Give a function that appends a table to a Parquet file, which appears when the block ends well.

    A table that belongs to a part gets the column ``file``, which says whose rows these are.
    """
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    with written(out) as temporary, ExitStack() as stack:
        writers: list[Any] = []

        def write(part: Part | None, table: pa.Table) -> None:
            if part is not None:
                import pyarrow as pa

                file = pa.DictionaryArray.from_arrays(np.zeros(len(table), np.int32), [part.file])
                table = table.add_column(1, "file", file)
            if not writers:
                writers.append(stack.enter_context(pq.ParquetWriter(temporary, table.schema)))
            try:
                writers[0].write_table(table.cast(writers[0].schema))
            except ValueError as error:  # ArrowInvalid is one
                where = part.file if part else "what came later"
                raise InputError(f"{where}: columns beside are not those of the files before: {error}") from error

        yield write


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
        columns[f"beside/{name}" if name in {*ours, "event_id", "file"} else name] = column
    columns |= ours
    columns |= {f"score/{scorer}": found for scorer, found in values.items()}
    cut_by = columns_of(detector, events)
    for scorer, rule in dict.fromkeys((entry.scorer, entry.name) for entry in detector.thresholds):
        name = f"flag/{scorer}/{rule}"
        columns[name] = flags(detector, values[scorer], events.category, cut_by, scorer, rule, detector.decides)
    arrays = {
        name: pa.array(column, pa.string() if np.asarray(column).dtype.kind in "OU" else None)
        for name, column in columns.items()
    }
    return pa.table(arrays)
