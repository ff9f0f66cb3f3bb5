"""Tests of the report and its figures, on a result of two categories, two scorers, three rules and two replicas."""

from __future__ import annotations

import base64
import html
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jaxtyping import Float, Int

from hepanom import curves, histograms, report, tables
from hepanom import page as page_of
from hepanom.contracts import Epoch
from hepanom.errors import HepanomError
from hepanom.evaluate import METRICS, Number, Scored, evaluate
from hepanom.events import Input, Schema
from hepanom.result import Count, Latent, Result, Sample, Skipped, Strange
from hepanom.thresholds import rule_name, threshold

EVENTS = 5_000
CATEGORIES = ("0", "2<script>alert(1)</script>")
RULES = (("quantile", 0.4), ("median", None), ("background_efficiency", 1e-3))
COLUMNS = ("DER_mass_MMC", "PRI_tau_pt", "DER_deltaeta_jet_jet")
UNITS = ("GeV", "GeV", "")


def draw(
    rng: np.random.Generator, anomaly: Int[np.ndarray, " event"], category: Int[np.ndarray, " event"], replicas: int
) -> dict[str, Float[np.ndarray, "replica event"]]:
    """Return a positive score over decades and one of either sign, which replicas see with some noise."""
    strange = rng.normal(size=len(anomaly)) + 1.1 * (anomaly == 1) + 0.3 * category
    seen = strange + 0.3 * rng.normal(size=(replicas, len(anomaly)))
    other = 0.4 * strange + rng.normal(size=(replicas, len(anomaly)))
    return {"reconstruction": np.exp(1.3 * seen - 2), "elbo": 14 + 5 * other}


def decided(
    held_out: dict[str, Float[np.ndarray, "replica event"]], scores: dict[str, Float[np.ndarray, "replica event"]]
) -> dict[str, Float[np.ndarray, " event"]]:
    """Return the score of one replica, the mean background rank of several."""
    if len(next(iter(scores.values()))) == 1:
        return {scorer: rows[0] for scorer, rows in scores.items()}
    return {
        scorer: np.mean(
            [
                np.searchsorted(np.sort(known), row) / len(known)
                for known, row in zip(held_out[scorer], rows, strict=True)
            ],
            axis=0,
        )
        for scorer, rows in scores.items()
    }


