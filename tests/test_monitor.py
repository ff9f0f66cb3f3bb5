"""Monitoring: faults raise the alarm, good events do not, at the rate that was asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest
from click.testing import CliRunner
from jaxtyping import Float, Int

from hepanom import document, page, plugins, shares, storage
from hepanom.cli import hepanom
from hepanom.detector import Detector
from hepanom.errors import InputError
from hepanom.fit import fit
from hepanom.monitor import monitor, reference_from, with_reference
from hepanom.monitored import Asked, Group, Taken, compared, flagged_share, judged
from hepanom.reference_sample import Met, Reference, filled, matrix, measure
from hepanom.thresholds import Threshold, threshold
from hepanom_plugins.readers.occupancy_simulation import OccupancySimulation
from tests.backgrounds import SCHEMA, drawn

SHAPE = (6, 8)
RECIPE = """
name: occupancy
data:
  use: occupancy
  path: PATH
  histogram: occupancy
  id: [run, ls]
  label: label
  classes: {good: [0], bad: [1]}
  normalize: root
background: [good]
split: {train: 0.4, valid: 0.1, calibrate: 0.4, test: 0.1}
model: {use: pca, latent: 6}
train: {device: cpu}
scores: [{use: reconstruction}]
thresholds: [{rule: background_efficiency, value: 0.05}, {rule: median}]
"""
Maps = Float[np.ndarray, "event row column"]
Numbers = Int[np.ndarray, " event"]


def simulated(seed: int, events: int) -> tuple[Maps, Numbers, Numbers]:
    """Return good maps of counts with run and lumisection."""
    reader = OccupancySimulation(
        seed=seed,
        events=events,
        shape=SHAPE,
        module=(3, 4),
        fill=200,
        normalize="none",
        dead_share=0.0,
        hot_share=0.0,
        shifted_share=0.0,
    )
    chunks = [chunk for part in reader.parts() for chunk in reader.read(part)]
    maps = np.concatenate([np.asarray(chunk.inputs["image"])[:, 0] for chunk in chunks])
    run, section = (np.concatenate([chunk.beside[name] for chunk in chunks]) for name in ("run", "lumisection"))
    return maps.astype(np.float64), run, section


def write(path: Path, maps: Maps, run: Numbers, section: Numbers, *, labelled: bool = False) -> str:
    with h5py.File(path, "w") as file:
        file["occupancy"] = maps.astype(np.float32)
        file["run"], file["ls"] = run, section
        if labelled:
            file["label"] = np.zeros(len(run), np.int64)
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a detector that has learnt good maps, and files: good ones, and ones with a dead and a hot channel."""
    folder = tmp_path_factory.mktemp("monitor")
    data = write(folder / "train.h5", *simulated(1, 4000), labelled=True)
    parts = plugins.build(document.parse(RECIPE.replace("PATH", data), "r.yaml", ()))
    events = shares.read(parts, 10**9)
    detector, _ = fit(events, {"created": "in a test"})
    storage.save(with_reference(detector, events), folder / "detector")
    storage.save(detector, folder / "old")
    maps, run, section = simulated(2, 1200)
    write(folder / "good.h5", maps, run, section)
    write(folder / "short.h5", maps[170:230], run[170:230], section[170:230])
    maps[run == 2, 1, 5] = 0
    hot = run == 5
    maps[hot, 4, 2] = np.random.default_rng(1).poisson(3 * maps[hot, 4, 2])
    write(folder / "faulty.h5", maps, run, section)
    return folder


@pytest.fixture(scope="module")
def detector(folder: Path) -> Detector:
    return storage.load(folder / "detector")


