"""Generated events beside real ones: their distance, their units, and where they are shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from toys import fitted

from hepanom import document
from hepanom.detector import Detector
from hepanom.events import Events, Input
from hepanom.figures import figures
from hepanom.learnt import CHANCE, colours, compared, distance, strongest
from hepanom.prepared import prepare
from hepanom.run import run
from hepanom.sampling import MOST, learnt, most_events, restored

VALUES = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=20)
MIXTURE = ("model={use: gmm, components: 4}", "scores=[{use: likelihood}]")


def usual(detector: Detector, events: Events) -> Events:
    assert detector.parts.recipe.train.per is None
    return events.mask(events.label == 0)


@given(real=VALUES, counts=st.data(), generated=VALUES)
def test_distance_is_that_of_kolmogorov_and_smirnov_and_a_weight_is_a_count(
    real: list[float], counts: st.DataObject, generated: list[float]
) -> None:
    times = counts.draw(st.lists(st.integers(1, 4), min_size=len(real), max_size=len(real)))
    found = distance(np.array(real), np.array(times, float), np.array(generated))
    assert found == pytest.approx(ks_2samp(np.repeat(real, times), generated).statistic, abs=1e-12)


def test_missing_values_are_left_out_of_a_distance() -> None:
    real, weight = np.array([1.0, np.nan, 2.0]), np.array([1.0, 50.0, 1.0])
    assert distance(real, weight, np.array([1.0, 2.0, np.nan])) == 0
    assert np.isnan(distance(np.full(2, np.nan), np.ones(2), np.ones(2)))


def test_columns_that_do_not_vary_are_left_out() -> None:
    real = np.array([[1.0, np.nan, 3.0, np.nan], [2.0, np.nan, 3.0, 4.0]])
    made = np.array([[1.0, np.nan, 3.0, np.nan], [2.0, np.nan, 3.0, 4.0], [1.5, np.nan, 3.0, 5.0]])
    found = compared(("a", "gone", "constant", "d"), ("GeV", "", "mm", "ns"), real, np.ones(2), made)
    assert (found.columns, found.units) == (("a", "d"), ("GeV", "ns"))
    assert found.generated.shape == (3, 2)
    assert found.chance == pytest.approx(CHANCE * np.sqrt(1 / 2 + 1 / 3))
    made = np.array([[1.0, 7.0], [2.0, 8.0]])
    assert compared(("condition", "b"), ("", ""), made + np.array([0.0, 1.0]), np.ones(2), made).columns == ("b",)


def test_the_chance_is_exceeded_by_one_column_in_twenty() -> None:
    generator = np.random.default_rng(1)
    weight = generator.gamma(4.0, 0.25, 400)
    names = tuple(map(str, range(400)))
    found = compared(names, names, generator.random((400, 400)), weight, generator.random((300, 400)))
    assert 0.02 < np.mean(np.array(found.distances) > found.chance) < 0.08


def there_and_back(transforms: str) -> tuple[Detector, Events, np.ndarray, Input]:
    """Return a detector, test events, and these as the network sees them with its transforms undone."""
    detector, _, events = fitted(transforms)
    model = detector.models["all"]
    name, _ = model.schema.table()
    table = prepare(detector.parts, model.states, events["test"]).inputs[name]
    return detector, events["test"], *restored(detector.parts, model, np.asarray(table))


def test_a_table_comes_back_in_the_units_of_the_data() -> None:
    detector, test, found, columns = there_and_back(
        'transforms=[{use: drop, columns: ["m_sv1"]}, {use: missing}, {use: standardize}]'
    )
    name, entry = detector.models["all"].schema.table()
    before = np.asarray(test.inputs[name])
    assert columns == detector.parts.schema.inputs[name]
    dropped = np.array([column not in entry.columns for column in columns.columns])
    assert dropped.any()
    assert np.isnan(found[:, dropped]).all()
    there = ~np.isnan(before) & ~dropped
    np.testing.assert_allclose(found[there], before[there], rtol=1e-4, atol=1e-3)


def test_a_table_stays_where_a_transform_cannot_be_undone() -> None:
    detector, test, found, columns = there_and_back(
        "transforms=[{use: missing}, {use: rotate_phi, phi: [delta_eta]}, {use: standardize}]"
    )
    schema, stays = detector.parts.schema, list(detector.parts.transforms.values())[:2]
    for transform, state in zip(stays, detector.models["all"].states, strict=False):
        test, schema = transform.apply(test, schema, state), transform.schema(schema, state)
    name, entry = schema.table()
    assert columns == entry
    np.testing.assert_allclose(found, np.asarray(test.inputs[name]), rtol=1e-4, atol=1e-3)


def test_a_mixture_generates_the_background_in_the_units_of_the_data() -> None:
    detector, _, events = fitted(*MIXTURE)
    background = usual(detector, events["test"])
    found = learnt(detector, background, {})["all"]
    assert found.samples is not None
    assert (found.traversal, found.canvases) == (None, None)
    samples = found.samples
    assert len(samples.generated) == len(samples.real) == len(background)
    assert np.array_equal(samples.weight, background.weight)
    for column, name in enumerate(samples.columns):
        real, made = samples.real[:, column], samples.generated[:, column]
        mean = np.average(real, weights=samples.weight)
        spread = np.sqrt(np.average(np.square(real - mean), weights=samples.weight))
        assert made.mean() == pytest.approx(mean, abs=0.2 * spread), name
        assert made.std() == pytest.approx(spread, rel=0.25), name
    assert np.median(samples.distances) < 3 * samples.chance


def test_samples_are_those_of_the_recipes_seed_and_leave_no_trace() -> None:
    import torch

    detector, _, events = fitted(*MIXTURE)
    background = usual(detector, events["test"])
    torch.manual_seed(5)
    first, after = learnt(detector, background, {})["all"], torch.rand(1)
    second = learnt(detector, background, {})["all"]
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))
    assert first.samples is not None
    assert second.samples is not None
    assert np.array_equal(first.samples.generated, second.samples.generated)


def test_events_count_as_in_training() -> None:
    detector, _, events = fitted(*MIXTURE, "train.weighted=false")
    found = learnt(detector, usual(detector, events["test"]), {})["all"]
    assert found.samples is not None
    assert (found.samples.weight == 1).all()


def test_a_model_that_cannot_generate_shows_nothing_and_wide_events_are_few() -> None:
    detector, _, events = fitted()
    assert learnt(detector, usual(detector, events["test"]), {})["all"].samples is None
    assert most_events(detector) == MOST
    wide = {
        label: replace(
            model,
            schema=replace(
                model.schema, inputs={"image": replace(model.schema.table()[1], kind="image", shape=(999, 999))}
            ),
        )
        for label, model in detector.models.items()
    }
    assert most_events(replace(detector, models=wide)) == 16


def test_colours_reach_from_the_darkest_pixel_to_nearly_the_brightest() -> None:
    images = np.zeros((2, 1, 20, 20))
    images[0, 0, 0] = 3.0
    assert colours(images) == (0.0, 3.0)
    assert colours(np.ones((1, 1, 2, 2))) == (1.0, 2.0)
    assert strongest(np.array([0.0, 2.0, np.nan, 5.0]), 3) == [3, 1]


RECIPE = """
name: made
data: {use: attpc_simulation, events: 250}
background: [proton]
transforms: [{use: image, axes: [x, y], range: [[-275, 275], [-275, 275]], size: [10, 8], log: true, scale: 100}]
model: {use: draw, steps: 3, latent: 2, width: 6, glimpse: 3, peak: 6}
train: {epochs: 1, device: cpu}
scores: [{use: reconstruction}]
"""


def test_a_report_shows_images_that_were_made_and_how(tmp_path: Path, state: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    found = run(document.read(tmp_path / "r.yaml"), state=state)
    assert found is not None
    shown = found.result.learnt["all"]
    assert shown.samples is not None
    assert shown.traversal is not None
    assert shown.canvases is not None
    assert shown.samples.real.shape == shown.samples.generated.shape == (16, 1, 10, 8)
    assert shown.traversal.values.shape == (4, 7, 1, 10, 8)
    assert shown.canvases.steps.shape == (4, 3, 1, 10, 8)
    assert np.array_equal(shown.canvases.images, shown.samples.real[:4])
    drawn = figures(found.result)
    assert len(drawn["samples_all"].axes) == 4 * 9
    assert len(drawn["canvas_all"].axes) == 4 * 4
    page = (Path(found.artifacts) / "report.html").read_text()
    for heading in ("Generated events", "Latent traversals", "Canvases"):
        assert heading in page
    assert {"samples_all.png", "traversal_all.png", "canvas_all.png"} <= {
        file.name for file in (Path(found.artifacts) / "figures").iterdir()
    }


def test_pictures_can_be_switched_off(tmp_path: Path, state: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE + "evaluate: {pictures: false}\n")
    found = run(document.read(tmp_path / "r.yaml"), state=state)
    assert found is not None
    assert not found.result.learnt
    assert "What the network makes" not in (Path(found.artifacts) / "report.html").read_text()
