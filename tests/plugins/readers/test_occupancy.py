"""Occupancy histograms in ROOT and HDF5 as images: orientation, normalization, numbers, and what is refused."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import uproot
from hist import Hist
from offered import assert_equal, build

from hepanom.contracts import Part
from hepanom.errors import BrokenFileError, InputError, RecipeError
from hepanom.events import Events
from hepanom_plugins.readers import counts_root, occupancy
from hepanom_plugins.readers.occupancy import Occupancy

X, Y = np.arange(7.0), np.arange(5.0)
NUMBER = "run_(?P<run>[0-9]+)/ls_(?P<ls>[0-9]+)"
PATTERN = "run_*/ls_*/occupancy"


def maps(events: int, *shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).poisson(20, (events, *shape)).astype(np.float32)


def write_root(path, **objects) -> str:
    """Write objects of a ROOT file; __ stands for / in their names."""
    with uproot.recreate(path) as file:
        for name, content in objects.items():
            file[name.replace("__", "/")] = content
    return str(path)


def th2(values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return an image as uproot writes it to a TH2: x first."""
    return values.T.astype(float), np.arange(values.shape[1] + 1.0), np.arange(values.shape[0] + 1.0)


def write_hdf5(path, **datasets) -> str:
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
    return str(path)


@pytest.fixture
def runs(tmp_path) -> tuple[str, np.ndarray]:
    """Return a file of twelve lumisections in two runs, and their counts (event, row, column)."""
    counts = maps(12, 4, 6)
    names = [f"run_{7 + event // 6}__ls_{event % 6 + 6}__occupancy" for event in range(12)]
    return write_root(tmp_path / "runs.root", **dict(zip(names, map(th2, counts), strict=True))), counts


def test_each_matching_histogram_is_an_event_with_y_as_rows(read, runs):
    file, counts = runs
    reader = Occupancy(path=file, histogram=PATTERN, number=NUMBER, id=("run", "ls"), normalize="none")
    events = read(reader)
    np.testing.assert_array_equal(events.inputs["image"][:, 0], counts)
    np.testing.assert_array_equal(events.beside["run"], np.repeat([7, 8], 6))
    np.testing.assert_array_equal(events.beside["ls"], np.tile(np.arange(6, 12), 2))
    np.testing.assert_array_equal(events.beside["entries"], counts.sum(axis=(1, 2)))
    assert reader.schema().beside == ("run", "ls", "entries")
    assert reader.schema().inputs["image"].shape == (4, 6)


def test_ids_of_run_and_lumisection_do_not_depend_on_the_file(read, runs, tmp_path):
    file, counts = runs
    other = write_root(tmp_path / "other.root", run_8__ls_7__occupancy=th2(counts[0]))
    options = {"histogram": PATTERN, "number": NUMBER, "id": ("run", "ls")}
    assert read(Occupancy(path=other, **options)).event_id == read(Occupancy(path=file, **options)).event_id[7]
    assert Occupancy(path=other, histogram=PATTERN).schema().beside == ("event", "entries")


def test_a_histogram_of_hist_loses_its_overflow_and_says_so(read, tmp_path):
    full = Hist.new.Reg(3, 0, 3).Reg(2, 0, 2).Double()
    full.fill([0.5, 0.5, 1.5, -1.0, 9.0, 2.5], [0.5, 0.5, 1.5, 0.5, 5.0, 7.0])
    file = write_root(tmp_path / "one.root", occupancy=full)
    events = read(Occupancy(path=file, histogram="occupancy", normalize="none"))
    np.testing.assert_array_equal(events.inputs["image"], [[[[2, 0, 0], [0, 1, 0]]]])
    assert events.tally == {counts_root.OUTSIDE: 3}
    assert events.beside["entries"] == [3]


def test_a_th1_is_an_image_of_one_row(read, tmp_path):
    counts = maps(2, 6)
    file = write_root(tmp_path / "one.root", a=(counts[0].astype(float), X), b=(counts[1].astype(float), X))
    np.testing.assert_array_equal(
        read(Occupancy(path=file, histogram="?", normalize="none")).inputs["image"][:, 0, 0], counts
    )


