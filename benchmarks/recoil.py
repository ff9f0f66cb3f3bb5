"""The recoil of recipes/recoil_dnn.yaml beside the plain estimates, on simulated events that nothing has seen.

Trains the recipe's network once for every argument, which changes its model, regresses 100,000 ordinary events of
another seed, and prints response and resolutions in bins of the boson's transverse momentum. ``corrected`` resolutions
are divided by the response, which alone makes estimates comparable: who says 0 for every event has u_perp = 0.

    python benchmarks/recoil.py [loss=mse "loss=gaussian activation=elu" ...]
"""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from hepanom import document, plugins, shares
from hepanom.detector import Detector, outputs
from hepanom.events import Events
from hepanom.fit import fit
from hepanom.prepared import prepare
from hepanom.stream import to_batch
from hepanom_plugins.models.recoil import RecoilPerformance, components, performance
from hepanom_plugins.readers.recoil_simulation import VECTORS, RecoilSimulation

RECIPE = Path(__file__).parents[1] / "recipes" / "recoil_dnn.yaml"
EDGES = (0.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)


def predict(detector: Detector, events: Events) -> tuple[np.ndarray, np.ndarray]:
    """Return prediction and spread of the events by the only network."""
    (model,) = detector.models.values()
    table = to_batch(prepare(detector.parts, model.states, events), model.schema, torch.device("cpu"))
    with torch.inference_mode():
        found = [each for _, each in outputs(model.members[0].network, table, detector.parts.model.gives)]
    first, second = (torch.cat([each[name] for each in found]).numpy() for name in ("prediction", "spread"))
    return first, second


def show(name: str, found: RecoilPerformance) -> None:
    """Print one estimate, a line for each bin."""
    parallel, perpendicular = found.corrected
    for index, (low, high) in enumerate(pairwise(EDGES)):
        error = found.parallel_error[index] / found.response[index]
        print(
            f"{name:10s} {low:4.0f}-{high:<4.0f} {found.events[index]:7.0f}  "
            f"{found.response[index]:5.3f} +- {found.response_error[index]:5.3f}  "
            f"{found.parallel[index]:6.2f} {found.perpendicular[index]:6.2f}  "
            f"{parallel[index]:7.2f} +- {error:4.2f} {perpendicular[index]:7.2f}"
        )


def main() -> None:
    """Train, regress and print."""
    unseen = RecoilSimulation(seed=2, events=100_000, invisible_share=0.0)
    events = Events.concat([chunk for part in unseen.parts() for chunk in unseen.read(part)])
    boson = np.stack([events.beside["boson_x"], events.beside["boson_y"]], 1)
    print("estimate     q_T    events  response         par   perp   corrected par       perp")
    for name in ("u_pf", "u_track"):
        first = 2 * VECTORS.index(name)
        show(name, performance(np.asarray(events.inputs["features"])[:, first : first + 2], boson, EDGES))
    for changes in sys.argv[1:] or [""]:
        parts = plugins.build(document.read(RECIPE, [f"model.{change}" for change in changes.split()]))
        detector, histories = fit(shares.read(parts, shares.memory_bytes(parts.recipe)), {})
        prediction, spread = predict(detector, events)
        show("dnn", performance(prediction, boson, EDGES))
        residual = events.target - prediction
        (history,) = histories.values()
        print(
            f"dnn {changes}: {len(history)} epochs; mean square residual {np.square(residual).mean() ** 0.5:.2f} GeV;"
            f" within one spread {(np.abs(residual) < spread).mean():.3f}; "
            f"u_perp {np.std(components(prediction, boson)[1]):.2f}"
        )


if __name__ == "__main__":
    main()