def make_result(*, labels: bool = True, replicas: int = 2, events: int = EVENTS) -> Result:
    rng = np.random.default_rng(1)
    category = rng.integers(0, 2, events)
    anomaly = (rng.random(events) < 0.2).astype(np.int64) if labels else np.zeros(events, np.int64)
    weight = np.where(anomaly == 1, 0.02, rng.gamma(4.0, 0.6, events))
    calibration, train_category = rng.integers(0, 2, events), rng.integers(0, 2, 2 * events)
    held_out = draw(rng, np.zeros(events, np.int64), calibration, replicas)
    scores = draw(rng, anomaly, category, replicas)
    train_scores = draw(rng, np.zeros(2 * events, np.int64), train_category, replicas)
    known, found, train = (decided(held_out, seen) for seen in (held_out, scores, train_scores))

    counts, flags = [], {}
    for scorer in scores:
        for rule, setting in RULES:
            flag = np.zeros((replicas, events), np.bool_)
            for index, label in enumerate(CATEGORIES):
                here, fit = category == index, calibration == index
                names = {"scorer": scorer, "category": label, "replica": 0 if replicas == 1 else -1}
                cut = threshold(rule, setting, known[scorer][fit], np.ones(fit.sum()), **names)  # type: ignore[arg-type]
                total = float(weight[here].sum())
                flagged = found[scorer][here] > cut.cut
                expected = [total * share for share in (cut.background_efficiency, cut.low, cut.high)]
                counts.append(
                    Count(cut, int(here.sum()), int(flagged.sum()), float(weight[here][flagged].sum()), *expected)
                )
                for replica in range(replicas):
                    share = np.quantile(held_out[scorer][replica, fit], 1 - cut.background_efficiency)
                    flag[replica, here] = scores[scorer][replica, here] > share
            flags[scorer, rule_name(rule, setting)] = flag
    scored = Scored(scores, flags, category, CATEGORIES, anomaly, weight)
    chosen = rng.permutation(events)[:2000]
    codes = rng.normal(size=(len(chosen), 2)) @ np.array([[1.0, 0.5], [0.0, 0.7]])
    codes[anomaly[chosen] == 1] += (1.5, -1.0)
    return Result(
        name="higgsml-vae <script>alert(1)</script>",
        recipe="name: higgsml-vae <script>alert(1)</script>\nmodel: {use: vae, latent: 2}\n",
        schema=Schema({"table": Input("table", COLUMNS, UNITS)}, ("b", "s")),
        categories=CATEGORIES,
        background=("b",) if labels else (),
        provenance={
            "created": "2026-01-31T12:00:00+00:00",
            "python": "3.11.7",
            "packages": {"hepanom": "0.1.0", "torch": "2.13.0"},
            "plugins": {"hepanom_plugins": "0.1.0"},
            "git": "0123456789abcdef0123456789abcdef01234567-dirty",
            "data": [{"path": "/data/<script>.csv.gz", "bytes": 1234567, "sha256": "ab" * 32}, {"path": "toy"}],
            "device": "cpu",
            "threads": 1,
        },
        counts={
            "train": {"b": (9876, 12345.6), "s": (2345, 47.5)},
            "valid": {"b": (1200, 1500.25), "s": (301, 6.0)},
            "calibrate": {"b": (1234, 1543.2), "s": (310, 6.2)},
            "test": {"b": (4000, 9600.0), "s": (1000, 20.0)},
        },
        unused=4321,
        tally={"empty events left out": 1234},
        skipped=[Skipped("cut.root", 0, 4000, 17, "cut.root: is cut off")],
        dropped={CATEGORIES[0]: {"drop": ["PRI_tau_phi"], "missing": ["DER_deltaeta_jet_jet"]}, CATEGORIES[1]: {}},
        histories={
            (label, replica): [
                Epoch(
                    epoch,
                    {"reconstruction": 8 * 0.8**epoch + 2 + 0.1 * rng.random(), "kl": 0.6 + 0.02 * epoch},
                    8 * 0.8**epoch + 2.9 + 0.001 * (epoch - 20) ** 2 + 0.1 * rng.random(),
                    True,
                    2e5,
                )
                for epoch in range(1, 41)
            ]
            for label in CATEGORIES
            for replica in range(replicas)
        },
        numbers=evaluate(scored, METRICS, resamples=20) if labels else {},
        thresholds=counts,
        train=Sample(train, train_category, np.zeros(2 * events, np.int64), np.ones(2 * events)),
        test=Sample(found, category, anomaly, weight),
        scored=scored,
        latent=Latent(codes, ("latent 1", "latent 2"), category[chosen], anomaly[chosen]),
        strangest={
            scorer: [
                Strange(
                    {"EventId": str(100_000 + rank), "file": "<script>alert(1)</script>"},
                    CATEGORIES[rank % 2],
                    "bs"[rank % 2] if labels else "unknown",
                    1.5,
                    float(np.sort(found[scorer])[-rank - 1]),
                    scorer,
                    [("DER_mass_MMC", 987.654, "GeV", 0.62), ("PRI_tau_pt", float("nan"), "GeV", 0.21)],
                )
                for rank in range(10)
            ]
            for scorer in scores
        },
    )


@pytest.fixture(scope="module")
def result() -> Result:
    return make_result()


@pytest.fixture(scope="module")
def unlabelled() -> Result:
    return make_result(labels=False, replicas=1, events=1000)


@pytest.fixture(scope="module")
def bare(unlabelled: Result) -> Result:
    """Return the least that a run can find out: scores of one model on events without labels."""
    one, unknown = np.zeros_like(unlabelled.test.category), np.full_like(unlabelled.test.anomaly, -1)
    return replace(
        unlabelled,
        provenance={},
        categories=("all",),
        histories={},
        latent=None,
        strangest={},
        thresholds=[],
        dropped={},
        tally={},
        skipped=[],
        train=replace(unlabelled.train, category=np.zeros_like(unlabelled.train.category)),
        test=replace(unlabelled.test, category=one, anomaly=unknown),
        scored=replace(unlabelled.scored, category=one, anomaly=unknown),
    )


@pytest.fixture
def blank_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare a test the drawing, which takes most of the time."""
    monkeypatch.setattr(page_of, "png", lambda _: b"blank")


@pytest.fixture(scope="module")
def folder(result: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    assert report.write(result, folder) == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def words(page: str) -> str:
    """Return the page as a reader sees it: without marks, images and style, one blank between words."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


FIGURES = [
    "loss_0",
    "loss_2_script_alert_1___script_",
    "score_reconstruction_0",
    "score_reconstruction_2_script_alert_1___script_",
    "score_elbo_0",
    "score_elbo_2_script_alert_1___script_",
    "roc",
    "sic",
    "roc_reconstruction",
    "sic_reconstruction",
    "roc_elbo",
    "sic_elbo",
    "latent_0",
    "latent_2_script_alert_1___script_",
    "ranked_reconstruction",
    "ranked_elbo",
]


def test_every_figure_is_in_the_folder_and_in_the_page(folder: Path, page: str) -> None:
    files = {path.stem: path.read_bytes() for path in (folder / "figures").iterdir()}
    assert sorted(files) == sorted(FIGURES)
    inside = re.findall(r'src="data:image/png;base64,([^"]*)" alt="(\w+):', page)
    assert [name for _, name in inside] == FIGURES
    for data, name in inside:
        assert base64.b64decode(data) == files[name]