def test_a_dead_and_a_hot_channel_raise_the_alarm_and_are_named(detector: Detector, folder: Path) -> None:
    found = monitor(detector, [str(folder / "faulty.h5")], Asked())
    assert [group.name for group in found.groups] == [f"run {number}" for number in range(1, 7)]
    assert {(alarm.group, alarm.kind) for alarm in found.alarms} == {
        (run, kind) for run in ("run 2", "run 5") for kind in ("flagged", "scores")
    }
    assert found.asked.flagged == ("reconstruction/background_efficiency_0.05",)
    for run, channel in ((1, "occupancy[1,5]"), (4, "occupancy[4,2]")):
        far = max(found.groups[run].moved, key=lambda each: (each.axis.kind == "column") * each.difference.distance)
        assert far.axis.name == channel
        assert far.difference.distance > 0.9


def test_good_runs_raise_no_alarm(detector: Detector, folder: Path) -> None:
    found = monitor(detector, [str(folder / "good.h5")], Asked())
    assert found.alarms == ()
    assert [group.events for group in found.groups] == [200] * 6
    for group in found.groups:
        (flag,) = group.flagged
        assert flag.share == pytest.approx(flag.flagged / flag.events)
        low, middle, high, top = group.quantiles["reconstruction", "all"]
        assert low < middle < high < top


@pytest.mark.parametrize(
    ("per", "groups", "first"),
    [
        (("ls",), 60, "run 1, ls 171"),
        (("file",), 1, "short.h5"),
        (("run", "file"), 2, "short.h5"),
        ((), 2, "run 1"),
    ],
)
def test_events_are_grouped_by_columns_and_files(
    detector: Detector, folder: Path, per: tuple[str, ...], groups: int, first: str
) -> None:
    found = monitor(detector, [str(folder / "short.h5")], Asked(per=per))
    assert len(found.groups) == groups
    assert found.groups[0].name.endswith(first)
    assert sum(group.events for group in found.groups) == 60


