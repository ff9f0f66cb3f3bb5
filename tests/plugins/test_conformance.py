"""What every plugin promises, kept by every plugin that is installed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import reduce
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from offered import FILES, FOUND, OPTIONS, SCHEMAS, assert_equal, build, cases, cases_on, plain, some_events, tried
from safetensors.numpy import load, save

from hepanom import contracts, plugins
from hepanom.contracts import Batch, Network, Outputs, Reader, State, Transform
from hepanom.errors import RecipeError
from hepanom.events import Events, Jagged, Schema
from hepanom.plugins import Kind, Plugin

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]

# --- every plugin


@pytest.mark.parametrize("plugin", FOUND.values(), ids=lambda plugin: f"{plugin.kind}-{plugin.name}")
def test_a_plugin_explains_itself_and_its_options(plugin: Plugin) -> None:
    options = plugin.load()
    about = plugins.describe(plugin)
    assert options.__dataclass_params__.frozen
    assert not about["about"].startswith((f"{options.__name__}(", " ")), "dataclasses writes that where none is given"
    assert about["about"].partition("\n")[0].endswith("."), "the docstring begins with a sentence on a line of its own"
    assert {option["name"] for option in about["options"]} == {field.name for field in fields(options)}
    assert [option["name"] for option in about["options"] if not option["about"]] == []
    contract = getattr(contracts, plugin.kind.capitalize())
    assert isinstance(build(plugin.kind, plugin.name, *tried(plugin.kind, plugin.name)[0]), contract)


@pytest.mark.parametrize("plugin", FOUND.values(), ids=lambda plugin: f"{plugin.kind}-{plugin.name}")
def test_a_misspelt_option_names_its_place_and_what_would_do(plugin: Plugin) -> None:
    (chosen, _), *_ = tried(plugin.kind, plugin.name)
    names = [field.name for field in fields(plugin.load())]
    wrong = f"{names[0]}x" if names else "anything"
    remedy = rf"did you mean '{names[0]}'" if names else "there are none"
    with pytest.raises(RecipeError, match=rf"conformance\.yaml: .*{wrong}: unknown option; {remedy}"):
        build(plugin.kind, plugin.name, {**chosen, wrong: 1})


def test_every_kind_is_offered_and_what_is_tried_is_there() -> None:
    assert {kind for kind, _ in FOUND} == set(get_args(Kind))
    assert set(OPTIONS) <= set(FOUND)


# --- readers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for the small files that the readers are tried with."""
    return tmp_path_factory.mktemp("files")


def reader_of(name: str, options: dict[str, Any], folder: Path) -> Reader:
    return build("reader", name, filled(options, folder))


def filled(options: Any, folder: Path) -> Any:
    """Return the options with paths in place of what stands for files; each kind of file is written once."""
    if isinstance(options, dict):
        return {key: filled(value, folder) for key, value in options.items()}
    if isinstance(options, list):
        return [filled(value, folder) for value in options]
    if not (isinstance(options, str) and options in FILES):
        return options
    place = folder / options
    if not place.exists():
        place.mkdir()
        (place / ".path").write_text(FILES[options](place), encoding="utf-8")
    return (place / ".path").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "options"), cases("reader"))
def test_a_readers_schema_is_true(name: str, options: dict[str, Any], folder: Path) -> None:
    reader = reader_of(name, options, folder)
    schema = reader.schema()
    chunks = [events for part in reader.parts() for events in reader.read(part)]
    for events in chunks:
        assert events.inputs.keys() == schema.inputs.keys()
        assert tuple(events.beside) == schema.beside
        for key, entry in schema.inputs.items():
            values = events.inputs[key]
            assert isinstance(values, Jagged) == (entry.kind == "points")
            assert plain_shape(values)[:1] == (len(entry.columns),)
            assert len(entry.units) == len(entry.columns)
        assert events.label.min() >= -1
        assert events.label.max() < max(1, len(schema.classes))
        assert (0 if events.target is None else events.target.shape[1]) == len(schema.targets)
        assert np.isfinite(events.weight).all()
    whole = Events.concat(chunks)
    assert len(np.unique(whole.event_id)) == len(whole)
    assert Schema.from_json(schema.to_json()) == schema


def plain_shape(values: np.ndarray | Jagged) -> tuple[int, ...]:
    return (values.values if isinstance(values, Jagged) else values).shape[1:]