def test_channels_meet_where_the_stars_stand_for_the_same(read, tmp_path):
    inner, outer = maps(3, 4, 6, seed=1), maps(3, 4, 6, seed=2)
    objects = {f"ls_{ls}__inner": th2(inner[ls]) for ls in (0, 1, 2)}
    objects |= {f"ls_{ls}__outer": th2(outer[ls]) for ls in (2, 0, 1)}
    file = write_root(tmp_path / "layers.root", **objects)
    reader = Occupancy(path=file, histogram={"in": "ls_*/inner", "out": "ls_*/outer"})
    events = read(reader)
    assert reader.schema().inputs["image"].columns == ("in", "out")
    both = np.stack([inner, outer], axis=1)
    np.testing.assert_allclose(events.inputs["image"], both / both.mean(axis=(1, 2, 3), keepdims=True), rtol=1e-6)
    alone = read(Occupancy(path=file, histogram={"in": "ls_*/inner", "out": "ls_*/outer"}, features=("out",)))
    np.testing.assert_array_equal(alone.beside["entries"], outer.sum(axis=(1, 2)))


@pytest.mark.parametrize("shape", [(6,), (4, 6), (3, 4, 6)])
def test_hdf5_arrays_are_images(read, tmp_path, shape):
    counts = maps(10, *shape)
    file = write_hdf5(tmp_path / "maps.h5", counts=counts, run=np.arange(10), good=np.arange(10) % 2)
    classes = {"good": (1,), "bad": (0,)}
    reader = Occupancy(
        path=file, histogram="counts", normalize="none", keep=("run",), label="good", classes=classes, weight="entries"
    )
    events = read(reader)
    np.testing.assert_array_equal(events.inputs["image"].ravel(), counts.ravel())
    np.testing.assert_array_equal(events.beside["run"], np.arange(10))
    np.testing.assert_array_equal(events.label, 1 - np.arange(10) % 2)
    np.testing.assert_array_equal(events.weight, counts.reshape(10, -1).sum(axis=1))
    image = reader.schema().inputs["image"]
    assert events.inputs["image"].shape[1:] == (len(image.columns), *image.shape)


def test_hdf5_datasets_are_channels_and_the_files_name_has_the_run(read, tmp_path):
    inner, outer = maps(5, 4, 6, seed=1), maps(5, 4, 6, seed=2)
    file = write_hdf5(tmp_path / "run00012.h5", **{"layers/inner": inner, "layers/outer": outer})
    reader = Occupancy(
        path=file, histogram={"in": "layers/inner", "out": "layers/outer"}, number=r"run(?P<run>\d+)", normalize="none"
    )
    events = read(reader)
    np.testing.assert_array_equal(events.inputs["image"], np.stack([inner, outer], axis=1))
    np.testing.assert_array_equal(events.beside["run"], np.full(5, 12))


def test_root_and_hdf5_give_the_same_images(read, runs, tmp_path):
    file, counts = runs
    stored = write_hdf5(tmp_path / "maps.h5", counts=counts)
    one, two = read(Occupancy(path=file, histogram=PATTERN)), read(Occupancy(path=stored, histogram="counts"))
    np.testing.assert_array_equal(one.inputs["image"], two.inputs["image"])


def test_events_do_not_depend_on_parts_and_chunks(read, runs, tmp_path, monkeypatch):
    stored = write_hdf5(tmp_path / "maps.h5", counts=runs[1])
    for reader in (Occupancy(path=runs[0], histogram=PATTERN), Occupancy(path=stored, histogram="counts")):
        whole = read(reader)
        with monkeypatch.context() as patch:
            for module in ("counts_root", "counts_hdf5"):
                patch.setattr(f"hepanom_plugins.readers.{module}.CHUNK_BYTES", 200)
            patch.setattr(occupancy, "PART_BYTES", 400)
            assert len(reader.parts()) == 3
            assert_equal(read(reader), whole)
        middle = Events.concat(list(reader.read(Part(reader.path, 3, 8))))
        assert_equal(middle, whole.mask((np.arange(12) >= 3) & (np.arange(12) < 8)))


