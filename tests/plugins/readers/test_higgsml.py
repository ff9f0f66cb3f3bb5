from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from hepanom.errors import InputError
from hepanom.events import Events
from hepanom_plugins.readers.higgsml import UNITS, HiggsML

Write = Callable[[str, str | bytes], str]
Read = Callable[[HiggsML], Events]

FEATURES = tuple(UNITS)
COLUMNS = ("EventId", *FEATURES, "Weight", "Label", "KaggleSet", "KaggleWeight")
TRAINING = ("EventId", *FEATURES, "Weight", "Label")
TEST = ("EventId", *FEATURES)


def table(columns: tuple[str, ...], events: int = 5) -> str:
    """Return events in which feature i of event n is n + i / 8, but for a missing first feature of odd events."""
    rows = []
    for n in range(events):
        row = {name: str(n + i / 8) for i, name in enumerate(FEATURES)} | {"EventId": str(100000 + n)}
        row |= {"Weight": f"{n + 1}.5", "KaggleWeight": f"{n + 1}.25", "Label": "sb"[n % 2], "KaggleSet": "tbvu"[n % 4]}
        row |= {"DER_mass_MMC": "-999.0"} if n % 2 else {}
        rows.append(",".join(row[name] for name in columns))
    return "\n".join([",".join(columns), *rows, ""])


def expected_features(events: int = 5) -> np.ndarray:
    features = np.arange(events)[:, None] + np.arange(30) / 8
    features[1::2, 0] = np.nan
    return features


def test_the_open_data_file_becomes_events(write: Write, read: Read) -> None:
    reader = HiggsML(write("atlas-higgs.csv", table(COLUMNS)))
    events, schema = read(reader), reader.schema()
    assert schema.inputs["features"].columns == FEATURES
    assert (schema.classes, schema.beside) == (("b", "s"), ("EventId", "KaggleSet"))
    np.testing.assert_array_equal(events.inputs["features"], expected_features())
    assert events.label.tolist() == [1, 0, 1, 0, 1]
    assert events.weight.tolist() == [1.25, 2.25, 3.25, 4.25, 5.25]
    assert events.beside["EventId"].tolist() == [100000, 100001, 100002, 100003, 100004]
    assert events.beside["KaggleSet"].tolist() == ["t", "b", "v", "u", "t"]


@pytest.mark.parametrize(
    ("columns", "weight", "expected"),
    [
        (COLUMNS, None, [1.25, 2.25, 3.25]),
        (COLUMNS, "KaggleWeight", [1.25, 2.25, 3.25]),
        (COLUMNS, "Weight", [1.5, 2.5, 3.5]),
        (TRAINING, None, [1.5, 2.5, 3.5]),
        (TEST, None, [1, 1, 1]),
    ],
)
def test_the_weight_column_is_the_chosen_one_or_the_best_there_is(
    columns: tuple[str, ...], weight: str | None, expected: list[float], write: Write, read: Read
) -> None:
    assert read(HiggsML(write("a.csv", table(columns, 3)), weight=weight)).weight.tolist() == expected


def test_kaggles_files_are_read_as_they_are(write: Write, read: Read) -> None:
    training = read(HiggsML(write("training.csv", table(TRAINING))))
    test = read(HiggsML(write("test.csv", table(TEST))))
    assert (training.label.tolist(), test.label.tolist()) == ([1, 0, 1, 0, 1], [-1] * 5)
    for events in (training, test):
        assert tuple(events.beside) == ("EventId",)
        np.testing.assert_array_equal(events.inputs["features"], expected_features())
    np.testing.assert_array_equal(training.event_id, test.event_id)


def test_a_detector_scores_files_without_weight_and_label(write: Write, read: Read) -> None:
    reader = HiggsML(write("a.csv", table(COLUMNS)), weight="KaggleWeight")
    events = read(reader.on([write("test.csv", table(TEST))]))
    assert (set(events.weight.tolist()), set(events.label.tolist())) == ({1.0}, {-1})
    np.testing.assert_array_equal(events.event_id, read(reader).event_id)
    moved = HiggsML("no longer there.csv", weight="KaggleWeight")
    assert read(moved.on([write("b.csv", table(COLUMNS))])).weight.tolist() == [1.25, 2.25, 3.25, 4.25, 5.25]


def test_units_are_stated_for_every_feature(write: Write) -> None:
    _, features = HiggsML(write("a.csv", table(COLUMNS))).schema().table()
    units = dict(zip(features.columns, features.units, strict=True))
    assert {name for name, unit in units.items() if unit == "rad"} == {n for n in FEATURES if n.endswith("_phi")}
    assert {units[n] for n in FEATURES if "mass" in n or n.endswith(("_pt", "_met", "_sumet"))} == {"GeV"}
    assert {units[n] for n in FEATURES if n.endswith(("_eta", "_centrality", "_num"))} == {""}


def test_what_is_missing_or_unknown_is_named(write: Write) -> None:
    with pytest.raises(InputError, match=r"weight: column 'KaggleWeight' is not there; did you mean 'Weight'"):
        HiggsML(write("training.csv", table(TRAINING)), weight="KaggleWeight").schema()
    with pytest.raises(InputError, match=r"a\.csv:1: features: column 'PRI_jet_num' is not there"):
        HiggsML(write("a.csv", table(COLUMNS).replace("PRI_jet_num", "jets"))).schema()
    reader = HiggsML(write("b.csv", table(COLUMNS).replace(",b,", ",x,")))
    with pytest.raises(InputError, match=r"b\.csv:3: column 'Label': 'x' is in none of the classes"):
        list(reader.read(*reader.parts()))


def test_only_the_two_weight_columns_can_be_chosen() -> None:
    adapter: TypeAdapter[HiggsML] = TypeAdapter(HiggsML)
    assert adapter.validate_json(json.dumps({"path": "a.csv", "weight": "Weight"}), strict=True).weight == "Weight"
    with pytest.raises(ValidationError):
        adapter.validate_json(json.dumps({"path": "a.csv", "weight": "weight"}), strict=True)


def test_the_measured_file_is_read_as_it_is_written(data: Path, read: Read) -> None:
    path = data / "higgsml" / "atlas-higgs-challenge-2014-v2-first16000.csv.gz"
    events = read(HiggsML(str(path)))
    with gzip.open(path, "rt") as file:
        header, *rows = csv.reader(file)
    column = dict(zip(header, zip(*rows, strict=True), strict=True))
    expected = np.array([column[name] for name in FEATURES], np.float32).T
    expected[expected == -999] = np.nan
    np.testing.assert_array_equal(events.inputs["features"], expected)
    np.testing.assert_array_equal(events.weight, np.array(column["KaggleWeight"], float))
    np.testing.assert_array_equal(events.label, np.array(column["Label"]) == "s")
    np.testing.assert_array_equal(events.beside["EventId"], np.array(column["EventId"], int))
    assert set(events.beside["KaggleSet"].tolist()) == {"t"}
    assert len(set(events.event_id.tolist())) == 16000
    jets = events.inputs["features"][:, FEATURES.index("PRI_jet_num")]
    leading = events.inputs["features"][:, FEATURES.index("PRI_jet_leading_pt")]
    np.testing.assert_array_equal(np.isnan(leading), jets == 0)
