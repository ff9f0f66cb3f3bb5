"""The kit fails where it should: for every promise there is a plugin that breaks it, and that the kit catches."""

from __future__ import annotations

import copy
import inspect
import re
from pathlib import Path

import pytest

from hepanom.errors import InputError
from hepanom.offered import Registry
from hepanom.packages import Kind
from hepanom.testing import BrokenPromise, Case, check, promises, scores
from hepanom.testing.broken import PAGE
from hepanom.testing.case import offered
from hepanom.testing.promises import BY_KIND, EVERY

ROOT = Path(__file__).resolve().parents[2]
LIARS = Path(__file__).parent / "liars"
TINY = Case("model", "tiny", plugins=LIARS)

CAUGHT: list[tuple[Kind, str, str, str]] = [  # kind, name, the promise's anchor, what is found
    ("reader", "mute", "options", "no description of silent: write Annotated"),
    ("reader", "undocumented", "options", "Undocumented has no docstring"),
    ("reader", "stateless", "methods", "it has no before, on, originals, reads, unread; let the class inherit from"),
    ("reader", "lenient", "mistakes", "eventsx: 1 is taken in silence"),
    ("reader", "crashing", "mistakes", r"KeyError: 0 \(line \d+ of readers.py, in __post_init__\)"),
    ("reader", "labelled", "reader-schema", "labels from 2 to 3, where the schema has 2 classes"),
    ("reader", "forgetful", "reader-parts", "made up, 0 to 10, alone differs from after the others: by 1 in 'pulses'"),
    ("reader", "single", "reader-parts", "one part: give the case two files"),
    ("reader", "repeating", "reader-event-id", "10 of 20 events have the event_id of another"),
    ("transform", "hasty", "transform-chunks", r"the fit in 2 chunks differs by 0\.\d+ in 'mean'"),
    (
        "transform",
        "unweighted",
        "transform-weights",
        r"the fit of events that are there once, .* differs by .* in",
    ),
    ("transform", "widening", "transform-schema", "'features' comes out as float64, not float32"),
    ("transform", "blanking", "transform-schema", r"\d+ of 200 events without a missing value come out with one"),
    ("transform", "spoiling", "transform-pure", "apply changed the events that it was given: by .* in 'features'"),
    ("transform", "social", "transform-alone", "event 17 alone differs from event 17 among 200: by .* in 'features'"),
    ("transform", "listing", "transform-state", "mean of the state is no array"),
    ("transform", "lost", "transform-undo", "apply after undo gives other events: by .* in 'features'"),
    ("model", "boasting", "model-outputs", "'reconstruction', 'tiny_code'.*, where gives names .*'log_density'"),
    ("model", "elsewhere", "model-device", "'mean' is on meta"),
    ("model", "noisy", "model-determinism", r"two calls differ by 0\.\d+ in 'tiny_code'"),
    ("model", "social", "model-alone", "1 of 100 events alone differ by .* in 'tiny_code'"),
    ("model", "wild", "model-seed", "two builds with one seed differ by .* in 'encoder.weight'"),
    ("model", "forgetful", "model-state", "with the stored state 'reconstruction' differs by"),
    ("model", "unwatched", "model-diagnostics", "guards watch lowest, which diagnose does not tell"),
    ("model", "fickle", "model-diagnostics", "two calls with the same noise differ in highest"),
    ("model", "mean", "model-loss", r"the term 'reconstruction' has the shape \(\) for 33 events"),
    ("model", "idle", "model-gradient", "none reaches spare.weight of the player 'network'"),
    (
        "model",
        "exact",
        "model-mixed-precision",
        "TypeError: Got unsupported ScalarType BFloat16 .*, in loss",
    ),
    ("model", "democratic", "model-weights", r"the gradient of encoder\.\w+ differs by"),
    ("model", "scattered", "model-weights", "two equal losses move encoder.* by .*: draw noise by torch.randn_like"),
    ("scorer", "flat", "scorer-score", "0 for every event, with the model 'tiny'"),
    ("scorer", "unknown", "scorer-score", "60 of 60 ordinary events have a score that is NaN"),
    ("scorer", "noisy", "scorer-determinism", r"two calls differ by 0\.\d+, with the model 'tiny'"),
    ("scorer", "social", "scorer-alone", "1 of 60 events alone differ by .*, with the model 'tiny'"),
    ("scorer", "hasty", "scorer-chunks", "the fit in three chunks differs by .* in 'mean', with the model 'tiny'"),
    ("scorer", "listing", "scorer-state", "mean of the state is no array, with the model 'tiny'"),
    (
        "scorer",
        "greedy",
        "scorer-needs",
        r"needs names .*'reconstruction'.*, and \['tiny_code'\] were read",
    ),
    ("scorer", "curt", "scorer-explain", r"parts of the shape \(60,\) for \(60, 4\), with the model 'tiny'"),
    ("scorer", "elsewhere", "scorer-device", "scores on meta of events on cpu, with the model 'tiny'"),
    ("scorer", "failing", "scorer-score", r"KeyError: 'big_code' \(line \d+ of scorers.py, in score\)"),
]


