"""Scores beside the events: aligned with the files, and there whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toys import RECIPE, build, fitted, shares

from hepanom.contracts import Part
from hepanom.detector import Detector, decision, score
from hepanom.errors import HepanomError, InputError
from hepanom.events import Events, Input, Schema
from hepanom.fit import fit
from hepanom.other_files import Matched, reader_of
from hepanom.output import score_files, table_file, to_table
from hepanom.shares import held
from hepanom.stream import with_category
from hepanom_plugins.readers.csv import Csv

HEADER = "number,a,b,c,n,w,kind"
COLUMNS = "id: [number], label: kind, classes: {bkg: [0], sig: [1]}, weight: w, category: n, features: [a, b, c]"


def write(path: Path, events: int, columns: str = HEADER, seed: int = 1) -> np.ndarray:
    """Write a file of random events with these columns and return its values."""
    generator = np.random.default_rng(seed)
    number = generator.permutation(events)
    table = np.column_stack(
        [
            number,
            generator.normal(size=(events, 3)),
            generator.integers(1, 3, events),
            generator.uniform(0.5, 2, events),
            generator.random(events) < 0.1,
        ]
    )[:, [HEADER.split(",").index(name) for name in columns.split(",")]]
    formats = ["%d" if name in ("number", "n", "kind") else "%.6f" for name in columns.split(",")]
    np.savetxt(path, table, delimiter=",", header=columns, comments="", fmt=formats)
    return table


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    """Return a detector for a table with two categories."""
    path = tmp_path_factory.mktemp("training") / "train.csv"
    write(path, 1500)
    text = RECIPE.replace("{use: toy, events: 3000}", f"{{use: csv, path: '{path}', {COLUMNS}}}")
    parts = build("background=[bkg]", "train.per=n", text=text)
    return fit(held(parts, shares(parts)), {})[0]


@pytest.mark.parametrize("columns", [HEADER, "number,a,b,c,n", "w,c,number,a,n,b"])
def test_rows_are_those_of_the_files_in_their_order(detector: Detector, tmp_path: Path, columns: str) -> None:
    files = [str(tmp_path / "second.csv"), str(tmp_path / "first.csv")]
    table = np.concatenate([write(Path(file), 300, columns, seed) for seed, file in enumerate(files)])
    column = {name: table[:, index] for index, name in enumerate(columns.split(","))}
    found = score_files(detector, files, tmp_path / "scores.parquet")
    rows = pq.read_table(tmp_path / "scores.parquet").to_pydict()
    assert found["events"] == len(rows["number"]) == 600
    assert rows["number"] == column["number"].astype(int).tolist()
    assert rows["category"] == column["n"].astype(int).astype(str).tolist()
    assert rows["weight"] == pytest.approx(column["w"] if "w" in column else np.ones(600))
    assert rows["label"] == (
        [("bkg", "sig")[int(kind)] for kind in column["kind"]] if "kind" in column else [None] * 600
    )

    reader = reader_of(detector, files)
    events = Events.concat([events for part in reader.parts() for events in reader.read(part)])
    given = np.stack([column[name] for name in "abc"], axis=1)
    np.testing.assert_allclose(np.asarray(events.inputs["features"]), given, atol=1e-6)
    events = with_category(events, "n", detector.categories, detector.parts.schema)
    assert rows["event_id"] == events.event_id.tolist()
    for scorer, values in decision(detector, score(detector, events), events.category).items():
        assert rows[f"score/{scorer}"] == pytest.approx(values, rel=1e-5, abs=1e-7)
        for rule in ("background_efficiency_0.1", "mean"):
            cuts = np.array([detector.cuts(scorer, rule, 0)[label].cut for label in detector.categories])
            flagged = rows[f"score/{scorer}"] > cuts[events.category]
            assert rows[f"flag/{scorer}/{rule}"] == flagged.tolist()
            assert found["flagged"][f"{scorer}/{rule}"] == flagged.sum()


def test_a_file_may_have_more_columns_and_classes_than_the_training(tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("c,more,a,kind\n3,9,1,sig\n4,9,2,new\n")
    reader = Csv(path=str(tmp_path / "new.csv"), label="kind", classes={"new": ("new",), "sig": ("sig",)})
    wanted = Schema({"table": Input("table", ("a", "c"), ("GeV", ""))}, ("bkg", "sig"))
    (events,) = (events for part in reader.parts() for events in Matched(reader, reader.schema(), wanted).read(part))
    np.testing.assert_array_equal(np.asarray(events.inputs["table"]), [[1, 3], [2, 4]])
    assert events.label.tolist() == [1, -1]


def test_chunks_of_a_file_give_the_rows_of_the_whole_file(tmp_path: Path) -> None:
    detector, _, _ = fitted("train.replicas=2")
    tables = []
    for size in (65536, 700):
        parts = replace(detector.parts, reader=replace(detector.parts.reader, chunk=size))
        out = tmp_path / f"{size}.parquet"
        score_files(replace(detector, parts=parts), ["toy:9:2000"], out)
        tables.append(pq.read_table(out))
    for name in tables[0].column_names:
        whole, pieces = (table[name].to_numpy(zero_copy_only=False) for table in tables)
        if name.startswith("score/"):
            assert pieces == pytest.approx(whole, rel=1e-5, abs=1e-7)
        else:
            assert pieces.tolist() == whole.tolist()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (HEADER + "\n1,0.1,0.2,0.3,1,1,0\n2,0.1,0.2\n", InputError, r"new\.csv:3: a short row"),
        (HEADER + "\n1,0.1,0.2,0.3,7,1,0\n", InputError, "n is 7 in some events; there are models for 1, 2"),
        ("number,a,b,n\n1,0.1,0.2,1\n", InputError, "column 'c' is not there"),
        ("number,a,b,c\n1,0.1,0.2,0.3\n", InputError, "column 'n' is not carried"),
        (HEADER + "\n1,inf,0.2,0.3,1,1,0\n", InputError, r"columns \(events\): a \(1\)"),
    ],
)
def test_a_failure_leaves_no_file_and_keeps_an_older_one(
    detector: Detector, tmp_path: Path, text: str, error: type[HepanomError], message: str
) -> None:
    (tmp_path / "new.csv").write_text(text)
    (tmp_path / "old.parquet").write_bytes(b"older")
    for out in ("scores.parquet", "old.parquet"):
        with pytest.raises(error, match=message):
            score_files(detector, [str(tmp_path / "new.csv")], tmp_path / out, force=True)
    assert {path.name for path in tmp_path.iterdir()} == {"new.csv", "old.parquet"}
    assert (tmp_path / "old.parquet").read_bytes() == b"older"


def test_a_failure_after_the_first_chunk_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector, _, _ = fitted()
    reader = replace(detector.parts.reader, chunk=500)
    read, chunks = type(reader).read, iter(range(10))

    def broken(self: Any, part: Part) -> Any:
        for events in read(self, part):
            if next(chunks) == 2:
                raise InputError("the rest is gone")
            yield events

    monkeypatch.setattr(type(reader), "read", broken)
    with pytest.raises(InputError, match="the rest is gone"):
        score_files(
            replace(detector, parts=replace(detector.parts, reader=reader)), ["toy:9:2000"], tmp_path / "scores.parquet"
        )
    assert list(tmp_path.iterdir()) == []


def test_files_whose_columns_beside_are_of_other_types_make_one_table_or_none(tmp_path: Path) -> None:
    out, first = tmp_path / "out.parquet", pa.table({"run": np.arange(2)})
    with table_file(out) as add:
        add(None, first)
        add(None, pa.table({"run": np.array([5.0, 6.0])}))
        with pytest.raises(InputError, match=r"columns beside are not those of the files before: .* truncated"):
            add(None, pa.table({"run": np.array([0.5])}))
    assert pq.read_table(out)["run"].to_pylist() == [0, 1, 5, 6]


def test_a_column_beside_does_not_hide_one_of_ours() -> None:
    detector, _, events = fitted()
    few = events["test"].mask(np.arange(len(events["test"])) < 5)
    strange = np.array([f"mine {row}" for row in range(5)])
    named = replace(few, beside={"event_id": strange, "weight": strange, "event": few.beside["event"]})
    table = to_table(detector, named, decision(detector, score(detector, named), named.category))
    assert table.column_names[:3] == ["event_id", "beside/event_id", "beside/weight"]
    assert table["event_id"].to_pylist() == few.event_id.tolist()
    assert table["beside/event_id"].to_pylist() == table["beside/weight"].to_pylist() == strange.tolist()
    assert table["weight"].to_pylist() == few.weight.tolist()
    assert table["event"].to_pylist() == few.beside["event"].tolist()


def test_a_table_is_written_whole(tmp_path: Path) -> None:
    detector, _, events = fitted()
    table = to_table(
        detector, events["test"], decision(detector, score(detector, events["test"]), events["test"].category)
    )
    with table_file(tmp_path / "scores.parquet") as write:
        write(None, table.slice(0, 100))
        write(None, table.slice(100))
        assert not (tmp_path / "scores.parquet").exists()
    assert pq.read_table(tmp_path / "scores.parquet").equals(table)
    assert [path.name for path in tmp_path.iterdir()] == ["scores.parquet"]
