"""The root reader: TTree and RNTuple, flat and jagged branches, cuts, groups, and bad files."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from hepanom.contracts import Part
from hepanom.errors import BrokenFileError, InputError
from hepanom.events import Events, Jagged
from hepanom_plugins.readers import columnar
from hepanom_plugins.readers.groups import Group
from hepanom_plugins.readers.root import Root

NUMBER = 500


def columns(events: int = NUMBER, seed: int = 1) -> dict[str, Any]:
    """Return flat and jagged columns."""
    generator = np.random.default_rng(seed)
    counts = generator.integers(0, 5, events)
    jagged = [ak.unflatten(generator.exponential(30, counts.sum()).astype(np.float32), counts) for _ in "pe"]
    return {
        "run": np.arange(events, dtype=np.int32) // 100,
        "event": np.arange(events, dtype=np.int64),
        "met": generator.exponential(20, events),
        "good": generator.random(events) < 0.7,
        "w": generator.random(events).astype(np.float32),
        "jet_pt": jagged[0],
        "jet_e": jagged[1],
    }


def write(path: Path, made: dict[str, Any] | None = None, *, rntuple: bool = False) -> str:
    made = made or columns()
    with uproot.recreate(path) as file:
        if rntuple:
            file.mkrntuple("events", made)
        else:
            file.mktree("events", {name: getattr(a, "dtype", None) or ak.type(a).content for name, a in made.items()})
            file["events"].extend(made)
    return str(path)


def read(reader: Root) -> Events:
    return Events.concat([events for part in reader.parts() for events in reader.read(part)])


@pytest.mark.parametrize("rntuple", [False, True])
def test_flat_branches_become_a_table(tmp_path: Path, rntuple: bool) -> None:
    made = columns()
    reader = Root(
        path=write(tmp_path / "a.root", made, rntuple=rntuple),
        features=("met", "good", "event", "ht"),
        derive={"ht": "sum(jet_pt)"},
        weight="2 * w",
        keep=("run",),
        units={"met": "GeV"},
    )
    events = read(reader)
    ht = ak.to_numpy(ak.sum(made["jet_pt"], axis=1))
    expected = {**made, "ht": ht}
    names = reader.schema().inputs["features"].columns
    assert set(names) == {"met", "good", "event", "ht"}
    for name, column in zip(names, np.asarray(events.inputs["features"]).T, strict=True):
        np.testing.assert_array_equal(column, np.asarray(expected[name], np.float32), err_msg=name)
    np.testing.assert_allclose(events.weight, 2 * made["w"])
    assert reader.schema().inputs["features"].units[names.index("met")] == "GeV"
    assert events.beside["entry"].tolist() == list(range(NUMBER))
    assert events.beside["run"].tolist() == made["run"].tolist()


def test_without_a_choice_all_flat_numbers_are_features(tmp_path: Path) -> None:
    reader = Root(path=write(tmp_path / "a.root"), weight="w", id=("run", "event"))
    names = [name for name in reader.schema().inputs["features"].columns if not name.startswith("njet")]
    assert names == ["met", "good"]
    assert reader.schema().beside == ("entry", "run", "event")


@pytest.mark.parametrize(("rntuple", "jet"), [(False, "jet_"), (True, "jet_"), (True, "jet.")])
def test_jagged_branches_become_points_and_leading_objects(tmp_path: Path, rntuple: bool, jet: str) -> None:
    made = columns()
    records = {"met": made["met"], "jet": ak.zip({"pt": made["jet_pt"], "e": made["jet_e"]})}
    reader = Root(
        path=write(tmp_path / "a.root", records if jet == "jet." else made, rntuple=rntuple),
        features=(f"{jet}*",),
        derive={f"{jet}ht": f"sum({jet}pt)"},
        points={"jets": jet + "{pt,e}"},
        leading={jet + "{pt}": 2},
    )
    events, jets = read(reader), read(reader).inputs["jets"]
    assert isinstance(jets, Jagged)
    assert reader.schema().inputs["jets"].columns == ("pt", "e")
    for row, (pts, energies) in enumerate(zip(made["jet_pt"].to_list(), made["jet_e"].to_list(), strict=True)):
        here = jets.values[jets.offsets[row] : jets.offsets[row + 1]]
        np.testing.assert_array_equal(here, np.column_stack([pts, energies]).astype(np.float32).reshape(-1, 2))
        expected = [np.sum(pts), *[*pts, np.nan, np.nan][:2]]
        np.testing.assert_allclose(np.asarray(events.inputs["features"])[row], np.float32(expected), rtol=1e-6)
    beyond = int(np.maximum(ak.num(made["jet_pt"]) - 2, 0).to_numpy().sum())
    assert events.tally == {f"objects of {jet}{{pt}} beyond the leading 2": beyond}


def test_a_cut_removes_and_counts_and_keeps_the_entries(tmp_path: Path) -> None:
    made = columns()
    reader = Root(path=write(tmp_path / "a.root", made), features=("met",), cut="met > 20 & any(jet_pt > 30)")
    kept = (made["met"] > 20) & ak.to_numpy(ak.any(made["jet_pt"] > 30, axis=1))
    events = read(reader)
    assert events.beside["entry"].tolist() == np.flatnonzero(kept).tolist()
    assert events.tally == {"entries removed by the cut": NUMBER - kept.sum()}


def test_groups_are_classes_with_weights_of_their_own(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.root", columns(seed=seed)) for seed, name in enumerate("abc")]
    groups = {"qcd": (paths[0], paths[1]), "signal": Group(paths[2], "0.5 * w")}
    reader = Root(files=groups, features=("met",), weight="3")
    events = read(reader)
    assert reader.schema().classes == ("qcd", "signal")
    assert events.label.tolist() == [0] * 2 * NUMBER + [1] * NUMBER
    np.testing.assert_allclose(events.weight[: 2 * NUMBER], 3.0)
    np.testing.assert_allclose(events.weight[2 * NUMBER :], 0.5 * columns(seed=2)["w"])
    fixed = read(Root(files={"signal": Group(paths[2], 0.25)}, features=("met",)))
    assert set(fixed.weight) == {0.25}


def test_other_files_have_the_classes_and_weights_of_those_that_they_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write(tmp_path / f"{name}.root", columns(seed=seed)) for seed, name in enumerate("abc")]
    groups = {"qcd": Group((paths[0], paths[1]), "w"), "signal": Group(paths[2], "0.5 * w")}
    monkeypatch.chdir(tmp_path)
    both = Root(files=groups).on(["c.root", "b.root"])
    assert both.schema().classes == ("qcd", "signal")
    events = read(both)
    assert events.label.tolist() == [1] * NUMBER + [0] * NUMBER
    np.testing.assert_allclose(events.weight, np.concatenate([0.5 * columns(seed=2)["w"], columns(seed=1)["w"]]))
    assert "weighs 1" not in caplog.text

    new = write(tmp_path / "new.root", columns(seed=3))
    strange = Root(files=groups).on([new, paths[0]])
    events = read(strange)
    assert strange.schema().classes == ("qcd", "signal")
    assert events.label.tolist() == [-1] * NUMBER + [0] * NUMBER
    assert set(events.weight[:NUMBER]) == {1.0}
    assert f"{new}: every event weighs 1: `files` gives each class a weight of its own" in caplog.text
    plain = {"qcd": paths[0], "signal": paths[2]}
    assert read(Root(files=plain).on([new, paths[2]])).label.tolist() == [-1] * NUMBER + [1] * NUMBER

    alike = {"qcd": Group(paths[0], "2 * w"), "signal": Group(paths[2], "2 * w")}
    np.testing.assert_allclose(read(Root(files=alike).on([new])).weight, 2 * columns(seed=3)["w"])
    kept = Root(files={"qcd": Group(paths[0], "w")}, keep=("w",)).on([new])
    np.testing.assert_allclose(read(kept).weight, columns(seed=3)["w"])
    Path(paths[0]).unlink()
    assert set(read(Root(files=groups).on([paths[1]])).label) == {0}  # one of the files of qcd is not there any more


def test_what_weighs_an_event_is_no_feature_and_is_asked_of_its_own_files_alone(tmp_path: Path) -> None:
    data = write(tmp_path / "data.root", {name: values for name, values in columns().items() if name != "w"})
    paths = [write(tmp_path / "a.root"), write(tmp_path / "b.root")]
    reader = Root(files={"data": data, "ttbar": Group(paths[0], "w"), "signal": Group(paths[1], "2 * w")})
    assert reader.schema().inputs["features"].columns == ("run", "event", "met", "good", "njet_pt", "njet_e")
    assert set(read(reader).weight[:NUMBER]) == {1.0}
    wrong = Root(files={"data": data, "signal": Group(paths[1], "2 * v")})
    with pytest.raises(InputError, match=r"b\.root: files\.signal\.weight: '2 \* v': there is no branch 'v'"):
        wrong.schema()


@pytest.mark.parametrize("rntuple", [False, True])
@pytest.mark.parametrize(
    ("size", "longest"), [(2500, 100), (9000, 400)]
)  # bytes, entries: less and more than a cluster
def test_parts_and_chunks_keep_to_clusters_and_do_not_change_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rntuple: bool, size: int, longest: int
) -> None:
    made, path = columns(), tmp_path / "a.root"
    kinds = {name: getattr(a, "dtype", None) or ak.type(a).content for name, a in made.items()}
    with uproot.recreate(path) as file:
        tree = (file.mkrntuple if rntuple else file.mktree)("events", kinds)
        for start in range(0, NUMBER, 100):
            tree.extend({name: values[start : start + 100] for name, values in made.items()})
    reader = Root(path=str(path), features=("met", "w", "jet_pt[0]"), leading={"jet_pt": 1})
    whole = read(reader)
    np.testing.assert_array_equal(np.asarray(whole.inputs["features"])[:, 0], made["met"].astype(np.float32))
    monkeypatch.setattr(columnar, "PART_BYTES", size)
    monkeypatch.setattr(columnar, "CHUNK_BYTES", size // 2)
    parts = reader.parts()
    assert {0, NUMBER}.issubset(edge for part in parts for edge in (part.start, part.stop))
    assert all(one.stop == two.start for one, two in pairwise(parts))
    assert 1 < len(parts) < 20
    assert all(part.start % 100 == 0 or longest == 100 for part in parts)
    chunks = [list(reader.read(part)) for part in reversed(parts)][::-1]
    assert max(len(chunk) for found in chunks for chunk in found) < longest
    again = Events.concat([chunk for found in chunks for chunk in found])
    np.testing.assert_array_equal(again.inputs["features"], whole.inputs["features"])
    np.testing.assert_array_equal(again.event_id, whole.event_id)


def test_real_files_in_four_compressions_read_the_same(data: Path) -> None:
    files = sorted((data / "root").glob("uproot-HZZ-*.root"))
    assert len(files) == 4
    found = [read(Root(path=str(file), features=("MET_p*", "Jet_*"), leading={"Jet_{Px,E}": 2})) for file in files]
    for events in found[1:]:
        np.testing.assert_array_equal(events.inputs["features"], found[0].inputs["features"])
    assert len(found[0]) == 2421


def test_measured_events_of_other_makers_are_read(data: Path) -> None:
    zmumu = read(Root(path=str(data / "root" / "uproot-Zmumu.root"), id=("Run", "Event"), keep=("Type",)))
    assert len(zmumu) == 2304
    assert set(zmumu.beside["Type"]) == {"GT", "TT", "GG"}
    nano = Root(
        path=str(data / "root" / "nanoAOD_2015_CMS_Open_Data_ttbar.root"),
        features=("nJet", "MET_pt", "Jet_*"),
        leading={"Jet_{pt,eta}": 2},
    )
    assert nano.schema().inputs["features"].columns[-1] == "Jet_eta[1]"
    (file,) = (data / "root").glob("Run2012*rntuple*.root")
    muons = read(Root(path=str(file), features=("nMuon",), points={"muons": "Muon_{pt,eta,phi,mass}"}))
    counts = np.diff(muons.inputs["muons"].offsets)  # type: ignore[union-attr]
    np.testing.assert_array_equal(counts, np.asarray(muons.inputs["features"])[:, 0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": ("mett",)}, r"a\.root: features: column 'mett' is not there; did you mean 'met'"),
        ({"features": ("jet_pt",)}, r"branch 'jet_pt' holds numbers, no feature; numbers go through `points`"),
        ({"cut": "mett > 1"}, r"cut: 'mett > 1': there is no branch 'mett'; did you mean 'met'"),
        ({"cut": "jet_pt > 1"}, r"'jet_pt > 1' has several values per event; choose one by"),
        ({"points": {"jets": "jet_{pt,eta}"}}, r"branch 'jet_eta' is not there; a list of numbers is needed"),
        ({"points": {"jets": "met"}}, r"branch 'met' holds one number per event"),
        ({"tree": "trees"}, r"there is no tree 'trees'; trees are: events"),
        ({"tree": "events;7"}, r"there is no tree 'events;7'; trees are: events"),
        ({"weight": "log(-met)"}, r"a\.root: entry 0: column 'log\(-met\)': nan is no weight"),
        ({"label": "run", "classes": {"a": (0, 1)}}, r"a\.root: entry 200: column 'run': 2 is in none of the classes"),
    ],
)
def test_a_wrong_option_is_one_message_that_names_the_file(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    reader = Root(path=write(tmp_path / "a.root"), **options)
    with pytest.raises(InputError, match=message):
        read(reader)


def test_files_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.root")
    write(tmp_path / "b.root", {**columns(), "met": columns()["jet_pt"]})
    with pytest.raises(InputError, match=r"b\.root: branch 'met' is numbers, in .*a\.root it is number"):
        Root(path=str(tmp_path), features=("met",)).schema()
    with pytest.raises(InputError, match="set one of `path` and `files`"):
        Root().schema()
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub" / "a.root")
    with pytest.raises(InputError, match="would give the same event ids; rename one or set `id`"):
        Root(path=(str(tmp_path / "a.root"), str(tmp_path / "sub" / "a.root"))).schema()


def test_points_of_unequal_number_name_the_entry(tmp_path: Path) -> None:
    made = columns()
    made["jet_e"] = ak.unflatten(np.ones(NUMBER, np.float32), np.ones(NUMBER, np.int64))
    reader = Root(path=write(tmp_path / "a.root", made), features=(), points={"jets": "jet_{pt,e}"})
    with pytest.raises(InputError, match=r"a\.root: entry \d+: jet_e has 1 objects, jet_pt \d"):
        read(reader)


def test_a_truncated_file_is_broken_and_can_be_skipped(tmp_path: Path) -> None:
    sound = write(tmp_path / "a.root")
    whole = Path(sound).read_bytes()
    for share in (2, 30):  # cut in the data, cut in the headers
        (tmp_path / "b.root").write_bytes(whole[: len(whole) // share])
        with pytest.raises(BrokenFileError, match=r"b\.root: is truncated, corrupt or no ROOT file"):
            read(Root(path=str(tmp_path), features=("met",)))
    skipping = Root(path=str(tmp_path), features=("met",), on_bad_file="skip")
    assert skipping.schema().inputs["features"].columns == ("met",)
    problems = [part.problem for part in skipping.parts() if part.problem]
    assert len(problems) == 1
    assert "b.root" in problems[0]


def test_a_file_that_lost_entries_since_its_parts_were_listed_is_an_error(tmp_path: Path) -> None:
    reader = Root(path=write(tmp_path / "a.root"), features=("met",))
    with pytest.raises(InputError, match=r"has 500 entries now, 600 when its parts were listed"):
        list(reader.read(Part(str(tmp_path / "a.root"), 0, 600)))


def test_an_address_without_its_library_names_the_extra() -> None:
    with pytest.raises(InputError, match=r'needs another library: pip install "hepanom\[xrootd\]"'):
        Root(path="root://nowhere.invalid//file.root").schema()