def test_masked_channels_do_not_count(read, tmp_path):
    counts = maps(2, 4, 6)
    masked = np.zeros((4, 6), bool)
    masked[1, 2:4] = True
    counts[:, masked] = -1
    file = write_hdf5(tmp_path / "maps.h5", counts=counts)
    images = read(Occupancy(path=file, histogram="counts", missing=(-1.0,))).inputs["image"][:, 0]
    assert np.isnan(images[:, masked]).all()
    np.testing.assert_allclose(images[:, ~masked].mean(axis=1), 1.0, rtol=1e-6)


def test_events_with_few_entries_are_left_out_and_counted(read, tmp_path):
    counts = maps(5, 4, 6)
    counts[[1, 3]] = 0
    counts[3, 0, 0] = 9
    file = write_hdf5(tmp_path / "maps.h5", counts=counts)
    empty = read(Occupancy(path=file, histogram="counts"))
    assert (len(empty), empty.tally) == (4, {"histograms with fewer than 1 entries left out": 1})
    few = read(Occupancy(path=file, histogram="counts", min_entries=10.0))
    np.testing.assert_array_equal(few.beside["event"], [0, 2, 4])
    assert few.tally == {"histograms with fewer than 10 entries left out": 2}
    assert len(read(Occupancy(path=file, histogram="counts", min_entries=1e6))) == 0
    assert len(read(Occupancy(path=file, histogram="counts", min_entries=0.0))) == 5


def test_a_group_of_the_name_is_the_label_and_may_be_absent_elsewhere(read, tmp_path):
    one = th2(maps(1, 4, 6)[0])
    file = write_root(tmp_path / "a.root", ls_1_good=one, ls_2_bad=one)
    reader = Occupancy(
        path=file,
        histogram="ls_*",
        number="ls_(?P<ls>[0-9]+)(_(?P<kind>[a-z]+))?",
        label="kind",
        classes={"good": ("good",), "bad": ("bad",)},
    )
    events = read(reader)
    np.testing.assert_array_equal(events.label, [0, 1])
    np.testing.assert_array_equal(events.beside["ls"], [1, 2])
    unlabelled = reader.on([write_root(tmp_path / "b.root", ls_3=one)])
    assert read(unlabelled).label.tolist() == [-1]
    assert unlabelled.schema() == reader.schema()


def test_other_files_may_lack_labels_and_weights(read, tmp_path):
    train = write_hdf5(tmp_path / "a.h5", counts=maps(4, 4, 6), good=np.arange(4) % 2)
    reader = Occupancy(path=train, histogram="counts", label="good", classes={"good": (1,), "bad": (0,)})
    events = read(reader.on([write_hdf5(tmp_path / "b.h5", counts=maps(4, 4, 6))]))
    assert events.label.tolist() == [-1] * 4


# --- what is refused


def refused(message: str, read, **options) -> None:
    with pytest.raises(InputError, match=message):
        read(Occupancy(**options))


def test_binnings_that_differ_are_an_error_that_names_file_and_histogram(read, tmp_path):
    one = th2(maps(1, 4, 6)[0])
    file = write_root(tmp_path / "a.root", ls_1=one, ls_2=th2(maps(1, 4, 3)[0]))
    message = r"a\.root: ls_2 has 3 bins from 0 to 3 x 4 bins from 0 to 4, ls_1 has 6 bins from 0 to 6 x 4 bins from"
    refused(message, read, path=file, histogram="ls_*")
    wider = write_root(tmp_path / "b.root", ls_1=(one[0], 2 * one[1], one[2]))
    message = r"b\.root: a histogram has 6 bins from 0 to 12 x 4 bins from 0 to 4, in .*a\.root 6 bins from 0 to 6 x"
    refused(message, read, path=(file, wider), histogram="ls_1")
    refused("ls_1 has 4 x 6 bins, ls_2 4 x 3; channels need", read, path=file, histogram={"a": "ls_1", "b": "ls_2"})
    maps_of = {"a": maps(2, 4, 6), "b": maps(2, 4, 3)}
    stored = write_hdf5(tmp_path / "a.h5", **maps_of)
    message = r"a\.h5: channels have one binning: '/a' is 4x6, 'b' 4x3"
    refused(message, read, path=stored, histogram={"a": "a", "b": "b"})
    other = write_hdf5(tmp_path / "b.h5", a=maps_of["b"])
    refused(r"b\.h5: a histogram has 4 x 3 bins, in .*a\.h5 4 x 6 bins", read, path=(stored, other), histogram="a")