def test_the_page_needs_nothing_beside_it(page: str) -> None:
    assert len(page) < 5_000_000
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?(?!data:|#)[a-z/]""", page)
    assert "<script" not in page
    assert "@import" not in page


def test_names_from_the_user_are_escaped(page: str, words: str) -> None:
    assert "<script>alert" not in page
    assert "higgsml-vae <script>alert(1)</script>" in words
    assert "/data/<script>.csv.gz" in words
    assert "category 2<script>alert(1)</script>" in words


def test_the_page_holds_every_number_with_its_uncertainty(result: Result, words: str) -> None:
    for name, number in result.numbers.items():
        shown = tables.cell(number)
        text = f"{shown.value} +{shown.up} \N{MINUS SIGN}{shown.down}" if shown.up else shown.value
        assert text in words, name
        assert f"spread {shown.spread}" in words, name


def test_every_number_stands_in_the_row_and_column_that_its_name_says(result: Result) -> None:
    groups = tables.grouped(result.numbers)
    curves = tables.curve_table(groups, "elbo", CATEGORIES)
    assert curves.columns[0] == ("all events", "weighted")
    assert curves.columns[3] == ("category 0", "unweighted")
    first = curves.rows[0]
    assert first.names == ("AUC",)
    assert first.cells[0] == tables.cell(result.numbers["elbo/auc"])
    assert first.cells[3] == tables.cell(result.numbers["elbo/unweighted/category_0/auc"])
    everything, zero, _ = tables.decision_tables(groups, "elbo", result)
    assert [head for (head,) in everything.columns] == ["AMS", "accuracy", "precision", "recall", "F1", "MCC"]
    assert [row.names for row in everything.rows[:2]] == [("quantile 0.4", "weighted"), ("quantile 0.4", "unweighted")]
    assert everything.rows[0].cells[0] == tables.cell(result.numbers["elbo/quantile_0.4/ams"])
    assert everything.rows[1].cells[0] is None  # an AMS of plain counts means nothing
    assert zero.title == "category 0"
    assert zero.rows[3].cells[5] == tables.cell(result.numbers["elbo/unweighted/category_0/median/mcc"])


def test_the_page_says_what_ran(words: str) -> None:
    for text in (
        "created 2026-01-31T12:00:00+00:00",
        "packages hepanom 0.1.0, torch 2.13.0",
        "git 0123456789abcdef0123456789abcdef01234567-dirty",
        "device cpu",
        "threads 1",
        "1,234,567 " + "ab" * 32,
        "train 9,876 12,346 2,345 47.5",
        "4,321 events belong to no share",
        "0 missing DER_deltaeta_jet_jet",
        "name: higgsml-vae",
    ):
        assert text in words


def test_the_page_tells_thresholds_with_expected_and_seen(result: Result, words: str) -> None:
    for count in result.thresholds:
        assert f"{count.threshold.cut:.5g}" in words
        assert f"{count.flagged:,} of {count.events:,} {page_of.short(count.seen)}" in words
        expected = tables.cell(Number(count.expected, count.low, count.high, None))
        assert f"{expected.value} +{expected.up} \N{MINUS SIGN}{expected.down}" in words
    undetermined = sum(count.threshold.undetermined for count in result.thresholds)
    assert undetermined == 4
    assert words.count(" undetermined ") == undetermined + 1  # once in the text above the table


def test_the_page_tells_why_events_are_strange(words: str) -> None:
    assert "DER_mass_MMC = 987.7 GeV (62 %), PRI_tau_pt = missing (21 %)" in words
    assert re.search(r"10 100009 <script>alert\(1\)</script> 2<script>alert\(1\)</script> s 1\.5 ", words)


def test_the_best_epoch_is_that_of_the_smallest_validation_loss(result: Result, words: str) -> None:
    for (label, replica), history in result.histories.items():
        best = min(history, key=lambda record: record.validation)
        assert f"{label} {replica} 40 {best.epoch} {best.validation:.5g} 200,000" in words


@pytest.mark.usefixtures("blank_images")
def test_without_labels_the_page_says_what_is_left_out(unlabelled: Result, tmp_path: Path) -> None:
    page = report.write(unlabelled, tmp_path).read_text(encoding="utf-8")
    assert "There are no curves: no test event is known to be an anomaly." in page
    assert "Efficiencies, curves and confusions are left out" in page
    names = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert {name.partition("_")[0] for name in names} == {"loss", "score", "latent", "ranked"}


def test_a_bare_result_still_makes_a_page(bare: Result, tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "old.png").touch()
    page = report.write(bare, tmp_path).read_text(encoding="utf-8")
    for sentence in ("no test event has a known label", "no latent code", "no thresholds", "without epochs"):
        assert sentence in page
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"score_reconstruction_all", "score_elbo_all"}