@pytest.mark.parametrize(("name", "options"), cases("reader"))
def test_parts_are_readable_alone_and_in_any_order(name: str, options: dict[str, Any], folder: Path) -> None:
    parts = list(reader_of(name, options, folder).parts())
    assert len(parts) > 1, "give the reader options or data that make several parts"
    one_by_one = {part: Events.concat(list(reader_of(name, options, folder).read(part))) for part in reversed(parts)}
    reader = reader_of(name, options, folder)
    in_order = Events.concat([events for part in reader.parts() for events in reader.read(part)])
    assert_equal(Events.concat([one_by_one[part] for part in parts]), in_order)


# --- transforms


def fit_in(transform: Transform, events: Events, schema: Schema, chunks: int) -> State:
    index = np.arange(len(events)) * chunks // len(events)
    sketches = [transform.measure(events.mask(index == chunk), schema) for chunk in range(chunks)]
    return transform.finish(reduce(transform.merge, sketches))


@pytest.mark.parametrize(("name", "options", "on"), cases_on("transform"))
def test_a_fit_does_not_depend_on_the_chunks(name: str, options: dict[str, Any], on: str) -> None:
    transform, events = build("transform", name, options, on), some_events(200, missing=True, on=on)
    whole = fit_in(transform, events, SCHEMAS[on], 1)
    for chunks in (2, 7):
        pieces = fit_in(transform, events, SCHEMAS[on], chunks)
        assert pieces.keys() == whole.keys()
        for key, value in whole.items():
            np.testing.assert_allclose(pieces[key], value, rtol=1e-9, atol=1e-12, err_msg=key)


@pytest.mark.parametrize(("name", "options", "on"), cases_on("transform"))
def test_a_transforms_schema_is_true_to_what_it_does(name: str, options: dict[str, Any], on: str) -> None:
    transform, given, before = build("transform", name, options, on), SCHEMAS[on], some_events(200, missing=True, on=on)
    events = some_events(200, missing=True, on=on)
    state = fit_in(transform, events, given, 1)
    stored = load(save(state)) if state else {}
    after = transform.apply(events, given, stored)
    schema = transform.schema(given, stored)
    assert_equal(events, before)  # apply did not change its argument
    assert transform.fitted_columns or transform.schema(given, {}) == schema
    assert (schema.classes, schema.targets, schema.beside) == (given.classes, given.targets, given.beside)
    assert after.inputs.keys() == schema.inputs.keys()
    for key, entry in schema.inputs.items():
        assert isinstance(after.inputs[key], Jagged) == (entry.kind == "points")
        assert plain_shape(after.inputs[key]) == (len(entry.columns), *entry.shape)
        assert len(entry.columns) == len(entry.units)
        assert dict(plain(after))[key].dtype == np.float32
    np.testing.assert_array_equal(after.event_id, events.event_id)
    np.testing.assert_array_equal(after.weight, events.weight)
    assert all(np.isfinite(values).all() for values in after.log_jacobian.values())
    alone = transform.apply(events.mask(np.arange(200) == 17), given, stored)
    assert_equal(alone, after.mask(np.arange(200) == 17))


@pytest.mark.parametrize(("name", "options", "on"), cases_on("transform"))
def test_what_a_transform_undoes_is_what_went_in(name: str, options: dict[str, Any], on: str) -> None:
    transform, given, events = build("transform", name, options, on), SCHEMAS[on], some_events(200, missing=True, on=on)
    state = fit_in(transform, events, given, 1)
    after = transform.apply(events, given, state)
    before = transform.undo(after, given, state)
    if before is None:
        return
    assert before.log_jacobian == {}
    assert before.inputs.keys() == given.inputs.keys()
    for (key, went_in), (_, came_back) in zip(plain(events), plain(before), strict=True):
        assert came_back.dtype == went_in.dtype, key
        assert came_back.shape[1:] == went_in.shape[1:], key  # points that were cut do not come back
    again = transform.apply(before, given, state)
    for (key, once), (_, twice) in zip(plain(after), plain(again), strict=True):
        np.testing.assert_allclose(twice, once, rtol=1e-4, atol=1e-4, err_msg=key)


# --- models