def test_what_does_not_match_is_an_error_that_says_what_is_there(read, runs, tmp_path):
    refused(
        r"no object matches 'run_\*/map'; there are 12 histograms: run_7/ls_6/occ",
        read,
        path=runs[0],
        histogram="run_*/map",
    )
    file = write_root(tmp_path / "lone.root", ls_1__a=th2(maps(1, 4, 6)[0]), ls_2__b=th2(maps(1, 4, 6)[0]))
    refused("ls_1/a has no partner in the channel 'b'", read, path=file, histogram={"a": "ls_*/a", "b": "ls_*/b"})
    tree = write_root(tmp_path / "tree.root", tree={"x": X})
    refused("tree is a (TTree|ROOT::RNTuple); counts are TH1 or TH2", read, path=tree, histogram="*")
    stored = write_hdf5(tmp_path / "maps.h5", counts=maps(5, 4, 6), run=np.arange(5), few=np.arange(3))
    refused(r"maps\.h5: there is no dataset 'count'; did you mean 'counts'", read, path=stored, histogram="count")
    refused(r"'run' has the shape \(5,\) of int64; histograms are \(event, bin\)", read, path=stored, histogram="run")
    refused(
        "keep: column 'runs' is not there; did you mean 'run'", read, path=stored, histogram="counts", keep=("runs",)
    )
    refused("dataset '/few' has 3 rows, '/counts' has 5", read, path=stored, histogram="counts", keep=("few",))


@pytest.mark.parametrize("bad", [-1.0, np.inf])
def test_counts_that_are_none_are_an_error(read, tmp_path, bad):
    counts = maps(5, 4, 6)
    counts[3, 1, 2] = bad
    stored = write_hdf5(tmp_path / "maps.h5", counts=counts)
    message = rf"maps\.h5: event 3: row 1, column 2 of the image holds {bad:g}; counts are finite and not negative"
    refused(message, read, path=stored, histogram="counts")
    file = write_root(tmp_path / "map.root", ls_3=th2(counts[3]))
    refused(rf"map\.root:ls_3: row 1, column 2 of the image holds {bad:g}", read, path=file, histogram="ls_*")


@pytest.mark.parametrize("name", ["runs.root", "maps.h5"])
def test_a_broken_file_stops_or_is_told(read, runs, tmp_path, name):
    write_hdf5(tmp_path / "maps.h5", counts=runs[1])
    whole = (tmp_path / name).read_bytes()
    broken = tmp_path / f"broken_{name}"
    broken.write_bytes(whole[: len(whole) // 2])
    options = {"path": (str(broken), str(tmp_path / name)), "histogram": PATTERN if name == "runs.root" else "counts"}
    with pytest.raises(BrokenFileError, match=f"broken_{name}"):
        read(Occupancy(**options))
    skipping = Occupancy(**options, on_bad_file="skip")
    assert [bool(part.problem) for part in skipping.parts()] == [True, False]
    assert skipping.schema().inputs["image"].shape == (4, 6)
    broken.write_bytes(b"")
    with pytest.raises(BrokenFileError, match="is empty"):
        read(Occupancy(**options))


def test_files_of_the_same_name_need_ids(runs, tmp_path):
    (tmp_path / "copy").mkdir()
    twin = write_root(tmp_path / "copy" / "runs.root", run_9__ls_1__occupancy=th2(runs[1][0]))
    with pytest.raises(InputError, match="would give the same event ids; rename one or set `id`"):
        Occupancy(path=(runs[0], twin), histogram=PATTERN).schema()
    Occupancy(path=(runs[0], twin), histogram=PATTERN, number=NUMBER, id=("run", "ls")).schema()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"histogram": "x", "number": "(?P<run"}, "no regular expression: missing"),
        ({"histogram": {}}, "name the histograms, such as"),
        ({"histogram": "x", "number": "(?P<entries>.)"}, "the group 'entries' would hide"),
    ],
)
def test_options_that_cannot_be_used_are_an_error_in_the_recipe(options, message):
    with pytest.raises(RecipeError, match=message):
        build("reader", "occupancy", {"path": "no.root", **options})
