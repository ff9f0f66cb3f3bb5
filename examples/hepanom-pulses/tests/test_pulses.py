"""The reader keeps its contract, reads what was written, and says what is wrong with a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hepanom.errors import BrokenFileError, InputError
from hepanom.events import Events, hash64
from hepanom.testing import Case, conformance

from hepanom_pulses.layout import HEADER, Header
from hepanom_pulses.reader import Pulses
from hepanom_pulses.shapes import SHAPES
from hepanom_pulses.simulate import run, write

SETTINGS = Header(channels=2, samples=64, run=1, period=4.0, scale=0.25, events=70)


def samples(folder: Path) -> str:
    """Write two small runs into a folder."""
    for number in (1, 2):
        header = replace(SETTINGS, run=number)
        write(folder / f"run{number}.puls", header, run(header, pile_up=0.3))
    return str(folder / "*.puls")


test_contract = conformance(
    Case("reader", "pulses", {"path": samples, "label": "pile_up", "stride": 30, "chunk": 20}),
    Case("reader", "pulses", {"path": samples, "view": "waveforms", "drop": ["pile_up"]}),
)


def read(reader: Pulses) -> Events:
    """Return all events."""
    return Events.concat([events for part in reader.parts() for events in reader.read(part)])


def test_events_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Waveforms in mV, time in ns, and an id that run and number make."""
    path = samples(tmp_path)
    events = read(Pulses(path, view="waveforms", stride=30))
    records = np.concatenate([run(replace(SETTINGS, run=number), pile_up=0.3) for number in (1, 2)])
    np.testing.assert_array_equal(events.inputs["waveforms"], records["counts"][:, None] * np.float32(0.25))
    np.testing.assert_array_equal(events.beside["time"], records["time"] * 4.0)
    np.testing.assert_array_equal(events.event_id, hash64([np.repeat([1, 2], 70), records["number"].astype(int)]))


def test_shapes_are_those_of_a_pulse_worked_out_by_hand(tmp_path: Path) -> None:
    """A step to 40 counts at sample 32, half of it from sample 48 on."""
    header = replace(SETTINGS, channels=1, events=1)
    records = np.zeros(1, header.record)
    records["counts"][0, 0] = [10] * 32 + [50] * 16 + [30] * 16
    write(tmp_path / "a.puls", header, records)
    found = dict(zip(SHAPES, np.asarray(read(Pulses(str(tmp_path / "a.puls"))).inputs["features"])[0], strict=True))
    charge = (40 * 16 + 20 * 16) * 0.25 * 4
    expected = {"baseline": 2.5, "amplitude": 10.0, "charge": charge, "peak_time": 32 * 4.0, "rise_time": 0.0}
    assert found == pytest.approx({**expected, "tail": 1 - 40 * 0.25 * 4 / charge})


def test_flags_label_events_and_leave_them_out(tmp_path: Path) -> None:
    """What is left out is counted."""
    path = samples(tmp_path)
    events = read(Pulses(path, label="pile_up"))
    np.testing.assert_array_equal(events.label, events.beside["flags"] & 1)
    left = read(Pulses(path, drop=("pile_up",)))
    assert dict(left.tally) == {"events flagged pile_up left out": int(events.label.sum())}
    assert len(left) + events.label.sum() == len(events)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda raw: raw[:-7],
            r"run2\.puls: truncated after 69 of its 70 events: 19,\d+ bytes, its header says 19,\d+",
        ),
        (lambda raw: raw[: HEADER.itemsize - 1], r"run2\.puls: ends inside its header of 32 bytes"),
        (lambda raw: raw + b"x", r"run2\.puls: too long"),
        (lambda raw: b"root" + raw[4:], r"run2\.puls: begins with b'root', files of pulses with b'PULS'"),
        (lambda raw: b"", r"run2\.puls: begins with b'', files of pulses"),
    ],
)
def test_a_broken_file_is_told_or_left_out(damage: object, message: str, tmp_path: Path) -> None:
    """By default nothing is read; with skip the part says why it is none."""
    path, file = samples(tmp_path), tmp_path / "run2.puls"
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]
    for asked in (Pulses(path).schema, Pulses(path).parts):
        with pytest.raises(BrokenFileError, match=message):
            asked()
    skipping = Pulses(path, on_bad_file="skip")
    assert skipping.schema().table()[1].width == 12
    whole, broken = skipping.parts()
    assert (whole.stop, broken.file) == (70, str(file))
    assert broken.problem


def test_files_of_other_settings_are_refused(tmp_path: Path) -> None:
    """Their features would not compare."""
    path, header = samples(tmp_path), replace(SETTINGS, run=3, period=2.0)
    write(tmp_path / "run3.puls", header, run(header))
    with pytest.raises(InputError, match=r"of 4 ns and 0\.25 mV and 2 x 64 samples of 2 ns"):
        Pulses(path).schema()


def test_a_layout_of_the_future_is_refused(tmp_path: Path) -> None:
    """It is not guessed at, and skip does not hide it."""
    path, file = samples(tmp_path), tmp_path / "run1.puls"
    file.write_bytes(file.read_bytes().replace(b"PULS\x01", b"PULS\x02", 1))
    with pytest.raises(InputError, match="version 2, this reader knows version 1"):
        Pulses(path, on_bad_file="skip").schema()


def test_files_are_recognized_by_their_head(tmp_path: Path) -> None:
    """Whatever their name is, and a file that is not there is none."""
    samples(tmp_path)
    (tmp_path / "run1.puls").rename(tmp_path / "a.bin")
    assert Pulses.reads(str(tmp_path / "a.bin"))
    assert not Pulses.reads(str(tmp_path / "nowhere.puls"))