def network_of(name: str, options: dict[str, Any], on: str, device: str = "cpu") -> Network:
    torch.manual_seed(1)
    network: Network = build("model", name, options, on).build(SCHEMAS[on]).to(device)
    network.prepare([batch(50, on, device)], 0)
    return network


def batch(events: int, on: str, device: str = "cpu") -> Batch:
    given = some_events(100, missing=False, on=on)
    weight = torch.linspace(0.5, 2, 100)[:events]
    label = torch.zeros(events, dtype=torch.int64)
    tensors = {key: torch.from_numpy(np.asarray(values))[:events].to(device) for key, values in given.inputs.items()}
    target = None if given.target is None else torch.from_numpy(given.target)[:events].float().to(device)
    return Batch(tensors, weight.to(device), label.to(device), target)


def rows(events: Batch, index: Sequence[int] | torch.Tensor) -> Batch:
    index = torch.as_tensor(index, device=events.weight.device)
    return events.map(lambda values: values[index])


def outputs_of(network: Network, events: Batch) -> Outputs:
    with torch.no_grad():
        return network.eval()(events)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("name", "options", "on"), cases_on("model"))
def test_a_network_gives_what_its_model_says(name: str, options: dict[str, Any], on: str, device: str) -> None:
    model, network, events = build("model", name, options, on), network_of(name, options, on, device), batch(100, on)
    shapes = {"reconstruction": next(iter(events.inputs.values())).shape[1:], "log_likelihood": ()}
    whole = outputs_of(network, batch(100, on, device))
    assert set(whole) == model.gives
    for key, value in whole.items():
        assert len(value) == 100
        assert value.device.type == device
        assert value.isfinite().all()
        if key in ("latent_mean", "latent_log_variance"):
            assert value.shape == (100, whole["latent_mean"].shape[1])
        elif key in shapes:
            assert value.shape[1:] == shapes[key]
    again = outputs_of(network, batch(100, on, device))
    assert all(torch.equal(again[key], value) for key, value in whole.items()), "evaluation draws noise"
    for piece in ([42], range(7), range(93, 100)):
        part = outputs_of(network, rows(batch(100, on, device), list(piece)))
        for key, value in whole.items():
            torch.testing.assert_close(part[key], value[list(piece)], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("name", "options", "on"), cases_on("model"))
def test_a_loss_is_per_event_and_moves_every_parameter(
    name: str, options: dict[str, Any], on: str, device: str
) -> None:
    network, events = network_of(name, options, on, device).train(), batch(33, on, device)
    assert network.validate(events).shape == (33,)
    moved: set[int] = set()
    for player, who in network.players().items():
        for progress in (0.0, 0.7):
            network.zero_grad()
            terms = network.loss(player, events, progress)
            assert all(term.shape == (33,) and term.isfinite().all() for term in terms.values())
        torch.stack(list(terms.values())).sum().backward()
        for parameter in who.parameters:
            assert parameter.grad is not None
            assert parameter.grad.isfinite().all()
            moved.add(id(parameter))
    assert moved == {id(parameter) for parameter in network.parameters() if parameter.requires_grad}
    network.eval()
    assert network.validate(rows(events, [3])).shape == (1,)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("name", "options", "on"), cases_on("model"))
def test_a_network_learns_in_mixed_precision(name: str, options: dict[str, Any], on: str, device: str) -> None:
    network, events = network_of(name, options, on, device).train(), batch(33, on, device)
    for player, who in network.players().items():
        network.zero_grad()
        with torch.autocast(device, torch.bfloat16):
            terms = network.loss(player, events, 0.7)
        total = torch.stack([term.float() for term in terms.values()]).sum(0)
        assert total.isfinite().all()
        total.sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in who.parameters)


@pytest.mark.parametrize(("name", "options", "on"), cases_on("model"))
def test_weight_two_is_the_event_twice(
    name: str, options: dict[str, Any], on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)  # events that are one event twice draw the same noise
    quiet = {key: value for key, value in options.items() if key not in ("dropout", "batch_norm")}
    network = network_of(name, quiet, on).train()
    count = torch.tensor([1, 2, 3] * 10)
    once = replace(batch(30, on), weight=count.float())
    twice = replace(rows(once, torch.arange(30).repeat_interleave(count)), weight=torch.ones(60))
    for player, who in network.players().items():
        gradients = []
        for events in (once, twice):
            network.zero_grad()
            loss = sum(network.loss(player, events, 0.7).values()) @ events.weight / events.weight.sum()
            loss.backward()
            gradients.append([torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in who.parameters])
        for left, right in zip(*gradients, strict=True):
            torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("name", "options", "on"), cases_on("model"))