@pytest.mark.usefixtures("blank_images")
def test_a_full_page_leaves_figures_to_the_folder(
    bare: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_of, "LIMIT", 9)
    page = report.write(bare, tmp_path).read_text(encoding="utf-8")
    assert page.count("data:image/png") == 1
    assert "is in the folder beside this page, as figures/score_elbo_all.png" in page


@pytest.mark.usefixtures("blank_images")
def test_a_page_that_cannot_be_written_is_named(bare: Result, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HepanomError, match="file/figures"):
        report.write(bare, tmp_path / "file")


def test_figures_leave_nothing_behind_in_pyplot(bare: Result) -> None:
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    before = dict(mpl.rcParams)
    report.figures(bare)
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before


def test_a_histogram_holds_every_event_and_its_weight(result: Result) -> None:
    filled = histograms.filled(result.test, "reconstruction", 0, 0, np.linspace(0.4, 0.6, 11))
    rows = (result.test.category == 0) & (result.test.anomaly == 0)
    assert filled.values().sum() == pytest.approx(result.test.weight[rows].sum())


@given(
    values=arrays(np.float64, st.integers(0, 50), elements=st.floats(-1e30, 1e30)),
    cuts=arrays(np.float64, st.integers(0, 3), elements=st.floats(-1e30, 1e30)),
    logarithmic=st.booleans(),
)
@example(values=np.array([1.0, 5e-324, 5e-324]), cuts=np.zeros(0), logarithmic=True)
@example(values=np.array([1e-290, 1e30]), cuts=np.zeros(0), logarithmic=True)
@example(values=np.array([5e-324, 0.0]), cuts=np.zeros(0), logarithmic=False)
@example(values=np.array([1e30, np.nextafter(1e30, 2e30)]), cuts=np.zeros(0), logarithmic=False)
def test_bins_rise_whatever_the_scores(
    values: Float[np.ndarray, " event"], cuts: Float[np.ndarray, " cut"], logarithmic: bool
) -> None:
    edges = histograms.binning(values, cuts, logarithmic=logarithmic)
    assert np.isfinite(edges).all()
    assert (np.diff(edges) > 0).all()


def test_scores_over_decades_get_logarithmic_bins_but_ranks_do_not() -> None:
    values, none = np.geomspace(1e-3, 1e3, 1000), np.zeros(0)
    ratio = np.diff(np.log(histograms.binning(values, none)))
    assert ratio == pytest.approx(np.full(len(ratio), ratio[0]))
    width = np.diff(histograms.binning(values, none, logarithmic=False))
    assert width == pytest.approx(np.full(len(width), width[0]))


def test_a_cut_beside_the_scores_is_on_the_axis_and_one_far_away_is_not() -> None:
    values = np.linspace(0.0, 1.0, 1000)
    assert histograms.binning(values, np.array([1.3]))[-1] > 1.3
    assert histograms.binning(values, np.array([99.0]))[-1] < 1.3


def test_the_drawn_curve_is_the_quoted_signal_efficiency(result: Result) -> None:
    for label, name in ((None, "elbo"), ("0", "elbo/category_0")):
        curve = curves.curve(result.scored, "elbo", label)
        assert curve is not None
        drawn = np.interp(0.1, curve.background, curve.signal.mean(0))
        assert drawn == pytest.approx(result.numbers[f"{name}/signal_efficiency_0.1"].value, abs=0.01)
        assert np.nanmax(curve.improvement.mean(0)) == pytest.approx(result.numbers[f"{name}/max_sic"].value, rel=0.1)
        assert np.isnan(curve.improvement[:, 0]).all()  # at one background event nothing is known


@pytest.mark.parametrize(
    ("number", "cell"),
    [
        (Number(0.84321, 0.83911, 0.8471, 0.0123), tables.Cell("0.8432", "0.0039", "0.0041", "0.012")),
        (Number(12345.6, 12000.0, 12700.0, None), tables.Cell("12,350", "350", "350")),
        (Number(1.5, 1.5, 1.5, None), tables.Cell("1.500")),
        (Number(0.0, 0.0, 0.0, 0.0), tables.Cell("0.000", spread="0.000")),
        (Number(-0.0234, -0.03, -0.0234, None), tables.Cell("\N{MINUS SIGN}0.0234", "0.0000", "0.0066")),
        (Number(100.0, 50.0, float("inf"), None), tables.Cell("100.000", "∞", "50.000")),
    ],
)
def test_numbers_are_rounded_to_their_uncertainty(number: Number, cell: tables.Cell) -> None:
    assert tables.cell(number) == cell
