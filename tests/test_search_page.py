"""Tests of a search's page and figures, on searches of every shape."""

from __future__ import annotations

import base64
import html
import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import PathCollection, QuadMesh
from searches import AXES, F1, SPEED, search

from hepanom import page as pages
from hepanom import search_page, search_slices
from hepanom.canvas import style
from hepanom.errors import HepanomError
from hepanom.search_axes import ranked
from hepanom.search_correlation import correlations
from hepanom.search_figures import figures
from hepanom.search_goal import value
from hepanom.space import Axis
from hepanom.trials import Objective, Search, Trial

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
PHONE = 360  # CSS pixels


def every(whole: Search, **changes: Any) -> Search:
    """Return a search with something else in all of its trials."""
    return replace(whole, trials=tuple(replace(trial, **changes) for trial in whole.trials))


def valued(whole: Search, change: Any) -> Search:
    """Return a search with other objectives in its complete trials, made of trial and values."""
    trials = [replace(trial, values=change(trial)) if trial.values else trial for trial in whole.trials]
    return replace(whole, trials=tuple(trials))


def broken(trial: Trial) -> tuple[float, ...]:
    """Return an objective that is often not finite."""
    return ((math.nan, math.inf, -math.inf, trial.values[0])[trial.number % 4],)


WIDE = tuple(Axis(f"model.block{i}.width", "float", 1.0, 10.0 ** (i % 4), log=i % 3 == 1) for i in range(40))
LONG = Axis("model.activation", "choice", choices=tuple(f"leaky_rectified_linear_unit_{i}" for i in range(12)))
THREE = (F1, SPEED, Objective("valid/auc", "maximize"))
SHAPES = {
    "none": search(0, importances={}),
    "one": search(1),
    "failed": every(search(9, best=(), tested={}), state="failed", values=(), reason="out of memory"),
    "pruned": every(search(9, best=(), tested={}, importances={}), state="pruned", values=()),
    "running": every(search(3, best=(), tested={}, importances={}), state="running", values=(), steps={}),
    "choices": search(30, axes=(*(axis for axis in AXES if axis.kind == "choice"), LONG)),
    "forty axes": search(20, axes=WIDE),
    "one axis": search(20, axes=AXES[-1:]),
    "constant": search(20, axes=(Axis("a.b", "int", 3.0, 3.0), Axis("a.c", "choice", choices=("x",)))),
    "not finite": valued(search(16), broken),
    "equal": valued(search(20), lambda _: (0.5,)),
    "huge loss": replace(
        valued(search(16), lambda trial: (10.0 ** (30 * trial.values[0]),)),
        objectives=(Objective("validation", "minimize"),),
    ),
    "two objectives": search(30, objectives=2),
    "three objectives": replace(valued(search(30, objectives=2), lambda t: (*t.values, 0.5)), objectives=THREE),
    "no constraint kept": every(search(20, best=(), tested={}, constraints=("parameters <= 1",)), feasible=False),
}


@pytest.fixture
def blank_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare a test the drawing, which takes most of the time."""
    monkeypatch.setattr(pages, "png", lambda _: b"blank")


@pytest.fixture(scope="module")
def whole() -> Search:
    return search(40)


@pytest.fixture(scope="module")
def folder(whole: Search, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    assert search_page.write(whole, folder) == folder / "search.html"
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "search.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def words(page: str) -> str:
    return read(page)


def read(page: str) -> str:
    """Return the page as a reader sees it: without marks, images and style, one blank between words."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def test_every_figure_is_in_the_folder_and_in_the_page(folder: Path, page: str) -> None:
    files = {path.stem: path.read_bytes() for path in (folder / "figures").iterdir()}
    inside = re.findall(r'src="data:image/png;base64,([^"]*)" alt="(\w+):', page)
    assert {name: base64.b64decode(data) for data, name in inside} == files
    assert [name for _, name in inside] == [
        "history_valid_f1_proton",
        "learning",
        "importances",
        "slice_valid_f1_proton",
        "choices",
        "contour",
        "parallel",
    ]