def test_a_networks_state_is_arrays_that_bring_it_back_bit_for_bit(
    name: str, options: dict[str, Any], on: str, device: str
) -> None:
    network = network_of(name, options, on, device).train()
    for player in network.players():
        network.loss(player, batch(50, on, device), 0.5)  # running means, if there are any, move
    stored = save({key: value.detach().cpu().contiguous().numpy() for key, value in network.state_dict().items()})
    torch.manual_seed(2)
    again = build("model", name, options, on).build(SCHEMAS[on]).to(device)
    again.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in load(stored).items()})
    left, right = outputs_of(network, batch(40, on, device)), outputs_of(again, batch(40, on, device))
    assert all(torch.equal(right[key], value) for key, value in left.items())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("name", "options", "on"), cases_on("model"))
def test_what_a_network_says_of_itself_is_repeatable_and_has_the_names_that_its_guards_watch(
    name: str, options: dict[str, Any], on: str, device: str
) -> None:
    network, events = network_of(name, options, on, device).eval(), batch(40, on, device)
    found = []
    with torch.no_grad():
        for batches in ([events], [events], [rows(events, [*range(25)]), rows(events, [*range(25, 40)])]):
            torch.manual_seed(3)
            found.append(network.diagnose(iter(batches)))
        alone = network.diagnose(iter([rows(events, [7])]))
    assert found[0] == found[1]
    assert found[0] == pytest.approx(found[2], rel=1e-4, abs=1e-5)
    assert alone.keys() == found[0].keys() >= {guard.name for guard in network.guards()}
    assert all(isinstance(value, float) for value in (*found[0].values(), *alone.values()))
    assert [guard.name for guard in network.guards() if guard.crossed(alone[guard.name])] == []


# --- scorers


class Witness(dict[str, torch.Tensor]):
    """Outputs that remember which of them were read."""

    def __init__(self, outputs: Outputs, read: set[str]) -> None:
        super().__init__(outputs)
        self.seen = read

    def __getitem__(self, key: str) -> torch.Tensor:
        self.seen.add(key)
        return super().__getitem__(key)


def givers(needs: frozenset[str]) -> list[tuple[str, dict[str, Any], str]]:
    """Return the models whose outputs a scorer can read, each with options for every kind of events that it takes."""
    models = [name for kind, name in FOUND if kind == "model" and needs <= FOUND[kind, name].load().gives]
    firsts = [(name, {on: options for options, on in reversed(tried("model", name))}) for name in models]
    return [(name, options, on) for name, first in firsts for on, options in first.items()]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("name", "options"), cases("scorer"))
def test_a_score_is_one_repeatable_number_per_event(name: str, options: dict[str, Any], device: str) -> None:
    scorer = build("scorer", name, options)
    models = givers(scorer.needs)
    assert models, f"no model gives {', '.join(sorted(scorer.needs))}"
    for model in models:
        network, events, read = network_of(*model, device).eval(), batch(60, model[2], device), set[str]()
        with torch.inference_mode():
            given = network(events)
            only = {key: value for key, value in given.items() if key in scorer.needs}
            only |= {f"score/{name}": next(iter(given.values())).reshape(60, -1).sum(1) for name in scorer.combines()}
            state = scorer.fit([(events, Witness(only, read))])
            first = scorer.score(events, Witness(only, read), state, network)
            parts = scorer.explain(events, Witness(only, read), state, network)
            torch.rand(5)
            second = scorer.score(events, only, load(save(state)) if state else {}, network)
            one = rows(events, [7])
            alone = scorer.score(one, {key: value[7:8] for key, value in only.items()}, state, network)
        assert first.shape == (60,)
        assert first.isfinite().all()
        assert first.unique().numel() > 1
        assert torch.equal(first, second)
        torch.testing.assert_close(alone[0], first[7], rtol=1e-4, atol=1e-5)
        assert parts is None or (parts.shape[0] == 60 and parts.isfinite().all())
        known = {*scorer.needs, *(f"score/{name}" for name in scorer.combines())}
        assert read == known, "the outputs that a scorer reads are those that it needs"
