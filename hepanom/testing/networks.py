"""What every model promises of its network in evaluation: named outputs, the same each time, and a state of arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from safetensors.numpy import load, save

from hepanom.contracts import Network, Outputs
from hepanom.testing.broken import expect, gap
from hepanom.testing.case import Case, settled
from hepanom.testing.made_up import rows, some_batch

EVENTS = 100


def outputs_of(case: Case, device: str, network: Network | None = None) -> Outputs:
    """Return what a network in evaluation gives for the made-up events."""
    with torch.no_grad():
        given: Outputs = (network or settled(case, device)).eval()(some_batch(EVENTS, case.on, device))
        return given


def it_gives_what_it_says(case: Case, device: str) -> None:
    """A network gives the outputs that its model names."""
    gives, found = case.build().gives, outputs_of(case, device)
    expect(set(found) == gives, f"{sorted(found)}, where gives names {sorted(gives)}")
    latent = found["latent_mean"].shape if "latent_mean" in found else None
    inputs = next(iter(some_batch(EVENTS, case.on).inputs.values())).shape
    shapes = {
        "reconstruction": inputs,
        "log_likelihood": (EVENTS,),
        "log_density": (EVENTS,),
        "latent_log_variance": latent,
    }
    for name, value in found.items():
        expect(len(value) == EVENTS, f"{name!r} has the shape {tuple(value.shape)} for {EVENTS} events")
        expected = shapes.get(name)
        expect(expected in (None, value.shape), f"{name!r} has the shape {tuple(value.shape)}, not {expected}")
        expect(value.isfinite().all(), f"{name!r} is NaN or infinite for ordinary events")
    expect(latent is None or len(latent) == 2, f"'latent_mean' has the shape {latent}, not (event, latent)")


def everything_is_on_the_device(case: Case, device: str) -> None:
    """All that a network holds and gives is on the device it was moved to."""
    network = settled(case, device)
    for name, value in (*network.named_parameters(), *network.named_buffers()):
        expect(value.device.type == device, f"{name!r} is on {value.device.type}")
    for name, value in outputs_of(case, device).items():
        expect(value.device.type == device, f"the output {name!r} is on {value.device.type}")


def evaluation_draws_no_noise(case: Case, device: str) -> None:
    """Evaluation draws no noise."""
    once, again = outputs_of(case, device), outputs_of(case, device)
    for name, value in once.items():
        expect(torch.equal(again[name], value), f"two calls differ by {gap(again[name], value)} in {name!r}")


def outputs_do_not_depend_on_the_batch(case: Case, device: str) -> None:
    """An output does not depend on the other events of the batch."""
    whole = outputs_of(case, device)
    for piece in ([42], [*range(7)], [*range(93, 100)]):
        with torch.no_grad():
            part = settled(case, device)(rows(some_batch(EVENTS, case.on, device), piece))
        for name, value in whole.items():
            left, right = part[name], value[piece]
            close = left.shape == right.shape and torch.allclose(left, right, 1e-4, 1e-5, equal_nan=True)
            expect(close, f"{len(piece)} of {EVENTS} events alone differ by {gap(left, right)} in {name!r}")


def the_same_seed_builds_the_same_network(case: Case, device: str) -> None:
    """The same seed builds the same network."""
    once, again = settled(case, device).state_dict(), case.network(device).state_dict()
    for name, value in once.items():
        expect(
            torch.equal(again[name], value), f"two builds with one seed differ by {gap(again[name], value)} in {name!r}"
        )


def its_state_brings_it_back(case: Case, device: str) -> None:
    """Its state is arrays that bring it back bit for bit."""
    network = case.network(device).train()
    for player in network.players():
        network.loss(player, some_batch(50, case.on, device), 0.5)  # running means, if there are any, move
    stored = save({key: value.detach().cpu().contiguous().numpy() for key, value in network.state_dict().items()})
    torch.manual_seed(2)
    again: Network = case.build().build(case.schema).to(device)
    again.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in load(stored).items()})
    once, back = outputs_of(case, device, network), outputs_of(case, device, again)
    for name, value in once.items():
        expect(torch.equal(back[name], value), f"with the stored state {name!r} differs by {gap(back[name], value)}")


def what_it_says_of_itself_is_repeatable(case: Case, device: str) -> None:
    """What a network says of itself is repeatable and has the names that its guards watch."""
    network, events = settled(case, device), some_batch(40, case.on, device)
    found = []
    with torch.no_grad():
        for batches in ([events], [events], [rows(events, [*range(25)]), rows(events, [*range(25, 40)])]):
            torch.manual_seed(3)
            found.append(network.diagnose(iter(batches)))
        alone = network.diagnose(iter([rows(events, [7])]))
    once, again, pieces = found
    expect(once == again, f"two calls with the same noise differ in {_first(once, again, 0.0, 0.0)}")
    expect(not _first(once, pieces, 1e-4, 1e-5), f"in two batches it differs in {_first(once, pieces, 1e-4, 1e-5)}")
    expect(alone.keys() == once.keys(), f"of one event it tells {sorted(alone)}, of forty {sorted(once)}")
    watched = {guard.name for guard in network.guards()}
    expect(
        watched <= once.keys(), f"guards watch {', '.join(sorted(watched - once.keys()))}, which diagnose does not tell"
    )
    told: dict[str, object] = {**once, **alone}
    odd = {name: type(value).__name__ for name, value in told.items() if not isinstance(value, float)}
    expect(not odd, f"{', '.join(f'{name} is of type {kind}' for name, kind in odd.items())}, not a float")
    shut = [guard.name for guard in network.guards() if guard.crossed(alone[guard.name])]
    expect(not shut, f"the guard of {', '.join(shut)} calls a network collapsed that was shown one event")


def _first(a: Mapping[str, float], b: Mapping[str, float], relative: float, absolute: float) -> str:
    """Name the first number that differs; NaN, which nobody could measure, differs from everything, as in ``==``."""
    apart = [
        name for name in a if name not in b or not math.isclose(a[name], b[name], rel_tol=relative, abs_tol=absolute)
    ]
    return next(iter(apart + sorted(b.keys() - a.keys())), "")