def test_the_page_needs_nothing_beside_it(page: str) -> None:
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?(?!data:|#)[a-z/]""", page)
    assert "<script" not in page
    assert "<b>draw</b>" not in page


def test_the_page_says_what_was_found_and_how(words: str) -> None:
    for text in (
        "attpc-search <script>alert(1)</script>",
        "0.8178 largest valid/f1_proton, trial 22",
        "40 trials: 27 complete, 9 pruned, 4 failed",
        "random sampler, seed 0; pruner median",
        "f1_proton 0.8178 0.808 +0.030 -0.020 spread 0.0040",
        "model.regularization mmd kld mmd",
        "packages hepanom 0.1.0, torch 2.13.0",
        "sampler: {use: random}",
        "git unknown",
    ):
        assert text in words.replace("\N{MINUS SIGN}", "-")


def test_the_page_holds_every_trial_and_every_correlation(whole: Search, page: str, words: str) -> None:
    section = page[page.index('<section id="trials"') : page.index('<section id="ran"')]
    assert sorted(map(int, re.findall(r'<tr><th scope="row">(\d+)</th>', section))) == list(range(40))
    assert "does trial 7 again, which was lost" in words
    assert "<b>draw</b> smaller ones" in words
    for row in correlations(whole):
        rho = f"{row.rho:+.2f}".replace("-", "\N{MINUS SIGN}")
        assert f"{row.name} {rho}" in words, row


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.usefixtures("blank_images")
def test_a_search_of_any_shape_makes_a_page(shape: str, tmp_path: Path) -> None:
    found = SHAPES[shape]
    page = read(search_page.write(found, tmp_path).read_text(encoding="utf-8"))
    names = {path.stem.partition("_")[0] for path in (tmp_path / "figures").iterdir()}
    complete = any(math.isfinite(value(trial)) for trial in found.trials)
    assert ("history" in names) == bool(found.trials)
    assert ("slice" in names or "choices" in names) == complete
    assert ("No trial was completed" in page) == (not found.best)
    assert len((tmp_path / "trials.csv").read_text().splitlines()) == 1 + len(found.trials)


@pytest.mark.parametrize("shape", ["one", "choices", "not finite", "huge loss"])
def test_figures_of_any_shape_can_be_drawn(shape: str) -> None:
    with style():
        for figure in figures(SHAPES[shape]).values():
            figure.draw_without_rendering()


@pytest.mark.usefixtures("blank_images")
def test_of_many_axes_the_most_important_are_drawn_and_the_page_says_so(tmp_path: Path) -> None:
    page = read(search_page.write(SHAPES["forty axes"], tmp_path).read_text(encoding="utf-8"))
    assert "The bars show the 20 most important of 40 values." in page
    assert "The points show the 12 most important of 40 numbers." in page
    assert "The 12 most important of 40 drawn values have a column." in page
    first = ranked(SHAPES["forty axes"])[0]
    assert SHAPES["forty axes"].importances[first.path] == max(SHAPES["forty axes"].importances.values())
    (drawn,) = [figure for name, figure in figures(SHAPES["forty axes"]).items() if name.startswith("slice")]
    assert drawn.axes[0].get_xlabel() == first.path.removeprefix("model.")


@pytest.mark.usefixtures("blank_images")
def test_a_learning_sampler_is_said_to_bend_the_probabilities(
    whole: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_page, "figures", lambda _: {})
    said = "learns from earlier trials, so that trials are not independent"
    for sampler, wanted in (("random", False), ("tpe", True)):
        found = search_page.write(replace(whole, sampler=sampler), tmp_path).read_text(encoding="utf-8")
        assert (said in found) == wanted


def test_the_best_so_far_never_gets_worse_and_skips_what_breaks_a_constraint() -> None:
    found = SHAPES["two objectives"]
    found = replace(found, trials=tuple(replace(trial, feasible=trial.number != 9) for trial in found.trials))
    history = figures(found)["history_valid_f1_proton"].axes[0]
    (line,) = [line for line in history.lines if line.get_label() == "best so far"]
    best = np.asarray(line.get_ydata(), float)
    kept = [trial.values[0] for trial in found.trials if trial.values and trial.feasible]
    assert (np.diff(best) >= 0).all()
    assert best[-1] == max(kept)


def test_colours_between_trials_are_only_where_there_are_trials(whole: Search) -> None:
    ax = search_slices.contour_figure(whole, AXES[1], AXES[2]).axes[0]
    (mesh,) = [each for each in ax.collections if isinstance(each, QuadMesh)]
    (dots,) = [each for each in ax.collections if isinstance(each, PathCollection)]
    field = np.ma.masked_invalid(np.ma.asarray(mesh.get_array()))
    assert 0 < np.ma.count_masked(field) < field.size
    centres = np.linspace(-0.03, 1.03, search_slices.CELLS)
    corner = np.array([[centres[column], centres[row]] for row, column in np.argwhere(~np.ma.getmaskarray(field))])
    at = np.asarray(dots.get_offsets())
    nearest = np.sqrt(((corner[::50, None] - at[None]) ** 2).sum(2)).min(1)
    assert nearest.max() <= search_slices.REACH * len(at) ** (-1 / 6)
    assert field.min() >= dots.get_array().min()
    assert field.max() <= dots.get_array().max()


@pytest.mark.usefixtures("blank_images")
def test_five_hundred_trials_fit_into_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_page, "figures", lambda _: {})
    found = search_page.write(search(600), tmp_path)
    assert found.stat().st_size < 5_000_000 - pages.LIMIT
    assert "The first 500 of 600 are here." in found.read_text(encoding="utf-8")
    assert len((tmp_path / "trials.csv").read_text().splitlines()) == 601


@pytest.mark.usefixtures("blank_images")
def test_a_page_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HepanomError, match=r"file/trials\.csv"):
        search_page.write(SHAPES["one"], tmp_path / "file")


def test_figures_leave_nothing_behind_in_pyplot() -> None:
    from matplotlib import pyplot as plt

    before = dict(mpl.rcParams)
    figures(SHAPES["one axis"])
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.25, "3.25 s"), (119.0, "119 s"), (600.0, "10 min"), (9000.0, "2.5 h"), (3e5, "3.47 d")]
)
def test_durations_are_said_in_a_unit_that_fits(seconds: float, text: str) -> None:
    assert search_page.lasted(seconds) == text


def needed(page: str, folder: Path) -> int:
    """Return the width that a page takes on a phone, in CSS pixels: more than the phone's where it overflows."""
    frame = f'<iframe style="width:{PHONE}px;height:800px;border:0" srcdoc="{html.escape(page)}"></iframe>'
    script = "onload = () => { document.title = frames[0].document.documentElement.scrollWidth }"
    (folder / "phone.html").write_text(f"<title></title><script>{script}</script>{frame}", encoding="utf-8")
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--dump-dom",
        f"--user-data-dir={folder / 'browser'}",
    ]
    command = [CHROMIUM, *options, (folder / "phone.html").as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"<title>(\d+)</title>", dom)
    assert found, dom[:300]
    return int(found[1])


@pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium to lay the page out")
def test_the_page_fits_a_phone(page: str, tmp_path: Path) -> None:
    assert needed(page, tmp_path) == PHONE
    assert needed(page.replace("<h2>", "<table><td>" + "x" * 99 + "</table><h2>", 1), tmp_path) > PHONE