HONEST: list[tuple[Kind, str]] = [
    ("reader", "pulses"),
    ("transform", "centre"),
    ("model", "tiny"),
    ("scorer", "distance"),
]


def case_of(kind: Kind, name: str) -> Case:
    return Case(kind, name, plugins=LIARS, models=(TINY,) if kind == "scorer" else ())


def broken(case: Case, anchor: str) -> BrokenPromise:
    """Return what the promises under an anchor raise."""
    for promise in promises(case):
        try:
            if promise.anchor == anchor:
                promise()
        except BrokenPromise as error:
            return error
    pytest.fail(f"{case} keeps what it promises")


@pytest.mark.parametrize(("kind", "name", "anchor", "found"), CAUGHT, ids=[f"{row[0]}-{row[1]}" for row in CAUGHT])
def test_a_broken_promise_is_named_with_its_page_and_its_plugin(kind: Kind, name: str, anchor: str, found: str) -> None:
    error = broken(case_of(kind, name), anchor)
    assert re.search(found, error.found)
    assert error.where == f"docs/contracts.md#{anchor}"
    assert str(error).startswith(f"the {kind} {name!r} ({LIARS / f'{kind}s.py'}): promised that {error.promise} (")
    assert str(error).endswith(f"; found: {error.found}")


@pytest.mark.parametrize(
    "case", [case_of("reader", "pulses"), case_of("transform", "centre"), TINY], ids=lambda case: case.kind
)
def test_who_keeps_every_promise_passes(case: Case) -> None:
    check(case)


def test_a_scorer_without_models_is_tried_with_those_that_give_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {key: plugin for key, plugin in offered(LIARS).items() if plugin.version == "local"}
    monkeypatch.setattr(scores, "offered", lambda folder: Registry(here))
    case = Case("scorer", "distance", plugins=LIARS)
    found = scores.givers(case, case.build())
    assert [(each.kind, each.on, each.plugins) for each in found] == [("model", "table", LIARS)] * 3
    assert all(each.plugin.load().gives >= {"tiny_code"} for each in found)
    with pytest.raises(
        BrokenPromise, match="no installed model that can be loaded gives big_code of made-up events of the kind"
    ):
        check(Case("scorer", "lonely", plugins=LIARS))


def test_every_promise_is_broken_by_somebody() -> None:
    anchors = {anchor for kept in (EVERY, *BY_KIND.values()) for anchor in kept.values()}
    assert {anchor for _, _, anchor, _ in CAUGHT} == anchors


def test_every_promise_is_written_down() -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", page, flags=re.MULTILINE)
    anchors = [re.sub(r"[^\w]+", "-", heading.lower()) for heading in headings]
    assert len(anchors) == len(set(anchors))
    for kept in (EVERY, *BY_KIND.values()):
        for keep, anchor in kept.items():
            section = page.split(f"### {headings[anchors.index(anchor)]}\n")[1].partition("\n#")[0]
            statement = inspect.getdoc(keep).partition("\n")[0].removesuffix(".")
            assert statement.lower() in " ".join(section.split()).lower()


def test_a_broken_promise_can_be_copied_as_processes_do() -> None:
    error = BrokenPromise("the model 'x'", "evaluation draws no noise", "docs/contracts.md#model-determinism", "noise")
    again = copy.copy(error)
    assert (str(again), again.found) == (str(error), "noise")


def test_a_case_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="there is no kind of made-up events 'tables'; did you mean 'table'"):
        Case("model", "tiny", on="tables")


def test_the_name_of_no_plugin_is_told() -> None:
    with pytest.raises(BrokenPromise, match="found: it is refused: there is no model 'tinny'; did you mean 'tiny'"):
        check(Case("model", "tinny", plugins=LIARS))


def test_files_are_written_once_where_options_ask_for_them() -> None:
    calls = []

    def write(folder: Path) -> str:
        calls.append(folder)
        (folder / "a.csv").write_text("x\n1\n", encoding="utf-8")
        return str(folder / "*.csv")

    first, second = (Case("reader", "csv", {"path": write, "features": [Path("x")]}) for _ in range(2))
    assert first.filled == second.filled == {"path": str(calls[0] / "*.csv"), "features": ["x"]}
    assert len(calls) == 1