def test_what_is_found_does_not_depend_on_the_size_of_chunks(
    detector: Detector, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [str(folder / "faulty.h5")]
    whole = monitor(detector, files, Asked(flagged=("median",)))
    monkeypatch.setattr("hepanom.monitor.NUMBERS", 1000)
    pieces = monitor(detector, files, Asked(flagged=("median",)))
    for a, b in zip(whole.groups, pieces.groups, strict=True):
        assert (a.name, a.events, a.flagged[0].flagged) == (b.name, b.events, b.flagged[0].flagged)
        assert [each.difference for each in a.moved] == [each.difference for each in b.moved]


def test_a_reference_is_kept_and_read_again_bit_for_bit(detector: Detector, folder: Path) -> None:
    assert detector.reference is not None
    about = detector.reference.about
    assert (about["share"], about["created"]) == ("calibrate", "in a test")
    assert about["events"] == about["sampled"] == pytest.approx(1600, abs=100)
    file = folder / "detector" / "reference.safetensors"
    assert file.stat().st_mode & 0o777 == (folder / "detector" / "recipe.yaml").stat().st_mode & 0o777
    storage.save(detector, folder / "again")
    again = storage.load(folder / "again").reference
    assert again is not None
    assert again.to_json() == detector.reference.to_json()
    for name, values in detector.reference.to_arrays().items():
        assert np.array_equal(again.to_arrays()[name], values)


def test_an_older_detector_says_how_to_make_a_reference_and_keeps_it(folder: Path) -> None:
    old = storage.load(folder / "old")
    assert old.reference is None
    with pytest.raises(InputError, match=r"--reference FILE makes one of good events, and with --keep it stays"):
        monitor(old, [str(folder / "good.h5")], Asked())
    found = replace(old, reference=reference_from(old, [str(folder / "good.h5")]))
    assert {alarm.group for alarm in monitor(found, [str(folder / "faulty.h5")], Asked()).alarms} == {"run 2", "run 5"}


def told(*arguments: str, code: int) -> str:
    found = CliRunner().invoke(hepanom, ["monitor", *arguments])
    assert found.exit_code == code, found.output
    return found.output


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_exit_code_is_for_a_cron_job(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "png", lambda _: b"blank")
    place, good, faulty = (str(folder / name) for name in ("detector", "good.h5", "faulty.h5"))
    fine = json.loads(told(place, good, "--json", code=0))
    assert (fine["status"], fine["alarms"]) == ("fine", [])
    html = folder / "page.html"
    alarm = json.loads(told(place, faulty, "--json", "--html", str(html), code=3))
    assert alarm["status"] == "alarm"
    assert {entry["group"] for entry in alarm["alarms"]} == {"run 2", "run 5"}
    assert alarm["groups"][1]["columns"][0]["column"] == "occupancy[1,5]"
    written = html.read_text(encoding="utf-8")
    assert "Alarm: 6 groups of events" in written
    assert "occupancy[1,5]" in written
    assert "map_run_2" in written
    text = told(place, faulty, "-q", code=3)
    assert text == ""
    assert "ALARM run 2" in told(place, faulty, code=3)
    assert "no alarm" in told(place, faulty, "--alarm", "columns", "--effect", "1", code=0)
    for arguments, message in (
        ((place, good, "--flagged", "medium"), "--flagged 'medium' is no flag of this detector; known are"),
        ((place, good, "--per", "fill"), "--per fill: column 'fill' is not carried"),
        ((str(folder / "old"), good), "has no reference"),
        ((place, str(folder / "none.h5")), "none.h5"),
    ):
        assert message in told(*arguments, code=2)


def beside(reference: Reference, cut: Threshold, met: Met, name: str) -> Group:
    values = matrix(met.events, SCHEMA)
    held = {}
    for axis in reference.axes:
        column = (
            met.decided["score"] if axis.kind == "score" else values[:, SCHEMA.inputs["table"].columns.index(axis.name)]
        )
        held[axis.key] = filled(axis, column, met.weight)
    flag = cut.flag(met.decided["score"])
    sums = [
        (int(rows.sum()), float(met.weight[rows].sum()), float((met.weight[rows] ** 2).sum()))
        for rows in (flag | True, flag)
    ]
    return compared(name, len(flag), held, reference, [flagged_share(cut, Taken(*sums[0], *sums[1]), 1500.0)])


@pytest.mark.parametrize("weighted", [False, True])
def test_events_like_the_reference_give_a_false_alarm_as_rarely_as_asked(*, weighted: bool) -> None:
    rng = np.random.default_rng(4)
    asked = Asked(level=0.1, effect=0.0, alarm=("flagged", "scores", "columns"))
    experiments, alarmed = 80, 0
    for _ in range(experiments):
        held_out = drawn(rng, 1500, weighted=weighted)
        reference = measure([held_out], SCHEMA, ("all",), {}, 0)
        scores = held_out.decided["score"]
        cut = threshold("background_efficiency", 0.02, scores, held_out.weight, scorer="score", category="all")
        groups = [beside(reference, cut, drawn(rng, 300, weighted=weighted), f"run {run}") for run in range(3)]
        alarmed += bool(judged(groups, asked)[1])
    assert alarmed / experiments < asked.level + 3 * np.sqrt(asked.level * (1 - asked.level) / experiments)
    assert alarmed > 0


def test_a_change_in_any_kind_of_column_is_an_alarm_where_columns_may_give_one() -> None:
    rng = np.random.default_rng(6)
    reference = measure([drawn(rng, 3000, weighted=False)], SCHEMA, ("all",), {}, 0)
    cut = threshold("median", None, rng.normal(size=50), np.ones(50), scorer="score", category="all")
    changes = {
        "a": lambda t: np.add(t, [[1.0, 0, 0]]),
        "jets": lambda t: t * [[1.0, 0.0, 1.0]],
        "b": lambda t: t * [[1, 1, np.nan]],
    }
    for name, change in changes.items():
        met = drawn(rng, 500, weighted=False)
        table = np.asarray(change(np.asarray(met.events.inputs["table"], np.float64)), np.float32)
        moved = replace(met, events=replace(met.events, inputs={"table": table}))
        _, alarms = judged([beside(reference, cut, moved, "run")], Asked(alarm=("columns",)))
        assert [alarm.what.split(":")[0] for alarm in alarms] == [name]
